"""The KFP component `preflight`: the first task of every run that trains or publishes."""

from kfp import dsl

from traffic_yolo.container_images import image


@dsl.component(base_image=image("train"), install_kfp_package=False)
def preflight(
    source: str,
    zoo: str,
    labels: str = "",
    layout: str = "",
    snapshot_cache: str = "",
    snapshot_settings: str = "",
    pictures: str = "blurred",
    class_map: str = "",
    val_sites: str = "",
    test_sites: str = "",
    splits: str = "auto",
    policy: str = "",
    data_store: str = "",
    convert_settings: str = "",
    cfg: str = "",
    weights: str = "",
    weights_names: str = "",
    class_seeds: str = "",
    fine_tune_layers: str = "",
    width: str = "",
    height: str = "",
    batch: str = "",
    max_batches: str = "",
    optimizer: str = "",
    learning_rate: str = "",
    train_settings: str = "",
    evaluate_settings: str = "",
    objective: str = "f1",
    per_class: bool = False,
    tune_settings: str = "",
    waterfall: bool = False,
    validate_settings: str = "",
    model_name: str = "traffic-small",
    gate: str = "no-worse",
    gate_metric: str = "map50",
    minimum: str = "",
    accept_few: bool = False,
    on_failed_gate: str = "stop",
    force: bool = False,
    force_reason: str = "",
    publish_settings: str = "",
    train_work: str = "",
    gpus: str = "0",
) -> None:
    """Look in seconds at all that the run would fail on later: share, places, options, classes, weights, GPU.

    Every problem is one line, and all of them are told at once. To be run uncached.

    Args:
        source: Recordings, or a data set: a folder, or its label file.
        zoo: Folder of the model zoo: a path, nas:// or s3://.
        labels: Label file or folder with the human labels of the recordings.
        layout: Layout of the recordings: a name or a YAML file; empty: each file's own.
        snapshot_cache: File that keeps checksums between looks, such as nas://.cache/recordings; empty reads every file
            each time.
        snapshot_settings: Other options of snapshot: YAML text `name: value`, or a file of it (path, nas:// or s3://).
        pictures: Pictures in reports and logs: none; blurred (number plates and heads, by the boxes); or full.
        class_map: YAML file that renames, merges, drops or ignores classes.
        val_sites: Comma-separated sites of the validation split; empty: a hash chooses.
        test_sites: Comma-separated sites of the test split; empty: a hash chooses.
        splits: auto, train, val or test (all in one), none (no splits), or shares: 0.8/0.1/0.1 or train=0.8,val=0.2.
        policy: YAML file (or its text in braces) on splits, leaks, checks, thinning and tiny boxes.
        data_store: Folder that keeps data sets, such as nas://.data-sets, so that steps hand on a reference; empty:
            they hand on the pictures.
        convert_settings: Other options of convert: YAML text `name: value`, or a file of it (path, nas:// or s3://).
        cfg: Darknet .cfg file; empty: the package's traffic-small.cfg.
        weights: Darknet .weights to start from, whole or a backbone cut; empty: random weights.
        weights_names: File with the class names that whole weights were trained for, one a line.
        class_seeds: New classes and the old ones they start from: LONG_TRUCK=truck,MOTORCYCLE=motorbike.
        fine_tune_layers: What may change: all, neck_and_heads, heads, last:<count>, from:<layer index>, stages such as
            heads@100,all; by default the recipe's.
        width: Network width in pixels, a multiple of 32; by default the cfg's. A whole number, or empty.
        height: Network height in pixels, a multiple of 32; by default the cfg's. A whole number, or empty.
        batch: Pictures per weight update; by default the recipe's. A whole number, or empty.
        max_batches: Weight updates in all, to which the cfg's steps are scaled; by default the recipe's. A whole
            number, or empty.
        optimizer: sgd or adam as Darknet, or adamw; by default the recipe's.
        learning_rate: Rate after the warm-up, above 0; by default the recipe's. A number, or empty.
        train_settings: Other options of train: YAML text `name: value`, or a file of it (path, nas:// or s3://).
        evaluate_settings: Other options of evaluate: YAML text `name: value`, or a file of it (path, nas:// or s3://).
        objective: What is made best. One of f1, map, map50, recall_at_fppi, cost.
        per_class: Also choose a confidence threshold for each class with enough true boxes.
        tune_settings: Other options of tune: YAML text `name: value`, or a file of it (path, nas:// or s3://).
        waterfall: Also run the pictures through every stage to DeepStream, name what each loss is due to, and hold a
            gate at each stage.
        validate_settings: Other options of validate: YAML text `name: value`, or a file of it (path, nas:// or s3://).
        model_name: Name under which the zoo keeps the model's versions.
        gate: What the new version must be shown to be, against the one in use and the best ever in use: no-worse (by
            more than .01), better, or any.
        gate_metric: The number that versions are compared by. One of map50, map, f1.
        minimum: What the new version must reach on the evaluated split: map50=.3,f1=.5 (also map, precision, recall).
        accept_few: Let fewer than 5 recordings in the split decide; recorded.
        on_failed_gate: What a failed or undecided gate makes of the step; the version is kept either way, and not used.
            stop: exit code 1; keep: success.
        force: Use the new version in spite of failed gates; recorded.
        force_reason: Why, for the record: of force and accept_few.
        publish_settings: Other options of publish: YAML text `name: value`, or a file of it (path, nas:// or s3://).
        train_work: Folder on the share to train in; empty: in the pod.
        gpus: GPUs that the training asks for; this task asks for them too, and looks whether PyTorch sees one.
    """
    given = dict(locals())

    from traffic_yolo.errors import ProblemsError, one_line_errors
    from traffic_yolo.preflight.checks import find_problems
    from traffic_yolo.preflight.run_options import options_of_form

    with one_line_errors():
        made, problems = options_of_form(given)
        problems += find_problems(made, train_work=train_work, gpus=gpus)
        if problems:
            raise ProblemsError(problems)
        print("nothing speaks against this run")
