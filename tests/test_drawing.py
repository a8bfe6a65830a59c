"""From prompts to pictures: generate, its seeds and errors, the command line, plain diffusers pipelines."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from sd_helpers import denoise, generate, inpaint, load, models, starting_noise, sweep
from sd_helpers.__main__ import main
from sd_helpers.metrics import background_of, mean_difference, psnr

QUICK = dict(num_inference_steps=6, progress=False)


def test_equals_diffusers_pipeline(components):
    (ours,) = generate(components, "a skunk", negative_prompt="a blue background", guidance_scale=8, seed=32, **QUICK)
    theirs = components.pipeline()(
        "a skunk", negative_prompt="a blue background", guidance_scale=8, num_inference_steps=6,
        generator=torch.Generator().manual_seed(32),
    ).images[0]  # fmt: skip
    assert mean_difference(ours, theirs) < 0.5


def test_every_picture_of_a_batch_can_be_had_alone(components):
    together = generate(components, ["a fox", "a pizza"], num_images=2, seed=7, batch_size=3, **QUICK)
    assert len(together) == 4
    alone = [
        generate(components, p, seed=s, **QUICK)[0] for p, s in (("a fox", 7), ("a fox", 8), ("a pizza", 9), ("a pizza", 10))
    ]
    for a, b in zip(together, alone, strict=True):
        assert mean_difference(a, b) < 0.5
    assert mean_difference(alone[0], alone[1]) > 2


def test_noise_does_not_depend_on_what_ran_before(components):
    first = starting_noise(components, 3)
    torch.manual_seed(99)
    torch.randn(10)
    assert torch.equal(first, starting_noise(components, 3))
    state = torch.random.get_rng_state()
    generate(components, "a cat", seed=3, **QUICK)
    assert torch.equal(state, torch.random.get_rng_state())


def test_other_sizes(components):
    height, width = components.default_size[0] // 2, components.default_size[1] * 2
    (wide,) = generate(components, "a cat", height=height, width=width, **QUICK)
    assert wide.size == (width, height)


def test_an_image_is_kept_the_more_the_later_the_start(components, picture):
    near = [
        psnr(generate(components, "a skunk", image=picture, start_step=s, num_inference_steps=20, progress=False)[0], picture)
        for s in (4, 12, 18, 20)
    ]
    assert near == sorted(near) and near[-1] > near[0] + 3


def test_an_image_of_another_shape_is_fitted(components):
    tall = Image.new("RGB", (300, 900), (45, 105, 215))
    tall.paste((215, 45, 45), (0, 0, 300, 300))
    tall.paste((60, 165, 80), (0, 600, 300, 900))  # the ends are cropped away
    (drawn,) = generate(components, "a cat", image=tall, start_step=6, **QUICK)
    assert drawn.size == components.default_size and background_of(drawn) == "blue"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (dict(height=63), "height"), (dict(width=-8), "width"), (dict(height=64.0), "height"),
        (dict(start_step=3), "start_step"), (dict(start_step=51, image=Image.new("RGB", (64, 64))), "start_step"),
        (dict(num_images=0), "num_images"), (dict(num_inference_steps=0), "num_inference_steps"),
        (dict(image="cat.png"), "image"), (dict(prompt=[]), "prompt"), (dict(prompt=5), "prompt"),
        (dict(negative_prompt=["a", "b"]), "negative_prompt"), (dict(height=0), "height"),
        (dict(seed="x"), "seed"), (dict(seed=2**64), "seed"),
        (dict(guidance_scale="8"), "guidance_scale"), (dict(batch_size=0), "batch_size"),
        (dict(guidance_scale=float("nan")), "guidance_scale"), (dict(guidance_scale=lambda i: math.inf if i else 1), "guidance"),
        (dict(guidance_scale=lambda i: None), "guidance_scale"), (dict(seed=True), "seed"), (dict(prompt=None), "prompt"),
        (dict(seed=2**63 - 1, num_images=2), "seed"), (dict(guidance_scale=torch.full((1, 1, 1, 1), math.nan)), "guidance_scale"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(components, arguments, named):
    with pytest.raises((ValueError, FileNotFoundError), match=named):
        generate(components, **{"prompt": "a cat", "progress": False, **arguments})


def test_numbers_of_numpy_and_torch_are_numbers(components, picture):
    plain = dict(num_inference_steps=4, seed=3, guidance_scale=3.0, start_step=1, height=64, width=64, num_images=2)
    expected = generate(components, "a fox", image=picture, progress=False, **plain)
    for whole, real in ((np.int64, np.float32), (np.uint8, np.float64), (torch.tensor, torch.tensor)):
        settings = {name: real(value) if name == "guidance_scale" else whole(value) for name, value in plain.items()}
        assert generate(components, "a fox", image=picture, progress=False, **settings) == expected


def test_command_line(tmp_path, capsys):
    output = tmp_path / "puppy.png"
    assert main(["a puppy with a zygomorphic hat", "-o", str(output), "--steps", "3", "--seed", "32", "--num-images", "2"]) == 0
    printed = capsys.readouterr()
    assert str(output) in printed.out and "zygomorphic" in printed.err
    assert Image.open(output).width > 2 * Image.open(output).height - 10
    before = output.read_bytes()
    assert main(["a cat", "-o", str(output), "--steps", "3"]) == 2  # what was drawn is not lost
    assert output.read_bytes() == before
    assert main(["a cat", "-o", str(tmp_path / "no" / "cat.png")]) == 2
    for name in ("cat.txt", "cat.psd", "cat"):
        assert main(["a cat", "-o", str(tmp_path / name)]) == 2
    assert main(["a cat", "--model", "nonsense", "-o", str(tmp_path / "cat.png")]) == 2
    assert "nonsense" in capsys.readouterr().err


def test_command_line_as_a_process(tmp_path):
    done = subprocess.run([sys.executable, "-m", "sd_helpers", "a fox", "-o", "fox.png", "--steps", "2"], cwd=tmp_path,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0 and (tmp_path / "fox.png").exists()
    assert "Error" not in done.stderr and "Warning" not in done.stderr


def test_long_prompts_get_one_note(tmp_path):
    command = [sys.executable, "-m", "sd_helpers", "puppy " * 90 + "rocket", "-o", "puppy.png", "--steps", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "indexing errors" not in done.stderr
    assert done.stderr.count("too long") == 1 and "rocket" in done.stderr


@pytest.mark.parametrize("kind", ["text to image", "image to image", "inpainting"])
def test_plain_diffusers_draws_with_the_folder(kind, picture):
    """Without this package: `from_pretrained(folder)`, no argument, and draw."""
    from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline, StableDiffusionPipeline

    cls = {"text to image": StableDiffusionPipeline, "image to image": StableDiffusionImg2ImgPipeline,
           "inpainting": StableDiffusionInpaintPipeline}[kind]  # fmt: skip
    pipeline = cls.from_pretrained(models.EMBEDDED_FOLDER)
    pipeline.set_progress_bar_config(disable=True)
    mask = Image.new("L", picture.size, 0)
    mask.paste(255, (picture.width // 2, 0, picture.width, picture.height))
    extra = {"text to image": {}, "image to image": dict(image=picture, strength=0.5),
             "inpainting": dict(image=picture, mask_image=mask, height=picture.height, width=picture.width)}[kind]  # fmt: skip
    drawn = pipeline("a red apple", num_inference_steps=5, generator=torch.Generator().manual_seed(0), **extra).images[0]
    assert drawn.size == picture.size
    assert np.asarray(drawn).std() > 10
    if kind == "inpainting":
        half = (0, 0, picture.width // 2 - 8, picture.height)
        assert mean_difference(drawn.crop(half), picture.crop(half)) < 25


def test_any_code_page_prints(tmp_path):
    """A terminal whose code page lacks the letters of a prompt or of a file's name."""
    output = tmp_path / "Füchse.png"
    command = [sys.executable, "-W", "ignore", "-m", "sd_helpers", "a fox 狐 blargh🦊", "--steps", "2", "-o", str(output)]
    done = subprocess.run(command, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0 and output.exists(), done.stderr
    assert b"chse.png" in done.stdout and b"has never seen" in done.stderr and b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "function, argument, ours",
    [
        (generate, "strength", "start_step"), (generate, "generator", "seed"),
        (generate, "num_images_per_prompt", "num_images"),
        (generate, "callback_on_step_end", "on_step"), (generate, "clip_skip", "hidden_states"),
        (generate, "eta", "DDPMScheduler"), (generate, "blargh", "guidance_scale"), (inpaint, "mask_image", "mask"),
        (sweep, "strength", "start_step"),
        (load, "torch_dtype", "dtype"), (denoise, "callback", "on_step"), (sweep, "steps", "num_inference_steps"),
    ],
)  # fmt: skip
def test_words_of_diffusers_are_answered_with_ours(function, argument, ours):
    with pytest.raises(TypeError, match=f"{argument}.*{ours}"):
        function(**{argument: 1})
