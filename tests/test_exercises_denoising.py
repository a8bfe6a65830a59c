"""The checks of notebook 05's exercises: right answers, the usual mistakes and what they are told, open ones."""

import pytest
import torch

from sd_helpers.exercises import denoising as check
from sd_helpers.guidance import guided

AXES = (1, 2, 3)


def said(capsys, check_one, answer) -> str:
    check_one(answer)
    return capsys.readouterr().out.strip()


@pytest.mark.parametrize("check_one", [check.exercise_1, check.exercise_2, check.exercise_3, check.exercise_4])
def test_open_exercises_say_so(check_one, capsys):
    for answer in (..., lambda *arguments: ...):
        assert said(capsys, check_one, answer).startswith("Not answered yet")


@pytest.mark.parametrize("check_one", [check.exercise_1, check.exercise_2, check.exercise_3, check.exercise_4])
@pytest.mark.parametrize(
    "answer", [lambda *a: None, lambda *a: "five", lambda: 1, lambda *a: 1 / 0, 3.0, lambda *a: torch.zeros(2)]
)
def test_odd_answers_are_told_kindly(check_one, answer, capsys):
    assert said(capsys, check_one, answer).startswith("Not yet.")


@pytest.mark.parametrize(
    "answer, hint",
    [
        (lambda s: 1 - s, "Right."),
        (lambda s: torch.tensor(1.0 - s), "Right."),
        (lambda s: -s, "change of sign only"),
        (lambda s: s - 1, "The sign is turned"),
        (lambda s: s, "same scale again"),
        (lambda s: 1 + s, "goes past it"),
        (lambda s: 2 - s, "For scale 5"),
        (lambda s: -4.0, "For scale 7.5"),
    ],
)
def test_undo_the_swap(answer, hint, capsys):
    assert hint in said(capsys, check.exercise_1, answer)


@pytest.mark.parametrize(
    "answer, hint",
    [
        (lambda u, a, b, sa, sb: u + sa * (a - u) + sb * (b - u), "Right."),
        (lambda u, a, b, sa, sb: (1 - sa - sb) * u + sa * a + sb * b, "Right."),
        (lambda u, a, b, sa, sb: guided(u, a, sa) + guided(u, b, sb), "in it twice"),
        (lambda u, a, b, sa, sb: (guided(u, a, sa) + guided(u, b, sb)) / 2, "counts only half"),
        (lambda u, a, b, sa, sb: sa * (a - u) + sb * (b - u), "noise_uncond is missing"),
        (lambda u, a, b, sa, sb: u + sa * (a - u) + sb * (b - a), "taken from noise_a"),
        (lambda u, a, b, sa, sb: guided(guided(u, a, sa), b, sb), "where the first one ended"),
        (lambda u, a, b, sa, sb: u + sb * (a - u) + sa * (b - u), "changed places"),
        (lambda u, a, b, sa, sb: u + sa * (a - u), "it is another prediction"),
    ],
)
def test_two_wishes(answer, hint, capsys):
    assert hint in said(capsys, check.exercise_2, answer)


def loop(predict, latents, sigmas, scale_at, *, to=None, swap=False, move=None, scaled=True, scale=None, late=False):
    """The loop of exercise 3, right or with one slip."""
    to = len(sigmas) - 1 if to is None else to
    for i in range(to):
        sigma, sigma_next = sigmas[i], sigmas[min(i + 1, len(sigmas) - 1)]
        pair = predict(latents / (sigma**2 + 1) ** 0.5 if scaled else latents, sigma_next if late else sigma)
        noise_pred = guided(*(pair[::-1] if swap else pair), scale_at(i) if scale is None else scale(scale_at))
        latents = latents + (sigma_next - sigma if move is None else move(sigma, sigma_next)) * noise_pred
    return latents


def in_place(predict, latents, sigmas, scale_at):
    latents *= 1.0
    latents += 0.5
    return latents


@pytest.mark.parametrize(
    "slip, hint",
    [
        ({}, "Right."),
        (dict(swap=True), "swapped"),
        (dict(move=lambda now, then: now - then), "wrong way"),
        (dict(move=lambda now, then: -now), "removes all of the noise"),
        (dict(scaled=False), "divided by sqrt"),
        (dict(scale=lambda scale_at: scale_at(0)), "that of the first step"),
        (dict(scale=lambda scale_at: 1), "guidance is missing"),
        (dict(scale=lambda scale_at: 3), "latents at the end"),
        (dict(late=True), "the sigma that the latents have now"),
        (dict(to=3), "One call too many"),
        (dict(to=1), "so 2 calls"),
        (dict(to=0), "never calls predict"),
    ],
)
def test_the_loop(slip, hint, capsys):
    assert hint in said(capsys, check.exercise_3, lambda *arguments: loop(*arguments, **slip))


def test_a_loop_may_ask_with_plain_numbers_and_must_not_write_into_its_argument(capsys):
    def plain(predict, latents, sigmas, scale_at):
        return loop(lambda x, sigma: predict(x, float(sigma)), latents, sigmas.tolist(), scale_at)

    assert "Right." in said(capsys, check.exercise_3, plain)
    assert "in place" in said(capsys, check.exercise_3, in_place)


def tame(latents, sigma, u, t, s, phi, *, size=None, wanted=None, share=None, back=None):
    """Exercise 4's function, right or with one slip."""
    x0, x0_text, x0_empty = (latents - sigma * noise for noise in (guided(u, t, s), t, u))
    size = x0.std(AXES, keepdim=True) if size is None else size(x0, x0_text)
    wanted = x0_text.std(AXES, keepdim=True) if wanted is None else wanted(x0, x0_text, x0_empty)
    share = phi if share is None else share(phi)
    mixed = share * x0 * wanted / size + (1 - share) * x0
    return (latents - mixed) / sigma if back is None else back(latents, mixed, sigma)


@pytest.mark.parametrize(
    "slip, hint",
    [
        ({}, "Right."),
        (dict(back=lambda latents, x0, sigma: x0), "the last step is missing"),
        (dict(back=lambda latents, x0, sigma: latents - x0), "division by sigma"),
        (dict(back=lambda latents, x0, sigma: (x0 - latents) / sigma), "sign is turned"),
        (dict(size=lambda x, t: x.std(), wanted=lambda x, t, u: t.std()), "whole batch"),
        (
            dict(size=lambda x, t: t.std(AXES, keepdim=True), wanted=lambda x, t, u: x.std(AXES, keepdim=True)),
            "upside down",
        ),
        (
            dict(size=lambda x, t: x.std((2, 3), keepdim=True), wanted=lambda x, t, u: t.std((2, 3), keepdim=True)),
            "each channel alone",
        ),
        (dict(wanted=lambda x, t, u: u.std(AXES, keepdim=True)), "without the prompt"),
        (dict(share=lambda phi: 1 - phi), "yours gives that share"),
        (dict(share=lambda phi: 1.0), "mixing with phi is missing"),
        (dict(share=lambda phi: 0.0), "plain guidance"),
        (dict(size=lambda x, t: x.var(AXES, keepdim=True)), "another prediction"),
    ],
)
def test_guidance_that_clips_less(slip, hint, capsys):
    assert hint in said(capsys, check.exercise_4, lambda *arguments: tame(*arguments, **slip))


def test_the_same_by_diffusers_on_x0_and_not_on_the_noise(capsys):
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

    def on_x0(latents, sigma, u, t, s, phi):
        return (latents - rescale_noise_cfg(latents - sigma * guided(u, t, s), latents - sigma * t, phi)) / sigma

    def on_noise(latents, sigma, u, t, s, phi):
        return rescale_noise_cfg(guided(u, t, s), t, phi)

    assert "Right." in said(capsys, check.exercise_4, on_x0)
    assert "scale the x0" in said(capsys, check.exercise_4, on_noise)
