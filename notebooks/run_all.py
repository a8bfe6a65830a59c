"""Run every notebook from top to bottom and save it with the outputs it produced. `make notebooks` calls this."""

import base64
import io
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

from sd_helpers.views import contact_sheet

HERE = Path(__file__).parent
COVERS = HERE.parent / "docs" / "covers"


def run(path: Path) -> None:
    """Execute one notebook in a fresh kernel; a cell that fails raises and leaves the file as it was."""
    notebook = nbformat.read(path, as_version=4)
    here = {"metadata": {"path": str(path.parent)}}
    # Otherwise a line whose parts are printed at different times is stored, and shown on GitHub, as several.
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources=here, coalesce_streams=True)
    client.extra_arguments = ["--IPKernelApp.log_level=ERROR"]  # no advice on encryption: the kernel is on this machine
    began = time.perf_counter()
    client.execute()
    seconds = time.perf_counter() - began
    notebook.metadata.pop("widgets", None)  # the state of widgets is large and of no use without their kernel
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.metadata["seconds"] = 10 * round(seconds / 10)  # what notebooks/sitting.py counts; coarse, so that it rarely changes
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day would change with every run
    nbformat.write(notebook, path)
    save_cover(notebook, COVERS / f"{path.stem}.webp")


def save_cover(notebook, path: Path) -> None:
    """The first pictures that the cell tagged "cover" shows, small and side by side, for the README's table."""
    shown = [str(c.outputs) for c in notebook.cells if c.cell_type == "code" and "cover" in c.metadata.get("tags", ())]
    found = re.findall(r"[A-Za-z0-9+/]{300,}={0,2}", "".join(shown))[:4]
    if found:
        pictures = [Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB") for data in found]
        sheet = contact_sheet([p.resize((round(p.width * 90 / p.height), 90), Image.Resampling.LANCZOS) for p in pictures])
        sheet.crop((0, 0, min(sheet.width, 366), 90)).save(path, quality=80)


def main() -> None:
    chosen = [Path(p) for p in sys.argv[1:]] or sorted(p for p in HERE.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
    for path in chosen:
        print(f"{path.name} ...", end=" ", flush=True)
        began = time.perf_counter()
        run(path)
        print(f"{time.perf_counter() - began:.0f} s, {path.stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    main()
