"""How long a picture takes when several kernels draw at the same time: with torch's own number of threads, and with one each."""

from __future__ import annotations

import os
import subprocess
import sys

from .rows import Row

STEPS = 20
KERNEL = f"""
import sys, time
from sd_helpers import generate, load
c = load("emoji-sd", device="cpu")
generate(c, "a puppy", num_inference_steps=2, progress=False)
print("ready", flush=True)
sys.stdin.readline()
began = time.perf_counter()
generate(c, "a puppy", num_inference_steps={STEPS}, progress=False)
print(time.perf_counter() - began, flush=True)
sys.stdin.readline()
"""
THREADS = {"torch's own threads": None, "one thread each": "1"}


def rows(rounds: int):
    """Yield the rows of this part."""
    for count in (1, 2, 4):
        for name, threads in THREADS.items():
            yield Row(f"{STEPS} guided steps, {count} kernels at once, {name}", at_once(count, threads))


def at_once(count: int, threads: str | None) -> list[float]:
    """Seconds that each of `count` kernels takes for a picture, all of them begun together."""
    environment = {**os.environ, "OMP_NUM_THREADS": threads} if threads else dict(os.environ)
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    kernels = [subprocess.Popen([sys.executable, "-W", "ignore", "-c", KERNEL], **pipes) for _ in range(count)]
    try:
        for kernel in kernels:
            kernel.stdout.readline()  # it has loaded the model and drawn
        for kernel in kernels:
            kernel.stdin.write("go\n")
            kernel.stdin.flush()
        return [float(kernel.stdout.readline()) for kernel in kernels]
    finally:
        for kernel in kernels:
            kernel.communicate()
