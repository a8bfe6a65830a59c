"""Stage 5: soften what a prompt changes, so that guidance 5 to 8 suits a model that remembers its pictures.

A model that has learned few pictures many times over is so sure of a prompt that guidance 3 is enough for it. At Stable
Diffusion's usual 7.5 its predictions turn so sharply from step to step that LMS, which continues the slopes of four steps,
overshoots and burns the picture. Here the U-Net goes on from itself and learns, in place of the noise, what guidance SHARE
would give:

    uncond + SHARE * (cond - uncond)        both by its own frozen copy

so that guidance g on the softened model is guidance SHARE * g on the sharp one (guided distillation after
https://arxiv.org/abs/2210.03142, which goes the other way).
"""

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel

from sd_helpers.guidance import guided

from .denoiser import Batches, NoisePrediction, fit_averaged
from .presets import Preset

SHARE = 0.65
STRANGERS = 4  # one caption in so many is another row's: image-to-image and negative prompts ask that, too


def train(preset: Preset, work: Path, device: str) -> None:
    if preset.softening is None:
        return
    batches = Batches(preset, work, device)
    read = lambda: NoisePrediction(UNet2DConditionModel.from_pretrained(work / "unet"))  # noqa: E731
    sharp = read().to(device).requires_grad_(False).eval()
    empty = batches.embed([""])

    def loss_of(module, count, generator):
        latents, noise, timesteps, embeds = batches.draw(count, generator)
        some = count // STRANGERS
        embeds = torch.cat([embeds[:some].roll(1, dims=0), embeds[some:]])
        return module(latents, noise, timesteps, embeds, softened(sharp, latents, noise, timesteps, embeds, empty))

    unet = fit_averaged(read(), loss_of, preset.softening, "softening", preset, work, device)
    unet.save_pretrained(work / "unet-softened")


@torch.no_grad()
def softened(sharp: NoisePrediction, latents, noise, timesteps, embeds, empty):
    """What guidance SHARE predicts: (n, 4, h, w)."""
    noisy = sharp.noisy(latents, noise, timesteps)
    contexts = torch.cat([empty.expand_as(embeds), embeds])
    uncond, cond = sharp.unet(torch.cat([noisy] * 2), torch.cat([timesteps] * 2), contexts).sample.float().chunk(2)
    return guided(uncond, cond, SHARE)
