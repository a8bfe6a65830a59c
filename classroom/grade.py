"""Grades a folder of submissions: several at once, with a line for each, and everything written at the end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from .feedback import write_feedback
from .lessons import all_lessons
from .overview import write_overview
from .results import NOT_MARKED, OUTCOMES, Marked
from .running import Limits, processes, run
from .submissions import Submission, collect
from .tables import beside, write_tables


def grade(folder: Path, out: Path, limits: Limits, jobs: int | None = None, say: Callable = print) -> list[Marked]:
    """Mark every submission below the folder, and write tables, feedback and overview beside `out`.

    Args:
        out: of the table with a row for each exercise; the other files' names begin like its own.
        jobs: how many at once; None takes the cores that are free.
        say: is called with a line for each submission.
    """
    submissions = collect(folder)
    jobs = jobs or free_cores()
    students = len({submission.student for submission in submissions})
    say(f"{len(submissions)} files of {students} students, {jobs} at a time. The first takes longer: torch is loaded.")
    marked = mark_all(submissions, limits, jobs, say)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_tables(marked, out)
    write_feedback(marked, beside(out, "feedback"))
    write_overview(marked, out)
    say(f"Written: {out}, {beside(out, 'totals.csv').name}, {beside(out, 'predictions.csv').name}, ")
    say(f"         {beside(out, 'overview.html').name}, and a page for each student in {beside(out, 'feedback').name}.")
    if not all(each.cut_off for each in marked):
        say("The system could not cut off the network here, only Python refused it; see Marking in classroom/guide.md.")
    return marked


def mark_all(submissions: list[Submission], limits: Limits, jobs: int, say: Callable = print) -> list[Marked]:
    """The marks of all submissions, in their order."""
    context, marked = processes(), {}
    with ThreadPoolExecutor(jobs) as pool:
        waiting = {pool.submit(run, submission, limits, context): i for i, submission in enumerate(submissions)}
        for future in as_completed(waiting):
            marked[waiting[future]] = future.result()
            say(f"{len(marked):4} of {len(submissions)}  {line(future.result())}")
    return [marked[i] for i in range(len(submissions))]


def line(marked: Marked) -> str:
    """One submission in a line."""
    titles = {lesson.stem: lesson.title for lesson in all_lessons()}
    if not marked.lesson:
        return f"{marked.student}: {marked.file} is not marked. {marked.marks[0].hint}"
    counts = {outcome: sum(mark.outcome == outcome for mark in marked.marks) for outcome in OUTCOMES}
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    look = "  Look at it yourself." if counts[NOT_MARKED] else ""
    return f"{marked.student}, {titles[marked.lesson]}: {told} ({marked.seconds:.0f} s).{look}"


def free_cores() -> int:
    """How many processor cores have nothing to do, at least one."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0
    return max(1, min(cores, round(cores - busy)))
