"""`traffic-yolo pipeline`, and `run --submit --cluster`: files outside the checkout, one truth for each name."""

from pathlib import Path

import pytest
from quick_yaml import load_documents

from traffic_yolo.cli import main
from traffic_yolo.storage import NAS_ROOT_VARIABLE
from traffic_yolo_pipelines.catalogue import pipeline_names

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """A cluster file that says a little."""
    path = tmp_path / "cluster.yaml"
    path.write_text("images: {prefix: registry.example/vision}\nnas: {claim: share}\nservice_account: runner\n")
    return path


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    return int(caught.value.code or 0)


def test_pipelines_are_listed_with_what_they_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("pipeline", "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(pipeline_names())
    assert all(len(line.split()) > 3 for line in lines)


def test_pipeline_is_compiled_into_any_folder(
    cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(NAS_ROOT_VARIABLE, str(tmp_path))
    assert run("pipeline", "compile", "--cluster", cluster, "--out", "nas://made", "convert") == 0
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["convert_pipeline.yaml"]
    spec, platform = load_documents((tmp_path / "made" / "convert_pipeline.yaml").read_text())
    assert "nas_claim" not in spec["root"]["inputDefinitions"]["parameters"]
    assert "share" in str(platform)
    printed = capsys.readouterr().out
    assert "convert_pipeline.yaml  (Kubeflow Pipelines 2." in printed
    assert "service account runner: no part of the files" in printed


@pytest.mark.long
def test_without_a_cluster_the_files_are_those_of_the_repository(tmp_path: Path, repository: Path) -> None:
    assert run("pipeline", "compile", "--out", tmp_path) == 0
    for name in pipeline_names():
        made, kept = ((folder / f"{name}_pipeline.yaml").read_text() for folder in (tmp_path, repository / "pipelines"))
        assert load_documents(made) == load_documents(kept), name


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        (
            "steps: {trian: {timeout: 1h}}",
            [],
            "cluster file: steps.'trian': no pipeline has this step; did you mean train?",
        ),
        (
            "steps: {zzz: {timeout: 1h}}",
            [],
            "no pipeline has this step; known: close_attempt, compare_with_zoo, compression_report, convert, ",
        ),
        ("", ["finetun"], "'finetun' is no pipeline; did you mean finetune?"),
        ("steps: {train: {requests: {memory: 99G}}}", [], "expected at most the limit, 32G, found 99G"),
        (
            "min_server: '2.4'\ndefault: {retries: {}}",
            [],
            "cluster file: min_server 2.4 does not know retries (since 2.5)",
        ),
    ],
)
def test_where_one_cannot_be_made_none_is_written(
    text: str, arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cluster.yaml").write_text(text)
    assert (
        run("pipeline", "compile", "--cluster", tmp_path / "cluster.yaml", "--out", tmp_path / "made", *arguments) == 2
    )
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ["--submit", "--host", "http://x", "--nas-claim", "a"],
            "--nas-claim: the cluster file names it; leave the flag",
        ),
        (["--submit", "--host", "http://x", "--s3-secret", "a"], "--s3-secret: the cluster file names it"),
        (["--submit"], "--submit needs --host, the address of the Kubeflow Pipelines API, or --cluster with its host"),
        (["--local"], "--cluster is for --submit"),
    ],
)
def test_flag_and_file_do_not_name_the_same_thing(
    flags: list[str], words: str, cluster: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("run", *flags, "--cluster", cluster, "--source", "nas://a", "--zoo", "nas://zoo") == 2
    assert words in capsys.readouterr().err
