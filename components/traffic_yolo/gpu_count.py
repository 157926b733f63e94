"""The number of GPUs that a pipeline's form asks for."""

from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown

MOST_DIGITS = 4  # of a number of GPUs: Kubernetes takes more, no pod gets them


def gpu_count(text: str) -> int:
    """The number in a form's `gpus`; `OptionsError` for anything but a whole number of 0 or more.

    It is a text there because KFP's driver reads a parameter that a resource names as one: a number arrives as "".
    """
    number = text.strip()
    if not (number.isascii() and number.isdecimal()) or len(number) > MOST_DIGITS:
        raise OptionsError(f"gpus: expected a whole number of 0 or more, found {shown(text)}")
    return int(number)
