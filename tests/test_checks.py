"""The frame around the checks of exercises."""

import pytest
import torch

from sd_helpers.checks import NotYet, agree, answered, exercise, expect, expect_close, expect_known


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


@pytest.mark.parametrize("value, told", [(5.0, None), (-5.0, "the sign."), (10.0, "Twice?"), (7.0, "It is wrong (off by 2).")])
def test_a_known_mistake_gets_its_own_hint(value, told):
    mistakes = {"the sign": -5.0, "Twice?": 10.0, "no number at all": torch.zeros(3)}
    if told is None:
        expect_known(value, 5.0, mistakes, "It is wrong")
        return
    with pytest.raises(NotYet) as hint:
        expect_known(value, 5.0, mistakes, "It is wrong")
    assert str(hint.value) == told


def test_results_agree_by_shape_and_size():
    assert agree(1.0, 1.00001) and not agree(1.0, 1.001) and agree(1000.0, 1000.05)
    assert not agree(torch.zeros(2), torch.zeros(2, 1)) and not agree("a", 1.0)
    assert agree(torch.tensor([float("nan"), 1]), torch.tensor([float("nan"), 1])) and not agree(1.0, float("inf"))
