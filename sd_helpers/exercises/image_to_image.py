"""Checks of notebook 06: the noisy start, when the picture wins, start steps and strength, a solver begun in the middle."""

from __future__ import annotations

import math
import numbers

import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, LMSDiscreteScheduler

from sd_helpers.checks import NotYet, answered, as_number, exercise, expect, expect_close
from sd_helpers.lms import LMSScheduler
from sd_helpers.schedulers import scheduler_like, set_timesteps


@exercise
def exercise_1(noisy_start):
    """`noisy_start(scheduler, latent, noise, start_step)`: what the loop starts from, for Euler and for DDIM."""
    latent, noise = _latents(1) * 0.8, _latents(2)
    for kind, n, start in [
        (EulerDiscreteScheduler, 50, 10),
        (DDIMScheduler, 50, 10),
        (LMSScheduler, 20, 15),
        (DDIMScheduler, 20, 4),
    ]:
        scheduler = _schedule(kind, n)
        value = answered(noisy_start(scheduler, latent.clone(), noise.clone(), start))
        alpha, by_step = (float(scheduler.alphas_cumprod[i]) for i in (int(scheduler.timesteps[start]), start))
        sigma = ((1 - alpha) / alpha) ** 0.5 if kind is DDIMScheduler else float(scheduler.sigmas[start])
        exploding, preserving = latent + sigma * noise, alpha**0.5 * latent + (1 - alpha) ** 0.5 * noise
        right = preserving if kind is DDIMScheduler else exploding
        slips = {
            "its latents are x0 + sigma * n, nothing is scaled down": preserving,
            "its latents keep a variance of 1, so the picture is scaled down too": exploding,
            "alphas_cumprod is indexed by the timestep, not by the start step": by_step**0.5 * latent
            + (1 - by_step) ** 0.5 * noise,
            "both factors are square roots": alpha * latent + (1 - alpha) * noise,
            "the picture is missing, this is only noise": right - latent * (alpha**0.5 if right is preserving else 1),
        }
        for hint, slip in slips.items():
            expect(slip is right or not _same(value, slip), f"{kind.__name__}: {hint}.")
        expect_close(value, right, f"{kind.__name__}, start step {start} of {n}: not the latents that the loop expects", 1e-3)
    return "The same picture, the same noise, in two ways of writing it."


@exercise
def exercise_2(picture_wins):
    """`picture_wins(sigmas, k)`: the first start step whose noise, averaged over k by k latents, is below 1."""
    for n, k, karras in [(50, 1, False), (50, 4, False), (20, 1, True), (30, 2, False), (10, 3, True), (50, 16, False)]:
        sigmas = _schedule(EulerDiscreteScheduler, n, use_karras_sigmas=karras).sigmas
        value, right = as_number(picture_wins(sigmas.clone(), k)), _first_below(sigmas, k)
        case = f"For a schedule of {n} steps and k={k} it should be {right}, and is {value:g}."
        if value == right:
            continue
        expect(value != _first_below(sigmas, 1), f"{case} That is the answer for k=1: use k.")
        expect(value != _first_below(sigmas, k * k), f"{case} The mean of N numbers has sqrt(N) times less noise; N is k * k.")
        expect(value != right - 1, f"{case} That is the last step at which the noise is still as strong, one too early.")
        expect(value != right + 1, f"{case} One too late: counting starts at 0.")
        near = min(abs(value - float(sigmas[right])), abs(value - float(sigmas[right]) / k))
        expect(near > 1e-4, f"{case} That is the noise at the step; wanted is the position of the step.")
        raise NotYet(f"{case} Divide sigmas by k, and find the first that is below 1.")
    return "Broad areas win long before single latents do."


@exercise
def exercise_3(start_step_of):
    """`start_step_of(strength, num_inference_steps)`: where diffusers' image-to-image pipeline begins."""
    for n, strength in [
        (50, 0.8),
        (7, 0.3),
        (15, 0.5),
        (20, 1.0),
        (50, 0.0),
        (30, 0.99),
        (50, 0.34),
        (50, 1 - 17 / 50),
        (10, 0.7),
        (50, 0.42),
        (20, 0.85),
    ]:
        value, run = answered(start_step_of(strength, n)), min(int(n * strength), n)
        case = f"For strength={strength:g} and {n} steps it should be {n - run}, and is {value!r}."
        expect(value is not None, "It is None: does your function return its result?")
        expect(isinstance(value, numbers.Real), f"{case} A start step is a number.")
        if value == n - run:
            expect(isinstance(value, numbers.Integral), f"It is {value!r}: a start step is a whole number, an int.")
            continue
        expect(value != n - round(n * strength), f"{case} diffusers truncates with int(), it does not round.")
        left_out = (int(n * (1 - strength)), int(n - n * strength), math.ceil(n * (1 - strength)))
        expect(value not in left_out, f"{case} diffusers truncates the number of steps it runs, not of those it leaves out.")
        expect(value != run, f"{case} That is how many steps are run; the start step is how many are left out.")
        raise NotYet(f"{case} How many steps does diffusers run? It leaves out the others.")
    return "And truncation is why a strength should aim at the middle of a step."


@exercise
def exercise_4(from_the_middle):
    """`from_the_middle(scheduler, predict, latents, start_step)`: diffusers' LMS from any step, with nothing left behind."""
    latent, noise = _latents(3), _latents(4)

    def curved(model_input, t):
        return torch.tanh(2 * model_input + torch.as_tensor(t).float() / 500)

    for start in (10, 0, 30):
        scheduler = _schedule(LMSDiscreteScheduler, 50)
        noisy = latent + scheduler.sigmas[start] * noise
        value = answered(from_the_middle(scheduler, lambda model_input, t: noise, noisy.clone(), start))
        if start and _same(value, _run(LMSDiscreteScheduler, lambda x, t: noise, noisy, start)):
            raise NotYet(f"Started at step {start}, noise is left behind: give `scheduler.step` the order it has slopes for.")
        expect_close(
            value, latent, f"With the exact noise, started at step {start}, you should arrive at the picture itself", 1e-3
        )
        right = _run(LMSScheduler, curved, noisy, start)
        value = answered(from_the_middle(_schedule(LMSDiscreteScheduler, 50), curved, noisy.clone(), start))
        euler = _same(value, _run(LMSDiscreteScheduler, curved, noisy, start, order=lambda slopes: 1))
        expect(not euler, "Nothing is left, but the order stays 1, which is Euler's: let it rise with the slopes, to 4.")
        unscaled = _same(value, _run(LMSScheduler, curved, noisy, start, scaled=False))
        expect(not unscaled, "`predict` wants the scaled input: scheduler.scale_model_input(latents, t).")
        expect_close(
            value, right, "The order of the first step is 1, of the second 2, and from the fourth on 4. Yours differs", 1e-3
        )
    return "Nothing is left behind, and the order is as high as it can be."


def _schedule(kind, n: int, **overrides):
    """A fresh scheduler with SD v1's noise schedule and n timesteps."""
    plain = LMSScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000)
    scheduler = scheduler_like(plain, kind, **overrides)
    set_timesteps(scheduler, n)
    return scheduler


def _latents(seed: int) -> torch.Tensor:
    return torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(seed))


def _first_below(sigmas, k: float) -> int:
    return int((sigmas / k < 1).nonzero()[0])


def _same(value, expected) -> bool:
    is_like = torch.is_tensor(value) and value.shape == expected.shape
    return is_like and torch.allclose(value.float(), expected, atol=2e-3, rtol=1e-3)


def _run(kind, predict, latents, start: int, scaled: bool = True, order=None):
    """The loop from `start` with a scheduler of class `kind`; `order` gives a step's order from the slopes there are."""
    scheduler = _schedule(kind, 50)
    for i, t in enumerate(scheduler.timesteps[start:]):
        model_input = scheduler.scale_model_input(latents, t)
        chosen = {"order": order(i + 1)} if order else {}
        latents = scheduler.step(predict(model_input if scaled else latents, t), t, latents, **chosen).prev_sample
    return latents
