"""One row of the table: what was measured, ours and diffusers', taken in turns so that both meet the same machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Row:
    """Values of one measurement; the smaller the better, unless `theirs` is None and the target says otherwise."""

    name: str
    ours: list[float]
    theirs: list[float] | None = None  # diffusers', round by round beside ours
    unit: str = "s"
    target: str = ""

    @property
    def ratio(self) -> float | None:
        """Median of ours over theirs, round by round: what the machine did to both cancels."""
        return statistics.median(a / b for a, b in zip(self.ours, self.theirs)) if self.theirs else None

    def cells(self) -> list[str]:
        """As cells of a table: median and range of ours, of theirs, the ratio, the target."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        return [self.name, self._shown(self.ours), self._shown(self.theirs) if self.theirs else "", ratio, self.target]

    def _shown(self, values: list[float]) -> str:
        middle, low, high = statistics.median(values), min(values), max(values)
        digits = 3 if not self.unit else 2 if middle < 10 else 0
        spread = f" ({low:.{digits}f} to {high:.{digits}f})" if len(values) > 1 else ""
        return f"{middle:.{digits}f} {self.unit}".rstrip() + spread


def in_turns(rounds: int, *contenders: Callable[[], object]) -> list[list[float]]:
    """Seconds of each contender in each round, all of them once in every round, after one round that does not count."""
    seconds: list[list[float]] = [[] for _ in contenders]
    for number in range(rounds + 1):
        for times, contender in zip(seconds, contenders):
            began = time.perf_counter()
            contender()
            if number:
                times.append(time.perf_counter() - began)
    return seconds
