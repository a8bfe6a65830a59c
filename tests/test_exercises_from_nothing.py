"""The checks of notebook 15's exercises: right answers, the common wrong ones, and none."""

import exercise_tests
import torch

from sd_helpers import plane
from sd_helpers.exercises import from_nothing as check


def nested(weights, decay):
    """A right answer to exercise 2, by a formula."""
    powers = decay ** torch.arange(len(weights) - 1, -1, -1.0)
    shares = (1 - decay) * powers
    shares[0] = powers[0]
    return shares @ weights


def looped(weights, decay):
    """A right answer to exercise 2."""
    mean = weights[0]
    for now in weights[1:]:
        mean = decay * mean + (1 - decay) * now
    return mean


def nearest(drawn, data):
    """A right answer to exercise 3."""
    apart = torch.cdist(drawn.flatten(1), data.flatten(1)) / drawn[0].numel() ** 0.5
    smallest = apart.min(dim=1)
    return smallest.values, smallest.indices


def perfect(noisy, alpha, data, shrink=None, power=2, over=None, sign=-1, count=1):
    """Exercise 4, with what may be wrong in it."""
    apart = torch.cdist(noisy.flatten(1), (alpha**0.5 if shrink is None else shrink) * data.flatten(1)) ** power / count
    x0 = torch.softmax(sign * apart / (2 * (1 - alpha) if over is None else over), dim=1) @ data.flatten(1)
    return (noisy - alpha**0.5 * x0.view(noisy.shape)) / (1 - alpha) ** 0.5


def scaled(noisy, factor):
    """Each input by a factor of its own."""
    return factor.view(-1, *[1] * (noisy.ndim - 1)) * noisy


RIGHT = {
    1: [check.linear_noise, lambda x, a: scaled(x, (1 - a) ** 0.5)],
    2: [looped, nested],
    3: [nearest, lambda d, data: (nearest(d, data)[0], torch.tensor([nearest(one[None], data)[1].item() for one in d]))],
    4: [check.perfect_noise, perfect],
}
WRONG = {
    1: [
        (lambda x, a: scaled(x, 1 - a), "square root"),
        (lambda x, a: scaled(x, a**0.5), "share of the data"),
        (lambda x, a: scaled(x, (1 - a) ** -0.5), "no data in it"),
        (lambda x, a: 0 * x, "tells something"),
        (lambda x, a: x, "less of it is noise"),
        (lambda x, a: (1 - a).sqrt() * x, "RuntimeError"),
        (lambda x, a: (1 - a[:, None]).sqrt() * x, "its rows"),
        (lambda x, a: check.linear_noise(x, a) if x.ndim == 2 else (1 - a).sqrt() * x, "its columns"),
        (lambda x, a: 2 * x, "it is wrong"),
        (lambda x, a: None, "return its result"),
    ],
    2: [
        (lambda w, decay: looped(w, 1 - decay), "other way round"),
        (lambda w, decay: looped(torch.cat([0 * w[:1], w]), decay), "begin with the first row"),
        (lambda w, decay: w.mean(dim=0), "plain mean"),
        (lambda w, decay: w[-1], "last weights"),
        (lambda w, decay: None, "return its result"),
        (lambda w, decay: w, "shape"),
    ],
    3: [
        (lambda d, data: nearest(d, data)[0], "two things"),
        (lambda d, data: (nearest(d, data)[0] ** 2, nearest(d, data)[1]), "squared distance"),
        (lambda d, data: (8 * nearest(d, data)[0], nearest(d, data)[1]), "not a sum"),
        (
            lambda d, data: ((d[:, None] - data).abs().mean(dim=(2, 3, 4)).min(dim=1).values, nearest(d, data)[1]),
            "mean absolute",
        ),
        (lambda d, data: tuple(torch.cdist(d.flatten(1), data.flatten(1)).div(8).max(dim=1)), "farthest"),
        (lambda d, data: (torch.cdist(d.flatten(1), data.flatten(1)).div(8).mean(dim=1), 0), "over all data"),
        (lambda d, data: (nearest(d, data)[0], nearest(d, data)[1] + 1), "positions are wrong"),
    ],
    4: [
        (lambda x, a, data: (x - (1 - a) ** 0.5 * perfect(x, a, data)) / a**0.5, "best x0"),
        (lambda x, a, data: perfect(x, a, data, shrink=1), "have shrunk"),
        (lambda x, a, data: perfect(x, a, data, power=1), "Square the distances"),
        (lambda x, a, data: perfect(x, a, data, over=1 - a), "twice the variance"),
        (lambda x, a, data: perfect(x, a, data, over=2 * (1 - a) ** 0.5), "not its root"),
        (lambda x, a, data: perfect(x, a, data, count=64), "a mean makes all"),
        (lambda x, a, data: perfect(x, a, data, sign=1), "nearer is likelier"),
        (lambda x, a, data: (1 - a) ** 0.5 * perfect(x, a, data), "division"),
        (lambda x, a, data: x, "it is wrong"),
    ],
}
EXERCISES = {1: check.exercise_1, 2: check.exercise_2, 3: check.exercise_3, 4: check.exercise_4}
test_right_answers, test_wrong_answers_get_their_hint, test_open_exercises = exercise_tests.of(EXERCISES, RIGHT, WRONG)


def test_the_perfect_denoiser_asked_for_is_the_planes():
    points = plane.spiral(50)
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    alpha = 0.3
    exact = plane.exact_noise(x / alpha**0.5, ((1 - alpha) / alpha) ** 0.5, points)
    torch.testing.assert_close(check.perfect_noise(x, alpha, points), exact, rtol=1e-3, atol=1e-4)


def test_the_linear_guess_is_the_best_multiple_and_costs_alpha():
    alpha, draw = torch.full((200_000,), 0.3), torch.Generator().manual_seed(0)
    x0, noise = torch.randn(2, 200_000, 1, generator=draw)
    noisy = 0.3**0.5 * x0 + 0.7**0.5 * noise
    costs = [(c * check.linear_noise(noisy, alpha) - noise).square().mean().item() for c in (0.97, 1, 1.03)]
    assert costs[1] == min(costs) and abs(costs[1] - 0.3) < 0.01


def test_a_perfect_denoiser_draws_copies(capsys):
    check.exercise_4(check.perfect_noise)
    assert "is 0.0" in capsys.readouterr().out
