"""Checks of notebook 08's exercises, and the answer to the first, which the notebook's plot needs."""

import math

import numpy as np
import torch

from ..checks import NotYet, answered, exercise, expect, expect_close, expect_known


def heun(latents, sigma, sigma_next, predict):
    """Exploding latents after one step of Heun's method: a right answer to exercise 1."""
    slope = predict(latents, sigma)
    euler = latents + (sigma_next - sigma) * slope
    if sigma_next == 0:
        return euler
    return latents + (sigma_next - sigma) * (slope + predict(euler, sigma_next)) / 2


@exercise
def exercise_1(heun_step):
    """`heun_step(latents, sigma, sigma_next, predict)`: exploding latents after one step of Heun's method."""
    start, _ = _two(seed=3)
    for sigma, sigma_next in ((14.0, 9.0), (2.0, 1.2), (0.5, 0.1)):
        first = _perfect(start, sigma)
        euler = start + (sigma_next - sigma) * first
        second = _perfect(euler, sigma_next)
        value = answered(heun_step(start.clone(), sigma, sigma_next, _perfect))
        hints = {
            "That is Euler's step: ask for a second slope where it ends, and use the mean of both": euler,
            "The mean of two slopes is half their sum": start + (sigma_next - sigma) * (first + second),
            "Take the step again from the beginning, not from where Euler's step ended": (
                euler + (sigma_next - sigma) * (first + second) / 2
            ),
            "Use the mean of both slopes, not the second alone": start + (sigma_next - sigma) * second,
            "Ask for the second slope at sigma_next: it is less noisy there": (
                start + (sigma_next - sigma) * (first + _perfect(euler, sigma)) / 2
            ),
            "Ask for the second slope at the latents after Euler's step, not at those before it": (
                start + (sigma_next - sigma) * (first + _perfect(start, sigma_next)) / 2
            ),
            "The step goes from sigma to sigma_next: sigma_next - sigma, which is negative": (
                start - (sigma_next - sigma) * (first + second) / 2
            ),
        }
        right = heun(start, sigma, sigma_next, _perfect)
        expect_known(value, right, hints, f"From sigma {sigma} to {sigma_next} it is wrong")
    value = heun_step(start.clone(), 0.5, 0, _not_at_zero)
    expect_close(value, start - 0.5 * _perfect(start, 0.5), "To sigma 0 it is Euler's step")
    theirs, euler = (_error(step) for step in (heun_step, _euler_step))
    return f"On a path that is known exactly, ten steps of yours end {theirs:.4f} off, ten of Euler's {euler:.4f}."


@exercise
def exercise_2(two_slope_coefficients):
    """`two_slope_coefficients(sigma_before, sigma, sigma_next)`: those of the newer slope and of the older, a pair."""
    for before, here, after in ((3.0, 2.0, 1.0), (14.6, 10.8, 7.9), (0.5, 0.2, 0.03)):
        step, half = after - here, (after - here) ** 2 / (2 * (here - before))
        value = _pair(two_slope_coefficients(before, here, after))
        hints = {
            "You have them the other way round: the newer slope, at sigma, comes first": (-half, step + half),
            "That is Euler's step: the older slope has a part in it, too": (step, 0.0),
            "Those are for even steps; here the step before may have had another length": (1.5 * step, -0.5 * step),
            "The step is sigma_next - sigma, a negative number": (-step - half, half),
            "The straight line goes on from the newer slope: it has to be integrated, which gives a half": (
                step + 2 * half,
                -2 * half,
            ),
            "Going on, the slope changes away from the older one: check the signs": (step - half, half),
        }
        expect_known(value, (step + half, -half), hints, f"From sigma {here:g} to {after:g}, after {before:g}, it is wrong")
    return "They add up to the step; with even steps they are 3/2 and -1/2 of it: Adams and Bashforth's of 1883."


@exercise
def exercise_3(random_levels):
    """`random_levels(sigma, sigma_next, eta)`: (sigma_down, sigma_up) of a step that is random to the part eta."""
    for sigma, after, eta in ((14.6, 10.8, 1.0), (2.0, 1.3, 1.0), (2.0, 1.3, 0.5), (2.0, 1.3, 0.0), (0.5, 0.03, 1.0)):
        full = after * (1 - (after / sigma) ** 2) ** 0.5
        up = eta * full
        down = (after**2 - up**2) ** 0.5
        value = _pair(random_levels(sigma, after, eta))
        hints = {
            "You have them the other way round: sigma_down comes first": (up, down),
            "Those are variances; sigmas are their square roots": (down**2, up**2),
            "Noises add up as variances: sigma_down**2 + sigma_up**2 = sigma_next**2": (after - up, up),
            "sigma_down must make room for the noise that is really added: use eta there, too": (
                (after**2 - full**2) ** 0.5,
                up,
            ),
            "eta scales sigma_up; you do not use it": ((after**2 - full**2) ** 0.5, full),
            "eta multiplies sigma_up, not its square": ((after**2 - eta * full**2) ** 0.5, eta**0.5 * full),
        }
        expect_known(value, (down, up), hints, f"From sigma {sigma:g} to {after:g} with eta {eta:g} it is wrong")
    value = _pair(random_levels(0.5, 0, 1.0))
    expect_close(torch.tensor(value), torch.zeros(2), "To sigma 0 there is no room for noise: both are 0")
    return "eta 0 is Euler and DDIM, eta 1 Euler ancestral and DDPM."


@exercise
def exercise_4(dpm_step):
    """`dpm_step(latents, x0, x0_before, sigma_before, sigma, sigma_next)`: exploding latents after a step of DPM++ 2M."""
    latents, x0 = _two(seed=5)
    _, x0_before = _two(seed=6)
    for before, here, after in ((14.0, 9.0, 5.0), (2.0, 1.2, 0.9), (0.5, 0.3, 0.05)):
        step, last = math.log(here / after), math.log(before / here)
        towards = lambda clean, here=here, after=after: after / here * latents + (1 - after / here) * clean  # noqa: E731
        ahead = x0 + step / last / 2 * (x0 - x0_before)
        value = answered(dpm_step(latents.clone(), x0.clone(), x0_before.clone(), before, here, after))
        hints = {
            "That is Euler's step: x0_before says where x0 is moving, go on half a step that way": towards(x0),
            "Half a step, not a whole one: the mean of x0 over the step lies at its middle": (
                towards(x0 + step / last * (x0 - x0_before))
            ),
            "Go on from x0 away from x0_before: x0 - x0_before": towards(x0 - step / last / 2 * (x0 - x0_before)),
            "Steps are measured in log(sigma) here, not in sigma": (
                towards(x0 + (here - after) / (before - here) / 2 * (x0 - x0_before))
            ),
            "The ratio is this step by the step before, you have it the other way round": (
                towards(x0 + last / step / 2 * (x0 - x0_before))
            ),
            "That is the x0 to go to; keep sigma_next / sigma of the latents, and take the rest from it": ahead,
            "The shares are the other way round: sigma_next / sigma of the latents stays": (
                after / here * ahead + latents * (1 - after / here)
            ),
        }
        expect_known(value, towards(ahead), hints, f"From sigma {here} to {after} it is wrong")
    first = dpm_step(latents.clone(), x0.clone(), None, None, 9.0, 5.0)
    expect_close(first, 5 / 9 * latents + 4 / 9 * x0, "In the first step x0_before is None: then it is Euler's step")
    last = dpm_step(latents.clone(), x0.clone(), x0_before.clone(), 0.5, 0.3, 0)
    expect_close(last, x0, "To sigma 0 the logarithm is infinite: there the result is x0 itself")
    return "That is DPMSolverMultistepScheduler.step, in the exploding form."


def _two(seed: int):
    """Two tensors of noise, (1, 4, 8, 8) each."""
    return torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(seed)).unbind(0)


def _pair(value):
    """The two numbers a learner returned, or a hint."""
    value = answered(value)
    expect(value is not None, "It is None: does your function return its result?")
    try:
        one, other = (float(each) for each in np.asarray(value, dtype=float).ravel())
    except (TypeError, ValueError):
        raise NotYet("It should return two numbers: return one, other.") from None
    return one, other


def _perfect(latents, sigma):
    """What a perfect network says when all pictures there are have independent numbers of standard deviation 0.5."""
    return latents * sigma / (sigma**2 + 0.25)


def _not_at_zero(latents, sigma):
    expect(float(sigma) > 0, "The network was asked at sigma 0; when sigma_next is 0, return the Euler step")
    return _perfect(latents, sigma)


def _euler_step(latents, sigma, sigma_next, predict):
    return latents + (sigma_next - sigma) * predict(latents, sigma)


def _error(step) -> float:
    """How far ten steps from sigma 10 to 0.1 end from where the path of `_perfect` leads, which is known."""
    start, _ = _two(seed=4)
    latents, sigmas = 10 * start, [10 * 0.01 ** (i / 10) for i in range(11)]
    for sigma, sigma_next in zip(sigmas, sigmas[1:]):
        latents = step(latents, sigma, sigma_next, _perfect)
    exact = 10 * start * ((sigmas[-1] ** 2 + 0.25) / (sigmas[0] ** 2 + 0.25)) ** 0.5
    return float((latents - exact).std())
