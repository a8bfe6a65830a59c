"""Faster ways to run the U-Net give the same pictures, and say so where they cannot do what was asked."""

import shutil

import pytest
import torch

from sd_helpers import embed_prompt, generate, load, pil_to_latent, sweep, watch_attention
from sd_helpers.guidance import colour_loss, noise_predictor, steer
from sd_helpers.metrics import mean_difference
from sd_helpers.runtimes import RUNTIMES, CompiledUNet, OpenVinoUNet

PROMPT, SETTINGS = "a red apple on a blue background", dict(num_inference_steps=6, progress=False)


@pytest.fixture(scope="module")
def fast():
    pytest.importorskip("openvino", reason="the optional extra [openvino] is not installed")
    return load("emoji-sd", device="cpu", runtime="openvino")


def test_openvino_draws_the_same_pictures(components, fast, picture):
    for settings in (dict(num_images=1), dict(num_images=3), dict(guidance_scale=1), dict(image=picture, start_step=2)):
        ours, theirs = (generate(model, PROMPT, **SETTINGS, **settings) for model in (components, fast))
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
        pytest.raises(AttributeError, match="has no 'named_modules': use `load\\(\\)` without a runtime"),
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
def test_compiled_predicts_the_same_noise():
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    blocks = dict(down_block_types=("CrossAttnDownBlock2D",), up_block_types=("CrossAttnUpBlock2D",))
    unet = UNet2DConditionModel(
        8, **blocks, block_out_channels=(8,), layers_per_block=1, cross_attention_dim=8, norm_num_groups=4
    )
    unet = unet.requires_grad_(False).eval()
    latents, context = torch.randn(2, 4, 8, 8), torch.randn(2, 77, 8)
    compiled = CompiledUNet(unet)
    first, again = compiled(latents, 500, context).sample, compiled(-latents, 10, context).sample
    torch.testing.assert_close(first, unet(latents, 500, context).sample, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(again, unet(-latents, 10, context).sample, rtol=1e-3, atol=1e-4)


def test_a_sweep_asks_for_few_shapes(components, fast, picture):
    asked, predict = [], fast.unet._predict
    fast.unet._predict = lambda sample, *others: asked.append(len(sample)) or predict(sample, *others)
    settings = dict(image=picture, start_steps=range(6), num_inference_steps=6, progress=False)
    try:
        ours, theirs = sweep(components, PROMPT, **settings), sweep(fast, PROMPT, **settings)
    finally:
        del fast.unet._predict
    assert max(map(mean_difference, ours.images, theirs.images)) < 0.5
    assert asked == [2, 4, 8, 8, 12, 12]  # 1, 2, 4, 4, 6 and 6 pictures, twice for guidance, where 1 to 6 have begun


def test_few_shapes_are_held(components, embeds, monkeypatch):
    pytest.importorskip("openvino", reason="the optional extra [openvino] is not installed")
    monkeypatch.setattr("sd_helpers.runtimes.SHAPES", 2)
    unet = OpenVinoUNet(components.unet)
    for rows in (1, 2, 3, 1):
        latents, context = torch.ones(rows, 4, 8, 8), embeds[0].expand(rows, -1, -1)
        theirs = components.unet(latents, 500, context).sample
        torch.testing.assert_close(unet(latents, 500, context).sample, theirs, rtol=1e-3, atol=1e-4)
        assert len(unet._compiled) <= 2


def test_a_compiler_that_is_not_there(components, embeds, monkeypatch):
    unet = CompiledUNet(components.unet)

    def without(*args, **kwargs):
        raise RuntimeError("InvalidCxxCompiler")

    monkeypatch.setattr(unet, "_compiled", without)
    with pytest.raises(ValueError, match="could not compile the U-Net for \\(1, 4, 16, 16\\).*C\\+\\+ compiler on a CPU"):
        unet(torch.ones(1, 4, 16, 16), 500, embeds[0])


def test_bad_runtimes(components, monkeypatch):
    with pytest.raises(ValueError, match="runtime='tpu' must be None .* or one of 'compile', 'openvino'"):
        load("emoji-sd", runtime="tpu")
    half = load("emoji-sd", device="cpu", dtype=torch.bfloat16)
    with pytest.raises(ValueError, match="float32, not for cpu in torch.bfloat16"):
        OpenVinoUNet(half.unet)
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(ValueError, match="pip install 'sd-helpers\\[openvino\\]'"):
        OpenVinoUNet(components.unet)


def test_describe_says_what_was_picked_and_why(components, fast):
    plain = load("emoji-sd").describe()
    assert "emoji-sd: 128 x 128 pixels, LMSScheduler" in plain and "U-Net 8" in plain and "runtime: torch (the default" in plain
    assert torch.cuda.is_available() or "device: cpu (no GPU was found)" in plain
    assert "device: cpu (asked for)" in fast.describe() and "runtime: openvino (asked for" in fast.describe()
    half = load("emoji-sd", device="cpu", dtype=torch.float16).describe()
    assert "dtype: float16 (asked for)" in half
    assert set(RUNTIMES) == {"compile", "openvino"}
