"""What `make bench-accuracy` measures: the grid of cells, in the order of their worth, and a choice among them."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

SITES = ("A", "B", "C", "E", "F")
SEEDS = (0, 1, 2)
ITERATIONS = (40, 200, 1000)
SIZES = ("320x320", "640x384")
BATCH = 16  # pictures an update, in every recipe, so that equal iterations are equal work
UNTOUCHED = "untouched"
# The numbers of recipe darknet in Darknet's own program, whose weights after the last update are judged
BINARY = "darknet-binary"
# Recipes of which the same weights are judged; the others deliver what was best on val, the start included
LAST = ("darknet-last", "default-last")


@dataclass(frozen=True)
class NetworkFiles:
    """The names of a network's cfg and weights, trained on COCO, in the reference folder `weights`."""

    cfg: str
    weights: str


NETWORKS = {
    "yolo-fastest": NetworkFiles("yolo-fastest-1.1.cfg", "yolo-fastest-1.1.weights"),
    "mobilenetv2-nano": NetworkFiles("MobileNetV2-YOLOv3-Nano-coco.cfg", "MobileNetV2-YOLOv3-Nano-coco.weights"),
}

# Options of the training by the recipe's name; `{tenth}` and `{half}` are shares of the iterations. The first four are
# always in the grid, the others only where the selection names them: they were tried to choose the default.
RECIPES: dict[str, Mapping[str, Any]] = {
    UNTOUCHED: {},
    "default": {},
    # The cfg's own optimiser, rate and policy. Its warm-up, made for half a million updates, is a tenth of the run:
    # uncut it would leave the weights nearly as they are.
    "darknet": {"recipe": "darknet", "subdivisions": 1, "burn_in": "{tenth}"},
    "heads": {"fine_tune_layers": "heads"},
}
STANDARD = tuple(RECIPES)


def _adamw(rate: float, **more: Any) -> Mapping[str, Any]:
    return {"optimizer": "adamw", "learning_rate": rate, "policy": "cosine", "burn_in": "{tenth}", **more}


RECIPES |= {
    BINARY: RECIPES["darknet"],
    **{recipe: RECIPES[recipe.removesuffix("-last")] for recipe in LAST},
    "adamw-1e-3": _adamw(1e-3, fine_tune_layers="all", batch_norm="train"),
    "adamw-2e-3": _adamw(2e-3, fine_tune_layers="all", batch_norm="train"),
    "adamw-5e-4": _adamw(5e-4, fine_tune_layers="all", batch_norm="train"),
    "heads-3e-3": _adamw(3e-3, fine_tune_layers="heads", batch_norm="train"),
    "heads-6e-3": _adamw(6e-3, fine_tune_layers="heads", batch_norm="train"),
    "frozen-1e-3": _adamw(1e-3, fine_tune_layers="all", batch_norm="frozen"),
    "frozen-2e-3": _adamw(2e-3, fine_tune_layers="all", batch_norm="frozen"),
    "staged-1e-3": _adamw(1e-3, fine_tune_layers="heads@{half},all", batch_norm="train"),
    "neck-2e-3": _adamw(2e-3, fine_tune_layers="neck_and_heads", batch_norm="train"),
    "ema-2e-3": _adamw(2e-3, fine_tune_layers="all", batch_norm="train", ema_alpha=0.99),
    "default-exact": {"loss": "exact"},
    "default-frozen": {"batch_norm": "frozen"},
    "default-mosaic": {"mosaic": 0.5},
    "default-jitter": {"jitter": 0.3},
}


@dataclass(frozen=True)
class Cell:
    """One training and its judgement on the site that neither trained nor chose it."""

    network: str
    size: str
    iterations: int
    recipe: str
    seed: int
    site: str

    @property
    def key(self) -> str:
        """A name of the cell that can be a file's."""
        return "-".join(str(getattr(self, field.name)) for field in fields(self))

    @property
    def network_wh(self) -> tuple[int, int]:
        """Width and height of the network's input in pixels."""
        width, height = self.size.split("x")
        return int(width), int(height)

    @property
    def val_site(self) -> str:
        """The site that the checkpoint is chosen on: the one after the judged one, in a ring."""
        return SITES[(SITES.index(self.site) + 1) % len(SITES)]

    def _share_of_run(self, value: Any) -> Any:
        if not isinstance(value, str) or "{" not in value:
            return value
        text = value.format(tenth=self.iterations // 10, half=self.iterations // 2)
        return int(text) if text.isdecimal() else text

    def options(self) -> dict[str, Any]:
        """The options of the training that the recipe, the size and the seed decide."""
        given = {name: self._share_of_run(value) for name, value in RECIPES[self.recipe].items()}
        width, height = self.network_wh
        return {
            "width": width,
            "height": height,
            "batch": BATCH,
            "max_batches": self.iterations,
            "seed": self.seed,
            **given,
        }


def grid() -> Iterator[Cell]:
    """Every standard cell once, those first that decide most: few iterations, one seed, the smaller network.

    The untouched weights are measured once for a network, size and site: they have no iterations and no seed.
    """
    for seed, network, iterations, size, recipe in itertools.product(
        SEEDS, NETWORKS, (0, *ITERATIONS), SIZES, STANDARD
    ):
        if (recipe == UNTOUCHED) != (iterations == 0) or (recipe == UNTOUCHED and seed != SEEDS[0]):
            continue
        for site in SITES:
            yield Cell(network, size, iterations, recipe, seed, site)


def selected(selection: str) -> list[Cell]:
    """The cells that `selection` names: "network=yolo-fastest iterations=40,200 recipe=adamw-1e-3".

    A field that is left out stands for all its values in the grid; a recipe outside the grid must be named. Raises
    `ValueError` for a field or value that does not exist.
    """
    known = {field.name: field.type for field in fields(Cell)}
    wanted: dict[str, set[str]] = {}
    for term in selection.split():
        name, separator, values = term.partition("=")
        if name not in known or not separator:
            raise ValueError(f"selection: expected {'=, '.join(known)}=, found {term!r}")
        wanted[name] = set(values.split(","))
    cells = list(grid())
    for recipe in sorted(wanted.get("recipe", set()) - set(STANDARD)):
        if recipe not in RECIPES:
            raise ValueError(f"selection: unknown recipe {recipe!r}; known: {', '.join(RECIPES)}")
        cells += [
            Cell(c.network, c.size, c.iterations, recipe, c.seed, c.site) for c in grid() if c.recipe == "default"
        ]
    for name, values in wanted.items():
        there = {str(getattr(cell, name)) for cell in cells}
        if unknown := sorted(values - there):
            raise ValueError(f"selection: no cell has {name}={unknown[0]}; there are {', '.join(sorted(there))}")
        cells = [cell for cell in cells if str(getattr(cell, name)) in values]
    return cells
