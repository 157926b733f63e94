"""Which data sets the models of a zoo were made of and judged on, so that nobody removes them for good."""

from collections.abc import Iterator
from typing import Any

from traffic_yolo.errors import ModelError
from traffic_yolo.registry.card import CARD_NAME
from traffic_yolo.registry.homes import homes
from traffic_yolo.registry.ledger import OBJECT_NAME, ledger_of_zoo, read_ledger
from traffic_yolo.registry.model_home import check_zoo
from traffic_yolo.storage import AnyPath, exists, join, parse_json, read
from traffic_yolo.trained_on import TRAINED_ON_NAME


def published_data(zoo: AnyPath) -> dict[str, str]:
    """Fingerprint of a data set -> which version or record of the zoo names it, in words.

    Raises `StorageError` where there is no zoo, `ModelError` for a card or a record that cannot be read: what does it
    name?
    """
    check_zoo(zoo)
    named: dict[str, str] = {}
    for home in homes(zoo):
        for version in home.versions():
            for fingerprint in _named_by(str(home.bundle(version))):
                named.setdefault(fingerprint, f"published as {home.name} {version} in {zoo}")
    ledger = ledger_of_zoo(zoo)
    entries, problems = read_ledger(ledger) if exists(ledger) else ([], [])
    for problem in problems:
        if OBJECT_NAME.fullmatch(problem.partition(": ")[0]):
            raise _unknown(f"{ledger}: {problem}")
    for entry in entries:
        fingerprint = str(entry.record.data["fingerprint"])
        named.setdefault(fingerprint, f"named by the record of {entry.name} {entry.version} in {zoo}")
    return named


def _named_by(bundle: str) -> Iterator[str]:
    """What a bundle's card says that it was judged on, and what its weights say that they were trained on."""
    yield _text(_document(join(bundle, CARD_NAME)), "data", "fingerprint", where=f"{bundle}/{CARD_NAME}")
    trained_on = join(bundle, TRAINED_ON_NAME)
    if exists(trained_on):
        yield _text(_document(trained_on), "data_fingerprint", where=trained_on)


def _document(location: str) -> Any:
    return parse_json(read(location), where=location, error=ModelError)


def _text(value: Any, *keys: str, where: str) -> str:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    if not isinstance(value, str) or not value:
        raise _unknown(f"{where}: {'.'.join(keys)} is missing")
    return value


def _unknown(problem: str) -> ModelError:
    return ModelError(f"{problem}; nobody can say which data set it names, so nothing goes; repair or remove it")
