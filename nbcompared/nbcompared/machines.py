"""Re-run notebooks as other machines would compute them, and say what comes near to its limit.

`python -m nbcompared.machines --help` lists the variants. Each is an ordinary run of pytest over this folder's notebooks with
other settings for torch's libraries, or with jittered weights (`kernel`). The table of what used most of its tolerance is kept in
test-report/machines.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

REPORT = Path("test-report")
LOWEST = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}
AS_IT_IS = "as it is"
SHOWN = 100
ROUNDING = 1e-2  # an upper limit this small allows for rounding only; then what counts is how near to it one comes


@dataclass(frozen=True)
class Variant:
    """Settings of one run: environment variables, a seed for jitter, whether every cell runs twice in place."""

    environment: dict[str, str] = field(default_factory=dict)
    jitter: int | None = None
    twice: bool = False


VARIANTS = {
    AS_IT_IS: Variant(),
    **{f"ATen {level}": Variant({"ATEN_CPU_CAPABILITY": level}) for level in ("default", "avx2")},
    **{f"oneDNN {isa}": Variant({"ONEDNN_MAX_CPU_ISA": isa}) for isa in ("SSE41", "AVX2", "AVX512_CORE")},
    **{f"MKL {branch}": Variant({"MKL_CBWR": branch}) for branch in ("COMPATIBLE", "AVX2")},
    # Waiting politely: several threads on fewer cores otherwise spin against each other.
    **{f"{n} threads": Variant({"OMP_NUM_THREADS": str(n), "OMP_WAIT_POLICY": "PASSIVE"}) for n in (2, 4)},
    "lowest": Variant(LOWEST),
    **{f"jitter {seed}": Variant(jitter=seed) for seed in range(1, 6)},
    "every cell twice": Variant(twice=True),
}


@dataclass
class Margin:
    """Which part of its tolerance something compared has used; above 1 it failed."""

    used: float
    variant: str
    notebook: str
    cell: int
    what: str


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m nbcompared.machines", description=__doc__)
    parser.add_argument("variants", nargs="*", help=f"of: {', '.join(VARIANTS)}; all by default")
    parser.add_argument("--notebooks", nargs="*", default=["notebooks"], help="files or folders; all by default")
    options = parser.parse_args()
    unknown = [name for name in options.variants if name not in VARIANTS]
    if unknown:
        parser.error(f"there is no variant {', '.join(map(repr, unknown))}; there are {', '.join(map(repr, VARIANTS))}")
    chosen = options.variants or list(VARIANTS)
    red = [name for name in chosen if not passed(name, options.notebooks)]
    margins = sorted((m for name in chosen for m in margins_of(name)), key=lambda margin: -margin.used)
    REPORT.mkdir(exist_ok=True)
    lines = [f"| {m.used:.2f} | {m.variant} | {m.notebook} | {m.cell} | {m.what} |" for m in margins[:SHOWN]]
    head = ["| used | variant | notebook | cell | what |", "| --- | --- | --- | --- | --- |"]
    (REPORT / "machines.md").write_text("\n".join([*head, *lines]) + "\n")
    print("\n".join([*head, *lines]))
    print(f"\n{len(chosen)} variants, {len(margins)} comparisons; red: {', '.join(red) or 'none'}. Kept: test-report/machines.md")
    return bool(red)


def folder_of(name: str) -> Path:
    """Where a variant's margins lie."""
    return REPORT / "margins" / name.replace(" ", "-")


def passed(name: str, notebooks: list[str]) -> bool:
    """Run the notebooks as one variant; what pytest prints goes through."""
    variant, folder = VARIANTS[name], folder_of(name)
    print(f"\n=== {name} ===", flush=True)
    for old in folder.glob("*.jsonl"):
        old.unlink()
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", f"--margins={folder}", *notebooks]
    command += ["-q", "-n", "auto", "--dist", "loadscope"]
    if variant.jitter is not None:
        command.append(f"--jitter={variant.jitter}")
    if variant.twice:
        command.append("--twice")
    return subprocess.run(command, env=os.environ | variant.environment, check=False).returncode == 0


def margins_of(name: str) -> Iterator[Margin]:
    """Of a run: every compared output, and every asserted comparison beside the run as it is."""
    for path in sorted(folder_of(name).glob("*.outputs.jsonl")):
        notebook = path.name.removesuffix(".outputs.jsonl")
        for line in read(path):
            yield Margin(line["used"], name, notebook, line["cell"], line["where"])
        before = {key(line): line for line in read(folder_of(AS_IT_IS) / f"{notebook}.assertions.jsonl")}
        for line in read(path.with_name(f"{notebook}.assertions.jsonl")):
            used = assertion_used(line, before.get(key(line)))
            if used is not None:
                yield Margin(used, name, notebook, line["cell"], line["source"].replace("|", "\\|"))


def read(path: Path) -> list[dict]:
    """The lines of a file of JSON lines; none if it is not there."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def key(line: dict) -> tuple:
    """What names one comparison in one notebook."""
    return line["cell"], line["number"], line["source"]


def assertion_used(line: dict, before: dict | None) -> float | None:
    """How much of its room an asserted comparison has used up, None where it has no room (equal, or no numbers).

    The room is the distance between both sides in the run as it is; 1 is where the comparison would flip. Below a limit that
    allows for rounding only, it is the part of that limit that is reached.
    """
    left, right = line["left"], line["right"]
    if left is None or right is None or line["operator"] in ("Eq", "NotEq"):
        return None
    if line["operator"] in ("Lt", "LtE") and (line["tolerance"] or 0 < right <= ROUNDING) and left >= 0:
        return left / right
    if before is None or before["left"] is None or before["right"] is None:
        return None
    room, left_over = before["right"] - before["left"], right - left
    if room == 0:
        return float(left_over != 0)
    return max(0.0, 1 - left_over / room)


if __name__ == "__main__":
    sys.exit(main())
