"""The step `train` as a TrainJob: from a data set that its pods can reach to the run folder that they leave.

In a pod of a cluster the TrainJob is launched there; elsewhere the very command of its pods is run on this machine.
"""

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from traffic_yolo.cluster.api_server import is_in_cluster, own_namespace
from traffic_yolo.cluster.run_objects import of_run
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.dataset.reference import DatasetReference
from traffic_yolo.errors import ClusterError, OptionsError, TrainingError
from traffic_yolo.option_settings import read_settings
from traffic_yolo.processors import THREADS_VARIABLE, processors
from traffic_yolo.run_id import known_run_id
from traffic_yolo.storage import AnyPath, atomic_folder, input_path, join, output_path, shown
from traffic_yolo.storage.in_pods import NO_SECRET
from traffic_yolo.terminations import Terminated, terminations_raised
from traffic_yolo.trained_on import TRAINED_ON_NAME, TrainedOn
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.summary import FinishedTraining
from traffic_yolo.training.trainjob import training_command, trainjob_document
from traffic_yolo.training.trainjob_launch import TrainJobLaunch, TrainJobs, launch
from traffic_yolo.training.trainjob_options import MOST_NAME, TrainJobOptions, TrainJobTaskOptions

GRACE_S = 120  # that a training here has for its last checkpoint


def trainjob_settings(text: str, *, nas_claim: str, s3_secret: str = "") -> tuple[TrainJobOptions, TrainJobTaskOptions]:
    """The options in the YAML text, or file, that a form has as `trainjob`; the claim and the secret are the form's.

    Raises `OptionsError` that names `trainjob`.
    """
    named = {"nas_claim": nas_claim, "s3_secret": "" if s3_secret == NO_SECRET else s3_secret}
    try:
        values = read_settings(text, TrainJobOptions, TrainJobTaskOptions)
        for name, value in named.items():
            if values.setdefault(name, value) != value:
                raise OptionsError(f"{name}: the form says {value or 'none'}, the text {values[name]}; leave one out")
        job, task = (
            options_type(**{name: value for name, value in values.items() if name in options_type.__dataclass_fields__})
            for options_type in (TrainJobOptions, TrainJobTaskOptions)
        )
    except OptionsError as error:
        raise OptionsError(f"trainjob: {error}") from error
    assert isinstance(job, TrainJobOptions)
    assert isinstance(task, TrainJobTaskOptions)
    return job, task


@dataclasses.dataclass(frozen=True)
class TrainJobTask:
    """A training by a TrainJob. `work`: a folder on the claim; the run's own below it is named by `run_id`.

    `image_name`: of the pods; empty: by this process's environment.
    """

    training: TrainingOptions
    job: TrainJobOptions
    task: TrainJobTaskOptions
    work: str
    run_id: str
    image_name: str = ""
    poll_s: float = 15

    def run(self, dataset: AnyPath, *, tell: Callable[[str], object] = print, api: Any = None) -> Path:
        """Trains on the data set, or the one that `dataset` refers to, to the end; returns the run folder.

        A data set that is no reference is copied to the claim once. `api`: of the pod's own service account where it is
        not given. Raises `ClusterError`, `OptionsError`, and `TrainingError` where the pods left no run, or trained on
        another data set.
        """
        known_run_id(self.run_id)
        if not self.work:
            raise OptionsError("train_work: expected a folder on the share, where the pods of the TrainJob train")
        data, out = DataSet.open(dataset), join(self.work, self.run_id)
        output_path(out)  # refuses object storage before anything is copied
        where = self._on_the_claim(dataset, data)
        if api is not None or is_in_cluster():
            self._launch(where, out, tell, api)
        else:
            self._run_here(where, out, tell)
        return self._checked(output_path(out), data)

    def _on_the_claim(self, dataset: AnyPath, data: DataSet) -> str:
        reference = DatasetReference.of(input_path(dataset, what="data set"))
        if reference is not None:
            return reference.location
        copy = join(self.work, f"{self.run_id}-dataset")
        target = output_path(copy)
        if not (target.is_dir() and DataSet.open(target).fingerprint == data.fingerprint):
            with atomic_folder(target) as folder:
                shutil.copytree(data.root, folder, dirs_exist_ok=True)
        return copy

    def _launch(self, where: str, out: str, tell: Callable[[str], object], api: Any) -> None:
        job = self.job if self.job.namespace else dataclasses.replace(self.job, namespace=own_namespace())
        # Judged by the task: pods that end with 1 would be begun anew
        training = dataclasses.replace(self.training, require_improvement=False)
        made = trainjob_document(where, out, training, job, image_name=self.image_name)
        timeout_s = self.task.timeout_hours * 3600
        options = TrainJobLaunch(timeout_s=timeout_s, poll_s=self.poll_s, keep=self.task.keep, tell=tell)
        launch(of_run(made, self.run_id, most=MOST_NAME), TrainJobs(job.namespace, api=api), options)

    def _run_here(self, where: str, out: str, tell: Callable[[str], object]) -> None:
        """The pods' command in one process group of this machine; several nodes become one."""
        training = dataclasses.replace(self.training, require_improvement=False)
        command = training_command(where, out, training, max_restarts=0)
        processes = self.job.processes_per_node
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        environment = {**os.environ, THREADS_VARIABLE: str(max(1, processors() // processes))}
        tell(f"no cluster: {processes} processes train on this machine")
        with terminations_raised():
            process = subprocess.Popen([*torchrun, *command[1:]], env=environment)
            try:
                code = process.wait()
            except KeyboardInterrupt as interrupt:
                process.terminate()
                try:
                    process.wait(GRACE_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                what = "SIGTERM" if isinstance(interrupt, Terminated) else "an interrupt"
                raise ClusterError(f"{what} ended the training in {shown(out)}; run again, it goes on") from interrupt
        if code:
            raise TrainingError(f"the training in {shown(out)} ended with exit code {code}; its own lines stand above")

    def _checked(self, run: Path, data: DataSet) -> Path:
        """The run folder, where the pods have left one of this very data set."""
        if not run.is_dir():
            raise TrainingError(
                f"the TrainJob is complete, but {run} holds no run; do its pods and this task mount the same claim?"
            )
        FinishedTraining.read(run)
        trained = TrainedOn.read(run / TRAINED_ON_NAME).data_fingerprint
        if trained != data.fingerprint:
            raise TrainingError(
                f"{run}: trained on another data set (fingerprint {trained:.12}…, expected {data.fingerprint:.12}…); "
                f"start the run again"
            )
        return run
