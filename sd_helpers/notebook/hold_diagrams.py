"""Diagrams of taking hold: a loss that steers, what is trained, the loop backwards, a mask, where a prompt can be cut."""

from __future__ import annotations

from ..arguments import door, one_text, whole_number
from ..runtime.runtimes import original
from .svg import BLUE, FAINT, GREEN, RED, Drawing

CUTS = ("token rows", "sums", "finished vectors")
SHOWN = 9  # positions that fit side by side, the last after a gap


def steering():
    """A step that a loss takes part in: the clean picture that the prediction implies, its loss, and the way back."""
    d = Drawing(900, 210)
    state = d.box(16, 66, 120, 46, ["latents"], "latents")
    net = d.box(182, 66, 110, 46, ["U-Net"], "network")
    clean = d.box(344, 66, 120, 46, ["x0", "implied"], "latents")
    pixels = d.box(516, 66, 110, 46, ["decoder"], "network")
    loss = d.box(678, 66, 100, 46, ["loss", "your own"], "sum", lit=True)
    for one, other in ((state, net), (net, clean), (clean, pixels), (pixels, loss)):
        d.arrow(one.right, other.left)
    d.arrow(
        loss.bottom,
        (728, 150),
        (76, 150),
        state.bottom,
        colour=RED,
        width=2.5,
        label="the gradient: which way does the loss rise?",
        above=-15,
    )
    d.arrow(state.top, (76, 34), (404, 34), clean.top, colour=FAINT)
    d.text(240, 28, "minus sigma times the noise", size=11, colour=FAINT)
    d.text(450, 194, "added to the noise prediction, then the scheduler steps as always", size=12)
    return d.shown(
        "A loss at work: latents, U-Net, implied x0, decoder, loss; the gradient of the loss leads back to the latents."
    )


@door
def adapted(components, lora_rank: int = 4):
    """What is trained in three ways of teaching: the whole U-Net, a LoRA beside it, one row of the table of words."""
    unet, lora_rank = original(components.unet), whole_number("lora_rank", lora_rank, 1, 1024)
    row = components.text_encoder.get_input_embeddings().weight.shape[1]
    layers = [m for name, m in unet.named_modules() if name.endswith(("to_q", "to_k", "to_v", "to_out.0"))]
    lora = sum(lora_rank * (m.in_features + m.out_features) for m in layers)
    whole = sum(p.numel() for p in unet.parameters())
    ways = {"the whole U-Net": whole, f"LoRA of rank {lora_rank}": lora, "one word": row}
    d = Drawing(900, 200)
    for i, (name, count) in enumerate(ways.items()):
        y = 30 + 54 * i
        d.text(170, y + 24, name, anchor="end", size=13, bold=True)
        d.box(190, y, 560, 38, [], "network", dashed=True)
        d.box(190, y, max(3.0, 560 * count / whole), 38, [], "latents", lit=True)
        d.text(764, y + 24, f"{count:,}", anchor="start", size=13, mono=True)
    d.text(
        190,
        192,
        "yellow: numbers that are trained, true to scale but never thinner than a hair; the rest stays as it is",
        anchor="start",
        size=11,
        colour=FAINT,
    )
    return d.shown("Numbers that are trained: " + ", ".join(f"{name} {count:,}" for name, count in ways.items()) + ".")


def backwards(num_steps: int = 6):
    """The loop run the other way: from a picture to its noise, and forwards again."""
    steps = whole_number("num_steps", num_steps, 2, 12)
    d = Drawing(900, 190)
    noise = d.box(10, 66, 116, 54, ["noise", "of this picture"], "latents", lit=True)
    picture = d.box(784, 66, 100, 54, ["picture", "encoded"], "pixels")
    x = [748 - i * 594 / steps for i in range(steps + 1)]
    for i in range(steps):
        d.arrow((x[i], 62), ((x[i] + x[i + 1]) / 2, 40), (x[i + 1], 62), colour=RED)
        d.arrow((x[i + 1], 124), ((x[i] + x[i + 1]) / 2, 146), (x[i], 124), colour=BLUE)
    for place in x:
        d.circle(place, 93, 5)
    d.text(450, 28, "backwards: add the noise that the U-Net finds", size=12, colour=RED)
    d.text(450, 172, "forwards: take the noise away that it finds, with the same prompt or another", size=12, colour=BLUE)
    d.arrow(picture.left, (x[0] + 6, 93), colour=FAINT)
    d.arrow((x[-1] - 6, 93), noise.right, colour=FAINT)
    return d.shown("A row of latents between a picture and its noise: arrows lead backwards above, and forwards below.")


def inpainting():
    """One step of keeping what lies outside of a mask."""
    d = Drawing(900, 220)
    state = d.box(16, 28, 150, 46, ["latents", "of this step"], "latents")
    net = d.box(216, 28, 150, 46, ["U-Net, scheduler"], "network")
    inside = d.box(416, 28, 150, 46, ["a step further"], "latents")
    given = d.box(16, 144, 150, 46, ["your picture", "encoded"], "pixels")
    noised = d.box(416, 144, 150, 46, ["the same, as noisy", "as the next step"], "latents")
    d.box(726, 86, 158, 50, ["latents", "of the next step"], "latents", lit=True)
    d.arrow(state.right, net.left)
    d.arrow(net.right, inside.left)
    d.arrow(given.right, noised.left, label="+ noise of the next level")
    d.arrow(inside.right, (640, 51), (640, 100), (726, 100), colour=GREEN)
    d.arrow(noised.right, (640, 167), (640, 122), (726, 122), colour=BLUE)
    d.text(600, 40, "inside the mask", size=12, colour=GREEN, anchor="start")
    d.text(600, 186, "outside of it", size=12, colour=BLUE, anchor="start")
    return d.shown(
        "Inside the mask the step goes on as always; outside, the picture itself with the right noise takes its place."
    )


@door
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
    d, left, width = Drawing(912, 356), 146, 76
    d.text(left - 12, 49, "tokens", anchor="end", size=12, colour=FAINT)
    d.text(left - 12, 138, "+ their places", anchor="end", size=12, colour=FAINT)
    tops = {"token rows": 78, "sums": 150, "finished vectors": 264}
    for i, (name, y) in enumerate(tops.items()):
        d.text(left - 12, y + 14, f"{i + 1}  {name}", anchor="end", size=12, bold=True, colour=RED)
        d.text(left - 12, y + 28, f"({len(ids)}, {wide})", anchor="end", size=11, mono=True)
        d.arrow((left - 4, y + 16), (896, y + 16), colour=RED, dashed=True, head=False, width=1)
    for i, position in enumerate(positions):
        x = left + i * (width + 5) + (12 if position == positions[-1] else 0)
        piece = pieces[position].replace("</w>", "").replace("<|startoftext|>", "start").replace("<|endoftext|>", "end")
        piece = "padding" if position > ids.index(tokenizer.eos_token_id) else piece
        token = d.box(x, 28, width, 32, [piece if len(piece) < 10 else piece[:8] + ".."], "words")
        d.text(x + width / 2, 20, f"{position}", size=11, mono=True, colour=FAINT)
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


@door
def one_row(components, word: str = "<word>"):
    """How a word of one's own is trained: caption, table of rows, text encoder, U-Net, loss, and the gradient's way back.

    Args:
        word: as it stands in the captions.
    """
    table = components.text_encoder.get_input_embeddings().weight
    word = one_text("word", word)
    rows, wide = table.shape
    d = Drawing(900, 216)
    caption = d.box(16, 64, 140, 50, ["caption", f"a {word} ..."], "words")
    d.box(192, 28, 138, 122, kind="words")
    d.text(261, 46, f"{rows:,} rows", size=11, mono=True)
    for i in range(4):
        d.box(202, 56 + 16 * i, 118, 9, kind="words")
    d.box(202, 56 + 16 * 4 + 2, 118, 22, [f"{wide} numbers"], "latents", lit=True)
    encoder = d.box(382, 64, 120, 50, ["text encoder"], "network")
    net = d.box(546, 64, 150, 50, ["U-Net", "predicts the noise"], "network")
    loss = d.box(740, 64, 140, 50, ["loss", "squared error"], "sum")
    noisy = d.box(536, 10, 170, 32, ["your picture, noised"], "pixels")
    d.arrow(caption.right, (192, 89))
    d.arrow((330, 89), encoder.left)
    d.arrow(encoder.right, net.left)
    d.arrow(net.right, loss.left)
    d.arrow(noisy.bottom, net.top)
    d.arrow(
        loss.bottom,
        (810, 184),
        (261, 184),
        (261, 150),
        colour=RED,
        width=2.5,
        label="the gradient, back through both networks",
        above=8,
    )
    d.text(450, 204, "both networks stay as they are; the yellow row is all that moves", size=12, colour=FAINT)
    return d.shown(
        f"A caption with {word} picks rows of the table; text encoder and U-Net turn them into a noise prediction for a noised "
        f"picture; the loss sends its gradient back through both to one row of {wide} numbers, which alone is trained."
    )
