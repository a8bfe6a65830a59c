"""How much memory a kernel takes that has the model loaded and has drawn, when it is alone and among others (Linux)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .rows import Row

KERNEL = """
import ipykernel.ipkernel, sys
from sd_helpers import generate, load
generate(load("emoji-sd", device="cpu"), "a puppy", num_inference_steps=10, progress=False)
print("drawn", flush=True)
sys.stdin.read()
"""
PEAK, SHARE = ("status", "VmHWM:"), ("smaps_rollup", "Pss:")  # files of a process in /proc, and lines in them


def rows(rounds: int):
    """Yield the rows of this part."""
    if not Path("/proc/self/smaps_rollup").exists():
        print("without rows on memory: /proc/self/smaps_rollup is not there")
        return
    for count in (1, 4, 8):
        peaks, shares = _kernels(count)
        if count == 1:
            yield Row("peak of one kernel, resident", peaks, unit="MB")
        target = "550 MB or less"
        yield Row(f"proportional share (PSS) of a kernel when {count} run", shares, unit="MB", target=target)


def _kernels(count: int) -> tuple[list[float], list[float]]:
    """Peak resident memory and proportional share of each of `count` processes, in MB."""
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    processes = [subprocess.Popen([sys.executable, "-W", "ignore", "-c", KERNEL], **pipes) for _ in range(count)]
    try:
        for process in processes:
            process.stdout.readline()  # it has drawn
        return [[_bytes(p.pid, file, key) / 1e6 for p in processes] for file, key in (PEAK, SHARE)]
    finally:
        for process in processes:
            process.communicate()


def _bytes(pid: int, file: str, key: str) -> int:
    lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(key))
