"""Image names: one function, one Dockerfile each, a tag for each flavour."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from traffic_yolo import __version__
from traffic_yolo.container_images import IMAGES, USER_ID, image, in_flavour, security_context
from traffic_yolo.errors import OptionsError


@pytest.fixture(autouse=True)
def no_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRAFFIC_YOLO_IMAGE_PREFIX", raising=False)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("train",), f"traffic-yolo/train:{__version__}-cpu"),
        (("train", "cpu"), f"traffic-yolo/train:{__version__}-cpu"),
        (("train", "cuda"), f"traffic-yolo/train:{__version__}-cuda"),
        (("deepstream",), f"traffic-yolo/deepstream:{__version__}"),
    ],
)
def test_tag_is_the_version_and_the_flavour(arguments: tuple[str, ...], text: str) -> None:
    assert image(*arguments) == text


def test_prefix_names_a_teams_own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAFFIC_YOLO_IMAGE_PREFIX", "registry.example/vision")
    assert image("deepstream") == f"registry.example/vision/deepstream:{__version__}"


@pytest.mark.parametrize(
    ("prefix", "name"), [("", "traffic-yolo/train"), ("registry.example/", "registry.example/train")]
)
def test_prefix_is_never_half_a_name(prefix: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAFFIC_YOLO_IMAGE_PREFIX", prefix)
    assert image("train") == f"{name}:{__version__}-cpu"


def test_unknown_image_is_refused_with_the_known_ones() -> None:
    with pytest.raises(OptionsError, match="train, deepstream"):
        image("gpu")


@pytest.mark.parametrize(("name", "expected"), [("train", "one of cpu, cuda"), ("deepstream", "none")])
def test_unknown_flavour_is_refused_with_the_known_ones(name: str, expected: str) -> None:
    with pytest.raises(OptionsError, match=f"image {name}: flavour: expected {expected}, found 'gpu'"):
        image(name, "gpu")


@pytest.mark.parametrize("prefix", ["", "registry.example:5000/vision"])
def test_flavour_of_a_name_is_changed_under_its_own_prefix(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAFFIC_YOLO_IMAGE_PREFIX", prefix)
    given, deepstream = image("train"), image("deepstream")
    monkeypatch.setenv("TRAFFIC_YOLO_IMAGE_PREFIX", "another.example")  # of no meaning for a name that is there
    assert in_flavour(given, "cuda") == given.removesuffix("cpu") + "cuda"
    assert in_flavour(in_flavour(given, "cuda"), "cpu") == given
    assert in_flavour(deepstream, "cuda") == deepstream


@pytest.mark.parametrize(
    "text",
    ["python:3.11", "train", "registry.example/train:latest", f"registry.example/trainer:{__version__}-cpu",
     f"registry.example/train:{__version__}", f"train@sha256:{'0' * 64}", ""],
)  # fmt: skip
def test_flavour_of_a_strangers_image_is_nobodys_to_change(text: str) -> None:
    with pytest.raises(OptionsError, match="is not one of ours"):
        in_flavour(text, "cuda")


def test_unknown_flavour_is_no_change_either() -> None:
    with pytest.raises(OptionsError, match="expected one of cpu, cuda, found 'rocm'"):
        in_flavour(image("train"), "rocm")


def test_builds_are_told_the_name() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "traffic_yolo.container_images", "train", "cuda"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert finished.stdout == f"{image('train', 'cuda')}\n"


@pytest.mark.parametrize("name", IMAGES)
def test_every_image_has_a_dockerfile_with_its_flavours_and_user(name: str, repository: Path) -> None:
    text = (repository / "docker" / name / "Dockerfile").read_text()
    assert ("ARG FLAVOUR=" in text) == bool(IMAGES[name])
    if IMAGES[name]:
        assert set(re.findall(r"^ARG FLAVOUR=(\w+)$", text, re.MULTILINE)) == {IMAGES[name][0]}
    # By number: of a name, Kubernetes cannot tell that it is not root, and refuses the pod where nobody may be
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == [f"{USER_ID}:{USER_ID}"]
    assert security_context()["runAsUser"] == USER_ID
