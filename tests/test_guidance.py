"""Guidance: the formula, losses with a known answer, and a steered loop that lowers its loss."""

import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler
from PIL import Image

from sd_helpers import denoise, gallery, guided, scheduler_like, set_timesteps, starting_noise, steer
from sd_helpers.autoencoder import pil_to_tensor
from sd_helpers.beyond.steering import (
    as_colour,
    blueness,
    colour_loss,
    likeness_loss,
    loss_gradient,
    palette_loss,
    prompt_loss,
    symmetry_loss,
)
from sd_helpers.guidance import noise_predictor
from sd_helpers.metrics import clip_score, picture_tower


def surface(colour, side: int = 8) -> torch.Tensor:
    return pil_to_tensor(Image.new("RGB", (side, side), colour))


def run(components, embeds, on_noise=None, kind=EulerDiscreteScheduler, seeds=(0,), steps=6):
    """The steps of a short run; with `on_noise` steered."""
    scheduler = scheduler_like(components.scheduler, kind)
    set_timesteps(scheduler, steps)
    start = torch.cat([starting_noise(components, seed) for seed in seeds]) * scheduler.init_noise_sigma
    options = dict(negative_embeds=embeds[1], guidance_scale=3, num_inference_steps=steps, on_noise=on_noise)
    return list(denoise(components.unet, scheduler, start, embeds[0], **options))


def seen(components, embeds, **options) -> list:
    """The states that `on_noise` sees."""
    states = []
    run(components, embeds, states.append, **options)
    return states


def towards_blue(pixels):
    return colour_loss(pixels, "blue")


def test_guided_goes_past_the_prompt():
    a, b = torch.randn(2, 1, 4, 2, 2)
    torch.testing.assert_close(guided(a, b, 1), b)
    torch.testing.assert_close(guided(a, b, 3), a + 3 * (b - a))


def test_losses_of_plain_surfaces():
    assert blueness(surface((0, 0, 255))).item() == pytest.approx(1)
    assert blueness(surface((255, 255, 0))).item() == pytest.approx(-1)
    assert blueness(surface((90, 90, 90))).item() == pytest.approx(0, abs=1e-6)
    assert colour_loss(surface("black"), (255, 255, 255)).item() == pytest.approx(4)
    for name, rgb in gallery.BACKGROUNDS.items():
        assert colour_loss(surface(rgb), name).item() == pytest.approx(0, abs=1e-6)


def test_palette_takes_the_nearest_colour_of_each_pixel():
    halves = torch.cat([surface("red"), surface("blue")], dim=3)  # (1, 3, 8, 16)
    assert palette_loss(halves, [(255, 0, 0), (0, 0, 255)]).item() == pytest.approx(0, abs=1e-6)
    assert palette_loss(halves, [(255, 0, 0)]).item() == pytest.approx(0.5 * 8 / 3)
    assert symmetry_loss(halves).item() == pytest.approx(8 / 3) and symmetry_loss(surface("red")).item() == 0


def test_each_picture_has_its_own_number(picture):
    pixels = torch.cat([pil_to_tensor(picture), pil_to_tensor(picture).flip(dims=(3,)), surface("green", picture.width)])
    losses = [blueness, towards_blue, symmetry_loss, lambda p: palette_loss(p, ["red", "white"])]
    losses += [lambda p: likeness_loss(p, picture), lambda p: prompt_loss(p, "a rocket")]
    losses += [lambda p: likeness_loss(p, picture, picture_tower().embed_pictures)]
    for loss in losses:
        values = loss(pixels)
        assert values.shape == (3,)
        torch.testing.assert_close(values, torch.cat([loss(p[None]) for p in pixels]), rtol=1e-4, atol=1e-5)
    assert likeness_loss(pixels, picture)[0] == 0 < likeness_loss(pixels, picture)[1]
    assert likeness_loss(pixels, picture.resize((16, 16)))[0] < likeness_loss(pixels, picture)[2]


def test_prompt_loss_is_one_less_the_clip_score(picture):
    loss = prompt_loss(pil_to_tensor(picture), "a rocket").item()
    assert loss == pytest.approx(1 - clip_score([picture], ["a rocket"])[0], abs=0.02)


@pytest.mark.parametrize("kind", [EulerDiscreteScheduler, DDIMScheduler])
def test_the_gradient_is_that_of_the_predicted_x0(components, embeds, kind):
    target = torch.randn(1, 4, 1, 1)
    for state in seen(components, embeds, kind=kind, seeds=(0, 1))[::3]:
        gradient = loss_gradient(state, lambda x0: (x0 - target).square().sum(dim=(1, 2, 3)) / 2, vae=None)
        torch.testing.assert_close(gradient, state.pred_original_sample - target, rtol=1e-3, atol=1e-3)


def test_the_gradient_through_the_unet_is_the_slope(components, embeds):
    state = seen(components, embeds)[3]
    predict = noise_predictor(components.unet, *embeds, guidance_scale=3)
    torch.testing.assert_close(predict(state.latents, state), state.noise_pred, rtol=1e-3, atol=1e-4)

    def value(latents):
        return state.predict_x0(latents, predict(latents, state)).square().mean(dim=(1, 2, 3))

    gradient = loss_gradient(state, lambda x0: x0.square().mean(dim=(1, 2, 3)), None, predict)
    ahead = 0.05 * torch.randn(state.latents.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        slope = (value(state.latents + ahead) - value(state.latents - ahead)) / 2
    assert slope.item() == pytest.approx((gradient * ahead).sum().item(), rel=0.05, abs=1e-5)


def test_noise_predictor_fits_variance_preserving_latents(components, embeds):
    state = seen(components, embeds, kind=DDIMScheduler)[2]
    predict = noise_predictor(components.unet, *embeds, guidance_scale=3)
    torch.testing.assert_close(predict(state.latents, state), state.noise_pred, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", [EulerDiscreteScheduler, DDIMScheduler])
def test_steering_lowers_the_loss(components, embeds, kind):
    ends = {}
    for strength in (0, 60):
        last = run(components, embeds, steer(towards_blue, strength, components.vae), kind)[-1]
        pixels = components.vae.decode(last.latents / components.vae.config.scaling_factor).sample
        ends[strength] = towards_blue(pixels).item()
    assert ends[60] < ends[0] - 0.02
    plain = run(components, embeds, None, kind)[-1].latents
    torch.testing.assert_close(run(components, embeds, steer(towards_blue, 0, components.vae), kind)[-1].latents, plain)


def test_every_leaves_the_steps_between_alone(components, embeds):
    on_noise = steer(towards_blue, 60, components.vae, every=3)
    answers = [on_noise(state) for state in seen(components, embeds)]
    assert [answer is not None for answer in answers] == [True, False, False, True, False, False]


def test_pictures_do_not_disturb_each_other(components, embeds):
    alone = run(components, embeds, steer(towards_blue, 60, components.vae), steps=3)[-1].latents
    together = run(components, embeds, steer(towards_blue, 60, components.vae), seeds=(0, 1), steps=3)[-1].latents
    torch.testing.assert_close(together[:1], alone, rtol=1e-2, atol=1e-2)


def test_bad_arguments_are_named(components, embeds):
    for colour in ("mauve", (1, 2), (0, 0, 300)):
        with pytest.raises(ValueError, match="mauve.*white|three numbers.*white"):
            as_colour(colour)
    for arguments, name in (
        ((1, None, 0), "every=0"),
        ((float("nan"), None), "strength=nan"),
        (("much", None), "strength='much'"),
    ):
        with pytest.raises(ValueError, match=name):
            steer(towards_blue, *arguments)
    with pytest.raises(ValueError, match="guidance_scale=3.*negative_embeds"):
        noise_predictor(components.unet, embeds[0], guidance_scale=3)
    state = seen(components, embeds, seeds=(0, 1), steps=2)[0]
    for loss, message in (
        (lambda x0: x0.mean(dim=(2, 3)), r"\(2, 4\) for 2 pictures"),
        (lambda x0: 0.5, "float for 2 pictures"),
        (lambda x0: x0.detach().mean(dim=(1, 2, 3)), "does not depend"),
    ):
        with pytest.raises(ValueError, match=message):
            loss_gradient(state, loss, None)
