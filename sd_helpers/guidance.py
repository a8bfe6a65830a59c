"""Guidance: from two noise predictions, one with the prompt and one without, to the one that follows the prompt."""


def guided(noise_uncond, noise_cond, guidance_scale: float):
    """Classifier-free guidance (Ho and Salimans 2022): go from the prediction without the prompt past the one with it.

    Args:
        noise_uncond, noise_cond: (n, 4, h, w), noise predicted for the negative or empty prompt, and for the prompt.
        guidance_scale: 1 is the prompt's own prediction, more exaggerates what the prompt changes.

    Returns:
        (n, 4, h, w)
    """
    return noise_uncond + guidance_scale * (noise_cond - noise_uncond)
