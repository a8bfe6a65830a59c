"""Checks of notebook 14: a careful inversion step, a soft mask, fresh noise outside it, the picture's own path put back."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from sd_helpers.checks import answered, exercise, expect, expect_close


@exercise
def exercise_1(careful_step):
    """`careful_step(predict, latents, level_from, level_to, rounds)`: a step up with the noise prediction at its upper end."""

    def predict(x):
        return torch.tanh(0.8 * x + 0.3)

    for down, up, rounds in [(0.99, 0.9, 0), (0.99, 0.9, 1), (0.8, 0.6, 3), (0.5, 0.35, 12)]:
        low, high, latents = torch.tensor(down), torch.tensor(up), _random(5, 1)
        value = answered(careful_step(predict, latents.clone(), low, high, rounds))
        right, plain = _careful(predict, latents, low, high, rounds), _careful(predict, latents, low, high, 0)
        onward = latents
        for _ in range(rounds + 1):
            onward = _move(onward, predict(onward), low, high)
        slips = {
            "That is the plain step: ask `predict` again, at the latents it reached.": plain,
            "Every round must start from below again, from `latents`; yours goes on from where it was.": onward,
            "One round too many: with rounds=0 `predict` is asked once, below.": _careful(
                predict, latents, low, high, rounds + 1
            ),
            "One round too few: `rounds` counts how often it is asked *again*.": _careful(
                predict, latents, low, high, max(0, rounds - 1)
            ),
            "The two levels are exchanged: from below to above.": _careful(predict, latents, high, low, rounds),
        }
        _expect_none(value, right, slips)
        expect_close(value, right, f"From level {down} to {up} with rounds={rounds}: not the latents above")
    low, high = torch.tensor(0.5), torch.tensor(0.35)
    back = _move(value, predict(value), high, low)
    return f"After 12 rounds the step down leads back to within {max(0.001, float((back - latents).abs().max())):.3f}."


@exercise
def exercise_2(soft_mask):
    """`soft_mask(white, factor)`: the share of white pixels in each block, (1, 1, h, w)."""
    for (height, width), factor, seed in [((16, 16), 4, 0), ((16, 24), 8, 1), ((6, 4), 2, 2)]:
        white = (torch.rand((height, width), generator=torch.Generator().manual_seed(seed)) > 0.6).float()
        blocks = white.reshape(height // factor, factor, width // factor, factor)
        value, right = answered(soft_mask(white.clone(), factor)), blocks.mean(dim=(1, 3))[None, None]
        slips = {
            "That is the maximum of each block: a hard mask. Take the mean.": blocks.amax(dim=(1, 3))[None, None],
            "That is one pixel of each block. Take the mean of all.": white[::factor, ::factor][None, None],
            "That is the number of white pixels; divide by the number of pixels in a block.": right * factor**2,
            "That is the share of black; white is where to draw.": 1 - right,
            "A block has factor * factor pixels, not factor.": right * factor,
            "It lacks the two leading dimensions: [None, None] adds them.": right[0, 0],
        }
        _expect_none(value, right, slips)
        expect_close(value, right, f"For {height} x {width} pixels and factor {factor}: not the share of white in each block")
    return "Half a block of white lets half of the drawing in."


@exercise
def exercise_3(fresh_outside):
    """`fresh_outside(mask, known, sigmas, generator)`: an `on_step` that re-noises the known part with new noise each time."""
    mask, known = (_random(seed, 1).gt(0).float()[:, :1] if seed == 1 else _random(seed, 1) for seed in (1, 2))
    sigmas = torch.tensor([14.6, 6.0, 2.0, 0.5, 0.0])
    on_step = answered(fresh_outside(mask, known, sigmas, torch.Generator().manual_seed(3)))
    expect(callable(on_step), "It should return a function of a step: `return on_step`.")
    draws, first = torch.Generator().manual_seed(3), None
    for index in range(4):
        noise, latents = torch.randn(known.shape, generator=draws), _random(10 + index, 1)
        first = noise if first is None else first
        value = answered(on_step(SimpleNamespace(index=index, latents=latents.clone())))

        def put_back(level, noise=noise, inside=mask, latents=latents):
            return inside * latents + (1 - inside) * (known + level * noise)

        right = put_back(sigmas[index + 1])
        slips = {
            "That is the level the step came from: it has reached that of step.index + 1.": put_back(sigmas[index]),
            "The mask is the wrong way round: 1 is where to draw.": put_back(sigmas[index + 1], inside=1 - mask),
            "The noise of the first step comes again; draw new noise inside `on_step`.": put_back(sigmas[index + 1], first),
            "The known part is put back without noise.": put_back(0.0),
            "Only noise is put back; the known latents are missing.": right - (1 - mask) * known,
            "sigmas are standard deviations already, no root and no square is needed.": put_back(sigmas[index + 1] ** 2),
        }
        _expect_none(value, right, slips)
        expect_close(value, right, f"After the step with index {index}: not the latents to go on with")
    return "After the last step nothing is random: what is known stands there, clean."


@exercise
def exercise_4(replay_outside):
    """`replay_outside(mask, path)`: an `on_step` that puts back the picture's own path, found by inversion."""
    for steps, start in [(6, 0), (9, 0), (9, 4)]:
        mask, path = _random(1, 1).gt(0).float()[:, :1], [_random(20 + k, 1) for k in range(steps + 1)]
        on_step = answered(replay_outside(mask, list(path)))
        expect(callable(on_step), "It should return a function of a step: `return on_step`.")
        for index in range(start, steps):
            latents = _random(50 + index, 1)
            value = answered(on_step(SimpleNamespace(index=index, latents=latents.clone())))

            def put_back(k, inside=mask, latents=latents, path=path):
                return inside * latents + (1 - inside) * path[k]

            right = put_back(steps - 1 - index)
            slips = {
                "That is the level the step came from, one too noisy.": put_back(steps - index),
                "The path runs from the picture up to its noise: count from its end.": put_back(index),
                "The path runs from the picture up to its noise: count from its end. ": put_back(index + 1),
                "That is one level too clean.": put_back(max(0, steps - 2 - index)),
                "The mask is the wrong way round: 1 is where to draw.": put_back(steps - 1 - index, inside=1 - mask),
            }
            _expect_none(value, right, slips)
            expect_close(value, right, f"After the step with index {index} of {steps}: not the latents to go on with")
    return "No noise was needed: the picture brought its own."


def _expect_none(value, right, slips: dict) -> None:
    """A hint if the value is one of the slips, and that slip is not the right answer in this case."""
    for hint, slip in slips.items():
        expect(_same(slip, right) or not _same(value, slip), hint.strip())


def _same(value, expected) -> bool:
    return torch.is_tensor(value) and value.shape == expected.shape and torch.allclose(value.float(), expected, atol=1e-4)


def _random(seed: int, count: int) -> torch.Tensor:
    return torch.randn((count, 4, 6, 5), generator=torch.Generator().manual_seed(seed))


def _move(x, noise_pred, level_from, level_to):
    x0 = (x - (1 - level_from).sqrt() * noise_pred) / level_from.sqrt()
    return level_to.sqrt() * x0 + (1 - level_to).sqrt() * noise_pred


def _careful(predict, latents, level_from, level_to, rounds: int):
    reached = latents
    for _ in range(rounds + 1):
        reached = _move(latents, predict(reached), level_from, level_to)
    return reached
