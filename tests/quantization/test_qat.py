"""Quantisation-aware training: it computes what the INT8 file computes, and its weights serve a float32 runtime as they are."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from examples import slow

from traffic_yolo.cli import main
from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.surgery_fuse import without_batch_norm
from traffic_yolo.errors import OptionsError, TrafficYoloError, TrainingError
from traffic_yolo.export.export_model import export_files
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.quantization.graph import convolutions, read_float_graph
from traffic_yolo.quantization.qdq import QdqGraph
from traffic_yolo.quantization.running import TensorReader
from traffic_yolo.quantization.scan import noise_share
from traffic_yolo.trained_on import TrainedOn
from traffic_yolo.training.fake_quantise import (
    QuantisedConv2d,
    quantise,
    ranges_of,
    read_quantisers,
    round_input,
    round_kernels,
    round_kernels_for_good,
    write_quantisers,
)
from traffic_yolo.training.options import TrainingOptions


def test_kernels_are_rounded_by_each_channels_largest() -> None:
    kernels = torch.tensor([[1.27, 0.014, -0.026], [0.0, 0.0, 0.0], [-254.0, 1.0, 3.1]]).view(3, 3, 1, 1)
    # Scales .01, none, 2: halves go to the even multiple
    expected = torch.tensor([[1.27, 0.01, -0.03], [0.0, 0.0, 0.0], [-254.0, 0.0, 4.0]]).view(3, 3, 1, 1)
    torch.testing.assert_close(round_kernels(kernels), expected)
    torch.testing.assert_close(round_kernels(round_kernels(kernels)), round_kernels(kernels))


def test_an_input_is_rounded_by_its_range_and_learns_it() -> None:
    values = torch.tensor([-3.0, -0.264, 0.236, 1.0, 3.0], requires_grad=True)
    scale = torch.tensor(0.01, requires_grad=True)
    rounded = round_input(values, scale)
    torch.testing.assert_close(rounded, torch.tensor([-1.28, -0.26, 0.24, 1.0, 1.27]))
    rounded.sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [0, 1, 1, 1, 0]
    # Esser et al., equation 3: -128 and 127 beyond, else round(v / s) - v / s; over the root of 5 * 127
    assert scale.grad is not None
    assert scale.grad.item() == pytest.approx((-128 + 127 + 0.4 + 0.4 + 0) / np.sqrt(5 * 127), abs=1e-4)


@pytest.fixture(scope="module")
def folded(model: Path) -> Network:
    """The network of `model` without its batch-norms."""
    return without_batch_norm(Network.read(model / "model.cfg", model / "model.weights"))


@pytest.mark.long
def test_it_computes_what_the_file_computes(model: Path, folded: Network, tmp_path: Path) -> None:
    found = convolutions(read_float_graph(model / "model.onnx"), where=model)
    chosen = [each for each in found if not each.is_output]
    groups: dict[str, list[int]] = {}
    for each in chosen:
        groups.setdefault(each.reads, []).append(each.layer)
    network = copy.deepcopy(folded)
    image = torch.rand(1, 3, 96, 160, generator=torch.Generator().manual_seed(0))
    tensors = TensorReader(read_float_graph(model / "model.onnx"), list(groups))(image[0].numpy())
    ranges = {name: float(np.abs(values).max()) * 0.9 for name, values in tensors.items()}
    quantise(network, {tuple(layers): ranges[name] for name, layers in groups.items()})
    first: list[torch.Tensor] = []
    for index in (0, 1, 2):
        network.layers[index].conv.register_forward_hook(lambda _, __, output: first.append(output.clone()))
    with torch.no_grad():
        trained = [output.numpy() for output in network.eval()(image)]
        plain = [output.numpy() for output in folded.eval()(image)]
    delivered = copy.deepcopy(network)
    round_kernels_for_good(delivered)
    delivered.save_weights(tmp_path / "model.weights")
    delivered.cfg.write(tmp_path / "model.cfg")
    export_files(tmp_path / "model.cfg", tmp_path / "model.weights", model / "classes.names", tmp_path / "exported")
    graph = read_float_graph(tmp_path / "exported" / "model.onnx")
    again = list(convolutions(graph, where=tmp_path))
    picked = [each for each in again if not each.is_output]
    of_layer = {layer: value for layers, value in ranges_of(network).items() for layer in layers}
    quantised = QdqGraph(graph, picked, {each.reads: of_layer[each.layer] for each in picked}).with_int8(picked)
    read = TensorReader(quantised, [each.writes for each in again])(image[0].numpy())
    for layer, values in enumerate(first):
        np.testing.assert_allclose(values, read[again[layer].writes], atol=1e-5)
    file = {each.writes: read[each.writes] for each in again if each.is_output}

    def noise(outputs: list[np.ndarray]) -> float:
        by_shape = {output.shape: output for output in outputs}
        return noise_share([file], [{name: by_shape[value.shape] for name, value in file.items()}])

    # A value on the edge of a step may fall either way, and every layer after it carries that on
    assert noise(plain) > 5 * noise(trained)


def test_layers_that_read_one_tensor_have_one_range(folded: Network) -> None:
    network = copy.deepcopy(folded)
    quantise(network, {(0,): 1.0, (1, 2): 0.5})
    first, second = (network.layers[index].get_submodule("conv") for index in (1, 2))
    assert isinstance(second, QuantisedConv2d)
    assert second.owner == (first,)
    assert sum(name.endswith("input_range") for name, _ in network.named_parameters()) == 2
    copied = copy.deepcopy(network)
    assert copied.layers[2].get_submodule("conv").owner[0] is copied.layers[1].get_submodule("conv")
    copied.layers[1].get_submodule("conv").input_range.data.fill_(0.0)
    assert ranges_of(copied) == {(0,): pytest.approx(1.0), (1, 2): pytest.approx(1.0)}
    assert ranges_of(network) == {(0,): pytest.approx(1.0), (1, 2): pytest.approx(0.5)}


def test_ranges_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "quantisers.json"
    ranges = {(0,): 1.5, (3, 7): 0.25}
    write_quantisers(path, ranges)
    assert read_quantisers(path) == ranges


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "found another file"),
        ({"schema_version": 1, "inputs": []}, "found no layers"),
        ({"schema_version": 1, "inputs": [{"layers": [1], "range": 0}]}, "range 0.0: a number above 0"),
        ({"schema_version": 1, "inputs": [{"layers": [1, True], "range": 1}]}, "whole numbers, each once"),
        ({"schema_version": 1, "inputs": [{"layers": [1], "range": 1}, {"layers": [1], "range": 1}]}, "each once"),
    ],
)
def test_a_file_that_is_none_of_ranges_is_refused(content: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "quantisers.json"
    path.write_text(json.dumps(content))
    with pytest.raises(OptionsError, match=f"quantisers.json: expected the quantisers of a network.*{message}"):
        read_quantisers(path)


def test_layers_that_int8_cannot_have_are_refused_by_name(model: Path, folded: Network) -> None:
    whole = Network.read(model / "model.cfg", model / "model.weights")
    with pytest.raises(
        TrainingError, match=r"layer 0 of .* has batch-norm, .*fold it first \(traffic-yolo darknet fuse\)"
    ):
        quantise(whole, {(0,): 1.0})
    head = folded.heads[0].layer_index
    for index in (head, 999):
        with pytest.raises(TrainingError, match=f"quantisers: layer {index} of .* is no convolution"):
            quantise(copy.deepcopy(folded), {(index,): 1.0})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantisers": "q"}, "--quantisers: they say the ranges of trained weights; give --weights"),
        ({"quantisers": "q", "weights": "w", "validation_runtime": "onnxruntime"}, "validation_runtime=pytorch"),
    ],
)
def test_options_that_would_not_see_the_rounding_are_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(TrafficYoloError, match=message):
        TrainingOptions(**options)  # type: ignore[arg-type]


@slow
def test_the_command_leaves_a_model_folder_whose_float_weights_are_the_rounded_ones(
    model: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = f"quantize --model {model} --dataset {dataset} --out {out} --calibration-pictures 2 --keep-float 0 "
    with pytest.raises(SystemExit) as ended:
        main(f"{arguments} --train 2 --max-ap-drop 1 --json".split())
    assert ended.value.code == 0
    result = json.loads(capsys.readouterr().out)
    names = [each["name"] for each in result["settings"]]
    assert names == ["float32", "fp16", "fp16, trained", "int8", "float32, trained", "int8, trained"]
    assert result["settings"][-1]["written"] == "model-int8.onnx"
    folder = ModelFolder.open(out)
    assert {"model-int8.onnx", "model-fp16.onnx", "model.onnx", "quantisers.json"} <= {p.name for p in out.iterdir()}
    assert not any(section.get_int("batch_normalize", 0) for section in Cfg.read(folder.cfg_path).layers)
    network = Network.read(folder.cfg_path, folder.weights_path)
    quantised = {layer for layers in read_quantisers(out / "quantisers.json") for layer in layers}
    for index in quantised:
        kernels = network.layers[index].get_parameter("conv.weight")
        torch.testing.assert_close(kernels, round_kernels(kernels))
    start = read_quantisers(out.with_name("out-training") / "start" / "quantisers.json")
    assert read_quantisers(out / "quantisers.json") != start  # learnt
    assert (out.with_name("out-training") / "run" / "report.html").is_file()
    assert TrainedOn.read(out / "trained_on.json").start_weights_sha256 == ModelFolder.open(model).sha256(
        "model.weights"
    )
