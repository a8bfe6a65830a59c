"""Diagrams of parts: the autoencoder, the U-Net, and the six functions that a reader writes."""

from __future__ import annotations

from ..arguments import door, kind_of, whole_number
from ..runtime.runtimes import original
from .svg import FAINT, Drawing

TASKS = ("token_ids", "embed", "noise_schedule", "guided_noise", "euler_step", "draw")


@door
def autoencoder(vae, picture_size: int | None = None):
    """The autoencoder, stage by stage, with the distribution in its middle.

    Args:
        picture_size: side of a picture in pixels; None takes what the model was made for.
    """
    channels = vae.config.block_out_channels
    least = 2 ** (len(channels) - 1)  # pixels behind one latent
    side = vae.config.sample_size if picture_size is None else whole_number("picture_size", picture_size, least)
    deepest, latent = side // least, vae.config.latent_channels
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
    if not hasattr(unet, "down_blocks"):
        raise ValueError(f"unet must be a U-Net, such as components.unet, not {kind_of(unet)}.")
    channels, side = unet.config.block_out_channels, unet.config.sample_size
    levels = len(channels)
    lit = None if lit is None else whole_number("lit", lit, 0, levels - 1)
    gap, top = 74, 74
    d = Drawing(900, top + gap * levels + 108)
    readers = lambda block: sum(name.endswith("attn2") for name, _ in block.named_modules())  # noqa: E731
    total_skips = 0

    def block(x, y, name, module, c, s, on):
        reads = readers(module)
        box = d.box(x, y, 190, 50, [name, f"({c}, {s}, {s})"], "network", lit=on)
        if reads:
            d.box(x + 138, y - 11, 64, 20, [], "words")
            d.text(x + 170, y + 3, f"reads {reads}x", size=11)
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
    d.text(450, 68, f"added in every one of the {resnets} residual blocks", size=11.5, colour=FAINT)
    size = unet.config.cross_attention_dim
    y = d.height - 22
    d.box(40, y - 13, 50, 20, [], "words")
    d.text(65, y + 1, "reads", size=11)
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


@door
def six_functions(components, lit=(1, 2, 3, 4, 5, 6)):
    """The functions of notebook 07 in their places, with the shapes that this model gives them.

    Args:
        lit: numbers of those to light up, 1 to 6: what is to be written. The last, `draw`, is the frame around the others.

    Returns:
        IPython.display.HTML

    Raises:
        ValueError: a number that is none of a task.
    """
    lit = {whole_number("lit", number, 1, len(TASKS)) for number in (lit if hasattr(lit, "__iter__") else [lit])}
    (height, width), factor = components.default_size, components.factor
    latent = f"(1, {original(components.unet).config.in_channels}, {height // factor}, {width // factor})"
    positions, wide = components.tokenizer.model_max_length, components.text_encoder.config.hidden_size
    d = Drawing(900, 316)

    def task(number, x, y, w, line):
        return d.box(x, y, w, 50, [f"{number} {TASKS[number - 1]}", line], "sum", lit=number in lit)

    d.box(12, 12, 876, 292, dashed=True)
    d.box(752, 22, 120, 30, ["6 draw"], "sum", lit=6 in lit)
    d.text(742, 42, "all of this, from the prompt to the picture:", anchor="end", size=11, colour=FAINT)
    typed = d.box(32, 66, 104, 50, ["prompt"], "words")
    ids, vectors = task(1, 176, 66, 124, f"(2, {positions})"), task(2, 340, 66, 124, f"(2, {positions}, {wide})")
    task(3, 606, 66, 220, "n timesteps, n + 1 sigmas")
    noise = d.box(32, 182, 104, 50, ["noise", "from the seed"], "latents")
    state = d.box(176, 182, 124, 50, ["latents", latent], "latents")
    predicted, stepped = task(4, 376, 182, 160, "asks the U-Net twice"), task(5, 620, 182, 160, "to the next sigma")
    d.box(800, 252, 72, 40, ["picture"], "pixels")
    for one, other in ((typed, ids), (ids, vectors), (state, predicted)):
        d.arrow(one.right, other.left)
    d.arrow(noise.right, state.left)
    d.text(138, 174, "times the first sigma", anchor="start", size=11, colour=FAINT)
    d.arrow((402, 116), (402, 182))
    d.text(394, 152, "embeddings", anchor="end", size=11, colour=FAINT)
    d.arrow((640, 116), (640, 148), (500, 148), (500, 182))
    d.text(570, 142, "timestep, sigma", size=11, colour=FAINT)
    d.arrow((740, 116), (740, 182))
    d.text(748, 152, "sigma, next sigma", anchor="start", size=11, colour=FAINT)
    d.arrow(predicted.right, stepped.left)
    d.text(578, 198, "noise_pred", size=11, colour=FAINT)
    d.arrow((700, 232), (700, 252), (226, 252), (226, 232))
    d.text(463, 246, "latents with a little less noise", size=11, colour=FAINT)
    d.arrow((260, 232), (260, 280), (800, 280))
    d.text(463, 296, "after the last step: decode, and to bytes", size=11, colour=FAINT)
    written = ", ".join(f"{number} {TASKS[number - 1]}" for number in sorted(lit))
    return d.shown(
        f"Six functions: token_ids and embed lead from the prompt to embeddings (2, {positions}, {wide}); noise_schedule gives "
        f"timesteps and sigmas; in the loop guided_noise and euler_step take noise out of latents {latent}; draw is all of it. "
        f"Lit: {written or 'none'}."
    )
