"""The last lines of a training."""

from dataclasses import replace

import pytest

from traffic_yolo.page_origin import About
from traffic_yolo.training.report import TrainingReport, training_report
from traffic_yolo.training.summary import TrainingSummary, rise_to_the_end

SUMMARY = TrainingSummary(
    best_ap50=0.753, best_iteration=300, baseline_ap50=0.572, iteration=300, loss=4.0, seconds=643, stopped="",
    verdicts=(), skipped={},
)  # fmt: skip


@pytest.mark.parametrize(
    ("values", "last"),
    [
        ([0.572, 0.593, 0.677, 0.738, 0.753], (0.677, 0.738, 0.753)),
        ([0.572, 0.577, 0.582], (0.572, 0.577, 0.582)),
        ([0.158, 0.122, 0.191, 0.210, 0.208], ()),
        ([0.167, 0.104, 0.180, 0.189, 0.192], ()),  # the last step is less than a half point
        ([0.5, 0.6], ()),
        ([], ()),
    ],
)
def test_it_rose_to_the_end_where_each_of_the_last_two_steps_counts(
    values: list[float], last: tuple[float, ...]
) -> None:
    assert rise_to_the_end(values) == last


def test_a_run_that_ends_while_it_rises_says_so() -> None:
    told = "AP50 on val still rose at the end (0.677, 0.738, 0.753): a longer run (--max-batches) may bring more"
    summary = replace(SUMMARY, rising=(0.677, 0.738, 0.753))
    assert told in summary.text.splitlines()
    assert "rose" not in SUMMARY.text
    assert SUMMARY.advice == []
    page = training_report(TrainingReport((), None, "<svg></svg>", {}, advice=summary.advice), About())
    assert f"<p>{told}</p>" in page
