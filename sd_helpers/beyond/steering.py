"""Steering: from a loss on the picture to a noise prediction that lowers it.

A loss here takes pixels (n, 3, H, W) in [-1, 1] and gives one number for each picture, (n,), small where the wish is fulfilled,
so that pictures drawn together do not disturb each other. All are differentiable.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from PIL import Image

from ..arguments import door, kind_of, one_text, real_number, several, whole_number

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

SCALE = 2.0**10  # of losses while their gradient is taken: in half precision one pixel's share of a mean is too small a number


@door
def steer(
    loss: Callable, strength: float, vae: AutoencoderKL | None, every: int = 1, predict: Callable | None = None
) -> Callable:
    """An `on_noise` for `denoise` that lowers a loss: classifier guidance (Dhariwal and Nichol 2021), with any loss.

    The noise prediction becomes noise_pred + strength * sigma * gradient, which moves the predicted x0 by
    -strength * sigma**2 * gradient. Strength 1 is Bayes' rule where the loss is -log p(what is wanted | noisy latents); a loss on
    the predicted x0, as here, only comes near to that.

    Args:
        loss: pixels (n, 3, H, W) in [-1, 1] to (n,), or to one number for all.
        strength: 0 changes nothing, a negative one goes uphill.
        vae: decodes the predicted x0 for the loss; None gives the loss the predicted x0 itself, (n, 4, h, w).
        every: steer only at step indices divisible by this.
        predict: `noise_predictor(...)` takes the gradient through the U-Net as well; None leaves the U-Net out.

    Raises:
        ValueError: a strength that is no finite number, `every` below 1; while drawing, a loss as in `loss_gradient`.
    """
    _check_loss(loss)
    every = whole_number("every", every, 1, remedy="1 steers at every step, 5 at every fifth.")
    strength = real_number("strength", strength, remedy="0 changes nothing.")

    def on_noise(step):
        if step.index % every:
            return None
        return step.noise_pred + (strength * step.sigma * loss_gradient(step, loss, vae, predict)).to(step.noise_pred)

    return on_noise


@door
def loss_gradient(step, loss: Callable, vae: AutoencoderKL | None, predict: Callable | None = None) -> torch.Tensor:
    """The gradient of a loss on the predicted x0 with respect to x0 + sigma * noise, which is latents / signal.

    Args:
        step: the `Step` that `on_noise` sees.
        loss, vae, predict: as in `steer`. Without `predict` the noise prediction counts as a constant.

    Returns:
        (n, 4, h, w), in float32.

    Raises:
        ValueError: a loss of another shape than (n,) or (), or one that does not depend on its input.
    """
    _check_loss(loss)
    with torch.enable_grad():
        latents = step.latents.detach().requires_grad_()
        noise_pred = step.noise_pred if predict is None else predict(latents, step)
        x0 = step.predict_x0(latents, noise_pred)  # (n, 4, h, w)
        value = loss(x0 if vae is None else decoded(x0, vae))  # (n,) or ()
        if not isinstance(value, torch.Tensor) or tuple(value.shape) not in ((), (len(x0),)):
            given = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise ValueError(f"loss gave {given} for {len(x0)} pictures: return one number each, as with .mean(dim=(1, 2, 3)).")
        if not value.requires_grad:
            raise ValueError("loss does not depend on the pixels it was given: compute it in torch, without detach or no_grad.")
        (gradient,) = torch.autograd.grad(value.sum() * SCALE, latents)
    return gradient.float() * step.signal / SCALE


def _check_loss(loss) -> None:
    if not callable(loss):
        raise ValueError(f"loss must be a function of pixels (n, 3, H, W), not {kind_of(loss)}.")


@door
def decoded(latents: torch.Tensor, vae) -> torch.Tensor:
    """Latents (n, 4, h, w) as pixels (n, 3, H, W), about [-1, 1], float32, not clipped, so that every gradient gets through."""
    return vae.decode(latents / vae.config.scaling_factor).sample.float()


@door
def blueness(pixels: torch.Tensor) -> torch.Tensor:
    """How blue pictures are, (n,): mean of blue less the mean of red and green, -1 (yellow) to 1 (blue), 0 for all greys."""
    red, green, blue = (pixels / 2).mean(dim=(2, 3)).unbind(dim=1)  # of a range of 1, as levels / 255 are
    return blue - (red + green) / 2


@door
def colour_loss(pixels: torch.Tensor, colour) -> torch.Tensor:
    """Mean squared distance of all pixels to one colour, (n,).

    Args:
        colour: a name of `gallery.BACKGROUNDS`, or (red, green, blue) of 0 to 255.

    Raises:
        ValueError: another name, or not three numbers of 0 to 255.
    """
    return palette_loss(pixels, [colour])


@door
def palette_loss(pixels: torch.Tensor, colours) -> torch.Tensor:
    """Mean squared distance of every pixel to the nearest of several colours, (n,); colours as in `colour_loss`."""
    palette = [as_colour(colour) for colour in several("colours", colours)]
    if not palette:
        raise ValueError("colours is empty: give at least one.")
    palette = torch.stack(palette).to(pixels)  # (k, 3)
    distances = (pixels[:, None] - palette[:, :, None, None]).square().mean(dim=2)  # (n, k, H, W)
    return distances.amin(dim=1).mean(dim=(1, 2))


def as_colour(colour) -> torch.Tensor:
    """A named or RGB colour as (3,) in [-1, 1], or a ValueError as in `colour_loss`."""
    from ..gallery import BACKGROUNDS

    rgb = BACKGROUNDS.get(colour, ()) if isinstance(colour, str) else several("colour", colour)
    if len(rgb) != 3 or not all(isinstance(v, numbers.Real) and 0 <= v <= 255 for v in rgb):
        raise ValueError(f"colour={colour!r} must be three numbers of 0 to 255, or a name: {', '.join(BACKGROUNDS)}.")
    return torch.tensor(rgb, dtype=torch.float32) / 127.5 - 1


@door
def symmetry_loss(pixels: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of pictures from their mirror images, left for right, (n,)."""
    return (pixels - pixels.flip(dims=(3,))).square().mean(dim=(1, 2, 3))


@door
def likeness_loss(pixels: torch.Tensor, target: Image.Image, encode: Callable | None = None) -> torch.Tensor:
    """Mean squared distance from a target picture, (n,), pixel by pixel or as an encoder sees both.

    Args:
        target: any PIL picture; brought to the pixels' size.
        encode: a differentiable function of pixels (n, 3, H, W), such as `picture_tower().embed_pictures`; None compares pixels.
    """
    from ..autoencoder import pil_to_tensor
    from ..pictures import to_rgb

    target = to_rgb(target, "target").resize((pixels.shape[3], pixels.shape[2]), Image.Resampling.LANCZOS)
    target = pil_to_tensor(target).to(pixels)  # (1, 3, H, W)
    if encode is not None:
        pixels, target = encode(pixels), encode(target)
    return (pixels - target).square().flatten(1).mean(dim=1)


@door
def prompt_loss(pixels: torch.Tensor, prompt: str) -> torch.Tensor:
    """CLIP guidance's loss, (n,): 1 less the cosine of pictures and prompt by the miniature CLIP; emoji only."""
    from ..metrics import picture_tower

    prompt, tower = one_text("prompt", prompt), picture_tower()
    return 1 - tower.embed_pictures(pixels.float().cpu()) @ tower.embed_prompts([prompt])[0]
