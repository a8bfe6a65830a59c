"""Marks one submission, in the process it is given: runs its answers through the checks, and tells what they say.

A submission's own calls of the checks are replaced by calls of ours, so nothing that it prints or redefines counts. What is
right has been through the check of `sd_helpers.exercises` as it was before the first line of the submission ran.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import os
import pkgutil
import time
from collections.abc import Callable
from pathlib import Path

import sd_helpers
from sd_helpers.notebook.checks import OPEN as NOT_ANSWERED
from sd_helpers.notebook.checks import NotYet

from . import guards
from .lessons import CALL, Exercise, Lesson
from .results import NOT_MARKED, NOT_YET, OPEN, RAISED, RIGHT, Mark
from .statements import definitions, parsed, run, with_our_checks

LONGEST = 600  # characters of a hint
NAME = "submission"  # what the submission's own module is called


def _import_everything() -> None:
    """All of `sd_helpers`, so that nothing of it is imported after a submission could have reached it."""
    for module in pkgutil.walk_packages(sd_helpers.__path__, "sd_helpers."):
        if not module.name.endswith("__main__"):
            with contextlib.suppress(ImportError):
                importlib.import_module(module.name)


_import_everything()


class Marking:
    """One submission, being marked. `tell(kind, **what)` hears what is found."""

    def __init__(self, lesson: Lesson, tell: Callable, done: frozenset[str] = frozenset()):
        module = importlib.import_module(f"sd_helpers.exercises.{lesson.checks}")
        self.lesson, self.tell, self.done, self.told = lesson, tell, done, set()
        self.checks = {e.name: getattr(module, e.name).__wrapped__ for e in lesson.exercises}
        self.namespace = {"__name__": NAME, "display": _nothing, "get_ipython": _nothing}
        for source in lesson.given:
            self._run_quietly(definitions(parsed(source)))
        self.seal = guards.Seal()

    def mark(self, sources: list[str]) -> None:
        """All exercises: first what the cells define, then the exercises' cells in order, then answers whose call is gone."""
        ours = f"_check_{os.urandom(8).hex()}"
        self.namespace[ours] = self.check
        cells = [cell for cell in map(_Cell, sources, [ours] * len(sources)) if not cell.error or cell.names]
        for cell in cells:
            self._run_quietly(definitions(cell.statements))
        for cell in cells:
            self._run_cell(cell)
        for exercise in self.lesson.exercises:
            if exercise.name not in self.told | self.done:
                self._check_without_call(exercise)

    def _run_cell(self, cell: _Cell) -> None:
        """An exercise's cell in full; of others, and of those that are done, the definitions again."""
        names = [name for name in cell.names if name in self.checks]
        if not names or self.done & set(names):
            return self._run_quietly(definitions(cell.statements))
        self.tell("begin", exercise=names[0])
        error = cell.error
        for statement in cell.statements:
            try:
                run(statement, self.namespace)
            except BaseException as raised:  # a submission may raise anything, SystemExit included
                error = error or _said(raised)
        for name in names:
            if name not in self.told:
                self._tell(Mark(name, RAISED, error or "The cell never came to its check."))

    def check(self, name: str, *answers) -> None:
        """In the place of `check.exercise_N(...)`."""
        if name in self.checks and name not in self.done:
            self.tell("begin", exercise=name)
            began = time.perf_counter()
            outcome, hint = verdict(self.checks[name], answers)
            self._tell(Mark(name, outcome, hint[:LONGEST], round(time.perf_counter() - began, 2)))

    def _tell(self, mark: Mark) -> None:
        """Pass a mark on, unless the submission has changed what it came from."""
        changed = self.seal.broken()
        if changed:
            mark = Mark(mark.exercise, NOT_MARKED, f"The notebook changes what checks it: {changed}. Look at it yourself.")
        self.told.add(mark.exercise)
        self.tell("mark", **mark.as_dict())

    def _check_without_call(self, exercise: Exercise) -> None:
        """An exercise whose cell is gone: check its answer if it is defined somewhere."""
        if all(name in self.namespace for name in exercise.answers):
            return self.check(exercise.name, *(self.namespace[name] for name in exercise.answers))
        self._tell(Mark(exercise.name, OPEN, "The exercise is not in this notebook."))

    def _run_quietly(self, statements: list) -> None:
        for statement in statements:
            with contextlib.suppress(BaseException):
                run(statement, self.namespace)


class _Cell:
    """A code cell: its statements with our checks in them, the exercises it checks, and why it cannot be run."""

    def __init__(self, source: str, ours: str):
        self.statements, self.names, self.error = [], [], ""
        try:
            self.statements, self.names = with_our_checks(parsed(source), ours)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            self.names, self.error = [name for name, _ in CALL.findall(source)], _said(error)


def verdict(check: Callable, answers: tuple) -> tuple[str, str]:
    """What the check itself says of the answers: an outcome and its words."""
    if any(answer is ... for answer in answers):
        return OPEN, NOT_ANSWERED
    try:
        more = check(*(_plain(answer) if callable(answer) else answer for answer in answers))
    except NotYet as hint:
        return (OPEN if str(hint) == NOT_ANSWERED else NOT_YET), str(hint)
    except BaseException as error:  # a submission may raise anything, SystemExit included
        return RAISED, _said(error)
    return RIGHT, str(more or "")


def _plain(answer: Callable) -> Callable:
    """The answer, which may not return objects of a class of its own: such an object may claim to equal anything."""

    @functools.wraps(answer)
    def asked(*args, **kwargs):
        value = answer(*args, **kwargs)
        own = _own_class(value)
        if own:
            raise NotYet(f"It returns an object of your own class {own}; return what the exercise asks for.")
        return value

    return asked


def _own_class(value, depth: int = 3) -> str:
    """The name of a class that the submission made, if the value or something in it is of that class."""
    if type(value).__module__ == NAME:
        return type(value).__name__
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple, set)) else ()
    return next((own for part in parts if depth and (own := _own_class(part, depth - 1))), "")


def _said(error: BaseException) -> str:
    """An error as one line; of a name that only another cell of the notebook sets, what to do about it."""
    said = f"{type(error).__name__}: {error}".strip(": ")
    if isinstance(error, NameError):
        said += ". Only imports and definitions of other cells are there when it is marked: take what you need as an argument."
    return said


def _nothing(*args, **kwargs) -> None:
    """In the place of what only a notebook has."""


def child(channel, token: str, lesson: Lesson, sources: list[str], done: list[str], folder: str, memory: int) -> None:
    """The process of a submission: guard it, mark it, send what is found through the channel, and end."""

    def tell(kind: str, **what) -> None:
        channel.send_bytes(json.dumps([token, kind, what]).encode())

    try:
        if hasattr(os, "setsid"):
            os.setsid()
        guards.silence(channel.fileno())
        os.chdir(folder)
        cut_off = guards.limit(memory)
        marking = Marking(lesson, tell, frozenset(done))
        guards.watch(Path(folder))
        tell("ready", cut_off=cut_off)
        marking.mark(sources)
        tell("finished")
    except BaseException as error:
        with contextlib.suppress(BaseException):
            tell("failed", said=_said(error)[:LONGEST])
    finally:
        os._exit(0)
