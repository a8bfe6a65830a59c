"""Measure, print each row as it comes, and write the table and all values. `make bench` calls this."""

import argparse
import functools
import importlib
import os
import platform
from pathlib import Path

import pyperf
import torch

from .rows import Row

RESULTS = Path(__file__).parent / "results"
PARTS = ("drawing", "sweeps", "cold", "memory", "crowd", "notebooks", "page", "gpu")
HEAD = ["", "ours", "diffusers", "ratio", "target"]


@functools.cache  # before anything has changed the number of threads
def machine() -> str:
    """The machine in a line: processor, cores, GPU, versions."""
    import diffusers

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor() or "CPU")
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    versions = f"torch {torch.__version__}, diffusers {diffusers.__version__}, Python {platform.python_version()}"
    return f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} threads{gpu}; {versions}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--rounds", type=int, default=7, help="of each comparison; long ones take a third")
    parser.add_argument("--name", default="latest", help="of the files in benchmarks/results")
    options = parser.parse_args()
    wrong = [part for part in options.parts if part not in PARTS]
    if wrong or options.rounds < 1:
        parser.error(f"parts are {', '.join(PARTS)}, not {', '.join(wrong)}" if wrong else "--rounds must be 1 or more")
    print(machine(), flush=True)
    measured = []
    for part in options.parts or PARTS:
        for row in importlib.import_module(f"benchmarks.{part}").rows(options.rounds):
            measured.append(row)
            print(" | ".join(row.cells()), flush=True)
            write(measured, RESULTS / options.name)  # after each: a run may be long, and cut off
    print(f"written: {RESULTS / options.name}.md and .json")


def write(measured: list[Row], path: Path) -> None:
    """A Markdown table, and all values as pyperf reads them (`pyperf compare_to old.json new.json`)."""
    path.parent.mkdir(exist_ok=True)
    table = [HEAD, ["---"] * len(HEAD), *(row.cells() for row in measured)]
    lines = "\n".join("| " + " | ".join(cells) + " |" for cells in table)
    path.with_suffix(".md").write_text(
        f"{machine()}\n\nMedians, with the range; the ratio is the median over rounds.\n\n{lines}\n"
    )
    units = {"s": "second", "MB": "byte", "GB": "byte", "": "integer"}
    factors = {"MB": 10**6, "GB": 10**9}
    benchmarks = []
    for row in measured:
        for who, values in {"ours": row.ours, "diffusers": row.theirs or []}.items():
            if values and row.unit:
                metadata = {"name": f"{row.name}: {who}", "unit": units[row.unit]}
                scaled = [float(value) * factors.get(row.unit, 1) for value in values]
                benchmarks.append(pyperf.Benchmark([pyperf.Run(scaled, metadata=metadata, collect_metadata=False)]))
    if benchmarks:
        pyperf.BenchmarkSuite(benchmarks).dump(str(path.with_suffix(".json")), replace=True)


if __name__ == "__main__":
    main()
