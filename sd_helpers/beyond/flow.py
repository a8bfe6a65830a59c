"""Flow matching: straight lines from data to noise, and what a perfect velocity is where the data are a few points.

Here s is the share of the noise: x = (1 - s) * x0 + s * noise, from 0 (data) to 1 (noise), and the velocity is noise - x0.
Sources: Lipman et al. 2023 (Flow Matching for Generative Modeling), Liu et al. 2022 (Flow Straight and Fast: Learning to Generate
and Transfer Data with Rectified Flow), Esser et al. 2024 (Scaling Rectified Flow Transformers; the shift, equation 23).
"""

from __future__ import annotations

import torch

from ..arguments import check_tensor, real_number


def exact_velocity(x: torch.Tensor, s: float, points: torch.Tensor) -> torch.Tensor:
    """The marginal velocity where the data are these very points: the mean of noise - x0 over all lines through x at s.

    Args:
        x: (n, 2), places on lines, (1 - s) * x0 + s * noise.
        s: the share of the noise, above 0, to 1.
        points: (m, 2), the data.

    Returns:
        (n, 2): (x - x0) / s, with the mean of the points, weighted by how likely each is the x0 behind x.
    """
    check_tensor("x", x, "(n, 2)", "points in the plane")
    check_tensor("points", points, "(m, 2)", "plane.spiral() gives such")
    s = real_number("s", s, most=1)
    if not s > 0:
        raise ValueError(f"s={s} must be above 0: at 0 there is no noise left, and no line to follow.")
    distances = torch.cdist(x.double(), (1 - s) * points.double()).square()  # (n, m)
    likely = torch.softmax(-distances / (2 * s**2), dim=1)  # (n, m), rows sum to 1
    return ((x - likely @ points.double()) / s).to(x.dtype)


def shifted(s, shift: float):
    """Levels of noise moved towards 1: where a picture of more pixels is as hard to make out as a small one at `s`.

    Args:
        s: a number, or a tensor of any shape, 0 to 1.
        shift: the square root of how many times as many pixels; 1 leaves all as it is, SD3 takes 3.
    """
    shift = real_number("shift", shift)
    if not shift > 0:
        raise ValueError(f"shift={shift} must be above 0: 1 leaves the levels as they are, larger ones move them towards noise.")
    levels = s if torch.is_tensor(s) else torch.tensor(real_number("s", s))
    if not ((levels >= 0) & (levels <= 1)).all():
        raise ValueError("s must lie between 0 (the picture) and 1 (nothing but noise).")
    return shift * s / (1 + (shift - 1) * s)
