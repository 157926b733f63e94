"""The KFP components around a retraining: whether there is anything new, and what became of the attempt.

They are several because a `dsl.If` sees only the output of a component that has no other, and because what a training
left must be known before anything of it is published.
"""

from typing import NamedTuple

from kfp import dsl

from traffic_yolo.container_images import image


@dsl.component(base_image=image("train"), install_kfp_package=False)
def new_data(
    run_id: str,
    fingerprint: str,
    zoo: str,
    model_name: str,
    verdict: dsl.Output[dsl.Artifact],
    summary: dsl.Output[dsl.Markdown],
    metrics: dsl.Output[dsl.Metrics],
    source: str,
    snapshot_cache: str = "",
    cfg: str = "",
    weights: str = "",
    weights_names: str = "",
    labels: str = "",
    layout: str = "",
    pictures: str = "blurred",
    class_map: str = "",
    val_sites: str = "",
    test_sites: str = "",
    splits: str = "auto",
    policy: str = "",
    data_store: str = "",
    convert_settings: str = "",
    min_new_frames: int = 100,
    min_new_sites: int = 1,
    min_class_shift: float = 0.0,
    again: bool = False,
    new_splits: bool = False,
    under_way_hours: float = 12.0,
) -> NamedTuple(  # type: ignore[valid-type]  # kfp reads the fields where the function is
    "Start", [("policy", str), ("cfg", str), ("weights", str), ("weights_names", str)]
):
    """Count what training would use and is new since the last attempt; begin an attempt where that pays.

    To be run uncached: share and zoo change without KFP knowing.

    Args:
        run_id: Id of the pipeline run.
        fingerprint: What the task snapshot returned.
        zoo: Folder of the model zoo, which keeps the attempts beside the versions.
        model_name: Name under which the zoo keeps the model's versions.
        verdict: The word of the gate: retrain, no_new_data, too_few or under_way.
        summary: What is used and what is new.
        metrics: Pictures used, new, corrected and unlabelled.
        source: Recordings, or a data set: a folder, or its label file.
        snapshot_cache: The task snapshot's own: with it the share is not read once more to be checked.
        cfg: Darknet .cfg file to start from where no version is in use.
        weights: Darknet .weights to start from where no version is in use.
        weights_names: File with the class names of these weights.
        labels: Label file or folder with the human labels of the recordings.
        layout: Layout of the recordings: a name or a YAML file; empty: each file's own.
        pictures: Pictures in reports and logs: none; blurred (number plates and heads, by the boxes); or full.
        class_map: YAML file that renames, merges, drops or ignores classes.
        val_sites: Comma-separated sites of the validation split; empty: a hash chooses.
        test_sites: Comma-separated sites of the test split; empty: a hash chooses.
        splits: auto, train, val or test (all in one), none (no splits), or shares: 0.8/0.1/0.1 or train=0.8,val=0.2.
        policy: YAML file (or its text in braces) on splits, leaks, checks, thinning and tiny boxes.
        data_store: Folder that keeps data sets, such as nas://.data-sets, so that steps hand on a reference; empty:
            they hand on the pictures.
        convert_settings: Other options of convert: YAML text `name: value`, or a file of it (path, nas:// or s3://).
        min_new_frames: Training pictures newly labelled or corrected by humans that open the gate; 0: they never do.
        min_new_sites: New sites with labelled training pictures that open the gate; 0: they never do.
        min_class_shift: Change of one class's share of the training boxes, in percentage points, that opens the gate;
            0: it never does.
        again: Train whatever the gate says: on data that was tried before, or with an attempt under way.
        new_splits: Take the splits as they come now, though pictures change theirs or the test split loses a group:
            what was measured before is no measure any more.
        under_way_hours: Hours after which an attempt of which no end is known is taken to be cut off.

    Returns:
        The policy of the conversion with the splits to keep; cfg, weights and class names of the version in use.
    """
    given = dict(locals())

    import os
    from datetime import UTC, datetime
    from pathlib import Path

    from traffic_yolo.dataset.options import ConvertOptions
    from traffic_yolo.entry_point import one_line_errors
    from traffic_yolo.option_settings import task_options
    from traffic_yolo.retraining.look import Run, Start, look, owner_of
    from traffic_yolo.retraining.options import NewDataOptions
    from traffic_yolo.run_id import OWNER_VARIABLE, known_run_id

    with one_line_errors():
        (convert,) = task_options([ConvertOptions], {**given, "settings": convert_settings})
        (options,) = task_options([NewDataOptions], given)
        owner = owner_of(os.environ.get(OWNER_VARIABLE, ""))
        looked = look(
            convert,
            options,
            Run(known_run_id(run_id), datetime.now(UTC), owner),
            zoo=zoo,
            model_name=model_name,
            fingerprint=fingerprint,
            settings=convert_settings,
            cache=snapshot_cache,
            start=Start(cfg, weights, weights_names),
        )
        print(looked.verdict.text)
        Path(verdict.path).write_text(looked.verdict.word)
        Path(summary.path).write_text(looked.markdown)
    for name, value in looked.numbers.items():
        metrics.log_metric(name, value)
    start = looked.start
    return looked.policy, start.cfg, start.weights, start.weights_names


@dsl.component(base_image=image("train"), install_kfp_package=False)
def open_gate(verdict: dsl.Input[dsl.Artifact]) -> str:
    """Hand on the word of the gate; the only output, for a dsl.If.

    Args:
        verdict: What new_data found.

    Returns:
        retrain, no_new_data, too_few or under_way.
    """
    from pathlib import Path

    word = Path(verdict.path).read_text()
    print(word)
    return word


@dsl.component(base_image=image("train"), install_kfp_package=False)
def note_weights(run_id: str, zoo: str, model_name: str, model: dsl.Input[dsl.Model]) -> None:
    """Write down what the training of this run left, before anything of it is published.

    Args:
        run_id: Id of the pipeline run.
        zoo: Folder of the model zoo.
        model_name: Name under which the zoo keeps the model's versions.
        model: Model folder.
    """
    from datetime import UTC, datetime
    from pathlib import Path

    from traffic_yolo.entry_point import one_line_errors
    from traffic_yolo.retraining.closing import note_model

    with one_line_errors():
        print(note_model(run_id, Path(model.path), zoo=zoo, model_name=model_name, now=datetime.now(UTC)))


@dsl.component(base_image=image("train"), install_kfp_package=False)
def close_attempt(run_id: str, zoo: str, model_name: str, status: dsl.PipelineTaskFinalStatus) -> None:
    """Write down what became of this run's attempt, whatever happened, and tell a webhook; to be an exit handler.

    Args:
        run_id: Id of the pipeline run.
        zoo: Folder of the model zoo.
        model_name: Name under which the zoo keeps the model's versions.
        status: How the other tasks ended.
    """
    from datetime import UTC, datetime

    from traffic_yolo.entry_point import one_line_errors
    from traffic_yolo.errors import TrafficYoloError
    from traffic_yolo.retraining.closing import close
    from traffic_yolo.webhook import tell_webhook

    with one_line_errors():
        failure = f"{status.pipeline_task_name} {status.state}: {status.error_message}".strip(": ")
        line = close(run_id, zoo=zoo, model_name=model_name, failure=failure, now=datetime.now(UTC))
        print(line)
        try:
            tell_webhook(f"retraining of {model_name}, run {run_id}: {line}")
        except TrafficYoloError as error:  # of a run that succeeded, nothing else is wrong
            print(f"note: {error}")
