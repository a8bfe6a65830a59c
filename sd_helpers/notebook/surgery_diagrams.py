"""A diagram of the places where a prompt can be cut open on its way to the U-Net, and of what an edit there reaches."""

from __future__ import annotations

from ..arguments import one_text, whole_number
from .svg import FAINT, RED, Drawing

CUTS = ("token rows", "sums", "finished vectors")
SHOWN = 9  # positions that fit side by side, the last after a gap


def cuts(prompt: str, tokenizer, text_encoder, edited: str | None = None, at: int = 0):
    """The way of a prompt to the U-Net, with the three places where its numbers can be edited.

    Args:
        edited: one of `CUTS`: light up what an edit there, at one position, changes from there on; None lights nothing.
        at: the position that is edited, 0 to the last one.

    Returns:
        IPython.display.HTML

    Raises:
        ValueError: no such place, or no such position.
    """
    if edited is not None and edited not in CUTS:
        raise ValueError(f"edited={edited!r} is none of {', '.join(CUTS)}.")
    ids = tokenizer(one_text("prompt", prompt), padding="max_length", truncation=True).input_ids
    at = whole_number("at", at, 0, len(ids) - 1)
    pieces = tokenizer.convert_ids_to_tokens(ids)
    wide, layers = text_encoder.config.hidden_size, text_encoder.config.num_hidden_layers
    positions = [*range(SHOWN - 1), len(ids) - 1]
    depth = CUTS.index(edited) if edited is not None else None
    work = f"{layers} layers" + (": each position reads those to its left" if edited else " of the text encoder")
    d, left, width = Drawing(900, 356), 146, 76
    d.text(left - 12, 49, "tokens", anchor="end", size=12, colour=FAINT)
    d.text(left - 12, 138, "+ their places", anchor="end", size=12, colour=FAINT)
    tops = {"token rows": 78, "sums": 150, "finished vectors": 264}
    for i, (name, y) in enumerate(tops.items()):
        d.text(left - 12, y + 14, f"{i + 1}  {name}", anchor="end", size=12, bold=True, colour=RED)
        d.text(left - 12, y + 28, f"({len(ids)}, {wide})", anchor="end", size=10, mono=True)
        d.arrow((left - 4, y + 16), (896, y + 16), colour=RED, dashed=True, head=False, width=1)
    for i, position in enumerate(positions):
        x = left + i * (width + 5) + (12 if position == positions[-1] else 0)
        piece = pieces[position].replace("</w>", "").replace("<|startoftext|>", "start").replace("<|endoftext|>", "end")
        piece = "padding" if position > ids.index(tokenizer.eos_token_id) else piece
        token = d.box(x, 28, width, 32, [piece if len(piece) < 10 else piece[:8] + ".."], "words")
        d.text(x + width / 2, 20, f"{position}", size=10, mono=True, colour=FAINT)
        boxes = []
        for k, y in enumerate(tops.values()):
            alone = k < 2  # rows and sums know nothing of each other; vectors have read all that stands before them
            reached = depth is not None and k >= depth and (position == at or (position > at and not alone and depth < 2))
            boxes.append(d.box(x, y, width, 32, ["row", "sum", "vector"][k : k + 1], "latents", lit=reached))
        d.arrow(token.bottom, boxes[0].top)
        d.arrow(boxes[0].bottom, boxes[1].top)
        d.arrow(boxes[1].bottom, (x + width / 2, 204))
        d.arrow((x + width / 2, 242), boxes[2].top)
    d.text(left + 8 * (width + 5) + 3, 49, "..", size=13, bold=True)
    d.box(left, 204, 896 - left, 38, [work], "network")
    d.box(left, 316, 896 - left, 28, ["U-Net: reads all of the vectors, at every step"], "network")
    d.arrow((left + 380, 296), (left + 380, 316))
    told = f"Lit: what an edit of the {edited} at position {at} changes." if edited else "Nothing is lit."
    return d.shown(
        f"A prompt's way to the U-Net: {len(ids)} tokens, token rows (cut 1), sums with the rows of their places (cut 2), "
        f"{work}, finished vectors (cut 3), the U-Net. {told}"
    )
