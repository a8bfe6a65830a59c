"""Editing a picture: DDIM inversion back to its noise, inpainting inside a mask, a canvas to paint beyond the edges."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
import torch
from PIL import Image, ImageChops, ImageFilter

from ..arguments import check_tensor, door, one_text, two_numbers, whole_number
from ..autoencoder import check_size, latents_to_pil
from ..components import Components
from ..drawing import generator_of, latent_and_noise
from ..loop import Step, check_start_step, denoise
from ..pictures import drawn, to_mask, to_rgb
from ..schedulers import add_noise, scheduler_like, set_timesteps
from ..text import embed_prompt

LINE = (255, 0, 200)  # the colour of outlines, which no icon has


@door
def invert(
    unet,
    scheduler,
    latents: torch.Tensor,
    prompt_embeds: torch.Tensor,
    *,
    negative_embeds: torch.Tensor | None = None,
    guidance_scale: float = 1.0,
    num_inference_steps: int = 50,
    start_step: int = 0,
    on_noise: Callable[[Step], torch.Tensor | None] | None = None,
) -> torch.Tensor:
    """DDIM inversion: from clean latents to the noisy ones that `DDIMScheduler`, from `start_step` on, turns into them.

    It is `denoise` with diffusers' `DDIMInverseScheduler`, which visits DDIM's timesteps in rising order and ends each
    step at its timestep's noise level (Dhariwal & Nichol 2021, arXiv 2105.05233; Mokady et al. 2022, arXiv 2211.09794).
    The way back is exact only as far as the noise prediction at the beginning of a step equals that at its end: many
    steps, and guidance_scale 1.

    Args:
        unet: with `prediction_type` "epsilon".
        scheduler: any over the model's noise schedule, such as `components.scheduler`; only its betas are used.
        latents: (n, 4, h, w), clean, from `pil_to_latent`.
        prompt_embeds, negative_embeds, guidance_scale: as in `denoise`.
        num_inference_steps: steps of the whole schedule.
        start_step: where the way back shall start: 0 inverts all steps, num_inference_steps none.
        on_noise: as in `denoise`; but `sigma` and `signal` are of the level the step goes *to*, and index 0 is the least noise.

    Returns:
        (n, 4, h, w), of the variance-preserving form: for DDIM, not for LMS or Euler.

    Raises:
        ValueError: as `denoise`.
    """
    from diffusers import DDIMInverseScheduler

    num_inference_steps = whole_number("num_inference_steps", num_inference_steps, 1)
    start_step = check_start_step(start_step, num_inference_steps)
    settings = dict(guidance_scale=guidance_scale, num_inference_steps=num_inference_steps, negative_embeds=negative_embeds)
    steps = denoise(unet, scheduler_like(scheduler, DDIMInverseScheduler), latents, prompt_embeds, on_noise=on_noise, **settings)
    return _last(islice(steps, num_inference_steps - start_step), latents)


@door
def keep_outside(
    mask: torch.Tensor, image_latents: torch.Tensor, noise: torch.Tensor, scheduler, num_inference_steps: int = 50
) -> Callable[[Step], torch.Tensor]:
    """An `on_step` for `denoise` that draws inside a mask only: outside it puts back a picture's latents after every step.

    They are noised to the level that the step reached, which is the level of the *next* index of the schedule, and none
    after the last step. So does diffusers' `StableDiffusionInpaintPipeline` with a U-Net that has no input for a mask
    (and Avrahami et al. 2022, arXiv 2206.02779).

    Args:
        mask: (1, 1, h, w) or (n, 1, h, w), 1 where to draw and 0 where to keep; what lies between mixes the two.
        image_latents, noise: (n, 4, h, w) or (1, 4, h, w).
        scheduler: the one given to `denoise`; a copy is used.
        num_inference_steps: as given to `denoise`.

    Raises:
        ValueError: a mask outside 0 to 1, or of another height or width than the latents.
    """
    check_tensor("mask", mask, "(n, 1, h, w)")
    if mask.shape[-2:] != image_latents.shape[-2:]:
        raise ValueError(f"mask is {tuple(mask.shape)} for latents {tuple(image_latents.shape)}; make it by `mask_to_latents`.")
    if not (mask.min() >= 0 and mask.max() <= 1):
        raise ValueError(f"mask holds values from {mask.min():g} to {mask.max():g}; they must lie in 0 (keep) to 1 (draw).")
    scheduler = copy.deepcopy(scheduler)
    set_timesteps(scheduler, num_inference_steps)

    def on_step(step: Step) -> torch.Tensor:
        known = add_noise(scheduler, image_latents, noise, step.index + 1)
        return mask * step.latents + (1 - mask) * known

    return on_step


@door
def inpaint(
    components: Components,
    prompt: str,
    *,
    image: Image.Image,
    mask: Image.Image,
    negative_prompt: str = "",
    num_inference_steps: int = 50,
    guidance_scale: float = 7.5,
    seed: int = 0,
) -> Image.Image:
    """Draw a prompt where a mask is painted or white, and keep the picture elsewhere.

    Args:
        image: its sides multiples of `components.factor`; of any size, since the U-Net is convolutional.
        mask: of the same size; whatever `pictures.to_mask` takes.
        seed: of the sample of the picture's latents, and then of the noise, in diffusers' order.

    Returns:
        a picture of the same size; outside the mask it has been through the autoencoder.

    Raises:
        ValueError: a mask of another size, or an argument out of its range.
    """
    image = to_rgb(image)
    check_size(image.height, image.width, components.vae, "image")
    mask = to_mask(mask, image.size)
    generator = generator_of(seed)
    image_latents, noise = latent_and_noise(components, image, generator)
    scheduler = copy.deepcopy(components.scheduler)
    set_timesteps(scheduler, num_inference_steps)
    texts = one_text("prompt", prompt), one_text("negative_prompt", negative_prompt)
    embeds, negative = (embed_prompt(text, components.tokenizer, components.text_encoder) for text in texts)
    white = mask_to_latents(mask, components).to(noise)
    settings = dict(guidance_scale=guidance_scale, num_inference_steps=num_inference_steps, negative_embeds=negative)
    settings["generator"] = [generator]
    settings["on_step"] = keep_outside(white, image_latents, noise, scheduler, num_inference_steps)
    steps = denoise(components.unet, scheduler, noise * scheduler.init_noise_sigma, embeds, **settings)
    return latents_to_pil(_last(steps, noise), components.vae)[0]


@door
def mask_to_latents(mask, components: Components) -> torch.Tensor:
    """A mask of pixels as (1, 1, h, w) of 0 and 1: a latent is drawn if any of its pixels is.

    Args:
        mask: whatever `pictures.to_mask` takes.

    Raises:
        ValueError: sides that are no multiples of the autoencoder's factor, or no mask.
    """
    mask = to_mask(mask)
    check_size(mask.height, mask.width, components.vae, "mask")
    white = torch.from_numpy(drawn(mask))  # (H, W)
    return torch.nn.functional.max_pool2d(white[None, None].float(), components.factor).to(components.device)


def outpainting_canvas(image: Image.Image, size: tuple[int, int], at: tuple[int, int]) -> tuple[Image.Image, Image.Image]:
    """A canvas with a picture on it, and the mask of what is left to draw.

    The picture's edge colours are drawn out to the canvas's edge: the encoder sees across the border of the mask, and a
    plain colour there would leak into the latents that are kept.

    Args:
        size: of the canvas, (width, height) in pixels.
        at: where the picture's left upper corner goes, (x, y); negative numbers cut it off.

    Returns:
        (canvas, mask), both of `size`; the mask is white where there is no picture.

    Raises:
        ValueError: no part of the picture lies on the canvas.
    """
    image = to_rgb(image)
    (width, height), (x, y) = two_numbers("size", size, 1), two_numbers("at", at)
    pixels = np.asarray(image)
    columns, rows = np.arange(width) - x, np.arange(height) - y
    inside = ((rows >= 0) & (rows < image.height))[:, None] & ((columns >= 0) & (columns < image.width))
    if not inside.any():
        raise ValueError(f"at={at}: no part of a picture of {image.size} lies on a canvas of size={size} (width, height).")
    drawn_out = pixels[rows.clip(0, image.height - 1)[:, None], columns.clip(0, image.width - 1)]
    return Image.fromarray(drawn_out), Image.fromarray(np.where(inside, 0, 255).astype(np.uint8))


def seam(image: Image.Image, mask: Image.Image) -> float:
    """How visible the mask's edge is: mean difference of neighbouring pixels across it, in levels of 0 to 255 (or ValueError)."""
    image = to_rgb(image)
    pixels, white = np.asarray(image, dtype=float), drawn(to_mask(mask, image.size))
    pairs = np.concatenate([np.abs(np.diff(pixels, axis=a))[np.diff(white, axis=a)] for a in (0, 1)])  # (pairs, 3)
    if not len(pairs):
        raise ValueError("mask is all of one colour and has no edge to measure at.")
    return float(pairs.mean())


def outlined(image: Image.Image, mask: Image.Image) -> Image.Image:
    """The picture with a line, one pixel wide, around what the mask would draw."""
    image = to_rgb(image)
    white = Image.fromarray(drawn(to_mask(mask, image.size)).astype(np.uint8) * 255)
    around = ImageChops.subtract(white.filter(ImageFilter.MaxFilter(3)), white)
    return Image.composite(Image.new("RGB", image.size, LINE), image, around)


def _last(steps: Iterator[Step], latents: torch.Tensor) -> torch.Tensor:
    """The latents after the last step, or those given where there is none."""
    for step in steps:
        latents = step.latents
    return latents
