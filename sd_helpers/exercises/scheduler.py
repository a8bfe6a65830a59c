"""Checks of notebook 02's exercises."""

import torch

from ..checks import answered, exercise, expect_known

SIGMAS = (0.0292, 0.5, 1.0, 2.6666, 14.6146)


@exercise
def exercise_1(alpha_cumprod_of):
    """`alpha_cumprod_of(sigma)`: the value of alphas_cumprod that belongs to a sigma, a number or a tensor."""
    for sigma in (*SIGMAS, torch.tensor(SIGMAS)):
        value, right = answered(alpha_cumprod_of(sigma)), 1 / (1 + sigma**2)
        hints = {
            "That is the share of the picture; alphas_cumprod is its square": right**0.5,
            "That is the variance of the noise; alphas_cumprod is what remains of 1, and 1 at sigma 0": 1 - right,
            "Sigma is a square root: square it before you solve for alphas_cumprod": 1 / (1 + sigma),
            "Solve sigma**2 = (1 - a) / a for a: multiply by a, and bring both a to one side": 1 / sigma**2,
        }
        expect_known(value, right, hints, f"At sigma {sigma:.4g} it is wrong" if isinstance(sigma, float) else "Wrong")
    return f"Sigma 14.61 leaves {1 / (1 + SIGMAS[-1] ** 2):.4f}, and its square root, 0.068, is the share of the picture there."


@exercise
def exercise_2(predicted_x0):
    """`predicted_x0(latents, noise_pred, sigma, exploding)`: the clean latents that a noise prediction implies."""
    clean, noise = _two(seed=1)
    for sigma in torch.tensor([0.3, 2.0, 14.6146]):
        size = (1 + sigma**2) ** 0.5
        exploding = clean + sigma * noise
        value = answered(predicted_x0(exploding.clone(), noise.clone(), sigma, True))
        hints = {
            "Exploding: the noise is to be taken away, not added": exploding + sigma * noise,
            "Exploding: there are sigma times the noise in the latents, not once": exploding - noise,
            "Exploding latents are not scaled: x0 + sigma * noise, nothing else": clean / size,
            "You treat exploding latents as preserving ones: is `exploding` the right way round?": size * exploding
            - sigma * noise,
        }
        expect_known(value, clean, hints, "Exploding: it is not the picture", tolerance=1e-3)
        preserving = exploding / size
        value = answered(predicted_x0(preserving.clone(), noise.clone(), sigma, False))
        hints = {
            "Preserving: that is the formula of the exploding form": preserving - sigma * noise,
            "Preserving: multiply by sqrt(1 + sigma**2) to get to the exploding form, you divide": preserving / size
            - sigma * noise,
            "Preserving: scale the latents only, then take the noise away": size * (preserving - sigma * noise),
            "Preserving: scale by sqrt(1 + sigma**2), you forgot the root": size**2 * preserving - sigma * noise,
        }
        expect_known(value, clean, hints, "Preserving: it is not the picture", tolerance=1e-3)
    return "Both forms lead to the same picture."


@exercise
def exercise_3(ddim_step):
    """`ddim_step(latents.clone(), noise_pred.clone(), alpha, alpha_next)`: preserving latents after one DDIM step."""
    clean, noise = _two(seed=2)
    for alpha, alpha_next in torch.tensor([(0.0047, 0.02), (0.3, 0.6), (0.9, 0.9991), (0.99, 0.9999)]):
        latents = _mixed(clean, noise, alpha)
        noise_pred = noise + 0.1 * clean.flip(-1)  # a prediction is never exact
        x0 = (latents - (1 - alpha) ** 0.5 * noise_pred) / alpha**0.5
        right = _mixed(x0, noise_pred, alpha_next)
        value = answered(ddim_step(latents.clone(), noise_pred.clone(), alpha, alpha_next))
        hints = {
            "That is the picture it implies; now mix the noise prediction in again, with alpha_next": x0,
            "It returns the latents it was given: mix with alpha_next, not with alpha": latents,
            "The shares in a mixture are square roots: sqrt(alpha) and sqrt(1 - alpha)": (
                alpha_next * (latents - (1 - alpha) * noise_pred) / alpha + (1 - alpha_next) * noise_pred
            ),
            "Divide by sqrt(alpha) to get the picture: after the noise is gone it is still shrunken": (
                alpha_next**0.5 * (latents - (1 - alpha) ** 0.5 * noise_pred) + (1 - alpha_next) ** 0.5 * noise_pred
            ),
            "The share of the noise after the step is sqrt(1 - alpha_next)": alpha_next**0.5 * x0
            + (1 - alpha) ** 0.5 * noise_pred,
            "alpha is before the step and alpha_next after it; you have them the other way round": (
                _mixed((latents - (1 - alpha_next) ** 0.5 * noise_pred) / alpha_next**0.5, noise_pred, alpha)
            ),
        }
        expect_known(value, right, hints, f"From alpha {alpha:g} to {alpha_next:g} it is wrong", tolerance=1e-3)
    return "That is DDIMScheduler.step, and Euler's straight line in the other form."


@exercise
def exercise_4(rescaled):
    """`rescaled(alphas_cumprod)`: the same schedule, stretched until its last level holds no picture at all."""
    for last in (0.0047, 0.09):
        alphas = torch.linspace(0.9991, last, 50, dtype=torch.float64) ** 1.3
        roots = alphas.sqrt()
        shifted = roots - roots[-1]
        right = (shifted * roots[0] / shifted[0]) ** 2
        value = answered(rescaled(alphas.clone()))
        hints = {
            "These are the square roots, the shares of the picture; square them at the end": right.sqrt(),
            "The last is 0 now, but the first was moved too: stretch all by first / (first - last)": shifted**2,
            "Shift and stretch the square roots of alphas_cumprod, not alphas_cumprod itself": (
                (alphas - alphas[-1]) * alphas[0] / (alphas[0] - alphas[-1])
            ),
            "It is the schedule you were given: subtract the last square root from all of them": alphas,
            "Only the last level has changed; Lin et al. stretch the whole schedule": torch.cat([alphas[:-1], alphas[-1:] * 0]),
            "Stretch by first / (first - last), with the first and last of the square roots": (shifted / shifted[0]) ** 2,
        }
        expect_known(value, right, hints, "The roots should fall from the same first value, evenly stretched, to 0")
    return "The last level holds nothing but noise, and the first is what it was."


def _two(seed: int):
    """Two tensors of noise, (1, 4, 8, 8) each."""
    return torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(seed)).unbind(0)


def _mixed(clean, noise, alpha):
    """Preserving latents where alphas_cumprod is alpha."""
    return alpha**0.5 * clean + (1 - alpha) ** 0.5 * noise
