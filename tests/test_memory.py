"""Running out of memory ends in smaller batches, or in a sentence."""

import dataclasses

import pytest
import torch

from sd_helpers import generate, sweep
from sd_helpers.metrics import mean_difference
from sd_helpers.runtime.memory import in_batches

PROMPT, SETTINGS = "a fox", dict(num_inference_steps=3, progress=False)


def small(components, rows):
    """Components whose U-Net has memory for so many rows, and a list of the batches it was asked for."""
    asked = []

    class Small:
        def __call__(self, model_input, *args, **kwargs):
            asked.append(len(model_input))
            if len(model_input) > rows:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return components.unet(model_input, *args, **kwargs)

        def __getattr__(self, name):
            return getattr(components.unet, name)

    return dataclasses.replace(components, unet=Small()), asked


def test_generate_draws_in_halves(components):
    tight, asked = small(components, 4)
    ours, theirs = generate(tight, PROMPT, num_images=7, **SETTINGS), generate(components, PROMPT, num_images=7, **SETTINGS)
    assert asked[:3] == [14, 6, 2] and max(asked[3:]) <= 4  # guidance doubles each: 7 pictures, then 3, then 1
    assert len(ours) == 7 and max(map(mean_difference, ours, theirs)) < 0.5


def test_sweep_draws_in_halves(components, picture):
    tight, asked = small(components, 4)
    settings = dict(image=picture, start_steps=(0, 1, 2), seeds=(1, 2), **SETTINGS)
    ours, theirs = sweep(tight, PROMPT, **settings), sweep(components, PROMPT, **settings)
    assert max(asked) > 4 and len(ours.images) == 6 and max(map(mean_difference, ours.images, theirs.images)) < 0.5


def test_not_even_one_picture(components):
    with pytest.raises(MemoryError, match="one picture alone needs more memory than is free. Close other notebooks"):
        generate(small(components, 1)[0], PROMPT, num_images=4, **SETTINGS)


@pytest.mark.parametrize(
    "message",
    ["DefaultCPUAllocator: not enough memory: you tried", "MPS backend out of memory", "CUBLAS_STATUS_ALLOC_FAILED"],
)
def test_other_devices_say_it_in_words(message):
    def draw(rows):
        if len(rows) > 1:
            raise RuntimeError(message)
        return rows

    assert list(in_batches([1, 2, 3], 3, draw)) == [([1], [1]), ([2], [2]), ([3], [3])]


def test_a_cpu_says_it_in_its_own_words():
    drawn = in_batches([2**55, 1], 2, lambda rows: [torch.empty(sum(rows)).numel()])
    with pytest.raises(MemoryError, match="one picture alone needs more memory"):
        list(drawn)


def test_other_errors_pass():
    def draw(rows):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        list(in_batches([1, 2], 2, draw))
