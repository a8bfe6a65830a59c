"""Checkpoints as people have them: half-precision variants, one file as CompVis named its weights, and what is something else."""

import dataclasses
import json
import re
import shutil

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch.testing import assert_close
from transformers import CLIPTextConfig, CLIPTextModel

from sd_helpers import generate, learn_word, load, models, save_word
from sd_helpers.files import TEXT, U_NET, VAE

DRAWING = dict(num_inference_steps=3, seed=1, progress=False, height=64, width=64)


def test_a_folder_with_half_precision_variants_only(components, tmp_path):
    folder = shutil.copytree(models.EMBEDDED_FOLDER, tmp_path / "model")
    for part in ("unet", "vae", "text_encoder"):
        weights = {}
        for file in (folder / part).glob("*.safetensors*"):
            weights |= load_file(file) if file.suffix == ".safetensors" else {}
            file.unlink()
        name = "model.fp16.safetensors" if part == "text_encoder" else "diffusion_pytorch_model.fp16.safetensors"
        save_file({key: weight.half() for key, weight in weights.items()}, folder / part / name, metadata={"format": "pt"})
    loaded = load(folder, device="cpu")
    assert generate(loaded, "a fox", **DRAWING) == generate(components, "a fox", **DRAWING)


# How the weights of Stable Diffusion v1 are named in one file, beside diffusers' names.
RESNET = [("in_layers.0", "norm1"), ("in_layers.2", "conv1"), ("out_layers.0", "norm2"), ("out_layers.3", "conv2"),
          ("emb_layers.1", "time_emb_proj"), ("skip_connection", "conv_shortcut")]  # fmt: skip
ENDS = [("time_embed.0", "time_embedding.linear_1"), ("time_embed.2", "time_embedding.linear_2"), ("input_blocks.0.0", "conv_in"),
        ("out.0", "conv_norm_out"), ("out.2", "conv_out")]  # fmt: skip


def unet_name(name: str) -> str:
    """diffusers' name of a U-Net's weight as CompVis named it."""
    for theirs, ours in ENDS:
        if name.startswith(ours + "."):
            return name.replace(ours, theirs, 1)
    block = re.match(
        r"(down|up)_blocks\.(\d)\.(resnets|attentions|downsamplers|upsamplers)\.(\d)\.(.*)|mid_block\.(\w+)\.(\d)\.(.*)", name
    )
    side, level, kind, place, rest, middle, which, inner = block.groups()
    if middle:
        kind, rest = middle, inner
        begin = "middle_block.1." if middle == "attentions" else f"middle_block.{2 * int(which)}."
    elif kind == "downsamplers":
        return f"input_blocks.{3 * (int(level) + 1)}.0.op." + rest.removeprefix("conv.")
    elif kind == "upsamplers":
        return f"output_blocks.{3 * int(level) + 2}.{1 if level == '0' else 2}." + rest
    else:
        column = 0 if kind == "resnets" else 1
        number = 3 * int(level) + int(place)
        begin = f"input_blocks.{number + 1}.{column}." if side == "down" else f"output_blocks.{number}.{column}."
    if kind == "resnets":
        for theirs, ours in RESNET:
            rest = rest.replace(ours, theirs)
    return begin + rest


def vae_name(name: str) -> str:
    """diffusers' name of an autoencoder's weight as CompVis named it."""
    name = re.sub(r"down_blocks\.(\d)\.resnets\.", r"down.\1.block.", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0\.", r"down.\1.downsample.", name)
    name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0\.", lambda m: f"up.{3 - int(m[1])}.upsample.", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets\.", lambda m: f"up.{3 - int(m[1])}.block.", name)
    name = re.sub(r"mid_block\.resnets\.(\d)\.", lambda m: f"mid.block_{int(m[1]) + 1}.", name)
    name = (
        name.replace("mid_block.attentions.0.", "mid.attn_1.")
        .replace("conv_shortcut", "nin_shortcut")
        .replace("conv_norm_out", "norm_out")
    )
    for theirs, ours in (("norm.", "group_norm."), ("q.", "to_q."), ("k.", "to_k."), ("v.", "to_v."), ("proj_out.", "to_out.0.")):
        name = name.replace("attn_1." + ours, "attn_1." + theirs)
    return name


@pytest.fixture
def small(monkeypatch):
    """Stable Diffusion v1 in its own layout, and small."""
    torch.manual_seed(0)
    monkeypatch.setattr(
        models, "SD_V1_UNET", models.SD_V1_UNET | dict(sample_size=8, block_out_channels=(32, 32, 64, 64), cross_attention_dim=32)
    )
    monkeypatch.setattr(models, "SD_V1_VAE", models.SD_V1_VAE | dict(sample_size=64, block_out_channels=(32, 32, 32, 32)))
    text = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2)
    monkeypatch.setattr(models, "SD_V1_TEXT", models.SD_V1_TEXT | text)
    return dict(
        unet=UNet2DConditionModel(**models.SD_V1_UNET),
        vae=AutoencoderKL(**models.SD_V1_VAE),
        text_encoder=CLIPTextModel(CLIPTextConfig(**models.SD_V1_TEXT)),
    )


@pytest.fixture
def weights(small) -> dict:
    """All its weights under CompVis's names, with the odds and ends that published files have."""
    found = {U_NET + unet_name(name): weight for name, weight in small["unet"].state_dict().items()}
    for name, weight in small["vae"].state_dict().items():
        name = vae_name(name)
        linear = "attn_1" in name and weight.ndim == 2  # CompVis has convolutions of one pixel there
        found[VAE + name] = weight[..., None, None] if linear else weight
    found |= {TEXT + name.removeprefix("text_model."): weight for name, weight in small["text_encoder"].state_dict().items()}
    found |= {
        TEXT + "embeddings.position_ids": torch.arange(77)[None],
        "model_ema.decay": torch.tensor(0.99),
        "alphas_cumprod": torch.ones(9),
    }
    return {name: weight.contiguous() for name, weight in found.items()}


def test_one_file_is_the_same_model(components, small, weights, tmp_path):
    save_file(weights, tmp_path / "v1-5.safetensors")
    before = torch.get_rng_state()
    loaded = load(tmp_path / "v1-5.safetensors", device="cpu")
    assert torch.equal(torch.get_rng_state(), before)
    for part, module in small.items():
        state = module.state_dict()
        assert getattr(loaded, part).state_dict().keys() == state.keys()
        for name, weight in getattr(loaded, part).state_dict().items():
            assert torch.equal(weight, state[name]), f"{part} {name}"
    expected = dataclasses.replace(components, **{part: module.eval().requires_grad_(False) for part, module in small.items()})
    assert_close(
        *(torch.tensor(list(generate(c, "a fox", **DRAWING)[0].tobytes())).float() for c in (loaded, expected)), atol=1, rtol=0
    )
    assert load(tmp_path / "v1-5.safetensors", device="cpu", dtype=torch.bfloat16).unet.dtype == torch.bfloat16


def test_files_of_other_kinds_are_named(components, weights, tmp_path):
    def refused(name, content, message):
        path = tmp_path / name
        save_file(content, path) if isinstance(content, dict) else path.write_bytes(content)
        with pytest.raises(ValueError, match=message) as caught:
            load(path, device="cpu")
        assert name in str(caught.value)

    refused("x.ckpt", b"pickle", "run any program")
    refused("short.safetensors", b"hello", "cannot be read")
    refused("xl.safetensors", weights | {"conditioner.embedders.0.x": torch.zeros(1)}, "Stable Diffusion XL")
    refused("v2.safetensors", weights | {"cond_stage_model.model.x": torch.zeros(1)}, "Stable Diffusion v2")
    refused("vae.safetensors", {name: w for name, w in weights.items() if name.startswith(VAE)}, "no whole Stable Diffusion v1")
    wide = {U_NET + "input_blocks.0.0.weight": torch.zeros(32, 9, 3, 3)}
    refused("inpainting.safetensors", weights | wide, "9 channels")
    lacking = dict(weights)
    lacking.pop(U_NET + "out.2.bias")
    refused("lacking.safetensors", lacking, "no whole Stable Diffusion v1")
    icon = [components_picture(components)]
    word = learn_word(components, icon, ["a <thing>"], "<thing>", num_steps=1, batch_size=1)
    with pytest.raises(ValueError, match="load_word"):
        load(save_word(word, tmp_path / "word.safetensors"))
    refused("lora.safetensors", {"unet.down.lora_A.weight": torch.zeros(1)}, "load_lora")


def components_picture(components):
    from PIL import Image

    return Image.new("RGB", components.default_size, "red")


@pytest.mark.parametrize(
    "part, setting, message",
    [
        ("unet", dict(in_channels=9), "something else, such as inpainting"),
        ("unet", dict(cross_attention_dim=64), "is incomplete or corrupt"),
        ("scheduler", dict(prediction_type="sample"), "^model=.*prediction_type='sample': the loop knows"),
        ("scheduler", dict(rescale_betas_zero_snr=True), "^model=.*rescale_betas_zero_snr"),
    ],
)
def test_folders_of_other_kinds_are_refused_when_loaded(part, setting, message, tmp_path):
    folder = shutil.copytree(models.EMBEDDED_FOLDER, tmp_path / "model")
    path = next((folder / part).glob("*config.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | setting))
    if part == "unet":
        for file in (folder / part).glob("*.safetensors"):
            state = load_file(file)
            if "conv_in.weight" in state:
                state["conv_in.weight"] = state["conv_in.weight"].repeat(1, 3, 1, 1)[:, :9].contiguous()
            save_file(state, file, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=message):
        load(folder, device="cpu")


def test_a_folder_that_predicts_velocity_is_loaded_and_drawn(tmp_path):
    folder = shutil.copytree(models.EMBEDDED_FOLDER, tmp_path / "model")
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | dict(prediction_type="v_prediction")))
    loaded = load(folder, device="cpu")
    assert loaded.scheduler.config.prediction_type == "v_prediction" and generate(loaded, "a fox", **DRAWING)
    loaded.save(tmp_path / "again")
    assert load(tmp_path / "again", device="cpu").scheduler.config.prediction_type == "v_prediction"
