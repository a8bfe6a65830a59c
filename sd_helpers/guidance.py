"""Guidance: from two noise predictions to the one that follows the prompt."""

from __future__ import annotations

from collections.abc import Callable

import torch

from .arguments import door, real_number
from .schedulers import FLOW, noise_of


def guided(noise_uncond, noise_cond, guidance_scale: float):
    """Classifier-free guidance (Ho and Salimans 2022): go from the prediction without the prompt past the one with it.

    Args:
        noise_uncond, noise_cond: (n, 4, h, w), noise predicted for the negative or empty prompt, and for the prompt.
        guidance_scale: 1 is the prompt's own prediction, more exaggerates what the prompt changes.

    Returns:
        (n, 4, h, w)
    """
    return noise_uncond + guidance_scale * (noise_cond - noise_uncond)


def scale_function(guidance_scale) -> Callable:
    """The guidance scale as a function of the step's index, which refuses by name what is no finite number.

    Args:
        guidance_scale: a number, a tensor (one number, or one for each latent, (n, 1, 1, 1)), or a function of the index that
            gives such. A tensor stays one: it is taken at its word, also below 1.
    """

    def checked(scale, argument):
        if torch.is_tensor(scale) and scale.ndim:
            if not torch.isfinite(scale).all():
                raise ValueError(f"{argument} holds values that are no finite numbers (nan or inf).")
            return scale
        number = real_number(argument, scale, remedy="1 is off, 7.5 usual.")
        return scale if torch.is_tensor(scale) else number

    if callable(guidance_scale):
        return lambda index: checked(guidance_scale(index), f"guidance_scale({index})")
    scale = checked(guidance_scale, "guidance_scale")
    return lambda index: scale


@door
def noise_predictor(
    unet, prompt_embeds, negative_embeds=None, guidance_scale: float = 1.0, prediction_type: str = "epsilon"
) -> Callable:
    """A `predict` for `steer`: the noise prediction as a differentiable function of (latents, step), guided as the loop's.

    Args:
        prompt_embeds, negative_embeds: (n, 77, D) or (1, 77, D), from `embed_prompt`, the ones the loop was given.
        guidance_scale: a number, the loop's; at 1 (or less) negative_embeds are not needed.
        prediction_type: what the U-Net answers, `scheduler.config.prediction_type`, or "flow".

    Raises:
        ValueError: a guidance_scale above 1 without negative_embeds.
    """
    guidance_scale = real_number("guidance_scale", guidance_scale)
    if guidance_scale > 1 and negative_embeds is None:
        raise ValueError(f"guidance_scale={guidance_scale} needs negative_embeds, such as those of the empty prompt.")

    def predict(latents, step):
        scale = step.signal * (step.sigma**2 + 1) ** 0.5
        model_input = latents if prediction_type == FLOW else latents / scale  # what scale_model_input gives
        contexts = [prompt_embeds] if guidance_scale <= 1 else [negative_embeds, prompt_embeds]
        context = torch.cat([embeds.expand(len(latents), -1, -1) for embeds in contexts]).to(latents)
        noise = unet(torch.cat([model_input] * len(contexts)), step.timestep, context, return_dict=False)[0]
        noise = noise if guidance_scale <= 1 else guided(*noise.chunk(2), guidance_scale)
        return noise_of(noise, model_input, step.sigma, prediction_type)

    return predict
