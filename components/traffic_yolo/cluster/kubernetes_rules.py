"""What Kubernetes takes as a name, a label, an amount, a toleration; each rule refuses with `OptionsError`.

Written after k8s.io/apimachinery (util/validation, api/resource) and the API reference. Every function takes the
field's own name for the message, and returns the value as it is to be used.
"""

import re
from decimal import Decimal
from typing import Any

from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown

MOST_NAME = 253  # RFC 1123, as Kubernetes has it
MOST_LABEL = 63
MOST_ID = 2**31 - 1  # of a user or a group
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_SECRET_KEY = re.compile(r"[-._A-Za-z0-9]+")
_QUANTITY = re.compile(r"(\d+\.?\d*|\.\d+)(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?\d{1,2})?")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DURATION = re.compile(r"(\d{1,9})(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_IMAGE_PREFIX = re.compile(
    rf"(?:[A-Za-z0-9][-A-Za-z0-9.]*(?::\d{{1,5}})?/)?{_PART}(?:/{_PART})*|[A-Za-z0-9.-]+:\d{{1,5}}"
)
LEAST_MEMORY = Decimal(2**20)
# Volumes that the pipelines' pods have already
SHARED_MEMORY_VOLUME, SCRATCH_VOLUME = OWN_VOLUMES = ("shm", "traffic-yolo-scratch")
EFFECTS = ("", "NoSchedule", "PreferNoSchedule", "NoExecute")


def check_name(field: str, name: str) -> str:
    """The name of an object such as a claim or a secret (a DNS subdomain)."""
    if len(name) > MOST_NAME or not _SUBDOMAIN.fullmatch(name):
        raise _refusal(field, f"a name in Kubernetes (at most {MOST_NAME} of a-z, 0-9, - and .)", name)
    return name


def check_claim(field: str, name: str) -> str:
    """The name of a claim that a task can mount: Kubeflow's driver calls the volume like it, so it has no dots."""
    if len(name) > MOST_LABEL or not re.fullmatch(_LABEL, name) or name in OWN_VOLUMES:
        expected = f"a name in Kubernetes that a volume may have (at most {MOST_LABEL} of a-z, 0-9 and -"
        raise _refusal(field, f"{expected}, and none of {', '.join(OWN_VOLUMES)})", name)
    return name


def check_dns_label(field: str, name: str) -> str:
    """The name of a namespace (a DNS label)."""
    if len(name) > MOST_LABEL or not re.fullmatch(_LABEL, name):
        raise _refusal(field, f"a namespace (at most {MOST_LABEL} of a-z, 0-9 and -)", name)
    return name


def check_label_key(field: str, key: str) -> str:
    """The key of a label or a taint: a name, or a domain, a slash and a name."""
    domain, slash, name = key.rpartition("/")
    if slash and (len(domain) > MOST_NAME or not _SUBDOMAIN.fullmatch(domain)):
        raise _refusal(field, "a key such as team.example/pool, its domain of a-z, 0-9, - and .", key)
    if len(name) > MOST_LABEL or not _QUALIFIED.fullmatch(name):
        expected = (
            f"a key (at most {MOST_LABEL} letters, digits, -, _ and ., after a domain and a slash if there is one)"
        )
        raise _refusal(field, expected, key)
    return key


def check_label_value(field: str, value: str) -> str:
    """The value of a label or a taint; it may be empty."""
    if value and (len(value) > MOST_LABEL or not _QUALIFIED.fullmatch(value)):
        raise _refusal(field, f"a value of a label (at most {MOST_LABEL} letters, digits, -, _ and .)", value)
    return value


def check_resource_name(field: str, name: str) -> str:
    """The name of an extended resource, such as nvidia.com/gpu or nvidia.com/mig-3g.40gb."""
    domain, slash, _ = name.rpartition("/")
    if not slash or domain == "kubernetes.io" or domain.endswith(".kubernetes.io"):
        raise _refusal(field, "a resource such as nvidia.com/gpu or nvidia.com/mig-3g.40gb", name)
    return check_label_key(field, name)


def check_secret_key(field: str, key: str) -> str:
    """A key within a secret."""
    if len(key) > MOST_NAME or not _SECRET_KEY.fullmatch(key):
        raise _refusal(field, "a key of a secret (letters, digits, -, _ and .)", key)
    return key


def check_image_prefix(field: str, prefix: str) -> str:
    """Registry and path before an image's name, such as registry.example/vision."""
    if not _IMAGE_PREFIX.fullmatch(prefix):
        expected = (
            "registry and path before an image's name, such as registry.example:5000/vision, without https:// or tag"
        )
        raise _refusal(field, expected, prefix)
    return prefix


def amount(field: str, text: str) -> Decimal:
    """The number that a quantity such as 500m, 1.5 or 8Gi stands for; above 0."""
    found = _QUANTITY.fullmatch(text)
    if not found:
        raise _refusal(field, "an amount such as 500m, 2 or 8Gi", text)
    number, unit = Decimal(found[1]), found[2] or ""
    if unit in _BINARY:
        number *= Decimal(1024) ** _BINARY[unit]
    elif unit in _DECIMAL:
        number = number.scaleb(_DECIMAL[unit])
    elif unit:
        number = number.scaleb(int(unit[1:]))
    if number <= 0:
        raise _refusal(field, "an amount above 0", text)
    return number


def check_cpu(field: str, text: str) -> str:
    """An amount of processors, a thousandth at the least."""
    if (amount(field, text) * 1000) % 1:
        raise _refusal(field, "processors in thousandths, such as 500m or 2", text)
    return text


def check_bytes(field: str, text: str) -> str:
    """An amount of memory or disk. A unit that was meant otherwise is refused: 512m is half a byte."""
    if amount(field, text) < LEAST_MEMORY:
        raise _refusal(field, "bytes with a unit, such as 512Mi or 8Gi (m stands for a thousandth)", text)
    return text


def seconds(field: str, text: str) -> int:
    """The seconds in a time such as 90s, 30m, 48h or 2d; above 0."""
    found = _DURATION.fullmatch(text)
    if not found or not int(found[1]):
        raise _refusal(field, "a time such as 90s, 30m, 48h or 2d", text)
    return int(found[1]) * _SECONDS[found[2]]


def _refusal(field: str, expected: str, value: Any) -> OptionsError:
    return OptionsError(f"{field}: expected {expected}, found {shown(value)}")
