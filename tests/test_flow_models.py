"""The loop with models that predict flow, small and random, against diffusers: SD3's pipeline step and a U-Net's own."""

import math

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline, UNet2DConditionModel
from torch.testing import assert_close

from sd_helpers import add_noise, denoise, noise_level, set_timesteps
from sd_helpers.guidance import noise_predictor

STEPS = 6


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    sizes = dict(sample_size=8, block_out_channels=(32, 32), layers_per_block=1, cross_attention_dim=16, attention_head_dim=4)
    blocks = dict(down_block_types=["CrossAttnDownBlock2D", "DownBlock2D"], up_block_types=["UpBlock2D", "CrossAttnUpBlock2D"])
    return UNet2DConditionModel(**sizes, **blocks).eval().requires_grad_(False)


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def texts():
    return dict(prompt_embeds=randn(1, 7, 16, seed=1), negative_embeds=randn(1, 7, 16, seed=2))


def by_hand(unet, scheduler, x, scale, start=0):
    """Euler's step along the velocity, over the scheduler's own levels."""
    scheduler.set_timesteps(STEPS)
    prompt, empty = (embeds.expand(len(x), -1, -1) for embeds in texts().values())
    for s, until in list(zip(scheduler.sigmas, scheduler.sigmas[1:]))[start:]:
        with torch.no_grad():
            away, towards = (unet(x, 1000 * s, embeds).sample for embeds in (empty, prompt))
        x = x + (until - s) * (away + scale * (towards - away))
    return x


@pytest.mark.parametrize("scale", [1, 4.0])
@pytest.mark.parametrize("settings", [{}, dict(shift=3.0), dict(use_karras_sigmas=True)])
def test_flow_equals_a_loop_by_hand(unet, scale, settings):
    scheduler, noise = FlowMatchEulerDiscreteScheduler(**settings), randn(2, 4, 8, 8)
    steps = list(denoise(unet, scheduler, noise, **texts(), guidance_scale=scale, num_inference_steps=STEPS))
    assert_close(steps[-1].latents, by_hand(unet, FlowMatchEulerDiscreteScheduler(**settings), noise, scale))
    assert [step.index for step in steps] == list(range(STEPS))
    assert steps[0].signal == 0 and math.isinf(steps[0].sigma)
    for step in steps:
        assert torch.isfinite(step.pred_original_sample).all() and torch.isfinite(step.noise_pred).all()
    assert_close(steps[0].noise_pred, noise)  # at pure noise, the latents are it


def test_a_step_holds_one_prediction_under_three_names(unet):
    seen = []
    steps = denoise(
        unet,
        FlowMatchEulerDiscreteScheduler(shift=2.0),
        randn(1, 4, 8, 8),
        **texts(),
        num_inference_steps=STEPS,
        on_noise=seen.append,
    )
    list(steps)
    for step in seen:
        share = step.timestep / 1000
        assert step.signal == pytest.approx(1 - share, abs=1e-6)
        assert_close(step.signal * step.pred_original_sample + share * step.noise_pred, step.latents, rtol=1e-4, atol=1e-5)
        assert_close(step.velocity, step.noise_pred - step.pred_original_sample)
    for step in seen[1:]:
        assert_close(step.predict_x0(step.latents, step.noise_pred), step.pred_original_sample, rtol=1e-3, atol=1e-3)


def test_known_velocity_leads_to_the_picture_in_any_number_of_steps():
    x0, noise = randn(2, 4, 8, 8, seed=3), randn(2, 4, 8, 8, seed=4)

    def straight(x, timestep, context, return_dict=False):
        return (noise - x0,)

    for steps, start in ((1, 0), (7, 0), (7, 3)):
        scheduler = FlowMatchEulerDiscreteScheduler()
        set_timesteps(scheduler, steps)
        latents = add_noise(scheduler, x0, noise, start)
        settings = dict(guidance_scale=1, num_inference_steps=steps, start_step=start)
        for step in denoise(straight, scheduler, latents, torch.zeros(1, 1, 16), **settings):
            assert_close(step.pred_original_sample, x0, rtol=1e-4, atol=1e-4)
        assert_close(step.latents, x0, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(3, 2, 1, 1), (1, 16, 8, 8)])
def test_points_and_sixteen_channels_pass(shape):
    x0, noise = randn(*shape, seed=3), randn(*shape, seed=4)
    settings = dict(guidance_scale=1, num_inference_steps=3)
    answer = lambda x, timestep, context, return_dict=False: (noise - x0,)  # noqa: E731
    steps = list(denoise(answer, FlowMatchEulerDiscreteScheduler(), noise, torch.zeros(1, 1, 16), **settings))
    assert_close(steps[-1].latents, x0, rtol=1e-4, atol=1e-4)


def test_noise_is_added_as_diffusers_adds_it():
    scheduler, x0, noise = FlowMatchEulerDiscreteScheduler(shift=3.0), randn(1, 4, 8, 8, seed=3), randn(1, 4, 8, 8, seed=4)
    set_timesteps(scheduler, STEPS)
    for index in range(STEPS):
        theirs = scheduler.scale_noise(x0, scheduler.timesteps[index : index + 1], noise)
        assert_close(add_noise(scheduler, x0, noise, index), theirs)
        signal, sigma = noise_level(scheduler, index)
        assert signal * (1 + sigma) == pytest.approx(1) if signal else math.isinf(sigma)
    assert add_noise(scheduler, x0, noise, STEPS) is x0


def test_noise_that_does_not_fit_is_refused():
    scheduler = FlowMatchEulerDiscreteScheduler()
    with pytest.raises(ValueError, match="must fit each other"):
        add_noise(scheduler, randn(1, 4, 8, 8), randn(1, 2, 8, 8), 0)


def test_equals_sd3s_pipeline():
    torch.manual_seed(0)
    transformer = SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, num_layers=2, attention_head_dim=8, num_attention_heads=4,
        joint_attention_dim=32, caption_projection_dim=32, pooled_projection_dim=16, out_channels=4, pos_embed_max_size=8,
    ).eval()  # fmt: skip
    scheduler, noise = FlowMatchEulerDiscreteScheduler(shift=3.0), randn(1, 4, 8, 8)
    prompt, empty, pooled = randn(1, 7, 32, seed=1), randn(1, 7, 32, seed=2), randn(2, 16, seed=3)
    parts = dict.fromkeys(["text_encoder", "text_encoder_2", "text_encoder_3", "tokenizer", "tokenizer_2", "tokenizer_3", "vae"])
    pipeline = StableDiffusion3Pipeline(transformer=transformer, scheduler=scheduler, **parts)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        prompt_embeds=prompt, negative_prompt_embeds=empty,
        pooled_prompt_embeds=pooled[:1], negative_pooled_prompt_embeds=pooled[1:],
        latents=noise, guidance_scale=5.0, num_inference_steps=STEPS, output_type="latent", height=64, width=64,
    ).images  # fmt: skip

    def network(x, timestep, context, return_dict=False):
        return transformer(x, context, pooled.flip(0), timestep.expand(len(x)), return_dict=return_dict)

    settings = dict(negative_embeds=empty, guidance_scale=5.0, num_inference_steps=STEPS)
    assert_close(list(denoise(network, scheduler, noise, prompt, **settings))[-1].latents, theirs, rtol=1e-4, atol=1e-4)


def test_hooks_steer_flow_but_not_pure_noise(unet):
    def reached(on_noise=None):
        settings = dict(**texts(), guidance_scale=1, num_inference_steps=STEPS, on_noise=on_noise)
        return list(denoise(unet, FlowMatchEulerDiscreteScheduler(), randn(1, 4, 8, 8), **settings))[-1].latents

    plain = reached()
    assert_close(reached(lambda step: step.noise_pred if step.signal else None), plain)
    assert (reached(lambda step: 1.1 * step.noise_pred if step.signal else None) - plain).abs().max() > 0.01
    with pytest.raises(ValueError, match="step 0 sees pure noise"):
        reached(lambda step: step.noise_pred)


def test_noise_predictor_says_what_the_loop_says(unet):
    seen, both = [], texts()
    settings = dict(guidance_scale=3, num_inference_steps=STEPS, on_noise=seen.append)
    list(denoise(unet, FlowMatchEulerDiscreteScheduler(), randn(1, 4, 8, 8), **both, **settings))
    predict = noise_predictor(unet, both["prompt_embeds"], both["negative_embeds"], 3, "flow")
    for step in seen:
        assert_close(predict(step.latents, step), step.noise_pred, rtol=1e-4, atol=1e-4)


ELSEWHERE = [(dict(use_dynamic_shifting=True), "shift itself"), (dict(invert_sigmas=True), "leave it out")]
ELSEWHERE += [(dict(shift=0.0), "shift")]


@pytest.mark.parametrize(("settings", "said"), ELSEWHERE)
def test_flow_schedulers_that_lead_elsewhere_are_refused(unet, settings, said):
    with pytest.raises(ValueError, match=said):
        denoise(unet, FlowMatchEulerDiscreteScheduler(**settings), randn(1, 4, 8, 8), **texts())


def test_random_flow_sampling_is_seeded(unet):
    def reached(seed):
        settings = dict(**texts(), guidance_scale=1, num_inference_steps=4, generator=torch.Generator().manual_seed(seed))
        scheduler = FlowMatchEulerDiscreteScheduler(stochastic_sampling=True)
        return list(denoise(unet, scheduler, randn(1, 4, 8, 8), **settings))[-1].latents

    assert torch.equal(reached(1), reached(1)) and not torch.equal(reached(1), reached(2))
