"""How this process proves who it is to a Kubeflow Pipelines server: what kfp.Client is handed, and from where.

A token or a cookie of the environment, a file with a token, or the file that Kubeflow puts into a pod; never an option,
which other users of the machine would see.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfp.client.token_credentials_base import TokenCredentialsBase

from traffic_yolo.errors import OptionsError
from traffic_yolo.run_report.tasks import TOKEN_FILE
from traffic_yolo.run_report.tasks import TOKEN_FILE_VARIABLE as POD_VARIABLE

TOKEN_VARIABLE = "TRAFFIC_YOLO_KFP_TOKEN"
TOKEN_FILE_VARIABLE = "TRAFFIC_YOLO_KFP_TOKEN_FILE"
COOKIE_VARIABLE = "TRAFFIC_YOLO_KFP_COOKIE"
MOST_TOKEN_BYTES = 64 << 10  # servers take far less in a header


class TokenFile(TokenCredentialsBase):
    """A token in a file that others keep valid: it is read anew for every call."""

    def __init__(self, path: Path, named_by: str) -> None:
        """`named_by`: what names the file to a user."""
        self.path, self._named_by = path, named_by

    def refresh_api_key_hook(self, config: Any) -> None:
        """Puts the token of now into the client's configuration; `OptionsError` where there is none."""
        try:
            with self.path.open("rb") as file:
                token = file.read(MOST_TOKEN_BYTES).decode("ascii").strip()
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "not ASCII"
            raise OptionsError(f"{self._named_by}: {self.path}: expected a file with a token: {reason}") from error
        if not token or not token.isprintable():
            found = "several" if token else "an empty file"
            raise OptionsError(f"{self._named_by}: {self.path}: expected one line with a token, found {found}")
        config.api_key["authorization"] = token


@dataclass(frozen=True)
class Credentials:
    """What goes with every call; all of it may be empty."""

    token: str = ""
    cookie: str = ""
    token_file: TokenFile | None = None

    @classmethod
    def of_environment(cls) -> "Credentials":
        """Those that the environment names, else the token that Kubeflow puts into a pod, where it does.

        Raises `OptionsError` for a token that is given twice.
        """
        token, cookie = os.environ.get(TOKEN_VARIABLE, ""), os.environ.get(COOKIE_VARIABLE, "")
        named = os.environ.get(TOKEN_FILE_VARIABLE, "")
        if token and named:
            raise OptionsError(f"{TOKEN_FILE_VARIABLE}: {TOKEN_VARIABLE} gives a token, too; unset one of them")
        if named:
            return cls(cookie=cookie, token_file=TokenFile(Path(named), TOKEN_FILE_VARIABLE))
        in_pod = Path(os.environ.get(POD_VARIABLE) or TOKEN_FILE)
        if not token and not cookie and in_pod.is_file():
            return cls(token_file=TokenFile(in_pod, POD_VARIABLE))
        return cls(token, cookie)
