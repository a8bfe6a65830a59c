"""The checks of notebook 04's exercises: right answers, the usual mistakes and what they are told, open ones."""

import pytest
import torch

from sd_helpers.checks import OPEN
from sd_helpers.exercises import unet as check

ALL = [check.exercise_1, check.exercise_2, check.exercise_3, check.exercise_4]


def said(capsys, check_one, answer) -> str:
    check_one(answer)
    return capsys.readouterr().out.strip()


@pytest.mark.parametrize("check_one", ALL)
def test_open_exercises_say_so(check_one, capsys):
    for answer in (..., lambda *arguments: ...):
        assert said(capsys, check_one, answer) == OPEN


@pytest.mark.parametrize("check_one", ALL)
@pytest.mark.parametrize(
    "answer", [lambda *a: None, lambda *a: "five", lambda: 1, lambda *a: 1 / 0, 3.0, lambda *a: [], lambda *a: torch.zeros(2)]
)
def test_odd_answers_are_told_kindly(check_one, answer, capsys):
    assert said(capsys, check_one, answer).startswith("Not yet.")


@pytest.mark.parametrize(
    "answer, hint",
    [
        (lambda x, x0, a: (x - a**0.5 * x0) / (1 - a) ** 0.5, "Right."),
        (lambda x, x0, a: (x - a * x0) / (1 - a), "roots are missing"),
        (lambda x, x0, a: x - a**0.5 * x0, "divide it by the noise's share"),
        (lambda x, x0, a: (x - a**0.5 * x0) / (1 - a), "root of the noise's share"),
        (lambda x, x0, a: (x - a**0.5 * x0) / a**0.5, "picture's share; the noise has"),
        (lambda x, x0, a: (x - x0) / (1 - a) ** 0.5, "has a share as well"),
        (lambda x, x0, a: (a**0.5 * x0 - x) / (1 - a) ** 0.5, "sign is turned"),
        (lambda x, x0, a: (x - (1 - a) ** 0.5 * x0) / a**0.5, "changed places"),
        (lambda x, x0, a: (x - x0) / ((1 - a) / a) ** 0.5, "loop's form"),
        (lambda x, x0, a: x - x0, "another noise"),
    ],
)
def test_noise_from_x0(answer, hint, capsys):
    assert hint in said(capsys, check.exercise_1, answer)


def shapes_down(height, width, channels, halves=lambda i, last: i < last, up=1, before=False):
    shapes = []
    for i, c in enumerate(channels):
        entering = (c, height, width)
        if halves(i, len(channels) - 1):
            height, width = (height + up) // 2, (width + up) // 2
        shapes.append(entering if before else (c, height, width))
    return shapes


@pytest.mark.parametrize(
    "answer, hint",
    [
        (shapes_down, "Right."),
        (lambda h, w, c: [list(shape) for shape in shapes_down(h, w, c)], "Right."),
        (lambda h, w, c: shapes_down(h, w, c, halves=lambda i, last: True), "halves nothing"),
        (lambda h, w, c: shapes_down(h, w, c, before=True), "that go in"),
        (lambda h, w, c: shapes_down(w, h, c), "changed places"),
        (lambda h, w, c: shapes_down(h, w, c, up=0), "rounded up"),
        (lambda h, w, c: [(h, w, c) for c, h, w in shapes_down(h, w, c)], "The order is"),
        (lambda h, w, c: [(each, h, w) for each in c], "never shrink"),
        (lambda h, w, c: shapes_down(h, w, c)[:-1], "3 down blocks; your list has 2"),
        (lambda h, w, c: [(h, w)] * len(c), "three numbers"),
        (lambda h, w, c: [1, 2, 3], "list of tuples"),
        (lambda h, w, c: shapes_down(h, w, [2 * each for each in c]), "it should be"),
    ],
)
def test_shapes_down(answer, hint, capsys):
    assert hint in said(capsys, check.exercise_2, answer)


def test_diffusers_gives_those_shapes():
    from diffusers import UNet2DConditionModel

    kinds = dict(down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))
    sizes = dict(sample_size=8, layers_per_block=1, cross_attention_dim=8, attention_head_dim=2, norm_num_groups=4)
    unet = UNet2DConditionModel(block_out_channels=(8, 16), **kinds, **sizes)
    seen = []
    for block in unet.down_blocks:
        block.register_forward_hook(lambda module, given, out: seen.append(tuple(out[0].shape[1:])))
    unet(torch.zeros(1, 4, 13, 22), 5, torch.zeros(1, 3, 8))
    assert seen == shapes_down(13, 22, (8, 16))


def wide(shift):
    return shift[:, :, None, None]


@pytest.mark.parametrize(
    "answer, hint",
    [
        (lambda x, s, a, b: x + b(a(x) + wide(s)), "Right."),
        (lambda x, s, a, b: b(a(x) + wide(s)), "input is not added"),
        (lambda x, s, a, b: x + b(a(x)), "time is missing"),
        (lambda x, s, a, b: x + b(a(x + wide(s))), "after the first half"),
        (lambda x, s, a, b: x + b(a(x)) + wide(s), "between the halves"),
        (lambda x, s, a, b: x + a(b(x) + wide(s)), "halves have changed places"),
        (lambda x, s, a, b: x + b(a(x) * wide(s)), "multiplied"),
        (lambda x, s, a, b: b(x + a(x) + wide(s)), "in the middle already"),
        (lambda x, s, a, b: a(x) + b(a(x) + wide(s)), "not what the first half"),
        (lambda x, s, a, b: x + b(a(x) + s), "two axes of length 1"),
        (lambda x, s, a, b: x + wide(s), "Call both halves"),
        (lambda x, s, a, b: x + 2 * b(a(x) + wide(s)), "another result"),
    ],
)
def test_a_residual_block(answer, hint, capsys):
    assert hint in said(capsys, check.exercise_3, answer)


def attention(q, k, v, readable, *, scale=0.5, fill=float("-inf"), dim=-1, turn=False):
    scores = q @ k.transpose(1, 2) / q.shape[-1] ** scale
    return scores.masked_fill((readable if turn else ~readable)[:, None, :], fill).softmax(dim=dim) @ v


def after_the_softmax(q, k, v, readable, again=False, values=True):
    probs = attention(q, k, torch.eye(k.shape[1]).expand(len(k), -1, -1), torch.ones_like(readable)) * readable[:, None, :]
    probs = probs / probs.sum(dim=-1, keepdim=True) if again else probs
    return probs @ v if values else probs


@pytest.mark.parametrize(
    "answer, hint",
    [
        (attention, "Right."),
        (lambda q, k, v, r: attention(q, k, v, r, fill=-1e9), "Right."),
        (lambda q, k, v, r: after_the_softmax(q, k, v, r, again=True), "Right."),
        (lambda q, k, v, r: torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=r[:, None, :]), "Right."),
        (lambda q, k, v, r: attention(q, k, v, torch.ones_like(r)), "no effect"),
        (after_the_softmax, "no longer sums to 1"),
        (lambda q, k, v, r: attention(q, k, v, r, fill=0.0), "minus infinity"),
        (lambda q, k, v, r: attention(q, k, v, r, turn=True), "wrong way round"),
        (lambda q, k, v, r: attention(q, k, v, r, scale=0), "is missing"),
        (lambda q, k, v, r: attention(q, k, v, r, scale=1), "square root of d"),
        (lambda q, k, v, r: after_the_softmax(q, k, v, r, again=True, values=False), "multiply the probabilities by v"),
        (lambda q, k, v, r: attention(q, k, v, r, fill=-1e9, dim=1), "over the places"),
        (lambda q, k, v, r: (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5 * r[:, None, :]) @ v, "softmax is missing"),
        (lambda q, k, v, r: attention(q, k, v, r, scale=0.4), "another answer"),
    ],
)
def test_attention_that_hides(answer, hint, capsys):
    assert hint in said(capsys, check.exercise_4, answer)
