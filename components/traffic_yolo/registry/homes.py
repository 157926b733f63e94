"""Where the models of a zoo lie: opens the home of one, or of all, on whichever store the zoo is."""

from traffic_yolo.registry.folder_home import FolderHome, folder_names
from traffic_yolo.registry.ledger import LEDGER_FOLDER
from traffic_yolo.registry.model_home import MODEL_NAME, ModelHome, check_model_name, check_zoo
from traffic_yolo.registry.object_home import ObjectHome, prefix_names
from traffic_yolo.storage import AnyPath, is_s3


def open_home(zoo: AnyPath, name: str) -> ModelHome:
    """The place of a model, there or not. `OptionsError` for a name that cannot be a model's."""
    check_model_name(name)
    return ObjectHome(zoo, name) if is_s3(zoo) else FolderHome(zoo, name)


def homes(zoo: AnyPath) -> list[ModelHome]:
    """The models of a zoo, by name; `StorageError` where there is no zoo."""
    check_zoo(zoo)
    there = prefix_names(zoo) if is_s3(zoo) else folder_names(zoo)
    names = sorted(name for name in there if MODEL_NAME.fullmatch(name) and name != LEDGER_FOLDER)
    found = [open_home(zoo, name) for name in names]
    return [home for home in found if home.versions() or home.current().version is not None]
