"""Holds the directions of docs/architecture.md: who may import whom, and which package has which foreign library."""

import ast
import functools
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
LIBRARY = REPOSITORY / "components" / "traffic_yolo"

# folder -> the other folders of the library it may import; what lies beside the folders is open to all of them
MAY_IMPORT: dict[str, set[str]] = {
    "storage": set(),
    "cluster": set(),
    "darknet": set(),
    "atm": set(),
    "snapshot": {"atm"},
    "katib": {"cluster"},
    "dataset": {"atm", "snapshot", "darknet"},  # darknet: the anchors of a cfg, for the report
    "tracking": set(),
    "training": {
        "cluster",
        "dataset",
        "darknet",
        "detection",
        "metrics",
        "tracking",
    },  # validates with evaluate's own metrics
    "export": {"dataset", "darknet"},
    "detection": {"dataset", "darknet"},
    "metrics": {"dataset", "detection"},
    "evaluation": {"dataset", "darknet", "detection", "metrics"},
    # compression: a trial may prune before it trains
    "tuning": {
        "katib",
        "cluster",
        "dataset",
        "darknet",
        "detection",
        "metrics",
        "training",
        "evaluation",
        "compression",
    },
    "deepstream": {"dataset", "darknet", "detection", "metrics", "evaluation"},
    "labelling": {"atm", "dataset"},
    # it judges what it made
    "compression": {"dataset", "darknet", "detection", "metrics", "training", "evaluation", "export", "pretrained"},
    "quantization": {"dataset", "darknet", "detection", "metrics", "training", "export"},
    "registry": {"dataset", "detection", "metrics", "evaluation"},  # gates measure versions on the same pictures
    "retraining": {"snapshot", "dataset", "registry"},  # registry: the version in use, and what became of an attempt
    "preflight": {
        "atm",
        "snapshot",
        "dataset",
        "detection",
        "training",
        "evaluation",
        "tuning",
        "deepstream",
        "registry",
    },
    "doctor": set(),
    "run_report": {"registry"},
    "predict": {"atm", "dataset", "detection", "registry"},
    "api": {"dataset", "detection", "metrics", "evaluation", "tuning", "predict"},
    "pretrained": {"dataset", "darknet", "export", "evaluation", "registry"},
}

# folder -> room in it -> the other rooms of that folder it may import; the files beside the rooms are open to them
ROOMS: dict[str, dict[str, set[str]]] = {
    "dataset": {
        "pictures": set(),
        "store": set(),
        "formats": {"pictures"},
        "splits": {"pictures"},
        "sources": {"formats", "pictures", "store"},
        "report": {"pictures", "sources", "splits"},
        "folder": {"formats", "report", "sources", "store"},
        "checks": {"pictures", "report", "sources", "splits", "store"},
        "diff": {"pictures", "report", "sources"},
    },
    "deepstream": {
        "config": set(),
        "simulate": {"config"},
        "parity": {"simulate"},
        "run": {"config", "parity", "simulate"},
        "waterfall": {"config", "parity", "run", "simulate"},
    },
    "katib": {
        "spec": set(),
        "check": {"spec"},
        "run": {"check", "spec"},
        "launch": {"check", "run", "spec"},
    },
}
OPEN_TO_ALL = {
    "beside",
    "boxes",
    "calibration_table",
    "checked_values",
    "container_images",
    "entry_point",
    "errors",
    "gpu_count",
    "heartbeat",
    "html_report",
    "jit",
    "limits",
    "messages",
    "model_folder",
    "number_format",
    "darknet_pair",
    "onnx_file",
    "onnx_session",
    "option_settings",
    "options",
    "page_origin",
    "patterns",
    "process_identity",
    "processes",
    "processors",
    "progress",
    "pruned_from",
    "published_weights",
    "report_index",
    "result_view",
    "run_id",
    "finding",
    "severity",
    "storage",
    "terminations",
    "typed_values",
    "trained_on",
    "verdict_file",
    "webhook",
    "_version",
}

# Files that import by string -> what, and why. Commands may: the package of pipelines stands above the library, and may
# be absent
IMPORTS_BY_STRING = {
    "__init__.py": "the public names, when they are first asked for",
    "darknet/__init__.py": "the public names, when they are first asked for",
    "cli.py": "the command that was called, and no other",
    "deepstream/waterfall/networks.py": "tensorrt, which GPU nodes have",
    "predict/prediction.py": "supervision, where the user has it",
}

# foreign library -> the only files that may import it (a path prefix relative to the repository)
ONLY_IN: dict[str, tuple[str, ...]] = {
    "kfp": (
        "components/traffic_yolo/*/component.py",
        "components/traffic_yolo/*/*/component.py",
        "pipelines/*.py",
        "tests/*",
    ),
    "kubeflow_katib_api": (
        "components/traffic_yolo/tuning/experiment.py",
        "components/traffic_yolo/katib/check/rules_schema.py",
        "katib/*.py",
        "tests/*",
    ),
    "kubeflow_trainer_api": ("components/traffic_yolo/training/trainjob.py", "tests/*"),
    "mlflow": (
        "components/traffic_yolo/tracking/mlflow_*.py",
        "components/traffic_yolo/training/event_log_mlflow.py",
        "tests/*",
    ),
    "tensorboard": ("components/traffic_yolo/training/event_log_tensorboard.py", "tests/*"),
    "kubernetes": ("components/traffic_yolo/cluster/api_server.py", "tests/*"),
    "kubernetes_validate": ("components/traffic_yolo/katib/check/*", "tests/*"),
    "re2": ("components/traffic_yolo/katib/spec/go_regexp.py", "tests/*"),
    "minio": ("components/traffic_yolo/storage/*", "tests/*"),
    "pycocotools": ("components/traffic_yolo/metrics/pycocotools_engine.py", "tests/*"),
    "numba": ("components/traffic_yolo/jit.py", "tests/*"),
    # The one door to files that nobody vouches for: nothing else may open one, or follow what it says
    "h5py": ("components/traffic_yolo/atm/hdf5_file.py", "components/traffic_yolo/atm/hdf5_storage.py", "tests/*"),
    "click": ("components/traffic_yolo/cli.py", "components/traffic_yolo/commands/*", "tests/*"),
}


# Calls that read a document or decode a picture without our limits -> the only files that may make them, and why
BARE_CALLS: dict[tuple[str, str], dict[str, str]] = {
    ("yaml", "load safe_load load_all safe_load_all full_load unsafe_load compose compose_all scan parse"): {
        "components/traffic_yolo/storage/yaml_values.py": "the reader itself",
    },
    ("json", "load loads JSONDecoder"): {
        "components/traffic_yolo/storage/documents.py": "the reader itself",
        "components/traffic_yolo/dataset/formats/json_stream.py": "files of any size, held to the same limits",
        "components/traffic_yolo/evaluation/record.py": "a value of our own, and the schema in this package",
        "components/traffic_yolo/evaluation/evaluate.py": "a value of our own, made plain",
        "components/traffic_yolo/katib/spec/template.py": "Katib's own way: text that we wrote, filled in",
        "components/traffic_yolo/atm/status.py": "a recording's faults are caught with the recording",
    },
    ("orjson", "loads"): {
        "components/traffic_yolo/dataset/formats/json_stream.py": "files of any size, held to the same limits",
        "components/traffic_yolo/dataset/formats/coco.py": "lines of a temporary file of this process",
        "components/traffic_yolo/dataset/frame_spool.py": "lines that the same conversion wrote",
        "components/traffic_yolo/dataset/sources/label_store.py": "lines of a temporary file of this process",
    },
    ("cv2", "imread imdecode imreadmulti imdecodemulti"): {
        "components/traffic_yolo/dataset/pictures/decode.py": "the decoder itself",
        "components/traffic_yolo/atm/jpeg.py": "after the same look at the header, which atm cannot import",
    },
}


def python_files() -> list[Path]:
    return sorted(
        path for top in ("components", "pipelines", "katib", "tests") for path in (REPOSITORY / top).rglob("*.py")
    )


@functools.cache
def parsed(path: Path) -> tuple[ast.AST, ...]:
    """Every node of a file, which most tests here walk over again."""
    return tuple(ast.walk(ast.parse(path.read_text())))


@functools.cache
def imported_modules(path: Path) -> tuple[str, ...]:
    """Every module that a file imports, at any depth (components import inside their bodies)."""
    return tuple(_imported_modules(path))


def _imported_modules(path: Path) -> Iterator[str]:
    for node in parsed(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports_of(path: Path) -> Iterator[tuple[str, str]]:
    """(module, "file:line imports module") of every import of ours; a name imported from a module is that module."""
    for node in parsed(path):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                member = f"{node.module}.{alias.name}"
                names.append(member if is_module(member) else node.module)
        for name in names:
            if name.split(".")[0] == "traffic_yolo":
                yield name, f"{path.relative_to(REPOSITORY)}:{node.lineno} imports {name}"


@functools.cache
def is_module(name: str) -> bool:
    place = LIBRARY.parent.joinpath(*name.split("."))
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()


def module_name(path: Path) -> str:
    parts = path.relative_to(LIBRARY.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def find_circle(arrows: dict[str, set[str]]) -> list[str]:
    """The names along a circle, its first one again at the end; empty where there is none."""
    done: set[str] = set()
    for start in sorted(arrows):
        way, todo = [start], [sorted(arrows[start], reverse=True)]
        if start in done:
            continue
        while way:
            if not todo[-1]:
                done.add(way.pop())
                todo.pop()
                continue
            name = todo[-1].pop()
            if name in way:
                return [*way[way.index(name) :], name]
            if name not in done:
                way.append(name)
                todo.append(sorted(arrows[name], reverse=True))
    return []


@pytest.mark.parametrize("folder", sorted(MAY_IMPORT))
def test_library_folder_imports_only_what_architecture_allows(folder: str) -> None:
    allowed = MAY_IMPORT[folder] | {folder} | OPEN_TO_ALL
    wrong = [
        f"{path.relative_to(REPOSITORY)} imports {module}"
        for path in (LIBRARY / folder).rglob("*.py")
        for module in imported_modules(path)
        if module.startswith("traffic_yolo.") and module.split(".")[1] not in allowed | {"__version__"}
    ]
    assert wrong == []


def test_the_page_states_the_directions_that_are_held_here() -> None:
    page = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    _, _, table = page.partition("| folder | may import |\n|---|---|\n")
    stated: dict[str, set[str]] = {}
    for row in table.partition("\n\n")[0].splitlines():
        folders, allowed = (re.sub(r"\([^)]*\)", "", cell).strip() for cell in row.strip("| ").split("|"))
        for folder in folders.split(", "):
            assert folder not in stated, f"{folder} has two rows"
            stated[folder] = set() if allowed == "–" else {name.strip() for name in allowed.split(",")}
    assert stated == MAY_IMPORT


@pytest.mark.parametrize("folder", sorted(ROOMS))
def test_room_imports_only_the_rooms_below_it(folder: str) -> None:
    rooms = {path.parent.name for path in (LIBRARY / folder).glob("*/__init__.py")}
    assert rooms == set(ROOMS[folder])
    wrong = [
        line
        for room, allowed in ROOMS[folder].items()
        for path in (LIBRARY / folder / room).rglob("*.py")
        for module, line in imports_of(path)
        if module.startswith(f"traffic_yolo.{folder}.") and module.split(".")[2] in rooms - allowed - {room}
    ]
    assert wrong == []


def test_no_file_imports_itself_by_a_detour() -> None:
    """Circles hold also where one of their arrows is inside a function or is for the type checker alone."""
    modules = {module_name(path): path for path in LIBRARY.rglob("*.py")}
    arrows = {
        name: {module: line for module, line in imports_of(path) if module in modules and module != name}
        for name, path in modules.items()
    }
    circle = find_circle({name: set(found) for name, found in arrows.items()})
    assert [arrows[one][other] for one, other in itertools.pairwise(circle)] == []


def test_a_circle_is_found() -> None:
    assert find_circle({"a": {"b"}, "b": {"c", "d"}, "c": set(), "d": {"a"}}) == ["a", "b", "d", "a"]
    assert find_circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_imports_by_string_stand_only_where_stated() -> None:
    """What is imported by its name as text is seen by no other test here."""
    found = {
        str(path.relative_to(LIBRARY))
        for path in LIBRARY.rglob("*.py")
        for node in parsed(path)
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__")
    }
    outside = {file for file in found if not file.startswith("commands/")}
    assert outside == set(IMPORTS_BY_STRING)


def test_every_library_folder_has_its_directions_stated() -> None:
    folders = {path.name for path in LIBRARY.iterdir() if (path / "__init__.py").exists()}
    assert folders - {"commands"} == set(MAY_IMPORT)


def test_files_beside_the_folders_import_no_folder() -> None:
    wrong = [
        f"{path.name} imports {module}"
        for path in LIBRARY.glob("*.py")
        if path.stem in OPEN_TO_ALL - {"darknet_pair", "model_folder", "trained_on"}
        for module in imported_modules(path)
        if module.startswith("traffic_yolo.") and module.split(".")[1] in set(MAY_IMPORT) - {"storage"}
    ]
    assert wrong == []


@pytest.mark.parametrize("foreign", sorted(ONLY_IN))
def test_foreign_library_is_imported_only_where_stated(foreign: str) -> None:
    wrong = [
        str(path.relative_to(REPOSITORY))
        for path in python_files()
        if any(module.split(".")[0] == foreign for module in imported_modules(path))
        and not any(_matches(path, pattern) for pattern in ONLY_IN[foreign])
    ]
    assert wrong == []


def test_hdf5_files_are_opened_in_one_place() -> None:
    """A file of a stranger's, opened anywhere else, is not held against what it states of itself."""
    door = LIBRARY / "atm" / "hdf5_file.py"
    calls = [
        node.func.attr if isinstance(node.func, ast.Attribute) else ""
        for node in ast.walk(ast.parse(door.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("h5py.File", "h5py.h5f.open", "h5f.open")
    ]
    assert calls == ["File", "File"]  # one to read, one to write


@pytest.mark.parametrize(("module", "names"), sorted(BARE_CALLS))
def test_documents_and_pictures_of_others_are_read_within_our_limits_alone(module: str, names: str) -> None:
    allowed = BARE_CALLS[module, names]
    found = {
        str(path.relative_to(REPOSITORY))
        for top in ("components", "pipelines")
        for path in (REPOSITORY / top).rglob("*.py")
        if _uses(path, module, set(names.split()))
    }
    assert found == set(allowed)  # use storage's read_yaml, read_json or parse_*, and dataset.picture_decode


def test_nothing_imports_the_command_line() -> None:
    wrong = [
        str(path.relative_to(REPOSITORY))
        for path in python_files()
        if path.parts[-2] != "tests" and "tests" not in path.parts and path.name != "__main__.py"
        for module in imported_modules(path)
        if module in ("traffic_yolo.cli", "traffic_yolo.cli.main")
    ]
    assert wrong == []


def test_nothing_but_the_commands_imports_the_pipelines_package() -> None:
    wrong = [
        str(path.relative_to(REPOSITORY))
        for path in LIBRARY.rglob("*.py")
        if path.parent.name != "commands"
        and any(module.startswith("traffic_yolo_pipelines") for module in imported_modules(path))
    ]
    assert wrong == []


def test_components_postpone_no_annotations() -> None:
    """`from __future__ import annotations` makes kfp's decorator fail on artifacts."""
    for path in [*LIBRARY.rglob("component.py"), *(REPOSITORY / "pipelines").glob("*.py")]:
        assert "__future__" not in set(imported_modules(path)), path


def test_docker_folder_holds_no_package() -> None:
    """A docker/__init__.py would hide the SDK of that name, which kfp.local imports; scripts of a build do not."""
    assert list((REPOSITORY / "docker").rglob("__init__.py")) == []


def _uses(path: Path, module: str, names: set[str]) -> bool:
    """Whether a file names `module.name`, or imports the name from the module."""
    text = path.read_text()
    return module in text and any(
        (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and (node.value.id, node.attr in names) == (module, True)
        )
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == module
            and any(alias.name in names for alias in node.names)
        )
        for node in parsed(path)
    )


def _matches(path: Path, pattern: str) -> bool:
    relative = path.relative_to(REPOSITORY)
    return relative.match(pattern) or (pattern.endswith("/*") and str(relative).startswith(pattern[:-1]))
