"""What every runtime promises: the network's own logits, picture by picture, and refusals in one line."""

import copy
import os

import numpy as np
import pytest
import torch

from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.runtimes import compiled, inference_network, onnxruntime, openvino
from traffic_yolo.darknet.runtimes.opening import RUNTIMES, open_runtime
from traffic_yolo.darknet.runtimes.options import RUNTIME_NAMES, RuntimeOptions
from traffic_yolo.errors import OptionsError

# Issue: no logit moves by more than 1e-4 of its range.
TOLERANCE = 1e-4
IS_SLOW = os.environ.get("TRAFFIC_YOLO_SLOW") == "1"
CANNOT_COMPILE = IS_SLOW and compiled.missing_for_compiling() is not None  # asking takes three seconds

NAMES = [
    "pytorch",
    "onnxruntime",
    pytest.param(
        "compiled",
        marks=[
            pytest.mark.skipif(not IS_SLOW, reason="compiles for 20 s; `make slow`"),
            pytest.mark.skipif(CANNOT_COMPILE, reason="no C++ compiler here"),
        ],
    ),
    pytest.param(
        "openvino",
        marks=pytest.mark.skipif(openvino.missing_packages() is not None, reason="the extra `openvino` is not there"),
    ),
]


@pytest.fixture(scope="module", params=NAMES)
def runtime(request, mixed_network):
    """Every runtime of the mixed network, float32."""
    return open_runtime(mixed_network, RuntimeOptions(request.param))


def moved(found, expected):
    """The largest difference of each head, in shares of that head's range."""
    return [
        float((a.double() - b.double()).abs().max() / (b.max() - b.min())) for a, b in zip(found, expected, strict=True)
    ]


def test_names_of_options_and_runtimes_agree():
    assert set(RUNTIME_NAMES) == {"auto", *RUNTIMES}
    assert all(runtime.name == name for name, runtime in RUNTIMES.items())


def test_logits_are_the_networks_own(runtime, mixed_network, pictures):
    images = pictures(3)
    with torch.no_grad():
        expected = copy.deepcopy(mixed_network).double()(images.double())
    found = runtime(images)
    assert [tuple(head.shape) for head in found] == [(3, 21, 4, 8), (3, 21, 16, 32)]
    assert all(head.dtype == torch.float32 and head.is_contiguous() for head in found)
    assert max(moved(found, expected)) < TOLERANCE


@pytest.mark.many(2)
@pytest.mark.parametrize("model", ["yolo-fastest-1.1", "MobileNetV2-YOLOv3-Nano-coco"])
@pytest.mark.parametrize("name", ["pytorch", "onnxruntime", *NAMES[3:]])
def test_published_weights_give_the_same_logits_on_a_real_picture(reference, model, name):
    network = Network.read(reference / "weights" / f"{model}.cfg", reference / "weights" / f"{model}.weights").eval()
    golden = np.load(reference / "golden" / "real" / f"{model}-dog.npz")
    images = torch.from_numpy(golden["input"])[None]
    with torch.no_grad():
        expected = copy.deepcopy(network).double()(images.double())
    assert max(moved(open_runtime(network, RuntimeOptions(name))(images), expected)) < TOLERANCE


def test_a_picture_gives_the_same_bits_alone_and_in_a_batch(runtime, pictures):
    together = runtime(pictures(3))
    for index in range(3):
        for whole, alone in zip(together, runtime(pictures(3)[index : index + 1]), strict=True):
            assert torch.equal(whole[index : index + 1], alone)


def test_arrays_and_any_memory_format_are_taken(runtime, pictures):
    expected = runtime(pictures(2))
    channels_last = pictures(2).contiguous(memory_format=torch.channels_last)
    turned = np.ascontiguousarray(pictures(2).numpy().transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    for images in (pictures(2).numpy(), channels_last, turned):
        assert all(torch.equal(a, b) for a, b in zip(runtime(images), expected, strict=True))


def test_results_of_one_call_stay_when_the_next_comes(runtime, pictures):
    first = runtime(pictures(1))
    kept = [head.clone() for head in first]
    runtime(1 - pictures(1))
    assert all(torch.equal(a, b) for a, b in zip(first, kept, strict=True))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 32, 64), r"expected \(batch, 3, 32, 64\) float32, found \(3, 32, 64\) float32"),
        (torch.zeros(1, 3, 64, 32), r"found \(1, 3, 64, 32\) float32"),
        (np.zeros((1, 3, 32, 64)), r"found \(1, 3, 32, 64\) float64"),
        (torch.zeros(0, 3, 32, 64), "expected at least one, found an empty batch"),
    ],
)
def test_pictures_of_another_shape_or_dtype_are_refused(runtime, images, message):
    with pytest.raises(ValueError, match=message):
        runtime(images)


def test_the_network_stays_as_it_was(mixed_network, pictures):
    before = {name: tensor.clone() for name, tensor in mixed_network.state_dict().items()}
    open_runtime(mixed_network, RuntimeOptions("pytorch"))(pictures(1))
    assert not mixed_network.is_fused
    assert all(torch.equal(tensor, before[name]) for name, tensor in mixed_network.state_dict().items())


def test_another_input_size_is_taken_when_the_runtime_is_made_for_it(mixed_network, pictures):
    mixed = mixed_network
    for name in ("pytorch", "onnxruntime"):
        runtime = open_runtime(mixed, RuntimeOptions(name), input_hw=(48, 40))
        with torch.no_grad():
            expected = mixed(pictures(1, 48, 40))
        assert max(moved(runtime(pictures(1, 48, 40)), expected)) < TOLERANCE
    with pytest.raises(ValueError, match="expected multiples of 8, found height 36, width 64"):
        open_runtime(mixed, RuntimeOptions("pytorch"), input_hw=(36, 64))


def test_fused_networks_are_taken_too(mixed_network, pictures):
    runtime = open_runtime(mixed_network.fuse(), RuntimeOptions("pytorch"))
    with torch.no_grad():
        assert max(moved(runtime(pictures(1)), mixed_network(pictures(1)))) < TOLERANCE


def test_without_onednns_operations_plain_pytorch_runs(mixed_network, pictures, monkeypatch):
    monkeypatch.setattr("traffic_yolo.darknet.runtimes.pytorch.FusedConvolution.is_available", lambda: False)
    runtime = open_runtime(mixed_network, RuntimeOptions("pytorch"))
    with torch.no_grad():
        assert max(moved(runtime(pictures(1)), mixed_network(pictures(1)))) < TOLERANCE


def test_auto_takes_the_fastest_that_it_measured(mixed_network, pictures, monkeypatch, caplog):
    monkeypatch.setattr(openvino, "missing_packages", lambda: "openvino")
    times = {"pytorch": 0.3, "onnxruntime": 0.1}
    monkeypatch.setattr("traffic_yolo.darknet.runtimes.opening._seconds", lambda runtime: times[runtime.name])
    with caplog.at_level("INFO"):
        assert open_runtime(mixed_network, RuntimeOptions("auto"), pictures=100).name == "onnxruntime"
    assert "runtime: onnxruntime (measured for one picture: pytorch 300.0 ms, onnxruntime 100.0 ms)" in caplog.text
    times["onnxruntime"] = 0.4
    assert open_runtime(mixed_network, RuntimeOptions("auto")).name == "pytorch"


@pytest.mark.skipif(CANNOT_COMPILE, reason="no C++ compiler here")
@pytest.mark.skipif(os.environ.get("TRAFFIC_YOLO_SLOW") != "1", reason="compiles for 20 s; `make slow`")
def test_auto_compiles_only_for_many_pictures(mixed_network, monkeypatch):
    monkeypatch.setattr(openvino, "missing_packages", lambda: "openvino")
    times = {"pytorch": 0.3, "onnxruntime": 0.4, "compiled": 0.2}
    monkeypatch.setattr("traffic_yolo.darknet.runtimes.opening._seconds", lambda runtime: times[runtime.name])
    assert open_runtime(mixed_network, RuntimeOptions("auto"), pictures=600).name == "pytorch"
    assert open_runtime(mixed_network, RuntimeOptions("auto"), pictures=700).name == "compiled"


def test_what_is_unknown_or_missing_is_refused_in_one_line(mixed_network, monkeypatch):
    with pytest.raises(
        OptionsError, match="runtime: 'tensorrt' is unknown; expected one of auto, pytorch, compiled, onnxrun"
    ):
        RuntimeOptions("tensorrt")
    with pytest.raises(OptionsError, match="precision: 'int8' is unknown; expected one of float32, bfloat16"):
        RuntimeOptions(precision="int8")
    monkeypatch.setattr(inference_network, "bfloat16_flag", lambda: "avx512_bf16")
    with pytest.raises(OptionsError, match="runtime onnxruntime computes in float32 only, not in bfloat16"):
        open_runtime(mixed_network, RuntimeOptions("onnxruntime", "bfloat16"))
    monkeypatch.setattr(onnxruntime, "find_spec", lambda _: None)
    with pytest.raises(OptionsError, match=r"onnxruntime needs the package onnx: pip install traffic-yolo\[deploy\]"):
        open_runtime(mixed_network, RuntimeOptions("onnxruntime"))
    monkeypatch.setattr(openvino, "find_spec", lambda name: None if name == "openvino" else name)
    with pytest.raises(
        OptionsError, match=r"openvino needs the package openvino: pip install traffic-yolo\[openvino\]"
    ):
        open_runtime(mixed_network, RuntimeOptions("openvino"))
    assert open_runtime(mixed_network, RuntimeOptions("auto")).name == "pytorch"
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(OptionsError, match=r"compiled needs a C\+\+ compiler \(g\+\+\), found none; install it or"):
        open_runtime(mixed_network, RuntimeOptions("compiled"))


def test_bfloat16_is_refused_where_the_processor_does_not_multiply_in_it(mixed_network, monkeypatch):
    monkeypatch.setattr(inference_network, "bfloat16_flag", lambda: None)
    for name in ("auto", "pytorch", "openvino"):
        with pytest.raises(OptionsError, match="bfloat16 needs a processor with amx_bf16 or avx512_bf16 .*float32"):
            open_runtime(mixed_network, RuntimeOptions(name, "bfloat16"))
