"""Inspecting unknown recordings: odd conventions are recognised, and the drafted layout reads the file."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from traffic_yolo.atm.inspection.box_spaces import CONVENTIONS, rank_box_spaces, to_xyxy
from traffic_yolo.atm.inspection.draft import draft_layout
from traffic_yolo.atm.inspection.inspect import Inspection, Kind, inspect_recordings
from traffic_yolo.atm.inspection.page import inspection_dict, inspection_html, inspection_text
from traffic_yolo.atm.layouts import read_layout
from traffic_yolo.atm.recording import Recording
from traffic_yolo.cli import traffic_yolo
from traffic_yolo.errors import RecordingError

PICTURE_WH = (960, 540)


@cache
def jpeg(seed: int) -> bytes:
    cells = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return bytes(cv2.imencode(".jpg", cv2.resize(cells, PICTURE_WH))[1].tobytes())


def traffic(scans: int, seed: int = 0) -> list[NDArray[np.float64]]:
    """Boxes (n, 4) of each scan as left, top, right, bottom in shares of the picture: what is lower is larger."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(scans):
        rows = []
        for lane in rng.permutation(6)[: rng.integers(2, 7)]:
            bottom = rng.uniform(0.35, 1.12)
            height = (bottom - 0.25) * rng.uniform(0.25, 0.45)
            width = height * 9 / 16 * rng.uniform(0.9, 1.6)
            left = (lane + rng.uniform(-0.3, 0.7)) / 6 * (1 - width)
            rows.append((left, bottom - height, left + width, bottom))
        # What leaves the picture is cut at its edge
        found.append(np.clip(np.array(rows), 0, 1))
    return found


def in_convention(xyxy: NDArray[np.float64], convention: str, space_wh: tuple[int, int]) -> NDArray[np.float64]:
    """(n, 4) columns of boxes under a convention."""
    left, top, right, bottom = (xyxy * np.tile(space_wh, 2)).T
    places, anchor = CONVENTIONS[convention]
    values = {
        "top_left": (left, top, right - left, bottom - top),
        "centre": ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top),
        "corners": (left, top, right, bottom),
    }[anchor]
    four = np.zeros((len(xyxy), 4))
    for value, place in zip(values, places, strict=True):
        four[:, place] = value
    return four


@pytest.mark.many(15)
@pytest.mark.parametrize("space_wh", [(640, 480), (1024, 576), (1, 1), (608, 608), PICTURE_WH], ids=str)
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_every_convention_is_recognised_in_every_space(convention: str, space_wh: tuple[int, int]) -> None:
    scans = [in_convention(boxes, convention, space_wh) for boxes in traffic(60)]
    best = rank_box_spaces(scans, ("c0", "c1", "c2", "c3"), PICTURE_WH)[0]
    assert (best.convention, best.space_wh) == (convention, space_wh)
    assert best.inside > 0.99
    assert best.is_picture is (space_wh == PICTURE_WH)


@pytest.mark.parametrize("space_wh", [(640, 480), (1024, 576)], ids=str)
def test_boxes_cut_at_the_far_edges_tell_the_space_where_one_side_of_the_road_is_empty(
    space_wh: tuple[int, int],
) -> None:
    """A larger space would have as much room on its right as this one has on its left."""
    scans = [boxes[boxes[:, 0] > 0.3] for boxes in traffic(60)]
    best = rank_box_spaces([boxes * np.tile(space_wh, 2) for boxes in scans], ("a", "b", "c", "d"), PICTURE_WH)[0]
    assert (best.convention, best.space_wh) == ("x1, y1, x2, y2", space_wh)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_conventions_are_read_back(convention: str) -> None:
    (boxes,) = traffic(1)
    np.testing.assert_allclose(
        to_xyxy(in_convention(boxes, convention, (10, 20)), convention), boxes * (10, 20, 10, 20)
    )


def test_boxes_are_found_among_other_columns() -> None:
    rng = np.random.default_rng(1)
    scans = []
    for boxes in traffic(60):
        n = len(boxes)
        other = np.stack([np.arange(n), rng.integers(0, 5, n), rng.uniform(0, 1, n)], axis=1)
        later = np.stack(
            [rng.normal(0, 9, n), rng.uniform(10, 80, n), rng.normal(0, 9, n), rng.normal(0, 3, n)], axis=1
        )
        scans.append(np.concatenate([other, in_convention(boxes, "x, y, w, h", (1024, 576)), later], axis=1))
    best = rank_box_spaces(scans, [f"c{i}" for i in range(11)], PICTURE_WH)[0]
    assert best.columns == ("c3", "c4", "c5", "c6")
    assert (best.convention, best.space_wh) == ("x, y, w, h", (1024, 576))


def test_too_few_boxes_tell_nothing() -> None:
    assert rank_box_spaces(traffic(1)[:1], "abcd", PICTURE_WH) == []
    assert rank_box_spaces([], "abcd", PICTURE_WH) == []


class Unknown:
    """Writes recordings of a layout that nobody has described."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.truth: list[NDArray[np.float64]] = []

    def write(
        self, name: str = "cam7_001.h5", *, scans: int = 40, convention: str = "cx, cy, w, h",
        space_wh: tuple[int, int] = (608, 608), change: Callable[[Any, int], None] | None = None, parent: str = "",
        missing: frozenset[int] = frozenset(), padded: int = 0,
    ) -> Path:  # fmt: skip
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(4)
        with h5py.File(path, "w") as file:
            top = file.create_group(parent) if parent else file
            for number, boxes in enumerate(traffic(scans, seed=9)):
                if number in missing:
                    continue
                group = top.create_group(f"frame_{number:06d}")
                group["jpg"] = np.frombuffer(jpeg(number), np.uint8)
                four = in_convention(boxes, convention, space_wh)
                lead = np.stack([rng.uniform(0.3, 0.99, len(boxes)), rng.integers(0, 4, len(boxes))], axis=1)
                table = np.concatenate([lead, four], axis=1).astype(np.float32)
                if padded:
                    table = np.concatenate([table, np.zeros((padded, 6), np.float32)])
                group["dets"] = table
                self.truth.append(boxes)
                if change is not None:
                    change(group, number)
        return path


@pytest.fixture
def unknown(tmp_path: Path) -> Unknown:
    return Unknown(tmp_path / "nas" / "somewhere")


def only_kind(inspection: Inspection) -> Kind:
    (kind,) = inspection.kinds
    return kind


@pytest.mark.many(3)
@pytest.mark.parametrize("convention", [name for name, (_, anchor) in CONVENTIONS.items() if anchor != "corners"])
def test_the_drafted_layout_reads_the_boxes_back(unknown: Unknown, tmp_path: Path, convention: str) -> None:
    path = unknown.write(convention=convention, padded=3)
    kind = only_kind(inspect_recordings(path))
    assert kind.layout == ""
    draft = draft_layout(kind, name="cam7")
    (tmp_path / "cam7.yaml").write_text(draft)
    layout = read_layout(tmp_path / "cam7.yaml")
    with Recording(path, layout) as recording:
        assert len(recording.scan_numbers) == 40
        for scan, boxes in zip(recording.scans(), unknown.truth, strict=True):
            found = np.array([detection.xywh for detection in scan.detections])
            expected = boxes * np.tile(PICTURE_WH, 2)
            expected[:, 2:] -= expected[:, :2]
            np.testing.assert_allclose(found, expected, atol=0.01)
            assert all(0.3 <= detection.confidence <= 0.99 for detection in scan.detections)
            assert scan.image_wh == PICTURE_WH
    assert "GUESS" in draft


def test_what_is_in_the_file_is_said(unknown: Unknown) -> None:
    unknown.write(missing=frozenset({3, 10, 11}), padded=2)
    inspection = inspect_recordings(unknown.folder)
    kind = only_kind(inspection)
    assert kind.sample.scan_pattern == r"frame_(?P<number>\d{6,})"
    assert [(first, last) for _, first, last in kind.gaps] == [(3, 3), (10, 11)]
    assert kind.pictures.size_wh == PICTURE_WH
    assert kind.sample.data_sets["dets"].padded
    assert set(kind.classes["dets"]["c1"]) == {0.0, 1.0, 2.0, 3.0}
    reasons = {fit.name: " ".join(fit.reasons) for fit in kind.fits}
    assert "scans are called like frame_000000" in reasons["atm220-2021"]
    assert "no data set AI" in reasons["atm220-2021"]
    text = inspection_text(inspection)
    for words in (
        "unknown layout",
        "3 scan numbers missing in 2 places",
        "cx, cy, w, h in 608x608",
        "c1: 0 to 3, whole",
    ):
        assert words in text, text
    assert json.dumps(inspection_dict(inspection))
    page = inspection_html(inspection)
    assert "Draft of a layout" in page
    assert "(?P&lt;number&gt;" in page


def epoch_ms(group: Any, number: int) -> None:
    group.attrs["timestamp_ms"] = 1_714_550_000_000 + number * 80


def status_text(group: Any, number: int) -> None:
    text = json.dumps({"gps": {"latitude": 1.0}, "time": f"2024-05-01T12:00:{number * 0.1:09.6f}"})
    group["state"] = np.frombuffer(text.encode(), np.uint8)


def seconds(group: Any, number: int) -> None:
    group["time"] = np.float64(5 + number / 12.5)


def microseconds(group: Any, number: int) -> None:
    group["ts"] = np.int64(40_000 * number)


@pytest.mark.parametrize(
    ("change", "hz", "words"),
    [
        (epoch_ms, 12.5, "@timestamp_ms (milliseconds)"),
        (status_text, 10.0, "state.time (seconds)"),
        (seconds, 12.5, "time (seconds, by the step)"),
        (microseconds, 25.0, "ts (microseconds, by the step)"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_frame_rate_is_found_wherever_the_time_is(
    unknown: Unknown, change: Callable[[Any, int], None], hz: float, words: str
) -> None:
    kind = only_kind(inspect_recordings(unknown.write(scans=12, change=change, missing=frozenset({5}))))
    assert kind.rate.hz == pytest.approx(hz, rel=1e-3)
    assert kind.rate.source == words


def test_start_times_in_names_give_a_lower_bound_and_nothing_gives_no_rate(unknown: Unknown) -> None:
    assert only_kind(inspect_recordings(unknown.write("x.h5", scans=10))).rate.hz == 0
    (unknown.folder / "x.h5").unlink()
    for start in ("120000", "120010", "120020"):
        unknown.write(f"20240501{start}_1.h5", scans=10)
    rate = only_kind(inspect_recordings(unknown.folder)).rate
    assert rate.hz == pytest.approx(1.0)
    assert rate.is_least


def break_some(group: Any, number: int) -> None:
    if number in (4, 7):
        data = group["jpg"][()]
        del group["jpg"]
        group["jpg"] = data[:500] if number == 4 else np.frombuffer(b"nothing of the kind", np.uint8)
    if number == 9:
        del group["jpg"]


def test_broken_and_absent_pictures_are_counted_and_named(unknown: Unknown) -> None:
    pictures = only_kind(inspect_recordings(unknown.write(scans=12, change=break_some))).pictures
    assert (pictures.count, pictures.broken, pictures.absent) == (11, 2, 1)
    assert "frame_000004: JPEG is cut off" in pictures.examples[0]
    assert "frame_000007: not a JPEG" in pictures.examples[1]


def test_kinds_are_told_apart_and_unreadable_files_named(unknown: Unknown) -> None:
    unknown.write("a.h5", scans=12)
    unknown.write("b.h5", scans=10)
    unknown.write("c.h5", scans=12, parent="log")
    (unknown.folder / "d.h5").write_bytes(b"no HDF5")
    (unknown.folder / "notes.txt").write_text("x")
    inspection = inspect_recordings(unknown.folder)
    assert [len(kind.files) for kind in inspection.kinds] == [2, 1]
    assert inspection.kinds[1].sample.parent == "log"
    assert draft_layout(inspection.kinds[1]) == ""
    assert "below the group log" in inspection_text(inspection)
    assert "d.h5: not an HDF5 file" in inspection.unreadable[0]
    assert inspection.others == {".txt": 1}


def test_only_some_scans_are_read_where_there_are_many(unknown: Unknown) -> None:
    kind = only_kind(inspect_recordings(unknown.write(scans=40), max_scans=10))
    assert (kind.scans, kind.sample.looked_at) == (40, 10)


def test_a_file_without_scans_is_described_too(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        file["matrix"] = np.zeros((3, 3))
    kind = only_kind(inspect_recordings(tmp_path / "odd.h5"))
    assert kind.sample.names == ()
    assert "no groups that look like scans" in inspection_text(Inspection(tmp_path, [kind]))


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="is not there"):
        inspect_recordings(tmp_path / "none")


def command(*arguments: str) -> Any:
    return CliRunner().invoke(traffic_yolo, ["atm", "inspect", *arguments])


def test_command_writes_text_json_page_and_draft(unknown: Unknown, tmp_path: Path) -> None:
    unknown.write()
    files = {name: tmp_path / f"out.{name}" for name in ("json", "html", "draft")}
    flags = {"json": "--json-file", "html": "--html", "draft": "--draft"}
    done = command(str(unknown.folder), *(word for name, path in files.items() for word in (flags[name], str(path))))
    assert done.exit_code == 0, done.output
    assert "unknown layout" in done.output
    assert json.loads(files["json"].read_text())["kinds"][0]["detections"] == "dets"
    assert read_layout(files["draft"]).name == "unknown"
    again = command(str(unknown.folder), "--layout", str(files["draft"]))
    assert "layout unknown" in again.output
    assert "unknown: fits" in again.output


@pytest.mark.long
def test_real_recordings_are_recognised_with_their_box_spaces(reference: Path) -> None:
    inspection = inspect_recordings(reference / "traffic" / "recordings", max_files=9)
    found = {kind.layout: kind for kind in inspection.kinds}
    assert {name: len(kind.files) for name, kind in found.items()} == {"atm220-2021": 3, "atm-2024": 2}
    old, new = found["atm220-2021"].boxes["AI"][0], found["atm-2024"].boxes["Vision_object"][0]
    assert (old.convention, old.space_wh) == ("h, w, x, y", (640, 480))
    assert (new.convention, new.space_wh) == ("x, y, w, h", (1024, 576))
    assert min(old.inside, new.inside) > 0.99
    assert sum(kind.pictures.broken for kind in inspection.kinds) == 0
    assert sum(kind.scans for kind in inspection.kinds) == 116
