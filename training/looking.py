"""Where words look: it is part of the loss that the words for a thing look at where it stands (Wang et al. 2024, *TokenCompose*).

Stable Diffusion learned that by itself from billions of pictures. Of two things in a picture of ours, which of the words decides
what stands on the left is a knot of its own, see README.md: the loss of the noise alone had not undone it after 36,000 steps.
"""

import re
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import AttnProcessor

from .scenes import Said, Thing

PARTS = re.compile(r"\b(left|right|top|bottom)\b")  # words that name a half of the canvas


@dataclass(frozen=True)
class Looks:
    """K words of a batch's captions, and where each should look."""

    rows: torch.Tensor  # (K,), which caption
    tokens: torch.Tensor  # (K,), at which position
    places: torch.Tensor  # (K, h, w) over the latents: 1 where it should look, 0 elsewhere

    def to(self, device) -> "Looks":
        """The same on a device."""
        return Looks(self.rows.to(device), self.tokens.to(device), self.places.to(device))

    def missed(self, maps: list[torch.Tensor], batch: int) -> torch.Tensor:
        """The squared share of a word's attention that lies elsewhere, mean over words and layers.

        Args:
            maps: the cross-attention of every layer, (batch * heads, pixels, 77).
        """
        layers = []
        for probabilities in maps:
            heat = probabilities.unflatten(0, (batch, -1))[self.rows, :, :, self.tokens].float().mean(dim=1)  # (K, pixels)
            coarser = round((self.places[0].numel() / heat.shape[1]) ** 0.5)
            elsewhere = 1 - F.avg_pool2d(self.places, coarser).flatten(1)
            layers.append(((heat * elsewhere).sum(dim=1) / heat.sum(dim=1)).square().mean())
        return torch.stack(layers).mean()


def looks_of(captions: list[Said], tokenizer, height: int, width: int) -> Looks | None:
    """Where the words of captions should look, on latents of this size; None if none of them names a thing."""
    naming = [(row, caption) for row, caption in enumerate(captions) if caption.names]
    if not naming:
        return None
    texts = [caption.text for _, caption in naming]
    offsets = tokenizer(texts, truncation=True, max_length=77, return_offsets_mapping=True).offset_mapping
    rows, tokens, places = [], [], []
    for (row, caption), reach in zip(naming, offsets):  # `reach`: from which letter to which each token goes
        wanted = [(begin, end, place_of(things, height, width)) for begin, end, things in caption.names]
        wanted += [(*word.span(), half_of(word[0], height, width)) for word in PARTS.finditer(caption.text)]
        for begin, end, place in wanted:
            inside = [token for token, (first, last) in enumerate(reach) if begin <= first < last <= end]
            rows += [row] * len(inside)
            tokens += inside
            places += [place] * len(inside)
    return Looks(torch.tensor(rows), torch.tensor(tokens), torch.stack(places))


def place_of(things: tuple[Thing, ...], height: int, width: int) -> torch.Tensor:
    """1 where one of the things stands, (height, width)."""
    y, x = (torch.arange(height) + 0.5)[:, None] / height, (torch.arange(width) + 0.5) / height
    return torch.stack([((x - t.x).abs() < t.side / 2) & ((y - t.y).abs() < t.side / 2) for t in things]).any(dim=0).float()


def half_of(word: str, height: int, width: int) -> torch.Tensor:
    """1 in the half that a word names, (height, width)."""
    place = torch.zeros(height, width)
    rows = {"top": slice(height // 2), "bottom": slice(height // 2, None)}.get(word, slice(None))
    columns = {"left": slice(width // 2), "right": slice(width // 2, None)}.get(word, slice(None))
    place[rows, columns] = 1
    return place


class Watched:
    """The cross-attention of a U-Net, kept at every call: `maps`, for each layer (B * heads, pixels, 77)."""

    def __init__(self, unet):
        self.maps: list[torch.Tensor] = []
        for name, module in unet.named_modules():
            if name.endswith("attn2"):
                module.set_processor(AttnProcessor())  # the fused one never holds the probabilities
                module.get_attention_scores = self._keeping(module.get_attention_scores)

    def _keeping(self, scores):
        def kept(*args, **kwargs):
            self.maps.append(scores(*args, **kwargs))
            return self.maps[-1]

        return kept
