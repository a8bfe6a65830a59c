"""On a CUDA GPU: the same pictures as on a CPU, in every precision, at SD v1's own shape, compiled or not."""

import dataclasses
import gc

import pytest
import torch

from sd_helpers import denoise, embed_prompt, generate, load, starting_noise, sweep
from sd_helpers.drawing import starting_latents
from sd_helpers.metrics import mean_difference

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA GPU on this machine")

PROMPT, SETTINGS = "a red apple on a blue background", dict(num_inference_steps=10, progress=False)


@pytest.mark.parametrize(("dtype", "levels"), [(torch.float32, 1), (torch.float16, 4), (torch.bfloat16, 12)], ids=str)
def test_draws_what_a_cpu_draws(components, dtype, levels):
    (here,) = generate(components, PROMPT, **SETTINGS)
    (there,) = generate(load("emoji-sd", device="cuda", dtype=dtype), PROMPT, **SETTINGS)
    assert mean_difference(here, there) < levels


def test_load_picks_the_gpu_and_says_why():
    assert "device: cuda (a CUDA GPU was found)" in load("emoji-sd").describe()


def test_compiled_draws_the_same():
    plain, compiled = (load("emoji-sd", device="cuda", runtime=runtime) for runtime in (None, "compile"))
    for number in range(2):  # the second run replays CUDA graphs
        ours, theirs = (generate(model, PROMPT, seed=number, **SETTINGS)[0] for model in (plain, compiled))
        assert mean_difference(ours, theirs) < 1


def test_steps_of_a_compiled_run_are_not_overwritten():
    components = load("emoji-sd", device="cuda", runtime="compile")
    embeds = embed_prompt(PROMPT, components.tokenizer, components.text_encoder)
    latents = starting_latents(components, [0], *components.default_size, 4)
    kept = []
    settings = dict(guidance_scale=1, num_inference_steps=4)
    steps = list(denoise(components.unet, components.scheduler, latents, embeds, on_noise=lambda s: kept.append(s), **settings))
    assert len({float(step.noise_pred.sum()) for step in steps}) == len(kept) == 4


def test_nothing_is_copied_from_the_gpu_inside_the_loop(components):
    on_gpu = load("emoji-sd", device="cuda")
    embeds = embed_prompt(PROMPT, on_gpu.tokenizer, on_gpu.text_encoder)
    latents = starting_latents(on_gpu, [0], *on_gpu.default_size, 6)
    steps = denoise(on_gpu.unet, on_gpu.scheduler, latents, embeds, guidance_scale=1, num_inference_steps=6)
    next(steps)  # the first call may set things up
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in steps:
            pass
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_sd_v1_shape_equals_the_pipeline():
    from diffusers import EulerDiscreteScheduler

    from benchmarks.gpu import sd_v1_with_random_weights
    from sd_helpers import scheduler_like

    components = sd_v1_with_random_weights()
    components = dataclasses.replace(components, scheduler=scheduler_like(components.scheduler, EulerDiscreteScheduler))
    (ours,) = generate(components, PROMPT, num_inference_steps=5, progress=False)
    noise = starting_noise(components, 0)  # their own would be drawn in half precision
    theirs = components.pipeline()(PROMPT, num_inference_steps=5, latents=noise).images[0]
    assert ours.size == (512, 512) and mean_difference(ours, theirs) < 2
    assert max(high - low for low, high in ours.getextrema()) > 10  # where numbers overflow, all is black


def test_out_of_memory_ends_in_smaller_batches():
    components, asked = load("emoji-sd", device="cuda"), []
    components.unet.register_forward_pre_hook(lambda module, args: asked.append(len(args[0])))
    gc.collect()  # what other tests left
    torch.cuda.empty_cache()
    total = torch.cuda.mem_get_info()[1]
    torch.cuda.set_per_process_memory_fraction(min(1.0, (torch.cuda.memory_reserved() + 2e8) / total))
    try:
        drawn = generate(components, PROMPT, num_images=512, batch_size=512, num_inference_steps=2, progress=False)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert len(drawn) == 512 and asked[0] == 1024 and min(asked) < 1024


def test_a_folder_begun_on_a_cpu_goes_on_here(components, picture, tmp_path):
    settings = dict(image=picture, num_inference_steps=8, progress=False, folder=tmp_path)
    sweep(components, PROMPT, start_steps=[4], **settings)
    mixed = sweep(load("emoji-sd", device="cuda"), PROMPT, start_steps=[4, 5], **settings)
    assert len(mixed.images) == len(list(tmp_path.glob("*.png"))) == 2
