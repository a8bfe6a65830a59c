"""How good is a picture? Reconstruction error, the concept it shows, its background, and how well it fits a prompt."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from . import gallery
from .arguments import whole_number
from .models import EMBEDDED_FOLDER, show_bars
from .pictures import all_rgb, to_rgb

COMPARED_AT = 16  # pixels a side at which pictures are compared with icons


def psnr(image: Image.Image, reference: Image.Image) -> float:
    """Peak signal-to-noise ratio in decibels; 25 is close, infinite is equal.

    Raises:
        ValueError: pictures of different sizes.
    """
    error = np.mean(_difference(image, reference) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def mean_difference(image: Image.Image, reference: Image.Image) -> float:
    """Mean absolute difference of two pictures of one size, in levels of 0 to 255.

    Raises:
        ValueError: pictures of different sizes.
    """
    return float(np.abs(_difference(image, reference)).mean())


def _difference(image: Image.Image, reference: Image.Image) -> np.ndarray:
    image, reference = to_rgb(image), to_rgb(reference, "reference")
    if image.size != reference.size:
        raise ValueError(f"image is {image.size} and reference {reference.size} pixels (width, height); they must agree.")
    return np.asarray(image, dtype=np.float64) - np.asarray(reference, dtype=np.float64)


def background_of(image: Image.Image) -> str:
    """The named background colour nearest to the median of the picture's border."""
    pixels = np.asarray(to_rgb(image), dtype=np.float64)
    border = np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
    median = np.median(border, axis=0)
    return min(gallery.BACKGROUNDS, key=lambda name: np.linalg.norm(median - gallery.BACKGROUNDS[name]))


@dataclass(frozen=True)
class Match:
    """A concept a picture may show: its nearest icon and the root mean square distance to it, of 0 to 1."""

    icon: gallery.Icon
    distance: float


def nearest_concepts(
    image: Image.Image, background: str | None = None, count: int = 5, references: np.ndarray | None = None
) -> list[Match]:
    """The `count` concepts whose icons are nearest to a picture, at 16 x 16 pixels in RGB, nearest first.

    Args:
        background: what the icons are laid on; None takes the picture's own, as `background_of` names it.
        references: other pictures of all icons, in their order, once or several times over: (k * icons, 16, 16, 3), 0 to 1.
    """
    count = whole_number("count", count, 1)
    background = background_of(image) if background is None else gallery.checked_background(background)
    references = gallery.on_background(background, COMPARED_AT) if references is None else references
    small = to_rgb(image).resize((COMPARED_AT, COMPARED_AT), Image.Resampling.BOX)
    distances = np.sqrt(((references - np.asarray(small, dtype=np.float32) / 255) ** 2).mean(axis=(1, 2, 3)))
    matches: dict[str, Match] = {}
    for position in np.argsort(distances):
        icon = gallery.icons()[position % len(gallery.icons())]
        matches.setdefault(icon.concept, Match(icon, float(distances[position])))
        if len(matches) == count:
            break
    return list(matches.values())


@dataclass(frozen=True)
class PictureTower:
    """The CLIP that emoji-sd's text encoder comes from: pictures and prompts as vectors that can be compared."""

    tokenizer: object
    text_encoder: torch.nn.Module
    text_projection: torch.nn.Module
    vision: torch.nn.Module

    def embed_pictures(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, 3, H, W) in [-1, 1] to unit vectors (n, 128), wide ones seen whole; differentiable, for losses."""
        vectors = self.vision(letterboxed(pixels, self.vision.config.image_size)).image_embeds
        return torch.nn.functional.normalize(vectors, dim=-1)

    def embed_prompts(self, prompts: list[str]) -> torch.Tensor:
        """n prompts to unit vectors (n, 128), read at the end-of-text token."""
        ids = self.tokenizer(prompts, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
        end = (ids == self.tokenizer.eos_token_id).int().argmax(dim=-1)
        states = self.text_encoder(ids)[0][torch.arange(len(ids)), end]
        return torch.nn.functional.normalize(self.text_projection(states), dim=-1)


def letterboxed(pixels: torch.Tensor, side: int) -> torch.Tensor:
    """Pictures (n, 3, H, W) in [-1, 1] whole, on a grey square (n, 3, side, side); differentiable."""
    scale = side / max(pixels.shape[2:])
    height, width = (max(1, round(length * scale)) for length in pixels.shape[2:])
    pixels = torch.nn.functional.interpolate(pixels, (height, width), mode="area")
    down, right = side - height, side - width
    return torch.nn.functional.pad(pixels, (right // 2, right - right // 2, down // 2, down - down // 2))


@functools.cache
def picture_tower() -> PictureTower:
    """The miniature CLIP that ships with emoji-sd, on the CPU, weights frozen."""
    from safetensors.torch import load_file
    from transformers import CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection

    show_bars(False)
    tokenizer = CLIPTokenizer.from_pretrained(EMBEDDED_FOLDER / "tokenizer")
    text_encoder = CLIPTextModel.from_pretrained(EMBEDDED_FOLDER / "text_encoder", dtype=torch.float32)
    vision = CLIPVisionModelWithProjection.from_pretrained(EMBEDDED_FOLDER / "clip", dtype=torch.float32)
    weight = load_file(EMBEDDED_FOLDER / "clip" / "text_projection.safetensors")["weight"].float()
    with torch.random.fork_rng(devices=[]):  # torch draws weights that are replaced at once
        projection = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    projection.weight.data = weight
    frozen = [module.requires_grad_(False).eval() for module in (text_encoder, projection, vision)]
    return PictureTower(tokenizer, *frozen)


@torch.no_grad()
def clip_score(images: list[Image.Image], prompts: list[str]) -> list[float]:
    """Cosine similarity of each picture with its prompt by the miniature CLIP, -1 to 1; meaningful for emoji only.

    Raises:
        ValueError: not as many prompts as pictures.
    """
    from .autoencoder import pil_to_tensor
    from .text import as_prompts

    images, prompts = all_rgb(images, "images"), as_prompts(prompts, "prompts")
    if len(images) != len(prompts):
        raise ValueError(f"{len(images)} images but {len(prompts)} prompts; give one prompt for each image.")
    tower = picture_tower()
    pixels = torch.cat([letterboxed(pil_to_tensor(image), tower.vision.config.image_size) for image in images])
    return (tower.embed_pictures(pixels) * tower.embed_prompts(prompts)).sum(dim=-1).tolist()
