"""Pictures of inspected recordings, with the boxes as the inspection reads them: people see whether that is right."""

from dataclasses import dataclass

from traffic_yolo.atm.inspection.box_spaces import CONVENTIONS, FloatArray
from traffic_yolo.atm.inspection.draft import detections_of
from traffic_yolo.atm.inspection.inspect import Inspection, Kind
from traffic_yolo.dataset.pictures.choice import BLURRED, FULL, NONE
from traffic_yolo.dataset.pictures.drawn_boxes import PALETTE, DrawnBox
from traffic_yolo.dataset.report.samples import NO_PICTURES, draw_boxes
from traffic_yolo.errors import RecordingError
from traffic_yolo.html_report import Html, paragraph, pictures

FRAME_PIXELS = 640 * 360
FARTHEST = 1e6  # of a number that is a place: a column of other numbers, taken for one, has any
Box = tuple[float, float, float, float]


def inspection_pictures(inspection: Inspection, pictures_shown: str = BLURRED) -> list[Html]:
    """The pictures of each kind of file, in order; `pictures_shown`: a word of `PictureChoice`.

    Blurred are the boxes of a layout that fits; where none fits, nobody knows what the boxes are, and the whole picture
    is.
    """
    return [_of_kind(kind, pictures_shown) for kind in inspection.kinds]


def _of_kind(kind: Kind, pictures_shown: str) -> Html:
    if pictures_shown == NONE:
        return paragraph(NO_PICTURES)
    reading = _Reading.of(kind)
    shown = []
    for sample in kind.pictures.samples:
        try:
            size_wh = sample.size_wh
        except RecordingError:  # which the inspection names
            continue
        rows = sample.rows.get(reading.table) if reading is not None else None
        found = reading.boxes(rows, size_wh) if reading is not None and rows is not None else []
        drawn = draw_boxes(
            sample.data,
            [DrawnBox(box, PALETTE[0]) for box in found],
            f"{sample.where}: {len(found)} box{'es' * (len(found) != 1)}",
            known=[(box, "") for box in found] if kind.layout else [],
            pictures_shown=pictures_shown,
            pixels=FRAME_PIXELS,
        )
        shown += [drawn] if drawn is not None else []
    if not shown:
        return paragraph("No picture that decodes.")
    notes = [reading.words] if reading is not None else []
    if pictures_shown != FULL and not kind.layout:
        notes.append("Blurred as a whole: no known layout fits, so no box can be trusted; --pictures full shows them.")
    return Html("".join(map(paragraph, notes)) + pictures(shown))


@dataclass(frozen=True)
class _Reading:
    """How rows of the data set `table` become boxes.

    `columns`: the indices of x, y, width and height, or right and bottom; `anchor`: top_left, centre or corners;
    `space_wh`: in what they are, None for the picture's pixels; `words`: the same for people.
    """

    table: str
    columns: tuple[int, ...]
    anchor: str
    space_wh: tuple[int, int] | None
    words: str

    @classmethod
    def of(cls, kind: Kind) -> "_Reading | None":
        """By the layout that fits, else by the best guess; None where there is neither."""
        if (layout := kind.read_by) is not None:
            known = layout.detections
            data_set = kind.sample.data_sets.get(known.dataset)
            if data_set is None:
                return None
            names = [column.name for column in data_set.columns] if data_set.named else list(known.columns)
            words = f"Boxes: {known.dataset} as the layout {layout.name} reads it."
            columns = tuple(names.index(name) for name in known.box)
            return cls(known.dataset, columns, known.box_anchor, known.box_space_wh, words)
        data_set = detections_of(kind)
        if data_set is None or not kind.boxes.get(data_set.name):
            return None
        guess = kind.boxes[data_set.name][0]
        names = [column.name for column in data_set.columns]
        places, anchor = CONVENTIONS[guess.convention]
        columns = tuple(names.index(guess.columns[place]) for place in places)
        width, height = guess.space_wh
        words = f"Boxes: {data_set.name} read as {guess.convention} in {width}x{height}, the best guess."
        return cls(data_set.name, columns, anchor, guess.space_wh, words)

    def boxes(self, rows: FloatArray, size_wh: tuple[int, int]) -> list[Box]:
        """Left, top, right, bottom in the pixels of a picture of `size_wh`, of rows (n, columns).

        Rows of zeros, and boxes without area or with numbers that are none, are left out.
        """
        x, y, width, height = (rows[:, column] for column in self.columns)
        if self.anchor == "corners":
            width, height = width - x, height - y
        elif self.anchor == "centre":
            x, y = x - width / 2, y - height / 2
        scale_x, scale_y = (size / whole for size, whole in zip(size_wh, self.space_wh or size_wh, strict=True))
        found = []
        for left, top, wide, high in zip(x.tolist(), y.tolist(), width.tolist(), height.tolist(), strict=True):
            if wide > 0 and high > 0 and all(abs(value) < FARTHEST for value in (left, top, wide, high)):
                found.append((left * scale_x, top * scale_y, (left + wide) * scale_x, (top + high) * scale_y))
        return found
