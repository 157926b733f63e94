"""An odd recording is its own trouble: it is named with the reason, the others are read, and memory stays small."""

import json
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.helpers.odd_recordings import ODD, SCANS, write_good

from traffic_yolo.dataset.checks.check_options import CheckOptions
from traffic_yolo.dataset.checks.check_source import SourceCheck, check_source
from traffic_yolo.dataset.convert import ConvertSummary, convert
from traffic_yolo.dataset.folder.shards import Shard, convert_shard, merge_shards
from traffic_yolo.dataset.options import ConvertOptions, SourceChoice
from traffic_yolo.errors import DatasetError, RecordingError
from traffic_yolo.snapshot.snapshot import Totals, take_snapshot

LONG_AGO = 1_600_000_000  # what changed lately is taken to be unfinished
EXTRA_MIB = 256  # some times the largest data set that is read (64 MiB); the odd ones state up to 1 TiB
LENIENT = "{fail_on: never}"
GOOD = Path("20210901_siteA") / "20210901120000_0.h5"
PLACES = {case: Path(f"20210901_site{number}") / f"20210901{number:06d}_0.h5" for number, case in enumerate(ODD)}


@dataclass(frozen=True)
class Outcome:
    """What came of a share in which every odd recording lies beside a good one."""

    totals: Totals
    check: SourceCheck
    summary: ConvertSummary
    folder: Path
    extra_mib: float

    @cached_property
    def findings(self) -> list[dict[str, str]]:
        """Of the conversion."""
        report = json.loads((self.folder / "report.json").read_text())
        found: list[dict[str, str]] = report["findings"]["checks"]["findings"]
        return found

    def pictures(self, recording: Path) -> list[Path]:
        """Those that the conversion wrote of a recording."""
        return sorted((self.folder / "images" / recording.stem).glob("*.jpg"))


def read_all(share: Path, folder: Path) -> Outcome:
    """Snapshot, check and conversion of a share, and the memory that they took on top: numpy's and HDF5's own."""
    for path in share.rglob("*.h5"):
        os.utime(path, (LONG_AGO, LONG_AGO))
    before = _memory_mib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    totals = take_snapshot(str(share), jobs=1).totals
    check = check_source(SourceChoice(str(share)), CheckOptions())
    summary = convert(options(share, policy=LENIENT), folder)
    return Outcome(totals, check, summary, folder, _memory_mib("VmHWM") - before)


def _memory_mib(key: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(re.findall(rf"{key}:\s+(\d+)", status)[0]) / 1024


def options(share: Path, **more: Any) -> ConvertOptions:
    # The sites of the odd ones have to be in the train split, for nothing there is labelled by humans
    return ConvertOptions(source=str(share), device_labels="train", **more)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    root = tmp_path_factory.mktemp("odd")
    write_good(root / "share" / GOOD)
    for number, (case, odd) in enumerate(ODD.items(), start=1):
        odd.change(write_good(root / "share" / PLACES[case], seed=number))
    return read_all(root / "share", root / "out")


@pytest.mark.parametrize("case", ODD)
def test_an_odd_recording_is_named_with_the_reason_and_its_other_scans_are_read(outcome: Outcome, case: str) -> None:
    odd, place = ODD[case], PLACES[case]
    counted = dict(outcome.totals.unreadable)
    assert (place.as_posix() in counted) == odd.counted
    assert not odd.counted or odd.words in counted[place.as_posix()]
    for findings in (outcome.findings, [finding.to_json() for finding in outcome.check.findings]):
        ours = [finding for finding in findings if place.name in finding["file"] and finding["severity"] == "error"]
        assert [odd.words in f"expected {one['expected']}, found {one['found']}" for one in ours] == [True], ours
        assert all(text.isprintable() for one in ours for text in one.values())
    assert len(outcome.pictures(place)) == odd.scans
    assert not any(b"root:" in path.read_bytes() for path in outcome.pictures(place))


def test_a_good_recording_among_odd_ones_is_read_whole_and_memory_stays_small(outcome: Outcome) -> None:
    assert len(outcome.pictures(GOOD)) == SCANS
    assert outcome.totals.recordings == len(ODD) + 1
    assert outcome.totals.frames == SCANS * (1 + sum(not odd.counted for odd in ODD.values()))
    assert not any(GOOD.name in finding["file"] for finding in outcome.findings)
    assert outcome.extra_mib < EXTRA_MIB


def test_the_notes_of_a_conversion_name_the_first_of_what_was_left_out(outcome: Outcome) -> None:
    lines = [note for note in outcome.summary.notes if note.startswith("left out: ")]
    assert len(lines) == 21
    assert lines[-1] == f"left out: {len(ODD) - 20} more that cannot be read"


@pytest.mark.parametrize(("case", "error"), [("no HDF5", RecordingError), ("external storage", DatasetError)])
def test_fail_on_decides_whether_an_odd_recording_fails_the_conversion(
    tmp_path: Path, case: str, error: type[Exception]
) -> None:
    share = tmp_path / "share"
    write_good(share / GOOD)
    ODD[case].change(write_good(share / PLACES[case], seed=2))
    for path in share.rglob("*.h5"):
        os.utime(path, (LONG_AGO, LONG_AGO))
    with pytest.raises(error, match=rf"checks failed: .*{PLACES[case].name}.*: error: ") as refusal:
        convert(options(share), tmp_path / "out")
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "out").exists()
    softer = "{check_severities: 'unreadable-file=warning,unreadable-picture=warning'}"
    notes = convert(options(share, policy=softer), tmp_path / "out").notes
    assert any(re.fullmatch(r"check unreadable-(file|picture): 1 warning", note) for note in notes)


def test_shards_name_what_cannot_be_read_as_a_single_run_does(tmp_path: Path) -> None:
    share = tmp_path / "share"
    write_good(share / GOOD)
    for number, case in enumerate(("group for a picture", "no HDF5"), start=1):
        ODD[case].change(write_good(share / PLACES[case], seed=number))
    for path in share.rglob("*.h5"):
        os.utime(path, (LONG_AGO, LONG_AGO))
    chosen = options(share, policy=LENIENT)
    single = convert(chosen, tmp_path / "single")
    for index in range(2):
        convert_shard(chosen, tmp_path / f"{index}", Shard(index, 2))
    merged = merge_shards([tmp_path / "0", tmp_path / "1"], tmp_path / "merged")
    assert merged.notes == single.notes
    assert sum(note.startswith("left out: ") for note in merged.notes) == 2
    assert (tmp_path / "merged/report.json").read_bytes() == (tmp_path / "single/report.json").read_bytes()


def test_labels_of_a_recording_that_is_left_out_are_counted(share: Any, tmp_path: Path) -> None:
    broken = share.site("D", 3)
    for scan in range(2):
        share.label(broken, scan, [])
    share.save()
    broken.write_bytes(b"no recording" * 99)
    os.utime(broken, (LONG_AGO, LONG_AGO))
    chosen = ConvertOptions(source=str(share.recordings), labels=str(share.label_file), policy=LENIENT)
    notes = convert(chosen, tmp_path / "out").notes
    assert "labels of 2 frames of recordings that cannot be read left out" in notes


@pytest.mark.long
def test_bytes_changed_at_random_never_lose_the_good_recording(tmp_path: Path) -> None:
    share = tmp_path / "share"
    write_good(share / GOOD)
    random = np.random.default_rng(0)
    for number in range(60):
        path = write_good(share / f"20210901_site{number}" / f"20210901{number:06d}_0.h5", seed=number)
        data = bytearray(path.read_bytes())
        for place in random.integers(8, len(data), 40):
            data[place] = random.integers(256)
        path.write_bytes(data)
    outcome = read_all(share, tmp_path / "out")
    assert len(outcome.pictures(GOOD)) == SCANS
    assert outcome.totals.recordings == 61
    assert outcome.extra_mib < EXTRA_MIB
