"""Predictions that are made: a question with choices before a cell is run, and how the answer compares after it.

    lowest = question("Which caption gives the lowest loss?", ["the true one", "none", "a wrong one"])
    ...                                   # the reader chooses, then runs the cell that finds out
    lowest.reveal(captions[best], "The true one says what is in the picture.")

No source above the cell that reveals holds the answer: it computes it.
"""

from __future__ import annotations

import html
import textwrap

from ..arguments import one_text, several

LETTERS = "ABCDEFGH"
WIDTH = 96  # characters in a line of what is printed


class Question:
    """A question on a page. What was chosen is `said`: one of the choices, or None."""

    def __init__(self, text: str, choices: list[str]):
        import ipywidgets

        self.text, self.choices = one_text("text", text), [str(choice) for choice in several("choices", choices)]
        if not 2 <= len(self.choices) <= len(LETTERS) or len(set(self.choices)) < len(self.choices):
            raise ValueError(f"a question has 2 to {len(LETTERS)} different choices, not {self.choices}.")
        letters = LETTERS[: len(self.choices)]
        self.buttons = ipywidgets.ToggleButtons(options=list(letters), value=None, tooltips=self.choices, description="I say:")
        self.buttons.style.button_width = "4em"
        self.buttons.add_class("sd-question")

    @property
    def said(self) -> str | None:
        """The choice that was made, or None."""
        return None if self.buttons.value is None else self.choices[LETTERS.index(self.buttons.value)]

    def show(self) -> Question:
        """Display the question: its words, which a page keeps without a kernel, and a button for each choice."""
        from IPython.display import HTML, display

        from .widgets import display_widget

        lines = "<br>".join(f"<b>{letter}</b>&nbsp; {html.escape(c)}" for letter, c in zip(LETTERS, self.choices))
        display(HTML(f'<div class="sd-question-text"><b>{html.escape(self.text)}</b><br>{lines}</div>'))
        display_widget(self.buttons, "(run this cell to choose)")
        return self

    def reveal(self, answer: str, why: str = "") -> None:
        """Print how the prediction compares with what came out.

        Args:
            answer: the choice that turned out right, computed; one of the choices.
            why: a sentence or two of explanation.

        Raises:
            ValueError: an answer that was not among the choices.
        """
        if answer not in self.choices:
            raise ValueError(f"the answer {answer!r} is none of the choices: {', '.join(map(repr, self.choices))}.")
        right = f"{LETTERS[self.choices.index(answer)]}: {answer}"
        if self.said is None:
            verdict = f"The answer is {right} (you made no prediction)."
        elif self.said == answer:
            verdict = f"You predicted it: {right}."
        else:
            verdict = f"You said {self.buttons.value}: {self.said}. The answer is {right}."
        print(textwrap.fill(f"{verdict} {why}".strip(), WIDTH))


def question(text: str, choices: list[str]) -> Question:
    """Ask before a cell is run; keep what is returned, and `reveal` the answer below. See `Question`."""
    return Question(text, choices).show()
