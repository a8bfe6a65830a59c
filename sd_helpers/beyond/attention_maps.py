"""What attention looks like: kept probabilities as heat maps, laid over a picture, and how well they fit a place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image

from ..arguments import door, kind_of, several, two_numbers, whole_number
from ..pictures import to_rgb


@dataclass
class AttentionMaps:
    """Cross-attention probabilities of a run: for each call of the U-Net and each layer, which position every place reads.

    calls[i][layer] is (n, h, w, 77), or (n, heads, h, w, 77) if the heads were kept apart; float16, on the CPU. Rows sum to 1.
    """

    calls: list[dict[str, torch.Tensor]] = field(default_factory=list)
    timesteps: list[float] = field(default_factory=list)  # of each call, 999 (all noise) to 0

    @property
    def layers(self) -> dict[str, tuple[int, int]]:
        """Height and width of each watched layer, in the order in which they ran."""
        return {name: tuple(probs.shape[-3:-1]) for name, probs in self.calls[0].items()} if self.calls else {}

    @property
    def nbytes(self) -> int:
        """Memory that the maps take, in bytes."""
        return sum(probs.nbytes for call in self.calls for probs in call.values())

    def heat(self, positions, *, steps=None, layers=None, size=None, image: int = 0) -> torch.Tensor:
        """Where some positions are read: their share of the attention, averaged over heads, layers and steps.

        Up to a constant factor the heat map of DAAM (Tang and others 2022), which enlarges and sums.

        Args:
            positions: one of 0 to 76, or several whose shares are added, such as `prompt_positions` gives.
            steps: one call, counted from 0, or several; None takes all.
            layers: one name out of `layers`, or several; None takes all.
            size: height and width to which each layer's map is enlarged, linearly; None takes the largest layer's.
            image: which of the n pictures.

        Returns:
            (height, width), float32, 0 to 1.

        Raises:
            ValueError: nothing recorded; a position, step, layer or picture that is not there.
        """
        if not self.layers:
            raise ValueError("these maps are empty: call the U-Net inside of `with watch_attention(unet) as maps:`.")
        steps = chosen_from("steps", steps, range(len(self.calls)))
        names = chosen_from("layers", layers, list(self.layers))
        size = max(self.layers.values()) if size is None else two_numbers("size", size, 1)
        total = torch.zeros(size)
        for probs in (self.calls[step][name] for step in steps for name in names):
            wanted = chosen_from("positions", positions, range(probs.shape[-1]))
            share = probs[whole_number("image", image, 0, len(probs) - 1), ..., wanted].float().sum(dim=-1)
            share = share.reshape(-1, 1, *share.shape[-2:]).mean(dim=0, keepdim=True)  # (1, 1, h, w)
            total += torch.nn.functional.interpolate(share, size, mode="bilinear")[0, 0]
        return total / (len(steps) * len(names))

    def changed(self, change: Callable[[torch.Tensor], torch.Tensor]) -> AttentionMaps:
        """The same maps after `change`, a function of one layer's probabilities in one call (float32) that returns others."""
        calls = [{name: change(probs.float()).to(probs.dtype) for name, probs in call.items()} for call in self.calls]
        return AttentionMaps(calls, list(self.timesteps))


def chosen_from(argument: str, value, allowed) -> list:
    """One thing or several as a list, all of `allowed` for None; a ValueError if any is not in it."""
    chosen = list(allowed) if value is None else [value] if isinstance(value, (int, str)) else several(argument, value)
    if not chosen or not all(_is_one_of(one, allowed) for one in chosen):
        choices = f"{allowed[0]} to {allowed[-1]}" if isinstance(allowed, range) else ", ".join(allowed)
        raise ValueError(f"{argument}={value!r}: choose one or several out of {choices}.")
    return chosen


def _is_one_of(one, allowed) -> bool:
    """Whether a name or a number is allowed; an array is neither."""
    return getattr(one, "ndim", 0) == 0 and not isinstance(one, bool) and one in allowed


@door
def overlay(picture: Image.Image, heat: torch.Tensor, low: float | None = None, high: float | None = None) -> Image.Image:
    """A heat map over a grey copy of a picture, dark blue (`low`) to yellow (`high`); None takes the map's own extremes.

    Args:
        heat: (height, width), enlarged to the picture.
    """
    import matplotlib

    picture = to_rgb(picture, "picture")
    low, high = float(heat.min()) if low is None else low, float(heat.max()) if high is None else high
    scaled = torch.nn.functional.interpolate(heat[None, None].float(), picture.size[::-1], mode="bilinear")[0, 0]
    scaled = ((scaled - low) / max(high - low, 1e-8)).clamp(0, 1).numpy()
    colours = Image.fromarray((matplotlib.colormaps["viridis"](scaled)[..., :3] * 255).astype(np.uint8))
    return Image.blend(picture.convert("L").convert("RGB"), colours, 0.65)


@door
def overlap(heat: torch.Tensor, mask: torch.Tensor) -> float:
    """Intersection over union of a mask and the hottest places, as many of them as the mask has: 1 same places, 0 none.

    Args:
        heat: (height, width); ties are broken by place.
        mask: (height, width), true or false.

    Raises:
        ValueError: different shapes, or an empty mask.
    """
    if not torch.is_tensor(mask) or heat.shape != mask.shape or not 0 < int((mask != 0).sum()) <= mask.numel():
        raise ValueError(f"mask must be a tensor {tuple(heat.shape)}, as heat is, true somewhere; it is {kind_of(mask)}.")
    mask = mask != 0
    hot = torch.zeros(mask.numel(), dtype=torch.bool)
    hot[heat.flatten().argsort(descending=True, stable=True)[: int(mask.sum())]] = True
    both = (hot & mask.bool().flatten()).sum()
    return float(both / (2 * mask.sum() - both))
