"""A model that is there already on a data set: Darknet's published files, or a version of the zoo.

Only wires. The inference is fanned out over shards; all after it reads what they found, so the network runs over each
picture once. Compiled for Kubeflow by `python pipelines/evaluate_pipeline.py`, which rewrites `evaluate_pipeline.yaml`
beside this file.
"""

from kfp import dsl, kubernetes

from traffic_yolo.dataset.component import import_dataset
from traffic_yolo.deepstream.component import deepstream_run, validate
from traffic_yolo.evaluation.component import evaluate
from traffic_yolo.pretrained.component import compare_with_zoo, import_model
from traffic_yolo.tuning.component import tune
from traffic_yolo_pipelines.detection_shards import detect_in_shards
from traffic_yolo_pipelines.wiring import form_parameters, reach_storage

GPU_RUN_S = 6 * 3600  # after which the pod is ended, the pull of its image included; deepstream-app's own limit is less


@dsl.pipeline(name="traffic-yolo-evaluate")
def evaluate_pipeline(
    source: str = "",
    labels: str = "",
    layout: str = "",
    pictures: str = "blurred",
    class_map: str = "",
    val_sites: str = "",
    test_sites: str = "",
    splits: str = "auto",
    policy: str = "",
    data_store: str = "",
    dataset: str = "",
    convert_settings: str = "",
    cfg: str = "",
    weights: str = "",
    weights_names: str = "",
    zoo: str = "",
    model_name: str = "",
    version: str = "",
    class_seeds: str = "",
    width: str = "",
    height: str = "",
    shards: int = 1,
    last_step: str = "evaluate",
    split: str = "test",
    confidence_threshold: float = 0.25,
    iou_threshold: float = 0.45,
    evaluate_settings: str = "",
    objective: str = "f1",
    per_class: bool = False,
    tune_settings: str = "",
    waterfall: bool = False,
    validate_settings: str = "",
    deepstream_run_settings: str = "",
    compare_with: str = "",
    nas_claim: str = "nas-data",
    s3_secret: str = "none",
    gpus: str = "0",
) -> None:
    """Evaluate a model that is there already on a data set, and set it beside those of a zoo.

    Args:
        source: Recordings, or a data set, to be converted first: a folder, or its label file. In the place of dataset.
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
        dataset: Data set folder that convert wrote, which is read where it lies.
        convert_settings: Other options of convert: YAML text `name: value`, or a file of it (path, nas:// or s3://).
        cfg: Darknet .cfg file of the model.
        weights: Its Darknet .weights, whole.
        weights_names: File with the class names that the weights were trained for, one a line.
        zoo: Model zoo (a path, nas:// or s3://), in the place of cfg and weights.
        model_name: Name of the model in the zoo.
        version: Its version in the zoo, or its number; empty: the one in use.
        class_seeds: Classes of the data set and those of the model that stand for them, where names differ:
            LONG_TRUCK=truck,MOTORCYCLE=motorbike.
        width: Network width in pixels, a multiple of 32; by default the model's. A whole number, or empty.
        height: Network height in pixels, a multiple of 32; by default the model's. A whole number, or empty.
        shards: How many parts the pictures of a split are cut into, detected side by side.
        last_step: How far it goes: evaluate, tune (and choose thresholds on the validation split), validate (and
            compare with DeepStream's rules) or deepstream (and run the real one on a node with a GPU).
        split: Split that the metrics are of.
        confidence_threshold: Detections with a score not above this are dropped; [0, 1).
        iou_threshold: NMS: overlap above which the weaker box of a class goes; (0, 1].
        evaluate_settings: Other options of evaluate: YAML text `name: value`, or a file of it (path, nas:// or s3://).
        objective: What is made best. One of f1, map, map50, recall_at_fppi, cost.
        per_class: Also choose a confidence threshold for each class with enough true boxes.
        tune_settings: Other options of tune: YAML text `name: value`, or a file of it (path, nas:// or s3://).
        waterfall: Also run the pictures through every stage to DeepStream, name what each loss is due to, and hold a
            gate at each stage.
        validate_settings: Other options of validate: YAML text `name: value`, or a file of it (path, nas:// or s3://).
        deepstream_run_settings: Other options of deepstream_run: YAML text `name: value`, or a file of it (path, nas://
            or s3://).
        compare_with: Zoo whose models it is set beside; empty: the one that the model is of.
        nas_claim: PersistentVolumeClaim of the NAS, mounted at /nas.
        s3_secret: Secret with address and credentials of the object storage, for s3:// locations; none: without.
        gpus: GPUs of each detecting task; 0 detects on CPUs. A whole number.
    """
    form = dict(locals())

    def reach(task: dsl.PipelineTask) -> None:
        reach_storage(task, nas_claim=nas_claim, s3_secret=s3_secret)

    data_task = import_dataset(**form_parameters(import_dataset, form))
    del form["dataset"]  # from here on the name is that of the artifact, which may be a reference to it
    dataset = data_task.outputs["dataset_folder"]
    model_task = import_model(dataset=dataset, **form_parameters(import_model, form))
    model = model_task.outputs["model"]
    # Files, shares and zoos change without KFP knowing
    for task in (data_task, model_task):
        task.set_caching_options(False)
        task.set_cpu_request("1").set_memory_request("2G")
        reach(task)

    detections = detect_in_shards(model, dataset, form, gpus=gpus, reach=reach)
    evaluate_task = evaluate(model=model, dataset=dataset, detections=detections, **form_parameters(evaluate, form))
    evaluate_task.set_cpu_request("2").set_memory_request("4G")
    evaluation = evaluate_task.outputs["evaluation"]

    compare_task = compare_with_zoo(evaluation=evaluation, **form_parameters(compare_with_zoo, form))
    compare_task.set_caching_options(False)

    # The plan has refused other words
    with dsl.If(last_step != "evaluate", name="thresholds"):
        tune_task = tune(evaluation=evaluation, dataset=dataset, **form_parameters(tune, form))
        with dsl.If(last_step != "tune", name="deployment"):
            validate_task = validate(
                model=model,
                dataset=dataset,
                evaluation=evaluation,
                tuning=tune_task.outputs["tuning"],
                **form_parameters(validate, form),
            )
            validate_task.set_cpu_request("2").set_memory_request("4G")
            with dsl.If(last_step == "deepstream", name="gpu-node"):
                run_task = deepstream_run(
                    model=model,
                    dataset=dataset,
                    tuning=tune_task.outputs["tuning"],
                    **form_parameters(deepstream_run, form),
                )
                # Its node, tolerations and time are the cluster's own: the file of --cluster has them
                run_task.set_cpu_request("2").set_memory_request("8G")
                run_task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit("1")
                # GStreamer's and CUDA's processes share memory; a pod has 64 MiB of it by default
                kubernetes.empty_dir_mount(
                    run_task, volume_name="shm", mount_path="/dev/shm", medium="Memory", size_limit="2Gi"
                )
                kubernetes.set_timeout(run_task, GPU_RUN_S)

    for task in (evaluate_task, compare_task, tune_task, validate_task, run_task):
        reach(task)


if __name__ == "__main__":
    from traffic_yolo_pipelines.compile import compile_beside

    compile_beside(evaluate_pipeline, __file__)
