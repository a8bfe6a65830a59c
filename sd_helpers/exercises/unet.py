"""Checks of notebook 04: noise from x0, shapes on the way down, a residual block, attention that hides positions."""

from __future__ import annotations

import torch

from ..checks import NotYet, answered, exercise, expect, expect_known


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@exercise
def exercise_1(implied_noise):
    """`implied_noise(x_t, x0, alpha_bar)`: (x_t - sqrt(alpha_bar) x0) / sqrt(1 - alpha_bar)."""
    for alpha, seed in ((0.3, 0), (0.95, 2), (0.01, 4)):
        x_t, x0 = _random(2, 4, 3, 5, seed=seed), _random(2, 4, 3, 5, seed=seed + 1)
        share, rest = alpha**0.5, (1 - alpha) ** 0.5
        mistakes = {
            "The roots are missing: the mixture has sqrt(alpha_bar) and sqrt(1 - alpha_bar).": (x_t - alpha * x0) / (1 - alpha),
            "That is what is left of x_t without the picture; divide it by the noise's share.": x_t - share * x0,
            "The root of the noise's share is missing.": (x_t - share * x0) / (1 - alpha),
            "It is divided by the picture's share; the noise has sqrt(1 - alpha_bar).": (x_t - share * x0) / share,
            "The picture has a share as well: sqrt(alpha_bar) times x0.": (x_t - x0) / rest,
            "The sign is turned: it is what is left when the picture is taken away from x_t.": (share * x0 - x_t) / rest,
            "The two shares have changed places: you treated x0 as if it were the noise.": (x_t - rest * x0) / share,
            "That is the loop's form, x0 + sigma * noise; here x_t is mixed as in training.": (x_t - x0) * share / rest,
        }
        value = implied_noise(x_t.clone(), x0.clone(), alpha)
        expect_known(value, (x_t - share * x0) / rest, mistakes, f"With alpha_bar {alpha} it is another noise")
    return "Noise and x0 say the same, once x_t is known; the loop could ask for either."


@exercise
def exercise_2(shapes_down):
    """`shapes_down(height, width, channels)`: what comes out of each down block; all but the last halve, rounding up."""
    for height, width, channels in ((16, 16, (64, 128, 192)), (64, 96, (320, 640, 1280, 1280)), (13, 22, (8, 16, 24, 32))):
        value = answered(shapes_down(height, width, channels))
        expect(value is not None, "It is None: does your function return the list?")
        try:
            value = [tuple(int(number) for number in shape) for shape in value]
        except (TypeError, ValueError):
            raise NotYet("It should be a list of tuples (channels, height, width), one for each block.") from None
        expect(all(len(shape) == 3 for shape in value), "Each shape should be three numbers: (channels, height, width).")
        expect(len(value) == len(channels), f"There are {len(channels)} down blocks; your list has {len(value)} shapes.")
        right = _shapes(height, width, channels)
        wrong = {
            "The last block halves nothing: the middle below has its size.": _shapes(height, width, channels, last=True),
            "These are the shapes that go in; the block's own halving is missing.": _shapes(height, width, channels, late=True),
            "Width and height have changed places.": _shapes(width, height, channels),
            "Odd sides are rounded up: 13 becomes 7.": _shapes(height, width, channels, down=True),
            "The order is (channels, height, width).": [(h, w, c) for c, h, w in right],
            "The sides never shrink.": [(c, height, width) for c in channels],
        }
        for hint, slip in wrong.items():
            expect(slip == right or value != slip, hint)
        expect(value == right, f"For {height} x {width} and channels {channels} it should be {right}, and is {value}.")
    return "So one U-Net draws pictures of many sizes: no layer has a size built in."


def _shapes(height: int, width: int, channels, *, last=False, late=False, down=False) -> list[tuple[int, int, int]]:
    """The shapes, right or with one of the usual slips."""
    found, rounding = [], 0 if down else 1
    for i, c in enumerate(channels):
        before = c, height, width
        if last or i < len(channels) - 1:
            height, width = (height + rounding) // 2, (width + rounding) // 2
        found.append(before if late else (c, height, width))
    return found


@exercise
def exercise_3(residual_block):
    """`residual_block(x, shift, first_half, second_half)`: x + second_half(first_half(x) + shift at every place)."""
    for n, side, seed in ((2, (4, 5), 0), (3, (3, 3), 5)):
        x, shift = _random(n, 3, *side, seed=seed), _random(n, 3, seed=seed + 1)
        calls = []

        def first(h, calls=calls):
            calls.append("first")
            return torch.tanh(2 * h) + 0.3

        def second(h, calls=calls):
            calls.append("second")
            return torch.sin(h) * 0.7

        try:
            value = residual_block(x.clone(), shift.clone(), first, second)
        except (RuntimeError, IndexError) as error:
            raise NotYet(f"shift is (n, C): give it two axes of length 1, for height and width. (torch says: {error})") from None
        expect(answered(value) is not None, "It is None: does your function return its result?")
        expect("first" in calls and "second" in calls, "Call both halves: first_half, then second_half.")
        wide = shift[:, :, None, None]
        right = x + second(first(x) + wide)
        mistakes = {
            "The input is not added at the end: without it the block learns no change, but everything.": second(first(x) + wide),
            "The time is missing.": x + second(first(x)),
            "The time comes after the first half, not before it.": x + second(first(x + wide)),
            "The time comes between the halves, not after both.": x + second(first(x)) + wide,
            "The halves have changed places.": x + first(second(x) + wide),
            "The time is multiplied; it is added.": x + second(first(x) * wide),
            "The input comes back in the middle already; add it once, at the end.": second(x + first(x) + wide),
            "What is added at the end is the input, not what the first half made of it.": first(x) + second(first(x) + wide),
        }
        if n == side[0]:  # only then do these shapes fit
            mistakes["shift was added along the width: it needs two axes more, shift[:, :, None, None]."] = x + second(
                first(x) + shift
            )
        expect_known(value, right, mistakes, "It is another result")
    return "If the halves say 0, what went in comes out: a deep network can begin as one that does nothing."


@exercise
def exercise_4(attention):
    """`attention(q, k, v, readable)`: one head of attention in which some positions take no part."""
    for n, places, positions, wide, seed in ((2, 6, 5, 4, 0), (3, 7, 7, 9, 10)):
        q, k, v = (_random(n, length, wide, seed=seed + i) for i, length in enumerate((places, positions, positions)))
        readable = torch.ones(n, positions, dtype=torch.bool)
        for row in range(n):
            readable[row, 2 + row :] = False
        value = attention(q.clone(), k.clone(), v.clone(), readable.clone())
        scores = q @ k.transpose(1, 2) / wide**0.5  # (n, places, positions)
        hidden = ~readable[:, None, :]

        def read(scores, hidden=hidden, v=v):
            return scores.masked_fill(hidden, float("-inf")).softmax(dim=-1) @ v

        late = scores.softmax(dim=-1) * ~hidden
        mistakes = {
            "Nothing is hidden: readable has no effect.": scores.softmax(dim=-1) @ v,
            "Probabilities were set to 0 after the softmax, so the rest no longer sums to 1: hide before it.": late @ v,
            "Scores were set to 0, but a score of 0 still has a probability: it takes minus infinity.": (
                scores.masked_fill(hidden, 0.0).softmax(dim=-1) @ v
            ),
            "It is the wrong way round: the readable positions are hidden.": read(scores, readable[:, None, :]),
            "The division by sqrt(d) is missing.": read(scores * wide**0.5),
            "The scores are divided by d; it is the square root of d.": read(scores / wide**0.5),
            "The values take no part: multiply the probabilities by v.": late / late.sum(dim=-1, keepdim=True),
            "The softmax goes over the places; each place's row over the positions must sum to 1.": (
                scores.masked_fill(hidden, -1e9).softmax(dim=1) @ v
            ),
            "The softmax is missing.": scores.masked_fill(hidden, 0.0) @ v,
        }
        expect_known(value, read(scores), mistakes, "It is another answer")
    return "Minus infinity before the softmax: the hidden get exactly nothing, the others share it."
