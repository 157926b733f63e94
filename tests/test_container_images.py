"""Image names: one function, one Dockerfile each."""

from pathlib import Path

import pytest

from traffic_yolo import __version__
from traffic_yolo.container_images import IMAGES, image
from traffic_yolo.errors import OptionsError


def test_tag_is_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRAFFIC_YOLO_IMAGE_PREFIX", raising=False)
    assert image("train") == f"traffic-yolo/train:{__version__}"


def test_prefix_names_a_teams_own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAFFIC_YOLO_IMAGE_PREFIX", "registry.example/vision")
    assert image("deepstream") == f"registry.example/vision/deepstream:{__version__}"


@pytest.mark.parametrize(
    ("prefix", "name"), [("", "traffic-yolo/train"), ("registry.example/", "registry.example/train")]
)
def test_prefix_is_never_half_a_name(prefix: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAFFIC_YOLO_IMAGE_PREFIX", prefix)
    assert image("train") == f"{name}:{__version__}"


def test_unknown_image_is_refused_with_the_known_ones() -> None:
    with pytest.raises(OptionsError, match="train, deepstream"):
        image("gpu")


@pytest.mark.parametrize("name", IMAGES)
def test_every_image_has_a_dockerfile(name: str, repository: Path) -> None:
    assert (repository / "docker" / name / "Dockerfile").is_file()
