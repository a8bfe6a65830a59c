"""The checks of notebook 06 tell right answers from wrong ones, and say what is wrong."""

import pytest
import torch

from sd_helpers import LMSScheduler, noise_level
from sd_helpers.exercises import image_to_image as check

OPEN = "Not answered"


def told(capsys, exercise, answer) -> str:
    exercise(answer)
    return capsys.readouterr().out.strip()


def exploding(scheduler, latent, noise, start_step):
    return latent + noise_level(scheduler, start_step)[1] * noise


def preserving(scheduler, latent, noise, start_step, index=lambda scheduler, step: int(scheduler.timesteps[step]), power=0.5):
    alpha = scheduler.alphas_cumprod[index(scheduler, start_step)]
    return alpha**power * latent + (1 - alpha) ** power * noise


def either(at_ddim):
    """Right for LMS and Euler; for DDIM, what `at_ddim` gives."""

    def noisy_start(scheduler, *rest):
        return (exploding if scheduler.init_noise_sigma != 1 else at_ddim)(scheduler, *rest)

    return noisy_start


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (either(preserving), "Right"),
        (lambda s, latent, noise, i: s.add_noise(latent, noise, s.timesteps[i : i + 1]), "Right"),
        (..., OPEN),
        (lambda *arguments: ..., OPEN),
        (exploding, "DDIMScheduler: its latents keep a variance of 1"),
        (preserving, "EulerDiscreteScheduler: its latents are x0 + sigma * n"),
        (either(lambda *a: preserving(*a, index=lambda scheduler, step: step)), "indexed by the timestep"),
        (either(lambda *a: preserving(*a, power=1)), "square roots"),
        (lambda s, latent, noise, i: s.sigmas[i] * noise, "only noise"),
        (lambda s, latent, noise, i: latent, "not the latents that the loop expects"),
        (lambda s, latent, noise, i: None, "It is None"),
        (lambda s, latent, noise, i: latent[0] + noise[0], "Its shape is (4, 8, 8)"),
    ],
)
def test_exercise_1(capsys, answer, said):
    out = told(capsys, check.exercise_1, answer)
    assert said in out and out.startswith(("Right", "Not yet", OPEN))


def picture_wins(sigmas, k):
    return int((sigmas / k < 1).nonzero()[0])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (picture_wins, "Right"),
        (lambda sigmas, k: next(i for i, s in enumerate(sigmas) if s < k), "Right"),
        (..., OPEN),
        (lambda sigmas, k: ..., OPEN),
        (lambda sigmas, k: None, "It is None"),
        (lambda sigmas, k: picture_wins(sigmas, 1), "use k"),
        (lambda sigmas, k: picture_wins(sigmas, k * k), "sqrt"),
        (lambda sigmas, k: picture_wins(sigmas, k) - 1, "one too early"),
        (lambda sigmas, k: picture_wins(sigmas, k) + 1, "One too late"),
        (lambda sigmas, k: sigmas[picture_wins(sigmas, k)], "position of the step"),
        (lambda sigmas, k: 7.3, "Divide sigmas by k"),
        (lambda sigmas, k: sigmas < k, "one number"),
    ],
)
def test_exercise_2(capsys, answer, said):
    out = told(capsys, check.exercise_2, answer)
    assert said in out and out.startswith(("Right", "Not yet", OPEN))


def start_step_of(strength, n):
    return n - min(int(n * strength), n)


def run_rounded_up(strength, n):
    return n if strength == 0.5 else int(n * strength)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (start_step_of, "Right"),
        (..., OPEN),
        (lambda strength, n: ..., OPEN),
        (lambda strength, n: None, "Not yet. It is None"),
        (lambda strength, n: int(n * strength), "how many steps are run"),
        (lambda strength, n: int(n * (1 - strength)), "not of those it leaves out"),
        (lambda strength, n: n - round(n * strength), "does not round"),
        (lambda strength, n: n - n * strength, "whole number"),
        (lambda strength, n: n - run_rounded_up(strength, n), "How many steps"),
        (lambda strength, n: float(start_step_of(strength, n)), "whole number"),
        (lambda strength, n: "ten", "A start step is a number"),
        (lambda strength: 10, "TypeError"),
    ],
)
def test_exercise_3(capsys, answer, said):
    out = told(capsys, check.exercise_3, answer)
    assert said in out and out.startswith(("Right", "Not yet", OPEN))


def loop(order, scaled=True, begin=True):
    """The loop of exercise 4 with the order that `order` gives for the count of slopes."""

    def from_the_middle(scheduler, predict, latents, start_step):
        for i, t in enumerate(scheduler.timesteps[start_step if begin else 0 :]):
            model_input = scheduler.scale_model_input(latents, t)
            noise = predict(model_input if scaled else latents, t)
            latents = scheduler.step(noise, t, latents, **order(i + 1)).prev_sample
        return latents

    return from_the_middle


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (loop(lambda slopes: {"order": min(slopes, 4)}), "Right"),
        (..., OPEN),
        (lambda *arguments: ..., OPEN),
        (lambda *arguments: None, "It is None"),
        (loop(lambda slopes: {}), "noise is left behind"),
        (loop(lambda slopes: {"order": 1}), "which is Euler's"),
        (loop(lambda slopes: {"order": min(slopes, 2)}), "from the fourth on 4"),
        (loop(lambda slopes: {"order": min(slopes, 4)}, scaled=False), "scaled input"),
        (loop(lambda slopes: {"order": min(slopes, 4)}, begin=False), "arrive at the picture itself"),
        (lambda scheduler, predict, latents, start_step: predict(latents), "TypeError"),
    ],
)
def test_exercise_4(capsys, answer, said):
    out = told(capsys, check.exercise_4, answer)
    assert said in out and out.startswith(("Right", "Not yet", OPEN))


def test_the_reference_is_our_scheduler():
    """What exercise 4 asks for is what `LMSScheduler` does by itself."""
    latents, noise = torch.ones(1, 4, 2, 2), torch.full((1, 4, 2, 2), 0.5)
    scheduler = check._schedule(LMSScheduler, 50)
    by_order = loop(lambda slopes: {"order": min(slopes, 4)})
    for start in (0, 7):
        reached = by_order(
            check._schedule(LMSScheduler, 50), lambda x, t: noise, latents + scheduler.sigmas[start] * noise, start
        )
        torch.testing.assert_close(reached, latents, atol=1e-3, rtol=1e-3)


def test_rounding_up_what_is_left_out_is_not_truncating_what_is_run(capsys):
    import math

    check.exercise_3(lambda strength, n: math.ceil(n * (1 - strength)))
    assert "Not yet" in capsys.readouterr().out
