"""What a user may choose about a training; what is left out comes from the recipe: what was measured, or the cfg.

The field names are the command line's flags and the parameters of the KFP component and of Katib.
"""

from dataclasses import dataclass

from traffic_yolo.darknet.class_pairs import read_class_pairs
from traffic_yolo.darknet.runtimes.options import PRECISIONS as RUNTIME_PRECISIONS
from traffic_yolo.darknet.runtimes.options import RUNTIME_NAMES
from traffic_yolo.dataset.pictures.choice import PictureChoice
from traffic_yolo.detection.inference_options import DEVICES, InferenceOptions
from traffic_yolo.errors import OptionsError
from traffic_yolo.option_settings import check_settings
from traffic_yolo.options import check_options, described, option
from traffic_yolo.storage import AnyPath, input_path, output_path, read_yaml, write_text
from traffic_yolo.training.batch_norm import BatchNormPolicy
from traffic_yolo.training.log_to import read_log_to
from traffic_yolo.training.plan import EXPRESSION, WORDS, FineTunePlan

RECIPES = ("default", "darknet")
OPTIMIZERS = ("sgd", "adamw", "adam")
POLICIES = ("constant", "steps", "cosine", "poly", "sgdr", "step", "exp", "sigmoid", "random")
LOSSES = ("darknet", "exact")
DEFAULT_LOSS = "darknet"
FINE_TUNE_WORDS = WORDS
PRECISIONS = ("float32", "bfloat16", "float16")
METRICS = ("map50", "map", "f1")
SPARSITY_KINDS = REGULAR, SHORTCUT, LAYER = ("regular", "shortcut", "layer")
RESUME = ("no", "yes", "auto")  # `train`'s and its command's, beside the options


_VALIDATION = InferenceOptions()  # what `evaluate` does by default: both then state one number


@dataclass(frozen=True)
class TrainingOptions(PictureChoice):
    """One training; None leaves a number or word to the recipe (`settings.resolve`).

    Raises `OptionsError` for values that make no sense.
    """

    cfg: str = option("", "Darknet .cfg file; empty: the package's traffic-small.cfg.", headline=True, location="read")
    weights: str = option(
        "",
        "Darknet .weights to start from, whole or a backbone cut; empty: random weights.",
        headline=True,
        location="read",
    )
    weights_names: str = option(
        "", "File with the class names that whole weights were trained for, one a line.", headline=True, location="read"
    )
    class_seeds: str = option(
        "", "New classes and the old ones they start from: LONG_TRUCK=truck,MOTORCYCLE=motorbike.", headline=True
    )
    teacher: str = option(
        "",
        "Model to learn from besides the labels: a model folder, training run, bundle, or .weights with cfg and names "
        "beside it; empty: none.",
        location="read",
    )
    teacher_weight: float = option(1.0, "What the teacher's terms count beside those of the labels, above 0.", least=0)
    quantisers: str = option(
        "", "Train convolutions as INT8 computes them, by this file, which quantize --train makes; empty: none.",
        location="read",
    )  # fmt: skip
    sparsity: float = option(
        0.0, "L1 penalty on batch-norm scales, so that channels can be pruned after; 0: none.", least=0, most=1
    )
    sparsity_kind: str = option(
        REGULAR, "Scales that become small: of channels that no shortcut joins (regular), of those too (shortcut), or "
        "of whole residual blocks (layer).", choices=SPARSITY_KINDS,
    )  # fmt: skip
    recipe: str = option(
        "default", "Where numbers come from that are left out: what was measured, or the cfg alone.", choices=RECIPES
    )
    fine_tune_layers: str | None = option(
        None,
        "What may change: all, neck_and_heads, heads, last:<count>, from:<layer index>, stages such as heads@100,all; "
        "by default the recipe's.",
        headline=True,
        settings_only=EXPRESSION,
    )
    width: int | None = option(
        None, "Network width in pixels, a multiple of 32; by default the cfg's.", least=32, headline=True
    )
    height: int | None = option(
        None, "Network height in pixels, a multiple of 32; by default the cfg's.", least=32, headline=True
    )
    batch: int | None = option(None, "Pictures per weight update; by default the recipe's.", least=1, headline=True)
    subdivisions: int | None = option(
        None, "Slices that a batch is run in: more take less memory; by default the recipe's.", least=1
    )
    max_batches: int | None = option(
        None, "Weight updates in all, to which the cfg's steps are scaled; by default the recipe's.", least=1,
        headline=True,
    )  # fmt: skip
    optimizer: str | None = option(
        None, "sgd or adam as Darknet, or adamw; by default the recipe's.", choices=OPTIMIZERS, headline=True
    )
    learning_rate: float | None = option(
        None, "Rate after the warm-up, above 0; by default the recipe's.", least=0, headline=True
    )
    policy: str | None = option(
        None, "How the rate falls; by default the recipe's.", choices=POLICIES, flag="--rate-policy"
    )
    burn_in: int | None = option(None, "Iterations of warm-up; by default the recipe's.", least=0)
    batch_norm: str | None = option(
        None,
        "train: statistics follow the batches; frozen: those of the start weights stay; frozen:<updates>: for so long. "
        "By default the recipe's.",
    )
    momentum: float | None = option(None, "Momentum, or AdamW's beta1; by default the cfg's.", least=0, most=1)
    decay: float | None = option(None, "Weight decay of convolution weights; by default the cfg's.", least=0, most=1)
    loss: str = option(
        DEFAULT_LOSS, "darknet: its very deltas, rule by rule; exact: an objective with its true gradient.",
        choices=LOSSES,
    )  # fmt: skip
    mosaic: float | None = option(
        None, "Share of pictures put together from four; by default one half where the cfg has mosaic=1.",
        least=0, most=1,
    )  # fmt: skip
    jitter: float | None = option(
        None, "Most that a side is cut or extended, share of the picture; by default the cfg's.", least=0, most=0.5
    )
    flip: float | None = option(
        None, "Share of pictures mirrored left to right; by default one half unless the cfg has flip=0.",
        least=0, most=1,
    )  # fmt: skip
    hue: float | None = option(
        None, "Most that hue turns, share of the colour circle; by default the cfg's.", least=0, most=0.5
    )
    saturation: float | None = option(
        None, "Largest factor of saturation, 1: unchanged; by default the cfg's.", least=1, most=10
    )
    exposure: float | None = option(
        None, "Largest factor of brightness, 1: unchanged; by default the cfg's.", least=1, most=10
    )
    mixup: float | None = option(
        None, "Share of pictures that are the mean of two; by default one half where the cfg has mixup=1.",
        least=0, most=1,
    )  # fmt: skip
    blur: int | None = option(
        None, "Pixels of the kernel that blurs a third of the pictures, another third outside the objects; by default "
        "the cfg's.", least=0, most=255,
    )  # fmt: skip
    gaussian_noise: int | None = option(
        None, "Deviation of the noise in half of the pictures, levels of 255; by default the cfg's.",
        least=0, most=127,
    )  # fmt: skip
    multi_scale: float | None = option(
        None, "Most by which the network's size is changed every ten updates, 1: never; by default the cfg's random "
        "(random=1: 1.4).", least=1, most=4,
    )  # fmt: skip
    balanced_sampling: bool = option(False, "Show pictures of rare classes oftener, by the root of their rarity.")
    ema_alpha: float | None = option(
        None, "Averaging: share of the old weights kept per update, 0: off; by default the cfg's.", least=0, most=1
    )
    evaluate_every: int | None = option(
        None, "Iterations between validations and checkpoints; by default four times a run or oftener.", least=1
    )
    best_by: str = option("map50", "What the best weights are chosen by, on val.", choices=METRICS)
    patience: int | None = option(None, "Ends the training after so many validations in a row without a gain.", least=1)
    time_limit_minutes: float | None = option(
        None, "Ends the training, whole and validated, after so long; interruptions do not count.", least=0
    )
    require_improvement: bool = option(
        False, "Exit code 1 unless the result is shown to be better than the start weights."
    )
    precision: str = option(
        "float32", "bfloat16 or float16 (with loss scaling): faster where the processor or GPU knows it.",
        choices=PRECISIONS,
    )  # fmt: skip
    compile: bool = option(False, "Compile the network for this machine first (torch.compile): pays off in long runs.")
    device: str = option("auto", "Where to train; auto takes a GPU where there is one.", choices=DEVICES)
    validation_runtime: str = option(
        _VALIDATION.runtime, "What computes the logits of validations; auto measures once.", choices=RUNTIME_NAMES
    )
    validation_precision: str = option(
        _VALIDATION.precision, "Number format of validations, whatever the training's.", choices=RUNTIME_PRECISIONS
    )
    validation_batch: int = option(
        _VALIDATION.batch, "Pictures of a validation read ahead, and run together on a GPU.", least=1
    )
    cache_mib: int = option(
        1024,
        "Memory for decoded pictures, training and validation together, and as much for a teacher's outputs; as many "
        "as fit are kept.",
        least=0,
    )
    cache_folder: str = option(
        "", "Folder on a local disk for the decoded pictures; empty: in memory.", location="write"
    )
    reduced_decode: bool = option(
        False, "Decode training JPEGs at a reduced scale where the network shows them smaller: faster, less exact."
    )
    max_bad_pictures: float = option(
        0.01, "Share of the training pictures that may be missing or damaged; they are skipped.", least=0, most=1
    )
    log_to: str = option(
        "", "Also tell tensorboard (events in the run folder), mlflow (MLFLOW_TRACKING_URI), or both with a comma."
    )
    workers: int = option(0, "Processes that prepare pictures; 0: the training process itself.", least=0)
    seed: int = option(0, "Seed of first weights, order and augmentation.", least=0)

    def __post_init__(self) -> None:
        """Checks each field, then the combinations that need no file."""
        check_options(self)
        for name in ("width", "height"):
            if (getattr(self, name) or 0) % 32:
                raise OptionsError(f"{name}: expected a multiple of 32, found {getattr(self, name)}")
        if self.learning_rate == 0:
            raise OptionsError("learning_rate: expected a number above 0, found 0; leave it out for the recipe's")
        if self.teacher_weight == 0:
            raise OptionsError("teacher_weight: expected a number above 0, found 0; leave teacher out to have none")
        if self.batch is not None and self.subdivisions is not None and self.batch % self.subdivisions:
            raise OptionsError(f"batch: expected a multiple of subdivisions={self.subdivisions}, found {self.batch}")
        self._check_text()
        self.validation()
        self._check_quantisers()

    def validation(self) -> InferenceOptions:
        """How a validation infers: on the training's device, in its process, since the weights lie in its memory."""
        return InferenceOptions(
            runtime=self.validation_runtime,
            precision=self.validation_precision,
            device=self.device,
            batch=self.validation_batch,
        )

    def _check_quantisers(self) -> None:
        if not self.quantisers:
            return
        if not self.weights:
            raise OptionsError("--quantisers: they say the ranges of trained weights; give --weights too")
        if (self.validation_runtime, self.validation_precision) != (_VALIDATION.runtime, _VALIDATION.precision):
            raise OptionsError(
                f"quantisers are seen by validation_runtime={_VALIDATION.runtime} and validation_precision="
                f"{_VALIDATION.precision} alone; leave both out"
            )

    def _check_text(self) -> None:
        policy = BatchNormPolicy.parse(self.batch_norm or "train")
        if str(policy) != "train" and not self.weights:
            raise OptionsError(f"batch_norm={policy} keeps the statistics of weights: give weights, or take train")
        if self.weights_names and not self.weights:
            raise OptionsError("weights_names names the classes of `weights`: give weights too")
        if self.class_seeds and not self.weights_names:
            raise OptionsError("class_seeds takes rows of the classes in weights_names: give weights_names too")
        plan = self.plan()
        if plan is not None and not plan.trains_everything and not self.weights:
            raise OptionsError(
                f"fine_tune_layers={plan} freezes layers, which without weights are random: give weights, or "
                "fine_tune_layers=all"
            )
        self.seeds_of_classes()
        read_log_to(self.log_to)

    def plan(self) -> FineTunePlan | None:
        """`fine_tune_layers` taken apart, None where the recipe chooses; raises `OptionsError` for another text."""
        return None if self.fine_tune_layers is None else FineTunePlan.parse(self.fine_tune_layers)

    def seeds_of_classes(self) -> dict[str, str]:
        """`class_seeds` as new class -> old class; raises `OptionsError` for what is not `new=old`."""
        return read_class_pairs(self.class_seeds, option="class_seeds", form="new=old")

    def describe(self) -> str:
        """The options as YAML text, one a line, in the order of the fields."""
        return described(self)

    def write(self, path: AnyPath) -> None:
        """Writes `describe()` to a file, atomically."""
        write_text(output_path(path), self.describe())

    @classmethod
    def read(cls, path: AnyPath) -> "TrainingOptions":
        """The options in a file made by `write`; raises `StorageError` or `OptionsError` naming the file."""
        path = input_path(path, what="training options")
        values = read_yaml(path, what="training options", error=OptionsError)
        if not isinstance(values, dict):
            raise OptionsError(f"{path}: expected training options, one name: value a line")
        settings = check_settings(values, cls, where=str(path))
        try:
            return cls(**settings)
        except OptionsError as error:  # a value that is out of range
            raise OptionsError(f"{path}: {error}") from error
