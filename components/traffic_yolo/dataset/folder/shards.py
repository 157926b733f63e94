"""A conversion cut into shards: each writes its frames into a folder, and the merge makes the data set of a single run.

A shard knows everything that the single run decides beforehand (classes, splits), since it surveys the whole source.
What only all frames can tell is left to the merge.
"""

import dataclasses
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traffic_yolo.dataset.class_map import ClassMap
from traffic_yolo.dataset.convert import (
    ContentToMatch,
    ConvertSummary,
    SnapshotToMatch,
    complete,
    prepare,
    recipe_of,
    write_frames,
)
from traffic_yolo.dataset.folder.outputs import check_places, keep_aside
from traffic_yolo.dataset.folder.writer import SetDescription, Stage
from traffic_yolo.dataset.frame_spool import SPOOL_NAME, read_frames
from traffic_yolo.dataset.observers import PlugInsFactory
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.dataset.plug_ins import plug_ins
from traffic_yolo.dataset.policy import policy_at
from traffic_yolo.dataset.problems import Noted, Problem
from traffic_yolo.dataset.quarantine import QuarantineEntry, check_quarantine, quarantine_written
from traffic_yolo.dataset.sources.source_list import locations_of
from traffic_yolo.dataset.store.handed_on import data_set_written
from traffic_yolo.dataset.store.recipe import Recipe
from traffic_yolo.errors import DatasetError, OptionsError
from traffic_yolo.limits import in_force
from traffic_yolo.messages import shown
from traffic_yolo.storage import (
    AnyPath,
    atomic_folder,
    check_new_folder,
    input_path,
    output_path,
    read_json,
    write_json,
)

SHARD_NAME = "shard.json"
SCHEMA_VERSION = 4


@dataclass(frozen=True)
class Shard:
    """One of `count` parts of a conversion; `index` from 0. On the command line `1/4` is the first of four."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """The shard that `K/N` names; `OptionsError` for anything else."""
        first, slash, second = text.partition("/")
        numbers = slash and first.isdecimal() and second.isdecimal() and len(text) <= 2 * len("10000") + 1
        if numbers and 1 <= int(first) <= int(second) <= 10_000:
            return cls(int(first) - 1, int(second))
        raise OptionsError(f"shard: expected K/N with K from 1 to N, for instance 1/4; found {shown(text)}")

    def __str__(self) -> str:
        return f"{self.index + 1}/{self.count}"


def shard_names(count: int, fingerprint: str, files: str) -> list[str]:
    """`1/N of <fingerprint>, <files>` to `N/N of ...`; `OptionsError` for a number of shards that makes no sense."""
    shards = [Shard.parse(f"{number}/{count}") for number in range(1, max(count, 1) + 1)]
    return [f"{shard} of {fingerprint}, {files}" for shard in shards]


def named_shard(name: str) -> tuple[Shard, str, str]:
    """(shard, fingerprint, line of the named files) of a name that `shard_names` gave."""
    shard, _, rest = name.partition(" of ")
    fingerprint, _, files = rest.partition(", ")
    return Shard.parse(shard), fingerprint, files


@dataclass(frozen=True)
class ShardSummary:
    """What a shard wrote."""

    shard: Shard
    num_pictures: int

    @property
    def text(self) -> str:
        """For a terminal."""
        return f"shard {self.shard}: {self.num_pictures} pictures"


def convert_shard(
    options: ConvertOptions,
    out: AnyPath,
    shard: Shard,
    *,
    snapshot: SnapshotToMatch | ContentToMatch | None = None,
    plugged: PlugInsFactory = plug_ins,
) -> ShardSummary:
    """Writes the frames of a shard into the folder `out`, which appears whole or not at all.

    A shard may have no frame. Raises what `convert` raises, except for what only the whole set can show.
    """
    target = output_path(out)
    check_places(options, target)
    with in_force(policy_at(options.policy).reading_limits):
        extras = plugged(options)
        prepared = prepare(options, extras, snapshot)
        with atomic_folder(target) as folder:
            stage = write_frames(prepared, folder / SPOOL_NAME, options, extras, shard=(shard.index, shard.count))
            with (folder / SPOOL_NAME).open("rb") as spool:
                num_pictures = sum(1 for _ in spool)
            decided = {
                "recipe": _recipe(options, snapshot).as_dict(),
                "options": dataclasses.asdict(options),
                "class_map": prepared.class_map.as_dict(),
                "described": dataclasses.asdict(prepared.described),
                "notes": list(stage.notes),
                "noted": stage.noted.as_dict(),
                "num_frames": prepared.source.num_frames,
            }
            content = {
                "schema_version": SCHEMA_VERSION,
                "index": shard.index,
                "count": shard.count,
                "decided": decided,
                "tally": dict(stage.tally),
                "ignored_names": sorted(stage.ignored_names),
                "problems": [[problem.kind, problem.message] for problem in stage.problems],
                "quarantined": [entry.as_dict() for entry in stage.quarantined],
            }
            write_json(folder / SHARD_NAME, content)
        return ShardSummary(shard, num_pictures)


def merge_shards(folders: Sequence[AnyPath], out: AnyPath, *, plugged: PlugInsFactory = plug_ins) -> ConvertSummary:
    """Writes the data set folder `out` of all shards of one conversion, given in any order.

    Or the reference to it, where the shards were converted for a `data_store`.

    The same bytes as a single run's. Pictures are linked where the file system allows it, else copied. Raises
    `DatasetError` for folders that are not all shards of one conversion, and what `convert` raises of the whole set.
    """
    target = output_path(out)
    places = [input_path(folder, what="shard") for folder in folders]
    read = sorted((_read(folder) for folder in places), key=lambda item: int(item[1]["index"]))
    contents = [content for _, content in read]
    _check_complete(read)
    decided = contents[0]["decided"]
    options = ConvertOptions(**decided["options"])
    stated = decided["described"]
    described = SetDescription(**{**stated, **{name: tuple(stated[name]) for name in ("required_splits", "splits")}})
    rules = decided["class_map"]
    class_map = ClassMap(
        tuple(rules["classes"]), dict(rules["rename"]), frozenset(rules["ignore"]), frozenset(rules["drop"])
    )
    stage = Stage(
        spools=tuple(folder / SPOOL_NAME for folder, _ in read),
        tally=sum((Counter(content["tally"]) for content in contents), Counter()),
        ignored_names=frozenset(name for content in contents for name in content["ignored_names"]),
        notes=tuple(decided["notes"]),
        problems=tuple(dict.fromkeys(Problem(*pair) for content in contents for pair in content["problems"])),
        noted=Noted.of_dict(decided["noted"]),
        quarantined=tuple(QuarantineEntry(**entry) for content in contents for entry in content["quarantined"]),
    )
    recipe = Recipe.of_dict(decided["recipe"], where=f"{places[0] / SHARD_NAME}: recipe")
    kept = recipe.options.quarantine  # an absolute path: the shards may have been written elsewhere
    check_new_folder(target)
    if kept:
        check_quarantine(kept, target, locations_of(recipe.options))
    with (
        in_force(policy_at(options.policy).reading_limits),
        data_set_written(target, recipe) as folder,
        quarantine_written(kept) as aside,
    ):
        for source, _ in read:
            for name in ("images", "labels"):
                _link_tree(source / name, folder / name)
            _check_files(folder, source / SPOOL_NAME)
        summary = complete(class_map, described, folder, stage, plugged(options))
        keep_aside(aside, stage, options)
        return summary


def _recipe(options: ConvertOptions, snapshot: SnapshotToMatch | ContentToMatch | None) -> Recipe:
    """The same for all shards: the file of hashes is each pod's own."""
    return dataclasses.replace(recipe_of(options, snapshot), cache="")


def _read(folder: Path) -> tuple[Path, Mapping[str, Any]]:
    path = folder / SHARD_NAME
    if not path.is_file() or not (folder / SPOOL_NAME).is_file():
        raise DatasetError(f"{folder}: expected a folder that convert --shard wrote; {SHARD_NAME} is missing")
    content = read_json(path, what="shard")
    keys = {"schema_version", "index", "count", "decided", "tally", "ignored_names", "problems", "quarantined"}
    if not isinstance(content, dict) or set(content) != keys or content["schema_version"] != SCHEMA_VERSION:
        raise DatasetError(f"{path}: not a shard of schema version {SCHEMA_VERSION}; convert it again")
    return folder, content


def _check_complete(read: Sequence[tuple[Path, Mapping[str, Any]]]) -> None:
    if not read:
        raise OptionsError("merge: expected the folders of all shards, found none")
    first_folder, first = read[0]
    for folder, content in read[1:]:
        for key, what in (("count", "number of shards"), ("decided", "options, classes or source")):
            if content[key] != first[key]:
                raise DatasetError(
                    f"{folder}: not a shard of the same conversion as {first_folder}: another {what}; "
                    f"convert all shards again, of one snapshot"
                )
    indices = [int(content["index"]) for _, content in read]
    missing = sorted(set(range(first["count"])) - set(indices))
    if missing:
        raise DatasetError(f"shard {missing[0] + 1}/{first['count']} is missing; give the folders of all shards")
    if len(indices) != first["count"]:
        twice = next(index for index in indices if indices.count(index) > 1)
        raise DatasetError(f"shard {twice + 1}/{first['count']} is given twice; give each once")


def _check_files(folder: Path, spool: Path) -> None:
    """Raises `DatasetError` for a file of a shard that is missing or cut off: its copy did not come through whole."""
    for spooled in read_frames([spool]):
        for path, entry in spooled.files.items():
            try:
                size = os.stat(folder / path).st_size
            except FileNotFoundError:
                size = None
            if size != entry.size:
                found = "it is missing" if size is None else f"found {size}"
                raise DatasetError(
                    f"{spool.parent / path}: expected {entry.size} bytes, {found}; copy or convert the shard again"
                )


def _link_tree(source: Path, target: Path) -> None:
    """Makes every file below `source` appear below `target`; a shard without frames has no such folder."""
    for place, _, names in os.walk(source):
        into = target / os.path.relpath(place, source)
        into.mkdir(parents=True, exist_ok=True)
        for name in names:
            try:
                os.link(f"{place}/{name}", into / name)
            except OSError:  # another file system, or one without hard links
                shutil.copyfile(f"{place}/{name}", into / name)
