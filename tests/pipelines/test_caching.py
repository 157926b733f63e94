"""KFP's own rule for its cache: a hit for equal content, wherever it lies by now, and a miss for one changed byte."""

import copy
import itertools
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from arrivals import made_last
from driver_replay import HEAD, OLD, Compiled, Server, Task
from kfp import dsl

from traffic_yolo.atm.synthetic.share import SyntheticOptions, write_share
from traffic_yolo.dataset.component import convert, convert_files, convert_shard, plan_shards
from traffic_yolo.options import SETTINGS, fields_of
from traffic_yolo.snapshot.component import snapshot
from traffic_yolo_pipelines.step_options import STEP_OPTIONS

FOLDER = Path(__file__).resolve().parents[2] / "pipelines"
PACKAGES = sorted(FOLDER.glob("*.yaml"))
LOCATIONS = {name for step in STEP_OPTIONS.values() for name, field in fields_of(*step).items()
             if field.metadata.get("location") in ("read", "keep")} | {SETTINGS}  # fmt: skip
# Uncached task -> of which of its parameters its output tells the content
LOOKS = {"snapshot": {"source", "labels"}, "convert-files": LOCATIONS - {"source", "labels"}}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A share of two sites, with a class map, settings and a policy beside the recordings."""
    folder = tmp_path_factory.mktemp("caching") / "nas"
    options = SyntheticOptions(sites=2, recordings_per_site=1, frames_per_recording=2, image_wh=(160, 96), seed=3)
    write_share(folder, options)
    (folder / "map.yaml").write_text("drop: [BIRD]\n")
    (folder / "convert.yaml").write_text("min_confidence: 0.5\n")
    (folder / "policy.yaml").write_text("leak_check: report\n")
    return folder


@pytest.fixture
def share(rendered: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return shutil.copytree(rendered, tmp_path / "nas")


def form(share: Path) -> dict[str, Any]:
    return {
        "source": str(share / "recordings"),
        "labels": str(share / "human_labels.json"),
        "class_map": str(share / "map.yaml"),
        "convert_settings": str(share / "convert.yaml"),
        "policy": str(share / "policy.yaml"),
    }


def looking(folder: Path) -> Callable[[str, Mapping[str, Any]], dict[str, Any]]:
    """What the tasks that look at the share return: the components themselves, run here."""
    numbers = itertools.count()

    def outputs(name: str, _component: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
        component = {"snapshot": snapshot, "convert-files": convert_files, "plan-shards": plan_shards}.get(name)
        if component is None:
            return {}
        given = dict(parameters)
        for artifact in component.component_spec.outputs or {}:
            if artifact != "Output":
                given[artifact] = dsl.Artifact(uri=str(folder / f"{next(numbers)}-{artifact}"))
        return {"Output": component.python_func(**given)}

    return outputs


@pytest.fixture(params=[OLD, HEAD], ids=["2.4", "HEAD"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Server:
    """A server whose cache is empty."""
    (tmp_path / "artifacts").mkdir()
    return Server(request.param, outputs=looking(tmp_path / "artifacts"))


@pytest.fixture
def finetune() -> Compiled:
    """The main pipeline."""
    return Compiled.read(FOLDER / "finetune_pipeline.yaml")


@pytest.fixture
def sharded() -> Compiled:
    """The fanned-out conversion."""
    return Compiled.read(FOLDER / "convert_pipeline.yaml")


def hits(tasks: Mapping[str, Task]) -> set[str]:
    return {name for name, task in tasks.items() if task.cached}


def test_same_share_twice_is_converted_once(server: Server, finetune: Compiled, share: Path) -> None:
    parameters = {**form(share), "zoo": "/nas/zoo"}
    assert hits(server.run(finetune, parameters)) == set()
    again = server.run(finetune, parameters)
    assert hits(again) == {"convert"}
    # A training is another one each time, so all that it leads to has other inputs
    assert {name for name, task in again.items() if task.key} == {"convert", "export", "evaluate", "tune", "validate"}


def test_shards_and_their_merge_are_found_again(server: Server, sharded: Compiled, share: Path) -> None:
    parameters = {**form(share), "shards": 2}
    assert hits(server.run(sharded, parameters)) == set()
    assert hits(server.run(sharded, parameters)) == {
        "hash-share", "plan-shards", "for-loop-1/0/convert-shard", "for-loop-1/1/convert-shard", "merge-shards",
    }  # fmt: skip


def test_another_data_store_is_another_conversion(server: Server, finetune: Compiled, share: Path) -> None:
    """What a reference refers to is in the store that it names."""
    parameters = {**form(share), "zoo": "/nas/zoo"}
    stores = [{"data_store": str(share.with_name(name))} for name in ("first", "second")]
    for given in ({}, *stores):
        assert hits(server.run(finetune, {**parameters, **given})) == set()
    assert hits(server.run(finetune, {**parameters, **stores[0]})) == {"convert"}
    assert not any(Path(store["data_store"]).exists() for store in stores)  # which no task that looks makes


def test_share_that_was_copied_back_is_the_same(server: Server, finetune: Compiled, share: Path) -> None:
    parameters = {**form(share), "zoo": "/nas/zoo"}
    server.run(finetune, parameters)
    shutil.copytree(share, share.with_name("restored"))
    shutil.rmtree(share)
    share.with_name("restored").rename(share)
    for path in share.rglob("*"):
        os.utime(path, (1, 1))
    assert hits(server.run(finetune, parameters)) == {"convert"}


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def a_recording(share: Path) -> Path:
    return sorted((share / "recordings").rglob("*.h5"))[0]


def add_a_recording(share: Path) -> None:
    added = shutil.copyfile(a_recording(share), a_recording(share).with_name("20991231235959_0.h5"))
    made_last(added, share)


def move_a_label(share: Path) -> None:
    labels = json.loads((share / "human_labels.json").read_text())
    labels["annotations"][0]["bbox"][0] += 1
    (share / "human_labels.json").write_text(json.dumps(labels))


CHANGES: dict[str, Callable[[Path], None]] = {
    "class map": lambda share: (share / "map.yaml").write_text("drop: [BIRB]\n") and None,
    "settings": lambda share: (share / "convert.yaml").write_text("min_confidence: 0.6\n") and None,
    "policy": lambda share: (share / "policy.yaml").write_text("leak_check: report \n") and None,
    "recording": lambda share: flip_a_byte(a_recording(share)),
    "new recording": add_a_recording,
    "labels": move_a_label,
}


@pytest.mark.many(3)
@pytest.mark.parametrize("change", CHANGES)
def test_one_changed_byte_is_converted_anew(
    server: Server, finetune: Compiled, sharded: Compiled, share: Path, change: str
) -> None:
    parameters, in_shards = {**form(share), "zoo": "/nas/zoo"}, {**form(share), "shards": 2}
    server.run(finetune, parameters)
    server.run(sharded, in_shards)
    CHANGES[change](share)
    assert hits(server.run(finetune, parameters)) == set()
    found = hits(server.run(sharded, in_shards))
    assert not any(name.endswith(("convert-shard", "merge-shards")) for name in found)


@pytest.mark.many(4)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("component", [convert, convert_shard], ids=lambda component: component.name)
def test_conversion_that_would_not_be_what_its_key_says_ends_with_one_line(
    component: Any, share: Path, tmp_path: Path, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What changed after the first tasks looked must not come under a key that tells of what they saw."""
    given = form(share)
    given["settings"] = given.pop("convert_settings")
    kinds = {"metrics": dsl.Metrics}
    outputs = component.component_spec.outputs or {}
    artifacts = {name: kinds.get(name, dsl.Artifact)(uri=str(tmp_path / name)) for name in outputs}
    looked = {name: dsl.Artifact(uri=str(tmp_path / name)) for name in ("listing", "changes")}
    fingerprint = snapshot.python_func(**looked, source=given["source"], labels=given["labels"])
    texts = {"fingerprint": fingerprint, "files": convert_files.python_func(run_id="run-1", **given)}
    if component is convert_shard:
        (shard,) = plan_shards.python_func(shards=1, **texts)
        texts = {"shard": shard, "hashes": dsl.Artifact(uri=str(tmp_path / "none"))}
    CHANGES[change](share)
    capsys.readouterr()
    if change == "new recording":  # is left for the next run
        component.python_func(**artifacts, **texts, **given)
        return
    with pytest.raises(SystemExit) as caught:
        component.python_func(**artifacts, **texts, **given)
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert line.endswith("start the run again")


@pytest.mark.parametrize("change", ["source", "val_sites", "nas_claim"])
def test_other_parameters_are_another_conversion(finetune: Compiled, share: Path, tmp_path: Path, change: str) -> None:
    server = Server(HEAD, outputs=looking(tmp_path))
    parameters = {**form(share), "zoo": "/nas/zoo"}
    server.run(finetune, parameters)
    if change == "source":  # the manifest says where it came from
        shutil.copytree(share / "recordings", share / "copy")
    other = {"source": str(share / "copy"), "val_sites": "A", "nas_claim": "other"}[change]
    assert hits(server.run(finetune, {**parameters, change: other})) == set()


def test_another_image_is_another_conversion(server: Server, finetune: Compiled, share: Path) -> None:
    parameters = {**form(share), "zoo": "/nas/zoo"}
    server.run(finetune, parameters)
    spec = copy.deepcopy(dict(finetune.spec))
    spec["deploymentSpec"]["executors"]["exec-convert"]["container"]["image"] = "traffic-yolo/train:0.2.0"
    assert hits(server.run(Compiled(spec, finetune.platform), parameters)) == set()


def test_artifact_of_an_uncached_task_would_never_be_found_again(
    server: Server, finetune: Compiled, share: Path
) -> None:
    """As it was: the listing's number is in the key, and another one each time."""
    spec = copy.deepcopy(dict(finetune.spec))
    spec["root"]["dag"]["tasks"]["convert"]["inputs"]["artifacts"] = {
        "listing": {"taskOutputArtifact": {"producerTask": "snapshot", "outputArtifactKey": "listing"}}
    }
    mutant = Compiled(spec, finetune.platform)
    parameters = {**form(share), "zoo": "/nas/zoo"}
    server.run(mutant, parameters)
    assert hits(server.run(mutant, parameters)) == set()


def test_source_that_leads_elsewhere_is_never_taken_for_another_run_s(
    finetune: Compiled, share: Path, tmp_path: Path
) -> None:
    """Of a label file with pictures around it, a listing shows the label file alone."""
    server = Server(HEAD, outputs=looking(tmp_path))
    (share / "instances.json").write_text("{}")
    parameters = {"source": str(share / "instances.json"), "zoo": "/nas/zoo"}
    server.run(finetune, parameters)
    assert hits(server.run(finetune, parameters)) == set()


def answering(changed: str) -> Callable[[str, Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]:
    """Outputs that depend on what a task is given and, of a task that looks at files, on the one that has `changed`."""

    def outputs(name: str, component: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
        looks = any(parameters.get(parameter) == changed for parameter in LOOKS.get(name, ()))
        told = sorted((key, value) for key, value in parameters.items() if key != "run_id")
        text = f"{name} {told} {changed if looks else ''}"
        stated = component.get("outputDefinitions", {}).get("parameters", {})
        kinds = {"STRING": text, "LIST": [text]}
        return {key: kinds[spec["parameterType"]] for key, spec in stated.items() if spec["parameterType"] in kinds}

    return outputs


def found_again_though_changed(pipeline: Compiled) -> list[tuple[str, str]]:
    """(task, parameter) wherever a task is found in the cache although a file that its parameter names has changed."""
    given = {
        name: f"nas://{name}"
        for name, spec in pipeline.parameters.items()
        if name in LOCATIONS or name.endswith(f"_{SETTINGS}") or not spec.get("isOptional")
    }
    lies = []
    for location in sorted(set(given.values())):
        server = Server(HEAD, outputs=answering(""))
        server.run(pipeline, given)
        server.outputs = answering(location)
        for name, task in server.run(pipeline, given).items():
            named = {parameter for parameter, value in task.parameters.items() if value == location}
            lies += [(name, parameter) for parameter in named & LOCATIONS if task.cached]
    return lies


@pytest.mark.many(2)
@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.stem)
def test_no_task_is_found_again_when_a_file_has_changed_that_it_is_told_of(package: Path) -> None:
    lies = found_again_though_changed(Compiled.read(package))
    assert [lie for lie in lies if lie[1] != "snapshot_cache"] == []  # hashes of the share, which prove themselves


def test_caching_of_a_training_would_be_told(finetune: Compiled) -> None:
    """Its weights lie on the NAS, and what comes after has settings there."""
    spec = copy.deepcopy(dict(finetune.spec))
    train = spec["root"]["dag"]["tasks"]["train"]
    train["cachingOptions"] = {"enableCache": True}
    train["inputs"]["parameters"]["run_id"]["runtimeValue"]["constant"] = ""  # else no run is taken for another one
    lies = found_again_though_changed(Compiled(spec, finetune.platform))
    assert {("train", "weights"), ("train", "cfg"), ("evaluate", "settings"), ("tune", "settings")} <= set(lies)


@pytest.mark.parametrize(
    ("told", "lies"),
    [("files", {"class_map", "layout", "policy", SETTINGS}), ("fingerprint", {"source", "labels"})],
)
def test_conversion_that_is_not_told_of_its_files_would_be_told(finetune: Compiled, told: str, lies: set[str]) -> None:
    """As it was: of a class map the key held the place alone."""
    spec = copy.deepcopy(dict(finetune.spec))
    inputs = spec["root"]["dag"]["tasks"]["convert"]["inputs"]["parameters"]
    inputs[told] = {"runtimeValue": {"constant": "none"}}
    found = found_again_though_changed(Compiled(spec, finetune.platform))
    assert {parameter for name, parameter in found if name == "convert"} - {"snapshot_cache"} == lies
