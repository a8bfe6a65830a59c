"""The denoising loop against diffusers' own pipelines, and its hooks."""

import diffusers
import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline
from torch.testing import assert_close

from sd_helpers import (
    LMSScheduler,
    add_noise,
    denoise,
    generate,
    latents_to_pil,
    noise_level,
    pil_to_latent,
    scheduler_like,
    set_timesteps,
    starting_noise,
)
from sd_helpers.drawing import starting_latents

SCHEDULERS = ["LMSDiscreteScheduler", "EulerDiscreteScheduler", "DDIMScheduler", "PNDMScheduler", "DPMSolverMultistepScheduler"]
STEPS = 8


def start(components, scheduler, count=1):
    set_timesteps(scheduler, STEPS)
    noise = torch.cat([starting_noise(components, seed) for seed in range(count)])
    return noise * scheduler.init_noise_sigma


def last(steps):
    return list(steps)[-1].latents


@pytest.mark.parametrize("guidance_scale", [7.5, 1.0])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_equals_diffusers(components, embeds, name, guidance_scale):
    scheduler = scheduler_like(components.scheduler, getattr(diffusers, name))
    prompt, empty = embeds[0].expand(2, -1, -1), embeds[1].expand(2, -1, -1)
    ours = last(
        denoise(
            components.unet,
            scheduler,
            start(components, scheduler, 2),
            prompt,
            negative_embeds=empty,
            guidance_scale=guidance_scale,
            num_inference_steps=STEPS,
        )
    )
    pipeline = components.pipeline()
    pipeline.scheduler = scheduler
    theirs = pipeline(
        prompt_embeds=prompt,
        negative_prompt_embeds=empty,
        latents=torch.cat([starting_noise(components, seed) for seed in range(2)]),
        guidance_scale=guidance_scale,
        num_inference_steps=STEPS,
        output_type="latent",
    ).images
    assert_close(ours, theirs, atol=1e-3, rtol=1e-3)
    assert ours[0].sub(ours[1]).abs().mean() > 0.05  # two seeds, two pictures


@pytest.mark.parametrize("start_step", [0, 3, 7])
def test_image_to_image_equals_diffusers_with_euler(components, embeds, picture, start_step):
    euler = scheduler_like(components.scheduler, diffusers.EulerDiscreteScheduler)
    ours = generate_latents(components, euler, embeds, picture, start_step)
    pipeline = StableDiffusionImg2ImgPipeline(
        **{**components.pipeline().components, "scheduler": euler}, requires_safety_checker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        prompt_embeds=embeds[0],
        negative_prompt_embeds=embeds[1],
        image=picture,
        strength=(STEPS - start_step + 0.5) / STEPS if start_step else 1.0,
        num_inference_steps=STEPS,
        generator=torch.Generator().manual_seed(5),
        output_type="latent",
    ).images
    assert_close(ours, theirs, atol=1e-3, rtol=1e-3)


def generate_latents(components, scheduler, embeds, picture, start_step):
    from dataclasses import replace

    parts = replace(components, scheduler=scheduler)
    begin = starting_latents(parts, [5], *components.default_size, STEPS, picture, start_step)
    return last(
        denoise(
            components.unet,
            scheduler,
            begin,
            embeds[0],
            negative_embeds=embeds[1],
            num_inference_steps=STEPS,
            start_step=start_step,
        )
    )


@pytest.mark.parametrize("name", ["LMSScheduler", *SCHEDULERS[1:], "UniPCMultistepScheduler"])
def test_predicted_x0_is_the_picture_when_the_noise_is_known(components, picture, name):
    """An oracle U-Net that returns the very noise that was added makes every predicted x0 the picture itself.

    PNDM is tried from its beginning only: started later, diffusers' own class takes one of its steps twice.
    """
    start_step = 0 if name == "PNDMScheduler" else 2
    scheduler = scheduler_like(components.scheduler, getattr(diffusers, name, LMSScheduler))
    clean, noise = pil_to_latent(picture, components.vae), starting_noise(components, 1)
    set_timesteps(scheduler, STEPS)

    def oracle(latents, timestep, embeds, return_dict):
        return (noise,)

    steps = list(
        denoise(
            oracle,
            scheduler,
            add_noise(scheduler, clean, noise, start_step),
            torch.zeros(1, 77, 8),
            guidance_scale=1,
            num_inference_steps=STEPS,
            start_step=start_step,
        )  # fmt: skip
    )
    for step in steps:
        assert_close(step.pred_original_sample, clean, atol=2e-2, rtol=1e-2)
        signal, sigma = noise_level(scheduler, step.index)
        assert (step.signal, step.sigma) == (signal, sigma) and step.timestep == float(scheduler.timesteps[step.index])


def test_guidance_off_costs_one_row_and_on_two(components, embeds):
    rows = []

    def counting(latents, timestep, context, return_dict):
        rows.append(len(latents))
        return components.unet(latents, timestep, context, return_dict=False)

    scale = [1.0, 0.0, 3.0, 7.5].__getitem__
    run = denoise(counting, components.scheduler, start(components, components.scheduler), embeds[0],
                  negative_embeds=embeds[1], guidance_scale=scale, num_inference_steps=4)  # fmt: skip
    assert [step.index for step in run] == [0, 1, 2, 3]
    assert rows == [1, 1, 2, 2]


def test_guidance_leads_towards_the_prompt(components, embeds):
    """At scale 2 the guided prediction lies as far beyond the prompt's as that lies from the empty prompt's."""
    latents = start(components, components.scheduler)

    def first(prompt, scale):
        run = denoise(components.unet, components.scheduler, latents, prompt, negative_embeds=embeds[1],
                      guidance_scale=scale, num_inference_steps=STEPS)  # fmt: skip
        return next(run).noise_pred

    with_prompt, without = first(embeds[0], 1), first(embeds[1], 1)
    assert_close(first(embeds[0], 2), 2 * with_prompt - without, atol=1e-4, rtol=1e-4)


def test_hooks_see_and_replace(components, embeds):
    latents = start(components, components.scheduler)
    seen = []

    def on_noise(step):
        seen.append(step.latents)
        with torch.enable_grad():
            x = step.latents.clone().requires_grad_()
            loss = step.predict_x0(x, step.noise_pred).square().mean()
            (gradient,) = torch.autograd.grad(loss, x)
        assert gradient.abs().sum() > 0
        return torch.zeros_like(step.noise_pred)

    run = denoise(components.unet, components.scheduler, latents, embeds[0], guidance_scale=1, num_inference_steps=3,
                  on_noise=on_noise, on_step=lambda step: step.latents + 1)  # fmt: skip
    steps = list(run)
    assert_close(seen[0], latents)  # before the step
    for i, step in enumerate(steps):  # no noise predicted: nothing moves but what on_step adds
        assert_close(step.latents, latents + i + 1)
        assert_close(step.pred_original_sample, latents + i)


def test_leaves_scheduler_and_gradients_alone(components, embeds):
    components.scheduler.set_timesteps(7)
    run = denoise(components.unet, components.scheduler, start(components, components.scheduler), embeds[0], guidance_scale=1)
    next(run)
    assert torch.is_grad_enabled()
    assert len(components.scheduler.timesteps) == STEPS  # as `start` left it
    assert components.scheduler.step_index is None


def test_two_runs_side_by_side_do_not_disturb_each_other(components, embeds):
    def run():
        return denoise(components.unet, components.scheduler, start(components, components.scheduler), embeds[0],
                       guidance_scale=1, num_inference_steps=STEPS)  # fmt: skip

    alone = last(run())
    for a, b in zip(run(), run(), strict=True):
        assert_close(a.latents, b.latents)
    assert_close(a.latents, alone)


def test_all_steps_left_out_is_no_step(components, embeds):
    latents = start(components, components.scheduler)
    for name in SCHEDULERS:
        scheduler = scheduler_like(components.scheduler, getattr(diffusers, name))
        assert not list(
            denoise(components.unet, scheduler, latents, embeds[0], guidance_scale=1, num_inference_steps=4, start_step=4)
        )


@pytest.mark.parametrize(
    ("argument", "value"),
    [("start_step", -1), ("start_step", 51), ("start_step", 1.5), ("num_inference_steps", 0), ("num_inference_steps", 1001),
     ("num_inference_steps", "50"), ("negative_embeds", None), ("prompt_embeds", None),
     ("prompt_embeds", torch.zeros(3, 77, 128))],
)  # fmt: skip
def test_bad_arguments_are_named(components, embeds, argument, value):
    arguments = {"negative_embeds": embeds[1], "prompt_embeds": embeds[0], argument: value}
    with pytest.raises(ValueError, match=argument):
        denoise(components.unet, components.scheduler, start(components, components.scheduler), **arguments)


def test_generate_is_a_caller_of_the_loop(components, picture):
    """From all steps left out, the picture comes back as the autoencoder's round trip."""
    from sd_helpers.metrics import mean_difference

    (again,) = generate(components, "anything", image=picture, start_step=50, progress=False)
    latent = pil_to_latent(picture, components.vae, generator=torch.Generator().manual_seed(0))
    assert mean_difference(again, latents_to_pil(latent, components.vae)[0]) < 0.01


class AsVelocity(torch.nn.Module):
    """A U-Net that answers with the velocity that its noise prediction stands for."""

    def __init__(self, unet, alphas):
        super().__init__()
        self.unet, self.alphas, self.config, self.dtype, self.device = unet, alphas, unet.config, unet.dtype, unet.device

    def forward(self, sample, timestep, context, return_dict=False):
        alpha = self.alphas[int(timestep)]
        noise = self.unet(sample, timestep, context, return_dict=False)[0]
        return ((noise - (1 - alpha).sqrt() * sample) / alpha.sqrt(),)


@pytest.mark.parametrize("name", ["DDIMScheduler", "DPMSolverMultistepScheduler", "EulerDiscreteScheduler"])
def test_velocity_and_noise_are_one_picture(components, embeds, name):
    settings = dict(timestep_spacing="leading")  # whole timesteps, of which the wrapper knows the levels
    noise, velocity = (
        scheduler_like(components.scheduler, getattr(diffusers, name), prediction_type=kind, **settings)
        for kind in ("epsilon", "v_prediction")
    )
    unet = AsVelocity(components.unet, components.scheduler.alphas_cumprod)
    drawing = dict(negative_embeds=embeds[1], guidance_scale=5, num_inference_steps=STEPS)
    expected = last(denoise(components.unet, noise, start(components, noise), embeds[0], **drawing))
    assert_close(last(denoise(unet, velocity, start(components, velocity), embeds[0], **drawing)), expected, atol=2e-3, rtol=1e-3)
    assert velocity.config.prediction_type == "v_prediction"  # the caller's own is as it was


@pytest.mark.parametrize("name", ["DDIMScheduler", "EulerDiscreteScheduler"])
def test_velocity_equals_diffusers_pipeline(components, embeds, name):
    """The U-Net's answer taken for a velocity: no picture, but the same one."""
    scheduler = scheduler_like(components.scheduler, getattr(diffusers, name), prediction_type="v_prediction")
    settings = dict(guidance_scale=3, num_inference_steps=STEPS)
    ours = last(
        denoise(components.unet, scheduler, start(components, scheduler), embeds[0], negative_embeds=embeds[1], **settings)
    )
    pipeline = components.pipeline()
    pipeline.scheduler = scheduler
    texts = dict(prompt_embeds=embeds[0], negative_prompt_embeds=embeds[1])
    theirs = pipeline(**texts, latents=starting_noise(components, 0), output_type="latent", **settings).images
    assert_close(ours, theirs, atol=2e-3, rtol=1e-3)
