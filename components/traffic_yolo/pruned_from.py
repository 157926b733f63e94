"""What a pruned model says of how it was made, as it travels with the model: written by prune, read by publish."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from traffic_yolo.errors import ModelError
from traffic_yolo.storage import AnyPath, existing_path, input_path, output_path, read_json, sha256_of_file, write_json

PRUNED_NAME = "pruned.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class NetworkSize:
    """Sections, float32 values, BFLOPs (Darknet's count, one picture at the cfg's size) and bytes of the .weights."""

    layers: int
    weights: int
    bflops: float
    bytes: int


@dataclass(frozen=True)
class LayerChange:
    """The filters of one convolution before and after; `line` is that of the parent's cfg."""

    layer: int
    line: int
    before: int
    after: int


@dataclass(frozen=True)
class PrunedFrom:
    """How a model was pruned: the hashes of the parent's files, and of the weights that pruning wrote.

    `blocks`: first and last layer of each block taken out. `units` of `free_units` went.

    `carry_errors`: (layer, bound, share) as of `carry.CarryError`. `latency_ms`: before and after, predicted where a
    table of layers was given, None where the goal was another. `reestimated_on`: pictures that batch-norm was measured
    on anew. `refits`: (layer, lost, left) as of `refit.Refit`, measured on `refitted_on` pictures. `warnings`: what
    makes the pruning doubtful, a line each.
    """

    parent_weights_sha256: str
    parent_cfg_sha256: str
    weights_sha256: str
    options: Mapping[str, Any]
    before: NetworkSize
    after: NetworkSize
    latency_ms: tuple[float, float] | None
    layers: tuple[LayerChange, ...]
    blocks: tuple[tuple[int, int], ...]
    carry_errors: tuple[tuple[int, float, float], ...]
    units: int
    free_units: int
    reestimated_on: int
    warnings: tuple[str, ...] = ()
    refitted_on: int = 0
    refits: tuple[tuple[int, float, float], ...] = ()

    @property
    def text(self) -> str:
        """For people: sizes, what went of each layer, where carrying on is not exact."""
        before, after = self.before, self.after
        lines = [f"WARNING: {warning}" for warning in self.warnings]
        lines += [
            f"{'':<12}{'before':>14}{'after':>14}{'saved':>8}",
            _row("weights", before.weights, after.weights, ","),
            _row("BFLOPs", before.bflops, after.bflops, ".4f"),
            _row("bytes", before.bytes, after.bytes, ","),
        ]
        if self.latency_ms is not None:
            name = "ms predicted" if self.options.get("latency_table") else "ms (PyTorch)"
            lines.append(_row(name, *self.latency_ms, ".2f"))
        by = self.options.get("importance")
        if self.blocks:
            listed = ", ".join(f"{first}-{last}" for first, last in self.blocks)
            lines.append(f"{self.units} of {self.free_units} residual blocks went, ranked by {by}: layers {listed}")
        else:
            lines.append(f"{self.units} of {self.free_units} channels (tied ones counted once) went, ranked by {by}:")
            lines += [
                f"  layer {each.layer:>3}: {each.before} -> {each.after} filters"
                for each in self.layers
                if each.after < each.before
            ]
        for layer, bound, share in self.carry_errors:
            lines.append(
                f"  layer {layer:>3}: the constant for what went is off by at most {bound:.3g} before the "
                f"activation, at padded borders ({share:.0%} of its pixels)"
            )
        if self.refits:
            lines.append(
                f"kernels of {len(self.refits)} layers fitted on {self.refitted_on} pictures to stand in for what "
                "went; of the variance of their outputs would be lost without it, and is lost:"
            )
            lines += [f"  layer {layer:>3}: {lost:.1%}, {left:.1%}" for layer, lost, left in self.refits]
        if self.reestimated_on:
            lines.append(f"batch-norm measured anew on {self.reestimated_on} pictures")
        return "\n".join(lines)

    def document(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}

    def write(self, path: AnyPath) -> None:
        """Writes the file, atomically."""
        write_json(output_path(path), self.document())

    @classmethod
    def read(cls, path: AnyPath) -> "PrunedFrom":
        """Reads what `write` wrote; raises `StorageError` or `ModelError` for anything else."""
        path = input_path(path, what="record of a pruning")
        return cls.of_dict(read_json(path, what="record of a pruning", error=ModelError), where=str(path))

    @classmethod
    def of_dict(cls, content: Any, *, where: str) -> "PrunedFrom":
        """The values of such a file, which lies at `where`; raises `ModelError` for anything else."""
        try:
            content = dict(content)
            if content.pop("schema_version") != SCHEMA_VERSION:
                raise ModelError(f"{where}: expected schema version {SCHEMA_VERSION}; prune again")
            latency = content["latency_ms"]
            return cls(
                **{
                    **content,
                    "before": NetworkSize(**content["before"]),
                    "after": NetworkSize(**content["after"]),
                    "latency_ms": None if latency is None else (latency[0], latency[1]),
                    "layers": tuple(LayerChange(**each) for each in content["layers"]),
                    "blocks": tuple((first, last) for first, last in content["blocks"]),
                    "carry_errors": tuple((layer, bound, share) for layer, bound, share in content["carry_errors"]),
                    "warnings": tuple(map(str, content.get("warnings", ()))),
                    "refits": tuple((layer, lost, left) for layer, lost, left in content.get("refits", ())),
                }
            )
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{where}: not a record of a pruning: {error}") from error


def is_just_pruned(weights: AnyPath) -> bool:
    """Whether pruning itself wrote these weights, by the record beside them: nothing was trained since.

    Raises as `PrunedFrom.read` where a record lies there that is none.
    """
    path = existing_path(weights, what="weights")
    record = path.parent / PRUNED_NAME
    return record.is_file() and PrunedFrom.read(record).weights_sha256 == sha256_of_file(path)


def _row(name: str, before: float, after: float, form: str) -> str:
    saved = 1 - after / before if before else 0.0
    return f"{name:<12}{before:>14{form}}{after:>14{form}}{saved:>8.1%}"
