"""Runs each submission in a process of its own, within limits, and passes over what hangs or dies."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .results import NOT_MARKED, OPEN, RAISED, TOO_LONG, Mark, Marked, better
from .submissions import Submission, predictions

START_SECONDS = 180  # for Python, torch and sd_helpers to be there, on a slow laptop
MOST_WRITTEN = 200_000_000  # bytes below a submission's working folder
MESSAGE = 100_000  # bytes of one


@dataclass(frozen=True)
class Limits:
    """What one submission may use."""

    seconds: float = 60  # for each exercise
    memory: int = 4_000_000_000  # bytes; on Linux


def processes():
    """How processes are started: on Linux forked from one that has torch imported already, elsewhere afresh."""
    os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", MPLBACKEND="agg")
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["classroom.marking"])
    return context


def run(submission: Submission, limits: Limits, context) -> Marked:
    """Mark one submission. What goes wrong with it is kept to it."""
    name = submission.path.name
    if submission.lesson is None:
        return Marked(submission.student, name, "", (Mark("", NOT_MARKED, submission.trouble),))
    try:
        return _run(submission, limits, context)
    except Exception as error:  # one submission must not cost the marks of the others
        said = f"The grader itself failed: {type(error).__name__}: {error}. Look at it yourself."
        marks = tuple(Mark(exercise.name, NOT_MARKED, said) for exercise in submission.lesson.exercises)
        return Marked(submission.student, name, submission.lesson.stem, marks)


def _run(submission: Submission, limits: Limits, context) -> Marked:
    """Mark it, with a new process for what is left whenever one was ended."""
    began = time.perf_counter()
    expected = [exercise.name for exercise in submission.lesson.exercises]
    done: dict[str, Mark] = {}
    cut_off = True
    for _ in range(len(expected) + 1):
        if len(done) == len(expected):
            break
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            process = _Process(submission, limits, context, Path(folder), done)
            process.run()
            cut_off = cut_off and process.cut_off
    marks = tuple(done.get(exercise, Mark(exercise, OPEN)) for exercise in expected)
    seconds = round(time.perf_counter() - began, 1)
    known = submission.student, submission.path.name, submission.lesson.stem
    return Marked(*known, marks, predictions(submission), seconds, cut_off)


@dataclass
class _Process:
    """One process of a submission; what it finds is put into `done`."""

    submission: Submission
    limits: Limits
    context: multiprocessing.context.BaseContext
    folder: Path
    done: dict[str, Mark]
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    now: str = ""  # the exercise that runs
    cut_off: bool = True  # whether the system keeps it from the network
    found: dict[str, Mark] = field(default_factory=dict)

    def run(self) -> None:
        """Start it, listen until it ends or has to be ended, and keep what was found."""
        from .marking import child

        mine, its = self.context.Pipe(duplex=False)
        what = (self.submission.lesson, self.submission.sources, list(self.done), str(self.folder), self.limits.memory)
        process = _started(lambda: self.context.Process(target=child, args=(its, self.token, *what), daemon=True))
        its.close()
        try:
            end = self._listen(mine)
        finally:
            _kill(process)
        self._keep(end, process.exitcode)

    def _listen(self, channel) -> str:
        """How it ended: "finished", "failed: ...", "died", "too long", "wrote too much"."""
        deadline, looked = time.monotonic() + START_SECONDS, time.monotonic()
        while time.monotonic() < deadline:
            if time.monotonic() > looked + 1:
                looked = time.monotonic()
                if _size(self.folder) > MOST_WRITTEN:
                    return "wrote too much"
            try:
                if not channel.poll(0.2):
                    continue
                token, kind, what = json.loads(channel.recv_bytes(MESSAGE))
            except (EOFError, OSError, ValueError, TypeError):
                return "died"
            if token != self.token:
                return "died"
            if kind in ("finished", "failed"):
                return kind if kind == "finished" else f"failed: {what.get('said')}"
            self._hear(kind, what)
            deadline = time.monotonic() + self.limits.seconds
        return "too long"

    def _hear(self, kind: str, what: dict) -> None:
        """It is ready, an exercise begins, or has been marked."""
        if kind == "begin":
            self.now = what["exercise"]
        elif kind == "ready":
            self.cut_off = what["cut_off"]
        elif kind == "mark":
            mark = Mark(**what)
            self.found[mark.exercise] = better(self.found.get(mark.exercise), mark)

    def _keep(self, end: str, exitcode: int | None) -> None:
        """Put what was found into `done`, with a mark for the exercise that ended the process, or for all that are left."""
        if end != "finished":
            expected = [exercise.name for exercise in self.submission.lesson.exercises]
            left = [name for name in expected if name not in self.done | self.found]
            for name in [self.now] if self.now else left:
                self.found[name] = better(self.found.get(name), self._ended(name, end, exitcode))
        self.done.update(self.found)

    def _ended(self, name: str, end: str, exitcode: int | None) -> Mark:
        """The mark of an exercise whose process did not finish."""
        where = "" if self.now else "The notebook's imports and definitions did it: "
        if end == "too long":
            return Mark(name, TOO_LONG, f"{where}It ran for more than {self.limits.seconds:g} s.", self.limits.seconds)
        if end == "wrote too much":
            return Mark(name, RAISED, f"{where}It wrote more than {MOST_WRITTEN / 1e6:.0f} MB.")
        if end.startswith("failed: "):
            return Mark(name, NOT_MARKED, f"The grader itself failed: {end[8:]}. Look at it yourself.")
        signalled = f" by signal {-exitcode}" if exitcode and exitcode < 0 else ""
        return Mark(name, RAISED, f"{where}It ended the process{signalled}.")


def _started(make: Callable):
    """A process, started; once more if the one that it is forked from has just ended."""
    process = make()
    try:
        process.start()
    except (OSError, EOFError):
        time.sleep(1)
        process = make()
        process.start()
    return process


def _kill(process) -> None:
    """End a process and what it started."""
    process.join(0.5)
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.is_alive():
        process.kill()
    process.join(10)


def _size(folder: Path) -> int:
    """Bytes below the folder, as far as they can be counted."""
    total = 0
    with contextlib.suppress(OSError):
        for path in folder.rglob("*"):
            with contextlib.suppress(OSError):
                total += path.lstat().st_size
    return total
