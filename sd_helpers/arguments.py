"""Refusing bad arguments with a sentence: which argument, which value, what to do."""

import math
import numbers
import operator


def whole_number(argument: str, value, least: int | None = None, most: int | None = None, remedy: str = "") -> int:
    """The value as an int, numpy's and torch's whole numbers too, or a ValueError that names argument, value and range."""
    try:
        if _is_truth(value):
            raise TypeError
        number = operator.index(value)
    except (TypeError, ValueError, RuntimeError):  # torch raises all three for what is no single whole number
        raise ValueError(_refusal(argument, value, "whole number", least, most, remedy)) from None
    if (least is not None and number < least) or (most is not None and number > most):
        raise ValueError(_refusal(argument, value, "whole number", least, most, remedy))
    return number


def real_number(argument: str, value, least: float | None = None, most: float | None = None, remedy: str = "") -> float:
    """The value as a float, numpy's and torch's numbers too, or a ValueError that names argument, value and range."""
    try:
        if _is_truth(value) or not (isinstance(value, numbers.Real) or getattr(value, "ndim", None) == 0):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise ValueError(_refusal(argument, value, "number", least, most, remedy)) from None
    if not math.isfinite(number):
        raise ValueError(_refusal(argument, value, "finite number", least, most, remedy))
    if (least is not None and number < least) or (most is not None and number > most):
        raise ValueError(_refusal(argument, value, "number", least, most, remedy))
    return number


def two_numbers(argument: str, value, least: int | None = None) -> tuple[int, int]:
    """Two whole numbers, or a ValueError that names the argument."""
    try:
        first, second = value
    except (TypeError, ValueError):
        raise ValueError(f"{argument}={value!r} must be two whole numbers, across and down.") from None
    return whole_number(argument, first, least), whole_number(argument, second, least)


def seed_number(argument: str, value) -> int:
    """A seed that torch's generators take, as an int, or a ValueError."""
    return whole_number(argument, value, 0, 2**63 - 1)


def _is_truth(value) -> bool:
    """True and False are numbers to Python, numpy and torch, and never meant as such."""
    return isinstance(value, bool) or "bool" in str(getattr(value, "dtype", ""))


def _refusal(argument, value, kind, least, most, remedy) -> str:
    allowed = "" if least is None else f" from {least:g}" if isinstance(least, float) else f" from {least}"
    allowed += "" if most is None else f" to {most}"
    text = repr(value)
    return f"{argument}={text if len(text) < 80 else text[:77] + '...'} must be a {kind}{allowed}. {remedy}".rstrip()
