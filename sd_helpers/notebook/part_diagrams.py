"""Diagrams of single parts: the autoencoder and the U-Net."""

from __future__ import annotations

from ..arguments import door
from ..runtime.runtimes import original
from .svg import FAINT, Drawing


@door
def autoencoder(vae, picture_size: int | None = None):
    """The autoencoder, stage by stage, with the distribution in its middle.

    Args:
        picture_size: side of a picture in pixels; None takes what the model was made for.
    """
    side, channels = picture_size or vae.config.sample_size, vae.config.block_out_channels
    deepest, latent = side // 2 ** (len(channels) - 1), vae.config.latent_channels
    d = Drawing(900, 330)

    def row(y, stages, kinds, forward=True):
        width, gap = 118, (860 - 118 * len(stages)) / max(1, len(stages) - 1)
        boxes = [d.box(20 + i * (width + gap), y, width, 62, lines, kind) for i, (lines, kind) in enumerate(zip(stages, kinds))]
        for one, other in zip(boxes, boxes[1:]):
            d.arrow(one.right, other.left) if forward else d.arrow(other.left, one.right)
        return boxes

    shape = lambda c, i: f"({c}, {side // 2**i}, {side // 2**i})"  # noqa: E731
    down = [[f"down {i}", shape(c, min(i + 1, len(channels) - 1))] for i, c in enumerate(channels)]
    up = [[f"up {i}", shape(c, len(channels) - 1 - min(i + 1, len(channels) - 1))] for i, c in enumerate(channels[::-1])]
    small = f"{deepest}, {deepest}"
    # From here the left half of the drawing is pixels, the right half latents.
    encoder = row(
        34,
        [["picture", shape(3, 0)], *down, ["to moments", f"({2 * latent}, {small})"]],
        ["pixels", *["network"] * (len(down) + 1)],
    )
    row(
        234,
        [["picture", shape(3, 0)], *up[::-1], ["from latents", f"({latent}, {small})"]],
        ["pixels", *["network"] * (len(up) + 1)],
        False,
    )
    d.text(20, 24, "encoder", anchor="start", size=11, colour=FAINT)
    d.text(20, 226, "decoder", anchor="start", size=11, colour=FAINT)
    mean = d.box(560, 122, 96, 36, ["mean"], "latents")
    spread = d.box(560, 168, 96, 36, ["spread"], "latents")
    x, y = encoder[-1].bottom
    d.arrow((x - 20, y), (x - 20, 108), (608, 108), mean.top)
    d.arrow((x - 20, 108), (546, 108), (546, 186), spread.left, head=True)
    sample = d.box(684, 142, 86, 44, ["sample", "or mean"], "sum")
    d.arrow(mean.right, (670, 140), (670, 158), (684, 158))
    d.arrow(spread.right, (670, 186), (670, 170), (684, 170))
    scaled = d.box(796, 142, 90, 44, ["latents", f"x {vae.config.scaling_factor:.5f}"], "latents", lit=True)
    d.arrow(sample.right, scaled.left)
    d.arrow(scaled.bottom, (scaled.bottom[0], 234), label="")
    d.text(scaled.bottom[0] - 8, 216, f"/ {vae.config.scaling_factor:.5f}", anchor="end", size=11, mono=True)
    times = 3 * side * side / (latent * deepest * deepest)
    d.text(20, 150, f"{3 * side * side:,} numbers in the picture", anchor="start", size=12)
    d.text(20, 170, f"{latent * deepest * deepest:,} in the latents, {times:.0f} times fewer", anchor="start", size=12)
    return d.shown(
        f"The autoencoder: a picture (3, {side}, {side}) shrinks through {len(channels)} blocks to a mean and a spread of "
        f"({latent}, {small}) each; a sample, scaled, is the latents; the decoder takes the same way back."
    )


@door
def u_net(unet, lit: int | None = None):
    """The U-Net as a U: levels, shapes, skip connections, where time comes in and where the prompt is read.

    Args:
        lit: a level to light up on both sides, 0 at the top.
    """
    unet = original(unet)
    channels, side = unet.config.block_out_channels, unet.config.sample_size
    levels = len(channels)
    gap, top = 74, 74
    d = Drawing(900, top + gap * levels + 108)
    readers = lambda block: sum(name.endswith("attn2") for name, _ in block.named_modules())  # noqa: E731
    total_skips = 0

    def block(x, y, name, module, c, s, on):
        reads = readers(module)
        box = d.box(x, y, 190, 50, [name, f"({c}, {s}, {s})"], "network", lit=on)
        if reads:
            d.box(x + 152, y - 9, 50, 18, [], "words")
            d.text(x + 177, y + 4, f"reads {reads}x", size=9)
        return box

    downs, ups = [], []
    for i, c in enumerate(channels):
        s, indent = side // 2**i, 26 * i
        downs.append(block(40 + indent, top + gap * i, f"down {i}", unet.down_blocks[i], c, s, lit == i))
        ups.append(block(670 - indent, top + gap * i, f"up {levels - 1 - i}", unet.up_blocks[levels - 1 - i], c, s, lit == i))
    mid = block(355, top + gap * levels, "middle", unet.mid_block, channels[-1], side // 2 ** (levels - 1), False)
    for i, (one, other) in enumerate(zip(downs, ups)):
        count = len(unet.up_blocks[levels - 1 - i].resnets)
        total_skips += count
        d.arrow(one.right, other.left, dashed=True, label=f"{count} skip connections", colour="#7a3e68", above=5)
    for one, other in zip(downs, downs[1:]):
        d.arrow((one.bottom[0], one.bottom[1]), (one.bottom[0], other.top[1]))
    for one, other in zip(ups, ups[1:]):
        d.arrow((one.bottom[0], other.top[1]), one.bottom)
    d.arrow(downs[-1].bottom, (downs[-1].bottom[0], mid.left[1]), mid.left)
    d.arrow(mid.right, (ups[-1].bottom[0], mid.right[1]), ups[-1].bottom)
    d.text(135, 24, f"noisy latents ({unet.config.in_channels}, {side}, {side})", size=12)
    d.arrow((135, 30), downs[0].top)
    d.text(765, 24, f"noise prediction ({unet.config.out_channels}, {side}, {side})", size=12)
    d.arrow(ups[0].top, (765, 30))
    time = d.box(340, 14, 220, 36, ["timestep, waves, vector"], "sum")
    resnets = sum(hasattr(module, "time_emb_proj") for module in unet.modules())
    d.arrow(time.left, (downs[0].right[0] - 60, 34), (downs[0].right[0] - 60, top), colour=FAINT)
    d.arrow(time.right, (ups[0].left[0] + 60, 34), (ups[0].left[0] + 60, top), colour=FAINT)
    d.text(450, 68, f"added in every one of the {resnets} residual blocks", size=10, colour=FAINT)
    size = unet.config.cross_attention_dim
    y = d.height - 22
    d.box(40, y - 13, 50, 18, [], "words")
    d.text(
        98,
        y + 1,
        f"self-attention, then cross-attention to the prompt's vectors of {size} numbers, then a small network",
        anchor="start",
        size=11,
    )
    return d.shown(
        f"The U-Net: {levels} levels, {channels[0]} to {channels[-1]} channels, {side} to {side // 2 ** (levels - 1)} places "
        f"along a side; {total_skips} skip connections lead across; time enters {resnets} residual blocks."
    )
