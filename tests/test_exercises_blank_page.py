"""The checks of notebook 07, the blank page: right answers, usual mistakes with their hints, and no answer."""

import base64
import re

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler
from PIL import Image

from sd_helpers import load, scheduler_like
from sd_helpers.checks import OPEN
from sd_helpers.exercises import blank_page as check
from sd_helpers.exercises import blank_page_reference
from sd_helpers.notebook import part_diagrams
from sd_helpers.notebook.svg import LIT


@pytest.fixture(scope="module")
def components():
    return load("emoji-sd", device="cpu")


@pytest.fixture
def says(capsys):
    """What a check prints."""

    def said(exercise, *answer):
        exercise(*answer)
        return capsys.readouterr().out

    return said


def token_ids(prompt, tokenizer, texts=("",), **changed):
    settings = dict(padding="max_length", max_length=77, truncation=True, return_tensors="pt") | changed
    return tokenizer([*texts, prompt], **settings).input_ids


def embed(ids, text_encoder):
    return text_encoder(ids)[0]


def noise_schedule(n, betas=None, ratio=lambda a: ((1 - a) / a) ** 0.5, timesteps=None):
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2 if betas is None else betas
    timesteps = np.linspace(999, 0, n) if timesteps is None else timesteps
    return timesteps, np.append(np.interp(timesteps, np.arange(1000), ratio(np.cumprod(1 - betas))), 0)


def two_predictions(unet, latents, sigma, timestep, embeds, divisor=None):
    model_input = torch.cat([latents] * 2) / ((sigma**2 + 1) ** 0.5 if divisor is None else divisor)
    return unet(model_input, timestep, encoder_hidden_states=embeds).sample.chunk(2)


def guided_noise(unet, latents, sigma, timestep, embeds, scale, divisor=None):
    uncond, cond = two_predictions(unet, latents, sigma, timestep, embeds, divisor)
    return uncond + scale * (cond - uncond)


def euler_step(latents, noise_pred, sigma, next_sigma):
    return latents + (next_sigma - sigma) * noise_pred


def to_levels(pixels):
    return ((pixels + 1) * 127.5).clamp(0, 255).round().byte().permute(1, 2, 0)


def draw(
    components,
    prompt,
    seed,
    n,
    scale,
    *,
    levels=to_levels,
    scaling=None,
    noise=None,
    divisor=None,
    sigmas=None,
    flip=False,
    left_out=0,
):
    """The whole loop, with room for a mistake in each place."""
    embeds = embed(token_ids(prompt, components.tokenizer), components.text_encoder)
    embeds = embeds.flip(0) if flip else embeds
    timesteps, right = noise_schedule(n)
    sigmas = right if sigmas is None else sigmas(right)
    side = components.unet.config.sample_size
    noise = torch.Generator().manual_seed(seed) if noise is None else noise
    latents = torch.randn((1, 4, side, side), generator=noise) * sigmas[0]
    for t, sigma, after in zip(timesteps[: n - left_out], right[:-1], right[1:]):
        latents = euler_step(latents, guided_noise(components.unet, latents, sigma, t, embeds, scale, divisor), sigma, after)
    latents = latents / (components.vae.config.scaling_factor if scaling is None else scaling)
    with torch.no_grad():
        return Image.fromarray(levels(components.vae.decode(latents).sample[0]).numpy())


@pytest.mark.parametrize("number", range(1, 7))
def test_open_until_answered(says, components, number):
    exercise = getattr(check, f"exercise_{number}")
    rest = () if number == 5 else (components,)
    assert says(exercise, ..., *rest) == OPEN + "\n"
    assert says(exercise, lambda *arguments: ..., *rest) == OPEN + "\n"
    assert "Not yet" in says(exercise, lambda *arguments: None, *rest)
    assert "Not yet. Your code raised NameError" in says(exercise, lambda *arguments: nowhere, *rest)  # noqa: F821


def test_right(says, components):
    assert says(check.exercise_1, token_ids, components).startswith("Right.")
    assert says(check.exercise_2, embed, components).startswith("Right.")
    assert says(check.exercise_3, noise_schedule, components).startswith("Right.")
    assert says(check.exercise_4, guided_noise, components).startswith("Right.")
    assert says(check.exercise_5, euler_step).startswith("Right.")
    assert says(check.exercise_6, draw, components).startswith("Right.")


def test_right_in_other_forms(says, components):
    assert says(check.exercise_1, lambda *a: token_ids(*a).tolist(), components).startswith("Right.")
    in_float32 = lambda n: [torch.tensor(part, dtype=torch.float32) for part in noise_schedule(n)]  # noqa: E731
    assert says(check.exercise_3, in_float32, components).startswith("Right.")
    one_by_one = lambda unet, x, sigma, t, embeds, scale: sum(  # noqa: E731
        weight * unet(x / (sigma**2 + 1) ** 0.5, t, row[None]).sample for weight, row in zip((1 - scale, scale), embeds)
    )
    assert says(check.exercise_4, one_by_one, components).startswith("Right.")
    rounded_down = lambda pixels: ((pixels + 1) * 127.5).clamp(0, 255).byte().permute(1, 2, 0)  # noqa: E731
    assert says(check.exercise_6, lambda *a: draw(*a, levels=rounded_down), components).startswith("Right.")


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda p, t: token_ids(p, t, padding=False), "padding='max_length'"),
        (lambda p, t: token_ids(p, t, padding=True), "there are 5 positions, not 77"),
        (lambda p, t: token_ids(p, t, truncation=False), "truncation=True"),
        (lambda p, t: token_ids(p, t).flip(0), "swapped"),
        (lambda p, t: token_ids(p, t)[1], "two rows"),
        (lambda p, t: token_ids(p, t, texts=()), "two rows"),
        (lambda p, t: t(["", p], padding="max_length", truncation=True, return_tensors="pt"), "input_ids"),
        (lambda p, t: token_ids(p, t).where(token_ids(p, t) < 49407, 0), "padding is not"),
        (lambda p, t: token_ids(p, t, max_length=200)[:, :77], "not a slice"),
        (lambda p, t: token_ids(p, t, add_special_tokens=False), "start token"),
        (lambda p, t: token_ids(p, t, texts=("a",)), "the row of ''"),
    ],
)
def test_token_ids(says, components, answer, hint):
    said = says(check.exercise_1, answer, components)
    assert said.startswith("Not yet.") and hint in said


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda ids, e: e(ids), "[0]"),
        (lambda ids, e: e(ids).pooler_output, "one vector a prompt"),
        (lambda ids, e: e(ids, output_hidden_states=True).hidden_states[-1], "layer norm"),
        (lambda ids, e: e(ids, output_hidden_states=True).hidden_states[-2], "before the last layer"),
        (lambda ids, e: e(ids, output_hidden_states=True).hidden_states[0], "token embeddings"),
        (lambda ids, e: e(ids, attention_mask=(ids != 49407).long())[0], "masked"),
        (lambda ids, e: e(ids)[0].flip(0), "swapped"),
        (lambda ids, e: e(ids[1:])[0], "shape is (1, 77"),
        (lambda ids, e: 2 * e(ids)[0], "differ"),
    ],
)
def test_embed(says, components, answer, hint):
    said = says(check.exercise_2, answer, components)
    assert said.startswith("Not yet.") and hint in said


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda n: noise_schedule(n)[1], "two things"),
        (lambda n: noise_schedule(n)[::-1], "timesteps, sigmas"),
        (lambda n: noise_schedule(n, timesteps=np.linspace(0, 999, n)), "reverse them"),
        (lambda n: noise_schedule(n, timesteps=np.linspace(999, 0, n).round()), "rounded"),
        (lambda n: noise_schedule(n, timesteps=np.floor(np.linspace(999, 0, n))), "whole numbers"),
        (lambda n: noise_schedule(n, timesteps=np.linspace(1000, 0, n)), "999, not 1000"),
        (lambda n: noise_schedule(n, timesteps=np.linspace(1000, 1, n)), "1 to 1000"),
        (lambda n: noise_schedule(n, timesteps=np.arange(0, 1000, 1000 // n)[::-1]), "'leading'."),
        (lambda n: noise_schedule(n, timesteps=np.arange(0, 1000, 1000 // n)[::-1] + 1), "steps_offset"),
        (lambda n: noise_schedule(n, timesteps=np.arange(999, 0, -1000 // n)), "'trailing'"),
        (lambda n: noise_schedule(n + 1), "25 timesteps"),
        (lambda n: noise_schedule(n, betas=np.linspace(0.00085, 0.012, 1000)), "linear in their square roots"),
        (lambda n: noise_schedule(n, ratio=lambda a: (1 - a) / a), "square root"),
        (lambda n: noise_schedule(n, ratio=lambda a: (1 - a) ** 0.5), "divide by sqrt(a)"),
        (lambda n: noise_schedule(n, ratio=lambda a: (a / (1 - a)) ** 0.5), "signal over noise"),
        (lambda n: (noise_schedule(n)[0], noise_schedule(n)[1][:-1]), "one short"),
        (lambda n: (noise_schedule(n)[0], noise_schedule(n)[1][::-1]), "wrong way"),
        (lambda n: (noise_schedule(n)[0], np.roll(noise_schedule(n)[1], 1)), "off by one"),
        (lambda n: (noise_schedule(n)[0], np.append(noise_schedule(n)[1][1:], 0)), "off by one"),
        (lambda n: (noise_schedule(n)[0], noise_schedule(n)[1][[*range(n), n - 1]]), "last should be 0"),
        (lambda n: (noise_schedule(n)[0], np.append(noise_schedule(n)[1][-2::-1], 0)), "run upwards"),
        (lambda n: (noise_schedule(n)[0], noise_schedule(n)[1] * 1.01), "differ"),
        (lambda n: ("timesteps", "sigmas"), "Numbers are wanted"),
    ],
)
def test_noise_schedule(says, components, answer, hint):
    said = says(check.exercise_3, answer, components)
    assert said.startswith("Not yet.") and hint in said


def combined(formula):
    """An answer that guides by another formula."""
    return lambda *a: formula(*two_predictions(*a[:5]), a[5])


def in_place(unet, latents, sigma, *rest):
    latents /= (sigma**2 + 1) ** 0.5
    return guided_noise(unet, latents, sigma, *rest, divisor=1)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (combined(lambda u, c, s: c + s * (u - c)), "swapped"),
        (lambda unet, x, sigma, t, embeds, s: guided_noise(unet, x, sigma, t, embeds.flip(0), s), "swapped"),
        (combined(lambda u, c, s: c + s * (c - u)), "begin from the one without"),
        (combined(lambda u, c, s: u + s * c), "difference of the two"),
        (combined(lambda u, c, s: s * (c - u)), "is missing"),
        (combined(lambda u, c, s: c), "without guidance"),
        (combined(lambda u, c, s: u), "for the empty prompt"),
        (combined(lambda u, c, s: torch.cat([u, c])), "Two predictions are left"),
        (lambda *a: guided_noise(*a, divisor=1), "not scaled"),
        (lambda *a: guided_noise(*a, divisor=a[2]), "divided by sigma;"),
        (lambda *a: guided_noise(*a, divisor=a[2] ** 2 + 1), "square root is missing"),
        (lambda *a: guided_noise(*a, divisor=a[2] + 1), "sigma + 1"),
        (lambda *a: guided_noise(*a, divisor=(a[2] ** 2 + 1) ** -0.5), "multiplied"),
        (lambda unet, x, sigma, t, *rest: guided_noise(unet, x, sigma, sigma, *rest, divisor=(sigma**2 + 1) ** 0.5), "timestep"),
        (lambda unet, x, sigma, t, embeds, s: unet(torch.cat([x] * 2), t, embeds), "its sample"),
        (lambda *a: 1.1 * guided_noise(*a), "differ"),
        (in_place, "changes the latents"),
    ],
)
def test_guided_noise(says, components, answer, hint):
    said = says(check.exercise_4, answer, components)
    assert said.startswith("Not yet.") and hint in said


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda x, e, s, n: x + (s - n) * e, "sign"),
        (lambda x, e, s, n: x - s * e, "clean latents x0"),
        (lambda x, e, s, n: x - n * e, "Only next_sigma"),
        (lambda x, e, s, n: x + n * e, "on top of it"),
        (lambda x, e, s, n: (n - s) * e, "add it to the latents"),
        (lambda x, e, s, n: x - e, "taken whole"),
        (lambda x, e, s, n: x + (n**2 - s**2) * e, "no squares"),
        (lambda x, e, s, n: x, "as they were"),
        (lambda x, e, s, n: x[:1] + (n - s) * e[:1], "shape"),
        (lambda x, e, s, n: 0.9 * x, "differ"),
    ],
)
def test_euler_step(says, answer, hint):
    said = says(check.exercise_5, answer)
    assert said.startswith("Not yet.") and hint in said


def wrapped(pixels):
    return (((pixels + 1) * 127.5).round().int() % 256).byte().permute(1, 2, 0)


@pytest.mark.parametrize(
    ("changed", "hint"),
    [
        (dict(scaling=1), "divide by vae.config.scaling_factor"),
        (dict(levels=lambda p: to_levels(p).permute(2, 0, 1)), "channels last"),
        (dict(levels=lambda p: to_levels(p).float()), "channels last"),
        (dict(levels=lambda p: to_levels(p).permute(1, 0, 2)), "Height and width"),
        (dict(levels=lambda p: to_levels(p).permute(2, 0, 1).reshape(*p.shape[1:], 3)), "reshaping"),
        (dict(levels=lambda p: to_levels(p.flip(0))), "Red and blue"),
        (dict(levels=lambda p: (p.clamp(0, 1) * 255).round().byte().permute(1, 2, 0)), "add 1"),
        (dict(levels=lambda p: ((p + 1) * 255).clamp(0, 255).byte().permute(1, 2, 0)), "twice as bright"),
        (dict(levels=wrapped), "clamp(0, 255)"),
        (dict(levels=lambda p: to_levels(p)[:32]), " x 32 pixels"),
        (dict(sigmas=lambda right: [1]), "starts too weak"),
        (dict(divisor=1), "not scaled"),
        (dict(flip=True), "swapped in guidance"),
        (dict(left_out=1), "the last one goes"),
        (dict(noise=torch.Generator().manual_seed(5)), "Drawn twice it differs"),
    ],
)
def test_draw(says, components, changed, hint):
    said = says(check.exercise_6, lambda *a: draw(*a, **changed), components)
    assert said.startswith("Not yet.") and hint in said


def test_a_missing_last_step_does_not_pass_for_rounding(says, components, monkeypatch):
    monkeypatch.setattr(check, "levels_allowed", lambda components: 2.0)  # as in half precision
    assert "the last one goes" in says(check.exercise_6, lambda *a: draw(*a, left_out=1), components)
    assert says(check.exercise_6, draw, components).startswith("Right.")


def test_draw_with_other_arguments(says, components):
    multiplied = 1 / components.vae.config.scaling_factor
    assert "decoding divides" in says(check.exercise_6, lambda *a: draw(*a, scaling=multiplied), components)
    assert "without guidance" in says(check.exercise_6, lambda c, p, seed, n, s: draw(c, p, seed, n, 1), components)
    assert "another seed's" in says(check.exercise_6, lambda c, p, seed, n, s: draw(c, p, 0, n, s), components)
    assert "use its arguments" in says(check.exercise_6, lambda c, p, *a: draw(c, "a red apple on grey", *a), components)
    assert "is a Tensor" in says(check.exercise_6, lambda *a: torch.zeros(1, 3, 64, 64), components)
    assert "in mode L" in says(check.exercise_6, lambda *a: draw(*a).convert("L"), components)


def test_the_answers_equal_diffusers(components):
    scheduler = scheduler_like(components.scheduler, EulerDiscreteScheduler)
    scheduler.set_timesteps(25)
    timesteps, sigmas = noise_schedule(25)
    torch.testing.assert_close(torch.tensor(timesteps), scheduler.timesteps.double())
    torch.testing.assert_close(torch.tensor(sigmas), scheduler.sigmas.double(), atol=1e-5, rtol=1e-5)
    latents, noise = torch.randn((2, 1, 4, 8, 8), generator=torch.Generator().manual_seed(0))
    theirs = scheduler.step(noise, scheduler.timesteps[0], latents).prev_sample
    torch.testing.assert_close(euler_step(latents, noise, sigmas[0], sigmas[1]), theirs, atol=1e-4, rtol=1e-4)


def test_given_is_what_right_answers_give(components):
    prompt, seed = "a fox", 3
    given = check.given(components, prompt, seed, num_inference_steps=10, guidance_scale=5)
    assert torch.equal(given.token_ids, token_ids(prompt, components.tokenizer))
    torch.testing.assert_close(given.prompt_embeds, embed(given.token_ids, components.text_encoder))
    timesteps, sigmas = noise_schedule(10)
    torch.testing.assert_close(given.timesteps, torch.tensor(timesteps, dtype=torch.float32))
    torch.testing.assert_close(given.sigmas, torch.tensor(sigmas, dtype=torch.float32), atol=1e-5, rtol=1e-5)
    predicted = guided_noise(components.unet, given.latents, sigmas[0], timesteps[0], given.prompt_embeds, 5)
    torch.testing.assert_close(given.noise_pred, predicted, atol=1e-4, rtol=1e-4)
    assert given.stds.shape == given.sigmas.shape and abs(given.stds[0] - given.latents.std()) < 1e-4


@pytest.mark.parametrize("number", range(1, 7))
def test_without_components_the_checks_draw_with_those_last_given(says, components, number, monkeypatch):
    monkeypatch.setattr(blank_page_reference, "load", lambda: pytest.fail("a second model was loaded"))
    check.given(components, "a fox", 0, num_inference_steps=2, guidance_scale=5)
    answer = (token_ids, embed, noise_schedule, guided_noise, euler_step, draw)[number - 1]
    assert says(getattr(check, f"exercise_{number}"), answer).startswith("Right.")


def test_without_components_and_nothing_given_the_chosen_model_is_loaded_once(says, components, monkeypatch):
    loaded = []
    monkeypatch.setattr(blank_page_reference, "_KNOWN", [])
    monkeypatch.setattr(blank_page_reference, "load", lambda: loaded.append(1) or components)
    assert says(check.exercise_1, token_ids).startswith("Right.") and says(check.exercise_2, embed).startswith("Right.")
    assert loaded == [1]


def test_the_diagram_names_the_functions_and_lights_what_is_asked_for(components):
    shown = part_diagrams.six_functions(components, lit=(1, 6))
    picture = base64.b64decode(re.search('base64,([^"]+)', shown.data)[1]).decode()
    assert all(f"{i} {name}" in picture for i, name in enumerate(part_diagrams.TASKS, start=1))
    assert picture.count(LIT) == 2 and "Lit: 1 token_ids, 6 draw." in shown.data
    assert part_diagrams.six_functions(components, lit=6).data.count("Lit: 6 draw.") == 1
    with pytest.raises(ValueError, match="lit=7"):
        part_diagrams.six_functions(components, lit=7)
