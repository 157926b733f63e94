"""The cluster file: the example says all of it, and every value that Kubernetes would refuse is one line with its place."""

import dataclasses
import re
import types
import typing
from pathlib import Path
from typing import Any

import pytest
import yaml

from traffic_yolo.cluster.settings import ClusterSettings, Step
from traffic_yolo.errors import OptionsError, StorageError


@pytest.fixture
def example(repository: Path) -> Path:
    """The file that the documentation shows."""
    return repository / "docs" / "cluster.example.yaml"


def read(tmp_path: Path, text: str) -> ClusterSettings:
    (tmp_path / "cluster.yaml").write_text(text)
    return ClusterSettings.read(tmp_path / "cluster.yaml")


def test_an_empty_file_has_the_defaults(tmp_path: Path) -> None:
    assert read(tmp_path, "# nothing\n") == ClusterSettings()


def test_example_is_read_as_it_is_written(example: Path) -> None:
    found = ClusterSettings.read(example)
    assert found.release == (2, 17)
    assert found.gpu.tolerations[0].key == "nvidia.com/gpu"
    assert found.tolerations[1].seconds == 60
    assert found.step("train").requests.cpu == "8"
    assert found.step("train").limits.memory == "64Gi"
    assert (found.step("train").timeout, found.step("tune").timeout) == ("4d", "12h")
    publish, tune = found.step("publish").retries, found.step("tune").retries
    assert publish is not None
    assert tune is not None
    assert (publish.count, tune.count) == (0, 2)


def names_in(kind: Any) -> set[str]:
    """Every field of a dataclass of settings, at any depth."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) in (tuple, dict):
        return set().union(*(names_in(one) for one in typing.get_args(kind)))
    if not dataclasses.is_dataclass(kind):
        return set()
    hints = typing.get_type_hints(kind)
    return set(hints) | set().union(*(names_in(hint) for hint in hints.values()))


def test_example_and_page_say_every_field(example: Path, repository: Path) -> None:
    text = example.read_text()
    page = (repository / "docs" / "cluster-settings.md").read_text()
    for name in names_in(ClusterSettings):
        assert re.search(rf"\b{name}:", text) or name == "claim", name
        assert re.search(rf"`(\S+\.)?{name}(\.\S+)?`", page), name


def test_every_field_says_what_it_is() -> None:
    assert all(field.metadata["help"] for field in dataclasses.fields(ClusterSettings))


def test_default_fills_what_a_step_leaves_out(tmp_path: Path) -> None:
    found = read(tmp_path, "default: {requests: {cpu: 1, memory: 2Gi}}\nsteps: {tune: {requests: {cpu: 500m}}}\n")
    assert found.step("tune").requests == dataclasses.replace(Step().requests, cpu="500m", memory="2Gi")
    assert found.step("convert").requests.cpu == "1"


REFUSED = {
    "gpuu: {}": "unknown key 'gpuu'; did you mean gpu?",
    "steps: {train: {limit: {}}}": "steps.train: unknown key 'limit'; did you mean limits?",
    "zebra: 1": "unknown key 'zebra'; known: default, gpu, host",
    "[a]": "expected `name: value`",
    "nas: share": "nas: expected `name: value`, one a line, found 'share'",
    "min_server: 2.16": "min_server: expected a text, found 2.16; write it in quotes",
    'min_server: "latest"': "min_server: expected a release of Kubeflow Pipelines such as 2.17, found 'latest'",
    'min_server: "2.3"': "min_server: expected 2.4 or newer, found 2.3",
    "host: kubeflow.example": "host: expected https://",
    "namespace: Team_Vision": "namespace: expected a namespace",
    "service_account: a/b": "service_account: expected a name in Kubernetes",
    "s3_secret: Lab_S3": "s3_secret: expected a name in Kubernetes",
    "images: {prefix: 'https://registry.example/vision'}": "images.prefix: expected registry and path",
    "images: {prefix: registry.example/vision/}": "images.prefix: expected registry and path",
    "images: {prefix: 'registry.example/vision:1'}": "images.prefix: expected registry and path",
    "images: {pull_secrets: login}": "images.pull_secrets: expected a list, found 'login'",
    "images: {pull_secrets: [1]}": "images.pull_secrets[0]: expected a text, found 1; write it in quotes",
    "images: {pull_policy: Sometimes}": "images.pull_policy: expected one of Always, IfNotPresent, Never",
    "nas: {claim: ''}": "nas.claim: expected a name in Kubernetes",
    "nas: {claim: nas.data}": "nas.claim: expected a name in Kubernetes that a volume may have (at most 63",
    "nas: {claim: shm}": "nas.claim: expected a name in Kubernetes that a volume may have",
    "nas: {claim: share, read_only_claim: share}": "nas.read_only_claim: expected another claim than `claim`",
    "scratch: {}": "scratch.claim or size: expected one of them",
    "scratch:": "scratch.claim or size: expected one of them",
    "scratch: {claim: a, size: 1Gi}": "scratch.claim or size: expected one of them",
    "scratch: {claim: a, place: volume}": "scratch.place: a claim is where it is",
    "scratch: {size: 1Gi, storage_class: fast}": "scratch.storage_class: only place: volume takes one",
    "scratch: {size: 1Gi, place: moon}": "scratch.place: expected one of node, volume",
    "scratch: {claim: nas-data}": "scratch.claim: expected another claim than the share's",
    "scratch: {size: 10GiB}": "scratch.size: expected an amount such as 500m, 2 or 8Gi, found '10GiB'",
    "scratch: {size: 1Gi, access_mode: ReadOnlyMany}": "scratch.access_mode: expected one of",
    "shared_memory: 512m": "shared_memory: expected bytes with a unit, such as 512Mi",
    "gpu: {resource: gpu}": "gpu.resource: expected a resource such as nvidia.com/gpu",
    "gpu: {resource: kubernetes.io/gpu}": "gpu.resource: expected a resource such as nvidia.com/gpu",
    "gpu: {count: -1}": "gpu.count: expected a whole number from 0",
    "gpu: {count: '1'}": "gpu.count: expected a whole number, found '1'",
    "gpu: {count: true}": "gpu.count: expected a whole number, found True",
    "gpu: {node_selector: {a b: c}}": "gpu.node_selector: expected a key",
    "node_selector: {Team/pool: a}": "node_selector: expected a key such as team.example/pool",
    "node_selector: {pool: 7}": "node_selector.pool: expected a text, found 7; write it in quotes",
    "node_selector: {pool: 'a b'}": "node_selector.pool: expected a value of a label",
    "tolerations: [{}]": "tolerations[0].key: expected a taint's key, or operator Exists",
    "tolerations: [{key: a, operator: Exists, value: b}]": "tolerations[0].value: operator Exists takes none",
    "tolerations: [{key: a, effect: NoRun}]": "tolerations[0].effect: expected one of",
    "tolerations: [{key: a, seconds: 5}]": "tolerations[0].seconds: only effect NoExecute",
    "run_as: {user: 0}": "run_as.user: 0 is root, and non_root is true",
    "run_as: {user: -1}": "run_as.user: expected a whole number from 0",
    "summary: {webhook_secret: A}": "summary.webhook_secret: expected a name",
    "summary: {webhook_key: 'a/b'}": "summary.webhook_key: expected a key of a secret",
    "default: {requests: {cpu: 0}}": "default.requests.cpu: expected an amount above 0",
    "default: {requests: {cpu: 0.0001}}": "default.requests.cpu: expected processors in thousandths",
    "default: {requests: {memory: 8}}": "default.requests.memory: expected bytes with a unit",
    "default: {requests: {memory: 8Gi}, limits: {memory: 8G}}": "default.requests.memory: expected at most the limit, 8G",
    "default: {limits: {memory: 8G}}\nsteps: {train: {requests: {memory: 8Gi}}}":
        "steps.train, with what default gives it: requests.memory: expected at most the limit, 8G",
    "default: {requests: {ephemeral-storage: 1Gi}}": "default.requests: unknown key 'ephemeral-storage'; known: cpu, memory",
    "default: {timeout: 3600}": "default.timeout: expected a text, found 3600; write it in quotes",
    "default: {timeout: 1 hour}": "default.timeout: expected a time such as 90s",
    "default: {timeout: 0s}": "default.timeout: expected a time such as 90s",
    "default: {retries: {count: 200}}": "default.retries.count: expected a whole number from 0 to 100",
    "default: {retries: {factor: 0.5}}": "default.retries.factor: expected a number from 1",
    "default: {retries: {factor: .nan}}": "line 1: '.nan' is not finite",
    "default: {retries: {backoff: 2h}}": "default.retries.backoff: expected at most `most`, 10m, found 2h",
    "a: 1\na: 2": "line 2",
}  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_what_kubernetes_would_refuse_is_one_line_with_its_place(tmp_path: Path, text: str) -> None:
    with pytest.raises(OptionsError) as caught:
        read(tmp_path, text)
    line = str(caught.value)
    assert line.startswith(f"cluster file {tmp_path / 'cluster.yaml'}")
    assert REFUSED[text] in line
    assert "\n" not in line


def test_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cluster file cannot be read: .*nothing.yaml"):
        ClusterSettings.read(tmp_path / "nothing.yaml")


@pytest.mark.parametrize("size", ["1Ki", "1.5Gi", "2e9", ".5Gi", "1E", "512Mi", "1000000000"])
def test_amounts_of_every_form_are_taken_as_kubernetes_takes_them(tmp_path: Path, size: str) -> None:
    if size == "1Ki":
        with pytest.raises(OptionsError):
            read(tmp_path, f"shared_memory: '{size}'")
        return
    assert read(tmp_path, f"shared_memory: '{size}'").shared_memory == size


@pytest.mark.parametrize("prefix", ["registry.example/vision", "registry.example:5000/a/b-c", "localhost:5000", "team"])
def test_image_prefixes_of_every_form_are_taken(tmp_path: Path, prefix: str) -> None:
    assert read(tmp_path, yaml.safe_dump({"images": {"prefix": prefix}})).images.prefix == prefix
