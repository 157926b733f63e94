"""What keys a conversion beside the share's fingerprint: the files that its options name, and the share that it reads."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from arrivals import made_last

from traffic_yolo.atm.layouts import LAYOUT_FOLDER
from traffic_yolo.dataset.convert import ContentToMatch, convert
from traffic_yolo.dataset.export_labels import export_labels
from traffic_yolo.dataset.named_files import check_named_files, named_files, reads_elsewhere
from traffic_yolo.dataset.options import ConvertOptions, ExportOptions
from traffic_yolo.errors import DatasetError, OptionsError, RecordingInUseError, StorageError
from traffic_yolo.snapshot.content import ShareContent
from traffic_yolo.snapshot.snapshot import take_snapshot
from traffic_yolo.storage import sha256_of_file


@pytest.fixture
def named(share: Any, tmp_path: Path) -> dict[str, Path]:
    """Option -> file of a conversion that names one in every place, all beside the share."""
    files = {
        "settings": tmp_path / "settings.yaml",
        "layout": tmp_path / "layout.yaml",
        "mapping": tmp_path / "mapping.yaml",
        "class_map": tmp_path / "map.yaml",
        "policy": tmp_path / "policy.yaml",
        "policy.keep_splits": tmp_path / "june" / "splits.yaml",
        "policy.calibration": tmp_path / "calibration.yaml",
        "policy.report_cfg": tmp_path / "report.cfg",
    }
    (tmp_path / "june").mkdir()
    shutil.copyfile(LAYOUT_FOLDER / "atm220-2021.yaml", files["layout"])
    files["policy"].write_text(
        f"keep_splits: {tmp_path / 'june'}\nreport_cfg: {files['policy.report_cfg']}\n"
        f"calibration: {files['policy.calibration']}\n"
    )
    for name in ("settings", "mapping", "class_map", "policy.keep_splits", "policy.calibration", "policy.report_cfg"):
        files[name].write_text(f"{name}: any\n")
    return files


def options(share: Any, named: dict[str, Path]) -> ConvertOptions:
    chosen = {name: str(named[name]) for name in ("layout", "mapping", "class_map", "policy")}
    return ConvertOptions(str(share.recordings), labels=str(share.label_file), **chosen)


def test_every_file_that_an_option_names_is_hashed_under_its_name(share: Any, named: dict[str, Path]) -> None:
    line = named_files(options(share, named), str(named["settings"]), "run-1")
    assert line == " ".join(f"{name}={sha256_of_file(path)}" for name, path in named.items())
    check_named_files(line, options(share, named), str(named["settings"]))


def test_of_a_folder_of_calibrations_each_file_counts(share: Any, tmp_path: Path) -> None:
    (tmp_path / "cameras" / "siteA").mkdir(parents=True)
    one, other = tmp_path / "cameras" / "north.yaml", tmp_path / "cameras" / "siteA" / "camera_calibration.yaml"
    one.write_text("any\n")
    other.write_text("any\n")
    asked = ConvertOptions(str(share.recordings), policy=f"{{calibration: {tmp_path / 'cameras'}}}")
    line = named_files(asked, "", "run-1")
    check_named_files(line, asked)
    other.write_text("any other\n")
    with pytest.raises(StorageError, match="policy.calibration .*start the run again"):
        check_named_files(line, asked)
    other.write_text("any\n")
    check_named_files(line, asked)
    one.rename(one.with_name("south.yaml"))
    with pytest.raises(StorageError, match="policy.calibration"):
        check_named_files(line, asked)


@pytest.mark.parametrize(
    "name",
    ["settings", "layout", "mapping", "class_map", "policy.keep_splits", "policy.calibration", "policy.report_cfg"],
)
def test_one_changed_byte_is_told_by_the_option(share: Any, named: dict[str, Path], name: str) -> None:
    settings = str(named["settings"])
    line = named_files(options(share, named), settings, "run-1")
    with named[name].open("ab") as file:
        file.write(b" ")
    assert named_files(options(share, named), settings, "run-1") != line
    with pytest.raises(StorageError, match=rf"^{name} \S*: expected SHA-256 .* start the run again") as caught:
        check_named_files(line, options(share, named), settings)
    assert "\n" not in str(caught.value)


def test_file_that_is_gone_or_new_is_told_too(share: Any, named: dict[str, Path]) -> None:
    plain = ConvertOptions(str(share.recordings), labels=str(share.label_file))
    line = named_files(options(share, named), "", "run-1")
    with pytest.raises(StorageError, match="class_map : expected SHA-256 .*, found none"):
        check_named_files(line, plain)
    with pytest.raises(StorageError, match="class_map .*: expected SHA-256 none as when the run began"):
        check_named_files("none", options(share, named))
    named["class_map"].unlink()
    with pytest.raises(StorageError, match=r"file not found: .*map\.yaml"):
        named_files(options(share, named), "", "run-1")


def test_text_and_names_of_our_own_are_no_files(share: Any) -> None:
    chosen = ConvertOptions(
        str(share.recordings), labels=str(share.label_file), layout="atm220-2021", policy="{leak_check: off}"
    )
    assert named_files(chosen, "min_confidence: 0.75\n", "run-1") == "none"


def test_policy_of_text_names_files_too(share: Any, named: dict[str, Path]) -> None:
    chosen = ConvertOptions(str(share.recordings), policy=f"{{keep_splits: {named['policy.keep_splits'].parent}}}")
    assert named_files(chosen, "", "run-1") == f"policy.keep_splits={sha256_of_file(named['policy.keep_splits'])}"


def exported(share: Any, folder: Path, to: str) -> Path:
    source = ExportOptions(str(share.recordings), labels=str(share.label_file), to=to, copy_pictures=True)
    export_labels(source, folder)
    return folder


def label_file(share: Any, tmp_path: Path) -> ConvertOptions:
    (found,) = exported(share, tmp_path / "files", "coco").rglob("*.json")
    return ConvertOptions(str(found))


def linked_pictures(share: Any, tmp_path: Path) -> ConvertOptions:
    folder = exported(share, tmp_path / "files", "coco")
    (folder / "images").rename(tmp_path / "pictures")
    (folder / "images").symlink_to(tmp_path / "pictures")
    return ConvertOptions(str(folder))


def listed_labels(share: Any, tmp_path: Path) -> ConvertOptions:
    folder = exported(share, tmp_path / "files", "yolo")
    return ConvertOptions(str(share.recordings), labels=str(next(folder.rglob("*.yaml"))))


@pytest.mark.parametrize("make", [label_file, linked_pictures, listed_labels])
def test_source_that_leads_elsewhere_is_of_this_run_alone(
    share: Any, tmp_path: Path, make: Callable[[Any, Path], ConvertOptions]
) -> None:
    """A listing does not show what it leads to, so no other run may be taken for it."""
    chosen = make(share, tmp_path)
    line = named_files(chosen, "", "run-1")
    assert line == "elsewhere=run-1"
    assert reads_elsewhere(line)
    check_named_files(line, chosen)
    with pytest.raises(OptionsError, match="run_id: expected the id of this run"):
        named_files(chosen, "", "{{$.pipeline_job_uuid}}")


@pytest.mark.parametrize("to", ["coco", "yolo"])
def test_folder_that_holds_all_of_its_pictures_is_keyed_by_its_content(share: Any, tmp_path: Path, to: str) -> None:
    chosen = ConvertOptions(str(exported(share, tmp_path / "files", to)))
    assert named_files(chosen, "", "run-1") == "none"
    wanted = ContentToMatch(ShareContent.of(take_snapshot(chosen.source)))
    assert (
        convert(chosen, tmp_path / "one", content=wanted).fingerprint == convert(chosen, tmp_path / "two").fingerprint
    )


def content(share: Any) -> ContentToMatch:
    return ContentToMatch(ShareContent.of(take_snapshot(share.recordings, labels=share.label_file)))


def plain(share: Any) -> ConvertOptions:
    return ConvertOptions(str(share.recordings), labels=str(share.label_file))


def test_recordings_that_came_later_change_nothing(share: Any, tmp_path: Path) -> None:
    wanted = content(share)
    before = convert(plain(share), tmp_path / "before", content=wanted)
    made_last(share.site("D", 7), share.root)
    after = convert(plain(share), tmp_path / "after", content=wanted)
    assert after.counts == before.counts
    assert "1 recordings newer than the snapshot left alone" in after.notes
    manifest = json.loads((tmp_path / "after" / "manifest.json").read_text())
    assert manifest["parent_fingerprint"] == wanted.content.fingerprint


def test_share_that_changed_makes_no_data_set(share: Any, tmp_path: Path) -> None:
    wanted = content(share)
    share.coco["annotations"][0]["bbox"][0] = 11.5  # as many bytes as before
    share.save()
    with pytest.raises(StorageError, match="and other content; start the run again"):
        convert(plain(share), tmp_path / "out", content=wanted)
    assert not (tmp_path / "out").exists()


def test_picture_that_came_later_to_a_data_set_is_refused(share: Any, tmp_path: Path) -> None:
    chosen = ConvertOptions(str(exported(share, tmp_path / "files", "yolo")))
    wanted = ContentToMatch(ShareContent.of(take_snapshot(chosen.source)))
    (tmp_path / "files" / "later.jpg").write_bytes(b"later")
    made_last(tmp_path / "files" / "later.jpg", tmp_path / "files")
    with pytest.raises(StorageError, match=r"later\.jpg came since the run began; start the run again"):
        convert(chosen, tmp_path / "out", content=wanted)


def test_picture_outside_of_what_was_fingerprinted_is_refused(share: Any, tmp_path: Path) -> None:
    chosen = label_file(share, tmp_path)
    fingerprinted = ShareContent.of(take_snapshot(chosen.source))
    with pytest.raises(DatasetError, match="lies outside of what was fingerprinted below"):
        convert(chosen, tmp_path / "out", content=ContentToMatch(fingerprinted))
    summary = convert(chosen, tmp_path / "out", content=ContentToMatch(fingerprinted, elsewhere=True))
    assert sum(summary.counts[f"{split}_images"] for split in ("train", "val", "test")) == 9


def test_recording_of_the_snapshot_that_is_being_written_is_not_left_out(
    share: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = share.recordings.rglob("20210901120100_0.h5")
    monkeypatch.setenv("HDF5_USE_FILE_LOCKING", "TRUE")
    program = "import h5py, sys; f = h5py.File(sys.argv[1], 'a'); print('open', flush=True); sys.stdin.readline()"
    writer = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "open\n"  # without a snapshot it would be left out
    try:
        with pytest.raises(RecordingInUseError, match="expected a complete recording, as in the snapshot"):
            convert(plain(share), tmp_path / "out", content=content(share))
    finally:
        writer.communicate("\n")
