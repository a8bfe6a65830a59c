"""A denoiser trained from nothing: the training objective, an average of weights, a sampler, and what to train on.

The networks come from `tiny_nets`; they take noisy data and a `level` from 0 (clean) to 1 (nothing but noise).
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import nn

from .. import gallery
from ..arguments import check_tensor, kind_of, real_number, several, whole_number
from ..notebook.stepwise import OnStep, Training
from .tiny_nets import Block as Block
from .tiny_nets import PerfectDenoiser as PerfectDenoiser
from .tiny_nets import PlaneNet as PlaneNet
from .tiny_nets import TinyUNet as TinyUNet
from .tiny_nets import perfect_noise as perfect_noise
from .tiny_nets import waves as waves

TRAINING_STEPS = 1000  # a level is a timestep in thousandths


def denoising_loss(net: Callable, x0: torch.Tensor, alphas_cumprod: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The training objective: mix data with noise, predict the noise, square the error (Ho et al. 2020).

    The same as `noise_loss`, for a network without a prompt.

    Args:
        net: called with noisy data and its levels, (n,).
        x0: (n, ...), the data.
        alphas_cumprod: (1000,), the noise schedule.
        generator: of the CPU; draws levels, one from each n-th of the schedule, and noise.

    Returns:
        a scalar, differentiable.
    """
    _check_data("x0", x0)
    if not isinstance(generator, torch.Generator):
        raise ValueError(
            f"generator must be a torch.Generator, not {kind_of(generator)}: torch.Generator().manual_seed(0) is one."
        )
    n, steps = len(x0), len(alphas_cumprod)
    t = ((torch.arange(n) + torch.rand(n, generator=generator)) / n * steps).long().clamp(max=steps - 1)
    noise = torch.randn(x0.shape, generator=generator).to(x0)
    alpha = alphas_cumprod[t].to(x0).view(-1, *[1] * (x0.ndim - 1))
    noisy = alpha.sqrt() * x0 + (1 - alpha).sqrt() * noise
    return (net(noisy, t.to(x0) / steps) - noise).square().mean()


class NetTraining(Training):
    """A `Training` of a whole network; what it results in is a copy of it, or the running average of its weights."""

    def __init__(self, net: nn.Module, loss: Callable, learning_rate: float = 1e-3, ema: float | None = None):
        """
        Args:
            loss: called with the network; draws a batch and returns its loss.
            ema: how much of the average of the weights stays at each step, such as 0.99; None keeps no average.
        """
        self.net, self.ema = net, None if ema is None else real_number("ema", ema, 0, 1)
        if not callable(loss):
            raise ValueError(f"loss must be a function of the network, not {kind_of(loss)}: it draws a batch, returns its loss.")
        self.average = copy.deepcopy(net).requires_grad_(False)
        super().__init__(net.parameters(), lambda: loss(net), lambda losses: self.learned(), learning_rate)

    def step(self) -> float:
        """Take one step; returns its loss."""
        loss = super().step()
        if self.ema is not None:
            with torch.no_grad():
                for mean, now in zip(self.average.parameters(), self.net.parameters()):
                    mean.lerp_(now, 1 - self.ema)
        return loss

    def learned(self) -> nn.Module:
        """A copy of the network as it is now, or with `ema` of the average of its weights."""
        return copy.deepcopy(self.average if self.ema is not None else self.net).requires_grad_(False)


def fit(
    net: nn.Module,
    loss: Callable,
    *,
    num_steps: int,
    learning_rate: float = 1e-3,
    ema: float | None = None,
    on_step: OnStep | None = None,
) -> nn.Module:
    """Train a network in place, and return a copy of it without gradients, or of the average of its weights.

    Arguments as in `NetTraining` and `Training.run`.
    """
    return NetTraining(net, loss, learning_rate, ema).run(num_steps, on_step)


def run_sigmas(alphas_cumprod: torch.Tensor, num_steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Timesteps (num_steps,) from the last to 0, evenly, and their sigmas (num_steps + 1,) with a 0 at the end: Euler's."""
    steps = len(alphas_cumprod)
    timesteps = np.linspace(steps - 1, 0, whole_number("num_steps", num_steps, 1, steps))
    sigmas = ((1 - alphas_cumprod.double()) / alphas_cumprod.double()).sqrt().cpu()
    between = np.interp(timesteps, np.arange(steps), sigmas)
    return torch.tensor(timesteps).float(), torch.tensor([*between, 0.0]).float()


@torch.no_grad()
def sample(
    net: Callable,
    noise: torch.Tensor,
    alphas_cumprod: torch.Tensor,
    num_steps: int,
    *,
    eta: float = 0.0,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Draw: from noise to data with Euler's steps, or with fresh noise in each.

    Args:
        net: called with noisy data of unit variance and its level; predicts the noise.
        noise: (n, ...), of unit variance.
        eta: 0 follows the path that the noise determines; 1 is Euler ancestral.
        generator: of the fresh noise.

    Returns:
        (num_steps + 1, n, ...), the way in the exploding form, x0 + sigma * noise; the last is the data.
    """
    _check_data("noise", noise)
    eta = real_number("eta", eta, 0, 1)
    timesteps, sigmas = run_sigmas(alphas_cumprod, num_steps)
    path = [noise * sigmas[0]]
    for t, sigma, sigma_next in zip(timesteps, sigmas, sigmas[1:]):
        x = path[-1]
        predicted = net(x / (sigma**2 + 1).sqrt(), t / len(alphas_cumprod))
        up = eta * sigma_next * (1 - sigma_next**2 / sigma**2).sqrt()
        x = x + ((sigma_next**2 - up**2).sqrt() - sigma) * predicted
        fresh = torch.randn(x.shape, generator=generator).to(x) if eta else 0.0
        path.append(x + up * fresh)
    return torch.stack(path)


class AsUNet:
    """A network under the signature of diffusers' U-Nets, so that `denoise` draws with it; it reads no prompt."""

    def __init__(self, net: Callable):
        self.net = net

    def __call__(self, x: torch.Tensor, timestep, context=None, return_dict: bool = False) -> tuple[torch.Tensor]:
        """A tuple of the prediction, (n, c, h, w), at a timestep of 0 to 1000: one number, or one for each, (n,)."""
        level = torch.as_tensor(timestep).to(x) / TRAINING_STEPS
        return (self.net(x, level),)


def icon_pictures(icons: list, size: int = 16) -> torch.Tensor:
    """Icons of the gallery with their transparency, (n, 4, size, size), of -1 to 1: red, green, blue times alpha, and alpha.

    Args:
        size: pixels a side, at most the thumbnails' 32; areas are averaged.
    """
    icons = several("icons", icons, "gallery.find gives such.")
    if not icons or not all(isinstance(icon, gallery.Icon) for icon in icons):
        raise ValueError(f"icons={icons!r:.60} holds no icon, or something else: gallery.find and gallery.icons give such.")
    side = (whole_number("size", size, 1, gallery.THUMBNAIL),) * 2
    averaged = lambda picture: np.asarray(picture.resize(side, Image.Resampling.BOX), dtype=np.float32) / 255  # noqa: E731
    dark = np.array(gallery.BACKGROUNDS["black"]) / 255
    pictures = []
    for icon in icons:
        white, black = (averaged(icon.picture(background)) for background in ("white", "black"))
        clear = ((white - black) / (1 - dark)).mean(axis=2, keepdims=True).clip(0, 1)  # how much of the background shows
        pictures.append(np.concatenate([white - clear, 1 - clear], axis=2))
    return torch.tensor(np.stack(pictures), dtype=torch.float32).permute(0, 3, 1, 2) * 2 - 1


def on_white(x: torch.Tensor) -> list[Image.Image]:
    """What `icon_pictures` made, or a network drew, (n, 4, h, w), as PIL pictures on white."""
    check_tensor("x", x, "(n, 4, h, w)", "icon_pictures gives such")
    values = ((x.detach().cpu() + 1) / 2).clamp(0, 1)
    shown = (values[:, :3] + 1 - values[:, 3:]).clamp(0, 1).permute(0, 2, 3, 1)  # (n, h, w, 3)
    return [Image.fromarray((picture.numpy() * 255).round().astype("uint8")) for picture in shown]


def nearest(drawn: torch.Tensor, data: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each drawing the root mean square distance to the nearest of the data, and which that is: (n,) and (n,).

    Args:
        drawn: (n, ...).
        data: (m, ...), of the same shape behind the first dimension.
    """
    _check_data("drawn", drawn)
    _check_data("data", data)
    if drawn.shape[1:] != data.shape[1:]:
        raise ValueError(f"drawn {tuple(drawn.shape)} and data {tuple(data.shape)} differ in more than how many they are.")
    apart = torch.cdist(drawn.flatten(1), data.flatten(1)) / drawn[0].numel() ** 0.5  # (n, m)
    return tuple(apart.min(dim=1))


def _check_data(argument: str, value) -> None:
    """A ValueError unless the value is a tensor of real numbers with a thing at least."""
    if not torch.is_tensor(value) or not value.is_floating_point() or value.ndim < 2 or 0 in value.shape:
        raise ValueError(
            f"{argument} must be a tensor of real numbers, (n, 2) points or (n, c, h, w) pictures, not {kind_of(value)}."
        )
