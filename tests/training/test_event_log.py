"""What TensorBoard and MLflow are told, read back with their own readers; and that neither can end a training."""

import configparser
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mlflow_store import mlflow_store

from traffic_yolo.errors import OptionsError
from traffic_yolo.training import log_to as words
from traffic_yolo.training.batch_pictures import ShownPicture
from traffic_yolo.training.event_log import LoggedRun, Outcome, row_scalars
from traffic_yolo.training.event_logs import event_logs
from traffic_yolo.training.log_to import EXTRAS, check_log_to, read_log_to
from traffic_yolo.training.options import TrainingOptions

# TensorBoard's and MLflow's own code, and what they load
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)

OPTIONS = {"batch": 16, "optimizer": "adamw", "learning_rate": 0.001, "width": None, "long": "x" * 9000, "flag": True}


@dataclass(frozen=True)
class Row:
    """A row of a history."""

    iteration: int
    loss: float = 2.0
    box: float = 0.5
    learning_rate: float = 0.001
    ap50: float | None = None
    f1: float | None = None
    objectness: float = float("nan")


ROWS = [Row(1), Row(2, loss=1.5, ap50=0.3, f1=0.4), Row(3, loss=1.25)]
OUTCOME = Outcome({"map50": 0.41}, {"verdict": "better by 0.05 to 0.09"})


def picture() -> ShownPicture:
    return ShownPicture(
        "000001", cv2.imencode(".jpg", np.full((8, 12, 3), (0, 0, 255), np.uint8))[1].tobytes(), "batch"
    )


def test_every_word_is_an_extra(repository: Path) -> None:
    parser = configparser.ConfigParser()
    parser.read(repository / "setup.cfg")
    assert set(EXTRAS) <= set(parser["options.extras_require"])


def test_words_are_checked_with_the_options() -> None:
    assert read_log_to(" mlflow, tensorboard,mlflow,") == ("mlflow", "tensorboard")
    assert read_log_to("") == ()
    expected = "^log_to: expected tensorboard or mlflow, or both with a comma between, found 'wandb'$"
    with pytest.raises(OptionsError, match=expected):
        TrainingOptions(log_to="mlflow,wandb")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words.importlib.util, "find_spec", lambda name: None if name == "mlflow" else object())
    check_log_to("tensorboard")
    with pytest.raises(
        OptionsError, match=r'^log_to: mlflow is not installed; pip install "traffic-yolo\[mlflow\]", or'
    ):
        check_log_to("tensorboard,mlflow")


@pytest.mark.long
def test_nothing_is_loaded_unless_asked_for() -> None:
    code = (
        "import sys; from pathlib import Path; from traffic_yolo.training.event_log import LoggedRun; from traffic_yolo.training.event_logs import event_logs\n"
        "with event_logs('', LoggedRun(Path('x'), {})) as logs: assert not logs\n"
        "print({'mlflow', 'tensorboard'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_row_s_finite_numbers_have_names() -> None:
    assert row_scalars(ROWS[1]) == {
        "loss/total": 1.5, "loss/box": 0.5, "training/learning_rate": 0.001, "val/map50": 0.3, "val/f1": 0.4,
    }  # fmt: skip


class TestTensorBoard:
    """The event file, read back."""

    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")

    def read(self, folder: Path) -> Any:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(folder / "tensorboard"))
        events.Reload()
        return events

    def test_scalars_pictures_options_and_outcome_are_there(self, tmp_path: Path) -> None:
        from tensorboard.plugins.hparams import plugin_data_pb2

        with event_logs("tensorboard", LoggedRun(tmp_path, OPTIONS)) as logs:
            assert logs
            for row in ROWS:
                logs.row(row)
            logs.picture("batches", picture(), 1)
            logs.finish(OUTCOME)
        events = self.read(tmp_path)
        assert [(event.step, event.value) for event in events.Scalars("loss/total")] == [(1, 2.0), (2, 1.5), (3, 1.25)]
        assert [(event.step, event.value) for event in events.Scalars("val/f1")] == [(2, pytest.approx(0.4))]
        assert [event.value for event in events.Scalars("final/map50")] == [pytest.approx(0.41)]
        assert "loss/objectness" not in events.Tags()["scalars"]  # it was no number
        (image,) = events.Images("batches/000001")
        shown = cv2.imdecode(np.frombuffer(image.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
        assert shown.shape == (8, 12, 3)
        assert shown[4, 6, 2] > 200 > 50 > shown[4, 6, 0]  # red stays red
        texts = events.Tags()["tensors"]
        assert {"options/text_summary", "verdict/text_summary"} <= set(texts)
        content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
        given = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
        assert given["batch"].number_value == 16
        assert given["optimizer"].string_value == "adamw"

    def test_a_resumed_run_takes_back_what_came_after_its_checkpoint(self, tmp_path: Path) -> None:
        with event_logs("tensorboard", LoggedRun(tmp_path, OPTIONS)) as logs:
            for row in ROWS:
                logs.row(row)
        with event_logs("tensorboard", LoggedRun(tmp_path, OPTIONS, resumed_after=2)) as logs:
            logs.row(Row(3, loss=7.0))
        assert [(event.step, event.value) for event in self.read(tmp_path).Scalars("loss/total")] == [
            (1, 2.0), (2, 1.5), (3, 7.0),
        ]  # fmt: skip


class TestMlflow:
    """A store in files, through MLflow's own client."""

    @pytest.fixture(autouse=True)
    def store(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        with mlflow_store(tmp_path / "store", monkeypatch) as folder:
            yield folder

    def client(self, store: Path) -> Any:
        from mlflow.tracking import MlflowClient

        return MlflowClient(tracking_uri=f"file://{store}")

    def runs(self, store: Path, experiment: str = "traffic-yolo") -> list[Any]:
        client = self.client(store)
        return list(client.search_runs([client.get_experiment_by_name(experiment).experiment_id]))

    @pytest.mark.long
    def test_numbers_options_outcome_and_files_are_there(self, tmp_path: Path, store: Path) -> None:
        folder = tmp_path / "run"
        folder.mkdir()
        (folder / "curves.svg").write_text("<svg/>")
        with event_logs("mlflow", LoggedRun(folder, OPTIONS)) as logs:
            for row in ROWS:
                logs.row(row)
            logs.picture("batches", picture(), 1)
            logs.finish(Outcome(OUTCOME.metrics, OUTCOME.tags, [folder / "curves.svg"]))
        (run,) = self.runs(store)
        assert (run.info.run_name, run.info.status) == ("run", "FINISHED")
        history = self.client(store).get_metric_history(run.info.run_id, "loss/total")
        assert [(entry.step, entry.value) for entry in history] == [(1, 2.0), (2, 1.5), (3, 1.25)]
        assert run.data.metrics["final/map50"] == 0.41
        assert run.data.params == {
            "batch": "16", "optimizer": "adamw", "learning_rate": "0.001", "long": "x" * 500, "flag": "True",
        }  # fmt: skip
        assert run.data.tags["verdict"] == "better by 0.05 to 0.09"
        assert [entry.path for entry in self.client(store).list_artifacts(run.info.run_id)] == ["curves.svg"]

    def test_a_resumed_training_goes_on_in_its_run(self, tmp_path: Path, store: Path) -> None:
        with pytest.raises(ZeroDivisionError), event_logs("mlflow", LoggedRun(tmp_path, OPTIONS)) as logs:
            logs.row(ROWS[0])
            raise ZeroDivisionError
        assert [run.info.status for run in self.runs(store)] == ["FAILED"]
        with event_logs("mlflow", LoggedRun(tmp_path, OPTIONS, resumed_after=1)) as logs:
            logs.row(ROWS[1])
        (run,) = self.runs(store)
        assert run.info.status == "FINISHED"
        history = self.client(store).get_metric_history(run.info.run_id, "loss/total")
        assert [entry.step for entry in history] == [1, 2]

    def test_the_experiment_can_be_named(self, tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "site-c")
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            with event_logs("mlflow", LoggedRun(tmp_path / name, {})):
                pass
        assert sorted(run.info.run_name for run in self.runs(store, "site-c")) == ["a", "b"]

    def test_a_store_that_fails_is_warned_of_once_and_gets_everything_when_it_is_back(
        self, tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        from traffic_yolo.training import event_log_mlflow

        monkeypatch.setattr(event_log_mlflow, "SEND_EVERY_S", 0.0)
        monkeypatch.setattr(event_log_mlflow, "RETRY_S", 0.0)
        with event_logs("mlflow", LoggedRun(tmp_path, {})) as logs:
            logs.row(Row(1))
            shutil.move(store, tmp_path / "away")
            store.write_text("no folder")
            for number in range(2, 6):
                logs.row(Row(number))
            store.unlink()
            shutil.move(tmp_path / "away", store)
            logs.row(Row(6))
        warned = [record.getMessage() for record in caplog.records if record.name == "traffic_yolo.training.event_logs"]
        assert len(warned) == 1
        assert warned[0].startswith("mlflow: ")
        assert warned[0].endswith("; the training goes on, history.csv has every number")
        (run,) = self.runs(store)
        history = self.client(store).get_metric_history(run.info.run_id, "loss/total")
        assert [entry.step for entry in history] == [1, 2, 3, 4, 5, 6]

    def test_a_failed_store_is_not_asked_at_every_update(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        from traffic_yolo.training import event_log_mlflow

        tries = []
        with event_logs("mlflow", LoggedRun(tmp_path, {})) as logs:
            client = logs._logs["mlflow"]._client  # type: ignore[attr-defined]

            def refuse(*_: object, **__: object) -> None:
                tries.append(1)
                raise ConnectionError("the server has gone")

            monkeypatch.setattr(client, "log_batch", refuse)
            for number in range(100):
                logs.row(Row(number))
            assert len(tries) == 1
            monkeypatch.setattr(event_log_mlflow.time, "monotonic", lambda: 1e12)
            logs.row(Row(100))
            assert len(tries) == 2
        assert sum("the server has gone" in record.getMessage() for record in caplog.records) == 1

    def test_without_an_address_and_with_one_that_does_not_answer_the_start_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        expected = "^log_to: mlflow at MLFLOW_TRACKING_URI=http://127.0.0.1:9: API request"
        with pytest.raises(OptionsError, match=expected), event_logs("mlflow", LoggedRun(tmp_path, {})):
            pass
        with event_logs("mlflow", LoggedRun(tmp_path, {}, resumed_after=5)) as logs:
            assert not logs
            logs.row(Row(6))
        assert "the training goes on without it" in caplog.text
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
        with (
            pytest.raises(OptionsError, match="set MLFLOW_TRACKING_URI"),
            event_logs("mlflow", LoggedRun(tmp_path, {})),
        ):
            pass
