"""Writes other activations into a cfg, for runtimes that do not know a name; weights stay as they are."""

from collections.abc import Mapping
from dataclasses import dataclass

from traffic_yolo.darknet.activations import ACTIVATION_NAMES
from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown

# (old, new) that give the same values; silu is the name of other programs, and Darknet takes relu for it
SAME = frozenset({("silu", "swish"), ("leaky", "revleaky"), ("revleaky", "leaky")})
KEY = "activation"


@dataclass(frozen=True)
class ActivationChange:
    """One renaming: in how many layers, and whether it leaves the function as it is."""

    old: str
    new: str
    layers: int
    same: bool

    def __str__(self) -> str:
        what = "the same function" if self.same else "another function: train on with it, or compare the AP"
        return f"{self.old} -> {self.new}: {self.layers} layers, {what}"


def read_renames(text: str, *, option: str = "renames") -> dict[str, str]:
    """`"silu=swish,relu6=relu"` as old name -> new name; `OptionsError`, naming the `option`, for anything else."""
    found: dict[str, str] = {}
    for pair in text.split(","):
        old, separator, new = (part.strip() for part in pair.partition("="))
        if not (old and separator and new) or old in found:
            raise OptionsError(f"{option}: expected OLD=NEW pairs, each OLD once (silu=swish), found {shown(pair)}")
        found[old] = new
    return found


def change_activations(
    cfg: Cfg, renames: Mapping[str, str], *, option: str = "renames"
) -> tuple[Cfg, tuple[ActivationChange, ...]]:
    """A copy of `cfg` with each activation of `renames` (old -> new) written as the new one, and what was changed.

    All are changed at once: `leaky=mish,mish=leaky` exchanges them. Raises `OptionsError` for a new name that Darknet
    does not know, and an old one that no layer has.
    """
    for new in renames.values():
        if new not in ACTIVATION_NAMES:
            known = ", ".join(ACTIVATION_NAMES)
            raise OptionsError(f"{option}: expected one of {known} as the new name, found {shown(new)}")
    changed = cfg.copy()
    counts = dict.fromkeys(renames, 0)
    used: dict[str, None] = {}
    for layer in changed.layers:
        name = layer.get_str(KEY, "")
        used[name] = None
        if name in renames:
            layer.set(KEY, renames[name])
            counts[name] += 1
    unused = next((old for old, count in counts.items() if not count), None)
    if unused is not None:
        have = ", ".join(name for name in used if name) or "none"
        raise OptionsError(f"{option}: expected activations of {cfg.file}, which has {have}; found {shown(unused)}")
    return changed, tuple(
        ActivationChange(old, new, counts[old], old == new or (old, new) in SAME) for old, new in renames.items()
    )
