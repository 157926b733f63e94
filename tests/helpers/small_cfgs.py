"""Small networks in the manner of the published cfgs: together they have every section type that we read.

Seeds for the fuzzers, and what the mutation tests start from. Each takes a millisecond to run.
"""

NET = "[net]\nbatch=1\nsubdivisions=1\nwidth={size}\nheight={size}\nchannels=3\nlearning_rate=0.001\nmax_batches=500\npolicy=steps\nsteps=400,450\nscales=.1,.1\n\n"


def _section(name: str, **keys: object) -> str:
    return f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in keys.items()) + "\n"


def _conv(filters: int, size: int = 3, stride: int = 1, activation: str = "leaky", **more: object) -> str:
    norm = {} if activation in ("linear", "logistic") else {"batch_normalize": 1}
    keys = {**norm, "filters": filters, "size": size, "stride": stride, "pad": 1, "activation": activation, **more}
    return _section("convolutional", **keys)


def _yolo(classes: int, mask: str, **more: object) -> str:
    anchors = "4,5,  6,8,  8,12,  10,10,  14,20,  30,24"
    keys = {"mask": mask, "anchors": anchors, "classes": classes, "num": 6, "jitter": ".3", "ignore_thresh": ".7"}
    return _section("yolo", **keys, **more)


def _route(layers: str, **more: object) -> str:
    return _section("route", layers=layers, **more)


def _from(name: str, source: int | str, **more: object) -> str:
    return _section(name, **{"from": source, **more})


V3_TINY = (
    NET.format(size=32)
    + _conv(4)
    + _section("maxpool", size=2, stride=2)
    + _conv(8)
    + _section("maxpool", size=2, stride=2)
    + _section("maxpool", size=2, stride=1)
    + _conv(21, 1, activation="linear")
    + _yolo(2, "3,4,5", random=1)
    + _route("-4")
    + _section("upsample", stride=2)
    + _route("-1, 2")
    + _conv(21, 1, activation="linear")
    + _yolo(2, "0,1,2", random=1)
)
V4_TINY = (
    NET.format(size=32)
    + _conv(4, stride=2)
    + _conv(8)
    + _route("-1", groups=2, group_id=1)
    + _conv(4)
    + _conv(4)
    + _route("-1,-2")
    + _conv(8, 1)
    + _route("-6,-1")
    + _conv(18, 1, activation="linear")
    + _yolo(1, "0,1,2", scale_x_y=1.05, iou_loss="ciou", nms_kind="greedynms", beta_nms=0.6, max_delta=5)
)
V4_CSP = (
    NET.format(size=16)
    + _conv(4, stride=2, activation="mish")
    + _conv(4, 1, activation="mish")
    + _from("shortcut", -2, activation="linear")
    + _section("maxpool", stride=1, size=5)
    + _conv(21, 1, activation="logistic")
    + _yolo(2, "0,1,2", scale_x_y=2.0, new_coords=1, objectness_smooth=1, iou_thresh_kind="iou")
)
V7 = (
    NET.format(size=16)
    + _conv(4, stride=2, activation="swish")
    + _section("implicit", filters=4)
    + _from("scale_channels", -2)
    + _conv(21, 1, activation="linear")
    + _section("implicit", filters=21, mean=1.0, std=0.02)
    + _from("scale_channels", -2)
    + _yolo(2, "0,1,2", new_coords=0)
)
ENET = (
    NET.format(size=16)
    + _conv(4, stride=2, activation="swish")
    + _conv(4, groups=4, activation="relu6")
    + _section("avgpool")
    + _conv(2, 1, activation="swish")
    + _conv(4, 1, activation="logistic")
    + _from("scale_channels", -4)
    + _section("dropout", probability=".2")
    + _from("shortcut", "-7", activation="linear", weights_type="per_channel", weights_normalization="softmax")
    + _from("sam", -1)
    + _conv(18, 1, activation="linear")
    + _yolo(1, "3,4,5")
)
GAUSSIAN = (
    NET.format(size=16)
    + _conv(4, stride=2, antialiasing=1)
    + _conv(4, dilation=2)
    + _conv(20, 1, activation="linear")
    + _section(
        "Gaussian_yolo",
        mask="0,1",
        anchors="4,5, 6,8",
        classes=1,
        num=2,
        uc_normalizer=1.0,
        yolo_point="center",
        counters_per_class="7",
    )
)
V2 = (
    NET.format(size=16)
    + _conv(4)
    + _section("maxpool", size=2, stride=2)
    + _conv(8)
    + _section("reorg", stride=2)
    + _conv(14, 1, activation="linear")
    + _section(
        "region",
        anchors="1.08,1.19,  3.42,4.41",
        bias_match=1,
        classes=2,
        coords=4,
        num=2,
        softmax=1,
        jitter=".2",
        rescore=1,
    )
)
ODDS_AND_ENDS = (
    NET.format(size=16)
    + _conv(4, stride=2)
    + _conv(4)
    + _conv(4, share_index=1)
    + _section("empty")
    + _section("activation", activation="tanh")
    + _section("batchnorm")
    + _section("local_avgpool", size=2, stride=1)
    + _section("reorg3d", stride=2)
    + _section("maxpool", maxpool_depth=1, out_channels=2)
    + _section("maxpool", size=2, stride=2, antialiasing=1)
    + _section("connected", output=8, activation="relu")
    + _section("softmax", groups=2, temperature=1)
    + _section("cost", type="sse")
    + _route("0")
    + _conv(18, 1, activation="linear")
    + _yolo(1, "0,1,2")
    + _route("-2")
    + _section("contrastive", classes=1, yolo_layer=-2)
)
SMALL_CFGS: dict[str, str] = {
    "v3-tiny": V3_TINY,
    "v4-tiny": V4_TINY,
    "v4-csp": V4_CSP,
    "v7": V7,
    "enet": ENET,
    "gaussian": GAUSSIAN,
    "v2": V2,
    "odds-and-ends": ODDS_AND_ENDS,
}
