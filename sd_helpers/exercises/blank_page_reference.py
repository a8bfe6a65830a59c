"""What the tasks of the blank page start from and should lead to: the loop in its plainest form, worked out by `sd_helpers`."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from diffusers import EulerDiscreteScheduler
from PIL import Image

from ..checks import OPEN, NotYet, answered, expect
from ..components import Components, load
from ..drawing import starting_noise
from ..guidance import guided
from ..schedulers import scheduler_like, set_timesteps
from ..text import embed_prompt


@dataclasses.dataclass(frozen=True)
class Given:
    """What each task starts from, so that none waits for another."""

    token_ids: torch.Tensor  # (2, 77): the empty prompt, the prompt
    prompt_embeds: torch.Tensor  # (2, 77, D), in that order
    timesteps: torch.Tensor  # (n,), 999 first
    sigmas: torch.Tensor  # (n + 1,), the last is 0
    latents: torch.Tensor  # (1, 4, h, w), where the loop starts
    noise_pred: torch.Tensor  # (1, 4, h, w), guided, at the first step
    stds: torch.Tensor  # (n + 1,), standard deviation of the latents at each sigma


_KNOWN: list[Components] = []  # the model that the checks draw with


def parts(components: Components | None = None) -> Components:
    """The components that are given; without them those that `given` was last asked about, else the chosen model's."""
    if components is not None:
        return components
    if not _KNOWN:
        _KNOWN.append(load())
    return _KNOWN[-1]


def euler(components: Components) -> Components:
    """The same components with an Euler scheduler over the same noise schedule."""
    return dataclasses.replace(components, scheduler=scheduler_like(components.scheduler, EulerDiscreteScheduler))


@torch.no_grad()
def given(components: Components, prompt: str, seed: int, num_inference_steps: int, guidance_scale: float) -> Given:
    """The right results along the way for one prompt and seed, to try things out on and to compare with.

    Args:
        num_inference_steps, guidance_scale: as `generate` takes them.
    """
    _KNOWN[:] = [components]
    ids = padded_ids(prompt, components.tokenizer)
    embeds = embed_prompt(["", prompt], components.tokenizer, components.text_encoder)
    timesteps, sigmas = schedule(components, num_inference_steps)
    path = loop(components, prompt, seed, num_inference_steps, guidance_scale)
    noise_pred = guided(*two_predictions(components.unet, path[0], sigmas[0], timesteps[0], embeds), guidance_scale)
    stds = torch.stack([latents.float().std().cpu() for latents in path])
    return Given(ids, embeds, torch.tensor(timesteps), torch.tensor(sigmas), path[0], noise_pred, stds)


def loop(components, prompt, seed, steps, scale, flaw: str = ""):
    """The latents at each sigma, a list of n + 1, with one thing done wrong if `flaw` names it."""
    embeds = embed_prompt(["", prompt], components.tokenizer, components.text_encoder)
    timesteps, sigmas = schedule(components, steps)
    path = [starting_noise(components, seed) * (1 if flaw == "start" else sigmas[0])]
    for i in range(flaw == "first", steps - (flaw == "last")):
        pair = two_predictions(components.unet, path[-1], 0 if flaw == "input" else sigmas[i], timesteps[i], embeds)
        noise_pred = guided(*(reversed(pair) if flaw == "swapped" else pair), 1 if flaw == "unguided" else scale)
        path.append(path[-1] + (sigmas[i + 1] - sigmas[i]) * noise_pred)
    return path


def padded_ids(prompt: str, tokenizer):
    """Token ids of the empty prompt and the prompt, (2, 77)."""
    settings = dict(padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt")
    return tokenizer(["", prompt], **settings).input_ids


def schedule(components, num_inference_steps: int) -> tuple[list[float], list[float]]:
    """Timesteps (n) and sigmas (n + 1) of the library's Euler scheduler."""
    scheduler = euler(components).scheduler
    set_timesteps(scheduler, num_inference_steps)
    return scheduler.timesteps.tolist(), scheduler.sigmas.tolist()


def two_predictions(unet, latents, sigma: float, timestep: float, embeds):
    """Noise predicted for the empty prompt and for the prompt, (1, 4, h, w) each."""
    scaled = torch.cat([latents] * 2) / (sigma**2 + 1) ** 0.5
    return unet(scaled, timestep, embeds, return_dict=False)[0].chunk(2)


def tensor_of(value, hint: str):
    """An answer as a tensor on the CPU, or `NotYet`."""
    expect(value is not None, "It is None: does your function return its result?")
    if isinstance(value, (list, tuple)) and any(part is ... for part in value):
        raise NotYet(OPEN)
    try:
        return (value if torch.is_tensor(value) else torch.tensor(np.array(value))).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        raise NotYet(f"{hint}; it is a {type(value).__name__}.") from None


def picture_of(draw, arguments, shape) -> np.ndarray:
    """What a learner's `draw` returns as (H, W, 3) of 0 to 255, or `NotYet` with what it is instead."""
    try:
        picture = answered(draw(*arguments))
    except TypeError as error:
        if "data type" not in str(error):
            raise
        raise NotYet(f"PIL wants (H, W, 3) of bytes: move the channels last, and end with .byte(). ({error})") from error
    if isinstance(picture, (list, tuple)) and len(picture) == 1:
        picture = picture[0]
    expect(isinstance(picture, Image.Image), f"It should be a PIL picture, and is a {type(picture).__name__}.")
    size = f"It has {picture.width} x {picture.height} pixels in mode {picture.mode}, not {shape[1]} x {shape[0]} in RGB."
    expect(picture.mode == "RGB" and picture.size == (shape[1], shape[0]), size)
    return np.asarray(picture, dtype=np.float64)


def tolerance_of(components) -> float:
    """How far two ways of calling one network may differ: a CPU's float32 is exact, a GPU's and half precision are not."""
    return 1e-4 if components.dtype == torch.float32 and components.device.type == "cpu" else 2e-2


def levels_allowed(components) -> float:
    """How far a right picture may be from `generate`'s, as a mean over levels of 0 to 255."""
    return 0.5 if components.dtype == torch.float32 else 2.0


def compare(value, expected, wrong, otherwise: str, tolerance: float = 1e-4, relative: bool = False) -> None:
    """`NotYet` unless value agrees with expected; with a hint of its own if it agrees with one of the wrong results.

    Args:
        wrong: hint -> tensor, or an iterator of (hint, tensor), looked at only where value is wrong.
        tolerance: of the largest number's size, or with `relative` of each number's own.
    """
    value, expected = value.double(), expected.detach().cpu().double()
    shape = f"Its shape is {tuple(value.shape)}, and should be {tuple(expected.shape)}."
    expect(value.shape == expected.shape, shape)

    def near(other):
        other = other.detach().cpu().double()
        size = other.abs() + 1e-6 if relative else other.abs().max()
        return bool(((value - other).abs() <= tolerance * size).all())

    if near(expected):
        return
    for hint, other in wrong.items() if isinstance(wrong, dict) else wrong:
        expect(not near(other), hint)
    raise NotYet(f"{otherwise} (off by {(value - expected).abs().max():.2g}).")
