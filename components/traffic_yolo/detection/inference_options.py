"""Where and how a network is run over pictures: the one choice for every command that does it; loads no torch."""

import dataclasses
from dataclasses import dataclass

from traffic_yolo.darknet.runtimes.options import RuntimeOptions
from traffic_yolo.errors import OptionsError
from traffic_yolo.options import check_options, option

DEVICES = ("auto", "cpu", "cuda")
CPU_RUNTIMES = ("compiled", "onnxruntime", "openvino")  # these compute on processors whatever device is named


@dataclass(frozen=True)
class InferenceOptions(RuntimeOptions):
    """One inference. Raises `OptionsError` for what makes no sense.

    `runtime`, `precision`: see `RuntimeOptions`. `device`: "auto" is a GPU where there is one, unless the runtime or
    `processes` are for CPUs. What is found is the same, byte for byte, for any `batch` and `processes` on a CPU.
    """

    device: str = option("auto", "Where the network runs; auto takes a GPU where there is one.", choices=DEVICES)
    batch: int = option(8, "Pictures read ahead, and run together on a GPU.", least=1)
    processes: int = option(1, "Processes of this machine that share the pictures; on CPUs only.", least=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_options(self, InferenceOptions)
        if self.processes > 1 and self.device == "cuda":
            raise OptionsError(
                "`processes` share the work on CPUs only; with a GPU use one, or shards on several machines"
            )
        if self.runtime in CPU_RUNTIMES and self.device == "cuda":
            raise OptionsError(
                f"`runtime` {self.runtime} computes on CPUs only; choose pytorch, or `device` cpu or auto"
            )
        if self.runtime == "auto" and self.processes > 1:
            raise OptionsError("`runtime` auto could choose differently in each of `processes`; name one")

    @property
    def is_for_cpus(self) -> bool:
        """Whether no GPU could be used, so that "auto" must not take one."""
        return self.runtime in CPU_RUNTIMES or self.processes > 1


def on_gpus(options: InferenceOptions, asked: int) -> InferenceOptions:
    """`options` with the device cuda where GPUs were `asked` for, which then must be there; 0 leaves them as they are.

    Raises `OptionsError` for options that want processors: the GPUs would be held for nothing.
    """
    if not asked:
        return options
    if options.device == "cpu" or options.is_for_cpus:
        raise OptionsError(
            f"gpus asks for {asked}, but device {options.device} and runtime {options.runtime} compute on CPUs; leave "
            f"one of them out"
        )
    return dataclasses.replace(options, device="cuda")
