"""Names, defaults and expressions of Katib v1beta1, each with the place in Katib's sources that it comes from."""

import re

API_VERSION = "kubeflow.org/v1beta1"
KIND = "Experiment"

# experiments/v1beta1/constants.go
DEFAULT_PARALLEL_TRIALS = 3
DEFAULT_RESUME_POLICY = "Never"
JOB_SUCCESS = 'status.conditions.#(type=="Complete")#|#(status=="True")#'
JOB_FAILURE = 'status.conditions.#(type=="Failed")#|#(status=="True")#'
KUBEFLOW_SUCCESS = 'status.conditions.#(type=="Succeeded")#|#(status=="True")#'
KUBEFLOW_JOB_KINDS = ("TFJob", "PyTorchJob", "XGBoostJob", "MPIJob")
TRAIN_JOB_KIND = "TrainJob"
# Where a trial's object says that it is not to run: kind -> (API group, version, plural, keys). Katib has no such field
# for an Experiment; these are the kinds of KatibConfig's trialResources
SUSPENDABLE = {
    "Job": ("batch", "v1", "jobs", ("spec", "suspend")),
    TRAIN_JOB_KIND: ("trainer.kubeflow.org", "v1alpha1", "trainjobs", ("spec", "suspend")),
    **{
        kind: ("kubeflow.org", "v1", f"{kind.lower()}s", ("spec", "runPolicy", "suspend"))
        for kind in KUBEFLOW_JOB_KINDS
    },
}

# common/v1beta1/common_types.go
OBJECTIVE_TYPES = ("maximize", "minimize")
STRATEGIES = ("min", "max", "latest")
COLLECTOR_KINDS = ("StdOut", "File", "TensorFlowEvent", "PrometheusMetric", "Custom", "Push")
METRICS_FILE = "/var/log/katib/metrics.log"
TENSORFLOW_FOLDER = "/var/log/katib/tfevent/"
PROMETHEUS_PATH = "/metrics"
PROMETHEUS_PORT = 8080
RESUME_POLICIES = ("Never", "LongRunning", "FromVolume")

# experiments/v1beta1/experiment_types.go
PARAMETER_TYPES = ("double", "int", "discrete", "categorical", "unknown")
DISTRIBUTIONS = ("uniform", "logUniform", "normal", "logNormal", "unknown")
NUMERIC_TYPES = ("double", "int")
LIST_TYPES = ("categorical", "discrete")
LEAST_LOGARITHMIC = {"int": 1.0, "double": 1e-10}  # suggestion/v1beta1/optuna/base_service.py

# metricscollector/v1beta1/common/const.go
DEFAULT_METRICS_FORMAT = r"([\w|-]+)\s*=\s*([+-]?\d*(\.\d+)?([Ee][+-]?\d+)?)"
TIMESTAMP_KEY = "timestamp"

# controller.v1beta1/consts/const.go
UNAVAILABLE = "unavailable"
PLACEHOLDER = re.compile(r"\$\{trialParameters\..+?\}")
META_REFERENCE = re.compile(r"\$\{trialSpec\.(.+?)\}")
META_INDEX = re.compile(r"(.+)\[(.+)\]")
META_KEYS = ("Name", "Namespace", "Kind", "APIVersion", "Annotations", "Labels")
INDEXED_META_KEYS = ("Annotations", "Labels")

MAX_NAME_LENGTH = 40
TRIAL_SUFFIX_LENGTH = 9  # "-" and eight random characters; suggestionclient.go
MAX_LABEL_LENGTH = 63  # RFC 1123 label: Services and the names of pods


def placeholder(name: str) -> str:
    """What stands in a trial template for the trial parameter `name`."""
    return f"${{trialParameters.{name}}}"
