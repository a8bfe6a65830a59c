"""Which models there are: the one place that holds checkpoint ids and the sizes published for Stable Diffusion v1."""

import os
import warnings
from pathlib import Path

EMBEDDED = "emoji-sd"
EMBEDDED_FOLDER = Path(__file__).parent / "emoji_sd"
HUB_IDS = ("stable-diffusion-v1-5/stable-diffusion-v1-5", "CompVis/stable-diffusion-v1-4")
ENVIRONMENT = "SD_MODEL"

# The parts of a model folder in diffusers' layout that the notebooks take apart.
PARTS = ("vae", "tokenizer", "text_encoder", "unet", "scheduler")

# For every hub id diffusers passes huggingface_hub an argument that this calls deprecated: nothing that a reader could act on.
warnings.filterwarnings("ignore", message="The `local_dir_use_symlinks` argument is deprecated")

# Stable Diffusion v1's own sizes, as its checkpoint publishes them (CompVis/stable-diffusion-v1-4, config.json of each part).
SD_V1_UNET = dict(
    sample_size=64,
    block_out_channels=(320, 640, 1280, 1280),
    layers_per_block=2,
    cross_attention_dim=768,
    attention_head_dim=8,
)
SD_V1_VAE = dict(
    sample_size=512,
    block_out_channels=(128, 256, 512, 512),
    layers_per_block=2,
    latent_channels=4,
    down_block_types=("DownEncoderBlock2D",) * 4,
    up_block_types=("UpDecoderBlock2D",) * 4,
)
SD_V1_TEXT = dict(
    vocab_size=49408,
    hidden_size=768,
    intermediate_size=3072,
    num_hidden_layers=12,
    num_attention_heads=12,
    max_position_embeddings=77,
)


def sd_v1_on_meta():
    """SD v1's VAE, text encoder and U-Net with shapes but no weights (torch's meta device): nothing is downloaded.

    Returns:
        dict of part name -> module, to count parameters of and read shapes from.
    """
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.device("meta"):
        return {
            "vae": AutoencoderKL(**SD_V1_VAE),
            "text_encoder": CLIPTextModel(CLIPTextConfig(**SD_V1_TEXT)),
            "unet": UNet2DConditionModel(**SD_V1_UNET),
        }


def chosen() -> str:
    """The model that SD_MODEL names, else the embedded one, as what `from_pretrained` takes.

    For a model that is on this machine already, the libraries' progress bars are turned off: one for every file, gone
    before it can be read, is noise.
    """
    source = find(os.environ.get(ENVIRONMENT) or EMBEDDED)
    if os.path.isfile(source):
        raise ValueError(
            f"{ENVIRONMENT}={source!r} is one file, and the notebooks read the parts of a folder: make one by "
            "`load(file).save(folder)`, and name that."
        )
    show_bars(not os.path.isdir(source))
    return source


def show_bars(shown: bool) -> None:
    """Turn the progress bars of diffusers and transformers on, for downloads, or off."""
    import diffusers.utils.logging
    import transformers.utils.logging

    for bars in (diffusers.utils.logging, transformers.utils.logging):
        bars.enable_progress_bar() if shown else bars.disable_progress_bar()


def find(model: str) -> str:
    """Turn a model's name into what `from_pretrained` takes: a folder, or a hub id.

    Raises:
        ValueError: the name is none of the known models, no folder, and does not look like a hub id; or a folder
            lacks a part.
    """
    if model == EMBEDDED:
        return _checked(EMBEDDED_FOLDER)
    if Path(model).expanduser().is_dir():
        return _checked(Path(model).expanduser())
    if Path(model).expanduser().is_file():
        return str(Path(model).expanduser())
    owner, slash, repository = model.partition("/")
    if slash and owner and repository and "/" not in repository and owner not in (".", "..", "~"):
        return model
    raise ValueError(
        f"model={model!r} is neither a model this package knows nor a folder on this machine. Known are {EMBEDDED!r}, "
        f"which needs no network, and on the hub {' and '.join(map(repr, HUB_IDS))}; or give the path of a folder in "
        "diffusers' layout."
    )


def _checked(folder: Path) -> str:
    missing = [part for part in PARTS if not (folder / part).is_dir()]
    if missing:
        raise ValueError(
            f"model folder {str(folder)!r} lacks {', '.join(missing)}. A folder in diffusers' layout has "
            f"{', '.join(PARTS)}, as `components.save(folder)` writes them."
        )
    return str(folder)
