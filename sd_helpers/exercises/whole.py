"""Checks of notebook 00: sizes on the way, the clean latents behind noisy ones, guidance, guidance in a part of the run."""

from __future__ import annotations

import torch

from ..checks import NotYet, agree, answered, as_number, exercise, expect, expect_known

SEVERAL = "Return two things: "


def _two(value, names: str) -> tuple:
    """What a learner returned as two things, or a hint."""
    value = answered(value)
    expect(value is not None, "It is None: does your function return its result?")
    expect(isinstance(value, (tuple, list)) and len(value) == 2, f"{SEVERAL}{names}.")
    return answered(value[0]), answered(value[1])


def _numbers(value, hint: str) -> list[float]:
    """A shape, a list or a tensor of numbers as a list of floats, or the hint."""
    try:
        return [float(number) for number in value]
    except (TypeError, ValueError, RuntimeError):
        raise NotYet(hint) from None


def _noises(count: int, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn((1, 4, 6, 5), generator=generator) for _ in range(count)]


@exercise
def exercise_1(sizes):
    """`sizes(height, width, factor)`: the shape of the latents, and how many times fewer numbers they are than the pixels."""
    for height, width, factor in ((512, 512, 8), (512, 768, 8), (64, 256, 2)):
        shape, times = _two(sizes(height, width, factor), "the shape of the latents, and how many times fewer numbers they are")
        shape = _numbers(shape, "The first thing should be a shape: four whole numbers, such as (1, 4, 16, 16).")
        h, w, case = height / factor, width / factor, f"For {height} x {width} pixels and factor {factor}"
        for hint, wrong in {
            "Height comes before width, as in all of torch.": [1, 4, w, h],
            "One picture is a batch of one: a 1 stands before the channels.": [4, h, w],
            "Latents have 4 channels. It is pixels that have 3.": [1, 3, h, w],
            "Channels come second, before height and width.": [1, h, w, 4],
            "That is the shape before it shrinks: divide height and width by the factor.": [1, 4, height, width],
            "Each side is divided by the factor once, not twice.": [1, 4, h / factor, w / factor],
        }.items():
            expect(shape != wrong or wrong == [1, 4, h, w], hint)
        expect(shape == [1, 4, h, w], f"{case} the shape is another one: (1, 4, height / factor, width / factor).")
        times, places = as_number(times), factor**2
        mistakes = {
            "That compares places. A pixel has 3 numbers, a latent 4.": places,
            "It is upside down: divide the numbers of the picture by those of the latents.": 4 / (3 * places),
            "The 3 and the 4 have changed places: a pixel has 3 numbers, a latent 4.": places * 4 / 3,
            "You left out the 3 colours of the pixels.": places / 4,
            "You left out the 4 channels of the latents.": places * 3,
            "A factor along each of two sides is the factor squared in places.": factor,
        }
        expect_known(times, 3 * places / 4, mistakes, f"{case} it is another number")
    return "Three numbers a pixel, four a latent, and a latent stands for factor x factor pixels."


@exercise
def exercise_2(clean_latents):
    """`clean_latents(noisy, noise, alpha_bar)`: the mix solved for x0."""
    for alpha_bar in (0.9, 0.35, 0.02):
        x0, noise = _noises(2, seed=round(100 * alpha_bar))
        a, b = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
        noisy = a * x0 + b * noise
        handed = noisy.clone()
        value = answered(clean_latents(handed, noise.clone(), alpha_bar))
        expect(agree(handed, noisy), "Your function changes the latents it is given: write `noisy - ...`, not `noisy -= ...`.")
        mistakes = {
            "That adds the noise once more; here it has to go.": a * noisy + b * noise,
            "The noise is gone, but the picture is still weakened: divide by the root of alpha_bar.": noisy - b * noise,
            "Only a part of the noise is in the mix: its share is the root of (1 - alpha_bar).": (noisy - noise) / a,
            "The whole of the noise is taken away, and only a part of it is in the mix.": noisy - noise,
            "The shares are the square roots of alpha_bar and of (1 - alpha_bar).": (noisy - (1 - alpha_bar) * noise) / alpha_bar,
            "Take away first, then divide: the noise is not weakened by alpha_bar.": noisy / a - b * noise,
            "The share of the picture is the root of alpha_bar, not alpha_bar.": (noisy - b * noise) / alpha_bar,
            "The two shares have changed places.": (noisy - a * noise) / b,
            "That is the noise alone: solve the mix for x0.": noise,
            "The sign: the mix adds the noise, so solving for x0 takes it away.": (noisy + b * noise) / a,
            "Those are the noisy latents as they were.": noisy,
        }
        expect_known(value, x0, mistakes, f"With alpha_bar {alpha_bar:g} they are other latents")
    return "Whoever knows the noise knows the picture: that is why predicting noise is enough."


@exercise
def exercise_3(guide):
    """`guide(noise_uncond, noise_text, guidance_scale, noise_negative=None)`: from the negative prompt if there is one."""
    empty, text, negative = _noises(3)
    for scale in (5.0, 1.0, 7.5):
        value = answered(guide(empty.clone(), text.clone(), scale))
        mistakes = {
            "The two predictions are swapped: it starts without the prompt and goes towards the one with it.": (
                text + scale * (empty - text)
            ),
            "The difference is added to the prompt's prediction: start from noise_uncond.": text + scale * (text - empty),
            "The scale times the whole prediction is added; it belongs to the difference of the two.": empty + scale * text,
            "The start is missing: add noise_uncond to the difference.": scale * (text - empty),
            "That is the prompt's own prediction, which is scale 1.": text,
            "That is the prediction without the prompt, which is scale 0.": empty,
        }
        expect_known(
            value, empty + scale * (text - empty), mistakes, f"Without a negative prompt, at scale {scale:g}, it differs"
        )
        value = answered(guide(empty.clone(), text.clone(), scale, negative.clone()))
        mistakes = {
            "noise_negative is not used.": empty + scale * (text - empty),
            "The difference is right, but the start is not: with a negative prompt, the line begins there.": (
                empty + scale * (text - negative)
            ),
            "The start is right, but the difference is not: take it from noise_negative too.": negative + scale * (text - empty),
            "It leads towards the negative prompt: the two have changed places.": text + scale * (negative - text),
            "The negative prompt's prediction is taken away from the result. It takes the place of noise_uncond.": (
                empty + scale * (text - empty) - negative
            ),
        }
        expect_known(
            value, negative + scale * (text - negative), mistakes, f"With a negative prompt, at scale {scale:g}, it differs"
        )
    return "The empty prompt is one place to lead away from; any other will do."


@exercise
def exercise_4(limited):
    """`limited(sigmas, low, high, guidance_scale)`: guidance where low < sigma <= high, and what the run costs."""
    sigmas = [14.0, 5.0, 2.0, 1.0, 0.3, 0.0]
    steps = len(sigmas) - 1
    for low, high, scale in ((1.0, 5.0, 6.0), (0.0, 20.0, 4.0), (0.2, 1.5, 8.0), (6.0, 9.0, 3.0)):
        scales, latents = _two(limited(list(sigmas), low, high, scale), "the scale of each step, and how many latents are seen")
        _check_scales(scales, sigmas, low, high, scale)
        on, counted = sum(low < s <= high for s in sigmas[:-1]), as_number(latents)
        mistakes = {
            "That is a guided run from beginning to end. Where guidance is off, one latent is enough.": 2 * steps,
            "That counts the steps. A guided step asks about the latent twice, without the prompt and with it.": steps,
            "That counts the guided steps alone, and each of them once.": on,
            "That counts the guided steps alone. The others ask about one latent each.": 2 * on,
            "Guided steps count twice and the others once; you have it the other way round.": 2 * steps - on,
        }
        expect_known(counted, steps + on, mistakes, f"For low {low:g} and high {high:g} it is another number of latents")
    return "With generate(..., guidance_scale=lambda index: scales[index]) you can draw by it."


def _check_scales(scales, sigmas: list[float], low: float, high: float, scale: float) -> None:
    """One scale for each step: guidance inside the interval, 1 outside."""
    steps = len(sigmas) - 1
    scales = _numbers(scales, "The first thing should be a list of numbers, one scale for each step.")
    expect(len(scales) != steps + 1, "One scale too many: no step begins at the last sigma, which is 0.")
    expect(len(scales) == steps, f"{len(sigmas)} sigmas make {steps} steps, and your list has {len(scales)} scales.")

    def along(inside, outside=1.0):
        return [scale if inside(s) else outside for s in sigmas[:-1]]

    right = along(lambda s: low < s <= high)
    nothing = "Outside the interval guidance is off. That is scale 1: at 0 the prompt would not be followed at all."
    later = "Each step is judged by the sigma at which it begins, not by the one at which it ends."
    mistakes = {
        nothing: along(lambda s: low < s <= high, 0.0),
        "It is turned round: guidance is on inside the interval.": along(lambda s: not low < s <= high),
        "low itself is outside: low < sigma.": along(lambda s: low <= s <= high),
        "high itself is inside: sigma <= high.": along(lambda s: low < s < high),
        "low itself is outside and high inside: low < sigma <= high.": along(lambda s: low <= s < high),
        "The interval has two ends: guidance is off above high, too.": along(lambda s: s > low),
        "The interval has two ends: guidance is off below low, too.": along(lambda s: s <= high),
        later: [scale if low < s <= high else 1.0 for s in sigmas[1:]],
    }
    for hint, wrong in mistakes.items():
        expect(scales != wrong or wrong == right, hint)
    expect(scales == right, f"For low {low:g}, high {high:g} and scale {scale:g} the scales should be {right}.")
