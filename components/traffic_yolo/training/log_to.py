"""The words of the option `log_to`, and whether what they name is installed; loads none of it."""

import importlib.util

from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown

EXTRAS = ("tensorboard", "mlflow")  # the extra of setup.cfg and the package that it brings have one name


def read_log_to(text: str) -> tuple[str, ...]:
    """The words of the option `log_to`, each once; raises `OptionsError` for an unknown one."""
    words = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for word in words:
        if word not in EXTRAS:
            expected = f"{' or '.join(EXTRAS)}, or both with a comma between"
            raise OptionsError(f"log_to: expected {expected}, found {shown(word)}")
    return words


def check_log_to(text: str) -> None:
    """Raises `OptionsError` for an unknown word and for a program that is not installed; loads neither."""
    for word in read_log_to(text):
        if importlib.util.find_spec(word) is None:
            raise OptionsError(f'log_to: {word} is not installed; pip install "traffic-yolo[{word}]", or leave it out')
