"""Diagrams of taking hold: a loss that steers, what is trained, the loop backwards, a mask."""

from __future__ import annotations

from ..arguments import door, whole_number
from ..runtime.runtimes import original
from .svg import BLUE, FAINT, GREEN, RED, Drawing


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
        label="the gradient: which way would the loss fall?",
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
    unet = original(components.unet)
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
    x = [760 - i * 620 / steps for i in range(steps + 1)]
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
