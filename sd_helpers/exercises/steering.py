"""The checks of notebook 12's exercises: a loss per picture, an even push, steering in part of the steps, the whole gradient."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from ..checks import NotYet, answered, exercise, expect, expect_close


def normal(seed: int, *shape: int) -> torch.Tensor:
    """Seeded noise of unit variance."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def tensor(value, shape: tuple) -> torch.Tensor:
    """A learner's answer, if it is a tensor of this shape; otherwise a `NotYet` that says what it is."""
    value = answered(value)
    expect(value is not None, "It is None: does your function return its result?")
    expect(isinstance(value, torch.Tensor), f"It should be a tensor, and is a {type(value).__name__}.")
    expect(tuple(value.shape) == shape, f"Its shape is {tuple(value.shape)}, and should be {shape}.")
    return value.detach()


def alike(given: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether two tensors of one shape agree, but for rounding."""
    return torch.allclose(given.float(), expected.float(), rtol=1e-4, atol=1e-5)


@exercise
def exercise_1(darkness_loss):
    """`darkness_loss(pixels)`: the mean level of each picture, black 0 and white 1, (n,)."""
    steps = torch.tensor([-1.0, 0.0, 1.0])
    pixels = torch.cat([steps[:, None, None, None].expand(3, 3, 4, 6), normal(0, 2, 3, 4, 6) * 0.4])
    value = answered(darkness_loss(pixels.clone()))
    if isinstance(value, torch.Tensor) and value.shape == ():
        raise NotYet("That is one number for all pictures together. Give each its own: mean over dimensions 1, 2 and 3.")
    if isinstance(value, torch.Tensor) and tuple(value.shape) == (5, 3):
        raise NotYet("You have one number for each channel of each picture. Take the mean over the channels, too.")
    value = tensor(value, (5,))
    right = (pixels.mean(dim=(1, 2, 3)) + 1) / 2
    expect(not alike(value, pixels.mean(dim=(1, 2, 3))), "On that scale black is -1. Pixels lie in [-1, 1]; shift and halve.")
    expect(not alike(value, pixels.mean(dim=(1, 2, 3)) / 2), "Half way: the range is 1 wide now, but black is still -0.5.")
    expect(not alike(value, 2 * right), "White should be 1, and is 2.")
    expect(not alike(value, 1 - right), "That is how dark it is, and steering lowers a loss: it would make the picture light.")
    expect(not alike(value, -right), "The sign: steering lowers a loss, and this one would make the picture light.")
    expect_close(value, right, "Black should be 0, white 1, and all between in proportion")
    with torch.enable_grad():
        moving = pixels.clone().requires_grad_()
        slope = darkness_loss(moving)
    expect(slope.requires_grad, "Right numbers, but no gradient gets through: compute them in torch, without detach or numpy.")
    return "Steer by it, and see whether night falls."


@exercise
def exercise_2(even_push):
    """`even_push(noise_pred, sigma, gradient, strength)`: moves x0 by -strength * gradient at every sigma, (n, 4, h, w)."""
    noise, gradient = normal(0, 2, 4, 3, 3), normal(1, 2, 4, 3, 3)
    for sigma, strength in ((3.0, 0.5), (0.25, 2.0), (14.6, -1.0)):
        given = tensor(even_push(noise.clone(), sigma, gradient.clone(), strength), (2, 4, 3, 3))
        mistakes = (
            (noise + strength * sigma * gradient, "That is what `steer` does: it moves x0 by sigma squared times as far."),
            (noise - strength * gradient / sigma, "The sign: x0 = x - sigma * noise, so more noise means less of x0."),
            (noise + strength * gradient, "That moves x0 by sigma times strength * gradient. Undo the sigma."),
            (noise - strength * gradient, "The sign, and the sigma: x0 = x - sigma * noise."),
            (noise * 0 + strength * gradient / sigma, "That is the push alone. Add it to the noise prediction."),
            (noise + strength * gradient / sigma**2, "One sigma too many: x0 contains the noise times sigma, once."),
        )
        for mistake, hint in mistakes:
            expect(not alike(given, mistake), hint)
        moved = -sigma * (given - noise)
        expect_close(moved, -strength * gradient, f"At sigma {sigma:g}, x0 does not move by -strength * gradient", 1e-3)
    return "Now a strength means the same at every step; early pushes are weak beside the noise, and late ones strong."


@exercise
def exercise_3(only_between):
    """`only_between(on_noise, low, high)`: an on_noise that steers only while low <= sigma <= high."""
    asked = []

    def push(step):
        asked.append(step.sigma)
        return step.noise_pred + 1

    limited = answered(only_between(push, 0.5, 4.0))
    expect(callable(limited), f"It should return a function of a step, an `on_noise`; it returns a {type(limited).__name__}.")
    for sigma in (14.6, 4.0, 1.0, 0.5, 0.1):
        inside, asked[:] = 0.5 <= sigma <= 4.0, []
        step = SimpleNamespace(index=3, sigma=sigma, signal=1.0, noise_pred=torch.zeros(1, 4, 2, 2))
        given = answered(limited(step))
        if not inside:
            unchanged = given is None or (isinstance(given, torch.Tensor) and alike(given, step.noise_pred))
            expect(unchanged, f"At sigma {sigma:g}, outside 0.5 to 4, the noise prediction should stay as it is.")
            expect(
                not asked,
                f"At sigma {sigma:g} the given on_noise is called, though it is not needed: that is the expensive part.",
            )
            continue
        edge = " The ends of the range belong to it." if sigma in (0.5, 4.0) else ""
        expect(bool(asked), f"At sigma {sigma:g} the given on_noise should be called, and is not.{edge}")
        expect(given is not None, f"At sigma {sigma:g} it returns None: pass on what the given on_noise returns.{edge}")
        expect_close(given, step.noise_pred + 1, f"At sigma {sigma:g} it should return what the given on_noise returns{edge}")
    return "An on_noise made from an on_noise; `every` in `steer` could be written so, too."


@exercise
def exercise_4(gradient_through):
    """`gradient_through(latents, sigma, predict, loss)`: the slope of loss(x - sigma * predict(x)), (n, 4, h, w)."""
    latents, target, mix = normal(0, 2, 4, 3, 3), normal(1, 2, 4, 3, 3), normal(2, 4, 4) * 0.3

    def predict(x):
        return torch.einsum("ij,njhw->nihw", mix, x)

    def loss(x0):
        return (x0 - target[: len(x0)]).square().mean(dim=(1, 2, 3))

    for sigma in (0.7, 2.0):
        with torch.no_grad():
            try:
                given = answered(gradient_through(latents.clone(), sigma, predict, loss))
            except RuntimeError as error:
                if "does not require grad" in str(error):
                    hint = "Nothing to differentiate. Are gradients on (torch.enable_grad), and the latents told to keep theirs?"
                    raise NotYet(hint) from None
                if "scalar" in str(error):
                    raise NotYet("A gradient is of one number: add up the losses of the pictures first.") from None
                raise
        if isinstance(given, tuple):
            raise NotYet("It is a tuple: torch.autograd.grad gives one gradient for each input. Take the first.")
        expect(not (isinstance(given, torch.Tensor) and given.requires_grad), "Return the gradient, detached.")
        given = tensor(given, (2, 4, 3, 3))
        in_x0 = 2 * (latents - sigma * predict(latents) - target) / latents[0].numel()  # with respect to x0
        right = in_x0 - sigma * torch.einsum("ij,nihw->njhw", mix, in_x0)
        mistakes = (
            (in_x0, "That leaves the network out: the prediction is held constant. Compute it from the latents, gradients on."),
            (right / len(latents), "Half as long as it should be for two pictures: add their losses up, do not average."),
            (-right, "That points downhill. The gradient points up; steer takes care of the sign."),
            (right - in_x0, "Only the network's part. x0 depends on the latents directly, too."),
        )
        for mistake, hint in mistakes:
            expect(not alike(given, mistake), hint)
        expect_close(given, right, f"At sigma {sigma:g} that is not the slope of loss(x - sigma * predict(x))")
    return "This is what `predict` does in `steer`."
