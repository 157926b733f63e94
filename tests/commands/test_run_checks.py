"""What `run` refuses before the first task: in one line that names the flag, and nothing is started or made."""

import shutil
from pathlib import Path

import pytest

from traffic_yolo.cli import main
from traffic_yolo.storage import NAS_ROOT_VARIABLE


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, small_data_set: Path, untrained_model: Path) -> Path:
    """A folder with data of three sites, weights for its classes, and files that are none."""
    home = tmp_path_factory.mktemp("home")
    (home / "data").symlink_to(small_data_set)
    shutil.copytree(untrained_model, home / "model")
    (home / "half.weights").write_bytes((home / "model" / "model.weights").read_bytes()[:10_000])
    (home / "other.names").write_text("a\nb\n")
    (home / "broken.cfg").write_text("[net]\nwidth=x\n")
    (home / "file").write_text("a file\n")
    return home


START = "--cfg model/model.cfg --weights model/model.weights"
NAMED = f"{START} --weights-names model/classes.names"
REFUSED = {
    "--zoo s3://bucket/zoo": "--zoo: object storage: set TRAFFIC_YOLO_S3_ENDPOINT",
    "--zoo file/zoo": "--zoo: file/zoo: cannot be written",
    "--out file": "file: cannot be written",
    "--snapshot-cache file/cache": "--snapshot-cache: file: cannot be written",
    "--snapshot-cache data/cache": "the cache data/cache lies inside the source",
    "--source nothing": "--source: nothing: not found",
    "--labels nothing": "--labels: nothing: not found",
    "--weights nothing": "--weights: nothing: not found",
    "--class-map nothing": "--class-map: nothing: not found",
    "--layout nothing": "--layout: nothing: not found",
    "--policy nas://x": f"--policy: nas://x: set {NAS_ROOT_VARIABLE}",
    "--policy {leak_check:often}": "leak_check",
    "--model-name a/b": "model name 'a/b'",
    "--val-sites Atlantis": "no site 'Atlantis' with labels",
    "--cfg broken.cfg": "broken.cfg",
    "--cfg model/model.cfg --weights half.weights": "half.weights",
    f"{START} --fine-tune-layers from:999": "999",
    f"{START} --weights-names other.names": "2 classes",
    f"{NAMED} --class-seeds LORRY=CAR": "LORRY",
    f"{NAMED} --class-seeds CAR=unicorn": "unicorn",
}


@pytest.mark.parametrize("flags", REFUSED)
def test_local_run_refuses_before_the_first_task(
    flags: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    for variable in (NAS_ROOT_VARIABLE, "TRAFFIC_YOLO_S3_ENDPOINT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("traffic_yolo_pipelines.local_run.run_locally", lambda *_: pytest.fail("a task was started"))
    before = sorted(home.rglob("*"))
    given = flags.split()
    for name, value in {"--source": "data", "--zoo": "zoo", "--out": "runs"}.items():
        given += [] if name in given else [name, value]
    with pytest.raises(SystemExit) as caught:
        main(["run", "--local", *given])
    printed = capsys.readouterr().err.strip()
    assert caught.value.code == 2
    assert printed.startswith("error: ")
    assert REFUSED[flags] in printed
    assert "\n" not in printed
    assert sorted(home.rglob("*")) == before


def test_local_run_that_can_start_hands_on_locations_that_tasks_find(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv(NAS_ROOT_VARIABLE, str(home))
    started: list[dict[str, str]] = []
    monkeypatch.setattr("traffic_yolo_pipelines.local_run.run_locally", lambda _p, given, _o: started.append(given))
    flags = ["--source", "data", "--zoo", "nas://zoo", "--layout", "atm-2024", "--policy", "{leak_check: report}"]
    with pytest.raises(AttributeError):  # there is no run to sum up
        main(["run", "--local", *flags, *NAMED.split()])
    (given,) = started
    assert given["source"] == str((home / "data").resolve())
    assert given["cfg"] == str(home / "model" / "model.cfg")
    assert (given["zoo"], given["layout"]) == ("nas://zoo", "atm-2024")
    assert given["policy"] == "{leak_check: report}"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            "--zoo s3://bucket/zoo",
            "--zoo: s3://bucket/zoo: a pod has no credentials for object storage; give --s3-secret",
        ),
        ("--source recordings", "--source: recordings: a relative path means nothing in a pod"),
        ("--labels ./x", "--labels: ./x: a relative path means nothing in a pod; give nas://, s3:// or"),
        ("--source /home/me/y", "--source: /home/me/y: a path of this machine, which a pod does not have"),
        ("--weights file:///home/me/y", "--weights: file:///home/me/y: a path of this machine"),
        ("--source /nas/../home/me", "--source: /nas/../home/me: a path of this machine"),
        ("--zoo /nasty/zoo", "--zoo: /nasty/zoo: a path of this machine"),
        ("--snapshot-cache cache", "--snapshot-cache: cache: a relative path"),
        ("--policy {keep_splits:/home/me/y}", "--policy: keep_splits: /home/me/y: a path of this machine"),
        ("--evaluate-settings {trained_on:[coco,data]}", "--evaluate-settings: trained_on: data: a relative path"),
        ("--convert-settings {mapping:/home/me/y}", "--mapping: /home/me/y: a path of this machine"),
        (
            "--source s3://bucket/x",
            "--source: s3://bucket/x: a pod has no credentials for object storage; give --s3-secret",
        ),
        ("--source s3://bucket/x --s3-secret none", "--source: s3://bucket/x: a pod has no credentials"),
        ("--s3-secret Lab_S3", "--s3-secret: expected a name in Kubernetes"),
        ("--s3-secret=", "--s3-secret: expected a name in Kubernetes"),
        ("--nas-claim=", "--nas-claim: expected a name in Kubernetes"),
        ("--gpus -1", "--gpus: expected a whole number of 0 or more, found -1"),
        ("--source ftp://x", "--source: ftp://x: unknown scheme"),
        ("--model-name a/b", "model name"),
        ("--weights w --class-seeds A", "--class-seeds"),
    ],
)
def test_submitting_refuses_what_no_pod_could_do(
    flags: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(NAS_ROOT_VARIABLE, raising=False)
    monkeypatch.setattr("traffic_yolo.commands.pipeline_door.start", lambda *_: pytest.fail("a run was started"))
    given = [part.replace(":", ": ") if part.startswith("{") else part for part in flags.split()]
    for name in ("--source", "--zoo"):
        given += [] if name in given else [name, f"nas://{name.strip('-')}"]
    with pytest.raises(SystemExit) as caught:
        main(["run", "--submit", "--host", "http://127.0.0.1:9", *given])
    printed = capsys.readouterr().err.strip()
    assert caught.value.code == 2
    assert printed.startswith("error: ")
    assert words in printed
    assert "\n" not in printed


def test_submitting_takes_what_a_pod_has(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[dict[str, str]] = []
    monkeypatch.setattr("traffic_yolo.commands.pipeline_door.start", lambda ready, *_: started.append(ready.parameters))
    flags = ["--source", "s3://bucket/x", "--s3-secret", "lab.s3", "--zoo", "/nas/zoo", "--weights", "file:///nas/w"]
    flags += ["--layout", "atm-2024", "--class-map", "nas://map.yaml", "--policy", "{leak_check: report}"]
    settings = [
        "--train-settings",
        "{cache_folder: /tmp/pictures}",
        "--evaluate-settings",
        "{trained_on: [coco/val2017]}",
    ]
    with pytest.raises(SystemExit):
        main(["run", "--submit", "--host", "http://127.0.0.1:9", *flags, *settings, "--nas-claim", "share"])
    (given,) = started
    assert (given["s3_secret"], given["nas_claim"], given["source"]) == ("lab.s3", "share", "s3://bucket/x")


@pytest.mark.parametrize("command", ["retrain", "run"])
def test_layers_may_be_frozen_where_the_start_is_the_version_in_use(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which no flag names; `run` without weights starts from random ones, of which none may be frozen."""
    started: list[dict[str, str]] = []
    monkeypatch.setattr("traffic_yolo.commands.pipeline_door.start", lambda ready, *_: started.append(ready.parameters))
    places = ["--host", "http://127.0.0.1:9", "--source", "/nas/x", "--zoo", "/nas/zoo"]
    with pytest.raises(SystemExit) as caught:
        main([command, "--submit", *places, "--fine-tune-layers", "neck_and_heads"])
    if command == "run":
        assert caught.value.code == 2
        assert "neck_and_heads freezes layers, which without weights are random" in capsys.readouterr().err
    else:
        (given,) = started
        assert (given["fine_tune_layers"], given["weights"], given["cfg"]) == ("neck_and_heads", "", "")


def test_all_problems_of_a_local_run_are_told_at_once(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    flags = ["--source", "nothing", "--zoo", "file/zoo", "--weights", "none.weights", "--snapshot-cache", "file/cache"]
    with pytest.raises(SystemExit) as caught:
        main(["run", "--local", *flags])
    assert caught.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["error", flag] for flag in ("--source", "--weights", "--zoo", "--snapshot-cache")
    ]
