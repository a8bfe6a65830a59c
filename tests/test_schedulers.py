"""Noise levels against the published values and against diffusers."""

import dataclasses

import diffusers
import pytest
import torch
from diffusers import LMSDiscreteScheduler
from torch.testing import assert_close

from sd_helpers import LMSScheduler, add_noise, denoise, generate, noise_level, scheduler_like, set_timesteps, sweep
from sd_helpers.metrics import mean_difference

SD_V1 = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000)


def test_published_timesteps_and_sigmas(components, published):
    scheduler = components.scheduler
    set_timesteps(scheduler, 15)
    assert_close(scheduler.timesteps.double(), torch.tensor(published["lms_15"]["timesteps"]).double(), atol=1e-4, rtol=0)
    assert_close(scheduler.sigmas.double(), torch.tensor(published["lms_15"]["sigmas"]).double(), atol=5e-5, rtol=0)


def test_published_noise_schedule(components, published):
    for key in ("beta_start", "beta_end", "beta_schedule", "num_train_timesteps"):
        assert components.scheduler.config[key] == published["scheduler"][key]


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 15, 50, 333])
def test_lms_equals_diffusers_from_the_first_step(steps):
    ours, theirs = LMSScheduler(**SD_V1), LMSDiscreteScheduler(**SD_V1)
    generator = torch.Generator().manual_seed(0)
    a = b = torch.randn(1, 4, 8, 8, generator=generator) * 14
    ours.set_timesteps(steps), theirs.set_timesteps(steps)
    for t in ours.timesteps[:12]:
        noise = torch.randn(1, 4, 8, 8, generator=generator)
        ours.scale_model_input(a, t), theirs.scale_model_input(b, t)
        a, b = ours.step(noise, t, a).prev_sample, theirs.step(noise, t, b).prev_sample
        assert_close(a, b, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("start_step", [0, 1, 5, 10, 25, 40, 49])
def test_lms_with_the_true_noise_recovers_the_picture_from_any_start(start_step):
    scheduler = LMSScheduler(**SD_V1)
    scheduler.set_timesteps(50)
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 4, 16, 16, generator=generator), torch.randn(2, 4, 16, 16, generator=generator)
    latents = add_noise(scheduler, clean, noise, start_step)
    for t in scheduler.timesteps[start_step:]:
        scheduler.scale_model_input(latents, t)
        latents = scheduler.step(noise, t, latents).prev_sample
    assert_close(latents, clean, atol=1e-4, rtol=0)


def test_diffusers_lms_still_has_the_fault_that_ours_mends():
    """Should this fail, diffusers has mended it: LMSScheduler.step can go."""
    scheduler = LMSDiscreteScheduler(**SD_V1)
    scheduler.set_timesteps(50)
    clean, noise = torch.randn(2, 1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    latents = clean + scheduler.sigmas[10] * noise
    for t in scheduler.timesteps[10:]:
        scheduler.scale_model_input(latents, t)
        latents = scheduler.step(noise, t, latents).prev_sample
    assert (latents - clean).std() > 0.1


@pytest.mark.parametrize("name", ["LMSDiscreteScheduler", "EulerDiscreteScheduler", "DDIMScheduler", "PNDMScheduler",
                                  "DPMSolverMultistepScheduler", "UniPCMultistepScheduler"])  # fmt: skip
def test_add_noise_equals_diffusers(components, name):
    scheduler = scheduler_like(components.scheduler, getattr(diffusers, name))
    set_timesteps(scheduler, 15)
    clean, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for index in (0, 5, 14):
        theirs = scheduler.add_noise(clean, noise, scheduler.timesteps[index : index + 1])
        assert_close(add_noise(scheduler, clean, noise, index), theirs, atol=1e-4, rtol=1e-3)
    past_the_end = len(scheduler.timesteps)
    assert add_noise(scheduler, clean, noise, past_the_end) is clean


def test_the_two_forms_hold_the_same_ratio(components):
    lms = components.scheduler
    ddim = scheduler_like(lms, diffusers.DDIMScheduler)
    set_timesteps(lms, 1000), set_timesteps(ddim, 500)
    for index in (1, 250, 499):  # DDIM visits every second timestep, one higher: steps_offset
        (one, sigma), (signal, same) = noise_level(lms, 2 * index), noise_level(ddim, index)
        assert one == 1 and signal < 1
        assert sigma == pytest.approx(same, rel=0.02)
        assert signal**2 + (signal * same) ** 2 == pytest.approx(1)


def test_schedulers_made_alike_have_sd_v1s_settings(components):
    ddim = scheduler_like(components.scheduler, diffusers.DDIMScheduler)
    assert not ddim.config.clip_sample and not ddim.config.set_alpha_to_one and ddim.config.steps_offset == 1
    pndm = scheduler_like(components.scheduler, diffusers.PNDMScheduler)
    set_timesteps(pndm, 50)
    assert len(pndm.timesteps) == 51
    karras = scheduler_like(components.scheduler, diffusers.EulerDiscreteScheduler, use_karras_sigmas=True)
    assert karras.config.use_karras_sigmas and karras.config.beta_end == components.scheduler.config.beta_end


def test_the_forms_are_told_apart_even_with_one_step(components):
    from sd_helpers.schedulers import is_exploding

    for name in ("LMSDiscreteScheduler", "EulerDiscreteScheduler", "DDIMScheduler", "UniPCMultistepScheduler"):
        for steps in (1, 2, 50):
            scheduler = scheduler_like(components.scheduler, getattr(diffusers, name))
            set_timesteps(scheduler, steps)
            assert is_exploding(scheduler) == name.startswith(("LMS", "Euler"))


def test_an_offset_past_the_end_is_refused(components):
    with pytest.raises(ValueError, match="at most 999"):
        set_timesteps(scheduler_like(components.scheduler, diffusers.DDIMScheduler), 1000)


@pytest.mark.parametrize("steps", [0, -3, 1001, 2.5, "15", None, True])
def test_set_timesteps_refuses(components, steps):
    with pytest.raises(ValueError, match="num_inference_steps"):
        set_timesteps(components.scheduler, steps)


EXPORTED = sorted(name for name in dir(diffusers) if name.endswith("Scheduler") and isinstance(getattr(diffusers, name), type))
RANDOM = {  # those that add noise at each step
    "DDPMParallelScheduler", "DDPMScheduler", "EulerAncestralDiscreteScheduler", "KDPM2AncestralDiscreteScheduler",
    "LCMScheduler", "SASolverScheduler", "TCDScheduler", "DPMSolverSDEScheduler",
}  # fmt: skip
WORK = RANDOM | {
    "DDIMInverseScheduler", "DDIMParallelScheduler", "DDIMScheduler", "DEISMultistepScheduler", "DPMSolverMultistepScheduler",
    "DPMSolverMultistepInverseScheduler", "DPMSolverSinglestepScheduler", "EulerDiscreteScheduler", "HeunDiscreteScheduler",
    "KDPM2DiscreteScheduler", "LMSDiscreteScheduler", "PNDMScheduler", "UniPCMultistepScheduler",
}  # fmt: skip
SMALL = dict(num_inference_steps=5, height=64, width=64, guidance_scale=3, progress=False)


@pytest.mark.parametrize("name", EXPORTED)
def test_every_scheduler_of_diffusers_draws_a_seed_alike_or_is_refused_by_name(components, picture, name):
    cls = getattr(diffusers, name)
    if name not in WORK:
        with pytest.raises((ValueError, ImportError), match=name):
            scheduler_like(components.scheduler, cls)
        return
    components = dataclasses.replace(components, scheduler=scheduler_like(components.scheduler, cls))
    before = torch.get_rng_state()
    together = generate(components, ["a fox", "a pizza", "a tree"], seed=3, **SMALL)
    for i, prompt in enumerate(["a fox", "a pizza", "a tree"]):
        (alone,) = generate(components, prompt, seed=3 + i, **SMALL)
        assert mean_difference(alone, together[i]) < 0.5
    settings = dict(num_inference_steps=5, progress=False)
    grid = sweep(components, "a fox", image=picture, start_steps=[0, 3], guidance_scales=[1, 4], seeds=[0, 1], **settings)
    for start, scale, seed in [(0, 4, 1), (3, 1, 0)]:
        (alone,) = generate(components, "a fox", image=picture, start_step=start, guidance_scale=scale, seed=seed, **settings)
        assert mean_difference(alone, grid.image(start_step=start, guidance_scale=scale, seed=seed)) < 0.5
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", sorted(RANDOM))
def test_random_samplers_draw_by_the_seed(components, name):
    components = dataclasses.replace(components, scheduler=scheduler_like(components.scheduler, getattr(diffusers, name)))
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)) * components.scheduler.init_noise_sigma
    embeds = torch.zeros(1, 77, components.unet.config.cross_attention_dim)

    def reached(seed):
        generator = [torch.Generator().manual_seed(seed)]
        settings = dict(guidance_scale=1, num_inference_steps=5, generator=generator)
        return list(denoise(components.unet, components.scheduler, noise, embeds, **settings))[-1].latents

    assert torch.equal(reached(1), reached(1)) and not torch.equal(reached(1), reached(2))


@pytest.mark.parametrize("name", ["EulerAncestralDiscreteScheduler", "DDPMScheduler", "LCMScheduler"])
def test_random_samplers_equal_diffusers_pipeline(components, name):
    components = dataclasses.replace(components, scheduler=scheduler_like(components.scheduler, getattr(diffusers, name)))
    ours = generate(components, ["a fox", "a pizza"], seed=3, **SMALL)
    generators = [torch.Generator().manual_seed(seed) for seed in (3, 4)]
    settings = {key: value for key, value in SMALL.items() if key != "progress"}
    theirs = components.pipeline()(["a fox", "a pizza"], generator=generators, **settings).images
    assert max(map(mean_difference, ours, theirs)) < 0.5


def test_schedulers_for_other_models_are_refused_when_they_draw(components, picture):
    flow = dataclasses.replace(components, scheduler=diffusers.FlowMatchEulerDiscreteScheduler())
    with pytest.raises(ValueError, match="FlowMatchEulerDiscreteScheduler"):
        generate(flow, "a fox", **SMALL)
    with pytest.raises(ValueError, match="FlowMatchEulerDiscreteScheduler"):
        sweep(flow, "a fox", image=picture, start_steps=[0, 2], num_inference_steps=5, progress=False)
    with pytest.raises(ValueError, match="no betas that EulerDiscreteScheduler"):
        scheduler_like(flow.scheduler, diffusers.EulerDiscreteScheduler)
    for overrides in (dict(use_flow_sigmas=True), dict(prediction_type="sample")):
        with pytest.raises(ValueError, match=next(iter(overrides))):
            scheduler_like(components.scheduler, diffusers.DPMSolverMultistepScheduler, **overrides)


def test_lms_says_when_all_steps_are_taken():
    scheduler = LMSScheduler(**SD_V1)
    scheduler.set_timesteps(3)
    latents = torch.zeros(1, 4, 8, 8)
    for t in scheduler.timesteps:
        scheduler.scale_model_input(latents, t)
        latents = scheduler.step(latents, t, latents).prev_sample
    with pytest.raises(ValueError, match="all 3 steps are taken: call set_timesteps"):
        scheduler.step(latents, scheduler.timesteps[-1], latents)
