"""Which model is taken, and how its classes are judged; the names are those of the command line and the component."""

from dataclasses import dataclass

from traffic_yolo.errors import OptionsError
from traffic_yolo.options import check_options, option

OF_ZOO = ("model_name", "version")
OF_DARKNET = ("cfg", "weights", "weights_names")


@dataclass(frozen=True)
class ModelChoice:
    """A model by its Darknet files, or by its name in a zoo. Raises `OptionsError` unless it is exactly one of both."""

    cfg: str = option("", "Darknet .cfg file of the model.", headline=True, location="read")
    weights: str = option("", "Its Darknet .weights, whole.", headline=True, location="read")
    weights_names: str = option(
        "", "File with the class names that the weights were trained for, one a line.", headline=True, location="read"
    )
    zoo: str = option(
        "", "Model zoo (a path, nas:// or s3://), in the place of cfg and weights.", headline=True, location="read"
    )
    model_name: str = option("", "Name of the model in the zoo.", headline=True)
    version: str = option("", "Its version in the zoo, or its number; empty: the one in use.", headline=True)
    class_seeds: str = option(
        "",
        "Classes of the data set and those of the model that stand for them, where names differ: "
        "LONG_TRUCK=truck,MOTORCYCLE=motorbike.",
        headline=True,
    )
    width: int | None = option(
        None, "Network width in pixels, a multiple of 32; by default the model's.", least=1, headline=True
    )
    height: int | None = option(
        None, "Network height in pixels, a multiple of 32; by default the model's.", least=1, headline=True
    )

    def __post_init__(self) -> None:
        check_options(self)
        given = [name for name in OF_DARKNET if getattr(self, name)]
        if self.zoo:
            if given:
                raise OptionsError(f"zoo: {given[0]} names another model; leave one of them out")
            if not self.model_name:
                raise OptionsError("model_name: expected the name of a model in the zoo, found nothing")
            return
        foreign = [name for name in OF_ZOO if getattr(self, name)]
        if foreign:
            raise OptionsError(f"{foreign[0]}: a name in a zoo; give zoo, where that lies")
        missing = [name for name in OF_DARKNET if not getattr(self, name)]
        if missing:
            expected = "cfg, weights and weights_names, or zoo and model_name"
            raise OptionsError(f"{missing[0]}: expected {expected}; found {', '.join(given) or 'nothing'}")
