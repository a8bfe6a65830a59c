"""What came after Stable Diffusion v1, built from published configurations without weights: SDXL, SD3 Medium and FLUX.1.

Sources, the config.json files of stable-diffusion-xl-base-1.0, stable-diffusion-3-medium-diffusers (both Stability AI) and
FLUX.1-dev (Black Forest Labs). Papers: Podell et al. 2023 (SDXL), Esser et al. 2024 (SD3).
"""

from __future__ import annotations

from ..arguments import one_text
from ..models import SD_V1_TEXT, SD_V1_VAE, sd_v1_on_meta

NAMES = ("SD v1", "SDXL", "SD3 Medium", "FLUX.1")
PREDICTS = {"SD v1": "noise", "SDXL": "noise", "SD3 Medium": "velocity", "FLUX.1": "velocity"}  # of the published weights

SDXL_UNET = dict(
    sample_size=128,
    block_out_channels=(320, 640, 1280),
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    transformer_layers_per_block=(1, 2, 10),
    attention_head_dim=(5, 10, 20),
    cross_attention_dim=2048,  # of two text encoders, side by side
    use_linear_projection=True,
    addition_embed_type="text_time",  # the picture's size and crop are told as well
    addition_time_embed_dim=256,
    projection_class_embeddings_input_dim=2816,
)
SD3_TRANSFORMER = dict(
    sample_size=128,
    patch_size=2,
    in_channels=16,
    num_layers=24,
    attention_head_dim=64,
    num_attention_heads=24,
    joint_attention_dim=4096,
    caption_projection_dim=1536,
    pooled_projection_dim=2048,
    pos_embed_max_size=192,
)
FLUX_TRANSFORMER = dict(
    patch_size=1,  # its patches of 2 x 2 are made before it: 4 * 16 channels
    in_channels=64,
    num_layers=19,
    num_single_layers=38,
    attention_head_dim=128,
    num_attention_heads=24,
    joint_attention_dim=4096,
    pooled_projection_dim=768,
    guidance_embeds=True,  # it was distilled: the guidance scale is told, not computed
)
CLIP_L = dict(SD_V1_TEXT, projection_dim=768)
OPENCLIP_BIGG = dict(
    SD_V1_TEXT,
    hidden_size=1280,
    intermediate_size=5120,
    num_hidden_layers=32,
    num_attention_heads=20,
    projection_dim=1280,
    hidden_act="gelu",
)
T5_XXL = dict(
    vocab_size=32128,
    d_model=4096,
    d_kv=64,
    d_ff=10240,
    num_layers=24,
    num_heads=64,
    feed_forward_proj="gated-gelu",
)
SIXTEEN_CHANNELS = dict(SD_V1_VAE, latent_channels=16, use_quant_conv=False, use_post_quant_conv=False)


def on_meta(name: str) -> dict:
    """The parts of a published model with shapes but no weights (torch's meta device): nothing is downloaded.

    Args:
        name: one of `NAMES`.

    Returns:
        dict of part -> module: text encoders by their names, then "network" (a U-Net or a transformer) and "vae".
    """
    if one_text("name", name) not in NAMES:
        raise ValueError(f"name={name!r} is none of {', '.join(NAMES)}.")
    if name == "SD v1":
        parts = sd_v1_on_meta()
        return {"CLIP L": parts["text_encoder"], "network": parts["unet"], "vae": parts["vae"]}

    import torch
    from diffusers import AutoencoderKL, FluxTransformer2DModel, SD3Transformer2DModel, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, T5Config, T5EncoderModel

    with torch.device("meta"):
        if name == "SDXL":
            texts = {
                "CLIP L": CLIPTextModel(CLIPTextConfig(**SD_V1_TEXT)),
                "CLIP bigG": CLIPTextModelWithProjection(CLIPTextConfig(**OPENCLIP_BIGG)),
            }
            return {**texts, "network": UNet2DConditionModel(**SDXL_UNET), "vae": AutoencoderKL(**SD_V1_VAE)}
        vae, t5 = AutoencoderKL(**SIXTEEN_CHANNELS), T5EncoderModel(T5Config(**T5_XXL))
        if name == "FLUX.1":
            texts = {"CLIP L": CLIPTextModel(CLIPTextConfig(**SD_V1_TEXT)), "T5 XXL": t5}
            return {**texts, "network": FluxTransformer2DModel(**FLUX_TRANSFORMER), "vae": vae}
        texts = {
            "CLIP L": CLIPTextModelWithProjection(CLIPTextConfig(**CLIP_L)),
            "CLIP bigG": CLIPTextModelWithProjection(CLIPTextConfig(**OPENCLIP_BIGG)),
            "T5 XXL": t5,
        }
        return {**texts, "network": SD3Transformer2DModel(**SD3_TRANSFORMER), "vae": vae}


def numbers(module) -> int:
    """How many parameters a module has."""
    return sum(parameter.numel() for parameter in module.parameters())


def rows(machines: dict) -> dict:
    """What `diagrams.successors` draws, read from the modules: sizes, answers, and how wide text and latents are.

    Args:
        machines: name -> parts, as `on_meta` gives them.

    Returns:
        dict of name -> three lists of boxes, each a list of lines: text encoders, the network, the autoencoder.
    """
    if not isinstance(machines, dict) or not set(machines) <= set(NAMES):
        raise ValueError(f"machines must be a dict of name -> on_meta(name), with names of {', '.join(NAMES)}.")
    told = {}
    for name, parts in machines.items():
        *texts, network, vae = parts
        size = {part: f"{numbers(module) / 1e9:.2f} B" for part, module in parts.items()}
        config = parts[network].config
        kind = "U-Net" if "up_block_types" in config else "transformer"
        width = config.get("cross_attention_dim") or config.joint_attention_dim
        lines = [f"{kind}, {size[network]}", f"says {PREDICTS[name]}", f"reads {width} wide"]
        channels = f"{parts[vae].config.latent_channels} channels"
        told[name] = [[part, size[part]] for part in texts], [lines], [["VAE", channels]]
    return told
