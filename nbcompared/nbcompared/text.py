"""Compare what notebook cells print: words exactly, numbers within a tolerance."""

import itertools
import re
from decimal import Decimal

# Two CPUs add up the same numbers in another order: after fifteen calls of a network the third digit may differ.
RELATIVE = 2e-2
# A mean that should be 0 has no relative size. One unit of the last printed place always may flip by rounding, so
# that is allowed too, but neither finer than LOWEST (0.0003 against -0.0004) nor coarser than HIGHEST (0.5 against 0.6).
LOWEST, HIGHEST = 1e-3, 1e-2
# Scientific notation mostly prints how far two computations are apart. Rounding puts that anywhere between 1e-7 (one
# operation) and 6e-5 (fifteen network calls, 4e-6 each); a mistake puts it above 1e-3.
SCIENTIFIC = 1e-4

# Not preceded by a letter, digit or dot and not followed by ".1": names (conv2) and versions (0.42.1) are words.
NUMBER = re.compile(r"(?<![\w.])([-+]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?)(?!\d|\.\d)")
ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{4,}")


def text_difference(stored: str, fresh: str) -> str | None:
    """The first line in which two texts differ by more than the last digits of a number; None where they agree."""
    for text in (stored, fresh):
        if address := ADDRESS.search(text):
            return f"a memory address was printed ({address[0]}): it changes with every run, print something else"
    lines = itertools.zip_longest(stored.splitlines(), fresh.splitlines())
    for number, (old, new) in enumerate(lines, start=1):
        if why := line_difference(old, new):
            return f"line {number}: {why}\n  stored: {excerpt(old, new)}\n  fresh:  {excerpt(new, old)}"
    return None


def line_difference(stored: str | None, fresh: str | None) -> str | None:
    """Why two lines differ (a line that is missing is None); None where they agree."""
    if stored == fresh:
        return None
    if stored is None or fresh is None:
        return "one more line now than stored" if stored is None else "a stored line is missing now"
    old, new = NUMBER.split(stored), NUMBER.split(fresh)  # words, number, words, number, ..., words
    if len(old) == 1 or words(old) != words(new):
        return "the text differs"
    wrong = (number_difference(a, b) for a, b in zip(old[1::2], new[1::2]))
    return next(filter(None, wrong), None)


def words(pieces: list[str]) -> list[str]:
    """The text between the numbers. Blanks beside a number give way to its sign and width, so they don't count."""
    return [piece.strip(" ") for piece in pieces[0::2]]


def number_difference(stored: str, fresh: str) -> str | None:
    """Why two printed numbers differ; None where they agree. Whole numbers (counts, shapes, ids) agree exactly."""
    old, new = Decimal(stored), Decimal(fresh)
    allowed = tolerance(stored, fresh)
    if abs(old - new) <= allowed:
        return None
    rule = f"allowed are {allowed:.2g} between them" if allowed else "whole numbers must be equal"
    return f"{stored} was stored, {fresh} now; {rule}"


def text_used(stored: str, fresh: str) -> float:
    """The largest part of its tolerance that any number in two texts of the same words uses: 0 if equal, up to 1.

    A flip of the last printed place counts as nothing: rounding alone may do that.
    """
    pairs = zip(NUMBER.findall(stored), NUMBER.findall(fresh))
    return max((number_used(old, new) for old, new in pairs if old != new), default=0.0)


def number_used(stored: str, fresh: str) -> float:
    """The part of the tolerance between two printed numbers that is used, beyond one unit of the last place."""
    old, new = Decimal(stored), Decimal(fresh)
    last_place = Decimal(1).scaleb(min(old.as_tuple().exponent, new.as_tuple().exponent))
    allowed = tolerance(stored, fresh)
    return float(max(abs(old - new) - last_place, Decimal(0)) / allowed) if allowed else float(old != new)


def tolerance(stored: str, fresh: str) -> Decimal:
    """How far two printed numbers may lie apart; 0 if neither shows decimals or an exponent ("1." is 1)."""
    both = (stored.lower(), fresh.lower())
    decimals = max(len(number.partition(".")[2]) for number in both)
    if any("e" in number for number in both):
        absolute = SCIENTIFIC
    elif decimals:
        absolute = min(max(LOWEST, 10.0**-decimals), HIGHEST)
    else:
        return Decimal(0)
    return Decimal(absolute) + Decimal(RELATIVE) * max(abs(Decimal(stored)), abs(Decimal(fresh)))


def excerpt(line: str | None, other: str | None, width: int = 100) -> str:
    """At most `width` characters of a line, around the place where it starts to differ from the other."""
    if line is None:
        return "(nothing)"
    same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(line, other or "")))
    start = max(0, min(same - width // 2, len(line) - width))
    return ("..." if start else "") + line[start : start + width] + ("..." if start + width < len(line) else "")
