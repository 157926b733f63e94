"""A model that is there already on a data set: Darknet's published files, or a version of the zoo.

Only wires. The inference is fanned out over shards; all after it reads what they found, so the network runs over each
picture once. Compiled for Kubeflow by `python pipelines/evaluate_pipeline.py`, which rewrites `evaluate_pipeline.yaml`
beside this file.
"""

from kfp import dsl

from traffic_yolo.dataset.component import import_dataset
from traffic_yolo.deepstream.component import validate
from traffic_yolo.evaluation.component import evaluate
from traffic_yolo.pretrained.component import compare_with_zoo, import_model
from traffic_yolo.tuning.component import tune
from traffic_yolo_pipelines.detection_shards import detect_in_shards
from traffic_yolo_pipelines.wiring import form_parameters, reach_storage


@dsl.pipeline(name="traffic-yolo-evaluate")
def evaluate_pipeline(
    compare_with: str = "",
    nas_claim: str = "nas-data",
    s3_secret: str = "none",
    gpus: str = "0",
) -> None:
    """Evaluate a model that is there already on a data set, and set it beside those of a zoo.

    Args:
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
        with dsl.If(last_step == "validate", name="deployment"):
            validate_task = validate(
                model=model,
                dataset=dataset,
                evaluation=evaluation,
                tuning=tune_task.outputs["tuning"],
                **form_parameters(validate, form),
            )
            validate_task.set_cpu_request("2").set_memory_request("4G")

    for task in (evaluate_task, compare_task, tune_task, validate_task):
        reach(task)


if __name__ == "__main__":
    from traffic_yolo_pipelines.compile import compile_beside

    compile_beside(evaluate_pipeline, __file__)
