"""The model zoo: a folder, usually on the NAS, that keeps every published version of every model.

`<zoo>/<name>/<number>-<hash>/` is a bundle, `<zoo>/<name>/current` a text file with the version that is in use (no
link: not every share has them), `<zoo>/<name>/history/` what was in use before, `<zoo>/ledger/` the records.
"""

from pathlib import Path

from traffic_yolo.errors import ModelError
from traffic_yolo.messages import shown
from traffic_yolo.registry.bundle import verify_bundle
from traffic_yolo.registry.homes import open_home
from traffic_yolo.registry.in_use import Now, retried, use
from traffic_yolo.registry.known_home import known_home
from traffic_yolo.registry.model_home import ModelHome, chosen_version
from traffic_yolo.registry.publish import publish as publish
from traffic_yolo.registry.published import Published as Published
from traffic_yolo.storage import AnyPath, output_path


def versions(zoo: AnyPath, name: str) -> list[Path]:
    """The bundles of a model in a zoo that is a folder, oldest first; empty for a model that the zoo does not have."""
    return [output_path(zoo) / name / version for version in open_home(zoo, name).versions()]


def current_version(zoo: AnyPath, name: str) -> str | None:
    """The version that `current` names; None where no version is in use."""
    return open_home(zoo, name).current().version


def current_bundle(zoo: AnyPath, name: str) -> Path | str:
    """Where the version in use lies, verified; `ModelError` where there is none or it is damaged."""
    home = open_home(zoo, name)
    bundle = home.bundle(chosen_version(home, ""))
    verify_bundle(bundle)
    return bundle


def set_current(zoo: AnyPath, name: str, version: str) -> Path | str:
    """Makes a published version the one in use and returns where its bundle lies.

    `version`: its name or number. Raises `ModelError` for a version that is not there, naming those that are, or a
    damaged one.
    """
    home = known_home(zoo, name)
    chosen = chosen_version(home, version)
    verify_bundle(home.bundle(chosen))
    with home.locked():
        retried(home, lambda now: use(home, chosen, now, "set-current"))
    return home.bundle(chosen)


def roll_back(zoo: AnyPath, name: str) -> tuple[str, Path | str]:
    """Makes the version current that was in use before: (the version that was in use, where the other's bundle lies).

    Twice goes back two versions. Raises `ModelError` where nothing was in use before, or what was is gone or damaged.
    """
    home = known_home(zoo, name)
    with home.locked():
        return retried(home, lambda now: _roll_back(home, now))


def _roll_back(home: ModelHome, now: Now) -> tuple[str, Path | str]:
    in_use = now.in_use
    if in_use.version is None:
        raise ModelError(f"{home.location}: no version is in use; publish one, or set one current")
    before = now.history.before(in_use.version)
    known = home.versions()
    if before is None or before not in known:
        missing = "no version was in use" if before is None else f"{shown(before)}, which is not there any more, was"
        raise ModelError(
            f"{home.location}: before {in_use.version} {missing}; choose one with `zoo set-current`; found "
            f"{', '.join(known)}"
        )
    verify_bundle(home.bundle(before))
    use(home, before, now, "rollback")
    return in_use.version, home.bundle(before)
