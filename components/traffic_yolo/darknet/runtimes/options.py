"""Which runtime computes the logits, and in which number format; loads no heavy library."""

from dataclasses import dataclass, field

from traffic_yolo.errors import OptionsError

RUNTIME_NAMES = ("auto", "pytorch", "compiled", "onnxruntime", "openvino")
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class RuntimeOptions:
    """How logits are computed. Raises `OptionsError` for an unknown runtime or precision.

    `runtime`: "pytorch" needs nothing and is the same every time; "openvino" is the fastest (extra `openvino`);
    "onnxruntime" needs the extra `deploy`; "compiled" needs a C++ compiler, and 10 to 20 seconds at first; "auto"
    measures what is there on the network and takes the fastest. `precision`: "bfloat16" halves the time where the
    processor multiplies in it, and moves scores by about a hundredth.
    """

    runtime: str = field(
        default="pytorch",
        metadata={"help": "What computes the logits; auto measures and takes the fastest.", "choices": RUNTIME_NAMES},
    )
    precision: str = field(
        default="float32",
        metadata={"help": "Number format; bfloat16 wants a processor that multiplies in it.", "choices": PRECISIONS},
    )

    def __post_init__(self) -> None:
        for what, value, known in (
            ("runtime", self.runtime, RUNTIME_NAMES),
            ("precision", self.precision, PRECISIONS),
        ):
            if value not in known:
                raise OptionsError(f"{what}: {value!r} is unknown; expected one of {', '.join(known)}")
