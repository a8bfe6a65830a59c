"""Faster ways to run the U-Net give the same pictures, and say so where they cannot do what was asked."""

import copy
import dataclasses
import os
import shutil
import subprocess
import sys

import pytest
import torch

from sd_helpers import embed_prompt, generate, load, pil_to_latent, sweep, watch_attention
from sd_helpers.beyond.steering import colour_loss, steer
from sd_helpers.guidance import noise_predictor
from sd_helpers.metrics import mean_difference
from sd_helpers.runtime import openvino_unet, unchanged
from sd_helpers.runtime.openvino_unet import OpenVinoUNet, for_drawing
from sd_helpers.runtime.runtimes import RUNTIMES, CompiledUNet
from sd_helpers.runtime.unchanged import state_of

SAID = dict(capture_output=True, text=True, timeout=200)
PROMPT, SETTINGS = "a red apple on a blue background", dict(num_inference_steps=6, progress=False)


@pytest.fixture(scope="module")
def fast():
    return load("emoji-sd", device="cpu", runtime="openvino")


@pytest.fixture(scope="module")
def plain():
    """Drawn with by torch, always."""
    return load("emoji-sd", device="cpu", runtime="torch")


@pytest.fixture
def small():
    """A U-Net that is converted and compiled in no time."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    blocks = dict(down_block_types=("CrossAttnDownBlock2D",), up_block_types=("CrossAttnUpBlock2D",))
    unet = UNet2DConditionModel(
        8, **blocks, block_out_channels=(8,), layers_per_block=1, cross_attention_dim=8, norm_num_groups=4
    )
    return unet.requires_grad_(False).eval()


def given(rows: int, side: int = 8) -> tuple:
    """Latents, a timestep and a context for the small U-Net, all rows different."""
    return torch.randn(rows, 4, side, side), torch.tensor(500), torch.randn(rows, 77, 8)


def assert_same_noise(unet, small, inputs):
    torch.testing.assert_close(unet(*inputs).sample, small(*inputs).sample, rtol=1e-3, atol=1e-4)


def test_openvino_draws_the_same_pictures(plain, fast, picture):
    for settings in (dict(num_images=1), dict(num_images=3), dict(guidance_scale=1), dict(image=picture, start_step=2)):
        ours, theirs = (generate(model, PROMPT, **SETTINGS, **settings) for model in (plain, fast))
        assert len(ours) == len(theirs) and max(map(mean_difference, ours, theirs)) < 0.5


def test_openvino_predicts_the_same_noise(components, fast, picture, embeds):
    latents = pil_to_latent(picture, components.vae)
    for timestep in (999, torch.tensor(500), torch.tensor(0.5)):
        (ours,), (theirs,) = (unet(latents, timestep, embeds[0], return_dict=False) for unet in (components.unet, fast.unet))
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(fast.unet(latents, timestep, embeds[0]).sample, theirs)


def test_a_result_is_not_overwritten_by_the_next(fast, embeds):
    first = fast.unet(torch.zeros(1, 4, 16, 16), 500, embeds[0]).sample
    kept = first.clone()
    fast.unet(torch.ones(1, 4, 16, 16), 500, embeds[0])
    assert torch.equal(first, kept)


def test_only_drawing(fast, embeds, tmp_path):
    predict = noise_predictor(fast.unet, embeds[0])
    push = steer(lambda pixels: colour_loss(pixels, "blue"), 10, fast.vae, predict=predict)
    from sd_helpers import denoise, starting_noise

    noise = starting_noise(fast, 0)
    with pytest.raises(ValueError, match="runtime='openvino' has no gradients: use `load\\(\\)` without a runtime"):
        list(denoise(fast.unet, fast.scheduler, noise, embeds[0], guidance_scale=1, num_inference_steps=2, on_noise=push))
    with (
        pytest.raises(ValueError, match="unet .* has no 'attn_processors': use `load\\(\\)` without a runtime"),
        watch_attention(fast.unet),
    ):
        pass
    with pytest.raises(ValueError, match="does not take cross_attention_kwargs"):
        fast.unet(noise, 1, embeds[0], cross_attention_kwargs={"scale": 1})
    fast.save(tmp_path / "saved")
    assert type(load(tmp_path / "saved", device="cpu").unet).__name__ == "UNet2DConditionModel"
    assert embed_prompt(PROMPT, fast.tokenizer, fast.text_encoder).shape == embeds[0].shape


def test_the_pipeline_holds_diffusers_own_unet(fast):
    assert fast.pipeline().unet is fast.unet.original


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_compiled_predicts_the_same_noise(small):
    unet = small
    latents, context = torch.randn(2, 4, 8, 8), torch.randn(2, 77, 8)
    compiled = CompiledUNet(unet)
    first, again = compiled(latents, 500, context).sample, compiled(-latents, 10, context).sample
    torch.testing.assert_close(first, unet(latents, 500, context).sample, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(again, unet(-latents, 10, context).sample, rtol=1e-3, atol=1e-4)


def test_a_sweep_asks_a_compiled_unet_for_few_shapes(plain, picture):
    class Compiled(CompiledUNet):
        def _predict(self, sample, timestep, context):
            asked.append(len(sample))
            return self.original(sample, timestep, context).sample

    asked, settings = [], dict(image=picture, start_steps=range(6), num_inference_steps=6, progress=False)
    ours = sweep(plain, PROMPT, **settings)
    theirs = sweep(dataclasses.replace(plain, unet=Compiled(plain.unet)), PROMPT, **settings)
    assert max(map(mean_difference, ours.images, theirs.images)) < 0.5
    assert asked == [2, 4, 8, 8, 12, 12]  # 1, 2, 4, 4, 6 and 6 pictures, twice for guidance, where 1 to 6 have begun


def test_few_networks_are_held(small, monkeypatch):
    monkeypatch.setattr(openvino_unet, "KEPT", 2)
    monkeypatch.setattr(openvino_unet, "_compiled", {})
    unchanged.remember(small)
    unet = OpenVinoUNet(small)
    for rows in (1, 2, 3, 1, 7):
        assert_same_noise(unet, small, given(rows))
        assert len(openvino_unet._compiled) <= 2


@pytest.mark.parametrize("streams", [1, 3])
def test_rows_are_shared_out_in_order(small, monkeypatch, streams):
    monkeypatch.setattr(openvino_unet.threads, "most", lambda: streams)
    for rows in (7, 3, 4):
        assert_same_noise(OpenVinoUNet(small), small, given(rows))


def test_drawing_is_by_openvino_unless_torch_is_asked_for(plain, components, picture, monkeypatch):
    asked, predict = [], OpenVinoUNet._predict
    monkeypatch.setattr(
        OpenVinoUNet, "_predict", lambda self, sample, *rest: asked.append(len(sample)) or predict(self, sample, *rest)
    )
    drawn = generate(components, PROMPT, **SETTINGS)
    assert asked == [2] * 6
    assert mean_difference(drawn[0], generate(plain, PROMPT, **SETTINGS)[0]) < 0.5 and len(asked) == 6
    sweep(components, PROMPT, image=picture, start_steps=(2, 4), num_inference_steps=6, progress=False)
    assert asked[6:] == [2, 2, 4, 4]
    with watch_attention(components.unet) as maps:
        generate(components, PROMPT, **SETTINGS)
    assert len(asked) == 10 and maps.heat is not None


def _edit(unet):
    unet.conv_in.weight.data[0, 0, 0, 0] += 1e-3


def _swap_rows(unet):
    unet.conv_in.weight.data[[0, 1]] = unet.conv_in.weight.data[[1, 0]]


def _set(name, **values):
    def change(unet):
        vars(unet.get_submodule(name)).update(values)

    return change


def test_a_class_that_was_patched_is_drawn_with_by_torch(components, monkeypatch):
    from diffusers.models.attention import FeedForward

    assert isinstance(for_drawing(components.unet), OpenVinoUNet)
    forward = FeedForward.forward
    monkeypatch.setattr(FeedForward, "forward", lambda self, *args, **kwargs: 2 * forward(self, *args, **kwargs))
    assert for_drawing(components.unet) is components.unet


def test_an_interrupted_drawing_leaves_nothing_behind(components):
    def interrupt(step):
        raise KeyboardInterrupt

    settings = dict(num_images=3, num_inference_steps=4, progress=False)
    first = generate(components, PROMPT, **settings)
    unet = for_drawing(components.unet)
    answered = openvino_unet._answered
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt), pytest.MonkeyPatch.context() as patch:
            # In the worst moment: the network has begun, and nobody waits for it.
            patch.setattr(torch, "from_numpy", interrupt)
            unet(torch.randn(6, 4, 16, 16), torch.tensor(500.0), torch.randn(6, 77, 128))
    assert openvino_unet._answered is answered
    assert [p.tobytes() for p in generate(components, PROMPT, **settings)] == [p.tobytes() for p in first]


CHANGES = {
    "a weight": _edit,
    "two rows swapped": _swap_rows,
    "a setting of a layer": _set("mid_block.attentions.0.transformer_blocks.0.attn1", scale=0.1),
    "another forward": _set("mid_block", forward=lambda hidden_states, *args, **kwargs: hidden_states),
    "training mode": lambda unet: unet.train(),
    "a hook": lambda unet: unet.mid_block.register_forward_hook(lambda *given: None),
    "a part replaced": lambda unet: setattr(unet, "mid_block", torch.nn.Identity()),
    "an attention processor": lambda unet: unet.set_attn_processor(object.__new__(type("Other", (), {"__call__": print}))),
    "half precision": lambda unet: unet.bfloat16(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_was_changed_is_drawn_with_by_torch(components, change):
    unet = copy.deepcopy(components.unet)
    assert isinstance(for_drawing(unet), OpenVinoUNet)  # a copy is as good
    change(unet)
    assert for_drawing(unet) is unet


def test_lora_is_drawn_with_by_torch_until_it_is_gone(components):
    from peft import LoraConfig

    unet = copy.deepcopy(components.unet)
    unet.add_adapter(LoraConfig(r=1, target_modules=["to_q"]))
    assert for_drawing(unet) is unet
    unet.delete_adapters("default")
    changed = copy.deepcopy(components.unet)
    with torch.no_grad():
        changed.conv_in.weight.mul_(2)
        assert for_drawing(changed) is changed
        changed.conv_in.weight.div_(2)
    assert isinstance(for_drawing(changed), OpenVinoUNet)


def test_a_converted_network_is_kept_on_the_disk(small, tmp_path, monkeypatch):
    monkeypatch.setenv(openvino_unet.CACHE, str(tmp_path / "new" / "cache"))
    monkeypatch.setattr(openvino_unet, "KEPT_ON_DISK", 1)
    openvino = openvino_unet._openvino()
    asked, convert = [], openvino.convert_model
    monkeypatch.setattr(openvino, "convert_model", lambda *args, **kwargs: asked.append(1) or convert(*args, **kwargs))
    assert unchanged.remember(small)
    for side, conversions in ((16, 1), (16, 1), (8, 2), (16, 3)):  # one is kept: 8 x 8 takes the place of 16 x 16
        monkeypatch.setattr(openvino_unet, "_compiled", {})
        assert_same_noise(for_drawing(small), small, given(1, side))
        assert len(asked) == conversions and len(list((tmp_path / "new" / "cache").iterdir())) == 1


def test_a_damaged_cache_is_made_anew(small, tmp_path, monkeypatch):
    monkeypatch.setenv(openvino_unet.CACHE, str(tmp_path))
    assert unchanged.remember(small)
    for _ in range(2):
        monkeypatch.setattr(openvino_unet, "_compiled", {})
        assert_same_noise(for_drawing(small), small, given(1))
        (kept,) = tmp_path.iterdir()
        assert "<net" in (kept / "unet.xml").read_text()
        (kept / "unet.xml").write_text("<net cut off")
    assert isinstance(for_drawing(small), OpenVinoUNet)


def test_openvino_reports_to_nobody(tmp_path):
    code = """
import pathlib, sys
from sd_helpers import generate, load
generate(load("emoji-sd", device="cpu"), "a puppy", num_inference_steps=1, progress=False)
assert "openvino.tools.ovc" in sys.modules and sys.modules["openvino_telemetry"] is None
print([path.name for path in pathlib.Path.home().iterdir() if path.name != ".cache"])
"""
    home = dict(HOME=str(tmp_path), USERPROFILE=str(tmp_path))
    told = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | home | {openvino_unet.CACHE: str(tmp_path / ".cache")}, **SAID
    )
    assert told.stdout.strip() == "[]" and not told.stderr, told.stderr


def test_a_cache_that_cannot_be_written_is_done_without(small, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv(openvino_unet.CACHE, str(tmp_path / "file"))
    assert unchanged.remember(small)
    assert_same_noise(for_drawing(small), small, given(2))


@pytest.mark.parametrize("where", ["when it is compiled", "when it is called"])
def test_where_openvino_fails_torch_goes_on(components, embeds, monkeypatch, where):
    def fails(*inputs):
        raise RuntimeError("not on this processor")

    monkeypatch.setattr(*((OpenVinoUNet, "_requests") if where == "when it is compiled" else (openvino_unet, "_answered")), fails)
    monkeypatch.setattr(openvino_unet, "as_loaded", set(unchanged.as_loaded))
    latents, unet = torch.randn(1, 4, 16, 16), for_drawing(components.unet)
    torch.testing.assert_close(unet(latents, 500, embeds[0]).sample, components.unet(latents, 500, embeds[0]).sample)
    assert for_drawing(components.unet) is components.unet
    with pytest.raises(RuntimeError, match="not on this processor"):
        OpenVinoUNet(components.unet)(latents, 500, embeds[0])


def test_a_persons_mistake_does_not_end_it(components, embeds):
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        for_drawing(components.unet)(torch.randn(1, 4, 16, 16), 500, embeds[0][..., :5])
    assert isinstance(for_drawing(components.unet), OpenVinoUNet)


def test_without_openvino_and_for_large_models_torch_draws(components, monkeypatch):
    for module in (unchanged, openvino_unet):
        monkeypatch.setattr(module, "as_loaded", set())
    monkeypatch.setattr(unchanged, "LARGEST", 1000)
    assert not unchanged.remember(components.unet)
    monkeypatch.undo()
    for module in (unchanged, openvino_unet):
        monkeypatch.setattr(module, "as_loaded", set())
    monkeypatch.setattr(openvino_unet.importlib.util, "find_spec", lambda name: None)
    assert "runtime: torch (the default" in load("emoji-sd", device="cpu").describe()
    assert for_drawing(components.unet) is components.unet


def test_the_state_names_what_was_loaded(components):
    assert state_of(components.unet) == state_of(load("emoji-sd", device="cpu").unet) == state_of(copy.deepcopy(components.unet))


def test_a_compiler_that_is_not_there(components, embeds, monkeypatch):
    unet = CompiledUNet(components.unet)

    def without(*args, **kwargs):
        raise RuntimeError("InvalidCxxCompiler")

    monkeypatch.setattr(unet, "_compiled", without)
    with pytest.raises(ValueError, match="could not compile the U-Net for \\(1, 4, 16, 16\\).*C\\+\\+ compiler on a CPU"):
        unet(torch.ones(1, 4, 16, 16), 500, embeds[0])


def test_bad_runtimes(components, monkeypatch):
    with pytest.raises(ValueError, match="runtime='tpu' must be None, .* or one of 'torch', 'openvino', 'compile'"):
        load("emoji-sd", runtime="tpu")
    half = load("emoji-sd", device="cpu", dtype=torch.bfloat16)
    with pytest.raises(ValueError, match="float32, not for cpu in torch.bfloat16"):
        OpenVinoUNet(half.unet)
    monkeypatch.setattr(openvino_unet.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install openvino"):
        OpenVinoUNet(components.unet)


def test_describe_says_what_was_picked_and_why(plain, fast):
    default = load("emoji-sd").describe()
    assert "emoji-sd: 128 x 128 pixels, LMSScheduler" in default and "U-Net 8" in default
    assert torch.cuda.is_available() or "device: cpu (no GPU was found)" in default
    assert torch.cuda.is_available() or "runtime: torch (OpenVINO where only drawn with" in default
    assert "runtime: torch (asked for)" in plain.describe()
    assert "device: cpu (asked for)" in fast.describe() and "runtime: openvino (asked for" in fast.describe()
    half = load("emoji-sd", device="cpu", dtype=torch.float16).describe()
    assert "dtype: float16 (asked for)" in half
    assert set(RUNTIMES) == {"compile", "openvino", "torch"}
