"""Pictures with start steps, guidance scales and seeds of their own, drawn in one batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from PIL import Image

from ..autoencoder import latents_to_pil
from ..components import Components
from ..drawing import generator_of, latents_and_noise
from ..loop import denoise
from ..runtime.openvino_unet import for_drawing
from ..text import embed_prompt
from .joining import Together


class Cell(NamedTuple):
    """One picture of a sweep."""

    start_step: int
    guidance_scale: float
    seed: int


@dataclass(frozen=True)
class Request:
    """What all cells of a sweep have in common."""

    prompt: str
    negative_prompt: str
    image: Image.Image  # of the model's size
    num_inference_steps: int


@torch.no_grad()
def draw(components: Components, request: Request, cells: list[Cell], on_steps=lambda count: None) -> list[Image.Image]:
    """One batch of a sweep: all cells at once through the loop, each joining at its start step.

    Args:
        cells: by rising start step.
        on_steps: called after each step with the number of pictures that took it.
    """
    texts = (request.negative_prompt, request.prompt)
    negative, positive = (embed_prompt(text, components.tokenizer, components.text_encoder) for text in texts)
    begun = {seed: generator_of(seed) for seed in sorted({cell.seed for cell in cells})}
    pairs = zip(*(rows.split(1) for rows in latents_and_noise(components, request.image, begun.values())))
    pairs = dict(zip(begun, pairs))
    together = Together(components.scheduler, [cell.start_step for cell in cells], request.num_inference_steps)
    latents = torch.cat([together.add_noise(*pairs[cell.seed], cell.start_step) for cell in cells])
    scales = torch.tensor([max(1.0, cell.guidance_scale) for cell in cells]).to(latents)[:, None, None, None]
    steps = denoise(
        together.only_begun(for_drawing(components.unet)),
        together,
        latents,
        positive,
        negative_embeds=negative,
        guidance_scale=lambda index: scales,
        num_inference_steps=request.num_inference_steps,
        start_step=cells[0].start_step,
        generator=[begun[cell.seed].clone_state() for cell in cells],
    )
    for step in steps:
        latents = step.latents
        on_steps(together.joined(step.index))
    return latents_to_pil(latents, components.vae)


def steps_of(cells: list[Cell], request: Request) -> int:
    """How many steps all these pictures take together."""
    return sum(request.num_inference_steps - cell.start_step for cell in cells)
