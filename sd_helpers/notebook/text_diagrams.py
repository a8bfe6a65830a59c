"""Diagrams of the way of the words: pieces and rows, the text encoder's layers, attention, and attention that is lent."""

from __future__ import annotations

from ..arguments import door, one_text, whole_number
from .svg import BLUE, FAINT, RED, Drawing


@door
def words(prompt: str, tokenizer, text_encoder, shown: int = 7):
    """A prompt on its way: pieces, ids, a row of the table for each, a row for its place, their sum.

    Args:
        shown: how many positions are drawn, 1 to 7.
    """
    embeddings, shown = text_encoder.get_input_embeddings(), whole_number("shown", shown, 1, 7)
    ids = tokenizer(one_text("prompt", prompt), padding="max_length", truncation=True).input_ids
    pieces = tokenizer.convert_ids_to_tokens(ids)
    wide, width, d = embeddings.weight.shape[1], 104, Drawing(900, 290)
    names = ["pieces", "ids", f"row of {len(tokenizer):,}", "row of the place", "sum"]
    for i, name in enumerate(names):
        d.text(112, 51 + 52 * i, name, anchor="end", size=12, colour=FAINT)
    for i in range(shown):
        x = 124 + i * (width + 5)
        piece = pieces[i].replace("</w>", "").replace("<|startoftext|>", "start").replace("<|endoftext|>", "end")
        cells = [
            d.box(x, 30, width, 32, [piece], "words"),
            d.box(x, 82, width, 32, [f"{ids[i]}"], "words"),
            d.box(x, 134, width, 32, [f"({wide},)"], "latents"),
            d.box(x, 186, width, 32, [f"place {i}"], "latents"),
            d.box(x, 238, width, 32, [f"({wide},)"], "latents", lit=True),
        ]
        for one, other in zip(cells[:2], cells[1:3]):
            d.arrow(one.bottom, other.top)
        d.text(x + width / 2, 181, "+", size=15)
        d.arrow(cells[3].bottom, cells[4].top)
    d.text(894, 20, f"... {len(ids)} in all", anchor="end", size=11, colour=FAINT)
    return d.shown(
        f"{prompt!r} as {len(ids)} pieces, the first {shown} drawn: each has an id, the id a row of {wide} numbers in the "
        "table of pieces, its place a row in the table of places; the two rows are added."
    )


@door
def text_encoder_layers(text_encoder):
    """The text encoder, layer upon layer: sums in, causal self-attention and a small network in each, vectors out."""
    config = text_encoder.config
    layers, wide = config.num_hidden_layers, config.hidden_size
    drawn = min(layers, 4)
    d = Drawing(900, 176)
    first = d.box(16, 62, 118, 52, ["sums", f"({config.max_position_embeddings}, {wide})"], "latents")
    width = 118
    gap = (900 - 2 * (16 + 118) - drawn * width) / (drawn + 1)
    boxes = [first]
    for i in range(drawn):
        name = f"layer {i + 1 if i < drawn - 1 else layers}"
        boxes.append(
            d.box(
                16 + 118 + gap + i * (width + gap),
                30,
                width,
                116,
                [name, "look back", f"{config.num_attention_heads} heads", "think", f"{config.intermediate_size} wide"],
                "network",
            )
        )
    boxes.append(
        d.box(900 - 16 - 118, 62, 118, 52, ["vectors", f"({config.max_position_embeddings}, {wide})"], "latents", lit=True)
    )
    for i, (one, other) in enumerate(zip(boxes, boxes[1:])):
        more = "..." if layers > drawn and i == drawn - 1 else "norm" if i == drawn else ""
        d.arrow((one.right[0], 88), (other.left[0], 88), label=more)
    return d.shown(
        f"The text encoder: {layers} layers, causal self-attention with {config.num_attention_heads} heads and a small network "
        f"of {config.intermediate_size}; a norm at the end; {config.max_position_embeddings} vectors of {wide} numbers."
    )


def attention(
    queries: int, keys: int, wide: int, heads: int, query_name: str = "places", key_name: str = "positions of the prompt"
):
    """One layer of attention by its shapes: what asks, what is asked, and the table of probabilities between them.

    Args:
        queries: how many ask, such as 64 places of 8 x 8.
        keys: how many are asked, such as 77 positions.
        wide: numbers of one query, all heads together.
        heads: how many tables of probabilities there are.
    """
    queries, keys, wide, heads = _counts(queries=queries, keys=keys, wide=wide, heads=heads)
    if wide % heads:
        raise ValueError(f"wide={wide} numbers do not divide into heads={heads} equal parts.")
    d, each = Drawing(900, 214), wide // heads
    asking = d.box(20, 30, 190, 46, [query_name, f"({queries}, ...)"], "latents")
    asked = d.box(20, 136, 190, 46, [key_name, f"({keys}, ...)"], "words" if "prompt" in key_name else "latents")
    q = d.box(252, 30, 110, 46, ["queries", f"({heads}, {queries}, {each})"], "sum")
    k = d.box(252, 104, 110, 42, ["keys", f"({heads}, {keys}, {each})"], "sum")
    v = d.box(252, 160, 110, 42, ["values", f"({heads}, {keys}, {each})"], "sum")
    d.arrow(asking.right, q.left)
    d.arrow(asked.right, (230, 159), (230, 125), k.left)
    d.arrow((230, 159), (230, 181), v.left)
    table = d.box(500, 44, 176, 66, ["who looks where", f"({heads}, {queries}, {keys})", "each row sums to 1"], "sum", lit=True)
    d.arrow(q.right, (480, 53), (480, 66), (500, 66), label="")
    d.arrow(k.right, (480, 125), (480, 92), (500, 92))
    d.text(424, 46, f"q . k / sqrt({each})", size=11, mono=True)
    d.text(424, 140, "softmax", size=11, mono=True)
    d.box(740, 92, 140, 50, ["answer", f"({queries}, {wide})"], "latents")
    d.arrow(table.right, (708, 77), (708, 108), (740, 108))
    d.arrow(v.right, (708, 181), (708, 126), (740, 126), label="weighted mean of the values", above=-14)
    return d.shown(
        f"Attention: {queries} {query_name} ask {keys} {key_name}; {heads} heads of {each} numbers; each has a table "
        f"({queries}, {keys}) of probabilities, by which the values are averaged."
    )


def lent_attention(places: int, keys: int, heads: int):
    """Two drawings side by side: the second uses the first one's probabilities, and its own prompt's values.

    Args:
        places: of the layer, such as 64 for 8 x 8.
        keys: positions of the prompt.
        heads: tables of probabilities in the layer.

    Returns:
        IPython.display.HTML
    """
    places, keys, heads = _counts(places=places, keys=keys, heads=heads)
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


def _counts(**given) -> list[int]:
    return [whole_number(name, value, 1) for name, value in given.items()]
