"""The frame around the checks of exercises."""

import pytest
import torch

from sd_helpers.checks import NotYet, answered, exercise, expect, expect_close


@exercise
def double(answer):
    expect_close(answer(torch.ones(2)), torch.full((2,), 2.0), "Double every number")
    return "Twice one is two."


@pytest.mark.parametrize(
    ("answer", "printed"),
    [
        (..., "Not answered yet: replace the ... and run the cell again."),
        (lambda x: ..., "Not answered yet: replace the ... and run the cell again."),
        (lambda x: 2 * x, "Right. Twice one is two."),
        (lambda x: 3 * x, "Not yet. Double every number (off by 1)."),
        (lambda x: 2, "Not yet. Its shape is (), and should be (2,)."),
        (lambda x: None, "Not yet. It is None: does your function return its result?"),
        (lambda x: "two", "Not yet. It should be a number or a tensor, and is a str."),
        (lambda x: float("nan") * x, "Not yet. Double every number (off by nan)."),
        (lambda: 2, "Not yet. Your code raised TypeError"),
    ],
    ids=str,
)
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
