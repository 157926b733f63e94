"""Every key that nvinfer's configuration file knows, with its kind, its default and the values it allows.

The tables follow gst-nvinfer's property parser (DeepStream 6.0 to 9.1); a key that is not here is a typing mistake,
which nvinfer itself only warns about.
"""

from dataclasses import dataclass
from typing import Literal

from traffic_yolo.errors import ModelError

Kind = Literal["text", "flag", "int", "float", "ints", "floats"]

PROPERTY = "property"
CLASS_ATTRIBUTES = "class-attrs-"
ALL_CLASSES = "class-attrs-all"


@dataclass(frozen=True)
class Key:
    """One key: the `kind` of its value, nvinfer's `default` as text ("" where there is none), the allowed range."""

    kind: Kind
    default: str = ""
    low: float | None = None
    high: float | None = None

    def check(self, value: str, *, where: str) -> None:
        """Raises `ModelError` unless `value` is of this kind and in range; `where` names file, line and key."""
        items = [item.strip() for item in value.split(";") if item.strip()] if self.kind.endswith("s") else [value]
        if self.kind == "text":
            return
        whole = self.kind in ("flag", "int", "ints")
        for item in items:
            try:
                number = int(item) if whole else float(item)
            except ValueError as error:
                expected = "a whole number" if whole else "a number"
                raise ModelError(f"{where}: expected {expected}, found {item!r}") from error
            low, high = (0, 1) if self.kind == "flag" else (self.low, self.high)
            if (low is not None and number < low) or (high is not None and number > high):
                limits = f"{low:g} to {high:g}" if high is not None else f"{low:g} or more"
                raise ModelError(f"{where}: expected {limits}, found {item}")


def _keys(kind: Kind, names: str) -> dict[str, Key]:
    return {name: Key(kind) for name in names.split()}


PROPERTY_KEYS: dict[str, Key] = {
    **_keys(
        "text",
        """labelfile-path ip-tensor-file op-tensor-files model-engine-file int8-calib-file output-blob-names
        output-io-formats layer-device-precision mean-file custom-lib-path parse-bbox-func-name
        parse-bbox-instance-mask-func-name parse-segmentation-func-name engine-create-func-name
        parse-classifier-func-name custom-network-config model-file proto-file uff-file uff-input-blob-name
        tlt-encoded-model tlt-model-key onnx-file classifier-type""",
    ),
    **_keys(
        "flag",
        """output-tensor-meta disable-output-host-copy auto-inc-mem enable-dla dump-input-tensor dump-output-tensor
        overwrite-input-tensor overwrite-output-tensor raw-output-file-write is-classifier force-implicit-batch-dim
        maintain-aspect-ratio symmetric-padding input-tensor-from-meta enable-dbscan crop-objects-to-roi-boundary
        strongly-typed dynamic-properties warmup-engine output-instance-mask classifier-async-mode""",
    ),
    **_keys(
        "int",
        """gie-unique-id interval gpu-id secondary-reinfer-interval use-dla-core tensor-meta-pool-size workspace-size
        stabilize-buffer-count segmentation-output-order uff-input-order input-object-min-width input-object-min-height
        input-object-max-width input-object-max-height operate-on-gie-id""",
    ),
    **_keys("float", "max-gpu-mem-per classifier-threshold segmentation-threshold"),
    **_keys("ints", "infer-dims uff-input-dims operate-on-class-ids filter-out-class-ids"),
    "offsets": Key("floats"),
    "batch-size": Key("int", "1", low=1),
    "process-mode": Key("int", "1", low=1, high=2),
    "network-mode": Key("int", "0", low=0, high=3),
    "network-type": Key("int", "0", low=0, high=100),
    "network-input-order": Key("int", "0", low=0, high=1),
    "model-color-format": Key("int", "0", low=0, high=2),
    "net-scale-factor": Key("float", "1.0"),
    "num-detected-classes": Key("int", "0", low=0),
    "cluster-mode": Key("int", "0", low=0, high=4),
    # NvBufSurfTransform_Inter: 0 nearest, 1 bilinear, ... 6 whatever the hardware at hand does by default.
    "scaling-filter": Key("int", "6", low=0, high=6),
    "scaling-compute-hw": Key("int", "0", low=0, high=2),
}

CLASS_KEYS: dict[str, Key] = {
    "threshold": Key("float", "0", low=0, high=1),
    "pre-cluster-threshold": Key("float", "0.2", low=0, high=1),
    "post-cluster-threshold": Key("float", "0", low=0, high=1),
    "eps": Key("float", "0"),
    "group-threshold": Key("int", "0"),
    "minBoxes": Key("int", "0"),
    "dbscan-min-score": Key("float", "0"),
    "roi-top-offset": Key("int", "0", low=0),
    "roi-bottom-offset": Key("int", "0", low=0),
    "detected-min-w": Key("int", "0", low=0),
    "detected-min-h": Key("int", "0", low=0),
    "detected-max-w": Key("int", "0", low=0),  # 0 = no limit
    "detected-max-h": Key("int", "0", low=0),
    "border-color": Key("floats"),
    "bg-color": Key("floats"),
    "nms-iou-threshold": Key("float", "0.3", low=0, high=1),
    "topk": Key("int", "-1", low=-1),  # -1 = all
}


def keys_of_group(group: str, *, where: str) -> dict[str, Key]:
    """The keys that `group` may hold; `ModelError` for a group that nvinfer does not know."""
    if group == PROPERTY:
        return PROPERTY_KEYS
    if group == ALL_CLASSES or group.removeprefix(CLASS_ATTRIBUTES).isdecimal():
        return CLASS_KEYS
    known = f"[{PROPERTY}], [{ALL_CLASSES}], [{CLASS_ATTRIBUTES}<class number>]"
    raise ModelError(f"{where}: nvinfer knows no group [{group}]; expected one of {known}")
