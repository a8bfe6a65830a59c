"""Refusing bad arguments with a sentence: which argument, which value, what to do."""

import operator


def whole_number(argument: str, value, least: int | None = None, most: int | None = None, remedy: str = "") -> int:
    """The value as an int, or a ValueError that names the argument, the value and the range."""
    allowed = "" if least is None else f" from {least}" + ("" if most is None else f" to {most}")
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{argument}={value!r} must be a whole number{allowed}. {remedy}".rstrip()) from None
    if (least is not None and number < least) or (most is not None and number > most):
        raise ValueError(f"{argument}={value!r} must be a whole number{allowed}. {remedy}".rstrip())
    return number
