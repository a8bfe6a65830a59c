"""Noise levels: which timesteps a sampler visits, and how much of a latent is signal and how much noise at each."""

from __future__ import annotations

import inspect

import numpy as np
import torch
from diffusers import LMSDiscreteScheduler

from .arguments import whole_number


class LMSScheduler(LMSDiscreteScheduler):
    """diffusers' LMS sampler, with two differences.

    It may start in the middle of the schedule: the order of a step is the number of slopes it has, at most 4, where
    diffusers takes it from the position in the schedule and multiplies a single slope by a fourth-order coefficient.
    And its coefficients are integrated in closed form, since the integrand is a polynomial.
    Started at the beginning it equals diffusers' scheduler.
    """

    def step(self, model_output, timestep, sample, order: int = 4, return_dict: bool = True):
        """One step towards less noise; see `LMSDiscreteScheduler.step`."""
        slopes = min(len(self.derivatives) + 1, order)
        return super().step(model_output, timestep, sample, order=slopes, return_dict=return_dict)

    def get_lms_coefficient(self, order: int, t: int, current_order: int) -> float:
        """The integral from sigma[t] to sigma[t + 1] of the Lagrange polynomial that is 1 at sigma[t - current_order]."""
        sigmas = np.asarray(self.sigmas, dtype=np.float64)
        here = sigmas[t - current_order]
        others = [sigmas[t - k] for k in range(order) if k != current_order]
        basis = np.atleast_1d(np.poly(others)) / np.prod([here - s for s in others])
        integral = np.polyint(basis)
        return float(np.polyval(integral, sigmas[t + 1]) - np.polyval(integral, sigmas[t]))


def scheduler_like(scheduler, cls, **overrides):
    """A scheduler of class `cls` over the noise schedule of `scheduler`, with the settings SD v1 uses.

    `cls.from_config(scheduler.config)` alone also carries over defaults that do not suit Stable Diffusion, such as
    DDIM's `clip_sample=True`.

    Args:
        scheduler: gives betas, number of training steps and prediction type.
        cls: a diffusers scheduler class, such as `DDIMScheduler`.
        overrides: any argument of `cls`, such as `use_karras_sigmas=True`.
    """
    schedule = ("beta_start", "beta_end", "beta_schedule", "num_train_timesteps", "prediction_type", "trained_betas")
    settings = {key: scheduler.config[key] for key in schedule if key in scheduler.config}
    settings |= dict(clip_sample=False, set_alpha_to_one=False, skip_prk_steps=True, steps_offset=1)
    accepted = inspect.signature(cls).parameters
    return cls(**{key: value for key, value in settings.items() if key in accepted} | overrides)


def set_timesteps(scheduler, num_inference_steps: int) -> None:
    """Choose `num_inference_steps` of the training timesteps; sets `scheduler.timesteps` and, where it has them, `sigmas`.

    Raises:
        ValueError: not a whole number from 1 to the number of training steps.
    """
    most = scheduler.config.num_train_timesteps
    scheduler.set_timesteps(whole_number("num_inference_steps", num_inference_steps, 1, most, "20 to 50 are usual."))
    if int(scheduler.timesteps.max()) >= most:  # an offset pushed the first past the end
        raise ValueError(f"num_inference_steps={num_inference_steps}: {type(scheduler).__name__} allows at most {most - 1}.")
    if scheduler.timesteps.dtype == torch.float64:  # Apple's mps has no 64-bit floats
        scheduler.timesteps = scheduler.timesteps.to(torch.float32)


def is_exploding(scheduler) -> bool:
    """Whether latents are x + sigma * n (LMS, Euler), not sqrt(a) * x + sqrt(1 - a) * n (DDIM, PNDM, DPM++, UniPC)."""
    return float(scheduler.init_noise_sigma) != 1


def noise_level(scheduler, index: int) -> tuple[float, float]:
    """(signal, sigma) at step `index` of the schedule: latents = signal * (x0 + sigma * noise).

    In the exploding form signal is 1; in the preserving form signal**2 + (signal * sigma)**2 is 1.
    """
    if hasattr(scheduler, "sigmas"):
        sigma = float(scheduler.sigmas[index])
    else:
        alpha = float(scheduler.alphas_cumprod[int(scheduler.timesteps[index])])
        sigma = ((1 - alpha) / alpha) ** 0.5
    return (1.0 if is_exploding(scheduler) else (1 + sigma**2) ** -0.5), sigma


def add_noise(scheduler, latents, noise, index: int):
    """Latents with the noise they have at step `index` of the schedule; past its end, with none.

    Args:
        latents, noise: (n, 4, h, w).
        index: 0 to the number of timesteps.
    """
    if index >= len(scheduler.timesteps):
        return latents
    signal, sigma = noise_level(scheduler, index)
    return signal * (latents + sigma * noise)
