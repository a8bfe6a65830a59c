"""From a prompt to pictures: starting noise, the loop, the decoder."""

from __future__ import annotations

import copy
import numbers

import torch
from PIL import Image, ImageOps

from .arguments import whole_number
from .autoencoder import check_size, latents_to_pil, pil_to_latent, to_rgb
from .components import Components
from .loop import check_start_step, denoise
from .runtime.memory import in_batches
from .schedulers import add_noise, set_timesteps
from .text import as_prompts, embed_prompt


def generate(
    components: Components,
    prompt: str | list[str],
    *,
    negative_prompt: str | list[str] = "",
    num_inference_steps: int = 50,
    guidance_scale=7.5,
    seed: int = 0,
    height: int | None = None,
    width: int | None = None,
    image: Image.Image | None = None,
    start_step: int = 0,
    num_images: int = 1,
    progress: bool = True,
    batch_size: int | None = None,
) -> list[Image.Image]:
    """Draw pictures of a prompt, or from a picture with `image` and `start_step`.

    Picture i uses seed + i, and its noise is drawn on the CPU by a generator of its own: any one can be had again alone,
    and the same seed gives the same picture on every device (to rounding, in one dtype).

    Args:
        components: from `load`.
        prompt: one, or a list; with num_images, each is drawn that often, its pictures side by side.
        negative_prompt: what to lead away from: one for all, or one for each prompt.
        guidance_scale: how strongly to follow the prompt; 1 is off. A number or a function of the step's index.
        height, width: in pixels; the model's own size if None.
        image: where to start from, fitted to height and width by cropping its middle.
        start_step: how many steps to leave out: 0 keeps nothing of the image, num_inference_steps all of it.
        progress: show a bar.
        batch_size: how many pictures to draw at a time; None takes 8, or fewer if they are large.

    Returns:
        len(prompts) * num_images pictures.

    Raises:
        ValueError: an argument out of its range or of a wrong type; the message names it.
        MemoryError: not even one picture fits; a batch that does not is drawn in halves.
    """
    prompts, negatives = _pair_prompts(prompt, negative_prompt, num_images)
    height, width = _size(components, height, width)
    check_start_step(start_step, whole_number("num_inference_steps", num_inference_steps, 1))
    whole_number("seed", seed, 0, 2**63 - 1)
    if not callable(guidance_scale) and not isinstance(guidance_scale, numbers.Real):
        raise ValueError(f"guidance_scale={guidance_scale!r} must be a number, or a function of the step's index.")
    batch_size = batch_limit(height, width, 8) if batch_size is None else whole_number("batch_size", batch_size, 1)
    if start_step and image is None:
        raise ValueError(f"start_step={start_step} needs an image to start from: pass image=, or start_step=0.")
    if image is not None:
        image = fitted(image, height, width)
    settings = dict(guidance_scale=guidance_scale, num_inference_steps=num_inference_steps, start_step=start_step)

    with _bar(len(prompts), batch_size, num_inference_steps - start_step, progress) as bar:

        def draw(rows: list[int]) -> list[Image.Image]:
            seeds = [seed + row for row in rows]
            latents = starting_latents(components, seeds, height, width, num_inference_steps, image, start_step)
            return _draw(components, latents, [prompts[r] for r in rows], [negatives[r] for r in rows], settings, bar)

        return [picture for _, drawn in in_batches(list(range(len(prompts))), batch_size, draw) for picture in drawn]


def _draw(components, latents, prompts, negatives, settings: dict, bar) -> list[Image.Image]:
    """One batch: embed the prompts, run the loop, decode what it reached."""
    embeds, negative_embeds = (embed_prompt(p, components.tokenizer, components.text_encoder) for p in (prompts, negatives))
    steps = denoise(components.unet, components.scheduler, latents, embeds, negative_embeds=negative_embeds, **settings)
    for step in steps:
        latents = step.latents
        bar.update()
    return latents_to_pil(latents, components.vae)


def starting_noise(components: Components, seed: int, height: int | None = None, width: int | None = None) -> torch.Tensor:
    """Noise of unit variance for one picture, (1, 4, h, w), the same for a seed on every device."""
    height, width = _size(components, height, width)
    return _noise(components, torch.Generator("cpu").manual_seed(seed), height, width)


def starting_latents(components, seeds, height, width, num_inference_steps, image=None, start_step=0) -> torch.Tensor:
    """What the loop starts from, (n, 4, h, w): scaled noise, or an image's latents with the noise of `start_step`."""
    scheduler = copy.deepcopy(components.scheduler)
    set_timesteps(scheduler, num_inference_steps)
    if image is None:
        return torch.cat([starting_noise(components, seed, height, width) * scheduler.init_noise_sigma for seed in seeds])
    begin = begin_index(scheduler, start_step, num_inference_steps)
    return torch.cat([add_noise(scheduler, *latent_and_noise(components, image, seed), begin) for seed in seeds])


def latent_and_noise(components: Components, image: Image.Image, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """An image's latents and the noise to lay on them, (1, 4, h, w) each, from one generator.

    Drawn in diffusers' order: first the sample of the latent distribution, then the noise.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    latent = pil_to_latent(image, components.vae, generator=generator).to(components.dtype)
    return latent, _noise(components, generator, image.height, image.width)


def begin_index(scheduler, start_step: int, num_inference_steps: int) -> int:
    """Where in `scheduler.timesteps` a start step lies; they may be more than the steps."""
    return start_step * scheduler.order if start_step < num_inference_steps else len(scheduler.timesteps)


def fitted(image: Image.Image, height: int, width: int) -> Image.Image:
    """Any picture as RGB of that size, its middle cropped to the shape."""
    return ImageOps.fit(to_rgb(image), (width, height), Image.Resampling.LANCZOS)


def batch_limit(height: int, width: int, most: int) -> int:
    """How many pictures to draw at a time: `most`, or fewer if they are large."""
    return min(most, max(1, most * 2**16 // (height * width)))


def _size(components, height: int | None, width: int | None) -> tuple[int, int]:
    """Height and width, the model's own where None, checked."""
    default = components.default_size
    height, width = default[0] if height is None else height, default[1] if width is None else width
    check_size(height, width, components.vae)
    return height, width


def _noise(components, generator, height: int, width: int):
    shape = (1, components.unet.config.in_channels, height // components.factor, width // components.factor)
    return torch.randn(shape, generator=generator).to(components.device, components.dtype)


def _pair_prompts(prompt, negative_prompt, num_images: int):
    """Prompts and negative prompts, each repeated num_images times, lists of one length."""
    whole_number("num_images", num_images, 1)
    prompts, negatives = as_prompts(prompt), as_prompts(negative_prompt, "negative_prompt")
    if len(negatives) == 1:
        negatives *= len(prompts)
    if len(negatives) != len(prompts):
        raise ValueError(f"negative_prompt has {len(negatives)} strings for {len(prompts)} prompts; give one, or one for each.")
    return [p for p in prompts for _ in range(num_images)], [n for n in negatives for _ in range(num_images)]


def _bar(count: int, batch_size: int, steps: int, progress: bool):
    """A bar over all steps of all batches: a widget in a notebook, a line on stderr in a terminal."""
    from tqdm.auto import tqdm

    return tqdm(total=-(-count // batch_size) * steps, disable=not progress, desc="denoising", leave=False)
