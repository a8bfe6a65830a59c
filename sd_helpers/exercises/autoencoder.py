"""The checks of notebook 01's exercises: sizes, sampling, the scaling factor, and a search for better latents."""

from __future__ import annotations

import functools
import math

import torch
from PIL import Image, ImageDraw

from ..autoencoder import pil_to_latent, pil_to_tensor
from ..checks import NotYet, answered, exercise, expect, expect_close
from ..models import EMBEDDED_FOLDER

# (factor, latent channels): SD v1 and emoji-sd, one of half the factor, Stable Diffusion 3, and one that nobody has built.
SHAPES = ((8, 4), (4, 4), (8, 16), (16, 5))


@exercise
def exercise_1(times_fewer):
    """`times_fewer(factor, latent_channels)`: numbers in an RGB picture for each number in its latents."""
    given = [number(times_fewer(*shape)) for shape in SHAPES]

    def agree(rule) -> bool:
        return all(math.isclose(g, rule(*shape), rel_tol=1e-6) for g, shape in zip(given, SHAPES))

    mistakes = (
        (lambda f, c: f**2, "You have counted places. Each place holds three numbers before, and `latent_channels` after."),
        (lambda f, c: 3 * f**2, "Each place of the latents holds not one number, but `latent_channels`."),
        (lambda f, c: f**2 * c / 3, "The channels stand upside down: three before, `latent_channels` after."),
        (lambda f, c: f**2 / c, "A pixel of the picture holds three numbers, too."),
        (lambda f, c: 3 * f / c, "The factor acts on both sides of the picture, height and width."),
        (lambda f, c: c / (3 * f**2), "This is the share that is left. How many times fewer is the other way round."),
    )
    for mistake, hint in mistakes:
        expect(not agree(mistake), hint)
    for g, (factor, channels) in zip(given, SHAPES):
        right = 3 * factor**2 / channels
        expect(
            math.isclose(g, right, rel_tol=1e-6), f"Factor {factor}, {channels} channels: it should be {right:g}, and is {g:g}."
        )
    return "SD v1 48, and Stable Diffusion 3 only 12: it spends four times as many numbers on a better round trip."


@exercise
def exercise_2(draw_latents):
    """`draw_latents(mean, logvar, noise, scaling_factor)`: the scaled sample, (1, 4, h, w)."""
    for seed, scaling_factor in ((0, 0.18215), (1, 0.5)):
        generator = torch.Generator().manual_seed(seed)
        mean, logvar, noise = (torch.randn(1, 4, 2, 3, generator=generator) for _ in range(3))
        given = answered(draw_latents(mean.clone(), logvar.clone(), noise.clone(), scaling_factor))
        std = (0.5 * logvar).exp()
        right = (mean + std * noise) * scaling_factor
        mistakes = (
            (mean * scaling_factor, "That is the mean. A sample lies beside it, by the spread times the noise."),
            (mean + std * noise, "The sample is right, but not scaled."),
            ((mean + std * noise) / scaling_factor, "On the way in one multiplies by the factor; dividing is for the way back."),
            (mean * scaling_factor + std * noise, "The noise has to be scaled, too: scale the whole sample."),
            ((mean + logvar.exp() * noise) * scaling_factor, "exp(logvar) is the variance; a spread is its square root."),
            ((mean + logvar * noise) * scaling_factor, "logvar is a variance's logarithm: undo the logarithm, take the root."),
            ((mean + noise) * scaling_factor, "The noise has standard deviation 1; the distribution has its own."),
            ((mean - std * noise) * scaling_factor, "Add the noise. Taking it away gives a fair sample too, but not this one."),
        )
        for mistake, hint in mistakes:
            expect(not alike(given, mistake), hint)
        expect_close(given, right, "That is not scaling_factor * (mean + spread * noise)")
    return "This is what `latent_dist.sample()` does, times the scaling factor."


@exercise
def exercise_3(measure_scaling_factor):
    """`measure_scaling_factor(vae, pictures, generator)`: one over the standard deviation of all samples, unscaled; a number."""
    pictures = [Image.new("RGB", (64, 64), colour) for colour in ("white", "navy", "orange")]
    pictures[0].paste("black", (0, 0, 36, 20))
    for seed, scaling_factor in ((0, 0.3), (1, 2.0)):
        vae = small_vae(seed, scaling_factor)
        generator = torch.Generator().manual_seed(seed)
        each = [pil_to_latent(picture, vae, generator=generator) / scaling_factor for picture in pictures]
        drawn = torch.cat(each)  # (3, 4, 32, 32)
        means = torch.cat([pil_to_latent(picture, vae) for picture in pictures]) / scaling_factor
        answer = answered(measure_scaling_factor(vae, list(pictures), torch.Generator().manual_seed(seed)))
        if isinstance(answer, torch.Tensor) and answer.numel() == drawn.shape[1]:
            raise NotYet("You have one number for each channel. Stable Diffusion has one for all four.")
        given, right = number(answer), 1 / drawn.std().item()
        apart = drawn.std(dim=(1, 2, 3))
        together = "Pictures differ from each other, too: take one standard deviation over all of them together."
        mistakes = {
            1 / right: "That is the standard deviation. The factor has to bring it to 1.",
            right / scaling_factor: "You measured latents that were scaled already: `pil_to_latent` multiplies by the factor.",
            scaling_factor: "That is what the configuration says. Measure it: the one of this vae is made up.",
            right**2: "One over the *variance* would make the variance wrong. Take the standard deviation.",
            1 / means.std().item(): "You measured means. Samples vary more: pass the generator on.",
            1 / apart.mean().item(): together,
            (1 / apart).mean().item(): together,
        }
        close = math.isclose(given, right, rel_tol=1e-3)
        for mistake, hint in mistakes.items():
            expect(close or not math.isclose(given, mistake, rel_tol=1e-3), hint)
        near = "Nearly: draw one sample for each picture, in turn, with the generator given. "
        nearly = near if math.isclose(given, right, rel_tol=3e-2) else ""
        expect(close, f"{nearly}For a vae of random weights it should be {right:.4f}, and is {given:.4f}.")
    return "So Rombach et al. measured theirs, on the first batch of their training pictures."


@exercise
def exercise_4(improve):
    """`improve(latents, pixels, vae, steps)`: latents that decode to something nearer to pixels than those given."""
    vae = trained_vae()
    pixels = pil_to_tensor(lettered()).to(vae.device, vae.dtype)  # (1, 3, 32, 32)
    start = pil_to_latent(lettered(), vae)
    weights = vae.decoder.conv_out.weight.detach().clone()
    before, given = decoded_error(start, pixels, vae), start.clone()
    found = [answered(improve(given, pixels, vae, steps)) for steps in (1, 15)]
    expect(isinstance(found[1], torch.Tensor), f"It should return latents, a tensor, and returns a {type(found[1]).__name__}.")
    expect(found[1].shape == start.shape, f"Its shape should be {tuple(start.shape)}, and is {tuple(found[1].shape)}.")
    expect(torch.equal(vae.decoder.conv_out.weight, weights), "You changed the decoder. Give the optimizer the latents only.")
    expect(torch.equal(given, start), "The latents given were changed. Work on a clone of them.")
    expect(not found[1].requires_grad, "Return the latents detached from the gradient: `.detach()`.")
    expect(not torch.equal(found[1], start), "Nothing has moved. Does the optimizer hold the tensor that you decode?")
    one, many = (decoded_error(latents.detach(), pixels, vae) for latents in found)
    expect(math.isfinite(many), "The latents are not finite any more. Is the learning rate 0.05?")
    expect(
        many < before,
        f"The squared error rose from {before:.4f} to {many:.4f}. Do you go downhill, zero the gradient before each step, "
        "and divide by the scaling factor before decoding?",
    )
    expect(many < 0.999 * one, "Fifteen steps should bring more than one. Do you take `steps` steps, each with a fresh gradient?")
    ours = decoded_error(searched(start, pixels, vae, 15), pixels, vae)
    expect(
        math.isclose(before - many, before - ours, rel_tol=0.25),
        f"It goes downhill, but after 15 steps the squared error is {many:.4f} and should be about {ours:.4f}. "
        "Is it `torch.optim.Adam`, with a learning rate of 0.05, made once and before the loop?",
    )
    return f"The squared error fell from {before:.4f} to {many:.4f} in 15 steps."


def number(value) -> float:
    """A learner's answer as a finite float, or a `NotYet` that says what it is instead."""
    value = answered(value)
    expect(value is not None, "It is None: does your function return its result?")
    try:
        value = float(value)
    except (TypeError, ValueError, RuntimeError):
        raise NotYet(f"It should be one number, and is a {type(value).__name__}.") from None
    expect(math.isfinite(value), "It should be a finite number.")
    return value


def alike(given, expected: torch.Tensor) -> bool:
    """Whether an answer is a tensor of this shape and, but for rounding, these values."""
    same_shape = isinstance(given, torch.Tensor) and given.shape == expected.shape
    return same_shape and torch.allclose(given.float(), expected, atol=1e-5)


def small_vae(seed: int, scaling_factor: float):
    """An autoencoder of factor 2 with random weights and any scaling factor; leaves torch's generator as it was.

    Its means are made to vary about as much as samples scatter around them, so that it shows which of the two was measured.
    """
    from diffusers import AutoencoderKL

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        blocks = dict(down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2)
        vae = AutoencoderKL(block_out_channels=(8, 8), norm_num_groups=4, scaling_factor=scaling_factor, **blocks)
    vae.requires_grad_(False).quant_conv.weight[: vae.config.latent_channels] *= 6
    return vae.eval()


@functools.cache
def trained_vae():
    """The autoencoder of emoji-sd, on the CPU, weights frozen: a check needs no loaded model."""
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(EMBEDDED_FOLDER / "vae", torch_dtype=torch.float32)
    return vae.requires_grad_(False).eval()


def searched(latents: torch.Tensor, pixels: torch.Tensor, vae, steps: int) -> torch.Tensor:
    """Exercise 4's search."""
    better = latents.clone().requires_grad_()
    optimizer = torch.optim.Adam([better], lr=0.05)
    with torch.enable_grad():
        for _ in range(steps):
            optimizer.zero_grad()
            decoded = vae.decode(better / vae.config.scaling_factor).sample
            torch.nn.functional.mse_loss(decoded, pixels).backward()
            optimizer.step()
    return better.detach()


def lettered() -> Image.Image:
    """Small text on white, 32 x 32: what an autoencoder finds hard."""
    page = Image.new("RGB", (32, 32), "white")
    ImageDraw.Draw(page).text((2, 1), "abc\ndef", fill="black", font_size=13)
    return page


def decoded_error(latents: torch.Tensor, pixels: torch.Tensor, vae) -> float:
    """Mean squared difference of the decoded picture and pixels."""
    with torch.no_grad():
        decoded = vae.decode(latents / vae.config.scaling_factor).sample
    return (decoded - pixels).float().pow(2).mean().item()
