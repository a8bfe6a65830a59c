"""Stage 1, the autoencoder: pictures to four channels of latents and back."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import nn

from sd_helpers.models import EMBEDDED_FOLDER

from .data import COLOURS, HeldOut, Icons
from .fit import fit
from .presets import Preset

KL_WEIGHT = 1e-3


def build(channels: tuple[int, ...], size: int) -> AutoencoderKL:
    """An untrained autoencoder for pictures of `size` pixels, with the channels of each level from the outside in."""
    levels = len(channels)
    return AutoencoderKL(
        block_out_channels=channels, layers_per_block=1, norm_num_groups=8, latent_channels=4,
        down_block_types=["DownEncoderBlock2D"] * levels, up_block_types=["UpDecoderBlock2D"] * levels,
        sample_size=size,
    )  # fmt: skip


class Reconstruction(nn.Module):
    """The loss: the error of the pictures that come back, and a light pull of the latents towards N(0, 1)."""

    def __init__(self, vae):
        super().__init__()
        self.vae = vae

    def forward(self, pictures, noise):
        posterior = self.vae.encode(pictures).latent_dist
        latents = posterior.mean + posterior.std * noise.to(posterior.mean)
        kl = 0.5 * (posterior.mean.float() ** 2 + posterior.var.float() - 1 - posterior.logvar.float()).mean()
        return reconstruction_error(self.vae.decode(latents).sample, pictures) + KL_WEIGHT * kl


def reconstruction_error(drawn, pictures):
    """Absolute and squared error, and the error of the edges, which keeps them crisp."""
    error = drawn.float() - pictures
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return error.abs().mean() + error.square().mean() + 0.5 * edges


def draw_pictures(icons: Icons, pool, count: int, generator):
    """Icons on named or on any colours, shifted by up to an eighth, half of them mirrored."""
    index = pool[torch.randint(len(pool), (count,), generator=generator)]
    named = COLOURS[torch.randint(len(COLOURS), (count,), generator=generator)]
    any_colour = torch.rand(count, 3, generator=generator) * 2 - 1
    colours = torch.where(torch.rand(count, 1, generator=generator) < 0.7, named, any_colour)
    reach = icons.size // 8
    shift = torch.randint(-reach, reach + 1, (count, 2), generator=generator)
    mirror = torch.rand(count, generator=generator) < 0.5
    return icons.compose(*(x.to(icons.device) for x in (index, colours, shift, mirror)))


def train(preset: Preset, work: Path, device: str) -> None:
    if preset.autoencoder is None:
        AutoencoderKL.from_pretrained(EMBEDDED_FOLDER / "vae", torch_dtype=torch.float32).save_pretrained(work / "vae")
        return
    size, channels, name = preset.size, preset.vae_channels, "vae"
    if preset.growing:  # the inner levels now, at half the size; `growing` adds the outermost
        size, channels, name = size // 2, channels[1:], "vae-small"
    icons = Icons(work, size, device=device)
    pool = icons.indices(HeldOut())
    side = preset.size // preset.factor

    def loss_of(module, count, generator, done):
        pictures = draw_pictures(icons, pool, count, generator)
        return module(pictures, torch.randn(count, 4, side, side, generator=generator).to(device))

    torch.manual_seed(0)
    trained = fit(
        Reconstruction(build(channels, size)), loss_of, preset.autoencoder, work / "autoencoder", precision=preset.precision
    )
    vae = trained.vae.to(device).eval()
    pictures = [draw_pictures(icons, pool, 64, torch.Generator().manual_seed(i)) for i in range(32)]
    fold_latent_statistics(vae, pictures)
    vae.save_pretrained(work / name)


@torch.no_grad()
def fold_latent_statistics(vae: AutoencoderKL, pictures: list[torch.Tensor]) -> None:
    """Rewrite the two 1 x 1 convolutions around the latents so that each channel has mean 0 and variance 1 / 0.18215**2.

    Then the scaling factor that SD v1 made famous is true of this autoencoder too, and pictures decode as before.
    """
    latents = torch.cat([vae.encode(batch).latent_dist.mean for batch in pictures])
    mean = latents.mean(dim=(0, 2, 3))  # (4,)
    gain = 1 / (vae.config.scaling_factor * latents.std(dim=(0, 2, 3)))  # (4,)
    before, after = vae.quant_conv, vae.post_quant_conv  # (8, 8, 1, 1): means, then log variances; (4, 4, 1, 1)
    after.bias += after.weight[:, :, 0, 0] @ mean
    after.weight /= gain[None, :, None, None]
    before.bias[:4] = (before.bias[:4] - mean) * gain
    before.weight[:4] *= gain[:, None, None, None]
    before.bias[4:] += 2 * gain.log()
