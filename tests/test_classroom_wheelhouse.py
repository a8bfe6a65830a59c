"""The wheelhouse: what is resolved, whether anything is missing, and the scripts that install from it."""

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from classroom import wheelhouse
from classroom.wheelhouse import TARGETS, not_there, resolve, target_named, write_script

SYSTEMS = list(TARGETS)


def wheel(folder: Path, name: str, tag: str = "py3-none-any", *requires: str) -> Path:
    """An empty wheel that says what it requires."""
    path = folder / f"{name}-{tag}.whl"
    metadata = "\n".join(["Metadata-Version: 2.1", *(f"Requires-Dist: {each}" for each in requires)])
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr(f"{name}.dist-info/METADATA", metadata)
    return path


@pytest.fixture
def package(tmp_path) -> Path:
    """A package that requires one thing everywhere, one on Windows, and one in another version of Python."""
    needs = ("numpy==2.0", "colorama; sys_platform == 'win32'", "tomli; python_version < '3.11'", "pytest; extra == 'dev'")
    wheel(tmp_path, "numpy-2.0", "cp311-cp311-manylinux_2_28_x86_64", "helper[fast]>=1")
    wheel(tmp_path, "numpy-2.0", "cp311-cp311-win_amd64", "helper[fast]>=1")
    wheel(tmp_path, "numpy-2.0", "cp311-cp311-macosx_14_0_arm64", "helper[fast]>=1")
    wheel(tmp_path, "colorama-0.4")
    wheel(tmp_path, "helper-1.5", "py2.py3-none-any", "quick; extra == 'fast'")
    wheel(tmp_path, "quick-3", "cp38-abi3-manylinux2014_x86_64")
    wheel(tmp_path, "quick-3", "cp38-abi3-win_amd64")
    wheel(tmp_path, "quick-3", "cp38-abi3-macosx_11_0_universal2")
    return wheel(tmp_path, "sd_helpers-0.1.0", "py3-none-any", *needs)


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_complete_folder_lacks_nothing(package, name):
    assert not list(not_there(package, package.parent, TARGETS[name], "3.11"))


def test_what_is_required_there_alone_is_missed_there_alone(package):
    (package.parent / "colorama-0.4-py3-none-any.whl").unlink()
    missing = {name: list(not_there(package, package.parent, TARGETS[name], "3.11")) for name in SYSTEMS}
    assert not missing["linux"] and not missing["macos"] and "colorama" in missing["windows"][0]


def test_wheels_for_another_python_or_system_do_not_count(package):
    assert "numpy==2.0" in next(not_there(package, package.parent, TARGETS["linux"], "3.12"))
    (package.parent / "quick-3-cp38-abi3-win_amd64.whl").unlink()
    (missing,) = not_there(package, package.parent, TARGETS["windows"], "3.11")
    assert missing == 'quick; extra == "fast" (for helper-1.5-py2.py3-none-any.whl)'


def test_a_wrong_version_does_not_count(package):
    (package.parent / "numpy-2.0-cp311-cp311-win_amd64.whl").unlink()
    wheel(package.parent, "numpy-2.1", "cp311-cp311-win_amd64")
    assert "numpy==2.0" in next(not_there(package, package.parent, TARGETS["windows"], "3.11"))


def test_what_only_cuda_needs_is_left_out(monkeypatch):
    said = "nvidia-cudnn==9\nnumpy==2.0\ntriton==3\n\ncuda-bindings==13\ntorch==2.13.0\n"
    monkeypatch.setattr(wheelhouse, "_run", lambda command: subprocess.CompletedProcess(command, 0, said, ""))
    assert resolve(TARGETS["linux"], "3.11") == ["numpy==2.0", "torch==2.13.0"]


def test_torch_for_linux_comes_from_its_own_index(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(
        wheelhouse, "_run", lambda command: asked.append(command) or subprocess.CompletedProcess(command, 0, "", "")
    )
    pins = ["torch==2.13.0", *(f"p{i}==1" for i in range(12))]
    lines = []
    for name in ("linux", "windows"):
        wheelhouse.fetch(pins, TARGETS[name], "3.11", tmp_path, "https://example.org/cpu", lines.append)
    with_index = [command for command in asked if "--index-url" in command]
    assert len(with_index) == 1 and with_index[0][-1] == "torch==2.13.0" and lines[-1] == "  13 of 13"
    assert all("--no-deps" in command and "--only-binary=:all:" in command for command in asked)


@pytest.mark.parametrize("what", ["resolve", "fetch"])
def test_what_uv_or_pip_say_is_passed_on(monkeypatch, tmp_path, what):
    failed = subprocess.CompletedProcess([], 1, "", "no such version")
    monkeypatch.setattr(wheelhouse, "_run", lambda command: failed)
    monkeypatch.setattr(shutil, "which", lambda name: "uv")
    with pytest.raises(RuntimeError, match="no such version"):
        if what == "resolve":
            resolve(TARGETS["macos"], "3.12")
        else:
            wheelhouse.fetch(["numpy==2.0"], TARGETS["macos"], "3.12", tmp_path, "")


def test_without_uv_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(wheelhouse, "_run", lambda command: subprocess.CompletedProcess(command, 1, "", ""))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match=r"`pip install uv==[\d.]+`"):
        resolve(TARGETS["linux"], "3.11")


def test_other_systems_are_refused():
    with pytest.raises(ValueError, match="linux, windows, macos, and not for 'amiga'"):
        target_named("amiga")
    assert target_named("Windows") is TARGETS["windows"]


@pytest.mark.parametrize("name", SYSTEMS)
def test_scripts(tmp_path, name):
    write_script(TARGETS[name], tmp_path, ["3.9", "3.11", "3.12"])
    text = (tmp_path / TARGETS[name].script).read_bytes()
    assert b"3.12 3.11 3.9" in text and b"@" not in text.replace(b"@echo", b"").replace(b"@cd", b"") and b"--no-index" in text
    assert (b"\r\n" in text) == (name == "windows")
    if name != "windows":
        subprocess.run(["sh", "-n", str(tmp_path / "install.sh")], check=True)


@pytest.mark.skipif(
    not os.environ.get("CLASSROOM_WHEELHOUSE"), reason="CLASSROOM_WHEELHOUSE=1 resolves for all; needs uv and a network"
)
@pytest.mark.parametrize("python", ["3.11", "3.12"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_everything_resolves(name, python):
    """By hand, or in a nightly run: that every pinned package exists for every system."""
    pins = {pin.split("==")[0] for pin in resolve(TARGETS[name], python)}
    assert {"torch", "diffusers", "transformers", "jupyterlab", "ipywidgets", "openvino"} <= pins and len(pins) > 100
