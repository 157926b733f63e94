"""The one choice of device, runtime, precision, batch and processes, and what it refuses."""

import pytest
import torch

from traffic_yolo.detection.inference_options import CPU_RUNTIMES, InferenceOptions
from traffic_yolo.detection.open_network import choose_device
from traffic_yolo.errors import OptionsError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 0}, "batch: expected at least 1, found 0"),
        ({"processes": 0}, "processes: expected at least 1, found 0"),
        ({"device": "tpu"}, "device: expected one of auto, cpu, cuda, found 'tpu'"),
        ({"runtime": "tensorrt"}, "runtime: 'tensorrt' is unknown; expected one of auto, pytorch"),
        ({"precision": "int8"}, "precision: 'int8' is unknown; expected one of float32, bfloat16"),
        ({"device": "cuda", "processes": 2}, "`processes` share the work on CPUs only"),
        ({"device": "cuda", "runtime": "openvino"}, "`runtime` openvino computes on CPUs only; choose pytorch"),
        (
            {"runtime": "auto", "processes": 2},
            "`runtime` auto could choose differently in each of `processes`; name one",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        InferenceOptions(**options)  # type: ignore[arg-type]


def test_a_gpu_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(OptionsError, match=r"^device is cuda, but PyTorch sees no GPU; use cpu or auto$"):
        choose_device("cuda")
    assert choose_device("auto").type == choose_device("cpu").type == "cpu"


def test_auto_takes_the_gpu_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == choose_device("cuda").type == "cuda"
    assert choose_device("cpu").type == "cpu"


def test_auto_takes_no_gpu_for_what_runs_on_cpus_alone() -> None:
    assert not InferenceOptions().is_for_cpus
    assert InferenceOptions(processes=2).is_for_cpus
    assert all(InferenceOptions(runtime=name).is_for_cpus for name in CPU_RUNTIMES)
