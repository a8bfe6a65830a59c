# Does nothing where sd_helpers is installed. In Colab it installs the wheel that came with this notebook.
import importlib.util
import subprocess
import sys
from pathlib import Path

if importlib.util.find_spec("sd_helpers") is None:
    places = [Path(), Path("/content"), *Path("/content").glob("drive/MyDrive/**/")]
    wheels = [wheel for place in places for wheel in place.glob("sd_helpers-*.whl")]
    if "google.colab" not in sys.modules or not wheels:
        raise ModuleNotFoundError(
            f"sd_helpers is not installed for {sys.executable}. Choose the kernel that your teacher installed; "
            "in Colab, put the file sd_helpers-...-any.whl beside this notebook (Files, Upload) and run this cell again."
        )
    needed = ["diffusers", "transformers", "accelerate", "peft", "scipy", "platformdirs", "ipywidgets", "matplotlib"]
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", str(wheels[0])], check=True)
    if missing:
        subprocess.run([*pip, *missing], check=True)
    importlib.invalidate_caches()
