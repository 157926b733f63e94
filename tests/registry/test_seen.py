"""Which versions have seen a recording: by the content of its pictures, by the weights they started from, or unknown."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from judged_runs import publish
from records import pruned_from

from traffic_yolo.atm.synthetic.share import SyntheticOptions, write_share
from traffic_yolo.cli import main
from traffic_yolo.dataset.content_hashes import content_hashes
from traffic_yolo.errors import DatasetError, StorageError
from traffic_yolo.pruned_from import PRUNED_NAME
from traffic_yolo.registry.bundle import checksums_of
from traffic_yolo.registry.gates.rules import GateRules
from traffic_yolo.registry.seen import who_saw
from traffic_yolo.registry.zoo import versions
from traffic_yolo.storage import sha256_of_file
from traffic_yolo.trained_on import TrainedOn

MakeRun = Callable[..., dict[str, Path]]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    share = tmp_path_factory.mktemp("share")
    options = SyntheticOptions(
        sites=1, recordings_per_site=1, frames_per_recording=3, image_wh=(160, 96), processes=1, seed=3
    )
    write_share(share, options)
    (path,) = share.rglob("*.h5")
    return path


@pytest.fixture
def zoo(make_run: MakeRun, recording: Path, tmp_path: Path) -> Path:
    """Versions: trained on two of the pictures; chosen on one; started from the first; of another set; unknown."""
    mine = list(content_hashes(recording))
    other = "0123456789abcdef"
    first_weights = ""
    for seed, (trained, chosen, start) in enumerate(
        [(mine[:2], [], ""), ([other], mine[2:], ""), ([other], [], "first"), ([other], [], ""), (None, None, "")]
    ):
        run = make_run(seed)
        if trained is not None and chosen is not None:
            digest = first_weights if start else ""
            TrainedOn("d" * 64, tuple(trained), tuple(chosen), "a.weights" if digest else "", digest).write(
                run["model"] / "trained_on.json"
            )
        if trained is None:
            (run["model"] / "trained_on.json").unlink(missing_ok=True)
        first_weights = first_weights or sha256_of_file(run["model"] / "model.weights")
        publish(**run, zoo=tmp_path / "zoo", name="small", rules=GateRules(gate="any"))
    return tmp_path / "zoo"


def test_every_version_says_what_it_saw_and_the_unknown_one_is_not_left_out(zoo: Path, recording: Path) -> None:
    found = who_saw(zoo, content_hashes(recording))
    assert [(each.verdict, each.trained_on, each.chosen_on) for each in found] == [
        ("trained on", 2, 0),
        ("chosen on", 0, 1),
        ("started from", 0, 0),
        ("not seen", 0, 0),
        ("unknown", None, None),
    ]
    assert found[2].why.startswith("it goes back to small 0001-")
    assert "no trained_on.json" in found[4].why


def test_the_command_lists_those_that_are_concerned_for_a_recording_and_for_a_picture(
    zoo: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main_ok(["zoo", "saw", str(recording), "--zoo", str(zoo)])
    printed = capsys.readouterr().out
    assert printed.count("small") >= 4
    assert "3 of 5 versions have seen some of the 3 pictures" in printed
    assert "of 1 it is not known" in printed

    from traffic_yolo.atm.recording import Recording

    with Recording(recording) as opened:
        picture = tmp_path / "renamed.jpg"
        picture.write_bytes(opened.jpeg(opened.scan_numbers[2]))
    main_ok(["zoo", "saw", str(picture), "--zoo", str(zoo), "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert (answer["command"], answer["pictures"]) == ("zoo saw", 1)
    assert [each["verdict"] for each in answer["versions"]] == ["chosen on", "unknown"]


def test_a_damaged_list_makes_a_version_unknown(zoo: Path, recording: Path) -> None:
    version = versions(zoo, "small")[0]
    path = version / "trained_on.json"
    path.chmod(0o644)
    path.write_text("[]")
    assert [each.verdict for each in who_saw(zoo, content_hashes(recording))][0] == "unknown"


def test_weights_of_nowhere_are_unknown_and_published_ones_are_not(
    zoo: Path, recording: Path, make_run: MakeRun
) -> None:
    known = "1c445c42bbd6df63edea2cc69f99667b5650d663ca11e34b116240740cd42890"  # yolo-fastest-1.1, of COCO
    for seed, digest in ((7, "e" * 64), (8, known)):
        run = make_run(seed)
        TrainedOn("d" * 64, ("0" * 16,), (), "some.weights", digest).write(run["model"] / "trained_on.json")
        publish(**run, zoo=zoo, name="other", rules=GateRules(gate="any"))
    found = [each for each in who_saw(zoo, content_hashes(recording)) if each.model == "other"]
    assert [each.verdict for each in found] == ["unknown", "not seen"]


def test_what_was_pruned_has_seen_what_its_parent_saw(zoo: Path, recording: Path, make_run: MakeRun) -> None:
    parent = checksums_of(versions(zoo, "small")[0])["model.weights"]
    run = make_run(9)
    TrainedOn("d" * 64, ("0" * 16,), (), "model.weights", "f" * 64).write(run["model"] / "trained_on.json")
    pruned_from(parent=parent, weights="f" * 64).write(run["model"] / PRUNED_NAME)
    publish(**run, zoo=zoo, name="pruned", rules=GateRules(gate="any"))
    (found,) = (each for each in who_saw(zoo, content_hashes(recording)) if each.model == "pruned")
    assert (found.verdict, found.trained_on) == ("started from", 0)
    assert found.why.startswith("it goes back to small 0001-")


def test_what_a_teacher_saw_goes_before_a_start_of_which_nothing_is_known(
    zoo: Path, recording: Path, make_run: MakeRun
) -> None:
    saw_some = versions(zoo, "small")[0] / "model.weights"
    for seed, start in ((7, ""), (8, "e" * 64)):
        run = make_run(seed)
        taught = TrainedOn("d" * 64, ("0" * 16,), (), "a.weights" if start else "", start).taught_by(
            None, weights=saw_some
        )
        taught.write(run["model"] / "trained_on.json")
        publish(**run, zoo=zoo, name="taught", rules=GateRules(gate="any"))
    found = [each for each in who_saw(zoo, content_hashes(recording)) if each.model == "taught"]
    assert [each.verdict for each in found] == ["started from", "started from"]


def test_what_holds_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(DatasetError, match="no picture; expected a recording"):
        content_hashes(tmp_path)
    with pytest.raises(StorageError, match="not found"):
        content_hashes(tmp_path / "none.h5")


def test_a_folder_counts_a_picture_once(recording: Path, tmp_path: Path) -> None:
    shutil.copy(recording, tmp_path / "20210901120000_1.h5")
    shutil.copy(recording, tmp_path / "20210901120000_2.h5")
    assert len(content_hashes(tmp_path)) == 3


def main_ok(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert not end.value.code, arguments
