"""A decoder of one matrix: what a latent and its eight neighbours say about 8 x 8 pixels, fitted to the real decoder."""

from __future__ import annotations

import numpy as np
import torch

from sd_helpers.autoencoder import pil_to_tensor
from sd_helpers.gallery import BACKGROUNDS, icons

FITTED, TRIED = 160, 24  # icons
RIDGE = 1e-2


def fitted_preview(components) -> tuple[bytes, float]:
    """The matrix as float32, (9 * 4 + 1, 3 * 8 * 8), and how far it is from the decoder on icons it was not fitted to.

    The distance is the mean difference in levels of 255.
    """
    seen, pixels = _examples(components, FITTED + TRIED)
    x, y = patches(seen), _blocks(pixels, components.factor)
    cut = FITTED * seen.shape[2] * seen.shape[3]
    left, right = x[:cut], y[:cut]
    matrix = np.linalg.solve(left.T @ left + RIDGE * np.eye(left.shape[1]), left.T @ right)
    away = np.abs(np.clip(x[cut:] @ matrix, -1, 1) - np.clip(y[cut:], -1, 1)).mean() * 127.5
    return matrix.astype("<f4").tobytes(), float(away)


@torch.no_grad()
def _examples(components, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Latents of icons on named backgrounds, (count, 4, h, w), and what the decoder makes of them, (count, 3, H, W)."""
    pool, names, vae = icons(), list(BACKGROUNDS), components.vae
    latents, pixels = [], []
    for i in range(count):
        icon = pool[i * 7919 % len(pool)]  # a prime: icons from everywhere
        picture = pil_to_tensor(icon.picture(names[i % len(names)], components.default_size[0]))
        latent = vae.encode(picture).latent_dist.mode()
        latents.append(latent * vae.config.scaling_factor)
        pixels.append(vae.decode(latent).sample)
    return torch.cat(latents).numpy(), torch.cat(pixels).numpy()


def patches(latents: np.ndarray) -> np.ndarray:
    """What meets the matrix: each place with its neighbours, the edge repeated, and a one, (n * h * w, 9 * 4 + 1)."""
    n, c, h, w = latents.shape
    padded = np.pad(latents, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    near = [padded[:, :, y : y + h, x : x + w] for y in range(3) for x in range(3)]
    rows = np.stack(near, axis=1).transpose(0, 3, 4, 1, 2).reshape(n * h * w, 9 * c)
    return np.concatenate([rows, np.ones((len(rows), 1))], axis=1).astype(np.float64)


def _blocks(pixels: np.ndarray, factor: int) -> np.ndarray:
    """The pixels behind each place: (n * h * w, 3 * 8 * 8)."""
    n, c, height, width = pixels.shape
    cut = pixels.reshape(n, c, height // factor, factor, width // factor, factor)
    return cut.transpose(0, 2, 4, 1, 3, 5).reshape(-1, c * factor * factor).astype(np.float64)
