"""Diagrams of flow matching: the straight mix beside the bent one, and what stands where Stable Diffusion v1 has its U-Net."""

from __future__ import annotations

import math

from ..arguments import real_number, several
from .svg import BLUE, FAINT, GREEN, RED, Drawing


def straight_line(s: float = 0.4):
    """From x0 to noise in the plane that holds both: diffusion's mix on an arc, flow's on the line, with its velocity.

    Args:
        s: the share of the noise on the line, 0 to 1. The dot on the arc has as much noise for its signal.
    """
    s = real_number("s", s, 0, 1)
    d, corner, reach = Drawing(900, 300), (90.0, 250.0), 200.0
    place = lambda signal, share: (corner[0] + reach * share, corner[1] - reach * signal)  # noqa: E731
    d.arrow(corner, place(0, 1.2), colour=FAINT)
    d.arrow(corner, place(1.15, 0), colour=FAINT)
    d.text(corner[0] - 10, place(1, 0)[1] + 4, "x0", anchor="end", size=13, bold=True)
    d.text(place(0, 1)[0], corner[1] + 22, "noise", size=13, bold=True)
    d.curve([place(math.cos(a / 40 * math.pi / 2), math.sin(a / 40 * math.pi / 2)) for a in range(41)], RED, 2.0)
    d.arrow(place(1, 0), place(0, 1), colour=BLUE, width=2.5)
    here, size = place(1 - s, s), math.hypot(1 - s, s)
    d.arrow(corner, place((1 - s) / size, s / size), colour=FAINT, dashed=True, head=False)
    d.circle(*here, 6, BLUE)
    d.circle(*place((1 - s) / size, s / size), 6, RED)
    d.text(400, 60, "diffusion, preserving form: an arc", anchor="start", size=13, bold=True, colour=RED)
    signal, share = (1 - s) / size, s / size
    d.text(400, 82, f"{signal:.2f} x0 + {share:.2f} noise, shares that square to 1", anchor="start", size=12, mono=True)
    d.text(400, 130, "flow matching: the line", anchor="start", size=13, bold=True, colour=BLUE)
    d.text(400, 152, f"{1 - s:.2f} x0 + {s:.2f} noise, shares that sum to 1", anchor="start", size=12, mono=True)
    d.text(400, 174, "velocity: noise - x0, the same all along it", anchor="start", size=12, mono=True)
    sigma = f"{s / (1 - s):.2f}" if s < 1 else "infinite"
    d.text(400, 222, f"dashed: both dots have sigma = s / (1 - s) = {sigma}", anchor="start", size=12, colour=FAINT)
    d.text(400, 242, "and so differ by a factor only", anchor="start", size=12, colour=FAINT)
    return d.shown(
        f"x0 and noise as two axes; an arc leads from one to the other, diffusion's mix, and below it a straight line, flow's. "
        f"At s = {s:.2f} both have sigma {sigma} and lie on one ray from the corner."
    )


def successors(rows: dict):
    """Machines below one another: what reads the prompt, what predicts and how, what makes pixels.

    Args:
        rows: name of the machine -> three lists of boxes, each a list of lines: texts, networks (one), autoencoders (one).
    """
    if not isinstance(rows, dict) or not rows:
        raise ValueError(f"rows must be a dict of machines, each with texts, a network and an autoencoder, not {rows!r:.60}.")
    d, step = Drawing(900, 40 + 84 * len(rows)), 84
    for x, title in ((110, "reads the prompt"), (478, "predicts, once a step"), (732, "latents to pixels")):
        d.text(x, 24, title, anchor="start", size=12, colour=FAINT)
    told = []
    for i, (name, columns) in enumerate(rows.items()):
        texts, network, vae = (several("rows", column) for column in columns)
        y = 40 + step * i
        d.text(96, y + 34, name, anchor="end", size=12, bold=True)
        boxes = [d.box(110 + 108 * k, y, 100, 58, lines, "words") for k, lines in enumerate(texts)]
        net, end = d.box(478, y, 210, 58, network[0], "network", lit=True), d.box(732, y, 150, 58, vae[0], "pixels")
        d.arrow(boxes[-1].right, net.left, colour=GREEN)
        d.arrow(net.right, end.left)
        told.append(f"{name}: {', '.join(lines[0] for lines in texts)}; {' '.join(network[0])}; {' '.join(vae[0])}")
    return d.shown(". ".join(told))
