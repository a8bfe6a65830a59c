# Does nothing where sd_helpers is installed. In Colab it installs what is missing, and leaves Colab's own torch alone.
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

PACKAGE = ""  # what pip is to install; if nothing, the wheel that came with this notebook

if importlib.util.find_spec("sd_helpers") is None:
    places = [Path(), Path("/content"), *Path("/content").glob("drive/MyDrive/**/")]
    wheels = [str(wheel) for place in places for wheel in place.glob("sd_helpers-*.whl")]
    package = PACKAGE or next(iter(wheels), "")
    if "google.colab" not in sys.modules or not package:
        raise ModuleNotFoundError(
            f"sd_helpers is not installed for {sys.executable}. Choose the kernel that it was installed for; "
            "in Colab, put the file sd_helpers-...-any.whl beside this notebook (Files, Upload) and run this cell again."
        )
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", package], check=True)
    importlib.invalidate_caches()
    ours = re.compile(r"(diffusers|transformers|accelerate|peft|safetensors|platformdirs)\b")
    subprocess.run([*pip, *filter(ours.match, importlib.metadata.requires("sd_helpers"))], check=True)
    importlib.invalidate_caches()
