"""A diagram of textual inversion: the one row of the table that a loss reaches back to."""

from __future__ import annotations

from ..arguments import one_text
from .svg import FAINT, RED, Drawing


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
