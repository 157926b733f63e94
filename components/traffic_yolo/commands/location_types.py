"""The types of every flag and argument that says where something lies: what is read, what is written, what is both.

They refuse at once, in one line that names the flag, what can be no location (docs/storage.md); whether anything lies
there, the library says. No command has click's own Path or File: those know no scheme, and `nas://x` would be a folder
called `nas:`. What only describes work for other machines says `of_other_machines`: their NAS has another root.
"""

from typing import TYPE_CHECKING, Any, ClassVar

import click

from traffic_yolo.errors import OptionsError, StorageError
from traffic_yolo.option_settings import is_settings_text
from traffic_yolo.predict.addresses import check_address, is_address
from traffic_yolo.storage import check_location, check_scheme, is_s3, output_path

if TYPE_CHECKING:
    _ParamType = click.ParamType[Any, Any]
else:
    _ParamType = click.ParamType  # generic only in newer versions of click


_ELSEWHERE = "traffic_yolo.locations_of_other_machines"


class LocationType(_ParamType):
    """A location; the value is the text as it was given. `use` says what is done there, for tests and readers."""

    name = "location"
    use: ClassVar[str]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value of the flag; `OptionsError` that begins with the flag's name for what is no location."""
        if not value and param is not None and not param.required:
            return value  # "" leaves an option out, as its default does
        elsewhere = ctx is not None and ctx.meta.get(_ELSEWHERE, False)
        try:
            return self.checked_elsewhere(value) if elsewhere else self.checked(value)
        except StorageError as error:
            raise OptionsError(f"{flag_of(param)}: {error}") from error

    def checked(self, value: Any) -> Any:
        """The value where it is a location; raises `StorageError`."""
        check_location(value)
        return value

    def checked_elsewhere(self, value: Any) -> Any:
        """The text where it is a location of another machine; raises `StorageError`."""
        if not value.lstrip().startswith("{"):
            check_scheme(value)
        return value

    def may_lack(self, value: str) -> bool:
        """Whether nothing need lie at what was given to read: a text in the place of a file."""
        return value.lstrip().startswith("{")


class _Read(LocationType):
    """What is read; also the name of a layout or of a public data set, and text in braces in place of a file."""

    use = "read"

    def checked(self, value: Any) -> Any:
        return value if value.lstrip().startswith("{") else super().checked(value)


class _Source(_Read):
    """What `predict` looks at: also a pattern of names, the address of a stream, and a camera."""

    def checked(self, value: Any) -> Any:
        if not is_address(value):
            return super().checked(value)
        check_address(value)
        return value

    def may_lack(self, value: str) -> bool:
        return super().may_lack(value) or is_address(value) or any(character in value for character in "*?[")


class _Settings(LocationType):
    """The settings of a step: a file, or their text."""

    name = "settings"
    use = "read"

    def checked(self, value: Any) -> Any:
        return value if is_settings_text(value) else super().checked(value)

    def checked_elsewhere(self, value: Any) -> Any:
        return self.checked(value)  # they are read here

    def may_lack(self, value: str) -> bool:
        return is_settings_text(value)


class _Write(LocationType):
    """What is written: the value is the path on this machine; object storage is refused."""

    use = "write"

    def checked(self, value: Any) -> Any:
        return output_path(value)

    def checked_elsewhere(self, value: Any) -> Any:
        if is_s3(value):
            output_path(value)  # says what to do instead
        return super().checked_elsewhere(value)


class _WriteText(_Write):
    """What is written, as text for an options dataclass."""

    def checked(self, value: Any) -> Any:
        output_path(value)
        return value


class _Keep(LocationType):
    """What is both read and written, where object storage serves as well as a path: a cache, a ledger, a target."""

    use = "keep"


class _Mount(LocationType):
    """PATH/IN/POD=FOLDER, where the folder is a location to read and write."""

    name = "path=location"
    use = "write"

    def checked(self, value: Any) -> Any:
        inside, separator, folder = value.partition("=")
        return f"{inside}={output_path(folder)}" if separator and folder else value  # its user says what is wrong


class _Pipeline(LocationType):
    """A location that a task of a pipeline uses, here or on a cluster, whose NAS root is not this machine's."""

    use = "pipeline"

    def checked(self, value: Any) -> Any:
        return self.checked_elsewhere(value)


READ = _Read()
SOURCE = _Source()
WRITE = _Write()
WRITE_TEXT = _WriteText()
KEEP = _Keep()
SETTINGS_TYPE = _Settings()
MOUNT = _Mount()
PIPELINE = _Pipeline()


def of_other_machines(context: click.Context) -> None:
    """Makes locations of this call, but settings, those of other machines: their text, and no look at this one's NAS.

    For the callback of an eager flag, which click calls before it reads the others.
    """
    context.meta[_ELSEWHERE] = True


def are_of_other_machines(context: click.Context) -> bool:
    """Whether `of_other_machines` was said of this call."""
    return bool(context.meta.get(_ELSEWHERE, False))


def flag_of(param: click.Parameter | None) -> str:
    """What the user gives: a flag, or the name of an argument as the usage has it."""
    if param is None:
        return "location"
    return max(param.opts, key=len) if isinstance(param, click.Option) else str(param.name).upper()
