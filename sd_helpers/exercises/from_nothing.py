"""Checks of notebook 15's exercises."""

import torch

from ..beyond.from_nothing import perfect_noise, sample
from ..checks import answered, exercise, expect, expect_known


def linear_noise(noisy, alpha):
    """A right answer to exercise 1."""
    return (1 - alpha).sqrt().view(-1, *[1] * (noisy.ndim - 1)) * noisy


@exercise
def exercise_1(linear):
    """`linear_noise(noisy, alpha)`: the best guess of the noise that only scales the input; alpha is (n,), one for each."""
    for shape in ((5, 2), (4, 4, 4, 4)):
        noisy, alpha = _randn(shape, 0), torch.linspace(0.05, 0.95, shape[0])
        one = alpha.view(-1, *[1] * (len(shape) - 1))
        mistakes = {
            "The share of the noise in the mixture is a square root: sqrt(1 - alpha)": (1 - one) * noisy,
            "Alpha is the share of the data; the noise's is 1 - alpha": one.sqrt() * noisy,
            "That supposes that there are no data in it: find the c that makes mean((c noisy - noise)**2) smallest": (
                noisy / (1 - one).sqrt()
            ),
            "The noise has mean 0, but a noisy input tells something about it": 0 * noisy,
            "That is the input itself: the more data are in it, the less of it is noise": noisy,
        }
        if len(shape) == 4:  # a (4,) beside (4, 4, 4, 4) raises nothing, and is wrong
            place = "Each picture must get one alpha; yours changes along its "
            mistakes[place + "columns: write alpha.view(-1, 1, 1, 1)"] = (1 - alpha).sqrt() * noisy
            mistakes[place + "rows: write alpha.view(-1, 1, 1, 1)"] = (1 - alpha[:, None]).sqrt() * noisy
        expect_known(
            linear(noisy.clone(), alpha.clone()), linear_noise(noisy, alpha), mistakes, f"For inputs {shape} it is wrong"
        )
    return "Its error is alpha, at every level: that much a denoiser scores that knows nothing but the spread of the data."


@exercise
def exercise_2(running_average):
    """`running_average(weights, decay)`: weights after each step, (k, p); their average at the end, (p,)."""
    for k, decay in ((6, 0.8), (40, 0.95)):
        weights = _randn((k, 3), k).cumsum(dim=0) + 2
        right, swapped, from_zero = weights[0], weights[0], torch.zeros(3)
        for now in weights[1:]:
            right, swapped = decay * right + (1 - decay) * now, (1 - decay) * swapped + decay * now
        for now in weights:
            from_zero = decay * from_zero + (1 - decay) * now
        mistakes = {
            "decay is what stays of the average, and 1 - decay what the new weights add; yours is the other way round": swapped,
            "It begins at 0 and has to catch up; begin with the first row": from_zero,
            "That is the plain mean, which never forgets the first steps": weights.mean(dim=0),
            "These are the last weights themselves": weights[-1],
        }
        expect_known(running_average(weights.clone(), decay), right, mistakes, f"With decay {decay} it is wrong")
    return "A decay of 0.98 remembers about 1 / (1 - 0.98) = 50 steps."


@exercise
def exercise_3(nearest):
    """`nearest(drawn, data)`: of each drawing, (n, ...), the root mean square distance to the nearest of data, and its place."""
    data = _randn((7, 4, 4, 4), 3)
    places = torch.tensor([5, 2, 2])
    drawn = data[places] + torch.tensor([0.1, 0.2, 0.3]).view(-1, 1, 1, 1) * _randn((3, 4, 4, 4), 4)
    value = answered(nearest(drawn.clone(), data.clone()))
    hint = "Return two things: the distances, (n,), and the positions of the nearest in data, (n,)."
    expect(isinstance(value, tuple) and len(value) == 2, hint)
    off = drawn[:, None] - data  # (3, 7, 4, 4, 4)
    distances = off.square().mean(dim=(2, 3, 4)).sqrt()
    mistakes = {
        "That is the squared distance: take the root of the mean": distances.min(dim=1).values.square(),
        "Divide by the number of values under the root: a mean, not a sum": distances.min(dim=1).values * 64**0.5,
        "That is the mean absolute difference; square, mean, root": off.abs().mean(dim=(2, 3, 4)).min(dim=1).values,
        "That is the distance to the farthest": distances.max(dim=1).values,
        "That is the mean over all data; the nearest is the smallest": distances.mean(dim=1),
    }
    expect_known(value[0], distances.min(dim=1).values, mistakes, "The distances are wrong", tolerance=1e-3)
    expect_known(value[1], places, {hint: value[0]}, "The distances are right, the positions are wrong")
    return "Small for a copy; how small, only a comparison with unseen pictures can say."


@exercise
def exercise_4(perfect):
    """`perfect_noise(noisy, alpha, data)`: what a perfect denoiser says where the data are these very pictures."""
    data = 0.4 * _randn((6, 4, 4, 4), 5)
    for alpha in (0.5, 0.9, 0.02):
        noisy = alpha**0.5 * data[:4] + (1 - alpha) ** 0.5 * _randn((4, 4, 4, 4), 6)
        flat, known = noisy.flatten(1), data.flatten(1)
        squared = torch.cdist(flat, alpha**0.5 * known).square()

        def said(scores, flat=flat, known=known, alpha=alpha, dim=1):
            x0 = torch.softmax(-scores, dim=dim) @ known
            return ((flat - alpha**0.5 * x0) / (1 - alpha) ** 0.5).view(4, 4, 4, 4)

        right = perfect_noise(noisy, alpha, data)
        x0 = ((noisy - (1 - alpha) ** 0.5 * right) / alpha**0.5).clone()
        mistakes = {
            "That is the best x0: the noise is (noisy - sqrt(alpha) x0) / sqrt(1 - alpha)": x0,
            "The data have shrunk in the mixture: compare noisy with sqrt(alpha) times data": said(
                torch.cdist(flat, known).square() / (2 * (1 - alpha))
            ),
            "Square the distances in the exponent": said(squared.sqrt() / (2 * (1 - alpha))),
            "The exponent is the squared distance over twice the variance of the noise": said(squared / (1 - alpha)),
            "The variance of the noise is 1 - alpha, not its root": said(squared / (2 * (1 - alpha) ** 0.5)),
            "Sum the squares over all values of a picture: a mean makes all data about as likely": said(
                squared / 64 / (2 * (1 - alpha))
            ),
            "The sign: what is nearer is likelier": said(-squared / (2 * (1 - alpha))),
            "The noise is missing its division by sqrt(1 - alpha)": (1 - alpha) ** 0.5 * right,
        }
        expect_known(perfect(noisy.clone(), alpha, data.clone()), right, mistakes, f"At alpha {alpha} it is wrong", 1e-3)
    alphas = torch.linspace(0.9991**0.5, 0.0047**0.5, 1000).square()
    net = lambda x, level: perfect(x, float(alphas[(level * 1000).long().clamp(max=999)]), data)  # noqa: E731
    drawn = sample(net, _randn((8, 4, 4, 4), 7), alphas, 30)[-1]
    off = (drawn[:, None] - data).square().mean(dim=(2, 3, 4)).sqrt().min(dim=1).values.max()
    return f"Eight drawings with it in 30 steps: the one farthest from its nearest picture is {off:.2f} away. It can only copy."


def _randn(shape, seed: int):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
