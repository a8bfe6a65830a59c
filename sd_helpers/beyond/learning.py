"""Teaching a model a thing from a few pictures by one new row of the token table: textual inversion.

Gal et al. 2022, "An Image is Worth One Word". What is learned is a `LearnedWord`: see `learned`.
"""

from __future__ import annotations

import torch

from ..arguments import door, seed_number, whole_number
from ..autoencoder import pil_to_latent
from ..components import Components
from ..notebook.stepwise import OnStep, Training
from ..pictures import all_rgb, fitted
from ..schedulers import noise_of
from ..text import as_prompts
from .learned import LearnedWord, check_word, embed_word, initial_row

LARGEST_BATCH = 1024


def noise_loss(unet, scheduler, latents: torch.Tensor, embeds: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The training objective of the U-Net on a batch: mean squared error of the noise that it predicts.

    Args:
        latents: (n, 4, h, w), of pictures.
        embeds: (n, 77, D), of their captions.
        generator: of the CPU; draws timesteps and noise. The n timesteps are one from each n-th of the schedule.

    Returns:
        a scalar, differentiable; 1 is what predicting no noise at all would score.
    """
    n, steps = len(latents), len(scheduler.alphas_cumprod)
    share = (torch.arange(n) + torch.rand(n, generator=generator)) / n
    timesteps = (share * steps).long().clamp(max=steps - 1)
    noise = torch.randn(latents.shape, generator=generator).to(latents)
    alpha = scheduler.alphas_cumprod[timesteps].to(latents)[:, None, None, None]
    noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
    answer = unet(noisy, timesteps.to(latents.device), embeds, return_dict=False)[0]
    predicted = noise_of(answer, noisy, ((1 - alpha) / alpha).sqrt(), scheduler.config.prediction_type)
    return torch.nn.functional.mse_loss(predicted.float(), noise.float())


def learn_word(components, pictures, prompts, word, *, num_steps: int = 120, on_step: OnStep | None = None, **settings):
    """Textual inversion, `num_steps` steps of it: returns a `LearnedWord`. Arguments as in `word_training`, `Training.run`."""
    return word_training(components, pictures, prompts, word, **settings).run(num_steps, on_step)


@door
def word_training(
    components: Components,
    pictures: list,
    prompts: list[str],
    word: str,
    *,
    initial_word: str | None = None,
    batch_size: int = 4,
    learning_rate: float = 0.02,
    seed: int = 0,
) -> Training:
    """Textual inversion: find the row of the token table that makes a new word stand for what pictures show.

    Nothing in the model changes; the one row is all that is trained.

    Args:
        pictures: three to five of the same thing, PIL pictures or paths.
        prompts: a caption for each, with the word in it; what else they name, the word need not learn.
        word: to be written in prompts, such as "<teapot>"; not in the tokenizer's vocabulary.
        initial_word: whose row to begin with, its first token's; None begins with the mean of all words the model knows.

    Returns:
        a `Training` whose result is a `LearnedWord`.

    Raises:
        ValueError: not one prompt for each picture, a prompt without the word, a word that is in the vocabulary.
    """
    tokenizer, text_encoder = components.tokenizer, components.text_encoder
    check_word(word, tokenizer)
    latents, prompts = pairs(components, pictures, prompts)
    for prompt in prompts:
        if word not in prompt:
            raise ValueError(f"prompts holds {prompt!r}, which lacks the word {word!r} that it should teach.")
    row = initial_row(components, initial_word).requires_grad_()
    draw = torch.Generator("cpu").manual_seed(seed_number("seed", seed))
    batch_size = whole_number("batch_size", batch_size, 1, LARGEST_BATCH)

    def loss():
        chosen = batch(len(prompts), batch_size, draw)
        embeds = embed_word([prompts[i] for i in chosen], word, row, tokenizer, text_encoder)
        return noise_loss(components.unet, components.scheduler, latents[chosen], embeds, draw)

    return Training([row], loss, lambda losses: LearnedWord(word, row.detach().clone(), tuple(losses)), learning_rate)


def pairs(components: Components, pictures, prompts) -> tuple[torch.Tensor, list[str]]:
    """Latents (n, 4, h, w) of the pictures, and a prompt for each."""
    if components.dtype == torch.float16:
        raise ValueError("a model in float16 cannot be trained, small steps round to nothing: load(..., dtype=torch.float32).")
    pictures, prompts = all_rgb(pictures), as_prompts(prompts, "prompts")
    if len(pictures) != len(prompts):
        raise ValueError(f"{len(pictures)} pictures but {len(prompts)} prompts; give one prompt for each picture.")
    height, width = components.default_size
    return torch.cat([pil_to_latent(fitted(p, height, width), components.vae) for p in pictures]), prompts


def batch(n: int, batch_size: int, generator: torch.Generator) -> torch.Tensor:
    """Positions of `batch_size` of n pictures: all in a new order, again and again where the batch is larger."""
    rounds = -(-batch_size // n)
    return torch.cat([torch.randperm(n, generator=generator) for _ in range(rounds)])[:batch_size]
