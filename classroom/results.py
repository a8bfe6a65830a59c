"""What marking finds: one mark for each exercise of each file."""

from __future__ import annotations

from dataclasses import asdict, dataclass

RIGHT, NOT_YET, OPEN, RAISED, TOO_LONG, NOT_MARKED = OUTCOMES = (
    "right",
    "not yet",
    "open",
    "raised",
    "too long",
    "not marked",
)
BETTER = (OPEN, TOO_LONG, RAISED, NOT_YET, RIGHT, NOT_MARKED)  # of two attempts the later in this list counts
WORDS = {  # for a student
    RIGHT: "Right",
    NOT_YET: "Not yet",
    OPEN: "Open",
    RAISED: "Your code raised an error",
    TOO_LONG: "Took too long",
    NOT_MARKED: "Not marked",
}


@dataclass(frozen=True)
class Mark:
    """How one exercise went: an outcome of `OUTCOMES`, and the hint, or what the check adds to "Right."."""

    exercise: str  # exercise_2; empty where it is about the whole file
    outcome: str
    hint: str = ""
    seconds: float = 0.0

    def as_dict(self) -> dict:
        return asdict(self)


def better(one: Mark | None, other: Mark) -> Mark:
    """Of two attempts at one exercise the one that counts."""
    if one is None or BETTER.index(other.outcome) >= BETTER.index(one.outcome):
        return other
    return one


@dataclass(frozen=True)
class Prediction:
    """What a student said before a cell was run; None where no letter was chosen or the cell was not run."""

    question: str
    said: str | None
    shown: str = ""  # what the notebook printed


@dataclass(frozen=True)
class Marked:
    """A submission with its marks, in the order of the lesson."""

    student: str
    file: str
    lesson: str  # its stem; empty where it could not be told
    marks: tuple[Mark, ...]
    predictions: tuple[Prediction, ...] = ()
    seconds: float = 0.0
    cut_off: bool = True  # whether the system kept it from the network

    @property
    def right(self) -> int:
        return sum(mark.outcome == RIGHT for mark in self.marks)
