"""Two denoisers small enough to be trained in seconds, of points in the plane and of small pictures, and the perfect one.

All take noisy data and a `level` from 0 (clean) to 1 (nothing but noise). For diffusion that is t / 1000 of the training
timestep t; for flow matching it is the time itself.
"""

from __future__ import annotations

import contextlib
import math

import numpy as np
import torch
from torch import nn

from ..arguments import check_tensor, kind_of, real_number, seed_number, whole_number
from ..runtime import threads


def waves(level: torch.Tensor, count: int = 8) -> torch.Tensor:
    """Sines and cosines of a level at `count` frequencies: (n,) becomes (n, 2 * count).

    From level 0 to 1 the first makes half a turn, each further one 2**0.5 times as much as the one before.

    A network reads these far better than the number itself (Ho et al. 2020, after Vaswani et al. 2017).
    """
    turns = math.pi * 2 ** (torch.arange(count, device=level.device) / 2)  # (count,)
    angles = level[:, None] * turns  # (n, count)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class PlaneNet(nn.Module):
    """A denoiser of points in the plane: a multilayer perceptron of a few thousand numbers."""

    def __init__(self, width: int = 64, depth: int = 3, *, seed: int = 0):
        """
        Args:
            width: of every hidden layer.
            depth: how many hidden layers.
            seed: of the weights; torch's own generator stays as it is.
        """
        super().__init__()
        width, depth = whole_number("width", width, 1, 4096), whole_number("depth", depth, 1, 64)
        with _seeded(seed):
            sizes = [2 + 16] + [width] * depth
            layers = [layer for ins, outs in zip(sizes, sizes[1:]) for layer in (nn.Linear(ins, outs), nn.SiLU())]
            self.layers = nn.Sequential(*layers, nn.Linear(width, 2))
        threads.suit(self, 32)  # a second thread gains from 4096 points on; below it only costs

    def forward(self, x: torch.Tensor, level) -> torch.Tensor:
        """What to predict, noise or velocity, (n, 2), of x (n, 2) at a level: a number of 0 to 1, or one for each, (n,)."""
        _check_input(x, 2, "(n, 2)")
        return self.layers(torch.cat([x, waves(each_level(level, x))], dim=1))


class Block(nn.Module):
    """Two convolutions beside a way past them, between which the level is added, as in Stable Diffusion's U-Net."""

    def __init__(self, width: int, time_width: int):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(8, width), nn.Conv2d(width, width, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(8, width), nn.Conv2d(width, width, 3, padding=1)
        self.time = nn.Linear(time_width, width)

    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """x (n, width, h, w) and what says the level, (n, time_width)."""
        inside = self.conv1(nn.functional.silu(self.norm1(x))) + self.time(time)[:, :, None, None]
        return x + self.conv2(nn.functional.silu(self.norm2(inside)))


class TinyUNet(nn.Module):
    """A denoiser of small pictures or latents: down, up, one skip, and the input itself on a way past all; 140,000 numbers."""

    def __init__(self, channels: int = 4, width: int = 32, *, seed: int = 0):
        """
        Args:
            channels: of the pictures: 4 for latents or RGB with transparency, 3 for RGB.
            width: channels at half of the resolution, a multiple of 8; there are twice as many at a quarter.
            seed: of the weights; torch's own generator stays as it is.
        """
        super().__init__()
        self.channels, width = whole_number("channels", channels, 1, 64), whole_number("width", width, 8, 512)
        if width % 8:
            raise ValueError(f"width={width} must be a multiple of 8: the norms work on eight groups of channels.")
        with _seeded(seed):
            self.time = nn.Sequential(nn.Linear(16, 64), nn.SiLU())
            self.enter = nn.Conv2d(channels, width, 4, stride=2, padding=1)
            self.before = Block(width, 64)
            self.down = nn.Conv2d(width, 2 * width, 2, stride=2)
            self.middle = Block(2 * width, 64)
            self.up = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
            self.join = nn.Conv2d(2 * width, width, 3, padding=1)
            self.leave = nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1)
            self.past = nn.Linear(64, channels)

    def forward(self, x: torch.Tensor, level) -> torch.Tensor:
        """What to predict, (n, c, h, w), of x (n, c, h, w) at a level: a number of 0 to 1, or one for each, (n,).

        Height and width are multiples of 4.
        """
        _check_input(x, self.channels, "(n, channels, h, w)")
        if x.shape[2] % 4 or x.shape[3] % 4:
            raise ValueError(f"x is {x.shape[3]} x {x.shape[2]}: width and height must be multiples of 4, it is halved twice.")
        time = self.time(waves(each_level(level, x)))  # (n, 64)
        kept = self.before(self.enter(x), time)  # (n, width, h / 2, w / 2)
        small = self.middle(self.down(kept), time)  # (n, 2 * width, h / 4, w / 4)
        joined = self.join(torch.cat([self.up(small), kept], dim=1))  # (n, width, h / 2, w / 2): the skip
        return self.leave(nn.functional.silu(joined)) + self.past(time)[:, :, None, None] * x


def perfect_noise(noisy: torch.Tensor, alpha: float, data: torch.Tensor) -> torch.Tensor:
    """The noise prediction of a perfect denoiser where the data are all there is: `plane.exact_noise` in the preserving form.

    Args:
        noisy: (n, ...), sqrt(alpha) * x0 + sqrt(1 - alpha) * noise.
        alpha: the share of the data in the variance, between 0 and 1.
        data: (m, ...), of the same shape behind the first dimension.

    Returns:
        (n, ...). The x0 behind it is the mean of the data, each weighed by how likely it is behind noisy.
    """
    _check_numbers("noisy", noisy)
    _check_numbers("data", data)
    alpha = real_number("alpha", alpha)
    if not 0 < alpha < 1:
        raise ValueError(f"alpha={alpha} must lie between 0 and 1: noisy data are a mixture.")
    if noisy.shape[1:] != data.shape[1:]:
        raise ValueError(f"noisy {tuple(noisy.shape)} and data {tuple(data.shape)} differ in more than how many they are.")
    x, known = noisy.flatten(1).double(), alpha**0.5 * data.flatten(1).double()  # (n, d), (m, d)
    likely = torch.softmax(-torch.cdist(x, known).square() / (2 * (1 - alpha)), dim=1)  # (n, m), rows sum to 1
    return ((x - likely @ known) / (1 - alpha) ** 0.5).view(noisy.shape).to(noisy.dtype)


class PerfectDenoiser:
    """What `perfect_noise` says, called as a network is: with noisy data and one level for all."""

    def __init__(self, data: torch.Tensor, alphas_cumprod: torch.Tensor):
        """
        Args:
            data: (m, ...), all there is.
            alphas_cumprod: (1000,), the noise schedule; between its timesteps sigma is interpolated, as samplers do.
        """
        _check_numbers("data", data)
        check_tensor("alphas_cumprod", alphas_cumprod, "(steps)", "a scheduler has it")
        self.data, alphas = data, alphas_cumprod.detach().cpu().double()
        self.sigmas = ((1 - alphas) / alphas).sqrt().numpy()

    def __call__(self, x: torch.Tensor, level) -> torch.Tensor:
        """The noise in x, (n, ...), at a level of 0 to 1."""
        level = real_number("level", float(level), 0, 1)
        sigma = float(np.interp(level * len(self.sigmas), range(len(self.sigmas)), self.sigmas))
        return perfect_noise(x, 1 / (1 + sigma**2), self.data)


def each_level(level, x: torch.Tensor) -> torch.Tensor:
    """Levels as (n,), beside x: of one number for all, or of one for each."""
    try:
        level = torch.as_tensor(level).to(x)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(
            f"level={level!r:.60} must be a number of 0 (clean) to 1 (nothing but noise), or one for each."
        ) from None
    if not ((level >= 0) & (level <= 1)).all():
        raise ValueError("level must lie between 0 (clean) and 1 (nothing but noise): divide a timestep by 1000.")
    if level.shape not in ((), (len(x),)):
        raise ValueError(f"level has the shape {tuple(level.shape)}; give one number for all, or one for each of {len(x)}.")
    return level.expand(len(x))


def _check_numbers(argument: str, value) -> None:
    if not torch.is_tensor(value) or not value.is_floating_point() or value.ndim < 2 or 0 in value.shape:
        raise ValueError(
            f"{argument} must be a tensor of real numbers, (n, 2) points or (n, c, h, w) pictures, not {kind_of(value)}."
        )


def _check_input(x, channels: int, shape: str) -> None:
    if not torch.is_tensor(x) or x.ndim != len(shape.split(", ")) or x.shape[1] != channels:
        raise ValueError(f"x must be a tensor {shape.replace('channels', str(channels))}, not {kind_of(x)}.")


@contextlib.contextmanager
def _seeded(seed: int):
    """While this lasts torch's own generator begins at a seed; afterwards it is where it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_number("seed", seed))
        yield
