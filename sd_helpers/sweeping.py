"""Many start steps, guidance scales and seeds at once: all cells of a grid in batches through the one loop."""

from __future__ import annotations

import numbers
from dataclasses import dataclass

import torch
from PIL import Image

from .arguments import whole_number
from .autoencoder import latents_to_pil
from .components import Components
from .drawing import batch_limit, fitted, latent_and_noise
from .joining import Together
from .loop import check_start_step, denoise
from .text import as_prompts, embed_prompt


@dataclass(frozen=True)
class Sweep:
    """The pictures of a sweep, in the order start step, guidance scale, seed; shows itself as a labelled grid."""

    images: list[Image.Image]
    prompt: str
    start_steps: tuple[int, ...]
    guidance_scales: tuple[float, ...]
    seeds: tuple[int, ...]
    num_inference_steps: int

    def image(self, start_step: int, guidance_scale: float | None = None, seed: int | None = None) -> Image.Image:
        """One picture; guidance scale and seed may be left out where there is only one, or mean the first."""
        i = _position("start_step", start_step, self.start_steps)
        j = 0 if guidance_scale is None else _position("guidance_scale", guidance_scale, self.guidance_scales)
        k = 0 if seed is None else _position("seed", seed, self.seeds)
        return self.images[(i * len(self.guidance_scales) + j) * len(self.seeds) + k]

    def grid(self, width: int = 64):
        """A table for a notebook: a column for each start step, a row for each guidance scale and seed."""
        from .views import grid

        rows = [(g, s) for g in self.guidance_scales for s in self.seeds]
        pictures = [self.image(start, g, s) for g, s in rows for start in self.start_steps]
        labels = [f"guidance {g:g}" + (f", seed {s}" if len(self.seeds) > 1 else "") for g, s in rows]
        columns = [f"start {start}" for start in self.start_steps]
        return grid(pictures, labels, columns, width, alt=f"{self.prompt}, by start step")

    def _repr_html_(self) -> str:
        return self.grid().data


def sweep(
    components: Components,
    prompt: str,
    *,
    image: Image.Image,
    start_steps,
    guidance_scales=(7.5,),
    seeds=(0,),
    num_inference_steps: int = 50,
    negative_prompt: str = "",
    progress: bool = True,
    batch_size: int | None = None,
) -> Sweep:
    """Draw from a picture with every combination of start step, guidance scale and seed.

    Each picture is the one that `generate(..., image=image, start_step=..., guidance_scale=..., seed=...)` gives alone.

    Args:
        prompt, negative_prompt: one string each.
        image: where to start from, fitted to the model's size by cropping its middle.
        start_steps: whole numbers from 0 to num_inference_steps.
        guidance_scales: numbers; 1 is off.
        seeds: whole numbers.
        batch_size: how many pictures to draw at a time; None takes 16, or fewer if they are large.

    Raises:
        ValueError: an argument out of its range, of a wrong type or empty; the message names it.
    """
    from tqdm.auto import tqdm

    whole_number("num_inference_steps", num_inference_steps, 1)
    start_steps, guidance_scales, seeds = _checked(start_steps, guidance_scales, seeds, num_inference_steps)
    texts = [_one_string(negative_prompt, "negative_prompt"), _one_string(prompt, "prompt")]
    negative, positive = (embed_prompt(t, components.tokenizer, components.text_encoder) for t in texts)
    height, width = components.default_size
    pairs = {s: latent_and_noise(components, fitted(image, height, width), s) for s in seeds}
    cells = [(start, scale, seed) for start in start_steps for scale in guidance_scales for seed in seeds]
    batch_size = batch_limit(height, width, 16) if batch_size is None else whole_number("batch_size", batch_size, 1)

    reached = []
    total = sum(num_inference_steps - start for start, _, _ in cells)
    with tqdm(total=total, disable=not progress, desc="sweep", leave=False) as bar:
        for first in range(0, len(cells), batch_size):
            batch = cells[first : first + batch_size]
            together = Together(components.scheduler, [start for start, _, _ in batch], num_inference_steps)
            latents = torch.cat([together.add_noise(*pairs[seed], start) for start, _, seed in batch])
            scales = torch.tensor([max(1.0, scale) for _, scale, _ in batch]).to(latents)[:, None, None, None]
            steps = denoise(
                together.only_begun(components.unet),
                together,
                latents,
                positive,
                negative_embeds=negative,
                guidance_scale=lambda index, scales=scales: scales,
                num_inference_steps=num_inference_steps,
                start_step=min(start for start, _, _ in batch),
            )
            for step in steps:
                latents = step.latents
                bar.update(sum(begin <= step.index for begin in together.begins))
            reached += latents_to_pil(latents, components.vae)
    return Sweep(reached, texts[1], start_steps, guidance_scales, seeds, num_inference_steps)


def _checked(start_steps, guidance_scales, seeds, num_inference_steps: int):
    """The three axes of the grid as tuples, or a ValueError that names the one that cannot be."""
    axes = dict(start_steps=start_steps, guidance_scales=guidance_scales, seeds=seeds)
    for name, values in axes.items():
        try:
            axes[name] = tuple(values)
        except TypeError:
            raise ValueError(f"{name}={values!r} must be a list, such as [{values!r}].") from None
        if not axes[name]:
            raise ValueError(f"{name} is empty: give at least one.")
    for start in axes["start_steps"]:
        check_start_step(start, num_inference_steps)
    for scale in axes["guidance_scales"]:
        if isinstance(scale, bool) or not isinstance(scale, numbers.Real):
            raise ValueError(f"guidance_scales holds {scale!r}; each must be a number.")
    for seed in axes["seeds"]:
        whole_number("seeds", seed, 0, 2**63 - 1)
    return tuple(axes.values())


def _one_string(text, argument: str) -> str:
    """The text, or a ValueError unless it is one string."""
    if not isinstance(text, str):
        raise ValueError(f"{argument}={text!r} must be one string; call `sweep` once for each prompt.")
    return as_prompts(text, argument)[0]


def _position(argument: str, value, values: tuple) -> int:
    if value not in values:
        raise ValueError(f"{argument}={value!r} is not in this sweep; it has {', '.join(map(str, values))}.")
    return values.index(value)
