"""Regions of interest: which boxes count by their feet, and that no box is lost or taken by mistake."""

import json
from pathlib import Path
from typing import Any

import pytest
from small_shares import HEIGHT, WIDTH, Share

from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.dataset.records import Annotation, Frame
from traffic_yolo.dataset.regions import OUTSIDE, WITHIN, RegionMasks
from traffic_yolo.dataset.report.tiny_boxes import REASON
from traffic_yolo.errors import OptionsError

TRIANGLE = "[[0, 100], [100, 100], [100, 0]]"  # below the diagonal from lower left to upper right


def masks(tmp_path: Path, text: str) -> RegionMasks:
    (tmp_path / "regions.yaml").write_text(text)
    return RegionMasks.read(tmp_path / "regions.yaml")


def frame(*feet: tuple[float, float], site: str = "A", camera: str = "", wh: tuple[int, int] = (100, 100)) -> Frame:
    """Boxes of 10 x 20 that stand on these points."""
    boxes = tuple(Annotation("CAR", (x - 5, y - 20, 10, 20), attributes={"track": 3}) for x, y in feet)
    return Frame("r", "SCAN_00000", *wh, boxes, lambda: b"", site=site, camera=camera)


def reasons(changed: Frame) -> list[str]:
    assert all(a.ignore == bool(a.attributes.get(REASON)) for a in changed.annotations)
    return [str(a.attributes.get(REASON, "")) for a in changed.annotations]


def test_the_foot_decides_and_the_edge_counts(tmp_path: Path) -> None:
    of_a = masks(tmp_path, f"regions: [{{site: A, image_wh: [100, 100], inside: {TRIANGLE}}}]")
    # x + y >= 100 is inside; the first box's centre (60, 41) is outside of it, its foot on the edge
    changed = of_a.change(frame((50, 50), (49, 50), (90, 90), (50, 100)))
    assert reasons(changed) == ["", OUTSIDE, "", ""]
    assert changed.annotations[1].attributes == {"track": 3, REASON: OUTSIDE}
    assert [a.xywh for a in changed.annotations] == [
        a.xywh for a in frame((50, 50), (49, 50), (90, 90), (50, 100)).annotations
    ]


def test_points_are_scaled_to_pictures_of_the_same_shape_and_refused_for_others(tmp_path: Path) -> None:
    of_a = masks(tmp_path, f"regions: [{{site: A, image_wh: [100, 100], inside: {TRIANGLE}}}]")
    assert reasons(of_a.change(frame((100, 100), (98, 100), wh=(200, 200)))) == ["", OUTSIDE]
    with pytest.raises(OptionsError, match="site A: expected pictures of the shape of 100x100, found 200x100"):
        of_a.change(frame((50, 50), wh=(200, 100)))


def test_ignored_areas_lie_within(tmp_path: Path) -> None:
    square = "[[60, 60], [80, 60], [80, 80], [60, 80]]"
    both = masks(tmp_path, f"regions: [{{site: A, image_wh: [100, 100], inside: {TRIANGLE}, ignored: [{square}]}}]")
    assert reasons(both.change(frame((70, 70), (90, 70), (10, 10)))) == [WITHIN, "", OUTSIDE]
    alone = masks(tmp_path, f"regions: [{{site: A, image_wh: [100, 100], ignored: [{square}]}}]")
    assert reasons(alone.change(frame((70, 70), (90, 70), (10, 20)))) == [WITHIN, "", ""]


def test_a_camera_s_own_region_goes_before_its_site_s_and_others_have_none(tmp_path: Path) -> None:
    everything, nothing = "[[0, 0], [100, 0], [100, 100], [0, 100]]", "[[0, 0], [1, 0], [1, 1]]"
    several = masks(
        tmp_path,
        f"regions: [{{site: A, image_wh: [100, 100], inside: {everything}}},"
        f" {{site: A, camera: one, image_wh: [100, 100], inside: {nothing}}}]",
    )
    assert reasons(several.change(frame((50, 50)))) == [""]
    assert reasons(several.change(frame((50, 50), camera="one"))) == [OUTSIDE]
    other = frame((50, 50), site="B", camera="one")
    assert several.change(other) is other


def test_what_does_not_count_already_stays_as_it_is(tmp_path: Path) -> None:
    of_a = masks(tmp_path, f"regions: [{{site: A, image_wh: [100, 100], inside: {TRIANGLE}}}]")
    crowd = Annotation("CAR", (1, 1, 5, 5), is_crowd=True)
    ignored = Annotation("CAR", (1, 1, 5, 5), ignore=True)
    before = Frame("r", "s", 100, 100, (crowd, ignored), lambda: b"", site="A")
    assert of_a.change(before) is before


def test_a_conversion_ignores_counts_and_names_regions_that_nothing_is_of(share: Share, tmp_path: Path) -> None:
    # Each picture has a car that stands on (20.5, 24.25) and a bus on (55.25, 60)
    lower = f"[[0, 30], [{WIDTH}, 30], [{WIDTH}, {HEIGHT}], [0, {HEIGHT}]]"
    (tmp_path / "regions.yaml").write_text(
        f"regions: [{{site: A, image_wh: [{WIDTH}, {HEIGHT}], inside: {lower}}},"
        f" {{site: X, image_wh: [{WIDTH}, {HEIGHT}], inside: {lower}}}]"
    )
    options = ConvertOptions(
        source=str(share.recordings),
        labels=str(share.label_file),
        splits="none",
        policy=f"{{regions: {tmp_path / 'regions.yaml'}}}",
    )
    summary = convert(options, tmp_path / "out")
    content: dict[str, Any] = json.loads((tmp_path / "out/annotations/instances_all.json").read_text())
    site_of = {image["id"]: image["site"] for image in content["images"]}
    ignored = [(site_of[a["image_id"]], a["bbox"][0]) for a in content["annotations"] if a["ignore"]]
    assert ignored == [("A", 10.5)] * 3
    assert len(content["annotations"]) == 18
    assert f"region of site A: 3 pictures, boxes {OUTSIDE} 3, {WITHIN} 0: ignored" in summary.notes
    assert "region of site X: NO picture is of it" in summary.notes
    assert "6 pictures have no region of interest (sites: B, C)" in summary.notes
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["ignored_by_reason"] == {OUTSIDE: 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("regions: []", "regions: expected a list of one or more, found "),
        ("regions: [{site: A}]\nmore: 1", "unknown key 'more'; known: regions"),
        ("regions: [{image_wh: [9, 9], inside: [[0, 0], [1, 0], [1, 1]]}]", "regions.0.: expected a site or a camera"),
        (
            "regions: [{site: A, image_wh: [9, 0], inside: [[0, 0], [1, 0], [1, 1]]}]",
            "image_wh: expected .width, height",
        ),
        ("regions: [{site: A, image_wh: [9, 9]}]", "expected 'inside' or 'ignored', found neither"),
        ("regions: [{site: A, image_wh: [9, 9], inside: [[0, 0], [1, 0]]}]", "inside: expected three points"),
        (
            "regions: [{site: A, image_wh: [9, 9], inside: [[0, 0], [1, .nan], [1, 1]]}]",
            "'.nan' is not finite",
        ),
        ("regions: [{site: A, image_wh: [9, 9], inside: [[0, 0], [1, 1], [2, 2]]}]", "points on one line"),
        ("regions: [{site: A, image_wh: [9, 9], ignored: [[[0, 0], [1, 0]]]}]", "ignored.0.: expected three points"),
        ("regions: [{site: 7, image_wh: [9, 9], inside: [[0, 0], [1, 0], [1, 1]]}]", "site: expected a text, found 7"),
        (
            "regions: [{site: A, polygon: [], image_wh: [9, 9]}]",
            "regions.0.: unknown key 'polygon'; known: site, camera",
        ),
        (
            "regions: [{site: A, image_wh: [9, 9], inside: [[0, 0], [1, 0], [1, 1]]},"
            " {site: A, image_wh: [9, 9], inside: [[0, 0], [1, 0], [1, 1]]}]",
            "found site A twice",
        ),
    ],
)
def test_what_is_no_region_is_refused_with_its_place(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match=message):
        masks(tmp_path, text)


def test_the_page_s_example_is_one(repository: Path, tmp_path: Path) -> None:
    page = (repository / "docs/data-checks.md").read_text()
    (text,) = [part for part in page.split("```") if part.startswith("yaml\nregions:")]
    (region,) = masks(tmp_path, text.removeprefix("yaml\n")).regions
    assert (region.site, region.camera, region.image_wh) == ("A", "10.0.0.11", (1920, 1080))
