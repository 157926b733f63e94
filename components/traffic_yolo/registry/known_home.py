"""The home of a model that a zoo has, or a line that says what it has."""

from traffic_yolo.errors import ModelError
from traffic_yolo.messages import shown_names
from traffic_yolo.registry.bare_zoo import bare_pairs
from traffic_yolo.registry.homes import homes, open_home
from traffic_yolo.registry.model_home import ModelHome
from traffic_yolo.storage import AnyPath


def known_home(zoo: AnyPath, name: str) -> ModelHome:
    """The place of a model that the zoo has; `StorageError` for a missing zoo, `ModelError` naming the models else."""
    home = open_home(zoo, name)
    if not home.versions():
        if any(pair.name == name for pair in bare_pairs(zoo)):
            raise ModelError(
                f"{zoo}: {name} is a bare pair of cfg and weights, without versions; predict and import-model take it"
            )
        found = shown_names([each.name for each in homes(zoo)], most=20)
        raise ModelError(f"{zoo}: no model {name!r}; found {found or 'none'}")
    return home
