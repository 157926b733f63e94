"""What stands on the cluster when a launcher ends before its Experiment: nothing, or nothing that runs."""

import os
import signal
import threading
import time
from typing import Any

import pytest
from katib_server import KatibServer, suspended

from traffic_yolo.errors import ClusterError
from traffic_yolo.katib.launch import launch
from traffic_yolo.katib.launch.cluster import Experiments
from traffic_yolo.katib.launch.launch import LaunchOptions
from traffic_yolo.katib.launch.stopping import Patience, active_trials, end_work

QUICK = Patience(passes=20, pause_s=0.001)


def options(*, keep: bool, timeout_s: float = 600) -> LaunchOptions:
    return LaunchOptions("run-1", poll_s=0.01, timeout_s=timeout_s, keep=keep, patience=QUICK)


def works_on(server: KatibServer) -> bool:
    """Whether any trial runs, now or after Katib has had time to make others."""
    before = server.work
    for _ in range(50):
        server.step()
    return server.work > before


@pytest.fixture
def running(server: KatibServer) -> KatibServer:
    server.makes_trials = True
    return server


def test_at_the_time_limit_one_that_is_kept_is_suspended(
    running: KatibServer, experiments: Experiments, document: dict[str, Any]
) -> None:
    message = r"took longer than 0\.05 s \(2 trials, 2 running\); it is kept, and its trials are suspended \(2\)"
    document["spec"]["parallelTrialCount"] = 2
    with pytest.raises(ClusterError, match=message):
        launch.launch(document, experiments, options(keep=True, timeout_s=0.05))
    (kept,) = running.objects.values()
    assert kept["metadata"]["annotations"]["traffic-yolo/suspended"] == "true"
    assert running.active()
    assert not works_on(running)


def test_at_the_time_limit_another_is_deleted(
    running: KatibServer, experiments: Experiments, document: dict[str, Any]
) -> None:
    with pytest.raises(ClusterError, match=r"took longer than 0\.05 s .*; it was deleted$"):
        launch.launch(document, experiments, options(keep=False, timeout_s=0.05))
    assert running.objects == {}


def send_sigterm_once_it_runs(server: KatibServer) -> threading.Thread:
    def send() -> None:
        while not server.active() or signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # of the request that the signal came into
@pytest.mark.parametrize("keep", [True, False])
def test_after_sigterm_nothing_runs_and_a_new_task_goes_on(
    running: KatibServer, experiments: Experiments, document: dict[str, Any], keep: bool
) -> None:
    thread = send_sigterm_once_it_runs(running)
    came = "it is kept, and its trials are suspended" if keep else "it was deleted"
    with pytest.raises(ClusterError, match=f"SIGTERM ended the task; {came}"):
        launch.launch(document, experiments, options(keep=keep))
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert len(running.objects) == int(keep)
    assert not works_on(running)
    thread = send_sigterm_once_it_runs(running)  # the pod is made again, and taken away again
    with pytest.raises(ClusterError, match="SIGTERM"):
        launch.launch(document, experiments, options(keep=keep))
    thread.join()


def test_a_task_that_takes_it_up_lets_the_trials_go_on(
    running: KatibServer, experiments: Experiments, document: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    document["spec"] |= {"parallelTrialCount": 3}
    experiments.create(document)
    name = document["metadata"]["name"]
    running.objects[name]["spec"]["parallelTrialCount"] = 2  # one of three has ended by the time of the limit
    running.step()
    assert "suspended (2)" in end_work(experiments, name, keep=True, patience=QUICK)
    assert not works_on(running)
    best = {"bestTrialName": "t", "observation": {"metrics": [{"name": "f1", "max": "0.5", "min": "", "latest": ""}]}}
    running.statuses = [{}, {"conditions": [{"type": "Succeeded", "status": "True"}], "currentOptimalTrial": best}]
    found = launch.launch(dict(document), experiments, options(keep=True))
    assert found.trial == "t"
    assert "its trials were suspended; they go on" in capsys.readouterr().out
    assert not any(suspended(job) for job in running.jobs.values())
    assert works_on(running)


def test_beyond_the_time_limit_a_suspended_one_stays_so(
    running: KatibServer, experiments: Experiments, document: dict[str, Any]
) -> None:
    with pytest.raises(ClusterError, match="its trials are suspended"):
        launch.launch(document, experiments, options(keep=True, timeout_s=0.05))
    running.objects[document["metadata"]["name"]]["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z"
    before = running.work
    with pytest.raises(ClusterError, match="its trials are suspended"):  # KFP's retry
        launch.launch(document, experiments, options(keep=True, timeout_s=0.05))
    assert running.work == before
    assert not works_on(running)


def test_a_job_that_katib_is_still_making_is_waited_for(
    running: KatibServer, experiments: Experiments, document: dict[str, Any]
) -> None:
    experiments.create(document)
    running.hidden_jobs = 3
    assert "its trials are suspended" in end_work(experiments, document["metadata"]["name"], keep=True, patience=QUICK)
    assert not works_on(running)


def test_when_all_trials_are_made_no_count_is_edited(
    running: KatibServer, experiments: Experiments, document: dict[str, Any]
) -> None:
    """Katib's webhook refuses any edit then; and there is nothing more to come."""
    document["spec"] |= {"maxTrialCount": 3, "parallelTrialCount": 3, "maxFailedTrialCount": 1}
    experiments.create(document)
    running.step()
    first = running.active()[0]
    running.trials[first]["status"] = {"conditions": [{"type": "Succeeded", "status": "True"}]}
    assert "suspended (2)" in end_work(experiments, document["metadata"]["name"], keep=True, patience=QUICK)
    assert not works_on(running)


def test_a_trial_that_was_not_made_yet_never_is(
    running: KatibServer, experiments: Experiments, document: dict[str, Any]
) -> None:
    """Three may run at once, and the algorithm has suggested two when the time is over; the third comes later."""
    document["spec"]["parallelTrialCount"] = 3
    running.most_trials = 2
    experiments.create(document)
    assert "suspended (2)" in end_work(experiments, document["metadata"]["name"], keep=True, patience=QUICK)
    running.most_trials = 10
    assert not works_on(running)
    assert len(running.trials) == 2


@pytest.mark.parametrize(
    ("version", "kind", "spec"),
    [
        ("trainer.kubeflow.org/v1alpha1", "TrainJob", {}),
        ("kubeflow.org/v1", "PyTorchJob", {}),
        ("kubeflow.org/v1", "PyTorchJob", {"runPolicy": {"cleanPodPolicy": "None"}}),
    ],
)
def test_other_kinds_of_trials_are_suspended_by_their_own_field(
    running: KatibServer, experiments: Experiments, document: dict[str, Any], version: str, kind: str, spec: Any
) -> None:
    document["spec"]["trialTemplate"]["trialSpec"] = {"apiVersion": version, "kind": kind, "spec": spec}
    running.job_path = f"/apis/{version}/namespaces/team/{kind.lower()}s"
    experiments.create(document)
    running.step()
    for job in running.jobs.values():
        job["spec"] = dict(spec)
    assert "its trials are suspended" in end_work(experiments, document["metadata"]["name"], keep=True, patience=QUICK)
    assert not works_on(running)
    assert all(set(spec) <= set(job["spec"]) for job in running.jobs.values())


def test_what_cannot_be_suspended_is_said_with_the_way_to_end_it(
    running: KatibServer, experiments: Experiments, document: dict[str, Any]
) -> None:
    document["spec"]["trialTemplate"]["trialSpec"] = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow"}
    experiments.create(document)
    name = document["metadata"]["name"]
    said = end_work(experiments, name, keep=True, patience=QUICK)
    by_hand = f"`kubectl -n team delete experiment {name}` ends it"
    assert said == f"IT GOES ON: trials of kind Workflow cannot be suspended; {by_hand}"
    running.faults = [403]
    said = end_work(experiments, name, keep=False)
    assert said.startswith("IT GOES ON (delete experiment in team: the server answered 403: a fault; ")
    assert said.endswith(by_hand)
    running.makes_trials = False
    running.trials.clear()
    running.objects[name]["spec"]["trialTemplate"]["trialSpec"]["kind"] = "Job"
    assert "BUT KATIB MAY START ANOTHER TRIAL" in end_work(experiments, name, keep=True, patience=Patience(2, 0.001))


def test_sigterm_leaves_anothers_experiment_alone(
    running: KatibServer, experiments: Experiments, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst moment: the server says that the name is taken, and nobody has looked at whose it is."""
    experiments.create({**document, "metadata": {"name": document["metadata"]["name"], "annotations": {}}})
    real = experiments.create

    def create(made: Any) -> bool:
        answer = real(made)
        signal.raise_signal(signal.SIGTERM)
        return answer

    monkeypatch.setattr(experiments, "create", create)
    with pytest.raises(ClusterError, match="SIGTERM ended the task; its Experiment was left as it is: .*another spec"):
        launch.launch(document, experiments, options(keep=False))
    assert len(running.objects) == 1
    assert works_on(running)
    assert active_trials(experiments, document["metadata"]["name"])
