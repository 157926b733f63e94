"""A zoo on S3 (moto, and Ceph where it is installed): the commands, kills at every request, two publishers at once."""

import contextlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from examples import slow
from judged_runs import publish
from killing import at_each_point
from minio import Minio
from minio.commonconfig import CopySource
from s3_servers import S3Server, ceph_gateway, why_no_ceph
from storage_settings import use

from traffic_yolo.cli import main
from traffic_yolo.errors import ChangedMeanwhileError, ModelError, StorageError
from traffic_yolo.registry import object_home
from traffic_yolo.registry.bundle import SUMS_NAME, verify_bundle
from traffic_yolo.registry.gates.rules import GateRules
from traffic_yolo.registry.history import History
from traffic_yolo.registry.homes import open_home
from traffic_yolo.registry.ledger_table import LedgerTable
from traffic_yolo.registry.zoo import Published, current_bundle, current_version, roll_back, set_current
from traffic_yolo.registry.zoo_collection import collect
from traffic_yolo.registry.zoo_list import verify_zoo
from traffic_yolo.storage import join, list_files, put, put_if_unchanged, read, remove, stat
from traffic_yolo.storage.s3 import connect
from traffic_yolo.storage.s3_settings import S3Settings

MakeRun = Callable[..., dict[str, Path]]
SLOW = os.environ.get("TRAFFIC_YOLO_SLOW") == "1"
EVERY = 1 if SLOW else 43  # requests
ON_EVERY_SERVER = ("test_every_command_works_on_object_storage", "test_publishers_at_once_in_processes_of_their_own")
UNGATED = GateRules(gate="any")  # where orders of writers are tried, in which gates that compare would take the time
# What comes in the middle of a collection
CHOICES = ["set current", "publish again", "gc", "roll back"] if SLOW else ["set current"]


@pytest.fixture(scope="module")
def ceph() -> Iterator[S3Server]:
    if reason := why_no_ceph():
        pytest.skip(f"no Ceph gateway: {reason}")
    with ceph_gateway() as server:
        yield server


@pytest.fixture(params=["moto", "ceph"])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A new bucket of each server. Orders of writers are tried on moto, and on Ceph where there is time."""
    if request.param == "ceph" and not SLOW and request.function.__name__ not in ON_EVERY_SERVER:
        pytest.skip("half a minute; TRAFFIC_YOLO_SLOW=1 runs it on Ceph")
    for name in ("AWS_SESSION_TOKEN", "AWS_CA_BUNDLE", "AWS_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRAFFIC_YOLO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("traffic_yolo.storage.retry.RetryPolicy.wait_s", lambda *_: 0.01)
    return f"s3://{use(request.getfixturevalue(request.param), monkeypatch)}"


def versions_of(zoo: str, name: str = "m") -> list[str]:
    return open_home(zoo, name).versions()


def state_of(zoo: str) -> dict[str, object]:
    """What people see of a zoo with the model m, times left out."""
    return {
        "versions": versions_of(zoo),
        "current": current_version(zoo, "m"),
        "history": [use.version for use in History.read(join(zoo, "m")).uses],
        "records": sorted(entry.version for entry in LedgerTable.read(zoo).entries),
    }


def assert_whole(zoo: str) -> None:
    found = versions_of(zoo)
    for version in found:
        verify_bundle(join(zoo, "m", version))
    assert current_version(zoo, "m") in (None, *found)
    assert len({version.split("-")[0] for version in found}) == len({version[-12:] for version in found}) == len(found)


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    printed = capsys.readouterr()
    assert ended.value.code == code, printed.err
    return printed.err if code == 2 else printed.out


@pytest.mark.long
def test_every_command_works_on_object_storage(
    bucket: str, make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    zoo = f"{bucket}/some/zoo"
    assert "model zoo not found" in run(capsys, "zoo", "list", "--zoo", zoo, code=2)
    runs = [make_run(seed) for seed in range(3)]
    at_hand = [word for run in runs for word in ("--earlier-detections", str(run["evaluation"]))]
    for seed, folders in enumerate(runs):
        flags = [word for name, folder in folders.items() for word in (f"--{name}", str(folder))]
        flags += ["--dataset", str(folders["model"].parent / "dataset"), *at_hand]
        printed = run(capsys, "publish", *flags, "--zoo", zoo, "--model-name", "m")
        assert f"published: {zoo}/m/000{seed + 1}-" in printed
        assert "in use (current)" in printed
    one, two, three = versions_of(zoo)
    listed = json.loads(run(capsys, "zoo", "list", "--zoo", zoo, "--json"))["versions"]
    assert [(row["version"], row["state"]) for row in listed] == [(one, ""), (two, "before"), (three, "current")]
    assert listed[0]["location"] == f"{zoo}/m/{one}"
    assert run(capsys, "zoo", "show", "m", "--zoo", zoo).startswith(f"# m {three}\n")
    assert run(capsys, "zoo", "verify", "--zoo", zoo).count(": whole\n") == 3
    run(capsys, "zoo", "rollback", "m", "--zoo", zoo)
    assert current_version(zoo, "m") == two
    assert read(f"{zoo}/m/current") == f"{two}\n".encode()
    run(capsys, "zoo", "set-current", "m", "3", "--zoo", zoo)
    assert current_bundle(zoo, "m") == f"{zoo}/m/{three}"
    assert "| current |" in run(capsys, "ledger", "table", "--zoo", zoo)
    run(capsys, "zoo", "fetch", "m", "--zoo", zoo, "--out", str(tmp_path / "out"))
    verify_bundle(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        file.name for file in list_files(f"{zoo}/m/{three}").files
    ]
    assert f"m {one} " in run(capsys, "zoo", "gc", "--keep-days", "0", "--zoo", zoo, "--dry-run").splitlines()[0]
    assert versions_of(zoo) == [one, two, three]
    run(capsys, "zoo", "gc", "--keep-days", "0", "--zoo", zoo)
    assert versions_of(zoo) == [two, three]
    assert list_files(f"{zoo}/m/{one}").files == []
    again = publish(**make_run(3), zoo=zoo, name="m")
    assert again.version.startswith("0004-")


def test_a_damaged_object_is_named(bucket: str, make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    published = publish(**make_run(0), zoo=bucket, name="m")
    put(f"{published.bundle}/model.cfg", b"other")
    assert "model.cfg was changed after publishing" in run(capsys, "zoo", "verify", "--zoo", bucket, code=1)
    with pytest.raises(ModelError, match="model.cfg was changed"):
        set_current(bucket, "m", published.version)
    put(f"{published.bundle}/model.onnx_b1_gpu0_fp16.engine", b"built")
    remove(f"{published.bundle}/model.cfg")
    assert "model.cfg is missing" in run(capsys, "zoo", "verify", "--zoo", bucket, code=1)
    remove(f"{published.bundle}/{SUMS_NAME}")
    assert "m current: DAMAGED: it names" in run(capsys, "zoo", "verify", "--zoo", bucket, code=1)


def test_of_two_writers_that_saw_the_same_one_succeeds(bucket: str) -> None:
    place = f"{bucket}/pointer"
    put_if_unchanged(place, b"1", None)
    with pytest.raises(ChangedMeanwhileError, match="was changed by another writer"):
        put_if_unchanged(place, b"2", None)
    seen = stat(place)
    put_if_unchanged(place, b"22", seen)
    with pytest.raises(ChangedMeanwhileError):
        put_if_unchanged(place, b"333", seen)
    assert read(place) == b"22"
    remove(place)
    with pytest.raises(ChangedMeanwhileError):
        put_if_unchanged(place, b"4", seen)


def test_a_lost_answer_to_a_conditional_write_is_no_conflict(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, really = f"{bucket}/pointer", Minio._put_object
    put_if_unchanged(place, b"1", None)
    answers = iter([ConnectionResetError("the answer was lost"), None])

    def losing(client: Minio, *arguments: Any, **named: Any) -> Any:
        result = really(client, *arguments, **named)
        if (fault := next(answers)) is not None:
            raise fault
        return result

    monkeypatch.setattr(Minio, "_put_object", losing)
    put_if_unchanged(place, b"22", stat(place))
    assert read(place) == b"22"


@pytest.mark.long
@pytest.mark.parametrize("seeds", [(0,), (0, 1)] if SLOW else [(0,)], ids=lambda seeds: f"version {len(seeds)}")
def test_a_retry_finishes_what_was_killed_at_any_request(
    bucket: str, make_run: MakeRun, seeds: tuple[int, ...]
) -> None:
    runs, zoos = [make_run(seed) for seed in seeds], (f"{bucket}/zoo{number}" for number in range(10_000))

    def fresh() -> str:
        zoo = next(zoos)
        for each in runs[:-1]:
            publish(**each, zoo=zoo, name="m")
        return zoo

    zoo = fresh()
    publish(**runs[-1], zoo=zoo, name="m")
    expected = state_of(zoo)
    assert expected["current"] == expected["versions"][-1]  # type: ignore[index]
    zoo, resumed = fresh(), 0
    for _ in at_each_point(lambda: publish(**runs[-1], zoo=zoo, name="m"), step=EVERY):  # noqa: B023 (at once)
        assert_whole(zoo)
        again = publish(**runs[-1], zoo=zoo, name="m")
        assert again.is_current
        resumed += again.resumed
        assert state_of(zoo) == expected
        zoo = fresh()
    assert resumed > 0 or not SLOW


class Interleaved:
    """Runs another function once, in the middle: right before the n-th request to the server."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at, self.count, self.other = 0, 0, lambda: None
        self.requests: list[str] = []
        really = Minio._execute

        def execute(client: Minio, *arguments: Any, **named: Any) -> Any:
            self.count += 1
            self.requests.append(f"{arguments[0]} {named.get('object_name') or [*arguments, '', ''][2]}")
            if self.count == self.at:
                with (
                    pytest.MonkeyPatch.context() as elsewhere
                ):  # in one process, it would wait for its own cache's lock
                    elsewhere.setenv("TRAFFIC_YOLO_CACHE", f"{os.environ['TRAFFIC_YOLO_CACHE']}-of-another-machine")
                    self.other()
            return really(client, *arguments, **named)

        monkeypatch.setattr(Minio, "_execute", execute)

    def run(self, function: Callable[[], Any], other: Callable[[], Any], at: int) -> tuple[Any, bool]:
        """What the function returned, and whether the other one was run in between."""
        self.at, self.count, self.other = at, 0, other
        result = function()
        reached, self.at = self.count >= at, 0
        return result, reached


@slow
@pytest.mark.parametrize("same", [False, True], ids=["other content", "the same content"])
def test_a_publisher_in_the_middle_of_another_loses_nothing(
    bucket: str, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, same: bool
) -> None:
    first, mine, other = make_run(0), make_run(1), make_run(1 if same else 2)
    both = Interleaved(monkeypatch)
    at, reached = 1, True
    while reached:
        zoo, seen = f"{bucket}/zoo{at}", []
        publish(**first, zoo=zoo, name="m", rules=UNGATED)
        published: Published
        published, reached = both.run(
            lambda zoo=zoo: publish(**mine, zoo=zoo, name="m", rules=UNGATED),  # type: ignore[misc]
            lambda zoo=zoo, seen=seen: seen.append(publish(**other, zoo=zoo, name="m", rules=UNGATED)),  # type: ignore[misc]
            at,
        )
        assert_whole(zoo)
        found = state_of(zoo)
        names = {versions_of(zoo)[0], published.version, *(each.version for each in seen)}
        assert set(found["versions"]) == set(found["records"]) == set(found["history"]) == names  # type: ignore[call-overload]
        assert found["current"] == found["history"][-1]  # type: ignore[index]
        assert len(names) == (3 if seen and not same else 2)
        at += EVERY


@pytest.mark.long
def test_a_roll_back_in_the_middle_of_a_publication_is_seen(
    bucket: str, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, at, reached = Interleaved(monkeypatch), 1, True
    while reached:
        zoo = f"{bucket}/zoo{at}"
        names = [publish(**make_run(seed), zoo=zoo, name="m", rules=UNGATED).version for seed in range(2)]
        third, reached = both.run(
            lambda zoo=zoo: publish(**make_run(2), zoo=zoo, name="m", rules=UNGATED),  # type: ignore[misc]
            lambda zoo=zoo: roll_back(zoo, "m"),  # type: ignore[misc]
            at,
        )
        assert current_version(zoo, "m") in (third.version, names[1])
        assert History.read(join(zoo, "m")).versions == {*names, third.version}
        at += 3 * EVERY


def _publish(run: dict[str, Path], zoo: str) -> str:
    return publish(**run, zoo=zoo, name="m", rules=UNGATED).version


def test_publishers_at_once_in_processes_of_their_own(
    make_run: MakeRun, bucket: str, request: pytest.FixtureRequest
) -> None:
    if request.node.callspec.params["bucket"] == "moto":
        pytest.skip("moto looks and writes in two steps: it keeps no promise to writers at the same moment")
    runs = [make_run(seed) for seed in (0, 1, 2, 0, 3, 1)]
    with multiprocessing.get_context("fork").Pool(3) as pool:
        published = pool.starmap(_publish, [(run, bucket) for run in runs], chunksize=1)
    assert_whole(bucket)
    assert set(published) == set(versions_of(bucket))
    assert (published[0], published[1]) == (published[3], published[5])
    assert len(set(published)) == 4
    assert History.read(join(bucket, "m")).versions == set(published)
    assert {entry.version for entry in LedgerTable.read(bucket).entries} == set(published)
    assert current_version(bucket, "m") in published


def three_versions(zoo: str, runs: list[dict[str, Path]]) -> list[str]:
    """The last is in use, the second was before, and nothing names the first one."""
    for run_folders in runs:
        publish(**run_folders, zoo=zoo, name="m")
    return versions_of(zoo)


def gc(zoo: str) -> list[str]:
    """A collection that spares no record; the versions that went."""
    later = datetime.now(UTC) + timedelta(days=2)
    return [fate.version for fate in collect(zoo, keep_days=0, now=later) if not fate.stays]


def without_marks(zoo: str) -> bool:
    return list_files(f"{zoo}/m/removals").files == []


def copied(start: str, zoo: str) -> None:
    """A zoo like another one."""
    client = connect(S3Settings.from_environment())
    bucket, _, source = start.removeprefix("s3://").partition("/")
    target = zoo.removeprefix(f"s3://{bucket}/")
    for file in list_files(start).files:
        client.copy_object(bucket, f"{target}/{file.name}", CopySource(bucket, f"{source}/{file.name}"))


def points(requests: list[str]) -> list[int]:
    """Numbers of the requests before which others come in: all, or those about which a collection is decided."""
    first_mark = next(
        at for at, request in enumerate(requests) if request.startswith("PUT") and "/removals/" in request
    )
    deletions = [at for at, request in enumerate(requests) if request.startswith("DELETE")]
    decisive = {first_mark, first_mark + 1, deletions[0]}
    return list(range(1, len(requests) + 1)) if SLOW else sorted(at + 1 for at in decisive)


@slow
@pytest.mark.parametrize("other", CHOICES)
def test_what_comes_in_the_middle_of_a_collection_names_no_version_that_goes(
    bucket: str, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    monkeypatch.setattr(object_home, "PLACE_WAIT_S", 0.0)
    runs, start = [make_run(seed) for seed in range(3)], f"{bucket}/start"
    first, _, third = three_versions(start, runs)
    again = GateRules(force=True)
    chosen: dict[str, Callable[[str], Any]] = {
        "set current": lambda zoo: set_current(zoo, "m", first),
        "publish again": lambda zoo: publish(**runs[0], zoo=zoo, name="m", rules=again),
        "gc": gc,
        "roll back": lambda zoo: roll_back(zoo, "m"),
    }
    both = Interleaved(monkeypatch)
    refusals: list[str] = []
    copied(start, f"{bucket}/alone")
    both.requests.clear()
    assert gc(f"{bucket}/alone") == [first]
    for at in points(list(both.requests)):
        zoo = f"{bucket}/{at}"
        copied(start, zoo)

        def attempt(zoo: str = zoo) -> None:
            try:
                chosen[other](zoo)
            except (ModelError, StorageError) as error:
                refusals.append(str(error))

        both.run(lambda zoo=zoo: gc(zoo), attempt, at)  # type: ignore[misc]
        assert_whole(zoo)
        assert third in versions_of(zoo)
        assert without_marks(zoo)
    assert other in ("set current", "publish again") or not refusals
    assert all("tak" in refusal or "no version" in refusal for refusal in refusals), refusals


@pytest.mark.skipif(not SLOW, reason="minutes: set TRAFFIC_YOLO_SLOW=1")
@pytest.mark.parametrize("other", ["set current", "publish again"])
def test_a_collection_in_the_middle_of_a_choice_takes_nothing_that_is_named(
    bucket: str, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    runs, start = [make_run(seed) for seed in range(3)], f"{bucket}/start"
    first, *_ = three_versions(start, runs)
    both, at, reached = Interleaved(monkeypatch), 1, True
    while reached:
        zoo, gone = f"{bucket}/{at}", []
        copied(start, zoo)

        def choose(zoo: str = zoo) -> None:
            with contextlib.suppress(ModelError):
                if other == "set current":
                    set_current(zoo, "m", first)
                else:
                    publish(**runs[0], zoo=zoo, name="m", rules=GateRules(force=True))

        _, reached = both.run(choose, lambda zoo=zoo, gone=gone: gone.extend(gc(zoo)), at)  # type: ignore[misc]
        assert_whole(zoo)
        assert without_marks(zoo)
        at += 1


@pytest.mark.skipif(not SLOW, reason="a minute; TRAFFIC_YOLO_SLOW=1 runs it")
def test_a_collection_that_was_killed_at_any_request_is_finished_by_the_next(bucket: str, make_run: MakeRun) -> None:
    runs, start = [make_run(seed) for seed in range(3)], f"{bucket}/start"
    first, second, third = three_versions(start, runs)
    zoos = (f"{bucket}/{number}" for number in range(10_000))
    zoo = next(zoos)
    copied(start, zoo)
    for _ in at_each_point(lambda: gc(zoo), step=1 if SLOW else 90):  # noqa: B023 (called at once)
        assert_whole(zoo)
        gc(zoo)
        assert versions_of(zoo) == [second, third]
        assert list_files(f"{zoo}/m/{first}").files == []
        zoo = next(zoos)
        copied(start, zoo)


@pytest.mark.long
def test_the_mark_of_a_killed_collection_lapses(
    bucket: str, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = three_versions(bucket, [make_run(seed) for seed in range(3)])
    put(f"{bucket}/m/removals/{first}/0123", b"")
    with pytest.raises(ModelError, match=f"{first} is gone or being taken away by `zoo gc`"):
        set_current(bucket, "m", first)
    monkeypatch.setattr(object_home, "MARK_S", -1.0)
    set_current(bucket, "m", first)
    assert current_version(bucket, "m") == first
    gc(bucket)
    assert without_marks(bucket)
    assert_whole(bucket)


def test_what_a_killed_publisher_left_goes_when_nobody_can_still_be_writing_it(
    bucket: str, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(**make_run(0), zoo=bucket, name="m")
    put(f"{bucket}/m/0002-0123456789ab/model.cfg", b"half")
    now = datetime.now(UTC)
    list(collect(bucket, keep_days=0, now=now))
    assert stat(f"{bucket}/m/0002-0123456789ab/model.cfg") is not None
    monkeypatch.setattr(object_home, "ABANDONED_DAYS", -1)
    list(collect(bucket, keep_days=0, now=now + timedelta(days=1)))
    assert stat(f"{bucket}/m/0002-0123456789ab/model.cfg") is None
    assert [finding.problem for finding in verify_zoo(bucket)] == [""]
