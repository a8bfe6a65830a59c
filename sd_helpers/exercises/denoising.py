"""Checks of notebook 05: guidance as a line, two wishes at once, a scale for each step, and guidance that clips less."""

from __future__ import annotations

import torch

from ..checks import agree, answered, exercise, expect, expect_close, expect_known
from ..guidance import guided


def _noises(count: int, shape=(3, 4, 5, 6), seed: int = 0) -> list[torch.Tensor]:
    """Noises of one shape whose sizes differ from picture to picture, as those of real predictions do."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.linspace(0.5, 1.5, shape[0])[:, None, None, None]
    return [torch.randn(shape, generator=generator) * sizes for _ in range(count)]


@exercise
def exercise_1(same_as):
    """`same_as(scale)`: which guidance scale undoes a swap of the two predictions. It is 1 - scale."""
    for scale in (5.0, 7.5, 1.0, 0.0, -2.0):
        value = answered(same_as(scale))
        mistakes = {
            "That is a change of sign only. At scale 1 the swapped formula gives noise_uncond: which scale gives that?": -scale,
            "The sign is turned: try it with scale 0, where the swapped formula gives noise_text.": scale - 1,
            "That is the same scale again, but the line is now walked from its other end.": scale,
            "At scale 0 the swapped formula gives noise_text; your scale then goes past it.": 1 + scale,
        }
        expect_known(value, 1 - scale, mistakes, f"For scale {scale:g} the two predictions do not come out the same")
    return "Swapped at 5 is the line walked to -4: away from the prompt."


@exercise
def exercise_2(two_wishes):
    """`two_wishes(noise_uncond, noise_a, noise_b, scale_a, scale_b)`: both differences, each with its scale, added once."""
    empty, a, b = _noises(3)
    for scale_a, scale_b in ((5.0, 3.0), (0.0, 4.0), (2.5, 0.0)):
        value = answered(two_wishes(empty.clone(), a.clone(), b.clone(), scale_a, scale_b))
        towards_a, towards_b = guided(empty, a, scale_a), guided(empty, b, scale_b)
        right = towards_a + scale_b * (b - empty)
        mistakes = {
            "noise_uncond is in it twice: each guided prediction brings it along.": towards_a + towards_b,
            "That is the mean of two guided predictions, so each wish counts only half.": (towards_a + towards_b) / 2,
            "The two differences are right, but where do they start from? noise_uncond is missing.": right - empty,
            "The second difference is taken from noise_a; it should start from noise_uncond too.": towards_a + scale_b * (b - a),
            "The second wish starts where the first one ended, and shortens it.": guided(towards_a, b, scale_b),
            "The two scales have changed places.": guided(empty, a, scale_b) + scale_a * (b - empty),
        }
        expect_known(value, right, mistakes, f"With scales {scale_a:g} and {scale_b:g} it is another prediction")
    return "Each wish is a difference from the same start, and differences can be added."


@exercise
def exercise_3(my_loop):
    """`my_loop(predict, latents, sigmas, scale_at)`: the guided loop with Euler's step."""
    for sigmas, scales in (([3.0, 1.0, 0.0], [5.0, 5.0]), ([14.0, 6.0, 2.5, 0.7, 0.0], [7.0, 1.0, 4.0, 2.0])):
        (latents,) = _noises(1, seed=len(sigmas))
        latents = latents * sigmas[0]
        seen, given = [], latents.clone()

        def predict(model_input, sigma, seen=seen):
            expect(torch.is_tensor(model_input), "predict's first argument should be a tensor, the model's input.")
            seen.append((model_input.clone(), float(sigma)))
            return _pretended(model_input, float(sigma))

        value = answered(
            my_loop(predict, given, torch.tensor(sigmas), lambda index, scales=scales: scales[min(int(index), len(scales) - 1)])
        )
        expect(value is not None, "It is None: does your function return the latents?")
        expect(agree(given, latents), "Your loop changed the latents it was given in place; make new ones in each step.")
        _check_questions(seen, latents, sigmas)
        mistakes = {
            "The two predictions are swapped: predict gives (noise_uncond, noise_text).": dict(swapped=True),
            "Each step goes the wrong way, to more noise: it is sigma_next - sigma.": dict(direction=-1),
            "The guidance scale is that of the first step throughout; it is scale_at(index).": dict(first_scale=True),
            "Each step removes all of the noise, sigma * noise; it should go from sigma to sigma_next.": dict(whole=True),
            "The guidance is missing: your loop uses the prediction with the prompt alone.": dict(scale=1.0),
        }
        wrong = {hint: _loop(latents, sigmas, scales, **slip) for hint, slip in mistakes.items()}
        expect_known(value, _loop(latents, sigmas, scales), wrong, "The latents at the end are others")
    return "That is all of sampling: scale, ask twice, guide, step."


def _pretended(model_input, sigma: float):
    """A stand-in for the U-Net: two predictions that depend on the input and on sigma."""
    return 0.5 * model_input + 0.1, torch.tanh(model_input) / (1 + 0.1 * sigma)


def _check_questions(seen: list, latents, sigmas: list) -> None:
    """How often the model was asked, about what and when."""
    steps = len(sigmas) - 1
    expect(len(seen) > 0, "Your loop never calls predict.")
    expect(
        len(seen) != len(sigmas),
        "One call too many: there is a step between every two sigmas, and none after the last, which is 0.",
    )
    expect(
        len(seen) == steps,
        f"With {len(sigmas)} sigmas there are {steps} steps, so {steps} calls of predict; yours makes {len(seen)}.",
    )
    first, sigma = seen[0]
    expect(
        not agree(first, latents),
        "The model's input has to be divided by sqrt(sigma**2 + 1) first; the latents stay as they are.",
    )
    expect_close(first, latents / (sigmas[0] ** 2 + 1) ** 0.5, "The first input of the model is not latents / sqrt(sigma**2 + 1)")
    told = [sigma for _, sigma in seen]
    expect(agree(told, sigmas[:-1]), "predict should be told the sigma that the latents have now, before the step.")


def _loop(latents, sigmas, scales, *, swapped=False, direction=1, first_scale=False, whole=False, scale=None):
    """The loop, right or with one of the usual slips."""
    for index, (sigma, sigma_next) in enumerate(zip(sigmas, sigmas[1:])):
        pair = _pretended(latents / (sigma**2 + 1) ** 0.5, sigma)
        pair = pair[::-1] if swapped else pair
        strength = scale if scale is not None else scales[0] if first_scale else scales[index]
        move = -sigma if whole else direction * (sigma_next - sigma)
        latents = latents + move * guided(*pair, strength)
    return latents


@exercise
def exercise_4(tamed):
    """`tamed(latents, sigma, noise_uncond, noise_text, guidance_scale, phi)`: guidance whose x0 keeps its size."""
    latents, empty, text = _noises(3, seed=4)
    for sigma, scale, phi in ((1.5, 7.5, 0.7), (0.4, 7.5, 1.0), (4.0, 12.0, 0.0)):
        value = answered(tamed(latents.clone(), sigma, empty.clone(), text.clone(), scale, phi))
        plain = guided(empty, text, scale)
        x0, x0_text, x0_empty = (latents - sigma * noise for noise in (plain, text, empty))

        def noise(factor, share=phi, sigma=sigma, x0=x0):
            return (latents - (share * x0 * factor + (1 - share) * x0)) / sigma

        size, wanted, of_empty = (x.std(dim=(1, 2, 3), keepdim=True) for x in (x0, x0_text, x0_empty))
        right = noise(wanted / size)
        channels = x0_text.std(dim=(2, 3), keepdim=True) / x0.std(dim=(2, 3), keepdim=True)
        of_noise = text.std(dim=(1, 2, 3), keepdim=True) / plain.std(dim=(1, 2, 3), keepdim=True)
        mistakes = {
            "That is an x0; the last step is missing, back to the noise that implies it.": latents - sigma * right,
            "On the way back the division by sigma is missing.": right * sigma,
            "The sign is turned on the way back: from x0 = latents - sigma * noise follows (latents - x0) / sigma.": -right,
            "One standard deviation for the whole batch; each picture has its own: dim=(1, 2, 3), keepdim=True.": noise(
                x0_text.std() / x0.std()
            ),
            "The standard deviations were taken for each channel alone; it is one for each picture.": noise(channels),
            "The ratio is upside down: the guided x0 is too large and has to shrink.": noise(size / wanted),
            "It has the size of the x0 without the prompt; it should be that with the prompt.": noise(of_empty / size),
            "phi is the share of the scaled x0; yours gives that share to the unscaled one.": noise(wanted / size, 1 - phi),
            "The mixing with phi is missing.": noise(wanted / size, 1.0),
            "That is plain guidance; nothing was scaled back.": plain,
            "You scaled the noise, as diffusers' guidance_rescale does; here scale the x0.": phi * plain * of_noise
            + (1 - phi) * plain,
        }
        expect_known(value, right, mistakes, f"With sigma {sigma:g}, guidance {scale:g} and phi {phi:g} it is another prediction")
    return "The picture keeps its size, and the noise is still removed."
