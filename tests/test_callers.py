"""Every public function, class and method has a caller in the product, or is one that docs/architecture.md offers.

What only tests call is a feature that no user reaches: nobody would notice that it is gone, and it is kept for nothing.

A function or class counts as called where code of its own module loads the name outside of its body, or where code that
imports it from there does, or code of a module that imports others by a text. A method counts where any code loads the
name. Compiled code is asked, for it holds no comments and is there already: parsing the product takes seconds.
"""

import dis
import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType

import pytest

import traffic_yolo

REPOSITORY = Path(__file__).resolve().parents[1]
ROOTS = {"components": "", "pipelines": "traffic_yolo_pipelines", "katib": "katib"}
PAGE = REPOSITORY / "docs" / "architecture.md"
EXPORTING = ("traffic_yolo.storage", "traffic_yolo.darknet")  # packages that offer all that they import
IN_FUNCTION = 0x1  # code's flag CO_OPTIMIZED: a function's, not a module's or a class's
# Decorators that leave a function to be called by its name; any other hands it to somebody
PLAIN = re.compile(
    r"@(\w+\.)*(property|setter|staticmethod|classmethod|abstractmethod|dataclass|kernel|lru_cache|cache|cached_property"
    r"|contextmanager|wraps|total_ordering|component)\b"
)
PUBLIC = re.compile(r"([A-Za-z]\w*\.)?[A-Za-z]\w*")  # not private, not inside a function
# Methods that a library calls by name
CALLED_BY_LIBRARIES = {
    "forward": "torch.nn.Module",
    "extra_repr": "torch.nn.Module",
    "get_command": "click.Group",
    "format_commands": "click.Group",
    "filter": "logging.Filter",
    "handle_starttag": "html.parser.HTMLParser",
    "handle_endtag": "html.parser.HTMLParser",
    "handle_data": "html.parser.HTMLParser",
    "get_experiment": "kfp.Client",
}


@dataclass(frozen=True)
class Block:
    """The code of a function, class or module; `qualified` is its name within the module."""

    code: CodeType = field(repr=False)
    qualified: str

    def loads(self, name: str) -> bool:
        """Whether it loads or imports the name; a class and a module also store names, which does not count."""
        return name in self.code.co_names and (bool(self.code.co_flags & IN_FUNCTION) or name in self._loaded)

    @functools.cached_property
    def _loaded(self) -> frozenset[str]:
        loads = [each for each in dis.get_instructions(self.code) if each.opname.startswith(("LOAD_", "IMPORT_"))]
        return frozenset(each.argval for each in loads if isinstance(each.argval, str))


@dataclass(frozen=True)
class Module:
    """A module by its import name: its blocks (the first is its own), and the lines of its source."""

    name: str
    blocks: tuple[Block, ...]
    lines: tuple[str, ...] = field(repr=False)

    @functools.cached_property
    def names(self) -> frozenset[str]:
        """What any of its code loads, imports or stores."""
        return frozenset().union(*(block.code.co_names for block in self.blocks))

    def loads(self, name: str, *, but: str = "") -> bool:
        """Whether code loads or imports the name; but for that of the function or class `but`."""
        return name in self.names and any(
            block.loads(name) for block in self.blocks if not but or not f"{block.qualified}.".startswith(f"{but}.")
        )

    def imports(self, module: str) -> bool:
        """Whether it imports another one, whole or from its package, or by a text, so that nobody sees which."""
        package, _, last = module.rpartition(".")
        return module in self.names or {package, last} <= self.names or "import_module" in self.names

    def is_registered(self, block: Block) -> bool:
        """Whether a decorator hands the function to somebody: a command, a rule."""
        for line in self.lines[block.code.co_firstlineno - 1 :]:
            if line.lstrip().startswith(("def ", "class ")):
                return False
            if line.lstrip().startswith("@") and not PLAIN.match(line.lstrip()):
                return True
        return False


def blocks_of(code: CodeType) -> Iterator[Block]:
    """The block of a module's code, and of all the code inside."""
    yield Block(code, code.co_qualname)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from blocks_of(constant)


def module_of(name: str, code: CodeType, text: str) -> Module:
    """A module of its compiled code and its text."""
    return Module(name, tuple(blocks_of(code)), tuple(text.splitlines()))


@functools.cache
def product() -> tuple[Module, ...]:
    """Every module of the product."""
    found = []
    for root, package in ROOTS.items():
        for path in sorted((REPOSITORY / root).rglob("*.py")):
            parts = path.relative_to(REPOSITORY / root).with_suffix("").parts
            name = ".".join(([package] if package else []) + [part for part in parts if part != "__init__"])
            code = SourceFileLoader(name, str(path)).get_code(name)
            assert code is not None
            found.append(module_of(name, code, path.read_text(encoding="utf-8")))
    return tuple(found)


def uncalled(modules: tuple[Module, ...], is_offered: Callable[[str], bool]) -> list[str]:
    """`room.file.name` and `room.file.Class.name` of what no code loads and nobody is offered."""
    users: dict[str, list[Module]] = {}
    for module in modules:
        for name in module.names:
            users.setdefault(name, []).append(module)
    found = []
    for module in modules:
        for block in module.blocks[1:]:
            if not PUBLIC.fullmatch(block.qualified):
                continue
            in_class, _, name = block.qualified.rpartition(".")
            others = (
                one for one in users.get(name, ()) if one is not module and (in_class or one.imports(module.name))
            )
            called = module.loads(name, but=block.qualified) or any(one.loads(name) for one in others)
            qualified = f"{module.name}.{block.qualified}".removeprefix("traffic_yolo.")
            is_libraries = bool(in_class) and name in CALLED_BY_LIBRARIES
            if not (called or is_libraries or is_offered(qualified) or module.is_registered(block)):
                found.append(qualified)
    return found


def offered_by_the_page(modules: tuple[Module, ...]) -> Callable[[str], bool]:
    """Tells what the table of public functions lists, `traffic_yolo.__all__` names, or a package exports whole."""
    section = PAGE.read_text(encoding="utf-8").split("## Public functions")[1].split("\n## ")[0]
    listed = {
        name for line in section.splitlines() if line.startswith("| ") for name in re.findall(r"`([\w.]+)`", line)
    }
    by_name = {module.name: module for module in modules}
    for package in EXPORTING:
        listed |= {f"{package}.{name}".removeprefix("traffic_yolo.") for name in by_name[package].names}
    for name in tuple(listed):  # what a listed module hands on is defined in one that it imports
        place, _, last = f"traffic_yolo.{name}".rpartition(".")
        if place in by_name:
            sources = {one.removeprefix("traffic_yolo.") for one in by_name[place].names if one in by_name}
            listed |= {f"{source}.{last}" for source in sources}

    def is_offered(qualified: str) -> bool:
        return qualified in listed or bool(set(traffic_yolo.__all__) & set(qualified.split(".")[-2:]))

    return is_offered


def test_nothing_public_is_reached_by_tests_alone() -> None:
    # Wire it or delete it; what a program of somebody else is to call gets a row in docs/architecture.md
    assert uncalled(product(), offered_by_the_page(product())) == []


MADE_UP = {
    "traffic_yolo.a": """
def used(): ...
def unused(): unused()
class Kept:
    def asked(self): ...
    def never(self): self.never()
""",
    "traffic_yolo.b": """
from traffic_yolo.a import Kept, used as mine
mine()
def _own(): Kept().asked()
""",
    "traffic_yolo.c": """
from traffic_yolo import a
@click.command()
@other
def command(): a.Kept
@functools.cache
def listed(): ...  # unused, never, listed
def outer():
    def inner(): ...
outer()
""",
}


@pytest.mark.parametrize(
    ("offered", "expected"),
    [(set(), ["a.unused", "a.Kept.never", "c.listed"]), ({"a.unused", "c.listed"}, ["a.Kept.never"])],
)
def test_what_has_no_caller_is_found(offered: set[str], expected: list[str]) -> None:
    modules = tuple(module_of(name, compile(text, name, "exec"), text) for name, text in MADE_UP.items())
    assert uncalled(modules, offered.__contains__) == expected
