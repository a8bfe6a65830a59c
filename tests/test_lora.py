"""LoRA in files of diffusers, peft and kohya; models that have one, saved and taught again."""

import copy
import dataclasses
import itertools
import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from sd_helpers import gallery, generate, learn_lora, load, load_lora, save_lora
from sd_helpers.metrics import mean_difference

PICTURES = [icon.picture("white", 64) for icon in gallery.find("fox")[:2]]
DRAWING = dict(num_inference_steps=4, seed=1, progress=False)


@pytest.fixture(scope="module")
def taught(components):
    """Components whose LoRA changes a lot: its second matrices are not near zero, as they are after three steps."""
    taught, _ = learn_lora(components, PICTURES, ["a fox"] * 2, num_steps=1, batch_size=1)
    generator = torch.Generator().manual_seed(0)
    for name, weight in taught.unet.named_parameters():
        if "lora_B" in name:
            weight.data = 0.05 * torch.randn(weight.shape, generator=generator)
    return taught


@pytest.fixture(scope="module")
def file(taught, tmp_path_factory):
    return save_lora(taught, tmp_path_factory.mktemp("lora") / "fox.safetensors")


def answer(components):
    generator = torch.Generator().manual_seed(0)
    shape = (1, 77, components.unet.config.cross_attention_dim)
    latents, embeds = torch.randn(1, 4, 8, 8, generator=generator), torch.randn(shape, generator=generator)
    with torch.no_grad():
        return components.unet(latents, 500, embeds).sample


def test_a_file_brings_back_what_was_learned(components, taught, file):
    before = answer(components)
    loaded = load_lora(components, file)
    assert_close(answer(loaded), answer(taught), atol=1e-5, rtol=1e-4)
    assert (answer(loaded) - before).abs().max() > 0.05
    assert torch.equal(answer(components), before)
    assert not any(p.requires_grad for p in loaded.unet.parameters())
    assert_close(answer(load_lora(components, str(file), scale=0)), before, atol=1e-5, rtol=1e-4)


def test_diffusers_reads_the_file(components, taught, file):
    pipeline = dataclasses.replace(components, unet=copy.deepcopy(components.unet)).pipeline()
    pipeline.load_lora_weights(file.parent, weight_name=file.name)
    assert_close(answer(dataclasses.replace(components, unet=pipeline.unet)), answer(taught), atol=1e-5, rtol=1e-4)


def test_half_a_lora_saved_is_half_a_lora_loaded(components, file, tmp_path):
    half = load_lora(components, file, scale=0.5)
    again = load_lora(components, save_lora(half, tmp_path / "half.safetensors"))
    assert_close(answer(again), answer(half), atol=1e-5, rtol=1e-4)
    assert (answer(half) - answer(load_lora(components, file))).abs().max() > 0.02


def test_files_of_peft(components, taught, file, tmp_path):
    weights = {name.replace("unet.", "base_model.model."): weight for name, weight in load_file(file).items()}
    weights = {name: weight / 2 if "lora_B" in name else weight for name, weight in weights.items()}
    save_file(weights, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 8, "r": 4}))
    loaded = load_lora(components, tmp_path / "adapter_model.safetensors")
    assert_close(answer(loaded), answer(taught), atol=1e-5, rtol=1e-4)


def test_files_of_kohya(components, taught, file, tmp_path):
    weights = {}
    for name, weight in load_file(file).items():
        layer, _, side = name.removeprefix("unet.").removesuffix(".weight").rpartition(".lora_")
        layer = "lora_unet_" + layer.replace(".", "_")
        weights[f"{layer}.lora_{'down' if side == 'A' else 'up'}.weight"] = weight if side == "A" else weight / 2
        weights[f"{layer}.alpha"] = torch.tensor(8.0)
    save_file(weights, tmp_path / "kohya.safetensors")
    loaded = load_lora(components, tmp_path / "kohya.safetensors")
    assert_close(answer(loaded), answer(taught), atol=1e-5, rtol=1e-4)


def test_a_model_with_a_lora_is_saved_whole(taught, tmp_path):
    taught.save(tmp_path / "model")
    loaded = load(tmp_path / "model", device="cpu")
    assert_close(answer(loaded), answer(taught), atol=1e-4, rtol=1e-3)
    assert answer(taught) is not None and taught.unet.peft_config  # its own LoRA is still there
    (ours,), (theirs,) = generate(loaded, "a fox", **DRAWING), generate(taught, "a fox", **DRAWING)
    assert mean_difference(ours, theirs) < 0.5


def test_a_lora_that_is_switched_off_is_not_saved(components, taught, tmp_path):
    off = dataclasses.replace(taught, unet=copy.deepcopy(taught.unet))
    off.unet.disable_adapters()
    off.save(tmp_path / "model")
    assert_close(answer(load(tmp_path / "model", device="cpu")), answer(components), atol=1e-4, rtol=1e-3)


def test_a_model_with_a_lora_learns_another(taught):
    twice, losses = learn_lora(taught, PICTURES, ["a fox"] * 2, num_steps=1, batch_size=1, learning_rate=1e-6)
    assert len(losses) == 1 and len(twice.unet.peft_config) == 1
    assert_close(answer(twice), answer(taught), atol=1e-3, rtol=1e-2)  # what was learned first is in the weights


def test_what_is_no_lora_is_refused(components, file, tmp_path):
    save_file({"a": torch.zeros(3)}, tmp_path / "other.safetensors")
    weights = {name: torch.cat([weight, weight]) if "lora_B" in name else weight for name, weight in load_file(file).items()}
    save_file(weights, tmp_path / "large.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    for name, message in (
        ("none.safetensors", "no such file"), ("other.safetensors", "no LoRA"), ("large.safetensors", "no LoRA for emoji-sd"),
        ("text.safetensors", "not a safetensors file"), ("fox.ckpt", "must end in .safetensors"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            load_lora(components, tmp_path / name)
    for wrong, message in ((components, "no LoRA"), (None, "components")):
        with pytest.raises(ValueError, match=message):
            save_lora(wrong, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="scale=nan"):
        load_lora(components, file, scale=float("nan"))


def test_a_lora_of_the_text_encoder_is_read_scaled_and_saved(components, file, tmp_path):
    from sd_helpers import embed_prompt

    width, generator = components.text_encoder.config.hidden_size, torch.Generator().manual_seed(0)
    weights = {}
    for layer, kind in itertools.product(range(2), ("q_proj", "k_proj", "v_proj", "out_proj")):
        name = f"lora_te_text_model_encoder_layers_{layer}_self_attn_{kind}"
        weights[f"{name}.lora_down.weight"] = torch.randn(4, width, generator=generator)
        weights[f"{name}.lora_up.weight"] = torch.randn(width, 4, generator=generator)
        weights[f"{name}.alpha"] = torch.tensor(4.0)
    save_file(weights, tmp_path / "text.safetensors")

    def words(model):
        return embed_prompt("a fox", model.tokenizer, model.text_encoder)

    changes = {}
    for scale in (0, 0.5, 1):
        loaded = load_lora(components, tmp_path / "text.safetensors", scale=scale)
        changes[scale] = float((words(loaded) - words(components)).abs().max())
        assert torch.equal(answer(loaded), answer(components))
    assert changes[0] < 1e-5 and 0.01 < changes[0.5] != changes[1]
    half = load_lora(components, tmp_path / "text.safetensors", scale=0.5)
    again = load_lora(components, save_lora(half, tmp_path / "half.safetensors"))
    assert_close(words(again), words(half), atol=1e-5, rtol=1e-4)
    half.save(tmp_path / "model")
    assert_close(words(load(tmp_path / "model", device="cpu")), words(half), atol=1e-4, rtol=1e-3)
