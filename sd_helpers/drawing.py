"""From a prompt to pictures: starting noise, the loop, the decoder."""

from __future__ import annotations

import copy

import torch
from PIL import Image

from .arguments import door, seed_number, several, true_or_false, whole_number
from .autoencoder import check_size, encoded, latents_to_pil
from .components import Components
from .guidance import scale_function
from .loop import check_start_step, denoise
from .pictures import fitted
from .runtime.memory import in_batches
from .schedulers import add_noise, check_scheduler, set_timesteps
from .text import as_prompts, embed_prompt


@door
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
        guidance_scale: how strongly to follow the prompt; 1 is off. A number, or as in `denoise`.
        height, width: in pixels; the model's own size if None.
        image: where to start from, a picture or the path of one, fitted to height and width by cropping its middle.
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
    num_inference_steps = whole_number("num_inference_steps", num_inference_steps, 1)
    start_step, seed = check_start_step(start_step, num_inference_steps), seed_number("seed", seed)
    seed_number("seed + number of pictures", seed + len(prompts) - 1)
    scale_function(guidance_scale)  # refuses here what the loop would refuse later
    batch_size = batch_limit(height, width, 8) if batch_size is None else whole_number("batch_size", batch_size, 1)
    if start_step and image is None:
        raise ValueError(f"start_step={start_step} needs an image to start from: pass image=, or start_step=0.")
    if image is not None:
        image = fitted(image, height, width)
    settings = dict(guidance_scale=guidance_scale, num_inference_steps=num_inference_steps, start_step=start_step)

    with _bar(len(prompts), batch_size, num_inference_steps - start_step, progress) as bar:

        def draw(rows: list[int]) -> list[Image.Image]:
            generators = [generator_of(seed + row) for row in rows]
            latents = starting_latents(components, generators, height, width, num_inference_steps, image, start_step)
            texts = [prompts[r] for r in rows], [negatives[r] for r in rows]
            return _draw(components, latents, *texts, settings | {"generator": generators}, bar)

        return [picture for _, drawn in in_batches(list(range(len(prompts))), batch_size, draw) for picture in drawn]


def _draw(components, latents, prompts, negatives, settings: dict, bar) -> list[Image.Image]:
    """One batch: embed the prompts, run the loop, decode what it reached."""
    embeds, negative_embeds = (embed_prompt(p, components.tokenizer, components.text_encoder) for p in (prompts, negatives))
    steps = denoise(components.unet, components.scheduler, latents, embeds, negative_embeds=negative_embeds, **settings)
    for step in steps:
        latents = step.latents
        bar.update()
    return latents_to_pil(latents, components.vae)


def generator_of(seed) -> torch.Generator:
    """The generator of a picture's noise, on the CPU: a seed means the same on every device. One that is given goes on."""
    return seed if isinstance(seed, torch.Generator) else torch.Generator("cpu").manual_seed(seed_number("seed", seed))


@door
def starting_noise(components: Components, seed, height: int | None = None, width: int | None = None) -> torch.Tensor:
    """Noise of unit variance for one picture, (1, 4, h, w), the same for a seed on every device."""
    height, width = _size(components, height, width)
    shape = (1, components.unet.config.in_channels, height // components.factor, width // components.factor)
    return torch.randn(shape, generator=generator_of(seed)).to(components.device, components.dtype)


@door
def starting_latents(components, seeds, height, width, num_inference_steps, image=None, start_step=0) -> torch.Tensor:
    """What the loop starts from, (n, 4, h, w): scaled noise, or an image's latents with the noise of `start_step`.

    Args:
        seeds: one for each picture, whole numbers or generators (see `generator_of`).
        image: of that height and width.
    """
    check_scheduler(components.scheduler)
    scheduler = copy.deepcopy(components.scheduler)
    set_timesteps(scheduler, num_inference_steps)
    start_step, seeds = check_start_step(start_step, num_inference_steps), _seeds(seeds)
    if image is None:
        return torch.cat([starting_noise(components, seed, height, width) * scheduler.init_noise_sigma for seed in seeds])
    begin = begin_index(scheduler, start_step, num_inference_steps)
    return add_noise(scheduler, *latents_and_noise(components, image, seeds), begin)


@door
def latent_and_noise(components: Components, image: Image.Image, seed) -> tuple[torch.Tensor, torch.Tensor]:
    """An image's latents and the noise to lay on them, (1, 4, h, w) each, from one generator; see `latents_and_noise`."""
    return latents_and_noise(components, image, [seed])


@door
def latents_and_noise(components: Components, image: Image.Image, seeds) -> tuple[torch.Tensor, torch.Tensor]:
    """For each seed an image's latents and the noise to lay on them, (n, 4, h, w) each; the image is encoded once.

    Drawn in diffusers' order: first the sample of the latent distribution, then the noise.
    """
    distribution, pairs = encoded(image, components.vae), []
    for seed in _seeds(seeds):
        generator = generator_of(seed)
        latent = distribution.sample(generator).to(components.dtype) * components.vae.config.scaling_factor
        pairs.append((latent, torch.randn(latent.shape, generator=generator).to(latent)))
    latents, noise = zip(*pairs)
    return torch.cat(latents), torch.cat(noise)


def _seeds(seeds) -> list:
    found = several("seeds", seeds)
    if not found:
        raise ValueError("seeds is empty: give one for each picture.")
    return found


def begin_index(scheduler, start_step: int, num_inference_steps: int) -> int:
    """Where in `scheduler.timesteps` a start step lies; they may be more than the steps."""
    return start_step * scheduler.order if start_step < num_inference_steps else len(scheduler.timesteps)


def batch_limit(height: int, width: int, most: int) -> int:
    """How many pictures to draw at a time: `most`, or fewer if they are large."""
    return min(most, max(1, most * 2**16 // (height * width)))


def _size(components, height: int | None, width: int | None) -> tuple[int, int]:
    """Height and width, the model's own where None, checked."""
    default = components.default_size
    height, width = default[0] if height is None else height, default[1] if width is None else width
    return check_size(height, width, components.vae)


def _pair_prompts(prompt, negative_prompt, num_images: int):
    """Prompts and negative prompts, each repeated num_images times, lists of one length."""
    num_images = whole_number("num_images", num_images, 1, 10**5)
    prompts, negatives = as_prompts(prompt), as_prompts(negative_prompt, "negative_prompt")
    if len(negatives) == 1:
        negatives *= len(prompts)
    if len(negatives) != len(prompts):
        raise ValueError(f"negative_prompt has {len(negatives)} strings for {len(prompts)} prompts; give one, or one for each.")
    return [p for p in prompts for _ in range(num_images)], [n for n in negatives for _ in range(num_images)]


def _bar(count: int, batch_size: int, steps: int, progress: bool):
    """A bar over all steps of all batches: a widget in a notebook, a line on stderr in a terminal."""
    from tqdm.auto import tqdm

    return tqdm(
        total=-(-count // batch_size) * steps, disable=not true_or_false("progress", progress), desc="denoising", leave=False
    )
