"""The checks of notebook 02's exercises: right answers, the common wrong ones, and none."""

import exercise_tests
import torch
from diffusers import DDIMScheduler
from diffusers.schedulers.scheduling_euler_discrete import rescale_zero_terminal_snr

from sd_helpers.exercises import scheduler as check


def ddim(latents, noise_pred, alpha, alpha_next):
    """A right answer to exercise 3."""
    x0 = (latents - (1 - alpha) ** 0.5 * noise_pred) / alpha**0.5
    return alpha_next**0.5 * x0 + (1 - alpha_next) ** 0.5 * noise_pred


def zero_terminal(a):
    """A right answer to exercise 4."""
    roots = a**0.5
    shifted = roots - roots[-1]
    return (shifted * roots[0] / shifted[0]) ** 2


RIGHT = {
    1: [lambda s: 1 / (1 + s**2), lambda s: (1 + s * s) ** -1],
    2: [
        lambda x, e, s, exploding: x - s * e if exploding else x * (1 + s**2) ** 0.5 - s * e,
        lambda x, e, s, exploding: (
            (x if exploding else (x - s / (1 + s**2) ** 0.5 * e) * (1 + s**2) ** 0.5) - (s * e if exploding else 0)
        ),
    ],
    3: [ddim],
    4: [zero_terminal, lambda a: ((a**0.5 - a[-1] ** 0.5) / (1 - (a[-1] / a[0]) ** 0.5)) ** 2],
}
WRONG = {
    1: [
        (lambda s: (1 + s**2) ** -0.5, "its square"),
        (lambda s: s**2 / (1 + s**2), "variance of the noise"),
        (lambda s: 1 / (1 + s), "square root"),
        (lambda s: 1 / s**2, "multiply by a"),
        (lambda s: 0.5, "wrong"),
        (lambda s: None, "return its result"),
        (lambda s: s.no_such_thing, "AttributeError"),
        (lambda s: float(1 / (1 + s**2)) if isinstance(s, float) else 0.1, "shape"),
    ],
    2: [
        (lambda x, e, s, exploding: x - s * e, "exploding form"),
        (lambda x, e, s, exploding: x + s * e, "taken away"),
        (lambda x, e, s, exploding: x - e, "sigma times"),
        (lambda x, e, s, exploding: x * (1 + s**2) ** 0.5 - s * e, "right way round"),
        (lambda x, e, s, exploding: x - s * e if exploding else x / (1 + s**2) ** 0.5 - s * e, "you divide"),
        (lambda x, e, s, exploding: x - s * e if exploding else (x - s * e) * (1 + s**2) ** 0.5, "latents only"),
        (lambda x, e, s, exploding: x - s * e if exploding else x * (1 + s**2) - s * e, "forgot the root"),
    ],
    3: [
        (lambda x, e, a, b: (x - (1 - a) ** 0.5 * e) / a**0.5, "mix the noise prediction in again"),
        (lambda x, e, a, b: ddim(x, e, a, a), "mix with alpha_next"),
        (lambda x, e, a, b: b * (x - (1 - a) * e) / a + (1 - b) * e, "square roots"),
        (lambda x, e, a, b: b**0.5 * (x - (1 - a) ** 0.5 * e) + (1 - b) ** 0.5 * e, "Divide by sqrt"),
        (lambda x, e, a, b: b**0.5 * (x - (1 - a) ** 0.5 * e) / a**0.5 + (1 - a) ** 0.5 * e, "sqrt(1 - alpha_next)"),
        (lambda x, e, a, b: ddim(x, e, b, a), "other way round"),
        (lambda x, e, a, b: x - e, "is wrong"),
    ],
    4: [
        (lambda a: zero_terminal(a) ** 0.5, "square them"),
        (lambda a: (a**0.5 - a[-1] ** 0.5) ** 2, "stretch all"),
        (lambda a: (a - a[-1]) * a[0] / (a[0] - a[-1]), "not alphas_cumprod itself"),
        (lambda a: a, "subtract the last"),
        (lambda a: torch.cat([a[:-1], 0 * a[-1:]]), "Only the last"),
        (lambda a: zero_terminal(a) / a[0], "first and last"),
        (lambda a: a / 2, "evenly stretched"),
        (lambda a: None, "return its result"),
    ],
}
EXERCISES = {1: check.exercise_1, 2: check.exercise_2, 3: check.exercise_3, 4: check.exercise_4}
test_right_answers, test_wrong_answers_get_their_hint, test_open_exercises = exercise_tests.of(EXERCISES, RIGHT, WRONG)


def test_the_ddim_step_asked_for_is_diffusers(capsys):
    scheduler = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False)
    scheduler.set_timesteps(20)
    latents, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    t = scheduler.timesteps[7]
    alphas = scheduler.alphas_cumprod[t], scheduler.alphas_cumprod[t - 50]
    torch.testing.assert_close(ddim(latents, noise, *alphas), scheduler.step(noise, t, latents).prev_sample)


def test_the_schedule_asked_for_is_diffusers():
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    alphas = (1 - rescale_zero_terminal_snr(betas)).cumprod(dim=0)
    torch.testing.assert_close(zero_terminal((1 - betas).cumprod(dim=0)), alphas)


def test_an_answer_may_work_in_place(capsys):
    def x0_in_place(latents, noise_pred, sigma, exploding):
        if not exploding:
            latents *= (1 + sigma**2) ** 0.5
        latents -= sigma * noise_pred
        return latents

    check.exercise_2(x0_in_place)
    assert capsys.readouterr().out.startswith("Right.")
