"""The checks of notebook 16's exercises: right answers, the common wrong ones, and none."""

import exercise_tests
import torch

from sd_helpers.beyond.flow import exact_velocity
from sd_helpers.exercises import straight_lines as check


def marginal(x, s, points, to=None, square=2, sign=-1, wide=None, dim=1, of=None):
    """A right answer to exercise 1; the last arguments make it wrong."""
    to = (1 - s) * points if to is None else to
    likely = torch.softmax(sign * torch.cdist(x, to) ** square / (2 * s**2 if wide is None else wide), dim=dim)
    return (x - likely @ (points if of is None else of)) / s


def step(x, s, n, x0):
    """A right answer to exercise 2."""
    noise = (x - (1 - s) * x0) / s
    return (1 - n) * x0 + n * noise


def level(s, pixels, base, power=0.5):
    """A right answer to exercise 3."""
    shift = (pixels / base) ** power
    return shift * s / (1 + (shift - 1) * s)


def ratio(s, pixels, base):
    """Noise over picture, for the larger one."""
    return (pixels / base) ** 0.5 * s / (1 - s)


def size(s):
    """The spread of a point on the line, of data of unit spread."""
    return (s**2 + (1 - s) ** 2) ** 0.5


def by_x0(x, s, predict):
    """A right answer to exercise 4."""
    noise = predict(x / size(s), s / (1 - s))
    return noise - (x - s * noise) / (1 - s)


RIGHT = {
    1: [marginal, exact_velocity],
    2: [step, lambda x, s, n, x0: n / s * x + (1 - n / s) * x0],
    3: [level],
    4: [by_x0, check.flow_velocity],
}
WRONG = {
    1: [
        (lambda x, s, p: x - s * marginal(x, s, p), "best x0"),
        (lambda x, s, p: -marginal(x, s, p), "not x0 - x"),
        (lambda x, s, p: s * marginal(x, s, p), "Divide x - x0 by s"),
        (lambda x, s, p: marginal(x, s, p, to=p), "shrunk"),
        (lambda x, s, p: marginal(x, s, p, of=(1 - s) * p), "points themselves"),
        (lambda x, s, p: marginal(x, s, p, square=1), "square of the distance"),
        (lambda x, s, p: marginal(x, s, p, sign=1), "negative"),
        (lambda x, s, p: marginal(x, s, p, wide=2), "standard deviation s"),
        (lambda x, s, p: marginal(x, s, p, wide=s**2), "not by s**2"),
        (lambda x, s, p: marginal(x, s, p, dim=0), "sum to 1"),
        (lambda x, s, p: marginal(x, s, p) if s < 1 else x, "minus their mean"),
        (lambda x, s, p: x[:, 0], "Its shape is"),
        (lambda x, s, p: None, "return its result"),
    ],
    2: [
        (lambda x, s, n, x0: n / s * x0 + (1 - n / s) * x, "other way round"),
        (lambda x, s, n, x0: 2 * x - step(x, s, n, x0), "negative"),
        (lambda x, s, n, x0: (1 - n) * x0 + n * x, "not with x"),
        (lambda x, s, n, x0: (1 - n) * x0 + n * (x - (1 - s) * x0), "divided by s"),
        (lambda x, s, n, x0: (1 - n) * x0 + n * (x - x0) / s, "not x0"),
        (lambda x, s, n, x0: x, "those of s"),
        (lambda x, s, n, x0: (x - x0) / s, "That is the velocity"),
        (lambda x, s, n, x0: x + (n - s) * (x - x0), "divide by s"),
        (lambda x, s, n, x0: step(x, s, n, x0) if n else x, "ends at x0"),
        (lambda x, s, n, x0: 0 * x, "is wrong"),
    ],
    3: [
        (lambda *a: level(*a, power=1), "not a quarter"),
        (lambda *a: level(*a, power=-0.5), "more noise, not less"),
        (lambda *a: ratio(*a), "turn it back"),
        (lambda s, p, b: (p / b) ** 0.5 * s, "not s itself"),
        (lambda s, p, b: ratio(s, p, b) / (1 - ratio(s, p, b)), "its inverse"),
        (lambda s, p, b: ratio(s, p, b) / (1 + ratio(s, p, b)), "division"),
        (lambda *a: torch.zeros(3), "one number"),
        (lambda *a: 0.123, "is wrong"),
    ],
    4: [
        (lambda x, s, p: x, "Ask the network"),
        (lambda x, s, p: p(x / size(s), s), "the ratio of noise to picture: s"),
        (lambda x, s, p: p(x / size(s), (1 - s) / s), "not the inverse"),
        (lambda x, s, p: p(x / size(s), (s / (1 - s)) ** 0.5), "square root belongs"),
        (lambda x, s, p: p(x / size(s), 3.0), "told is wrong"),
        (lambda x, s, p: p(x, s / (1 - s)), "unit variance"),
        (lambda x, s, p: p(x / (1 - s), s / (1 - s)), "exploding"),
        (lambda x, s, p: p(x / size(s) ** 2, s / (1 - s)), "square root of"),
        (lambda x, s, p: p(x * size(s), s / (1 - s)), "do not multiply"),
        (lambda x, s, p: p(0 * x, s / (1 - s)), "saw are wrong"),
        (lambda x, s, p: p(x / size(s), s / (1 - s)), "That is the noise"),
        (lambda x, s, p: (x - s * p(x / size(s), s / (1 - s))) / (1 - s), "That is x0"),
        (lambda x, s, p: -by_x0(x, s, p), "not x0 - noise"),
        (lambda x, s, p: (1 + s) * p(x / size(s), s / (1 - s)) - x, "divide, too"),
        (lambda x, s, p: by_x0(x, s, p) + (x - x / size(s)) / (1 - s), "not the scaled latents"),
        (lambda x, s, p: 0 * by_x0(x, s, p), "is wrong"),
        (lambda x, s, p: p(..., s / (1 - s)), "Not answered yet"),
    ],
}
EXERCISES = {1: check.exercise_1, 2: check.exercise_2, 3: check.exercise_3, 4: check.exercise_4}
test_right_answers, test_wrong_answers_get_their_hint, test_open_exercises = exercise_tests.of(EXERCISES, RIGHT, WRONG)
