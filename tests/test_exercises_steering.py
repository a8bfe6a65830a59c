"""The checks of notebook 12's exercises: right answers, the usual mistakes, and no answer."""

import pytest
import torch

from sd_helpers.exercises import steering as check


def said(capsys, number: int, answer) -> str:
    getattr(check, f"exercise_{number}")(answer)
    return capsys.readouterr().out


def gradient_through(latents, sigma, predict, loss):
    with torch.enable_grad():
        latents = latents.detach().requires_grad_()
        return torch.autograd.grad(loss(latents - sigma * predict(latents)).sum(), latents)[0]


def without_the_network(latents, sigma, predict, loss):
    noise = predict(latents)
    return gradient_through(latents, sigma, lambda _: noise, loss)


def averaged(latents, sigma, predict, loss):
    return gradient_through(latents, sigma, predict, lambda x0: loss(x0) / 2)


def not_added_up(latents, sigma, predict, loss):
    with torch.enable_grad():
        latents.requires_grad_()
        loss(latents - sigma * predict(latents)).backward()
    return latents.grad


def gradients_off(latents, sigma, predict, loss):
    latents.requires_grad_()
    return torch.autograd.grad(loss(latents - sigma * predict(latents)).sum(), latents)[0]


def limited(on_noise, low, high):
    return lambda step: on_noise(step) if low <= step.sigma <= high else None


RIGHT = {
    1: lambda pixels: (pixels.mean(dim=(1, 2, 3)) + 1) / 2,
    2: lambda noise, sigma, gradient, strength: noise + strength * gradient / sigma,
    3: limited,
    4: gradient_through,
}
WRONG = [
    (1, lambda pixels: ((pixels + 1) / 2).mean(), "one number for all"),
    (1, lambda pixels: ((pixels + 1) / 2).mean(dim=(2, 3)), "each channel"),
    (1, lambda pixels: pixels.mean(dim=(1, 2, 3)), "black is -1"),
    (1, lambda pixels: pixels.mean(dim=(1, 2, 3)) / 2, "Half way"),
    (1, lambda pixels: pixels.mean(dim=(1, 2, 3)) + 1, "is 2"),
    (1, lambda pixels: (1 - pixels.mean(dim=(1, 2, 3))) / 2, "how dark"),
    (1, lambda pixels: -(pixels.mean(dim=(1, 2, 3)) + 1) / 2, "The sign"),
    (1, lambda pixels: (pixels.detach().mean(dim=(1, 2, 3)) + 1) / 2, "no gradient"),
    (1, lambda pixels: None, "does your function return"),
    (1, lambda pixels: 0.5, "should be a tensor"),
    (2, lambda n, sigma, g, s: n + s * sigma * g, "what `steer` does"),
    (2, lambda n, sigma, g, s: n - s * g / sigma, "The sign"),
    (2, lambda n, sigma, g, s: n + s * g, "Undo the sigma"),
    (2, lambda n, sigma, g, s: n - s * g, "and the sigma"),
    (2, lambda n, sigma, g, s: s * g / sigma, "the push alone"),
    (2, lambda n, sigma, g, s: n + s * g / sigma**2, "One sigma too many"),
    (2, lambda n, sigma, g, s: n, "does not move"),
    (3, lambda on_noise, low, high: on_noise, "outside 0.5 to 4"),
    (3, lambda on_noise, low, high: None, "function of a step"),
    (3, lambda on_noise, low, high: lambda step: None, "should be called"),
    (3, lambda on_noise, low, high: lambda step: on_noise(step) if low < step.sigma < high else None, "ends of the range"),
    (3, lambda on_noise, low, high: lambda step: (on_noise(step), None)[1], "it is not needed"),
    (4, without_the_network, "leaves the network out"),
    (4, averaged, "add their losses up"),
    (4, lambda *given: -gradient_through(*given), "downhill"),
    (4, lambda *given: gradient_through(*given) - without_the_network(*given), "Only the network's part"),
    (4, not_added_up, "of one number"),
    (4, gradients_off, "Nothing to differentiate"),
    (4, lambda *given: (gradient_through(*given),), "tuple"),
    (4, lambda *given: gradient_through(*given).requires_grad_(), "detached"),
    (4, lambda *given: gradient_through(*given) * 1.1, "not the slope"),
]


@pytest.mark.parametrize("number", RIGHT)
def test_a_right_answer_is_right(capsys, number):
    assert said(capsys, number, RIGHT[number]).startswith("Right.")


@pytest.mark.parametrize("number", RIGHT)
def test_no_answer_is_open(capsys, number):
    for answer in (..., lambda *given: ...):
        assert said(capsys, number, answer).startswith("Not answered yet")


@pytest.mark.parametrize(("number", "answer", "hint"), WRONG)
def test_a_mistake_gets_its_hint(capsys, number, answer, hint):
    out = said(capsys, number, answer)
    assert out.startswith("Not yet.") and hint in out, out
