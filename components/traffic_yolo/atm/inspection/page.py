"""An inspection as lines for a terminal, as JSON values, and as a page."""

from collections.abc import Sequence
from typing import Any

from traffic_yolo.atm.inspection.box_spaces import BoxSpace
from traffic_yolo.atm.inspection.draft import detections_of, draft_layout
from traffic_yolo.atm.inspection.inspect import Inspection, Kind
from traffic_yolo.atm.inspection.structure import ColumnSummary, DataSetSummary
from traffic_yolo.atm.layouts import builtin_layouts
from traffic_yolo.html_report import Html, page, paragraph, table
from traffic_yolo.page_origin import About, Subject

SHOWN_GAPS = 20
SHOWN_SPACES = 5
SHOWN_COLUMNS = 30


def inspection_dict(inspection: Inspection) -> dict[str, Any]:
    """JSON values; the lists that a share makes long are cut at some hundreds."""
    return {
        "path": str(inspection.path),
        "kinds": [_kind_dict(kind) for kind in inspection.kinds],
        "unreadable": inspection.unreadable[:500],
        "num_unreadable": len(inspection.unreadable),
        "other_files": dict(inspection.others),
    }


def inspection_text(inspection: Inspection) -> str:
    """Lines for a terminal."""
    lines = [str(inspection.path)]
    for number, kind in enumerate(inspection.kinds, start=1):
        lines += ["", f"kind {number}: {_headline(kind)}"]
        lines += [f"  {name}: {value}" for name, value in _facts(kind)]
        lines.append("  layouts:")
        lines += [f"    {fit.name}: {'fits' if fit.fits else '; '.join(fit.reasons)}" for fit in kind.fits]
        lines.append("  data sets of a scan:")
        for one in kind.sample.data_sets.values():
            lines.append(f"    {one.name}: {_data_set_words(one, kind)}")
            filled = [column for column in one.columns if column.count]
            lines += [f"      {column.name}: {_range(column)}" for column in filled[:SHOWN_COLUMNS]]
        for name, spaces in kind.boxes.items():
            if spaces and detections_of(kind) is kind.sample.data_sets[name]:
                lines.append(f"  box spaces of {name} (share inside, how much of the space they reach over):")
                lines += [f"    {_space_words(space)}" for space in spaces[:SHOWN_SPACES]]
        lines += [f"  broken picture: {example}" for example in kind.pictures.examples]
    lines += [f"cannot be read: {reason}" for reason in inspection.unreadable[:SHOWN_GAPS]]
    if inspection.others:
        counts = ", ".join(f"{count} {suffix}" for suffix, count in inspection.others.most_common(12))
        lines.append(f"other files: {counts}")
    return "\n".join(lines)


def inspection_html(inspection: Inspection, pictures: Sequence[Html] = ()) -> str:
    """The inspection as one self-contained page; `pictures`: of each kind of file, in order, none for no pictures."""
    sections: list[tuple[str, str]] = []
    for number, kind in enumerate(inspection.kinds, start=1):
        sections += [(f"Kind {number}: {_headline(kind)}", table(["what", "found"], _facts(kind)))]
        sections += [("Pictures", body) for body in pictures[number - 1 : number]]
        sections += [(heading, body) for heading, body in _kind_sections(kind)]
    if inspection.unreadable:
        reasons = [(text,) for text in inspection.unreadable[:200]]
        sections.append(("Files that cannot be read", table(["why"], reasons)))
    if inspection.others:
        rows = inspection.others.most_common(50)
        sections.append(("Other files", table(["suffix", "files"], rows)))
    if not inspection.kinds and not inspection.unreadable:
        sections.append(("", paragraph("No HDF5 file here.")))
    return page("Inspection of recordings", sections, about=About((Subject("recordings", str(inspection.path)),)))


def _kind_sections(kind: Kind) -> list[tuple[str, str]]:
    fits = [(fit.name, "yes" if fit.fits else "no", "; ".join(fit.reasons)) for fit in kind.fits]
    data_sets = [(one.name, _data_set_words(one, kind)) for one in kind.sample.data_sets.values()]
    columns: list[tuple[str | int, ...]] = [
        (one.name, column.name, *map(_number, (column.low, column.high)), column.not_finite, _values(column, one, kind))
        for one in kind.sample.data_sets.values()
        for column in one.columns[:SHOWN_COLUMNS]
        if column.count
    ]
    sections: list[tuple[str, str]] = [
        ("Layouts", table(["layout", "fits", "why not"], fits)),
        ("Data sets of a scan", table(["data set", "what it is"], data_sets)),
        ("Columns", table(["data set", "column", "from", "to", "not finite", "values"], columns)),
    ]
    for name, spaces in kind.boxes.items():
        if spaces and detections_of(kind) is kind.sample.data_sets[name]:
            sections.append((f"Box spaces of {name}", _space_table(spaces)))
    if kind.pictures.examples:
        rows = [(text,) for text in kind.pictures.examples]
        sections.append(("Broken pictures", table(["why"], rows, caption=f"{kind.pictures.broken} in all")))
    if kind.gaps:
        gaps = [(str(file), f"{first} to {last}", last - first + 1) for file, first, last in kind.gaps[:SHOWN_GAPS]]
        caption = f"The first {len(gaps)} of {len(kind.gaps)} gaps." if len(kind.gaps) > len(gaps) else ""
        sections.append(("Gaps in scan numbers", table(["file", "missing", "scans"], gaps, caption=caption)))
    if not kind.layout:
        draft = draft_layout(kind)
        body = f"<pre>{Html(_escaped(draft))}</pre>" if draft else paragraph("No layout can describe these files.")
        sections.append(("Draft of a layout", body))
    return sections


def _headline(kind: Kind) -> str:
    files = f"{len(kind.files)} file{'s' if len(kind.files) > 1 else ''}"
    return f"{files}, layout {kind.layout}" if kind.layout else f"{files} of an unknown layout"


def _facts(kind: Kind) -> list[tuple[str, str]]:
    sample, pictures = kind.sample, kind.pictures
    missing = sum(last - first + 1 for _, first, last in kind.gaps)
    sizes = ", ".join(f"{count} of {width}x{height}" for (width, height), count in pictures.sizes.most_common(5))
    looked = f"{sample.looked_at} scans of {min(len(kind.files), 3)} files"
    facts = [
        ("scans", f"{kind.scans}, called {sample.scan_pattern or 'nothing like scans'}" + _below(sample.parent)),
        ("looked at", looked),
        ("gaps", f"{missing} scan numbers missing in {len(kind.gaps)} places" if kind.gaps else "none"),
        ("pictures", f"{pictures.count} in {pictures.data_set or 'no data set'} ({sizes or 'none'}), "
                     f"{pictures.absent} scans without, {pictures.broken} broken"),
        ("frame rate", _rate_words(kind)),
        ("classes", _class_words(kind) or "no column looks like class ids"),
    ]  # fmt: skip
    if kind.names:
        sites, cameras, days = ({getattr(name, key) for name in kind.names} - {""} for key in ("site", "camera", "day"))
        shown = [f"{word} {', '.join(sorted(found)[:8])}" for word, found in
                 (("sites", sites), ("cameras", cameras), ("days", days)) if found]  # fmt: skip
        facts.append(("by the names", "; ".join(shown)))
    return facts


def _below(parent: str) -> str:
    return f", below the group {parent}" if parent else ""


def _rate_words(kind: Kind) -> str:
    rate = kind.rate
    if not rate.hz:
        return rate.source
    back = f"; the clock goes back {rate.backwards} times" if rate.backwards else ""
    least = "at least " if rate.is_least else ""
    return f"{least}{rate.hz:.3g} scans a second, by {rate.source}{back}"


def _class_words(kind: Kind) -> str:
    data_set = detections_of(kind)
    if data_set is None:
        return ""
    layout = next((one for one in builtin_layouts().values() if one.name == kind.layout), None)
    columns = kind.classes.get(data_set.name, {})
    if layout is not None:
        index = layout.detections.columns.index(layout.detections.class_id)
        wanted = layout.detections.class_id if data_set.named else data_set.columns[index].name
        values = columns.get(wanted)
        if not values:
            return ""
        return ", ".join(f"{layout.classes.get(int(v), f'{v:g}?')} {n}" for v, n in sorted(values.items()))
    return "; ".join(
        f"column {name} has " + ", ".join(f"{value:g} ({count})" for value, count in sorted(values.items()))
        for name, values in list(columns.items())[:4]
    )


def _data_set_words(one: DataSetSummary, kind: Kind) -> str:
    shapes = ", ".join("x".join(map(str, shape)) or "one value" for shape, _ in one.shapes.most_common(3))
    more = f" and {len(one.shapes) - 3} more shapes" if len(one.shapes) > 3 else ""
    dtypes = ", ".join(one.dtypes)
    parts = [f"{one.kind}, {dtypes}, {shapes}{more}", f"in {one.scans} of {kind.sample.looked_at} scans"]
    if one.kind == "table":
        rows = list(one.row_counts.elements())
        parts.append(f"{min(rows, default=0)} to {max(rows, default=0)} rows" + (", zeros after" if one.padded else ""))
    if one.keys:
        parts.append(f"keys {', '.join(sorted(one.keys)[:12])}")
    return "; ".join(parts)


def _range(column: ColumnSummary) -> str:
    text = f"{_number(column.low)} to {_number(column.high)}"
    if column.whole and column.count:
        text += ", whole"
    return text + (f", {column.not_finite} not finite" if column.not_finite else "")


def _values(column: ColumnSummary, one: DataSetSummary, kind: Kind) -> str:
    found = kind.classes.get(one.name, {}).get(column.name)
    if found is None:
        return "whole numbers" if column.whole and column.count else ""
    return ", ".join(f"{value:g}: {count}" for value, count in sorted(found.items()))


def _number(value: float) -> str:
    return f"{value:.6g}" if abs(value) != float("inf") else "-"


def _space_words(space: BoxSpace) -> str:
    width, height = space.space_wh
    picture = " (the picture)" if space.is_picture else ""
    columns = ", ".join(space.columns)
    return f"{space.convention} in {width}x{height}{picture}: {space.inside:.1%}, {space.fill:.0%} [{columns}]"


def _space_table(spaces: Sequence[BoxSpace]) -> Html:
    rows = [
        (
            space.convention,
            f"{space.space_wh[0]}x{space.space_wh[1]}" + (" (the picture)" if space.is_picture else ""),
            f"{space.inside:.1%}",
            f"{space.fill:.0%}",
            f"{space.score:.3f}",
            ", ".join(space.columns),
        )
        for space in spaces
    ]
    headers = ["convention", "space", "inside", "reach over", "score", "columns"]
    caption = "Best first. Any box lies inside a space that is large enough, so reach counts too."
    return table(headers, rows, caption=caption)


def _space_dict(space: BoxSpace) -> dict[str, Any]:
    return {
        "convention": space.convention,
        "columns": list(space.columns),
        "space_wh": list(space.space_wh),
        "is_picture": space.is_picture,
        "inside": round(space.inside, 4),
        "valid": round(space.valid, 4),
        "fill": round(space.fill, 4),
        "score": round(space.score, 4),
    }


def _kind_dict(kind: Kind) -> dict[str, Any]:
    sample, pictures = kind.sample, kind.pictures
    detections = detections_of(kind)
    return {
        "files": [str(file) for file in kind.files[:500]],
        "num_files": len(kind.files),
        "layout": kind.layout or None,
        "layouts": [{"name": fit.name, "fits": fit.fits, "reasons": list(fit.reasons)} for fit in kind.fits],
        "scan_pattern": sample.scan_pattern,
        "scans_below": sample.parent,
        "num_scans": kind.scans,
        "looked_at": sample.looked_at,
        "gaps": [{"file": str(file), "first": first, "last": last} for file, first, last in kind.gaps[:500]],
        "missing_scans": sum(last - first + 1 for _, first, last in kind.gaps),
        "frame_rate_hz": round(kind.rate.hz, 4) or None,
        "frame_rate_source": kind.rate.source,
        "clock_backwards": kind.rate.backwards,
        "pictures": {
            "data_set": pictures.data_set or None,
            "count": pictures.count,
            "absent": pictures.absent,
            "broken": pictures.broken,
            "examples": pictures.examples,
            "sizes": [{"width": w, "height": h, "count": n} for (w, h), n in pictures.sizes.most_common()],
        },
        "detections": detections.name if detections is not None else None,
        "box_spaces": {name: [_space_dict(one) for one in spaces] for name, spaces in kind.boxes.items()},
        "classes": {
            name: {column: {f"{v:g}": n for v, n in sorted(values.items())} for column, values in columns.items()}
            for name, columns in kind.classes.items()
        },
        "data_sets": [_data_set_dict(one) for one in sample.data_sets.values()],
        "attributes": dict(sample.attributes),
        "other_top_level": list(sample.others[:100]),
        "draft_layout": (draft_layout(kind) or None) if not kind.layout else None,
    }


def _data_set_dict(one: DataSetSummary) -> dict[str, Any]:
    return {
        "name": one.name,
        "kind": one.kind,
        "scans": one.scans,
        "dtypes": dict(one.dtypes),
        "shapes": [{"shape": list(shape), "count": count} for shape, count in one.shapes.most_common(20)],
        "padded_with_zeros": one.padded,
        "json_keys": dict(one.keys),
        "columns": [
            {
                "name": column.name,
                "low": column.low if column.count and column.low < float("inf") else None,
                "high": column.high if column.count and column.high > -float("inf") else None,
                "not_finite": column.not_finite,
                "whole_numbers": column.whole and column.count > 0,
            }
            for column in one.columns
        ],
    }


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
