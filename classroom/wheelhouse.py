"""Everything for an installation without a network: a folder of wheels for one system, and a script that installs from it.

What is needed there is resolved here by uv, which can pretend to be another system, and fetched by pip. Then each wheel's own
requirements are looked up among the wheels, as pip will do without a network.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

from .lessons import ROOT
from .package import build_wheel

HERE = Path(__file__).parent
CUDA = re.compile(r"(nvidia-|cuda-|triton\b)")
BATCH = 10  # packages fetched between two lines of progress


@dataclass(frozen=True)
class Target:
    """A system, as uv, pip and the markers of requirements name it."""

    name: str
    uv: str
    platforms: tuple[str, ...]  # the newest first
    markers: tuple[tuple[str, str], ...]
    script: str

    def environment(self, python: str) -> dict[str, str]:
        """What markers are evaluated in."""
        versions = {"python_version": python, "python_full_version": f"{python}.0", "implementation_name": "cpython", "extra": ""}
        return versions | {"platform_python_implementation": "CPython"} | dict(self.markers)

    def tags(self, python: str) -> set[Tag]:
        """Of wheels that this system can install."""
        version = tuple(map(int, python.split(".")))
        return {*cpython_tags(version, platforms=self.platforms), *compatible_tags(version, platforms=self.platforms)}


def _markers(system: str, platform: str, machine: str, name: str) -> tuple[tuple[str, str], ...]:
    return ("platform_system", system), ("sys_platform", platform), ("platform_machine", machine), ("os_name", name)


_LINUX = (*(f"manylinux_2_{i}_x86_64" for i in range(28, 4, -1)), "manylinux2014_x86_64", "linux_x86_64")
_MACOS = tuple(f"macosx_{i}_0_{kind}" for i in range(14, 10, -1) for kind in ("arm64", "universal2"))
TARGETS = {
    target.name: target
    for target in (
        Target("linux", "x86_64-manylinux_2_28", _LINUX, _markers("Linux", "linux", "x86_64", "posix"), "install.sh"),
        Target("windows", "x86_64-pc-windows-msvc", ("win_amd64",), _markers("Windows", "win32", "AMD64", "nt"), "install.bat"),
        Target("macos", "aarch64-apple-darwin", _MACOS, _markers("Darwin", "darwin", "arm64", "posix"), "install.sh"),
    )
}


def target_named(name: str) -> Target:
    """The system of that name.

    Raises:
        ValueError: another name.
    """
    if name.lower() not in TARGETS:
        raise ValueError(f"There are wheelhouses for {', '.join(TARGETS)}, and not for {name!r}.")
    return TARGETS[name.lower()]


def gather(name: str, out: Path, pythons: list[str], torch_index: str, say: Callable = print) -> Path:
    """Gather everything for a system and some versions of Python in the folder `out`.

    Args:
        torch_index: where pip finds torch for Linux; empty for pip's usual places.

    Raises:
        RuntimeError: something could not be resolved or fetched, or is missing at the end.
    """
    target, wheels = target_named(name), out / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    package = build_wheel(wheels)
    for python in pythons:
        pins = resolve(target, python)
        say(f"{target.name}, Python {python}: {len(pins)} packages")
        (wheels / f"list-{python}.txt").write_text("\n".join(pins) + "\n")
        fetch(pins, target, python, wheels, torch_index, say)
        missing = sorted(not_there(package, wheels, target, python))
        if missing:
            raise RuntimeError(f"For Python {python} these are missing in {wheels}: {', '.join(missing)}.")
    write_script(target, out, pythons)
    size = sum(path.stat().st_size for path in wheels.iterdir())
    say(f"{out} is complete: {len(list(wheels.glob('*.whl')))} wheels, {size / 1e6:.0f} MB. There, start {target.script}.")
    return out


def resolve(target: Target, python: str) -> list[str]:
    """What has to be installed on that system, as name==version, without what only CUDA needs.

    Raises:
        RuntimeError: uv is not installed, or cannot resolve it.
    """
    if shutil.which("uv") is None and _run([sys.executable, "-m", "uv", "--version"]).returncode:
        wanted = (HERE / "requirements-wheelhouse.txt").read_text().split()[-1]
        raise RuntimeError(f"This needs uv, which can resolve for other systems: install it by `pip install {wanted}`.")
    uv = [shutil.which("uv")] if shutil.which("uv") else [sys.executable, "-m", "uv"]
    options = ["--python-platform", target.uv, "--python-version", python, "--no-header", "--no-annotate", "--quiet"]
    os.environ["MACOSX_DEPLOYMENT_TARGET"] = "14.0"  # torch's wheels ask for it
    made = _run([*uv, "pip", "compile", str(ROOT / "requirements.txt"), *options])
    if made.returncode:
        raise RuntimeError(f"uv could not resolve requirements.txt for {target.name} and Python {python}: {made.stderr.strip()}")
    return [line for line in made.stdout.splitlines() if line and not CUDA.match(line)]


def fetch(pins: list[str], target: Target, python: str, wheels: Path, torch_index: str, say: Callable = print) -> None:
    """Download the wheels of that system, without what they require.

    Raises:
        RuntimeError: pip could not.
    """
    own_index = [pin for pin in pins if pin.startswith("torch==") and target.name == "linux" and torch_index]
    others = [pin for pin in pins if pin not in own_index]
    batches = [([pin], ["--index-url", torch_index]) for pin in own_index]
    batches += [(others[i : i + BATCH], []) for i in range(0, len(others), BATCH)]
    done = 0
    for batch, index in batches:
        made = _run([*_download(target, python, wheels), *index, *batch])
        if made.returncode:
            raise RuntimeError(f"pip could not fetch {', '.join(batch)} for {target.name}: {made.stderr.strip()[-600:]}")
        done += len(batch)
        say(f"  {done} of {len(pins)}")


def _download(target: Target, python: str, wheels: Path) -> list[str]:
    """pip's command, but for the packages."""
    version = python.replace(".", "")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(wheels)]
    # uv has seen to it that they fit that Python; pip would compare with the one that runs here.
    command += ["--python-version", python, "--implementation", "cp", "--ignore-requires-python"]
    abis = [part for abi in (f"cp{version}", "abi3", "none") for part in ("--abi", abi)]
    return [*command, *abis, *(part for platform in target.platforms for part in ("--platform", platform))]


def _run(command: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def not_there(package: Path, wheels: Path, target: Target, python: str) -> Iterator[str]:
    """What the package requires there, by way of others too, and no wheel in the folder fulfils."""
    found = _installable(wheels, target.tags(python))
    waiting, seen = [(package, frozenset[str]())], set()
    while waiting:
        wheel, extras = waiting.pop()
        for requirement in requirements(wheel, extras, target.environment(python)):
            key = canonicalize_name(requirement.name), frozenset(requirement.extras)
            fitting = [
                path for version, path in found.get(key[0], ()) if requirement.specifier.contains(version, prereleases=True)
            ]
            if not fitting:
                yield f"{requirement} (for {wheel.name})"
            elif key not in seen:
                seen.add(key)
                waiting.append((fitting[-1], key[1]))


def _installable(wheels: Path, tags: set[Tag]) -> dict[str, list]:
    """{name: its versions and wheels} of those in the folder that the system can install, the oldest first."""
    found: dict[str, list] = {}
    for path in wheels.glob("*.whl"):
        name, version, _, own = parse_wheel_filename(path.name)
        if own & tags:
            found.setdefault(name, []).append((version, path))
    return {name: sorted(versions) for name, versions in found.items()}


def requirements(wheel: Path, extras: frozenset[str], environment: dict[str, str]) -> list[Requirement]:
    """What a wheel requires in an environment, with some of its extras."""
    with zipfile.ZipFile(wheel) as zipped:
        (name,) = (name for name in zipped.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
        metadata = HeaderParser().parsestr(zipped.read(name).decode())
    all_of_it = [Requirement(text) for text in metadata.get_all("Requires-Dist") or ()]
    kinds = [environment | {"extra": extra} for extra in ("", *extras)]
    return [r for r in all_of_it if r.marker is None or any(r.marker.evaluate(kind) for kind in kinds)]


def write_script(target: Target, out: Path, pythons: list[str]) -> None:
    """The script that installs from the folder, for the versions that are in it, the newest preferred."""
    newest_first = sorted(pythons, key=lambda python: tuple(map(int, python.split("."))), reverse=True)
    text = (HERE / target.script).read_text(encoding="utf-8").replace("@VERSIONS@", " ".join(newest_first))
    text = text.replace("@OR@", " or ".join(sorted(newest_first)))
    newline = "\r\n" if target.script.endswith(".bat") else "\n"
    (out / target.script).write_text(text, encoding="utf-8", newline=newline)
