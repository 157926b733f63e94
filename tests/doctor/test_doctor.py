"""The page for bug reports: every look ends in a line, secrets stay secret, and nothing keeps the page from coming."""

import json
import socket
import threading
from pathlib import Path

import pytest

from traffic_yolo.cli import main
from traffic_yolo.doctor import installed, machine, surroundings
from traffic_yolo.doctor.examination import examine, page, probes
from traffic_yolo.doctor.probe import Probe


def test_a_look_that_fails_or_hangs_is_one_line_and_the_others_are_told() -> None:
    gate = threading.Event()

    def hang() -> list[tuple[str, str, str]]:
        gate.wait()
        return []

    def fail() -> list[tuple[str, str, str]]:
        raise ImportError("libGL.so.1: cannot open\nand more of it")

    looks = [
        Probe("a", "hangs", hang, 0.05),  # type: ignore[arg-type]
        Probe("b", "fails", fail),  # type: ignore[arg-type]
        Probe("b", "works", lambda: [("x", "1", "ok")]),
    ]
    try:
        found = examine(looks)
    finally:
        gate.set()
    assert [(each.name, each.state) for each in found] == [("hangs", "warning"), ("fails", "warning"), ("x", "ok")]
    assert found[0].value == "no answer within 0.05 s"
    assert found[1].value == "ImportError: libGL.so.1: cannot open"
    assert page(found).splitlines() == [
        "a",
        "! hangs  no answer within 0.05 s",
        "",
        "b",
        "! fails  ImportError: libGL.so.1: cannot open",
        "  x      1",
        "",
        "2 lines with ! are worth a look",
    ]


def test_secrets_are_named_and_never_shown() -> None:
    variables = {
        "AWS_SECRET_ACCESS_KEY": "hunter2-hunter2",
        "TRAFFIC_YOLO_KFP_TOKEN": "tokentokentoken",
        "TRAFFIC_YOLO_KFP_TOKEN_FILE": "/run/token",
        "TRAFFIC_YOLO_WEBHOOK": "https://chat.example/hooks/abcdef",
        "HTTPS_PROXY": "http://me:geheim@proxy.example:8080",
        "HOME": "/home/me",
    }
    told = surroundings.environment(variables)
    text = " ".join(value for _, value, _ in told)
    assert [name for name, _, _ in told] == sorted(set(variables) - {"HOME"})
    assert not [word for word in ("hunter2", "tokentoken", "abcdef", "geheim", "me:") if word in text]
    assert "/run/token" in text
    assert "http://…@proxy.example:8080" in text


def test_servers_that_listen_are_told_from_those_that_do_not(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        here = {"TRAFFIC_YOLO_KFP_HOST": f"http://127.0.0.1:{port}/pipeline", "TRAFFIC_YOLO_S3_ENDPOINT": "http://:80"}
        assert surroundings.pipelines_server(here)[0][1:] == (f"http://127.0.0.1:{port}/pipeline: connected", "ok")
        assert surroundings.object_storage(here)[0][2] == "warning"
    gone = surroundings.pipelines_server({"TRAFFIC_YOLO_KFP_HOST": f"127.0.0.1:{port}"})
    assert gone[0][2] == "warning"
    assert surroundings.pipelines_server({})[0][2] == "ok"


def test_the_root_of_the_share_is_looked_for(tmp_path: Path) -> None:
    assert surroundings.nas({})[0][2] == "ok"
    assert surroundings.nas({"TRAFFIC_YOLO_NAS_ROOT": str(tmp_path)})[0][1].endswith("there, may be written to")
    assert surroundings.nas({"TRAFFIC_YOLO_NAS_ROOT": str(tmp_path / "none")})[0][2] == "warning"


@pytest.mark.parametrize(
    ("text", "server"),
    [
        (
            "current-context: b\ncontexts: [{name: a, context: {cluster: x}}, {name: b, context: {cluster: y}}]\n"
            "clusters: [{name: x, cluster: {server: 'https://x'}}, {name: y, cluster: {server: 'https://y:6443'}}]",
            "https://y:6443",
        ),
        ("current-context: c", ""),
        ("[", ""),
        ("just text", ""),
    ],
)
def test_the_server_of_a_kubeconfig_is_that_of_its_current_context(text: str, server: str) -> None:
    assert surroundings.server_of(text) == server


def test_memory_limits_of_both_kinds_of_control_groups(tmp_path: Path) -> None:
    assert machine.memory_limit(tmp_path) is None
    (tmp_path / "memory").mkdir()
    old = tmp_path / "memory" / "memory.limit_in_bytes"
    old.write_text("9223372036854771712\n")
    assert machine.memory_limit(tmp_path) is None
    old.write_text("2000000000\n")
    assert machine.memory_limit(tmp_path) == 2_000_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.memory_limit(tmp_path) is None
    (tmp_path / "memory.max").write_text("3000000000\n")
    assert machine.memory_limit(tmp_path) == 3_000_000_000


def test_extras_are_those_of_the_installed_program_and_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = installed.required()
    assert "torch" in wanted["train"]
    assert "torch" not in wanted[""]
    assert {"kubeflow", "deploy", "openvino", "test"} <= set(wanted)
    monkeypatch.setattr(installed, "required", lambda: {"": ["numpy", "no-such-package"], "odd": ["no-such-package"]})
    assert installed.packages()[1] == ("missing", "no-such-package; install the program anew", "warning")
    assert installed.extras() == [("odd", "not installed", "ok")]


def test_the_page_has_every_section_and_is_json_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--json"])
    assert not ended.value.code
    told = json.loads(capsys.readouterr().out)
    assert told["command"] == "doctor"
    sections = list(dict.fromkeys(each["section"] for each in told["findings"]))
    assert sections == list(dict.fromkeys(look.section for look in probes()))
    by_name = {each["name"]: each for each in told["findings"]}
    assert "numpy" in by_name["packages"]["value"]
    assert by_name["PyTorch"]["state"] == "ok"
