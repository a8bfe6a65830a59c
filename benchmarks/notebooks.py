"""What each notebook takes alone: a new kernel with one thread, from its start to its last cell."""

from __future__ import annotations

import os
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from .rows import Row

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
SLOW = 10  # seconds, from which a cell is named


def rows(rounds: int):
    """Yield the rows of this part; each notebook once, whatever the rounds."""
    taken = []
    for path in sorted(p for p in NOTEBOOKS.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts):
        seconds, slow = run(path)
        taken.append(seconds)
        named = f" (slow: {', '.join(f'In [{number}] {cell:.0f} s' for number, cell in slow.items())})" if slow else ""
        yield Row(f"{path.relative_to(NOTEBOOKS).with_suffix('')}{named}", [seconds], target="60 or less")
    yield Row(f"mean of {len(taken)} notebooks", [sum(taken) / len(taken)], target="20 or less")


def run(path: Path) -> tuple[float, dict[int, float]]:
    """Seconds of a notebook, and of those of its cells that take long, by the number that stands beside them."""
    notebook = nbformat.read(path, as_version=4)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}})
    begun, took, started = [], [], time.perf_counter()
    client.extra_arguments = ["--IPKernelApp.log_level=ERROR"]  # no advice on encryption: the kernel is on this machine
    client.on_cell_execute = lambda cell, cell_index: begun.append(time.perf_counter())
    client.on_cell_executed = lambda cell, cell_index, execute_reply: took.append((cell, time.perf_counter() - begun[-1]))
    client.execute(env=environment)
    return time.perf_counter() - started, {cell.execution_count: seconds for cell, seconds in took if seconds > SLOW}
