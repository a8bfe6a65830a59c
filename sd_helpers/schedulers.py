"""Noise levels: which timesteps a sampler visits, and how much of a latent is signal and how much noise at each."""

from __future__ import annotations

import inspect
import math
import warnings

import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from .arguments import door, kind_of, real_number, whole_number

PREDICTED = ("epsilon", "v_prediction")  # what a U-Net may have been trained to answer: the noise, or the velocity
FLOW = "flow"  # or the other velocity, noise - x0, where signal and noise share a straight line (Liu et al. 2022)


@door
def scheduler_like(scheduler, cls, **overrides):
    """A scheduler of class `cls` over the noise schedule of `scheduler`, with the settings SD v1 uses.

    `cls.from_config(scheduler.config)` alone also carries over defaults that do not suit Stable Diffusion, such as
    DDIM's `clip_sample=True`.

    Args:
        scheduler: gives betas, number of training steps and prediction type.
        cls: a diffusers scheduler class, such as `DDIMScheduler`.
        overrides: any argument of `cls`, such as `use_karras_sigmas=True`.
    """
    if not (isinstance(cls, type) and hasattr(cls, "set_timesteps")):
        raise ValueError(f"cls must be a scheduler class of diffusers, such as EulerDiscreteScheduler, not {kind_of(cls)}.")
    schedule = ("beta_start", "beta_end", "beta_schedule", "num_train_timesteps", "prediction_type", "trained_betas")
    settings = {key: scheduler.config[key] for key in schedule if key in scheduler.config}
    settings |= dict(clip_sample=False, set_alpha_to_one=False, skip_prk_steps=True, steps_offset=1)
    settings["lower_order_final"] = True  # the singlestep solver warns otherwise that it sets this itself
    accepted = inspect.signature(cls).parameters
    if answered(scheduler) == FLOW:
        raise ValueError(f"{type(scheduler).__name__} has no betas that {cls.__name__} could take over: it is for flow matching.")
    try:
        made = cls(**{key: value for key, value in settings.items() if key in accepted} | overrides)
    except (TypeError, ValueError, ImportError, NotImplementedError) as error:
        raise ValueError(f"{cls.__name__} cannot be made over this noise schedule: {str(error).strip()}") from error
    check_scheduler(made)
    return made


def answered(scheduler) -> str:
    """What a network that goes with this scheduler answers: one of `PREDICTED`, or `FLOW`."""
    if isinstance(scheduler, FlowMatchEulerDiscreteScheduler):
        return FLOW
    return getattr(scheduler.config, "prediction_type", "")


def check_flow(scheduler) -> None:
    """A ValueError unless the loop can draw with this scheduler of flow matching: from noise, over levels of its own."""
    if scheduler.config.use_dynamic_shifting:
        raise ValueError(
            "FlowMatchEulerDiscreteScheduler with use_dynamic_shifting=True takes its shift from the picture's size, which the "
            "loop does not know: pass use_dynamic_shifting=False and the shift itself, 3 for SD3's pictures of 1024 pixels."
        )
    real_number("shift of FlowMatchEulerDiscreteScheduler", scheduler.shift, 1e-3, remedy="1 is none, SD3 takes 3.")
    if scheduler.config.invert_sigmas:
        raise ValueError("FlowMatchEulerDiscreteScheduler with invert_sigmas=True leads from pictures to noise; leave it out.")


def check_scheduler(scheduler) -> None:
    """A ValueError unless Stable Diffusion can be drawn with a scheduler: over betas, as its are, and predicting noise.

    Those of flow matching, of EDM, of consistency models and of models over tokens are for other networks.
    """
    name, config = type(scheduler).__name__, getattr(scheduler, "config", None)
    alphas, betas = getattr(scheduler, "alphas_cumprod", None), getattr(scheduler, "betas", None)
    usual = "LMSDiscreteScheduler, EulerDiscreteScheduler and DDIMScheduler can"
    if config is None or alphas is None or betas is None or not hasattr(config, "prediction_type"):
        raise ValueError(f"{name} cannot draw with this kind of model: it has no noise schedule of betas. {usual}.")
    if not torch.allclose((1 - betas.double()).cumprod(dim=0), alphas.double(), atol=1e-3):
        raise ValueError(f"{name} cannot draw with this kind of model: it shifts the noise levels of its betas. {usual}.")
    if getattr(config, "use_flow_sigmas", False):
        raise ValueError(f"{name} with use_flow_sigmas=True is for models trained by flow matching; leave it out.")
    if config.prediction_type not in PREDICTED:
        raise ValueError(f"{name} with prediction_type={config.prediction_type!r}: the loop knows {' and '.join(PREDICTED)}.")
    needed = inspect.signature(scheduler.step).parameters.values()
    extra = [p.name for p in needed if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD][3:]
    if extra:
        raise ValueError(f"{name} cannot draw with this kind of model: its step also wants {', '.join(extra)}. {usual}.")


@door
def set_timesteps(scheduler, num_inference_steps: int) -> None:
    """Choose `num_inference_steps` of the training timesteps; sets `scheduler.timesteps` and, where it has them, `sigmas`.

    Raises:
        ValueError: not a whole number from 1 to the number of training steps.
    """
    most = scheduler.config.num_train_timesteps
    num_inference_steps = whole_number("num_inference_steps", num_inference_steps, 1, most, "20 to 50 are usual.")
    scheduler.set_timesteps(num_inference_steps)
    if answered(scheduler) != FLOW and int(scheduler.timesteps.max()) >= most:  # an offset pushed the first past the end
        raise ValueError(f"num_inference_steps={num_inference_steps}: {type(scheduler).__name__} allows at most {most - 1}.")
    if scheduler.timesteps.dtype == torch.float64:  # Apple's mps has no 64-bit floats
        scheduler.timesteps = scheduler.timesteps.to(torch.float32)


def noise_of(predicted, model_input, sigma, prediction_type: str):
    """The noise that a U-Net's answer stands for: the answer itself, or worked out of a velocity (Salimans and Ho 2022).

    The velocity is signal * noise - share * x0 where signal**2 + share**2 is 1; for flow, where signal + share is 1, noise - x0.

    Args:
        predicted: (n, 4, h, w), what the U-Net answered; guided or not, since guidance and this are both linear.
        model_input: (n, 4, h, w), what the U-Net saw: signal * x0 + share * noise.
        sigma: ratio of noise to signal, share / signal; infinite for flow at pure noise.
        prediction_type: "epsilon", "v_prediction" or "flow".
    """
    if prediction_type == "epsilon":
        return predicted
    if prediction_type == FLOW:
        return model_input + predicted / (1 + sigma)
    signal = (1 + sigma**2) ** -0.5
    return signal * predicted + signal * sigma * model_input


def takes_noise(scheduler) -> bool:
    """Whether the scheduler's step can draw noise from a generator, or from one for each latent."""
    return "generator" in inspect.signature(scheduler.step).parameters


def step_noise(scheduler, generator) -> dict:
    """What to give to each `scheduler.step`, so that the noise of random samplers comes from these generators.

    Args:
        scheduler: already a copy: one whose step takes none (the SDE sampler) is seeded itself, a seed for each latent.
        generator: a list, one for each latent; one for all; or None: torch's own.
    """
    if generator is None:
        return {}
    if takes_noise(scheduler):
        return {"generator": generator}
    if hasattr(scheduler, "noise_sampler_seed"):
        each = generator if isinstance(generator, list) else [generator]
        seeds = [int(torch.randint(2**62, (1,), generator=one, device=one.device)) for one in each]
        # It asks torchsde for times that lie beyond its interval by a rounding, which that warns of each time.
        warnings.filterwarnings("ignore", message="Should have t[ab]", module="torchsde")
        scheduler.noise_sampler_seed = seeds if isinstance(generator, list) else seeds[0]
    return {}


def is_exploding(scheduler) -> bool:
    """Whether latents are x + sigma * n (LMS, Euler), not sqrt(a) * x + sqrt(1 - a) * n (DDIM, PNDM, DPM++, UniPC)."""
    return float(scheduler.init_noise_sigma) != 1


@door
def noise_level(scheduler, index: int) -> tuple[float, float]:
    """(signal, sigma) at step `index` of the schedule: latents = signal * (x0 + sigma * noise).

    In the exploding form signal is 1; in the preserving form signal**2 + (signal * sigma)**2 is 1; for flow signal * (1 + sigma)
    is 1, and at pure noise signal is 0 and sigma infinite.
    """
    signal, share = _shares(scheduler, whole_number("index", index, 0, len(scheduler.timesteps) - 1))
    return signal, share / signal if signal else math.inf


def _shares(scheduler, index: int) -> tuple[float, float]:
    """(signal, share) at a step of the schedule: latents = signal * x0 + share * noise."""
    if answered(scheduler) == FLOW:
        share = float(scheduler.sigmas[index])
        return 1 - share, share
    if hasattr(scheduler, "sigmas"):
        sigma = float(scheduler.sigmas[index])
    else:
        alpha = float(scheduler.alphas_cumprod[int(scheduler.timesteps[index])])
        sigma = ((1 - alpha) / alpha) ** 0.5
    signal = 1.0 if is_exploding(scheduler) else (1 + sigma**2) ** -0.5
    return signal, signal * sigma


@door(latents="(n, channels, h, w)", noise="(n, channels, h, w)")
def add_noise(scheduler, latents, noise, index: int):
    """Latents with the noise they have at step `index` of the schedule; past its end, with none.

    Args:
        latents, noise: (n, channels, h, w), 4 of SD v1.
        index: 0 to the number of timesteps.
    """
    if whole_number("index", index, 0) >= len(scheduler.timesteps):
        return latents
    if latents.shape[1:] != noise.shape[1:]:
        raise ValueError(f"noise is {tuple(noise.shape)} and latents are {tuple(latents.shape)}: they must fit each other.")
    signal, share = _shares(scheduler, index)
    return signal * latents + share * noise
