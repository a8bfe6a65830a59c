"""The frame around the checks of exercises."""

import pytest
import torch

from sd_helpers.checks import NotYet, answered, exercise, expect, expect_close


@exercise
def double(answer):
    expect_close(answer(torch.ones(2)), torch.full((2,), 2.0), "Double every number")
    return "Twice one is two."


PRINTED = {
    "nothing": (..., "Not answered yet: replace the ... and run the cell again."),
    "nothing inside": (lambda x: ..., "Not answered yet: replace the ... and run the cell again."),
    "right": (lambda x: 2 * x, "Right. Twice one is two."),
    "wrong": (lambda x: 3 * x, "Not yet. Double every number (off by 1)."),
    "another shape": (lambda x: 2, "Not yet. Its shape is (), and should be (2,)."),
    "None": (lambda x: None, "Not yet. It is None: does your function return its result?"),
    "text": (lambda x: "two", "Not yet. It should be a number or a tensor, and is a str."),
    "nan": (lambda x: float("nan") * x, "Not yet. Double every number (off by nan)."),
    "an error": (lambda: 2, "Not yet. Your code raised TypeError"),
}


@pytest.mark.parametrize("answer, printed", PRINTED.values(), ids=PRINTED)
def test_what_a_check_prints(capsys, answer, printed):
    double(answer)
    assert capsys.readouterr().out.startswith(printed)


def test_expect_and_answered():
    expect(True, "never seen")
    with pytest.raises(NotYet, match="hint"):
        expect(False, "hint")
    assert answered(0) == 0
    with pytest.raises(NotYet):
        answered(...)
