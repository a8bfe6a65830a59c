"""Diagrams of samplers: how a random one splits a step, and plots side by side."""

from __future__ import annotations

import io

from PIL import Image

from ..arguments import real_number, several
from .svg import BLUE, FAINT, GREEN, RED, Drawing


def random_step(sigma: float, sigma_next: float, eta: float = 1.0):
    """A step of a random sampler: down past the next noise level, and up again with fresh noise; both true to scale.

    Args:
        sigma, sigma_next: the noise levels before and after the step, sigma_next the smaller one, above 0.
        eta: how much of it is random: 0 is Euler's step, 1 Euler ancestral's.
    """
    sigma_next = real_number("sigma_next", sigma_next)
    sigma, eta = real_number("sigma", sigma), real_number("eta", eta, 0, 1)
    if not 0 < sigma_next < sigma:
        raise ValueError(f"sigma_next={sigma_next:g} must lie between 0 and sigma={sigma:g}.")
    up = eta * sigma_next * (1 - (sigma_next / sigma) ** 2) ** 0.5
    down = (sigma_next**2 - up**2) ** 0.5
    d, left, right, y = Drawing(900, 236), 60, 560, 120
    x = lambda level: right - (right - left) * level / sigma  # noqa: E731
    d.arrow((left - 20, y), (right + 26, y), colour=FAINT)
    d.text(right + 30, y - 12, "less noise", anchor="end", size=11, colour=FAINT)
    for level, name, place in ((sigma, "sigma", 24), (sigma_next, "sigma_next", 24), (down, "sigma_down", 44), (0.0, "0", 24)):
        d.circle(x(level), y, 5)
        told = name if level == 0 else f"{name} {level:.2f}"
        d.text(x(level), y + place, told, size=11, mono=True, anchor="middle" if level < sigma else "start")
    d.arrow((left, y - 8), ((left + x(down)) / 2, y - 62), (x(down), y - 8), colour=BLUE, width=2.5)
    d.text((left + x(down)) / 2, y - 70, "1: Euler's step, too far", size=12, colour=BLUE)
    if up > 0.02 * sigma_next:
        d.arrow((x(down), y + 52), (x(sigma_next), y + 52), colour=RED, width=2.5)
        d.text((x(down) + x(sigma_next)) / 2, y + 72, "2: fresh noise, back up", size=12, colour=RED)
    # Independent noises add up like the sides of a right angle.
    scale = 170 / sigma_next
    corner, top = (700.0, 196.0), (700.0, 196.0 - up * scale)
    end = (700.0 + down * scale, 196.0)
    d.arrow(corner, end, colour=BLUE, head=False, width=2.5)
    d.arrow(corner, top, colour=RED, head=False, width=2.5)
    d.arrow(end, top, colour=GREEN, head=False, width=2.5)
    d.text((corner[0] + end[0]) / 2, 214, f"sigma_down {down:.2f}", size=11, mono=True, colour=BLUE)
    d.text(692, (196 + top[1]) / 2, f"sigma_up {up:.2f}", size=11, mono=True, colour=RED, anchor="end")
    d.text((end[0] + top[0]) / 2 + 12, (end[1] + top[1]) / 2 - 6, f"sigma_next {sigma_next:.2f}", size=11, mono=True,
           colour=GREEN, anchor="start")  # fmt: skip
    return d.shown(
        f"From sigma {sigma:.2f} a step goes down to sigma_down {down:.2f}, past sigma_next {sigma_next:.2f}; fresh noise of "
        f"sigma_up {up:.2f} brings it back up. sigma_down, sigma_up and sigma_next are the sides of a right-angled triangle."
    )


def side_by_side(figures, alt: str = "", width: int = 860):
    """Plots in a row, as a notebook's output.

    Args:
        figures: from `sd_helpers.plots`, of one height.
        alt: what is to be seen, for those who cannot see it.
        width: of the whole row on the screen, in pixels.

    Returns:
        IPython.display.Image, a PNG.
    """
    from IPython.display import Image as Shown

    drawn = []
    for figure in several("figures", figures, "Give figures from sd_helpers.plots."):
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=100)
        drawn.append(Image.open(file).convert("RGB"))
    if not drawn:
        raise ValueError("figures is empty: give one or more.")
    row = Image.new("RGB", (sum(one.width for one in drawn), max(one.height for one in drawn)), "white")
    for i, one in enumerate(drawn):
        row.paste(one, (sum(other.width for other in drawn[:i]), 0))
    buffer = io.BytesIO()
    row.quantize(64).save(buffer, "PNG", optimize=True)  # plots have few colours
    return Shown(buffer.getvalue(), format="png", width=width, alt=str(alt) or None)
