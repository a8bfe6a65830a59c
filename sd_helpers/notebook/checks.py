"""Checks of the exercises: right or not yet, and a hint.

A notebook ships with its exercises open: the answer is `...`, or a function that ends in `return ...`. The checks themselves
are in `sd_helpers.exercises`, out of sight of who wants to think first.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

OPEN = "Not answered yet: replace the ... and run the cell again."


class NotYet(Exception):  # noqa: N818
    """Raised by a check, with a hint for the learner."""


def exercise(check: Callable) -> Callable:
    """Decorator: turn a check, which raises `NotYet(hint)` or returns what to add to "Right.", into one that prints.

    An answer of `...`, or a function that returns it, is open. What a learner's own code raises is shown as a hint.
    """

    @functools.wraps(check)
    def printed(*answer) -> None:
        if any(a is ... for a in answer):
            print(OPEN)
            return
        try:
            more = check(*answer)
        except NotYet as hint:
            print(OPEN if str(hint) == OPEN else f"Not yet. {hint}")
        except Exception as error:  # a learner's code may raise anything
            print(f"Not yet. Your code raised {type(error).__name__}: {error}")
        else:
            print(f"Right. {more or ''}".rstrip())

    return printed


def answered(value):
    """The value, unless a learner's function returned `...` still: then the exercise is open."""
    if value is ...:
        raise NotYet(OPEN)
    return value


def expect(condition: bool, hint: str) -> None:
    """`NotYet(hint)` unless the condition holds."""
    if not condition:
        raise NotYet(hint)


def expect_close(value, expected, hint: str, tolerance: float = 1e-4) -> None:
    """`NotYet` unless value and expected are numbers or tensors of one shape that agree to `tolerance` of their size."""
    value = answered(value)
    expect(value is not None, "It is None: does your function return its result?")
    try:
        value, expected = (torch.as_tensor(v).detach().double().cpu() for v in (value, expected))
    except (TypeError, ValueError, RuntimeError):
        raise NotYet(f"It should be a number or a tensor, and is a {type(value).__name__}.") from None
    if value.shape != expected.shape:
        raise NotYet(f"Its shape is {tuple(value.shape)}, and should be {tuple(expected.shape)}.")
    allowed = tolerance * max(1.0, float(expected.abs().max()) if expected.numel() else 1.0)
    worst = float((value - expected).abs().max()) if expected.numel() else 0.0
    expect(worst <= allowed, f"{hint} (off by {worst:.2g}).")


def agree(value, other, tolerance: float = 1e-4) -> bool:
    """Whether two results are numbers or tensors of one shape that agree to `tolerance` of the second's size."""
    try:
        value, other = (torch.as_tensor(v).detach().double().cpu() for v in (value, other))
    except (TypeError, ValueError, RuntimeError):
        return False
    finite = other[other.isfinite()].abs()
    allowed = tolerance * max(1.0, float(finite.max()) if finite.numel() else 1.0)
    return value.shape == other.shape and torch.allclose(value, other, rtol=0, atol=allowed, equal_nan=True)


def expect_known(value, right, mistakes: dict, otherwise: str, tolerance: float = 1e-4) -> None:
    """`NotYet` unless value is right; with the hint of the mistake that gives this very value, else with `otherwise`.

    Args:
        mistakes: hint -> what that well-known mistake gives.
    """
    value = answered(value)
    try:
        expect_close(value, right, otherwise, tolerance)
    except NotYet as hint:
        for told, wrong in mistakes.items():
            expect(not agree(value, wrong, tolerance), told if told.endswith((".", "?", "!")) else f"{told}.")
        raise hint from None


def as_number(value) -> float:
    """What a learner returned as a number, or a hint."""
    value = answered(value)
    expect(value is not None, "It is None: does your function return its result?")
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        raise NotYet(f"It should be one number, and is a {type(value).__name__}.") from None
