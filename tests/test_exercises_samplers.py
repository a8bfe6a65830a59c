"""The checks of notebook 08's exercises: right answers, the common wrong ones, and none."""

import math

import exercise_tests
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler

from sd_helpers import LMSScheduler
from sd_helpers.exercises import samplers as check


def heun(x, s, n, predict):
    """A right answer to exercise 1."""
    first = predict(x, s)
    euler = x + (n - s) * first
    return euler if n == 0 else x + (n - s) * (first + predict(euler, n)) / 2


def two(before, here, after):
    """A right answer to exercise 2."""
    half = (after - here) ** 2 / (2 * (here - before))
    return after - here + half, -half


def levels(sigma, after, eta):
    """A right answer to exercise 3."""
    up = eta * after * (1 - (after / sigma) ** 2) ** 0.5
    return (after**2 - up**2) ** 0.5, up


def towards(x, x0, share):
    """The latents keep a share of themselves, the rest is x0."""
    return share * x + (1 - share) * x0


def dpm(x, x0, x1, before, here, after, factor=0.5, measure=math.log, turned=False):
    """A right answer to exercise 4; the last arguments make it wrong."""
    if after == 0:
        return x0
    if x1 is None:
        return towards(x, x0, after / here)
    ratio = (measure(here) - measure(after)) / (measure(before) - measure(here))
    ahead = x0 + factor * (1 / ratio if turned else ratio) * (x0 - x1)
    return towards(x, ahead, after / here)


def full(sigma, after):
    """sigma_up where eta is 1."""
    return levels(sigma, after, 1)[1]


RIGHT = {1: [heun, check.heun], 2: [two, lambda *s: torch.tensor(two(*s))], 3: [levels, lambda *s: list(levels(*s))], 4: [dpm]}
WRONG = {
    1: [
        (lambda x, s, n, p: x + (n - s) * p(x, s), "Euler's step"),
        (lambda x, s, n, p: x + (n - s) * (p(x, s) + p(x + (n - s) * p(x, s), n)), "half their sum"),
        (lambda x, s, n, p: x + (n - s) * p(x + (n - s) * p(x, s), n), "the second alone"),
        (lambda x, s, n, p: x + (n - s) * (p(x, s) + p(x + (n - s) * p(x, s), s)) / 2, "at sigma_next"),
        (lambda x, s, n, p: x + (n - s) * (p(x, s) + p(x, n)) / 2, "not at those before"),
        (lambda x, s, n, p: 2 * x - heun(x, s, n, p), "negative"),
        (lambda x, s, n, p: heun(x, s, n, p) + (n - s) * p(x, s), "from the beginning"),
        (lambda x, s, n, p: x + (n - s) * (p(x, s) + p(x + (n - s) * p(x, s), n)) / 2, "asked at sigma 0"),
    ],
    2: [
        (lambda *s: two(*s)[::-1], "other way round"),
        (lambda b, h, a: (a - h, 0), "Euler's step"),
        (lambda b, h, a: (1.5 * (a - h), -0.5 * (a - h)), "even steps"),
        (lambda *s: tuple(-c for c in two(*s)), "negative number"),
        (lambda b, h, a: (a - h - 2 * two(b, h, a)[1], 2 * two(b, h, a)[1]), "a half"),
        (lambda b, h, a: (a - h + two(b, h, a)[1], -two(b, h, a)[1]), "check the signs"),
        (lambda *s: 1.0, "two numbers"),
        (lambda *s: (1.0, 1.0), "is wrong"),
        (lambda *s: None, "return its result"),
    ],
    3: [
        (lambda *s: levels(*s)[::-1], "other way round"),
        (lambda *s: tuple(c**2 for c in levels(*s)), "square roots"),
        (lambda s, n, e: (n - levels(s, n, e)[1], levels(s, n, e)[1]), "as variances"),
        (lambda s, n, e: (levels(s, n, 1)[0], levels(s, n, e)[1]), "use eta there"),
        (lambda s, n, e: levels(s, n, 1), "do not use it"),
        (lambda s, n, e: levels(s, n, e**0.5), "not its square"),
        (lambda s, n, e: levels(s, n, e) if n else (0.1, 0.0), "no room for noise"),
        (lambda *s: "two", "two numbers"),
        (lambda *s: (1.0, 1.0), "is wrong"),
    ],
    4: [
        (lambda x, x0, x1, b, s, n: towards(x, x0, n / s), "Euler's step"),
        (lambda *a: dpm(*a, factor=1), "not a whole one"),
        (lambda *a: dpm(*a, factor=-0.5), "away from x0_before"),
        (lambda *a: dpm(*a, measure=lambda s: s), "not in sigma"),
        (lambda *a: dpm(*a, turned=True), "other way round"),
        (lambda x, x0, x1, b, s, n: (dpm(x, x0, x1, b, s, n) - n / s * x) / (1 - n / s), "keep sigma_next"),
        (lambda x, x0, x1, b, s, n: n / s * dpm(0 * x, x0, x1, b, s, n) / (1 - n / s) + (1 - n / s) * x, "shares are"),
        (lambda *a: dpm(*a) if a[2] is not None else a[1], "first step"),
        (lambda *a: dpm(*a) if a[5] else a[0], "x0 itself"),
        (lambda *a: a[0], "is wrong"),
    ],
}
EXERCISES = {1: check.exercise_1, 2: check.exercise_2, 3: check.exercise_3, 4: check.exercise_4}
test_right_answers, test_wrong_answers_get_their_hint, test_open_exercises = exercise_tests.of(EXERCISES, RIGHT, WRONG)


def test_the_two_coefficients_asked_for_are_lms():
    scheduler = LMSScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    scheduler.set_timesteps(20)
    sigmas = scheduler.sigmas.tolist()
    lms = [scheduler.get_lms_coefficient(2, 7, k) for k in range(2)]
    assert two(*sigmas[6:9]) == pytest.approx(lms, rel=1e-5)


def test_the_step_asked_for_is_diffusers():
    scheduler = DPMSolverMultistepScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    scheduler.set_timesteps(6)
    sigmas = scheduler.sigmas.double()
    mine = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * (1 + sigmas[0] ** 2) ** 0.5
    theirs, before = mine / (1 + sigmas[0] ** 2) ** 0.5, None
    for i, t in enumerate(scheduler.timesteps):
        noise = torch.randn(mine.shape, generator=torch.Generator().manual_seed(i + 1), dtype=torch.float64)
        x0 = mine - sigmas[i] * noise
        mine = dpm(mine, x0, before, sigmas[i - 1] if i else None, sigmas[i], sigmas[i + 1])
        theirs, before = scheduler.step(noise, t, theirs).prev_sample, x0
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)
