"""`traffic-yolo log`: the numbers of a folder, and what MLflow's own client reads back of them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from mlflow_store import mlflow_store

from traffic_yolo.commands.log import command
from traffic_yolo.errors import OptionsError, StorageError
from traffic_yolo.tracking import programs
from traffic_yolo.tracking.programs import check_program
from traffic_yolo.tracking.step_numbers import read_step

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)
RECORD = {
    "split": "test",
    "engine": "fast",
    "metrics": {"ap": 0.25, "ap50": 0.5, "ap_small": None, "true_positives": 7},
    "per_class": [{"class_name": "LONG TRUCK:1", "ap": 0.125, "ap50": None, "num_truths": 3}],
    "nms": {"confidence_threshold": 0.3, "kind": "default"},
    "protocol": {"network_hw": [96, 160], "runtime": "pytorch", "weights_sha256": "ab12"},
    "data": {"fingerprint": "cd34"},
    "provenance": {"verdict": "not seen"},
}
POINT = {
    "confidence_threshold": 0.32,
    "iou_threshold": 0.25,
    "objective": "f1",
    "chosen_on": "val",
    "val": {"f1": 0.75, "intervals": {"f1": [0.7, 0.8]}},
    "test": None,
    "model": {"weights_sha256": "ab12"},
}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    evaluation, tuning = tmp_path / "evaluation", tmp_path / "tuning"
    for folder, name, document in ((evaluation, "record.json", RECORD), (tuning, "operating_point.json", POINT)):
        folder.mkdir()
        (folder / name).write_text(json.dumps(document))
    (evaluation / "report.html").write_text("<html></html>")
    return evaluation, tuning


def test_numbers_words_and_files_of_an_evaluation(folders: tuple[Path, Path]) -> None:
    step = read_step(folders[0])
    assert step.metrics == {
        "evaluate/ap": 0.25,
        "evaluate/ap50": 0.5,
        "evaluate/true_positives": 7,
        "evaluate/LONG TRUCK:1/ap": 0.125,
    }, "what is undefined is no number"
    assert step.params["evaluate/confidence_threshold"] == "0.3"
    assert step.params["evaluate/network_hw"] == "[96, 160]"
    assert step.tags["evaluate.weights_have_seen"] == "not seen"
    assert [path.name for path in step.files] == ["record.json", "report.html"]


def test_a_choice_of_thresholds_has_its_splits(folders: tuple[Path, Path]) -> None:
    step = read_step(folders[1])
    assert step.metrics == {"tune/confidence_threshold": 0.32, "tune/iou_threshold": 0.25, "tune/val_f1": 0.75}
    assert step.params == {"tune/objective": "f1", "tune/chosen_on": "val"}


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match=r"expected the folder of one of the steps publish \(card.json\), evaluate"):
        read_step(tmp_path)
    (tmp_path / "record.json").write_text("[]")
    with pytest.raises(OptionsError, match=r"record.json: expected an object, found list$"):
        read_step(tmp_path)
    (tmp_path / "record.json").write_text("{")
    with pytest.raises(StorageError, match="not valid JSON"):
        read_step(tmp_path)


def test_a_missing_extra_and_an_unknown_server_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(programs.importlib.util, "find_spec", lambda _: object())
    with pytest.raises(OptionsError, match="^--program mlflow: the server is not known; set MLFLOW_TRACKING_URI"):
        check_program("mlflow")
    monkeypatch.setattr(programs.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(
        OptionsError, match=r'^--program: mlflow is not installed; pip install "traffic-yolo\[mlflow\]"$'
    ):
        check_program("mlflow")


class TestMlflow:
    """A store in files, through MLflow's own client."""

    @pytest.fixture(autouse=True)
    def store(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
        with mlflow_store(tmp_path / "store", monkeypatch) as folder:
            yield f"file://{folder}"

    def client(self, store: str) -> Any:
        from mlflow.tracking import MlflowClient

        return MlflowClient(tracking_uri=store)

    def told(self, *arguments: Any) -> dict[str, Any]:
        result = CliRunner().invoke(command, [*map(str, arguments), "--json"], catch_exceptions=False)
        return dict(json.loads(result.stdout))

    @pytest.mark.long
    def test_one_run_has_the_numbers_of_all_folders(self, folders: tuple[Path, Path], store: str) -> None:
        told = self.told(*folders, "--run-name", "nightly")
        run = self.client(store).get_run(told["run_id"])
        assert (run.info.run_name, run.info.status) == ("nightly", "FINISHED")
        assert run.data.metrics["evaluate/ap50"] == 0.5
        assert run.data.metrics["evaluate/LONG TRUCK_1/ap"] == 0.125, "MLflow takes no colon"
        assert run.data.metrics["tune/val_f1"] == 0.75
        assert run.data.params["tune/objective"] == "f1"
        assert run.data.tags["traffic_yolo.evaluate.data_fingerprint"] == "cd34"
        kept = [each.path for each in self.client(store).list_artifacts(told["run_id"], "evaluate")]
        assert kept == ["evaluate/record.json", "evaluate/report.html"]

    @pytest.mark.long
    def test_a_run_that_is_there_is_added_to_and_not_ended(self, folders: tuple[Path, Path], store: str) -> None:
        first = self.told(folders[0])["run_id"]
        self.client(store).update_run(first, status="RUNNING")
        assert self.told(folders[1], "--run-id", first)["run_id"] == first
        run = self.client(store).get_run(first)
        assert {"evaluate/ap", "tune/val_f1"} <= set(run.data.metrics)
        assert run.info.status == "RUNNING"

    def test_what_cannot_be_told_is_one_line(self, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(OptionsError, match=r"^--program mlflow: MLFLOW_TRACKING_URI=file://.*not found"):
            self.told(folders[0], "--run-id", "0" * 32)
        with pytest.raises(OptionsError, match="^FOLDER: two folders of tune have the same names in one run"):
            self.told(folders[1], folders[1])
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        with pytest.raises(
            OptionsError, match=r"^--program mlflow: MLFLOW_TRACKING_URI=http://127.0.0.1:9: "
        ) as caught:
            self.told(folders[0])
        assert "\n" not in str(caught.value)
