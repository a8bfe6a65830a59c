"""Pictures to latents and back."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from sd_helpers import latents_to_pil, pil_to_latent
from sd_helpers.autoencoder import pil_to_tensor, tensor_to_pil
from sd_helpers.metrics import mean_difference, psnr


def test_round_trip(components, picture):
    latent = pil_to_latent(picture, components.vae)
    height, width = components.default_size
    assert latent.shape == (1, 4, height // components.factor, width // components.factor)
    (again,) = latents_to_pil(latent, components.vae)
    assert again.size == picture.size
    assert psnr(again, picture) > 22


def test_wide_is_wide(components, picture):
    """Height and width must not be swapped on the way."""
    width, height = picture.width, picture.height // 2
    latent = pil_to_latent(picture.crop((0, 0, width, height)), components.vae)
    assert latent.shape[2:] == (height // components.factor, width // components.factor)
    assert latents_to_pil(latent, components.vae)[0].size == (width, height)


def test_equals_diffusers_processor(components, picture):
    from diffusers.image_processor import VaeImageProcessor

    processor = VaeImageProcessor(vae_scale_factor=components.factor)
    assert_close(pil_to_tensor(picture), processor.preprocess(picture))
    tensor = torch.rand(2, 3, 8, 8) * 3 - 1.5
    for ours, theirs in zip(tensor_to_pil(tensor), processor.postprocess(tensor), strict=True):
        assert np.abs(np.asarray(ours, dtype=int) - np.asarray(theirs, dtype=int)).max() <= 1


def test_mean_or_sample(components, picture):
    mean = pil_to_latent(picture, components.vae)
    assert_close(mean, pil_to_latent(picture, components.vae))
    one = pil_to_latent(picture, components.vae, generator=torch.Generator().manual_seed(1))
    same = pil_to_latent(picture, components.vae, generator=torch.Generator().manual_seed(1))
    other = pil_to_latent(picture, components.vae, generator=torch.Generator().manual_seed(2))
    assert_close(one, same)
    assert not torch.equal(one, other) and not torch.equal(one, mean)


def test_latents_have_unit_variance(components):
    """The scaling factor of SD v1 is true of this autoencoder, and each channel is centred."""
    from sd_helpers import gallery

    size = components.default_size[0]
    icons = gallery.icons()[::60]
    names = list(gallery.BACKGROUNDS)
    pictures = [icon.picture(names[i % len(names)], size) for i, icon in enumerate(icons)]
    latents = torch.cat([pil_to_latent(p, components.vae) for p in pictures])
    assert components.vae.config.scaling_factor == 0.18215
    assert 0.9 < latents.std() < 1.1
    assert latents.mean(dim=(0, 2, 3)).abs().max() < 0.25


@pytest.mark.parametrize("size", [(63, 64), (64, 30), (1, 1)])
def test_sizes_that_do_not_fit(components, size):
    with pytest.raises(ValueError, match=f"multiples of {components.factor}"):
        pil_to_latent(Image.new("RGB", size), components.vae)


@pytest.mark.parametrize("image", [None, np.zeros((8, 8, 3)), [], 3])
def test_not_a_picture(components, image):
    with pytest.raises(ValueError, match="PIL"):
        pil_to_latent(image, components.vae)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_latents_without_a_picture_are_not_shown_black(components, wrong):
    latents = torch.zeros(2, 4, 8, 8)
    latents[1, 0, 3, 3] = wrong
    with pytest.raises(ValueError, match="latents .* finite"):
        latents_to_pil(latents, components.vae)
    with pytest.raises(ValueError, match="pictures .* finite"):
        tensor_to_pil(torch.full((1, 3, 8, 8), wrong))


def test_decodes_no_more_at_once_than_fits(components, picture, monkeypatch):
    latents = torch.cat([pil_to_latent(picture, components.vae) * scale for scale in (1, 0.9, 0.8)])
    together = latents_to_pil(latents, components.vae)
    monkeypatch.setattr("sd_helpers.autoencoder.DECODED_AT_ONCE", 2 * picture.width * picture.height)
    decode, rows = components.vae.decode, []
    monkeypatch.setattr(components.vae, "decode", lambda z: rows.append(len(z)) or decode(z))
    assert max(map(mean_difference, latents_to_pil(latents, components.vae), together)) < 0.5
    assert rows == [2, 1] and len(together) == 3
