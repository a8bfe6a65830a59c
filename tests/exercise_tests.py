"""What is true of the checks of every lesson's exercises: right answers pass, wrong ones get their hint, open ones stay open."""

import pytest


def of(exercises: dict, right: dict, wrong: dict) -> tuple:
    """Three tests, to be named in a module.

    Args:
        exercises: number of an exercise -> its check.
        right: number -> answers that are right.
        wrong: number -> pairs of an answer and what its hint must say; "Not answered yet" where it counts as open.
    """

    @pytest.mark.parametrize("number, answer", [(n, a) for n, answers in right.items() for a in answers])
    def right_answers(number, answer, capsys):
        exercises[number](answer)
        assert capsys.readouterr().out.startswith("Right.")

    @pytest.mark.parametrize("number, answer, hint", [(n, *pair) for n, pairs in wrong.items() for pair in pairs])
    def wrong_answers_get_their_hint(number, answer, hint, capsys):
        exercises[number](answer)
        printed = capsys.readouterr().out
        begins = "Not answered yet" if hint == "Not answered yet" else "Not yet."
        assert printed.startswith(begins) and hint in printed, printed

    @pytest.mark.parametrize("number", exercises)
    @pytest.mark.parametrize("answer", [..., lambda *arguments: ...])
    def open_exercises(number, answer, capsys):
        exercises[number](answer)
        assert capsys.readouterr().out.startswith("Not answered yet")

    return right_answers, wrong_answers_get_their_hint, open_exercises
