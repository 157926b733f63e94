"""A version of a zoo as the model folder of an evaluation, and the evaluation beside the zoo's own records."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from judged_runs import publish

from traffic_yolo.errors import ModelError, StorageError
from traffic_yolo.pretrained.comparison import comparison_markdown
from traffic_yolo.pretrained.import_model import IMPORT_NAME, import_model
from traffic_yolo.pretrained.options import ModelChoice

MakeRun = Callable[..., dict[str, Path]]


def test_version_in_use_or_the_one_named_is_taken_as_it_was_published(make_run: MakeRun, tmp_path: Path) -> None:
    zoo = str(tmp_path / "zoo")
    first, second = (publish(**make_run(seed=seed), zoo=zoo, name="m") for seed in (1, 2))
    for version, published in (("", second), ("1", first), (first.version, first)):
        out = tmp_path / f"taken {version}"
        imported = import_model(ModelChoice(zoo=zoo, model_name="m", version=version), out)
        files = {path.name: path.read_bytes() for path in out.iterdir()}
        assert json.loads(files.pop(IMPORT_NAME))["version"] == published.version
        assert files == {path.name: path.read_bytes() for path in published.bundle.iterdir()}
        assert imported.origin == f"m {published.version} of {zoo}"


def test_damaged_or_missing_version_is_refused_and_nothing_is_left(make_run: MakeRun, tmp_path: Path) -> None:
    zoo = str(tmp_path / "zoo")
    published = publish(**make_run(), zoo=zoo, name="m")
    for choice in (ModelChoice(zoo=zoo, model_name="n"), ModelChoice(zoo=zoo, model_name="m", version="7")):
        with pytest.raises(ModelError):
            import_model(choice, tmp_path / "out")
    (published.bundle / "model.weights").write_bytes(b"other")
    with pytest.raises(ModelError, match=r"model\.weights was changed after publishing"):
        import_model(ModelChoice(zoo=zoo, model_name="m"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_evaluation_stands_beside_the_records_that_were_made_alike(make_run: MakeRun, tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    publish(**make_run(seed=1, ap=0.3), zoo=zoo, name="m")
    publish(**make_run(seed=2, ap=0.5, data="e" * 64), zoo=zoo, name="on-other-data")
    before = sorted(path for path in zoo.rglob("*"))
    text = comparison_markdown(make_run(seed=3, ap=0.4)["evaluation"], zoo, name="candidate")
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    assert rows == ["model", "candidate", "m"]  # best first
    assert "1 more of " in text
    assert "cannot be compared" in text
    assert sorted(path for path in zoo.rglob("*")) == before
    with pytest.raises(StorageError):
        comparison_markdown(make_run(seed=3)["evaluation"], tmp_path / "nowhere", name="candidate")
