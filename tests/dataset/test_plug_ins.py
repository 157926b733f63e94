"""Policies through a whole conversion: what they do to the data set, and what its report says of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest

from traffic_yolo.dataset.convert import ConvertSummary, convert
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.dataset.splits.pins import read_pins
from traffic_yolo.errors import DatasetError, OptionsError


def run(share: Any, out: Path, policy: dict[str, Any] | None = None, **options: Any) -> ConvertSummary:
    text = json.dumps(policy) if policy else ""
    labels = {"labels": str(share.label_file)}
    return convert(ConvertOptions(source=str(share.recordings), policy=text, **(labels | options)), out)


def report(out: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((out / "report.json").read_text())
    return loaded


def coco(out: Path) -> list[dict[str, Any]]:
    files = [json.loads((out / "annotations" / f"instances_{s}.json").read_text()) for s in ("train", "val", "test")]
    return [annotation for file in files for annotation in file["annotations"]]


def scene(seed: int) -> bytes:
    cells = np.random.default_rng(seed).integers(20, 235, (5, 8, 3), dtype=np.uint8)
    return bytes(cv2.imencode(".jpg", cv2.resize(cells, (96, 72)))[1].tobytes())


def repaint(share: Any, seed_of: Callable[[int, int], int]) -> None:
    """Gives every scan a picture of the scene that `seed_of` (recording index, scan number) names."""
    for index, path in enumerate(sorted(share.recordings.rglob("*.h5"))):
        with h5py.File(path, "a") as file:
            for name in file:
                del file[name]["Image"]
                file[name]["Image"] = np.frombuffer(scene(seed_of(index, int(name[-5:]))), np.uint8)


def test_a_picture_in_two_splits_fails_the_conversion_by_name_and_leaves_nothing(share: Any, tmp_path: Path) -> None:
    repaint(share, lambda recording, scan: 7 if scan == 1 else 100 * recording + scan)
    with pytest.raises(DatasetError, match=r"the splits leak: .*SCAN_00001\.jpg \(\w+\) and .*SCAN_00001\.jpg"):
        run(share, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    summary = run(share, tmp_path / "reported", {"leak_check": "report"})
    assert "leak check: 3 leaks between splits" in summary.notes
    found = report(tmp_path / "reported")["findings"]["pictures"]["leaks"]
    assert found["num_leaks"] == 3
    assert {leak["distance"] for leak in found["leaks"]} == {0}
    page = (tmp_path / "reported" / "report.html").read_text()
    assert page.count("<img") == 6 + 9  # both pictures of each pair, and the samples of three splits
    run(share, tmp_path / "off", {"leak_check": "off"})
    assert "leaks" not in report(tmp_path / "off")["findings"]["pictures"]


def test_splitting_by_picture_where_recordings_are_known_is_the_user_s_own_choice(share: Any, tmp_path: Path) -> None:
    summary = run(share, tmp_path / "out", {"split_level": "picture"})
    assert sum(count for name, count in summary.counts.items() if name.endswith("_images")) == 9


def test_splits_are_remembered_and_kept(share: Any, tmp_path: Path, make_share: Callable[[str], Any]) -> None:
    run(share, tmp_path / "one", val_sites="A", test_sites="C")
    assert read_pins(tmp_path / "one").splits == {"A": "val", "B": "train", "C": "test"}
    for number, name in enumerate("DEFGH", start=10):
        recording = share.site(name, number)
        share.label(recording, 0, [(3, [10, 10, 20, 20])])
    share.save()
    run(share, tmp_path / "two", {"keep_splits": str(tmp_path / "one")})
    later = read_pins(tmp_path / "two").splits
    assert {name: later[name] for name in "ABC"} == {"A": "val", "B": "train", "C": "test"}
    assert set(later) == set("ABCDEFGH")


def test_thinned_frames_are_gone_and_counted(share: Any, tmp_path: Path) -> None:
    summary = run(share, tmp_path / "out", {"thin_gap_s": 0.1})
    assert sum(count for name, count in summary.counts.items() if name.endswith("_images")) == 6
    left_out = report(tmp_path / "out")["left_out"]
    assert left_out == {"pictures thinned: less than 0.1 s after the last that was kept": 3}
    assert "less than 0.1 s" in (tmp_path / "out" / "report.html").read_text()


def test_negatives_are_limited_over_the_whole_set(share: Any, tmp_path: Path) -> None:
    recording = share.site("A", 9, frames=12)
    for scan in range(12):
        share.label(recording, scan, [])
    share.save()
    summary = run(share, tmp_path / "out", {"max_negatives": 0.25}, val_sites="B", test_sites="C")
    assert summary.counts["train_images"] == 3 + 1
    assert len(list((tmp_path / "out" / "images").rglob("*.jpg"))) == 10


@pytest.mark.parametrize(
    "wrong",
    [{"max_negatives": -0.5}, {"thin_gap_s": -1.0}, {"thin_distance": 99}, {"check_severities": "odd=off"}],
    ids=str,
)
def test_a_senseless_policy_is_refused_before_anything_is_read(
    share: Any, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    with pytest.raises(OptionsError):
        run(share, tmp_path / "out", wrong)
    assert not (tmp_path / "out").exists()


def test_tiny_boxes_stay_in_coco_with_their_reason(share: Any, tmp_path: Path) -> None:
    share.annotation(image_id=1, category_id=3, bbox=[50, 50, 3, 3])
    run(share.save(), tmp_path / "out", {"network_width": 96, "network_height": 72, "min_box_px": 4})
    tiny = [annotation for annotation in coco(tmp_path / "out") if annotation["ignore"]]
    assert [annotation["bbox"] for annotation in tiny] == [[50.0, 50.0, 3.0, 3.0]]
    assert tiny[0]["attributes"]["ignore_reason"] == "tiny: 3.0x3.0 network pixels"
    assert report(tmp_path / "out")["ignored_by_reason"] == {"tiny": 1}


def test_checks_see_the_boxes_as_the_source_has_them(share: Any, tmp_path: Path) -> None:
    share.annotation(image_id=1, category_id=3, bbox=[90, 60, 20, 20])
    share.annotation(image_id=2, category_id=3, bbox=[40, 20, 30.5, 40])
    summary = run(share.save(), tmp_path / "out")
    counts = report(tmp_path / "out")["findings"]["checks"]["by_check"]
    assert counts["sticks-out"] == {"severity": "warning", "count": 1}
    assert counts["two-classes"] == {"severity": "warning", "count": 1}
    assert "check sticks-out: 1 warning" in summary.notes
    first = report(tmp_path / "out")["findings"]["checks"]["findings"][0]
    assert first["file"] == str(share.label_file)
    assert "clamped by 14.0 px" in json.dumps(report(tmp_path / "out")["findings"]["checks"])


def test_sizes_are_compared_over_the_whole_set(share: Any, tmp_path: Path) -> None:
    recording = share.site("A", 9, frames=40)
    for scan in range(40):
        share.label(recording, scan, [(3, [30, 20 + scan % 3, 12, 10])])
    share.label(share.site("A", 8, frames=1), 0, [(3, [10, 5, 70, 60])])
    run(share.save(), tmp_path / "out")
    assert report(tmp_path / "out")["findings"]["checks"]["by_check"]["size-outlier"]["count"] >= 1


def test_findings_fail_the_conversion_from_the_severity_that_is_asked_for(share: Any, tmp_path: Path) -> None:
    share.annotation(image_id=1, category_id=3, bbox=[90, 60, 20, 20])
    share.save()
    with pytest.raises(DatasetError, match=r"checks failed: .*labels\.json .*: warning: .*clamped by .*\[sticks-out\]"):
        run(share, tmp_path / "out", {"fail_on": "warning"})
    with pytest.raises(DatasetError, match=r"checks failed: .*: error: .*\[sticks-out\]"):
        run(share, tmp_path / "out", {"check_severities": "sticks-out=error"})
    assert not (tmp_path / "out").exists()


def test_a_picture_damaged_in_the_middle_is_found_by_decoding_it(share: Any, tmp_path: Path) -> None:
    (path,) = share.recordings.rglob("20210901120100_0.h5")
    with h5py.File(path, "a") as file:
        data = np.array(file["SCAN_00001"]["Image"][()])
        start = bytes(data).index(b"\xff\xc0")
        data[start + 9] = 0  # no colour components
        del file["SCAN_00001"]["Image"]
        file["SCAN_00001"]["Image"] = data
    with pytest.raises(DatasetError, match=r"20210901120100_0/SCAN_00001.*\[unreadable-picture\]"):
        run(share, tmp_path / "out")


@pytest.mark.long
def test_a_conversion_is_the_same_every_time_under_any_policy(share: Any, tmp_path: Path) -> None:
    policy = {"thin_distance": 3, "thin_rare_boxes": 2, "split_method": "balanced", "max_negatives": 0.5}
    for name in ("one", "two"):
        run(share, tmp_path / name, policy)
    for name in ("manifest.json", "report.html", "report.json", "splits.yaml"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert json.loads((tmp_path / "one" / "manifest.json").read_text())["policy"] == policy
