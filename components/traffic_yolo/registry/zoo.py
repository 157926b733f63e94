"""The model zoo: a folder, usually on the NAS, that keeps every published version of every model.

`<zoo>/<name>/<number>-<hash>/` is a bundle, `<zoo>/<name>/current` a text file with the version that is in use (no
link: not every share has them), `<zoo>/ledger/` the records.
"""

import contextlib
import fcntl
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from traffic_yolo.errors import ModelError, OptionsError, StorageError
from traffic_yolo.registry.bundle import gather_bundle, verify_bundle
from traffic_yolo.registry.ledger import LEDGER_FOLDER, LedgerEntry, add_entry, ledger_of_zoo
from traffic_yolo.storage import AnyPath, atomic_folder, output_path, write_text
from traffic_yolo.verdict_file import read_verdict

CURRENT_NAME = "current"
LOCK_NAME = ".lock"
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
VERSION_NAME = re.compile(r"(\d{4,})-([0-9a-f]{12})")


@dataclass(frozen=True)
class Published:
    """`bundle`: the version's folder; `is_new`: False where the same content lay there already; `is_current`.

    `problems`: why it was not made current. `learnt`: False where there was nothing new to publish.
    """

    bundle: Path
    name: str
    is_new: bool
    is_current: bool
    problems: tuple[str, ...]
    learnt: bool = True

    @property
    def version(self) -> str:
        """The version's name."""
        return self.bundle.name

    @property
    def text(self) -> str:
        """A line or two for people."""
        if not self.learnt:
            stays = f"{self.name} {self.version} stays in use: {self.bundle}"
            return f"nothing was learnt, so there is nothing new to publish; {stays}"
        state = "published" if self.is_new else "was published already"
        current = "in use (current)" if self.is_current else "not in use (current names another version, or none)"
        line = f"{self.name} {self.version} {state}: {self.bundle}; {current}"
        return f"{line}\nNOT MADE CURRENT: {'; '.join(self.problems)}" if self.problems else line


def publish(
    *, model: AnyPath, evaluation: AnyPath, tuning: AnyPath, validation: AnyPath, zoo: AnyPath, name: str
) -> Published:
    """Puts the bundle of one run into the zoo, writes its ledger record, and makes it current where nothing speaks
    against it: its parity passed, and its training did not find it worse than what it started from.

    Weights that are those which the training started from are no new version where the zoo has one in use already. The
    same content is never published twice: it gives the version that is there, and `current` stays as it is. Two
    publishers at once wait for each other. Raises `ModelError` for folders that do not belong together,
    `OptionsError` for a name that cannot be a folder's, `StorageError` for a full disk; nothing is left behind then.
    """
    check_model_name(name)
    root = output_path(zoo)
    bundle = gather_bundle(model, evaluation, tuning, validation)
    home = root / name
    verdict = read_verdict(model)
    with _lock(home):
        in_use = current_version(zoo, name)
        if verdict is not None and not verdict.learnt and in_use is not None:
            return Published(home / in_use, name, False, True, (), learnt=False)
        there = next((path for path in versions(zoo, name) if path.name.endswith(f"-{bundle.version_hash}")), None)
        path = there or home / f"{_next_number(zoo, name):04d}-{bundle.version_hash}"
        if there is None:
            with atomic_folder(path) as folder:
                bundle.write(folder)
        else:
            verify_bundle(there)
        # After the bundle: a record never names a version that is not there. Its own name makes repeating it harmless.
        add_entry(ledger_of_zoo(zoo), LedgerEntry.of_bundle(name, path.name, bundle.card, bundle.record))
        problems = tuple(bundle.card["parity"]["problems"] or ()) if not bundle.card["parity"]["passed"] else ()
        problems += verdict.worse if verdict is not None else ()
        if there is None and not problems:
            write_text(home / CURRENT_NAME, f"{path.name}\n")
        return Published(path, name, there is None, current_version(zoo, name) == path.name, problems)


def check_model_name(name: str) -> None:
    """Raises `OptionsError` for a name that cannot be that of a model's folder in a zoo."""
    if not MODEL_NAME.fullmatch(name) or name == LEDGER_FOLDER:
        expected = f"letters, digits, '.', '_' and '-', and not {LEDGER_FOLDER!r}"
        raise OptionsError(f"model name {name!r}: expected {expected}")


def versions(zoo: AnyPath, name: str) -> list[Path]:
    """The bundles of a model, oldest first; empty for a model that the zoo does not have."""
    home = output_path(zoo) / name
    found = [(VERSION_NAME.fullmatch(path.name), path) for path in home.iterdir()] if home.is_dir() else []
    numbered = [(int(match[1]), path.name, path) for match, path in found if match and path.is_dir()]
    return [path for _, _, path in sorted(numbered)]


def current_version(zoo: AnyPath, name: str) -> str | None:
    """The version that `current` names; None where no version is in use."""
    try:
        return (output_path(zoo) / name / CURRENT_NAME).read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None


def current_bundle(zoo: AnyPath, name: str) -> Path:
    """The folder of the version in use, verified; `ModelError` where there is none or it is damaged."""
    version = current_version(zoo, name)
    if version is None:
        raise ModelError(f"{output_path(zoo) / name}: no version is in use; publish one, or set one current")
    path = output_path(zoo) / name / version
    verify_bundle(path)
    return path


def set_current(zoo: AnyPath, name: str, version: str) -> Path:
    """Makes a published version the one in use (to roll back, say) and returns its folder.

    Raises `ModelError` for a version that is not there, naming those that are, or a damaged one.
    """
    known = {path.name: path for path in versions(zoo, name)}
    if version not in known:
        found = ", ".join(known) or "none"
        raise ModelError(f"{output_path(zoo) / name}: no version {version!r}; found {found}")
    verify_bundle(known[version])
    with _lock(output_path(zoo) / name):
        write_text(output_path(zoo) / name / CURRENT_NAME, f"{version}\n")
    return known[version]


def _next_number(zoo: AnyPath, name: str) -> int:
    published = versions(zoo, name)
    return int(published[-1].name.split("-")[0]) + 1 if published else 1


@contextlib.contextmanager
def _lock(home: Path) -> Iterator[None]:
    """Keeps other publishers of this model waiting; the system lets go when the process ends, however it ends.

    On a share without locks nobody waits: two publishers may then take the same number, and their hashes tell the
    versions apart.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        file = (home / LOCK_NAME).open("a")
    except OSError as error:
        raise StorageError(f"{home}: the model zoo cannot be written: {error.strerror or error}") from error
    with file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
