"""The KFP component `preflight`: the first task of every run that trains or publishes."""

from kfp import dsl

from traffic_yolo.container_images import image


@dsl.component(base_image=image("train"), install_kfp_package=False)
def preflight(
    source: str,
    zoo: str,
    train_work: str = "",
    gpus: str = "0",
) -> None:
    """Look in seconds at all that the run would fail on later: share, places, options, classes, weights, GPU.

    Every problem is one line, and all of them are told at once. To be run uncached.

    Args:
        source: Recordings, or a data set: a folder, or its label file.
        zoo: Folder of the model zoo.
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
