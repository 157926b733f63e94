"""What is taken out of an image's environment, and what stays; what its requirements are; which torch it takes."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "docker" / "train"


def script(name: str) -> ModuleType:
    """A script of the build, as a module."""
    specification = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


slim, requirements, check_flavour = script("slim"), script("requirements"), script("check_flavour")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Site-packages with something of every kind."""
    for name in (
        "torch/__init__.py", "torch/test/ops_test", "torch/bin/test_api", "torch/bin/torch_shm_manager",
        "torch/include/ATen/ATen.h", "sympy/core/tests/test_expr.py", "sympy/core/expr.py", "sympy/testing/runtests.py",
        "sympy/parsing/tests/LICENSE.txt", "sympy/parsing/tests/deep/COPYING", "sympy/parsing/tests/deep/test_x.py",
        "kubernetes_validate/kubernetes-json-schema/v1.30.0-local/pod.json",
        "kubernetes_validate/kubernetes-json-schema/v1.30.0-local-strict/pod.json",
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x" * 10)
    return tmp_path


def names(site: Path) -> set[str]:
    return {str(path.relative_to(site)) for path in site.rglob("*") if path.is_file()}


def test_tests_and_headers_go_and_licences_stay(site: Path) -> None:
    freed = slim.remove(site)
    assert names(site) == {
        "torch/__init__.py",
        "torch/bin/torch_shm_manager",
        "sympy/core/expr.py",
        "sympy/testing/runtests.py",
        "sympy/parsing/tests/LICENSE.txt",
        "sympy/parsing/tests/deep/COPYING",
        "kubernetes_validate/kubernetes-json-schema/v1.30.0-local-strict/pod.json",
    }
    assert (freed["torch/test"], freed["torch/bin/*test*"], freed["**/tests"]) == (10, 10, 20)
    assert not (site / "sympy" / "core" / "tests").exists()


def test_a_link_goes_and_what_it_leads_to_stays(site: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept.py").write_text("kept")
    (site / "torch" / "test" / "link").symlink_to(elsewhere)
    slim.remove(site)
    assert not (site / "torch" / "test").exists()
    assert (elsewhere / "kept.py").is_file()


@pytest.mark.skipif(shutil.which("strip") is None, reason="binutils are not installed")
def test_a_stripped_library_still_loads(tmp_path: Path) -> None:
    import ctypes

    import llvmlite.binding

    source = next(Path(llvmlite.binding.__file__).parent.glob("libllvmlite*"))
    library = tmp_path / "llvmlite" / "binding" / "libllvmlite.so"
    library.parent.mkdir(parents=True)
    shutil.copy(source, library)
    freed = slim.strip(tmp_path, shutil.which("strip"))
    assert freed == source.stat().st_size - library.stat().st_size >= 0
    assert ctypes.CDLL(str(library)).LLVMPY_GetVersionInfo


def test_requirements_are_those_of_setup_cfg_and_the_extras_named(repository: Path) -> None:
    plain = list(requirements.requirements(repository / "setup.cfg", []))
    more = list(requirements.requirements(repository / "setup.cfg", ["train", "kubeflow", "deploy"]))
    assert any(line.startswith("numpy>=") for line in plain)
    assert any(line.startswith("torch>=") for line in more)
    assert not any(line.startswith("torch") for line in plain)
    assert more[: len(plain)] == plain
    assert {"kfp[kubernetes]==2.17.0"} < set(more) - set(plain)
    assert not any(line.startswith(("pytest", "moto", "openvino")) for line in more)
    with pytest.raises(KeyError):
        list(requirements.requirements(repository / "setup.cfg", ["no such extra"]))


def test_requirements_are_printed_one_a_line(repository: Path) -> None:
    finished = subprocess.run(
        [sys.executable, str(FOLDER / "requirements.py"), str(repository / "setup.cfg"), "deploy"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "onnx>=1.16,<2" in finished.stdout.splitlines()


@pytest.mark.parametrize(
    ("wanted", "cuda", "told"),
    [
        ("cpu", None, None),
        ("cuda", "13.0", None),
        ("cpu", "13.0", "FLAVOUR=cpu: pip's index had another torch, one for CUDA 13.0; give PyTorch's CPU index"),
        ("cuda", None, "FLAVOUR=cuda: pip's index had another torch, one without CUDA; give PyTorch's CUDA index"),
        ("rocm", None, "FLAVOUR: expected cpu or cuda, found 'rocm'"),
    ],
)
def test_a_torch_of_the_other_flavour_ends_the_build(wanted: str, cuda: str | None, told: str | None) -> None:
    found = check_flavour.complaint(wanted, cuda)
    assert found is None if told is None else found.startswith(told)
