"""A diagram of attention that is lent: where to look from one drawing, what is found there from another."""

from __future__ import annotations

from .svg import BLUE, FAINT, RED, Drawing


def lent_attention(places: int, keys: int, heads: int):
    """Two drawings side by side: the second uses the first one's probabilities, and its own prompt's values.

    Args:
        places: of the layer, such as 64 for 8 x 8.
        keys: positions of the prompt.
        heads: tables of probabilities in the layer.

    Returns:
        IPython.display.HTML
    """
    d, table = Drawing(900, 250), f"({heads}, {places}, {keys})"
    answers, tables = [], []
    for i, which in enumerate(("first", "second")):
        y, first = 16 + 122 * i, i == 0
        drawing = d.box(20, y, 160, 42, [f"{which} drawing", "queries"], "latents")
        prompt = d.box(20, y + 52, 160, 42, [f"{which} prompt", "keys, values"], "words")
        name = ["who looks where", table] if first else ["its own table", "not used"]
        found = d.box(290, y + 12, 180, 48, name, "sum" if first else "", lit=first, dashed=not first)
        colour = "#222222" if first else FAINT
        d.arrow(drawing.right, (240, drawing.right[1]), (240, y + 28), (290, y + 28), colour=colour, dashed=not first)
        d.arrow(prompt.right, (240, prompt.right[1]), (240, y + 46), (290, y + 46), colour=colour, dashed=not first)
        answers.append(d.box(730, y + 22, 150, 48, ["answer", f"to the {which}"], "latents", lit=not first))
        d.arrow((180, y + 82), (690, y + 82), (690, y + 58), (730, y + 58), colour=BLUE)
        d.text(435, y + 97, f"what: the {which} prompt's values", size=11, colour=BLUE)
        tables.append(found)
    level, below = tables[0].right[1], answers[1].y + 14
    d.arrow(tables[0].right, (730, level), colour=RED)
    d.arrow((590, level), (590, below), (730, below), colour=RED, width=2.5)
    d.text(602, below - 8, "where: lent", size=12, colour=RED, anchor="start")
    return d.shown(
        f"Two drawings, each with its prompt. The first computes who looks where, a table {table}, and reads its prompt's values "
        "by it. The second reads its own prompt's values, but by the first one's table; its own table is not used."
    )
