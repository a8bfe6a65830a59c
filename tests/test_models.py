"""Loading: by folder, by hub id without a network, by environment variable; broken folders; SD v1's published sizes."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from torch.testing import assert_close

from sd_helpers import embed_prompt, load, models


def test_embedded_by_default_and_frozen(components, monkeypatch):
    monkeypatch.delenv("SD_MODEL", raising=False)
    assert load().name == "emoji-sd"
    for module in (components.vae, components.text_encoder, components.unet):
        assert not module.training
        assert not any(p.requires_grad for p in module.parameters())
        assert {p.dtype for p in module.parameters()} == {torch.float32}


def test_shape_of_the_embedded_model(components, published):
    assert components.vae.config.latent_channels == 4
    assert components.vae.config.scaling_factor == published["scaling_factor"]
    assert components.text_encoder.get_input_embeddings().weight.shape == (49408, 128)
    assert [b for b in components.unet.config.down_block_types][:2] == ["CrossAttnDownBlock2D"] * 2
    assert components.unet.config.sample_size == 16
    assert components.scheduler.config.prediction_type == "epsilon"
    height, width = components.default_size
    assert height == width == 16 * components.factor


def test_embedded_folder_is_small():
    files = [f for f in models.EMBEDDED_FOLDER.rglob("*") if f.is_file()]
    assert sum(f.stat().st_size for f in files) <= 40e6
    assert max(f.stat().st_size for f in files) <= 15e6


def test_environment_variable_and_folder(components, monkeypatch, tmp_path):
    folder = tmp_path / "copied model"
    components.save(folder)
    index = json.loads((folder / "model_index.json").read_text())
    assert index["scheduler"] == ["diffusers", "LMSDiscreteScheduler"]  # plain diffusers must be able to read it
    monkeypatch.setenv("SD_MODEL", str(folder))
    loaded = load(device="cpu")
    assert loaded.name == str(folder)
    for prompt in ("a puppy", ""):
        ours, theirs = (embed_prompt(prompt, c.tokenizer, c.text_encoder) for c in (components, loaded))
        assert_close(ours, theirs)
    for key, value in components.unet.state_dict().items():
        assert_close(loaded.unet.state_dict()[key], value)


@pytest.mark.parametrize("hub_id", models.HUB_IDS)
def test_hub_id_without_network(hub_id):
    with pytest.raises(ValueError, match="could not be downloaded") as caught:
        load(hub_id)
    assert hub_id in str(caught.value) and "emoji-sd" in str(caught.value)
    assert caught.value.__cause__ is not None


def test_a_hub_id_prints_no_warning():
    code = "from sd_helpers import load, models\ntry: load(models.HUB_IDS[0])\nexcept ValueError: print('refused')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n" and "Warning" not in done.stderr


@pytest.mark.parametrize("name", ["emoji_sd_typo", "./no/such/folder", "/no/such/folder", "a/b/c"])
def test_unknown_model(name):
    with pytest.raises(ValueError, match="emoji-sd") as caught:
        load(name)
    assert name in str(caught.value) and models.HUB_IDS[0] in str(caught.value)


def copied(tmp_path):
    return shutil.copytree(models.EMBEDDED_FOLDER, tmp_path / "model")


def test_folder_without_a_part(tmp_path):
    folder = copied(tmp_path)
    shutil.rmtree(folder / "unet")
    with pytest.raises(ValueError, match="lacks unet"):
        load(folder)


def test_folder_without_weights(tmp_path):
    folder = copied(tmp_path)
    for file in (folder / "vae").glob("*.safetensors"):
        file.unlink()
    with pytest.raises(ValueError, match="incomplete or corrupt") as caught:
        load(folder)
    assert caught.value.__cause__ is not None


def test_folder_with_cut_weights(tmp_path):
    folder = copied(tmp_path)
    file = folder / "text_encoder" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:100_000])
    with pytest.raises(ValueError, match="incomplete or corrupt"):
        load(folder)


def test_folder_with_a_tensor_missing(tmp_path):
    """The library would fill it with random numbers and say nothing that stops anyone."""
    from safetensors.torch import load_file, save_file

    folder = copied(tmp_path)
    file = folder / "text_encoder" / "model.safetensors"
    state = load_file(file)
    state.pop(next(key for key in state if "layers.1" in key))
    save_file(state, file, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="text_encoder lacks weights"):
        load(folder)


def test_folder_without_its_vocabulary(tmp_path):
    folder = copied(tmp_path)
    (folder / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match="incomplete or corrupt"):
        load(folder)


def test_folder_with_broken_json(tmp_path):
    folder = copied(tmp_path)
    (folder / "unet" / "config.json").write_text("{oops")
    with pytest.raises(ValueError, match="unet/config.json is not valid JSON"):
        load(folder)


def test_device_that_is_not_there():
    with pytest.raises(ValueError, match="device="):
        load(device="cuda:99")
    with pytest.raises(ValueError, match="device="):
        load(device="toaster")


@pytest.mark.parametrize("dtype", ["float16", torch.int8, 16])
def test_dtype_that_is_none(dtype):
    with pytest.raises(ValueError, match="dtype="):
        load(dtype=dtype)


def test_dtype_is_obeyed():
    assert load(device="cpu", dtype=torch.bfloat16).unet.dtype == torch.bfloat16


def test_sd_v1_on_meta_has_the_published_sizes(published):
    parts = models.sd_v1_on_meta()
    millions = {name: round(sum(p.numel() for p in module.parameters()) / 1e6) for name, module in parts.items()}
    assert millions == {"unet": 860, "vae": 84, "text_encoder": 123}
    assert all(p.is_meta for module in parts.values() for p in module.parameters())
    embedding = parts["text_encoder"].get_input_embeddings().weight
    assert tuple(embedding.shape) == (published["vocab_size"], published["hidden_size"])
    assert parts["unet"].config.sample_size == published["latent_shape"][-1]


def test_import_is_light():
    """`import sd_helpers` must load neither torch nor diffusers, and what is then used must not print."""
    import subprocess
    import sys

    code = "import sys, sd_helpers; assert not {'torch', 'diffusers', 'transformers', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    loud = "import sd_helpers; from diffusers import StableDiffusionPipeline; sd_helpers.load().pipeline()"
    done = subprocess.run([sys.executable, "-c", loud], check=True, capture_output=True, text=True)
    assert done.stdout == "" and done.stderr == ""


def test_the_notebooks_want_a_folder(tmp_path, monkeypatch):
    (tmp_path / "v1.safetensors").write_text("x")
    monkeypatch.setenv(models.ENVIRONMENT, str(tmp_path / "v1.safetensors"))
    with pytest.raises(ValueError, match=r"load\(file\).save\(folder\)"):
        models.chosen()
