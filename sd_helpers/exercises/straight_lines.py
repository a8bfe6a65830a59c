"""Checks of notebook 16's exercises, and the answer to the last, which the notebook's comparison needs."""

import torch

from ..beyond.flow import exact_velocity, shifted
from ..checks import answered, as_number, exercise, expect, expect_close, expect_known


def flow_velocity(x, s, predict):
    """The velocity, noise - x0, that a network says which predicts noise: a right answer to exercise 4."""
    noise = predict(x / (s**2 + (1 - s) ** 2) ** 0.5, s / (1 - s))
    return (noise - x) / (1 - s)


@exercise
def exercise_1(marginal_velocity):
    """`marginal_velocity(x, s, points)`: the mean of noise - x0 over all lines through x at s, (n, 2)."""
    points = _cloud(12, seed=1)
    for s in (0.7, 0.4):
        x = (1 - s) * points[:5] + s * _cloud(5, seed=2)
        distances = torch.cdist(x, (1 - s) * points).square()
        mean = lambda weights: weights @ points  # noqa: E731
        likely = torch.softmax(-distances / (2 * s**2), dim=1)
        hints = {
            "That is the weighted mean of the points, the best x0: the velocity is (x - x0) / s": mean(likely),
            "The velocity leads from the picture to the noise: x - x0, not x0 - x": (mean(likely) - x) / s,
            "Divide x - x0 by s: that is how much of the line lies between x0 and x": x - mean(likely),
            "On its line a point is shrunk: measure distances to (1 - s) * points": (
                (x - mean(torch.softmax(-torch.cdist(x, points).square() / (2 * s**2), dim=1))) / s
            ),
            "The mean is of the points themselves, not of (1 - s) * points": (x - (1 - s) * mean(likely)) / s,
            "A density falls with the square of the distance: cdist(...) ** 2": (
                (x - mean(torch.softmax(-distances.sqrt() / (2 * s**2), dim=1))) / s
            ),
            "The nearest are the likeliest: the sign of the distances is negative": (
                (x - mean(torch.softmax(distances / (2 * s**2), dim=1))) / s
            ),
            "The noise has standard deviation s here: divide by 2 * s**2": ((x - mean(torch.softmax(-distances / 2, dim=1))) / s),
            "Divide by 2 * s**2, not by s**2": (x - mean(torch.softmax(-distances / s**2, dim=1))) / s,
            "Each row of weights, one for each place, must sum to 1: dim=1": (
                (x - mean(torch.softmax(-distances / (2 * s**2), dim=0))) / s
            ),
        }
        value = marginal_velocity(x.clone(), s, points.clone())
        expect_known(value, exact_velocity(x, s, points), hints, f"At s {s} it is wrong")
    value = marginal_velocity(x.clone(), 1.0, points.clone())
    expect_close(value, x - points.mean(dim=0), "At s 1 all points are as likely: it is x minus their mean")
    return "That is sd_helpers.beyond.flow's exact_velocity."


@exercise
def exercise_2(step_by_x0):
    """`step_by_x0(x, s, s_next, x0)`: where Euler's step from s to s_next ends, written with the x0 that is implied."""
    x, x0 = _cloud(2, seed=3).unsqueeze(1)
    for s, after in ((1.0, 0.8), (0.6, 0.5), (0.3, 0.1)):
        velocity = (x - x0) / s
        noise = x0 + velocity
        hints = {
            "The shares are the other way round: after / s of x stays": after / s * x0 + (1 - after / s) * x,
            "The step goes from s to s_next, towards the picture: s_next - s, which is negative": x - (after - s) * velocity,
            "Mix x0 with the noise, not with x: first find the noise in x": (1 - after) * x0 + after * x,
            "The noise is what is left of x without (1 - s) * x0, divided by s": ((1 - after) * x0 + after * (x - (1 - s) * x0)),
            "In x the picture has the share 1 - s: take away (1 - s) * x0, not x0": (1 - after) * x0 + after * (x - x0) / s,
            "Use the shares of s_next in the new mix, not those of s": (1 - s) * x0 + s * noise,
            "That is the velocity; the step is x + (s_next - s) * velocity": velocity,
            "The velocity is (x - x0) / s: divide by s": x + (after - s) * (x - x0),
        }
        expect_known(step_by_x0(x.clone(), s, after, x0.clone()), x + (after - s) * velocity, hints, f"From s {s} it is wrong")
    expect_close(step_by_x0(x.clone(), 0.5, 0.0, x0.clone()), x0, "To s 0 the step ends at x0")
    return "The same noise, in new shares: DDIM's step (Song, Meng and Ermon 2021), and exercise 3 of notebook 02."


@exercise
def exercise_3(shifted_level):
    """`shifted_level(s, pixels, base_pixels)`: the level at which the larger picture is as hard to make out, a number.

    Both count all pixels, 4096 for 64 x 64.
    """
    for s, pixels, base in ((0.5, 1024**2, 512**2), (0.8, 64**2, 16**2), (0.3, 128 * 64, 128**2)):
        ratio = pixels / base
        level = lambda shift, s=s: shift * s / (1 + (shift - 1) * s)  # noqa: E731
        sigma = s / (1 - s)
        value = as_number(shifted_level(s, pixels, base))
        hints = {
            "The mean of four times as many pixels has half the noise, not a quarter: use the square root": level(ratio),
            "The larger picture needs more noise, not less: multiply its ratio": level(ratio**-0.5),
            "That is the ratio of noise to picture; turn it back into a level: ratio / (1 + ratio)": ratio**0.5 * sigma,
            "It is the ratio s / (1 - s) that is multiplied, not s itself": ratio**0.5 * s,
            "s / (1 - s) is the ratio at this level; its inverse is ratio / (1 + ratio)": (
                ratio**0.5 * sigma / (1 - ratio**0.5 * sigma) if ratio**0.5 * sigma != 1 else 0.0
            ),
        }
        right = shifted(s, ratio**0.5)
        expect_known(value, right, {h: v for h, v in hints.items() if abs(v - right) > 1e-3}, f"At s {s} it is wrong")
    expect_close(shifted_level(1.0, 64**2, 32**2), 1.0, "Pure noise stays pure noise: avoid the division by 1 - s")
    return "With sqrt(pixels / base_pixels) as its shift it is FlowMatchEulerDiscreteScheduler's formula."


@exercise
def exercise_4(velocity_from_noise):
    """`velocity_from_noise(x, s, predict)`: noise - x0, out of a network `predict(latents, sigma)` that says the noise."""
    points, seen = _cloud(12, seed=4), []

    def predict(latents, sigma):
        """A perfect denoiser, of latents of unit variance."""
        seen.append((answered(latents), float(answered(sigma))))
        sigma = max(float(sigma), 1e-3)
        exploding = latents * (1 + sigma**2) ** 0.5
        likely = torch.softmax(-torch.cdist(exploding, points).square() / (2 * sigma**2), dim=1)
        return (exploding - likely @ points) / sigma

    for s in (0.6, 0.25, 0.9):
        x = (1 - s) * points[:5] + s * _cloud(5, seed=5)
        value = answered(velocity_from_noise(x.clone(), s, predict))
        expect(bool(seen), "Ask the network: predict(latents, sigma)")
        latents, sigma = seen[-1]
        expect_known(
            torch.tensor(sigma),
            torch.tensor(s / (1 - s)),
            {
                "The network wants sigma, the ratio of noise to picture: s / (1 - s)": torch.tensor(s),
                "sigma is noise over picture, s / (1 - s), not the inverse": torch.tensor((1 - s) / s),
                "The ratio of noise to picture is s / (1 - s); the square root belongs to alphas_cumprod": (
                    torch.tensor((s / (1 - s)) ** 0.5)
                ),
            },
            f"At s {s} the sigma that the network was told is wrong",
        )
        size = (s**2 + (1 - s) ** 2) ** 0.5
        expect_known(
            latents,
            x / size,
            {
                "The network wants latents of unit variance: divide x by the square root of s**2 + (1 - s)**2": x,
                "That is the exploding form, x0 + sigma * noise; divide by sqrt(s**2 + (1 - s)**2) instead": x / (1 - s),
                "Divide by the square root of s**2 + (1 - s)**2": x / size**2,
                "Divide x, do not multiply it: on the line it is smaller than the preserving form": x * size,
            },
            f"At s {s} the latents that the network saw are wrong",
        )
        noise = predict(x / size, s / (1 - s))
        x0 = (x - s * noise) / (1 - s)
        hints = {
            "That is the noise: the velocity is noise - x0": noise,
            "That is x0: the velocity is noise - x0": x0,
            "The velocity leads to the noise: noise - x0, not x0 - noise": x0 - noise,
            "x0 is (x - s * noise) / (1 - s): divide, too": noise - (x - s * noise),
            "In x = (1 - s) * x0 + s * noise it is x itself that you need, not the scaled latents": (
                noise - (x / size - s * noise) / (1 - s)
            ),
        }
        expect_known(value, flow_velocity(x, s, predict), hints, f"At s {s} it is wrong")
    return "So any diffusion model draws along straight lines."


def _cloud(count: int, seed: int):
    """Places in the plane, (count, 2)."""
    return torch.randn(count, 2, generator=torch.Generator().manual_seed(seed))
