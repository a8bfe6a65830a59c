"""Checks of notebook 07, the blank page: the whole loop from memory, from token ids to the picture.

They draw with `components` if they are given some, else with those that `given` was last asked about. Nothing here calls an
answer's earlier exercise: every check works out its own inputs, by `sd_helpers`.
"""

from __future__ import annotations

import numpy as np
import torch

from ..checks import NotYet, answered, exercise, expect
from ..drawing import generate, starting_noise
from ..guidance import guided
from ..text import embed_prompt
from .blank_page_reference import (
    compare,
    euler,
    given,
    levels_allowed,
    loop,
    padded_ids,
    parts,
    picture_of,
    schedule,
    tensor_of,
    tolerance_of,
    two_predictions,
)

__all__ = ["euler", "given", *(f"exercise_{i}" for i in range(1, 7))]

LONG = "apple, " * 60  # more words than 77 positions hold
LAST = "One step is missing: the last one goes from the last sigma to 0."
PROMPTS = ("a red apple", "a glossy octopus on a pink background")


@exercise
def exercise_1(token_ids, components=None):
    """`token_ids(prompt, tokenizer)` gives (2, 77): the empty prompt and the prompt, padded and cut to 77."""
    components = parts(components)
    for prompt in (*PROMPTS, LONG):
        expected = padded_ids(prompt, components.tokenizer)
        which = "a prompt of more than 77 tokens" if prompt is LONG else repr(prompt)
        try:
            ids = answered(token_ids(prompt, components.tokenizer))
        except ValueError as error:
            missing = "truncation=True" if prompt is LONG else "padding='max_length', max_length=77"
            raise NotYet(f"For {which} the rows differ in length: give the tokenizer {missing}. ({error})") from error
        expect(not hasattr(ids, "input_ids"), "That is all that the tokenizer returned: the ids are its input_ids.")
        ids = tensor_of(ids, "Two rows of whole numbers are wanted, of one length: pad both to 77")
        expect(ids.ndim == 2 and len(ids) == 2, f"Its shape is {tuple(ids.shape)}: two rows are wanted, of '' and of the prompt.")
        length = expected.shape[1]
        cure = "padding='max_length' with max_length=77 fills up the rest" if ids.shape[1] < length else "set truncation=True"
        expect(ids.shape[1] == length, f"For {which} there are {ids.shape[1]} positions, not {length}: {cure}.")
        expect(not torch.equal(ids, expected.flip(0)), "The rows are swapped: the empty prompt comes first.")
        same = ids == expected
        words = expected[1] != components.tokenizer.pad_token_id
        expect(bool(same[:, 0].all()), "Each row should begin with the start token, 49406: let the tokenizer add it.")
        cut = "The last of the 77 must be the end token, 49407: let the tokenizer cut (truncation=True), not a slice."
        expect(bool(same[:, -1].all()) or prompt is not LONG, cut)
        pad = f"The words are right and the padding is not: it should be the end token, {components.tokenizer.pad_token_id}."
        expect(bool(same[1].all()) or not bool(same[1][words].all()), pad)
        expect(bool(same.all()), f"For {which} some ids differ: is the row of '' really of the empty prompt?")
    return "One row for no words, one for yours, 77 positions each, whatever the length of the prompt."


@exercise
def exercise_2(embed, components=None):
    """`embed(token_ids, text_encoder)` gives (2, 77, D), the text encoder's last hidden state."""
    components = parts(components)
    encoder = components.text_encoder
    for prompt in PROMPTS:
        ids = padded_ids(prompt, components.tokenizer)
        expected = embed_prompt(["", prompt], components.tokenizer, encoder)
        value = answered(embed(ids.clone(), encoder))
        expect(not hasattr(value, "last_hidden_state"), "That is all that the text encoder returned: take its first item, [0].")
        value = tensor_of(value, "A tensor is wanted")
        pooled = "That is one vector a prompt (pooler_output). The U-Net reads a vector for each of the 77 positions."
        expect(value.ndim != 2, pooled)
        with torch.no_grad():
            on_device = ids.to(encoder.device)
            states = encoder(on_device, output_hidden_states=True)
            masked = encoder(on_device, attention_mask=(on_device != components.tokenizer.pad_token_id).long())[0]
        wrong = {
            "Those are the token embeddings before the encoder: send the ids through the whole of it.": states.hidden_states[0],
            "The final layer norm is missing: take last_hidden_state, not hidden_states[-1].": states.hidden_states[-1],
            "That is the state before the last layer: Stable Diffusion v1 takes the last one.": states.hidden_states[-2],
            "The padding is masked: Stable Diffusion reads all 77 positions, so give the encoder ids only.": masked,
            "The rows are swapped.": expected.flip(0),
        }
        compare(value, expected, wrong, f"For {prompt!r} the values differ", tolerance_of(components))
    return f"{expected.shape[2]} numbers for each of {expected.shape[1]} positions, twice."


@exercise
def exercise_3(noise_schedule, components=None):
    """`noise_schedule(n)` gives the n timesteps that are visited and the n + 1 sigmas, the last of them 0."""
    components = parts(components)
    for n in (25, 10, 50):
        pair = answered(noise_schedule(n))
        expect(isinstance(pair, (tuple, list)) and len(pair) == 2, "Return two things: timesteps, sigmas.")
        timesteps, sigmas = (tensor_of(answered(part), "Numbers are wanted").double() for part in pair)
        right_timesteps, right_sigmas = (torch.tensor(part, dtype=torch.float64) for part in schedule(components, n))
        _check_timesteps(timesteps, right_timesteps, n)
        _check_sigmas(sigmas, right_sigmas, n, components)
    return "The same timesteps and sigmas as the library's, for 10, 25 and 50 steps."


def _check_timesteps(timesteps, expected, n: int) -> None:
    order = "They should come as timesteps, sigmas: the first of your two looks like sigmas."
    expect(timesteps.numel() == 0 or float(timesteps.max()) > 20, order)
    expect(timesteps.shape == (n,), f"For {n} steps there are {n} timesteps; yours have shape {tuple(timesteps.shape)}.")
    leading = torch.arange(n - 1, -1, -1) * (1000 // n)
    wrong = {
        "The timesteps run upwards: noise comes first, so reverse them.": expected.flip(0),
        "The timesteps are rounded: here they are fractions, and sigma is interpolated between them.": expected.round(),
        "The timesteps are cut to whole numbers: here they are fractions, and sigma is interpolated.": expected.floor(),
        "They are numbered from 0, so that the first of yours should be 999, not 1000.": torch.linspace(1000, 0, n),
        "They are numbered from 0 to 999, not from 1 to 1000.": torch.linspace(1000, 1, n),
        "That is the spacing 'leading'. Here it is 'linspace', with both ends: 999 and 0.": leading,
        "That is the spacing 'leading' with an offset of 1. Under 'linspace' steps_offset has no effect.": leading + 1,
        "That is the spacing 'trailing'. Here it is 'linspace', with both ends: 999 and 0.": leading + 1000 // n - 1,
    }
    compare(timesteps, expected, wrong, f"For {n} steps the timesteps differ: n numbers evenly from 999 down to 0", 1e-4)


def _check_sigmas(sigmas, expected, n: int, components) -> None:
    expect(sigmas.shape != (n,), "They are one short: after the last step no noise is left, so a 0 belongs at the end.")
    expect(sigmas.shape == (n + 1,), f"For {n} steps there are {n + 1} sigmas; yours have shape {tuple(sigmas.shape)}.")
    start, end, count = (components.scheduler.config[key] for key in ("beta_start", "beta_end", "num_train_timesteps"))
    linear, right = np.linspace(start, end, count), np.linspace(start**0.5, end**0.5, count) ** 2
    kept, zero = expected[:-1], expected[-1:]

    def along(betas, level):
        """What other betas give, or another formula for the noise level."""
        levels = level(np.cumprod(1 - betas))
        return torch.tensor(np.append(np.interp(np.linspace(count - 1, 0, n), np.arange(count), levels), 0))

    wrong = {
        "The betas are linear. 'scaled_linear' is linear in their square roots: linspace, then square.": along(
            linear, lambda a: ((1 - a) / a) ** 0.5
        ),
        "Those are the variances (1 - a) / a; sigma is their square root.": along(right, lambda a: (1 - a) / a),
        "That is sqrt(1 - a). Sigma is noise over signal: divide by sqrt(a).": along(right, lambda a: (1 - a) ** 0.5),
        "That is signal over noise; sigma is noise over signal.": along(right, lambda a: (a / (1 - a)) ** 0.5),
        "They run the wrong way: the most noise comes first, the 0 last.": expected.flip(0),
        "They run upwards until the 0: the most noise comes first.": torch.cat([kept.flip(0), zero]),
        "They are off by one: the 0 is the last, not the first.": expected.roll(1),
        "They are off by one: the first sigma belongs to the first timestep, 999.": torch.cat([expected[1:], zero]),
        "The last should be 0, for after the last step; yours is timestep 0's noise again.": torch.cat([kept, kept[-1:]]),
    }
    compare(sigmas, expected, wrong, f"For {n} steps the sigmas differ", 1e-3, relative=True)


@exercise
def exercise_4(guided_noise, components=None):
    """`guided_noise(unet, latents, sigma, timestep, prompt_embeds, guidance_scale)` gives one noise prediction."""
    components = parts(components)
    timesteps, sigmas = schedule(components, 25)
    for seed, (prompt, index, scale) in enumerate([(PROMPTS[0], 3, 7.5), (PROMPTS[1], 12, 3.0), (PROMPTS[0], 22, 1.0)]):
        embeds = embed_prompt(["", prompt], components.tokenizer, components.text_encoder)
        sigma, timestep = sigmas[index], timesteps[index]
        latents = starting_noise(components, seed) * (sigma**2 + 1) ** 0.5
        with torch.no_grad():
            uncond, cond = two_predictions(components.unet, latents, sigma, timestep, embeds)
        expected = guided(uncond, cond, scale)
        handed = latents.clone()
        value = answered(guided_noise(components.unet, handed, sigma, timestep, embeds.clone(), scale))
        expect(not hasattr(value, "sample"), "That is all that the U-Net returned: the prediction is its sample.")
        value = tensor_of(value, "A tensor is wanted")
        both = "Two predictions are left: guidance makes one of them, so that the shape is that of the latents."
        expect(value.shape[0] != 2 or value.ndim != 4, both)
        changed = "Your function changes the latents it is given: write `latents / ...`, not `latents /= ...`."
        expect(torch.equal(handed, latents), changed)
        wrong = _wrong_guidance(components.unet, latents, sigma, timestep, embeds, scale)
        compare(
            value, expected, wrong, f"At sigma {sigma:.2f} and guidance_scale={scale} the values differ", tolerance_of(components)
        )
    return "Two predictions from scaled latents, and from them one that goes past the prompt's own."


@torch.no_grad()
def _wrong_guidance(unet, latents, sigma, timestep, embeds, scale):
    """Hints with what the usual mistakes give, one after another: each costs a call of the U-Net, or none."""
    uncond, cond = two_predictions(unet, latents, sigma, timestep, embeds)
    swapped = "The prediction with the prompt and the one without are swapped: row 0 of the embeddings is the empty prompt."
    yield swapped, guided(cond, uncond, scale)
    yield "The difference is added to the prompt's prediction: begin from the one without.", cond + scale * (cond - uncond)
    yield "The scale times the prompt's prediction is added: it belongs to the difference of the two.", uncond + scale * cond
    yield "The prediction without the prompt is missing: add the difference to it.", scale * (cond - uncond)
    yield "That is the prompt's prediction without guidance.", cond
    yield "That is the prediction for the empty prompt.", uncond
    for factor, hint in (
        (1, "The input is not scaled: divide the latents by sqrt(sigma**2 + 1) before the U-Net sees them."),
        (1 / sigma, "The input is divided by sigma; it should be sqrt(sigma**2 + 1), the size of picture and noise together."),
        (1 / (sigma**2 + 1), "The input is divided by sigma**2 + 1: the square root is missing."),
        (1 / (sigma + 1), "The input is divided by sigma + 1; standard deviations add as squares: sqrt(sigma**2 + 1)."),
        ((sigma**2 + 1) ** 0.5, "The input is multiplied by sqrt(sigma**2 + 1): it should be divided."),
    ):
        pair = unet(torch.cat([latents * factor] * 2), timestep, embeds, return_dict=False)[0].chunk(2)
        yield hint, guided(*pair, scale)
    scaled = torch.cat([latents / (sigma**2 + 1) ** 0.5] * 2)
    pair = unet(scaled, sigma, embeds, return_dict=False)[0].chunk(2)
    yield "The U-Net is told sigma; it was trained to be told the timestep.", guided(*pair, scale)


@exercise
def exercise_5(euler_step):
    """`euler_step(latents, noise_pred, sigma, next_sigma)` gives the latents with the noise of next_sigma."""
    generator = torch.Generator().manual_seed(0)
    for sigma, next_sigma in ((14.6, 12.1), (1.3, 0.9), (0.03, 0.0)):
        latents, noise = (torch.randn((2, 4, 8, 8), generator=generator) for _ in range(2))
        latents = latents * (sigma**2 + 1) ** 0.5
        handed = latents.clone()
        value = tensor_of(answered(euler_step(handed, noise.clone(), sigma, next_sigma)), "A tensor is wanted")
        wrong = {
            "The sign: with less noise than before, next_sigma - sigma is negative.": latents + (sigma - next_sigma) * noise,
            "That goes all the way to the clean latents x0: put the noise of next_sigma back.": latents - sigma * noise,
            "Only next_sigma is used: the step is the difference of the two.": latents - next_sigma * noise,
            "All the noise stays, and next_sigma's comes on top of it.": latents + next_sigma * noise,
            "That is the change alone: add it to the latents.": (next_sigma - sigma) * noise,
            "The prediction is taken whole: multiply it by the change of sigma.": latents - noise,
            "Sigma is the noise's standard deviation, not its variance: no squares.": latents
            + (next_sigma**2 - sigma**2) * noise,
            "The latents come back as they were.": latents,
        }
        compare(value, latents + (next_sigma - sigma) * noise, wrong, f"From sigma {sigma} to {next_sigma} the values differ")
    return "The last step, to a sigma of 0, leaves the clean latents that the prediction implies."


@exercise
def exercise_6(draw, components=None):
    """`draw(components, prompt, seed, num_inference_steps, guidance_scale)` gives the picture that `generate` draws."""
    components = parts(components)
    for prompt, seed, steps, scale in ((PROMPTS[0], 0, 4, 7.5), (PROMPTS[1], 7, 6, 3.0)):
        settings = dict(num_inference_steps=steps, guidance_scale=scale)
        (goal,) = generate(euler(components), prompt, seed=seed, progress=False, **settings)
        goal = np.asarray(goal, dtype=np.float64)
        arguments = (components, prompt, seed, steps, scale)
        picture = picture_of(draw, arguments, goal.shape)
        allowed = levels_allowed(components)
        off, worst = np.abs(picture - goal).mean(), np.abs(picture - goal).max()
        if off < allowed or worst <= 1:
            short = _decoded(components, loop(*arguments, "last")[-1])  # so near that it could pass for rounding
            expect(worst <= 1 or off <= np.abs(picture - short).mean(), LAST)
            continue
        for hint, other in _wrong_pictures(arguments, goal):
            expect(np.abs(picture - other).mean() >= allowed, hint)
        inside = (goal > 0) & (goal < 255)
        clamp = "Where the picture is very dark or very light the levels have wrapped around: clamp(0, 255) before the bytes."
        expect(not inside.any() or np.abs(picture - goal)[inside].mean() >= 1.2, clamp)
        again = picture_of(draw, arguments, goal.shape)
        own = "Drawn twice it differs: the noise should come from torch.Generator().manual_seed(seed) alone."
        expect(np.abs(again - picture).mean() < allowed, own)
        raise NotYet(
            f"For {prompt!r}, seed {seed}, {steps} steps it is {off:.1f} levels of 255 from `generate`'s picture. Does your "
            "function use its arguments, and not the notebook's variables? Is the noise drawn on the CPU?"
        )
    return f"The pictures equal `generate`'s, to {off:.2f} levels of 255. Nothing of Stable Diffusion is hidden from you now."


def _levels(pixels) -> np.ndarray:
    """(3, H, W) in [-1, 1] -> (H, W, 3) of 0 to 255."""
    return ((pixels.float() + 1) * 127.5).clamp(0, 255).round().permute(1, 2, 0).double().cpu().numpy()


@torch.no_grad()
def _decoded(components, latents, factor: float = 1) -> np.ndarray:
    """The picture of scaled latents; `factor` is what a mistake multiplies them by."""
    vae = components.vae
    return _levels(vae.decode(latents * factor / vae.config.scaling_factor).sample[0])


@torch.no_grad()
def _wrong_pictures(arguments, goal):
    """Hints with the pictures that the usual mistakes give, the cheap ones first."""
    components, prompt, seed, steps, scale = arguments
    vae, scaling = components.vae, components.vae.config.scaling_factor
    latents = loop(*arguments)[-1]
    pixels = vae.decode(latents / scaling).sample[0]
    yield "The latents are decoded as they are: divide by vae.config.scaling_factor.", _decoded(components, latents, scaling)
    yield "The latents are multiplied by the scaling factor: decoding divides.", _decoded(components, latents, scaling**2)
    yield "Height and width are swapped: permute(1, 2, 0), not (2, 1, 0).", goal.transpose(1, 0, 2)
    by_reshaping = goal.transpose(2, 0, 1).reshape(goal.shape)
    yield "The channels are moved by reshaping: permute(1, 2, 0) keeps each pixel together.", by_reshaping
    yield "Red and blue are swapped.", goal[..., ::-1]
    yield "The pixels lie in [-1, 1]: add 1 before you multiply by 127.5.", _levels(pixels.clamp(0, 1) * 2 - 1)
    yield "It is twice as bright: [-1, 1] is two wide, so multiply by 127.5.", _levels((pixels + 1) * 2 - 1)
    for flaw, hint in (
        ("start", "The noise starts too weak: multiply it by the first sigma."),
        ("input", "The input of the U-Net is not scaled: divide it by sqrt(sigma**2 + 1)."),
        ("swapped", "The prompt and the empty prompt are swapped in guidance."),
        ("unguided", "It is the picture without guidance."),
        ("first", "One step is missing: the first one starts from the first sigma."),
        ("last", LAST),
    ):
        yield hint, _decoded(components, loop(*arguments, flaw)[-1])
    own = "The noise is another seed's: does your function use its own argument?"
    yield own, _decoded(components, loop(components, prompt, 7 - seed, steps, scale)[-1])
