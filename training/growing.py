"""Stage 2, twice the size: a level more around the autoencoder, outside, for pictures of twice the side from the same latents.

The denoiser works on latents alone and its cost depends on nothing else. Training an autoencoder on small pictures is cheap, and
its latents are as good a place to diffuse in as those of a larger one. So a CPU trains the small one first. Then it is copied
into a larger one, whose encoder learns to give the latents that the small one gives for the halved picture, and whose decoder
learns to draw the whole picture from them.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import nn

from .autoencoder import build, draw_pictures, reconstruction_error
from .data import HeldOut, Icons
from .fit import fit
from .presets import Preset


def grown(small: AutoencoderKL, preset: Preset) -> AutoencoderKL:
    """The larger autoencoder, with the small one's weights wherever a layer has the same shape in both."""
    large = build(preset.vae_channels, preset.size)
    state = large.state_dict()
    for name, weight in small.state_dict().items():
        if name.startswith("encoder.down_blocks."):  # the new block comes first there, and last in the decoder
            _, _, block, rest = name.split(".", 3)
            name = f"encoder.down_blocks.{int(block) + 1}.{rest}"
        if state[name].shape == weight.shape:
            state[name] = weight
    large.load_state_dict(state)
    return large


class Growing(nn.Module):
    """The loss: pictures drawn from the small encoder's latents, and the small encoder's answers given by the large one."""

    def __init__(self, large):
        super().__init__()
        self.large = large

    def forward(self, pictures, mean, logvar, noise):
        drawn = self.large.decode(mean + (0.5 * logvar).exp() * noise).sample
        posterior = self.large.encode(pictures).latent_dist
        scaled = (posterior.mean.float() - mean) * self.large.config.scaling_factor
        answers = scaled.square().mean() + 0.01 * (posterior.logvar.float() - logvar).square().mean()
        return reconstruction_error(drawn, pictures) + answers


def train(preset: Preset, work: Path, device: str) -> None:
    if preset.growing is None:
        print("growing: nothing to do, this preset trains the whole autoencoder at once")
        return
    icons = Icons(work, preset.size, device=device)
    pool = icons.indices(HeldOut())
    small = AutoencoderKL.from_pretrained(work / "vae-small").to(device).eval().requires_grad_(False)
    side = preset.size // preset.factor

    def loss_of(module, count, generator, done):
        pictures = draw_pictures(icons, pool, count, generator)
        with torch.no_grad():
            given = small.encode(F.avg_pool2d(pictures, 2)).latent_dist
        noise = torch.randn(count, 4, side, side, generator=generator).to(device)
        return module(pictures, given.mean.float(), given.logvar.float(), noise)

    torch.manual_seed(0)
    module = Growing(grown(small, preset))
    trained = fit(module, loss_of, preset.growing, work / "growing", precision=preset.precision)
    trained.large.eval().save_pretrained(work / "vae")
