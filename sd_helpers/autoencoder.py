"""Between pictures and latents: PIL to tensor to latent, and back."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from .arguments import check_tensor, door, whole_number
from .pictures import LARGEST, to_rgb

NOT_FINITE = (
    " hold values that are no finite numbers (nan or inf) and cannot be shown: guidance_scale, a loss or an edit was too strong, "
    "or half precision too narrow (then dtype=torch.float32)."
)
DECODED_AT_ONCE = 2**20  # pixels, of all pictures together


def pil_to_tensor(image: Image.Image) -> torch.Tensor:
    """A picture as (1, 3, H, W) in [-1, 1], the range the autoencoder was trained on."""
    pixels = torch.from_numpy(np.array(to_rgb(image)))  # (H, W, 3) of 0 to 255
    return pixels.permute(2, 0, 1)[None].float() / 127.5 - 1


def tensor_to_pil(pictures: torch.Tensor) -> list[Image.Image]:
    """(n, 3, H, W) in [-1, 1] as n pictures; what lies outside the range is clipped."""
    check_tensor("pictures", pictures, "(n, 3, H, W)")
    if not torch.isfinite(pictures).all():
        raise ValueError("pictures" + NOT_FINITE)
    pixels = ((pictures.float() + 1) * 127.5).clamp(0, 255).round().to(torch.uint8)
    return [Image.fromarray(p) for p in pixels.permute(0, 2, 3, 1).cpu().numpy()]


@door
def pil_to_latent(image: Image.Image, vae, *, generator: torch.Generator | None = None) -> torch.Tensor:
    """Encode a picture.

    Args:
        image: any PIL picture whose sides are multiples of the autoencoder's factor (8 in SD v1).
        generator: draws a sample of the latent distribution; without one, its mean is taken.

    Returns:
        (1, 4, H / factor, W / factor), scaled by `vae.config.scaling_factor` to about unit variance.

    Raises:
        ValueError: not a PIL picture, or sides that are no multiple of the factor.
    """
    distribution = encoded(image, vae)
    latent = distribution.mode() if generator is None else distribution.sample(generator)
    return latent * vae.config.scaling_factor


@door
@torch.no_grad()
def encoded(image: Image.Image, vae):
    """The distribution of a picture's latents, not scaled yet: diffusers' `DiagonalGaussianDistribution`, (1, 4, h, w)."""
    pixels = pil_to_tensor(image).to(vae.device, vae.dtype)
    check_size(pixels.shape[2], pixels.shape[3], vae, "image")
    return vae.encode(pixels).latent_dist


@door
def latents_to_pil(latents: torch.Tensor, vae) -> list[Image.Image]:
    """Decode (n, 4, h, w) latents, scaled as `pil_to_latent` gives them, to n pictures."""
    if not torch.isfinite(latents).all():
        raise ValueError("latents" + NOT_FINITE)
    latents = latents.to(vae.device, vae.dtype) / vae.config.scaling_factor
    # The decoder's first layers at full size hold 128 channels for every pixel, more than all of the loop needs.
    at_once = max(1, DECODED_AT_ONCE // (latents.shape[2] * latents.shape[3] * _factor(vae) ** 2))
    with torch.no_grad():
        return [picture for part in latents.split(at_once) for picture in tensor_to_pil(vae.decode(part).sample)]


@door
def check_size(height: int, width: int, vae, argument: str = "height, width") -> tuple[int, int]:
    """Both sides as ints, or a ValueError unless they are positive multiples of the autoencoder's factor."""
    factor = _factor(vae)
    remedy = f"Both sides must be multiples of {factor}, because one latent stands for {factor} x {factor} pixels."
    height, width = (whole_number(argument, side, 0, LARGEST, remedy) for side in (height, width))
    if min(height, width) < factor or height % factor or width % factor:
        nearest = [max(factor, round(side / factor) * factor) for side in (height, width)]
        raise ValueError(f"{argument}: {height} x {width} pixels. {remedy} Nearest: {nearest[0]} x {nearest[1]}.")
    return height, width


def _factor(vae) -> int:
    return 2 ** (len(vae.config.block_out_channels) - 1)
