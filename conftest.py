"""Settings of every test and notebook. It has to lie here to be loaded for notebooks/ too."""

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent
sys.path[:0] = [str(ROOT / "nbcompared"), str(ROOT / "tests")]
pytest_plugins = ["nbcompared.plugin"]  # a project of its own that lives here; it compares what notebooks show

# Tests and the notebooks they run use the embedded model, no network, and nothing that a cache on this machine holds.
os.environ.pop("SD_MODEL", None)
os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_CACHE=tempfile.mkdtemp(prefix="no-cache-"))

# What OpenVINO converts is kept for this run, and shared by its processes.
os.environ.setdefault("SD_HELPERS_CACHE", tempfile.mkdtemp(prefix="cache-"))

# One thread each: notebooks run side by side, and threads of several processes wait for each other by spinning.
os.environ.setdefault("OMP_NUM_THREADS", "1")
