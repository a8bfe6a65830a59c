"""The package as one file, a wheel, made without a network."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .lessons import ROOT

FILES = ("pyproject.toml", "README.md", "LICENSE", "NOTICE")


def build_wheel(out: Path) -> Path:
    """Make `sd_helpers-*.whl` in the folder `out`, from a copy, so that nothing is left in the project.

    Raises:
        RuntimeError: pip could not make it.
    """
    with tempfile.TemporaryDirectory() as copy:
        for path in (*(ROOT / name for name in FILES), *ROOT.glob("requirements*.txt")):
            shutil.copy(path, copy)
        shutil.copytree(ROOT / "sd_helpers", Path(copy) / "sd_helpers", ignore=shutil.ignore_patterns("__pycache__"))
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
        made = subprocess.run([*command, "-w", str(out), copy], capture_output=True, text=True, check=False)
    if made.returncode:
        raise RuntimeError(f"pip could not make a wheel of sd_helpers: {(made.stderr or made.stdout).strip()[-500:]}")
    return next(Path(out).glob("sd_helpers-*.whl"))
