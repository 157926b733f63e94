"""Every key that nvinfer's configuration file knows, with its kind, its default and the values it allows.

The tables and ranges follow gst-nvinfer's property parser (DeepStream 6.0 to 9.1), the reading of a value GLib's key
files, which nvinfer uses: a whole number ends at a blank ("4 # cameras" is 4), a number with a decimal point does not
("0.25 " is none). A key that is not here is a typing mistake, which nvinfer itself only warns about.
"""

import math
import re
from dataclasses import dataclass
from typing import Literal

from traffic_yolo.errors import ModelError

Kind = Literal["text", "flag", "int", "float", "ints", "floats"]

PROPERTY = "property"
CLASS_ATTRIBUTES = "class-attrs-"
ALL_CLASSES = "class-attrs-all"

WHOLE_NUMBER = re.compile(r"\s*([+-]?[0-9]+)(\s.*)?", re.DOTALL)
FLAGS = {"1": 1, "true": 1, "0": 0, "false": 0}
LARGEST = 2**31  # nvinfer's whole numbers have 32 bits


@dataclass(frozen=True)
class Key:
    """One key: the `kind` of its value, nvinfer's `default` as text ("" where there is none), the allowed range.

    `allowed` replaces the range where not every number of it is meant; `counts`: how many numbers a list may have.
    """

    kind: Kind
    default: str = ""
    low: float | None = None
    high: float | None = None
    allowed: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()

    def check(self, value: str, *, where: str) -> None:
        """Raises `ModelError` unless `value` is of this kind and in range; `where` names file, line and key."""
        if self.kind == "text":
            return
        numbers = self.numbers(value, where=where)
        if self.counts and len(numbers) not in self.counts:
            expected = " or ".join(map(str, self.counts))
            raise ModelError(f"{where}: expected {expected} numbers with ; between them, found {len(numbers)}")
        for number in numbers:
            if self.allowed and number not in self.allowed:
                raise ModelError(f"{where}: expected one of {', '.join(map(str, self.allowed))}, found {number:g}")
            if (self.low is not None and number < self.low) or (self.high is not None and number > self.high):
                limits = f"{self.low:g} to {self.high:g}" if self.high is not None else f"{self.low:g} or more"
                raise ModelError(f"{where}: expected {limits}, found {number:g}")

    def numbers(self, value: str, *, where: str) -> tuple[float, ...]:
        """The numbers of `value` as nvinfer reads them; one but for a list. `ModelError` where it reads none."""
        items = [value]
        if self.kind.endswith("s"):
            items = value.split(";")
            if not items[-1].strip():
                items.pop()  # a list may end with its separator
        return tuple(self._number(item, where=where) for item in items)

    def _number(self, item: str, *, where: str) -> float:
        if self.kind == "flag":
            if item.rstrip() not in FLAGS:
                raise ModelError(f"{where}: expected 0, 1, true or false, found {item!r}")
            return FLAGS[item.rstrip()]
        if self.kind in ("int", "ints"):
            match = WHOLE_NUMBER.fullmatch(item)
            if match is None or not -LARGEST <= int(match[1]) < LARGEST:
                raise ModelError(f"{where}: expected a whole number, found {item!r}")
            return int(match[1])
        try:
            number = float(item)
        except ValueError as error:
            raise ModelError(f"{where}: expected a number, found {item!r}") from error
        if item != item.rstrip() or "_" in item or not math.isfinite(number):
            raise ModelError(f"{where}: expected a number and nothing behind it, found {item!r}")
        return number


def _keys(kind: Kind, names: str) -> dict[str, Key]:
    return {name: Key(kind) for name in names.split()}


PROPERTY_KEYS: dict[str, Key] = {
    **_keys(
        "text",
        """labelfile-path ip-tensor-file op-tensor-files model-engine-file int8-calib-file output-blob-names
        output-io-formats layer-device-precision mean-file custom-lib-path parse-bbox-func-name
        parse-bbox-instance-mask-func-name parse-segmentation-func-name engine-create-func-name
        parse-classifier-func-name custom-network-config model-file proto-file uff-file uff-input-blob-name
        tlt-encoded-model tlt-model-key onnx-file classifier-type dynamic-properties""",
    ),
    **_keys(
        "flag",
        """output-tensor-meta disable-output-host-copy auto-inc-mem enable-dla dump-input-tensor dump-output-tensor
        overwrite-input-tensor overwrite-output-tensor raw-output-file-write is-classifier force-implicit-batch-dim
        maintain-aspect-ratio symmetric-padding input-tensor-from-meta enable-dbscan crop-objects-to-roi-boundary
        strongly-typed warmup-engine output-instance-mask classifier-async-mode""",
    ),
    **_keys(
        "int",
        """gpu-id secondary-reinfer-interval use-dla-core tensor-meta-pool-size workspace-size stabilize-buffer-count
        operate-on-gie-id""",
    ),
    **_keys("float", "max-gpu-mem-per"),
    **_keys("ints", "operate-on-class-ids filter-out-class-ids"),
    "classifier-threshold": Key("float", low=0),
    "segmentation-threshold": Key("float", low=0),
    "segmentation-output-order": Key("int", low=0, high=1),
    "uff-input-order": Key("int", low=0, high=2),
    "input-object-min-width": Key("int", low=0),
    "input-object-min-height": Key("int", low=0),
    "input-object-max-width": Key("int", low=0),
    "input-object-max-height": Key("int", low=0),
    "infer-dims": Key("ints", low=0, counts=(3,)),  # channels, height, width
    # Older names of the same with an order behind (0 NCHW, 1 NHWC, 2 NC), read where infer-dims is absent
    "input-dims": Key("ints", low=0, counts=(4,)),
    "uff-input-dims": Key("ints", low=0, counts=(4,)),
    "offsets": Key("floats", counts=(0, 1, 2, 3, 4)),
    "gie-unique-id": Key("int", low=1),
    "interval": Key("int", "0", low=0),
    "batch-size": Key("int", "1", low=1, high=1024),
    "process-mode": Key("int", "1", low=1, high=2),
    "network-mode": Key("int", "0", low=0, high=3),
    "network-type": Key("int", "0", allowed=(0, 1, 2, 3, 100)),
    "network-input-order": Key("int", "0", low=0, high=1),
    "model-color-format": Key("int", "0", low=0, high=2),
    "net-scale-factor": Key("float", "1.0"),
    "num-detected-classes": Key("int", "0", low=0),
    "cluster-mode": Key("int", "0", low=0, high=4),
    # NvBufSurfTransform_Inter: 0 nearest, 1 bilinear, ... 6 the default of the hardware at hand.
    # NVIDIA documents 6 as nearest on the GPU and on the VIC (nvbufsurftransform.h).
    "scaling-filter": Key("int", "6", low=0, high=6),
    "scaling-compute-hw": Key("int", "0", low=0, high=2),
}

CLASS_KEYS: dict[str, Key] = {
    "threshold": Key("float", low=0),  # the older name of the next one; of both in a group the later counts
    "pre-cluster-threshold": Key("float", "0.2", low=0),
    "post-cluster-threshold": Key("float", "0", low=0),
    "eps": Key("float", "0", low=0),
    "group-threshold": Key("int", "0", low=0),
    "minBoxes": Key("int", "0", low=0),
    "dbscan-min-score": Key("float", "0", low=0),
    "roi-top-offset": Key("int", "0", low=0),
    "roi-bottom-offset": Key("int", "0", low=0),
    "detected-min-w": Key("int", "0", low=0),
    "detected-min-h": Key("int", "0", low=0),
    "detected-max-w": Key("int", "0", low=0),  # 0 = no limit
    "detected-max-h": Key("int", "0", low=0),
    "border-color": Key("floats", counts=(4,)),
    "bg-color": Key("floats", counts=(4,)),
    "nms-iou-threshold": Key("float", "0.3", low=0, high=1),
    "topk": Key("int", low=0),  # absent = all; nvinfer's default of -1 must not be written
}

# The YAML form has a parser of its own, which does not know these; its flags are whole numbers, so `true` stops it
TEXT_ONLY_KEYS = frozenset({"enable-dbscan", "input-dims", "uff-input-dims", "is-classifier", "threshold"})


def keys_of_group(group: str, *, where: str) -> dict[str, Key]:
    """The keys that `group` may hold; `ModelError` for a group that nvinfer does not know."""
    if group == PROPERTY:
        return PROPERTY_KEYS
    if group == ALL_CLASSES or group.removeprefix(CLASS_ATTRIBUTES).isdecimal():
        return CLASS_KEYS
    known = f"[{PROPERTY}], [{ALL_CLASSES}], [{CLASS_ATTRIBUTES}<class number>]"
    raise ModelError(f"{where}: nvinfer knows no group [{group}]; expected one of {known}")
