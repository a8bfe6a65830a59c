"""Whether two models are the same, by what they answer: weights, processors, hooks and schedule all show in it."""

from __future__ import annotations

import torch

from ..components import Components
from ..drawing import generator_of, latent_and_noise, starting_latents
from ..loop import denoise
from ..text import embed_prompt

NEAR = {torch.float32: 2e-3}  # between devices; half precision rounds far more
NEAR_IN_HALF = 5e-2


@torch.no_grad()
def signature(components: Components, prompts: list[str], image) -> list[float]:
    """What a model answers to some questions about this work, as a few dozen numbers of about unit size.

    Args:
        prompts: that will be embedded; a word that is not in them does not matter.
        image: that will be encoded, PIL, of the model's size.

    Returns:
        for each answer four numbers, sums with fixed random signs: of embeddings, latents, predictions, decoded pixels.
    """
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # rounds too much to compare a GPU with a CPU
        return [number for answer in _answers(components, prompts, image) for number in _summary(answer)]


def _answers(components: Components, prompts: list[str], image) -> list[torch.Tensor]:
    """Embeddings, latents, pixels, and the predictions and the result of three steps."""
    embeds = embed_prompt(prompts, components.tokenizer, components.text_encoder)  # (n, 77, D)
    latent, _ = latent_and_noise(components, image, seed=0)  # (1, 4, h, w)
    generator = generator_of(0)
    start = starting_latents(components, [generator], image.height, image.width, num_inference_steps=3)
    settings = dict(negative_embeds=embeds[:1], guidance_scale=2, num_inference_steps=3, generator=[generator])
    steps = list(denoise(components.unet, components.scheduler, start, embeds[-1:], **settings))
    pixels = components.vae.decode(latent / components.vae.config.scaling_factor).sample
    return [embeds, latent, pixels, *(step.noise_pred for step in steps), steps[-1].latents]


def _summary(answer: torch.Tensor) -> list[float]:
    """Four sums of all numbers with random signs, divided by the root of their count."""
    flat = answer.detach().float().cpu().flatten()
    signs = torch.randint(2, (4, len(flat)), generator=torch.Generator("cpu").manual_seed(len(flat))) * 2.0 - 1
    return (signs @ flat / len(flat) ** 0.5).tolist()


def alike(first: list[float], second: list[float], dtype: torch.dtype) -> bool:
    """Whether two signatures are of one model, up to rounding in this dtype."""
    near = NEAR.get(dtype, NEAR_IN_HALF)
    return len(first) == len(second) and all(abs(a - b) <= near * (1 + abs(a)) for a, b in zip(first, second))
