"""Diffusion in the plane: pictures of two pixels. What a perfect denoiser says can be computed there, and seen.

Source: Karras et al. 2022 (Elucidating the Design Space of Diffusion-Based Generative Models), equation 57.
"""

from __future__ import annotations

import math

import torch

from ..arguments import check_tensor, one_text, real_number, whole_number


def exact_noise(x: torch.Tensor, sigma: float, points: torch.Tensor) -> torch.Tensor:
    """The noise prediction of a perfect denoiser where the data are these very points.

    Every point could be the x0 behind x; how likely each is, its distance says. The mean of all, so weighted, is the best x0.

    Args:
        x: (n, 2) noisy points, x0 + sigma * noise.
        sigma: the noise level, above 0.
        points: (m, 2), the data.

    Returns:
        (n, 2): (x - x0) / sigma. It is minus sigma times the score, the slope of the noisy data's log density.
    """
    check_tensor("x", x, "(n, 2)", "points in the plane")
    check_tensor("points", points, "(m, 2)", "plane.spiral() gives such")
    sigma = real_number("sigma", sigma)
    if not sigma > 0:
        raise ValueError(f"sigma={sigma} must be above 0: without noise there is nothing to predict.")
    distances = torch.cdist(x.double(), points.double()).square()  # (n, m)
    likely = torch.softmax(-distances / (2 * sigma**2), dim=1)  # (n, m), rows sum to 1
    return ((x - likely @ points.double()) / sigma).to(x.dtype)


def spiral(num_points: int = 200) -> torch.Tensor:
    """Points on a spiral, (num_points, 2), of mean about 0 and unit spread."""
    turn = torch.linspace(0.03, 1, whole_number("num_points", num_points, 2, 10**6)) ** 0.5 * 4.2 * math.pi
    return _standard(torch.stack([turn * turn.cos(), turn * turn.sin()], dim=1))


def moons(num_points: int = 200) -> torch.Tensor:
    """Points on two half moons that reach into each other, (num_points, 2), of mean 0 and unit spread."""
    half = whole_number("num_points", num_points, 2, 10**6) // 2
    one, other = torch.linspace(0, math.pi, half), torch.linspace(0, math.pi, num_points - half)
    upper = torch.stack([one.cos(), one.sin()], dim=1)
    lower = torch.stack([1 - other.cos(), 0.5 - other.sin()], dim=1)
    return _standard(torch.cat([upper, lower]))


def letters(text: str = "SD", num_points: int = 200) -> torch.Tensor:
    """Points spread evenly over the ink of a few letters, (num_points, 2), of mean 0 and unit spread."""
    from PIL import Image, ImageDraw, ImageFont

    text, num_points = one_text("text", text), whole_number("num_points", num_points, 2, 10**6)
    font = ImageFont.load_default(40)
    left, top, right, bottom = font.getbbox(text)
    page = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(page).text((-left, -top), text, fill=255, font=font)
    ink = [(x, -y) for y in range(page.height) for x in range(page.width) if page.getpixel((x, y)) > 127]
    if not ink:
        raise ValueError(f"there is no ink in {text!r}: write a letter or two.")
    chosen = torch.linspace(0, len(ink) - 1, num_points).round().long()
    return _standard(torch.tensor(ink, dtype=torch.float32)[chosen])


def _standard(points: torch.Tensor) -> torch.Tensor:
    points = points - points.mean(dim=0)
    return points / points.std()
