"""The four networks as functions of tensors only, and their ONNX files."""

from __future__ import annotations

import io
import warnings

import torch

from sd_helpers.text import encode_embeddings

OPSET = 17


class TextEncoder(torch.nn.Module):
    """Rows of the token table to the vectors that the U-Net reads."""

    inputs, outputs = {"rows": True}, ["embeds"]  # input -> whether it has a row for each picture

    def __init__(self, components):
        super().__init__()
        self.encoder = components.text_encoder

    def forward(self, rows):
        """(n, 77, D) to (n, 77, D)."""
        return encode_embeddings(rows, self.encoder)

    def example(self):
        config = self.encoder.config
        return (torch.randn(2, config.max_position_embeddings, config.hidden_size),)


class UNet(torch.nn.Module):
    """Noise, and beside it what each block gives out, for whoever wants to look."""

    inputs = {"sample": True, "timestep": False, "context": True}

    def __init__(self, components):
        super().__init__()
        self.unet, self.positions = components.unet, components.text_encoder.config.max_position_embeddings
        blocks = blocks_of(components.unet)
        self.outputs = ["noise", *blocks]
        self.passing = {}
        for name, block in blocks.items():
            block.register_forward_hook(lambda module, given, out, name=name: self._keep(name, out))

    def _keep(self, name, out):
        self.passing[name] = out[0] if isinstance(out, tuple) else out

    def forward(self, sample, timestep, context):
        """(n, 4, h, w), (1,), (n, 77, D) to the noise, (n, 4, h, w), and each block's maps, (n, C, h', w')."""
        noise = self.unet(sample, timestep, context, return_dict=False)[0]
        return noise, *(self.passing[name] for name in self.outputs[1:])

    def example(self):
        config = self.unet.config
        sample = torch.randn(2, config.in_channels, config.sample_size, config.sample_size)
        return sample, torch.tensor([500.0]), torch.randn(2, self.positions, config.cross_attention_dim)


class Decoder(torch.nn.Module):
    """Latents to pixels."""

    inputs, outputs = {"latents": True}, ["pixels"]

    def __init__(self, components):
        super().__init__()
        self.vae, self.shape = components.vae, latent_shape(components)

    def forward(self, latents):
        """(n, 4, h, w), scaled, to (n, 3, H, W) in [-1, 1]."""
        return self.vae.decode(latents / self.vae.config.scaling_factor, return_dict=False)[0]

    def example(self):
        return (torch.randn(2, *self.shape),)


class Encoder(torch.nn.Module):
    """Pixels to the distribution of their latents, not scaled."""

    inputs, outputs = {"pixels": True}, ["mean", "deviation"]

    def __init__(self, components):
        super().__init__()
        self.vae, self.size = components.vae, components.default_size

    def forward(self, pixels):
        """(n, 3, H, W) in [-1, 1] to two of (n, 4, h, w)."""
        distribution = self.vae.encode(pixels).latent_dist
        return distribution.mean, distribution.std

    def example(self):
        return (torch.randn(2, 3, *self.size),)


NETWORKS = {"text_encoder": TextEncoder, "unet": UNet, "decoder": Decoder, "encoder": Encoder}


def blocks_of(unet) -> dict:
    """Name in the ONNX file -> block of the U-Net, in the order in which they are passed."""
    down = {f"down_{i}": block for i, block in enumerate(unet.down_blocks)}
    return down | {"middle": unet.mid_block} | {f"up_{i}": block for i, block in enumerate(unet.up_blocks)}


def latent_shape(components) -> tuple[int, int, int]:
    """(4, h, w) of one picture."""
    config = components.unet.config
    return config.in_channels, config.sample_size, config.sample_size


@torch.no_grad()
def to_onnx(network: torch.nn.Module) -> bytes:
    """A network as an ONNX file that takes any number of pictures."""
    names = [*(name for name, each in network.inputs.items() if each), *network.outputs]
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer, on branches that depend on shapes, which are fixed
        # The newer exporter needs ten times as long and one package more, for the same numbers.
        torch.onnx.export(
            network.eval(),
            network.example(),
            file,
            dynamo=False,
            opset_version=OPSET,
            input_names=list(network.inputs),
            output_names=network.outputs,
            dynamic_axes={name: {0: "n"} for name in names},
        )
    return file.getvalue()
