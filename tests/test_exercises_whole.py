"""The checks of notebook 00's exercises: right answers, the usual mistakes and what they are told, open ones."""

import pytest
import torch

from sd_helpers import guided
from sd_helpers.exercises import whole as check

CHECKS = [check.exercise_1, check.exercise_2, check.exercise_3, check.exercise_4]


def said(capsys, check_one, answer) -> str:
    check_one(answer)
    return capsys.readouterr().out.strip()


@pytest.mark.parametrize("check_one", CHECKS)
def test_open_exercises_say_so(check_one, capsys):
    for answer in (..., lambda *arguments: ...):
        assert said(capsys, check_one, answer).startswith("Not answered yet")


@pytest.mark.parametrize("check_one", [check.exercise_1, check.exercise_4])
def test_half_answered_is_open(check_one, capsys):
    assert said(capsys, check_one, lambda *arguments: (..., ...)).startswith("Not answered yet")


@pytest.mark.parametrize("check_one", CHECKS)
@pytest.mark.parametrize(
    "answer",
    [lambda *a: None, lambda *a: "five", lambda: 1, lambda *a: 1 / 0, 3.0, lambda *a: torch.zeros(2), lambda *a: ("a", "b")],
)
def test_odd_answers_are_told_kindly(check_one, answer, capsys):
    assert said(capsys, check_one, answer).startswith("Not yet.")


def shape(h, w, f):
    return (1, 4, h // f, w // f)


@pytest.mark.parametrize(
    "answer, hint",
    [
        (lambda h, w, f: (shape(h, w, f), 3 * f * f / 4), "Right."),
        (lambda h, w, f: [torch.Size(shape(h, w, f)), torch.tensor(3 * h * w / (4 * (h // f) * (w // f)))], "Right."),
        (lambda h, w, f: ((1, 4, h / f, w / f), 3 * h * w // (4 * h * w // f**2)), "Right."),
        (lambda h, w, f: (shape(w, h, f), 48), "Height comes before width"),
        (lambda h, w, f: (shape(h, w, f)[1:], 48), "a batch of one"),
        (lambda h, w, f: ((1, 3, h // f, w // f), 64), "It is pixels that have 3"),
        (lambda h, w, f: ((1, h // f, w // f, 4), 48), "Channels come second"),
        (lambda h, w, f: ((1, 4, h, w), 1), "before it shrinks"),
        (lambda h, w, f: ((1, 4, h // f**2, w // f**2), 1), "once, not twice"),
        (lambda h, w, f: ((1, 4, h // f + 1, w // f), 48), "For 512 x 512 pixels and factor 8 the shape"),
        (lambda h, w, f: (shape(h, w, f), f * f), "compares places"),
        (lambda h, w, f: (shape(h, w, f), 4 / (3 * f * f)), "upside down"),
        (lambda h, w, f: (shape(h, w, f), 4 * f * f / 3), "changed places"),
        (lambda h, w, f: (shape(h, w, f), f * f / 4), "3 colours"),
        (lambda h, w, f: (shape(h, w, f), 3 * f * f), "4 channels of the latents"),
        (lambda h, w, f: (shape(h, w, f), f), "factor squared"),
        (lambda h, w, f: (shape(h, w, f), 48), "factor 2 it is another number"),
        (lambda h, w, f: (shape(512, w, f), 3 * f * f / 4), "For 64 x 256"),
        (lambda h, w, f: shape(h, w, f), "Return two things"),
        (lambda h, w, f: (h // f, 48), "should be a shape"),
    ],
)
def test_sizes(answer, hint, capsys):
    assert hint in said(capsys, check.exercise_1, answer)


def in_place(noisy, noise, alpha_bar):
    noisy -= (1 - alpha_bar) ** 0.5 * noise
    return noisy / alpha_bar**0.5


@pytest.mark.parametrize(
    "answer, hint",
    [
        (lambda x, n, s: (x - (1 - s) ** 0.5 * n) / s**0.5, "Right."),
        (lambda x, n, s: x / s**0.5 - ((1 - s) / s) ** 0.5 * n, "Right."),
        (lambda x, n, s: s**0.5 * x + (1 - s) ** 0.5 * n, "once more"),
        (lambda x, n, s: x - (1 - s) ** 0.5 * n, "still weakened"),
        (lambda x, n, s: (x - n) / s**0.5, "its share is the root of (1 - alpha_bar)"),
        (lambda x, n, s: x - n, "The whole of the noise"),
        (lambda x, n, s: (x - (1 - s) * n) / s, "square roots"),
        (lambda x, n, s: x / s**0.5 - (1 - s) ** 0.5 * n, "Take away first"),
        (lambda x, n, s: (x - (1 - s) ** 0.5 * n) / s, "not alpha_bar"),
        (lambda x, n, s: (x - s**0.5 * n) / (1 - s) ** 0.5, "changed places"),
        (lambda x, n, s: n, "noise alone"),
        (lambda x, n, s: (x + (1 - s) ** 0.5 * n) / s**0.5, "The sign"),
        (lambda x, n, s: x, "as they were"),
        (lambda x, n, s: 2 * x, "With alpha_bar 0.9 they are other latents"),
        (lambda x, n, s: x[0], "Its shape is"),
        (in_place, "changes the latents"),
    ],
)
def test_clean_latents(answer, hint, capsys):
    assert hint in said(capsys, check.exercise_2, answer)


def test_clean_latents_are_what_a_scheduler_predicts(components, capsys):
    """The formula that is called right is diffusers' own: LMS works with latents / root of alpha_bar."""
    from diffusers import DDIMScheduler

    from sd_helpers import scheduler_like, set_timesteps

    scheduler = scheduler_like(components.scheduler, DDIMScheduler)
    set_timesteps(scheduler, 10)
    t, (noisy, noise) = scheduler.timesteps[3], torch.randn((2, 1, 4, 8, 8), generator=torch.Generator().manual_seed(0))
    alpha_bar = float(scheduler.alphas_cumprod[t])
    theirs = scheduler.step(noise, t, noisy).pred_original_sample
    torch.testing.assert_close((noisy - (1 - alpha_bar) ** 0.5 * noise) / alpha_bar**0.5, theirs)


def one_end(formula):
    """An answer that puts the negative prompt in the place of the empty one, and guides by a formula."""
    return lambda u, t, s, n=None: formula(u if n is None else n, t, s)


@pytest.mark.parametrize(
    "answer, hint",
    [
        (one_end(guided), "Right."),
        (one_end(lambda u, t, s: (1 - s) * u + s * t), "Right."),
        (one_end(lambda u, t, s: t + s * (u - t)), "swapped"),
        (one_end(lambda u, t, s: t + s * (t - u)), "start from noise_uncond"),
        (one_end(lambda u, t, s: u + s * t), "difference of the two"),
        (one_end(lambda u, t, s: s * (t - u)), "The start is missing"),
        (one_end(lambda u, t, s: t), "which is scale 1"),
        (one_end(lambda u, t, s: u), "which is scale 0"),
        (one_end(lambda u, t, s: guided(u, t, 5.0)), "at scale 1, it differs"),
        (lambda u, t, s, n=None: guided(u, t, s), "not used"),
        (lambda u, t, s, n=None: guided(u, t, s) if n is None else u + s * (t - n), "the start is not"),
        (lambda u, t, s, n=None: guided(u, t, s) if n is None else n + s * (t - u), "the difference is not"),
        (lambda u, t, s, n=None: guided(u, t, s) if n is None else guided(t, n, s), "towards the negative prompt"),
        (lambda u, t, s, n=None: guided(u, t, s) - (0 if n is None else s * (n - u)), "the start is not"),
        (lambda u, t, s, n=None: guided(u, t, s) - (0 if n is None else n), "taken away from the result"),
        (lambda u, t, s, n=None: guided(u, t, s) if n is None else (u + n) / 2, "With a negative prompt, at scale 5"),
        (lambda u, t, s: guided(u, t, s), "raised TypeError"),
    ],
)
def test_guide(answer, hint, capsys):
    assert hint in said(capsys, check.exercise_3, answer)


def limit(inside, outside=1.0, cost=lambda steps, on: steps + on, ends=slice(None, -1)):
    """Exercise 4's function, right or with one slip."""

    def limited(sigmas, low, high, scale):
        on = sum(low < s <= high for s in sigmas[:-1])
        return [scale if inside(s, low, high) else outside for s in sigmas[ends]], cost(len(sigmas) - 1, on)

    return limited


def between(s, low, high):
    return low < s <= high


@pytest.mark.parametrize(
    "answer, hint",
    [
        (limit(between), "Right."),
        (lambda *a: (torch.tensor(limit(between)(*a)[0]), torch.tensor(limit(between)(*a)[1])), "Right."),
        (limit(between, ends=slice(None)), "One scale too many"),
        (limit(between, ends=slice(2)), "5 steps, and your list has 2"),
        (limit(between, outside=0.0), "That is scale 1"),
        (limit(lambda *a: not between(*a)), "turned round"),
        (limit(lambda s, low, high: low <= s <= high), "low itself is outside: low < sigma."),
        (limit(lambda s, low, high: low < s < high), "high itself is inside"),
        (limit(lambda s, low, high: low <= s < high), "low itself is outside and high inside"),
        (limit(lambda s, low, high: low < s), "off above high"),
        (limit(lambda s, low, high: s <= high), "off below low"),
        (limit(between, ends=slice(1, None)), "at which it begins"),
        (limit(between, outside=2.0), "the scales should be [1.0, 6.0, 6.0, 1.0, 1.0]"),
        (limit(between, cost=lambda steps, on: 2 * steps), "from beginning to end"),
        (limit(between, cost=lambda steps, on: steps), "counts the steps"),
        (limit(between, cost=lambda steps, on: on), "each of them once"),
        (limit(between, cost=lambda steps, on: 2 * on), "guided steps alone. The others"),
        (limit(between, cost=lambda steps, on: 2 * steps - on), "the other way round"),
        (limit(between, cost=lambda steps, on: steps + on + 2), "another number of latents"),
        (lambda *a: limit(between)(*a)[0], "Return two things"),
        (lambda *a: (6.0, 7), "one scale for each step"),
    ],
)
def test_limited(answer, hint, capsys):
    assert hint in said(capsys, check.exercise_4, answer)


def test_the_loop_asks_about_as_many_latents_as_the_answer_says(components, embeds):
    """`denoise` with the scales of a right answer: one latent where guidance is off, two where it is on."""
    from sd_helpers import denoise, starting_noise

    class Counted:
        config, latents = components.unet.config, 0

        def __call__(self, latents, *rest, **more):
            self.latents += len(latents)
            return components.unet(latents, *rest, **more)

    sigmas = [step.sigma for step in run(components, embeds, components.unet, 1.0, starting_noise, denoise)] + [0.0]
    scales, latents = limit(between)(sigmas, 1.0, 5.0, 4.0)
    counted = Counted()
    run(components, embeds, counted, lambda index: scales[index], starting_noise, denoise)
    assert 0 < scales.count(4.0) < len(scales) and counted.latents == latents


def run(components, embeds, unet, guidance_scale, starting_noise, denoise):
    prompt, empty = embeds
    start = starting_noise(components, 0) * components.scheduler.init_noise_sigma
    settings = dict(negative_embeds=empty, guidance_scale=guidance_scale, num_inference_steps=6)
    return list(denoise(unet, components.scheduler, start, prompt, **settings))
