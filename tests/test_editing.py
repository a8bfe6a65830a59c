"""Inversion against diffusers' scheduler, inpainting against its pipeline, masks and canvases."""

import copy
import dataclasses

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from sd_helpers import add_noise, denoise, inpaint, invert, keep_outside, mask_to_latents, outpainting_canvas, set_timesteps
from sd_helpers.autoencoder import pil_to_latent
from sd_helpers.beyond.editing import LINE, outlined, seam
from sd_helpers.drawing import latent_and_noise
from sd_helpers.metrics import mean_difference
from sd_helpers.schedulers import scheduler_like

STEPS = 6


@pytest.fixture(scope="module")
def latents(components, picture):
    return pil_to_latent(picture, components.vae).to(components.dtype)


@pytest.fixture
def mask(components):
    """White in the upper half."""
    width, height = components.default_size[::-1]
    mask = Image.new("L", (width, height), "black")
    mask.paste("white", (0, 0, width, height // 2))
    return mask


def redraw(components, z, embeds, steps, start_step=0):
    ddim = scheduler_like(components.scheduler, diffusers.DDIMScheduler)
    *_, last = denoise(components.unet, ddim, z, embeds, guidance_scale=1, num_inference_steps=steps, start_step=start_step)
    return last.latents


@torch.no_grad()
def test_invert_equals_a_loop_over_diffusers_scheduler(components, latents, embeds):
    scheduler = scheduler_like(components.scheduler, diffusers.DDIMInverseScheduler)
    scheduler.set_timesteps(STEPS)
    x = latents
    for t in scheduler.timesteps:
        x = scheduler.step(components.unet(x, t, embeds[0]).sample, t, x).prev_sample
    assert_close(invert(components.unet, components.scheduler, latents, embeds[0], num_inference_steps=STEPS), x)


@torch.no_grad()
@pytest.mark.parametrize("start_step", [0, 2, 4])
def test_the_way_back_is_exact_for_a_constant_noise_prediction(components, latents, embeds, start_step):
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    same = dataclasses.replace(components, unet=lambda x, t, context, return_dict=False: (noise,))
    z = invert(same.unet, same.scheduler, latents, embeds[0], num_inference_steps=STEPS, start_step=start_step)
    assert (z - latents).std() > 0.1
    assert_close(redraw(same, z, embeds[0], STEPS, start_step), latents, atol=1e-4, rtol=1e-4)


def test_more_steps_bring_the_picture_closer(components, latents, embeds):
    errors = []
    for steps in (5, 20):
        z = invert(components.unet, components.scheduler, latents, embeds[0], num_inference_steps=steps)
        errors.append(float((redraw(components, z, embeds[0], steps) - latents).std()))
    assert errors[1] < 0.7 * errors[0]


def test_invert_from_the_last_step_does_nothing_and_hands_on_noise(components, latents, embeds):
    settings = dict(num_inference_steps=STEPS)
    assert invert(components.unet, components.scheduler, latents, embeds[0], start_step=STEPS, **settings) is latents
    seen = []
    invert(components.unet, components.scheduler, latents, embeds[0], on_noise=seen.append, **settings)
    assert [step.index for step in seen] == list(range(STEPS)) and seen[0].timestep < seen[-1].timestep
    with pytest.raises(ValueError, match="start_step=7"):
        invert(components.unet, components.scheduler, latents, embeds[0], start_step=7, **settings)
    with pytest.raises(ValueError, match="negative_embeds"):
        invert(components.unet, components.scheduler, latents, embeds[0], guidance_scale=3, **settings)


@pytest.mark.parametrize(
    "name", ["EulerDiscreteScheduler", "DDIMScheduler", "LMSDiscreteScheduler", "DPMSolverMultistepScheduler"]
)
def test_inpaint_equals_diffusers(components, picture, mask, name):
    scheduler = scheduler_like(components.scheduler, getattr(diffusers, name))
    with_it = dataclasses.replace(components, scheduler=scheduler)
    settings = dict(num_inference_steps=STEPS, guidance_scale=3)
    ours = inpaint(with_it, "a red apple", image=picture, mask=mask, seed=4, **settings)
    parts = components.pipeline().components | {"scheduler": copy.deepcopy(scheduler)}
    pipeline = diffusers.StableDiffusionInpaintPipeline(**parts, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    given = dict(image=picture, mask_image=mask, height=picture.height, width=picture.width, strength=1.0)
    theirs = pipeline("a red apple", generator=torch.Generator().manual_seed(4), **given, **settings).images[0]
    assert mean_difference(ours, theirs) < 0.5


def test_keep_outside_follows_the_level_reached(components, picture, mask, embeds):
    known, noise = latent_and_noise(components, picture, 0)
    white = mask_to_latents(mask, components)
    scheduler = copy.deepcopy(components.scheduler)
    set_timesteps(scheduler, STEPS)
    on_step = keep_outside(white, known, noise, components.scheduler, STEPS)
    start, settings = noise * scheduler.init_noise_sigma, dict(guidance_scale=1, num_inference_steps=STEPS)
    half = white.shape[2] // 2
    free = next(denoise(components.unet, components.scheduler, start, embeds[0], **settings))
    for step in denoise(components.unet, components.scheduler, start, embeds[0], on_step=on_step, **settings):
        expected = add_noise(scheduler, known, noise, step.index + 1)
        assert_close(step.latents[:, :, half:], expected[:, :, half:])
        assert not torch.allclose(step.latents[:, :, :half], expected[:, :, :half], atol=1e-2)
        if step.index == 0:
            assert_close(step.latents[:, :, :half], free.latents[:, :, :half])
    assert torch.equal(step.latents[:, :, half:], known[:, :, half:])


def test_keep_outside_refuses_a_mask_that_does_not_fit(components, latents):
    with pytest.raises(ValueError, match="mask_to_latents"):
        keep_outside(torch.ones(1, 1, 3, 3), latents, latents, components.scheduler)
    with pytest.raises(ValueError, match="from 0 to 255"):
        keep_outside(
            torch.tensor([0.0, 255.0])[:, None, None, None].expand(2, 1, *latents.shape[2:]),
            latents,
            latents,
            components.scheduler,
        )


def test_one_white_pixel_makes_its_whole_latent_drawn(components):
    height, width = components.default_size
    mask = Image.new("L", (width, height), "black")
    mask.putpixel((components.factor, 0), 255)
    pooled = mask_to_latents(mask, components)
    assert pooled.shape == (1, 1, height // components.factor, width // components.factor)
    assert pooled.sum() == 1 and pooled[0, 0, 0, 1] == 1
    with pytest.raises(ValueError, match="multiples"):
        mask_to_latents(mask.resize((width + 1, height)), components)


def test_inpaint_refuses_what_does_not_fit(components, picture, mask):
    with pytest.raises(ValueError, match="must agree"):
        inpaint(components, "a fox", image=picture, mask=mask.crop((0, 0, 8, 8)))
    with pytest.raises(ValueError, match="image"):
        inpaint(components, "a fox", image=picture.crop((0, 0, 33, 33)), mask=mask)
    with pytest.raises(ValueError, match="seed=-1"):
        inpaint(components, "a fox", image=picture, mask=mask, seed=-1)


def test_inpaint_on_a_wide_canvas(components, picture):
    canvas, rest = outpainting_canvas(picture, (picture.width * 2, picture.height), (0, 0))
    drawn = inpaint(components, "a fox", image=canvas, mask=rest, num_inference_steps=2, guidance_scale=1)
    assert drawn.size == canvas.size


def test_outpainting_canvas():
    picture = Image.fromarray(np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3))
    canvas, mask = outpainting_canvas(picture, (8, 7), (-2, 1))
    pixels, white = np.asarray(canvas), np.asarray(mask)
    assert pixels.shape == (7, 8, 3) and white.shape == (7, 8)
    assert (white[1:5, :4] == 0).all() and (white == 0).sum() == 16 and (white == 255).sum() == 40
    assert np.array_equal(pixels[1:5, :4], np.asarray(picture)[:, 2:])
    assert np.array_equal(pixels[0, :4], np.asarray(picture)[0, 2:]) and (pixels[1, 4:] == np.asarray(picture)[0, 5]).all()
    with pytest.raises(ValueError, match="no part"):
        outpainting_canvas(picture, (8, 7), (8, 0))


def test_seam_and_outline():
    mask = Image.new("L", (6, 6), "black")
    mask.paste("white", (0, 0, 6, 3))
    picture = Image.new("RGB", (6, 6), (10, 10, 10))
    picture.paste((40, 10, 10), (0, 0, 6, 3))
    assert seam(picture, mask) == pytest.approx(10)  # 30 levels in one of three channels
    marked = np.asarray(outlined(picture, mask))
    assert (marked[3] == LINE).all() and np.array_equal(marked[[0, 1, 2, 4, 5]], np.asarray(picture)[[0, 1, 2, 4, 5]])
    with pytest.raises(ValueError, match="no edge"):
        seam(picture, Image.new("L", (6, 6), "white"))
    with pytest.raises(ValueError, match="must agree"):
        seam(picture, Image.new("L", (5, 6)))


@pytest.mark.parametrize("name", ["EulerAncestralDiscreteScheduler", "DDPMScheduler"])
def test_random_samplers_paint_by_the_seed(components, picture, name):
    components = dataclasses.replace(components, scheduler=scheduler_like(components.scheduler, getattr(diffusers, name)))
    mask = Image.new("L", picture.size, 255)
    before = torch.get_rng_state()
    settings = dict(image=picture, mask=mask, num_inference_steps=4)
    one, again, other = (inpaint(components, "a fox", seed=seed, **settings) for seed in (1, 1, 2))
    assert one == again and one != other and torch.equal(torch.get_rng_state(), before)
