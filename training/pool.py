"""Scenes drawn and encoded once, thousands of them, for CLIP and the denoiser.

A scene of two things is followed by the same with the two exchanged, so that only the order of the words tells their captions
apart.
"""

import multiprocessing
import os
import random
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from sd_helpers.gallery import BACKGROUNDS
from sd_helpers.metrics import letterboxed

from .data import BACKGROUND_NAMES, COLOURS
from .scenes import Said, Scene, Scenes, Thing

PICTURE_SIZE = 32  # that CLIP looks at
BATCH = 16


def compose(scenes: list[Scene], rgba: torch.Tensor, size: int) -> torch.Tensor:
    """Draw scenes of one shape: pictures (B, 3, size, size or 2 * size) in [-1, 1].

    Args:
        rgba: all icons, (n, 4, size, size) on the CPU, premultiplied, 0 to 255; see `Icons`.
    """
    width = size * (2 if scenes[0].wide else 1)
    pictures = []
    for scene in scenes:
        canvas = ((COLOURS[BACKGROUND_NAMES.index(scene.background)] + 1) / 2)[:, None, None].repeat(1, size, width)
        for thing in scene.things:
            _paste(canvas, _drawn(thing, rgba[thing.icon], size), round(thing.x * size), round(thing.y * size))
        pictures.append(canvas * 2 - 1)
    return torch.stack(pictures)


def composed(scenes: list[Scene], rgba: torch.Tensor, size: int):
    """Yield the pictures of `compose` in batches; where there are many cores, drawn by all of them."""
    batches = [scenes[begin : begin + BATCH] for begin in range(0, len(scenes), BATCH)]
    if os.cpu_count() < 4:
        yield from (compose(batch, rgba, size) for batch in batches)
        return
    with multiprocessing.get_context("fork").Pool(initializer=_share, initargs=(rgba, size)) as pool:
        yield from (torch.from_numpy(pictures) for pictures in pool.imap(_composed, batches))


def _share(*icons_and_size) -> None:
    """What every process has from its parent, and needs not be sent with each batch."""
    global _shared
    _shared = icons_and_size
    torch.set_num_threads(1)  # torch's threads do not survive a fork


def _composed(scenes: list[Scene]):
    return compose(scenes, *_shared).numpy()


def _drawn(thing: Thing, rgba: torch.Tensor, size: int) -> torch.Tensor:
    """An icon in its colour and its size, (4, side, side), premultiplied, 0 to 1."""
    rgba = rgba.float() / 255
    if thing.colour:
        rgba = recoloured(rgba, thing.colour)
    side = max(8, round(thing.side * size))
    return (
        rgba
        if side == rgba.shape[-1]
        else F.interpolate(rgba[None], (side, side), mode="bilinear", antialias=True)[0].clamp(0, 1)
    )


def recoloured(rgba: torch.Tensor, colour: str) -> torch.Tensor:
    """The icon painted in one colour: what was dark is dark, what was bright is bright, as under a coloured light."""
    paint = torch.tensor(BACKGROUNDS[colour]) / 255
    alpha = rgba[3:].clamp(min=1e-3)
    bright = (rgba[:3] / alpha * torch.tensor([0.3, 0.6, 0.1])[:, None, None]).sum(dim=0, keepdim=True)
    seen = rgba[3:] > 0.5
    middle = bright[seen].median() if seen.any() else bright.mean()  # most of the icon gets the colour itself
    dark, light = (bright / middle.clamp(min=0.05)).clamp(max=1), ((bright - middle) / (1 - middle).clamp(min=0.05)).clamp(0, 1)
    painted = paint[:, None, None] * (0.35 + 0.65 * dark) * (1 - 0.6 * light) + 0.6 * light
    return torch.cat([painted.clamp(0, 1) * rgba[3:], rgba[3:]])


def _paste(canvas: torch.Tensor, rgba: torch.Tensor, x: int, y: int) -> None:
    """Lay a premultiplied icon over the canvas, its centre at (x, y); what hangs over the edge is cut."""
    side, (height, width) = rgba.shape[-1], canvas.shape[1:]
    left, top = x - side // 2, y - side // 2
    a, b, c, d = max(0, left), max(0, top), min(width, left + side), min(height, top + side)
    part = rgba[:, b - top : d - top, a - left : c - left]
    canvas[:, b:d, a:c] = part[:3] + (1 - part[3:]) * canvas[:, b:d, a:c]


class Pool:
    """Thousands of scenes of one shape, drawn and encoded once: latents for the denoiser, small pictures for CLIP.

    Scenes 2 k and 2 k + 1 belong together: the second is the first with its two things exchanged or, where there are no two, a
    scene of the same kind of its own.
    """

    def __init__(self, scenes: Scenes, vae, count: int, wide: bool, cache: Path, device: str = "cpu"):
        """
        Args:
            count: how many, an even number.
            cache: a folder, in which the encoded scenes are kept for the next time.
        """
        rng = random.Random(int(wide))
        self.describe, self.scenes, size = scenes, [], scenes.icons.size
        while len(self.scenes) < count:
            scene = scenes.draw(rng, wide)
            other = scene.exchanged if scene.kind == "pair" else scenes.draw(rng, wide)
            if all(scenes.held_out.allows(scenes.icons.names[thing.icon], other.background) for thing in other.things):
                self.scenes += [scene, other]
        path = cache / f"scenes-{'wide' if wide else 'square'}-{count}.safetensors"
        if not path.exists():
            save_file(self._encode(scenes.icons, vae, size, device), path)
        stored = load_file(path)
        self.latents, self.small = stored["latents"].to(device), stored["small"].to(device)
        print(f"scenes: {count} {'wide' if wide else 'square'} ones, {self.latents.nbytes / 1e6:.0f} MB of latents", flush=True)

    @torch.no_grad()
    def _encode(self, icons, vae, size, device) -> dict[str, torch.Tensor]:
        latents, small = [], []
        for number, pictures in enumerate(composed(self.scenes, icons.rgba.cpu(), size)):
            pictures = pictures.to(device)
            with torch.autocast(torch.device(device).type, torch.bfloat16):  # as in `cache_latents`
                encoded = vae.encode(pictures).latent_dist.mean.float() * vae.config.scaling_factor
            latents.append(encoded.half().cpu())
            small.append(((letterboxed(pictures, PICTURE_SIZE) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu())
            if number % 100 == 0:
                print(f"scenes: {number * BATCH} of {len(self.scenes)} encoded", flush=True)
        return {"latents": torch.cat(latents).contiguous(), "small": torch.cat(small).contiguous()}

    def draw(self, count: int, rng: random.Random) -> tuple[torch.Tensor, list[Said]]:
        """Positions (count,) of scenes, those that belong together beside each other, and a caption for each."""
        chosen = rng.sample(range(len(self.scenes) // 2), -(-count // 2))
        index = [position for pair in chosen for position in (2 * pair, 2 * pair + 1)][:count]
        return torch.tensor(index, dtype=torch.long, device=self.latents.device), [
            self.describe.said(self.scenes[i], rng) for i in index
        ]
