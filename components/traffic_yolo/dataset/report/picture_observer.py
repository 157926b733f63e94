"""What the pictures of a conversion look like: near-duplicates across splits, and brightness (day or night)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from traffic_yolo.dataset.observers import ObserverOutcome
from traffic_yolo.dataset.pictures.choice import BLURRED
from traffic_yolo.dataset.pictures.look import PictureLook, look_once
from traffic_yolo.dataset.policy import DataPolicy
from traffic_yolo.dataset.records import SPLITS, Frame
from traffic_yolo.dataset.report.samples import draw_boxes
from traffic_yolo.dataset.splits.assignment import hash_position
from traffic_yolo.dataset.splits.groups import LEVELS
from traffic_yolo.dataset.splits.leaks import LeakCheck, LeakReport
from traffic_yolo.html_report import Html, figure_svg, paragraph, pictures, table

SAMPLED = 0.05  # share of the pictures that are decoded for their brightness where no leak check decodes all
BRIGHTNESS_STEP = 8  # of 256, which parts it exactly
BRIGHTNESS_EDGES = np.arange(0, 256 + BRIGHTNESS_STEP, BRIGHTNESS_STEP)
NIGHT_BELOW = 60  # mean grey of 255: dusk and street lamps; rendered nights lie around 30 to 50, days above 90
SHOWN_LEAKS = 20
DRAWN_LEAKS, DRAWN_PIXELS = 4, 320 * 180


class PictureObserver:
    """Observer of a conversion: the leak check and the light."""

    name = "pictures"
    needs: frozenset[str] = frozenset()

    def __init__(
        self,
        policy: DataPolicy,
        splits: Sequence[str] = SPLITS,
        *,
        labels_only: bool = False,
        pictures: str = BLURRED,
    ) -> None:
        self._labels_only, self._pictures = labels_only, pictures
        self._on_leak = policy.leak_check
        self._level = policy.split_level
        self._leaks = LeakCheck(max_distance=policy.leak_distance)
        self._light: dict[str, NDArray[np.int64]] = {
            split: np.zeros(len(BRIGHTNESS_EDGES) - 1, np.int64) for split in splits
        }
        self._by_site: dict[str, list[float]] = {}  # pictures, sum of brightness, dark ones

    def measure(self, frame: Frame, split: str, picture: bytes) -> list[float] | None:
        """[hash, brightness, contrast]; None for a picture that is not looked at, or does not decode."""
        del split
        if self._on_leak == "off" and hash_position(frame.file_name) >= SAMPLED:
            return None
        look = look_once(picture)
        return [look.hash, round(look.brightness, 2), round(look.contrast, 3)] if look is not None else None

    def collect(self, frame: Frame, split: str, measured: Any) -> None:
        """Adds one picture up."""
        look = PictureLook(int(measured[0]), measured[1], measured[2]) if measured is not None else None
        if self._on_leak != "off":
            self._leaks.add(frame.file_name, split, look, self._groups(frame))
        if look is not None:
            place = min(int(look.brightness / BRIGHTNESS_STEP), len(BRIGHTNESS_EDGES) - 2)
            self._light[split][place] += 1
            site = self._by_site.setdefault(frame.site or frame.recording, [0, 0.0, 0])
            site[0] += 1
            site[1] += look.brightness
            site[2] += look.brightness < NIGHT_BELOW

    def finish(self, folder: Path) -> ObserverOutcome:
        """The leaks, which fail the conversion unless they are only to be reported; and the light."""
        light = self._light_report()
        sections = [("Brightness", self._light_section())]
        if self._on_leak == "off":
            return ObserverOutcome(notes=["leak check off: splits may share pictures"], report=light, sections=sections)
        leaks = self._leaks.result()
        failure = leaks.message() if self._on_leak == "fail" else ""
        notes = [f"leak check: {_leaks(leaks)} between splits"] if leaks.num_leaks else []
        unseen = self._labels_only and not self._by_site
        if unseen and len(self._light) > 1:
            notes.append("labels only: no picture was compared, so splits may share pictures that look alike")
        report = light | {"leaks": leaks.as_dict()}
        head = paragraph("Labels only: no picture was compared.") if unseen and not leaks.num_leaks else None
        shown = head or Html(leak_section(leaks) + _pairs(leaks, folder, self._pictures))
        return ObserverOutcome(notes, failure, report, [("Leak check", shown), *sections])

    def _groups(self, frame: Frame) -> list[str]:
        """The group that the user asked not to cut; recordings are whole whatever was asked for."""
        level = self._level if self._level not in ("auto", "picture") else ""
        names = [f"{level} {LEVELS[level](frame)}"] if level and LEVELS[level](frame) else []
        if frame.scan.startswith("SCAN_") and self._level not in ("recording", "picture"):
            names.append(f"recording {frame.recording}")
        return names

    def _light_report(self) -> dict[str, Any]:
        sites = {
            site: {"pictures": int(count), "mean": round(total / count, 1), "dark": int(dark)}
            for site, (count, total, dark) in sorted(self._by_site.items())
        }
        return {"brightness": {split: counts.tolist() for split, counts in self._light.items()}, "sites": sites}

    def _light_section(self) -> Html:
        if not self._by_site:
            return paragraph("No picture was looked at.")
        figure = Figure(figsize=(7, 2.4))
        figure.subplots_adjust(left=0.1, right=0.98, bottom=0.2, top=0.96)
        axis = figure.subplots()
        for split, counts in self._light.items():
            if counts.sum():
                axis.stairs(counts / counts.sum(), BRIGHTNESS_EDGES, label=split)
        axis.axvline(NIGHT_BELOW, color="#888888", linewidth=0.8, linestyle=":")
        axis.set_xlabel("mean grey of a picture (dotted: dark below)")
        axis.set_ylabel("share of pictures")
        axis.legend(fontsize="small")
        rows = [
            (site, int(count), round(total / count, 1), int(dark))
            for site, (count, total, dark) in sorted(self._by_site.items())
        ]
        shown = table(["site", "pictures", "mean grey", f"dark (below {NIGHT_BELOW})"], rows)
        return Html(figure_svg(figure, title="Brightness of pictures by split") + shown)


def leak_section(leaks: LeakReport) -> Html:
    """The leak check for people."""
    flat = f"; {leaks.flat} too uniform to compare" if leaks.flat else ""
    head = (
        f"{leaks.pictures:,} pictures compared by their perceptual hashes{flat}: {_leaks(leaks)} between splits "
        f"(the same group, or at most {leaks.max_distance} of 64 bits apart)."
    )
    if not leaks.num_leaks:
        return paragraph(head)
    rows = [
        (leak.kind, leak.first, leak.first_split, leak.second, leak.second_split, leak.distance)
        for leak in leaks.leaks[:SHOWN_LEAKS]
    ]
    return Html(paragraph(head) + table(["leak", "first", "split", "second", "split", "bits apart"], rows))


def _pairs(leaks: LeakReport, folder: Path, pictures_shown: str) -> Html:
    """The first pairs that look alike, side by side; a person sees at once whether they are the same scene.

    No boxes are at hand, so that they are blurred as a whole unless `pictures_shown` is full; a scene is seen still.
    """
    shown = []
    alike = [leak for leak in leaks.leaks if leak.kind == "near-duplicate"]
    for leak in alike[:DRAWN_LEAKS]:
        for name, split in ((leak.first, leak.first_split), (leak.second, leak.second_split)):
            picture = folder / "images" / name
            data = picture.read_bytes() if picture.is_file() else b""  # labels only: there is none
            drawn = draw_boxes(data, (), f"{name} ({split})", pictures_shown=pictures_shown, pixels=DRAWN_PIXELS)
            shown += [drawn] if drawn is not None else []
    return pictures(shown) if shown else Html("")


def _leaks(leaks: LeakReport) -> str:
    return "1 leak" if leaks.num_leaks == 1 else f"{leaks.num_leaks} leaks"
