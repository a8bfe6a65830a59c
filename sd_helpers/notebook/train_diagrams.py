"""Diagrams of training: one step of a denoiser's, and the small U-Net that a notebook builds."""

from __future__ import annotations

from ..arguments import whole_number
from .svg import BLUE, FAINT, RED, Drawing


def denoiser_training():
    """One step of training a denoiser: data and noise are mixed, the network says the noise, the error goes back into it."""
    d = Drawing(900, 236)
    data = d.box(16, 36, 130, 46, ["data", "x0"], "pixels")
    noise = d.box(16, 152, 130, 46, ["noise", "drawn anew"], "latents")
    level = d.box(196, 152, 130, 46, ["level t", "drawn anew"], "sum")
    mixed = d.box(196, 36, 130, 46, ["noisy", "sqrt(a) x0 + .."], "latents")
    net = d.box(396, 36, 130, 46, ["network", "its weights"], "network", lit=True)
    said = d.box(586, 36, 110, 46, ["prediction"], "latents")
    loss = d.box(760, 96, 120, 46, ["loss", "mean square"], "sum")
    d.arrow(data.right, mixed.left)
    d.arrow((noise.x + noise.width, 164), (170, 164), (170, 72), (196, 72))
    d.arrow(level.top, mixed.bottom)
    d.arrow(level.right, (461, 175), net.bottom)
    d.arrow(mixed.right, net.left)
    d.arrow(net.right, said.left)
    d.arrow(said.right, (820, 59), loss.top)
    d.arrow((81, 198), (81, 218), (800, 218), (800, 142), colour=BLUE, label="the noise itself is the right answer", above=6)
    d.arrow((840, 96), (840, 12), (461, 12), net.top, colour=RED, width=2.5)
    d.text(650, 27, "the gradient changes the weights", size=11, mono=True, colour=RED)
    return d.shown(
        "Data and fresh noise are mixed at a random level; the network, which sees mixture and level, predicts the noise; "
        "the mean square of its error is the loss, whose gradient changes the weights."
    )


def tiny_u_net(net, side: int = 16):
    """The small U-Net of `sd_helpers.beyond.tiny_nets`: its parts by name, with the shapes of what flows between them.

    Args:
        net: a `TinyUNet`; channels and counts are read off it.
        side: height and width of the pictures, a multiple of 4.

    Returns:
        IPython.display.HTML

    Raises:
        ValueError: no such network, or another side.
    """
    parts = ("enter", "before", "down", "middle", "up", "join", "leave", "past", "time")
    if not all(hasattr(net, part) for part in parts):
        raise ValueError(f"net must be a TinyUNet, with the parts {', '.join(parts)}, not {type(net).__name__}.")
    side = whole_number("side", side, 4, 4096)
    if side % 4:
        raise ValueError(f"side={side} must be a multiple of 4: the network halves it twice.")
    count = {part: f"{sum(p.numel() for p in getattr(net, part).parameters()):,}" for part in parts}
    width, deep = net.enter.out_channels, net.down.out_channels
    channels, half, quarter = net.channels, side // 2, side // 4
    d = Drawing(900, 330)

    def part(name, x, y, *, lit=False):
        return d.box(x, y, 88, 44, [name, count[name]], "network", lit=lit)

    shape = lambda *sides: f"({', '.join(map(str, sides))})"  # noqa: E731
    given, out = d.box(14, 60, 84, 44, ["x"], "latents"), d.box(802, 60, 84, 44, ["noise"], "latents")
    enter, before = part("enter", 128, 140), part("before", 250, 140)
    down, middle, up = part("down", 296, 236), part("middle", 406, 236), part("up", 516, 236)
    join, leave, past = part("join", 560, 140), part("leave", 682, 140), part("past", 406, 60)
    plus = (726, 82)
    d.arrow(given.bottom, (56, 162), enter.left)
    d.arrow(enter.right, before.left)
    d.arrow((310, 184), (310, 236))
    d.arrow(down.right, middle.left)
    d.arrow(middle.right, up.left)
    d.arrow((590, 236), (590, 184))
    d.arrow(before.right, join.left, colour=BLUE, width=2.5, label=f"the skip  {shape(width, half, half)}", above=7)
    d.arrow(join.right, leave.left)
    d.arrow(leave.top, (726, 93))
    d.arrow(given.right, past.left, label=shape(channels, side, side))
    d.arrow(past.right, (715, 82), label="x, as loud as the level says")
    d.circle(*plus, 11, filled=False)
    d.text(plus[0], plus[1] + 5, "+", size=16)
    d.arrow((737, 82), out.left)
    d.text(450, 298, f"{shape(deep, quarter, quarter)}", size=11, mono=True)
    d.text(14, 316, f"level: {count['time']} numbers turn it into {net.past.in_features}, which before, middle and past read",
           anchor="start", size=11, colour=FAINT)  # fmt: skip
    d.text(14, 26, "numbers in each part; in brackets the shape of what flows: channels, height, width",
           anchor="start", size=11, colour=FAINT)  # fmt: skip
    total = sum(p.numel() for p in net.parameters())
    return d.shown(
        f"A U-Net of {total:,} numbers: enter to {shape(width, half, half)}, down to {shape(deep, quarter, quarter)}, up again, "
        "joined with what was kept before going down, leave; the input itself is added at the end, scaled by the level."
    )
