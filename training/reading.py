"""Stage 5, reading: CLIP's picture half is fitted again to a text half that went on learning with the U-Net.

What is trained is the picture tower and the two projections; the text encoder is the denoiser's, and frozen.
"""

from pathlib import Path

import torch
from transformers import CLIPModel

from .clip import fit_contrast
from .presets import Preset


def train(preset: Preset, work: Path, device: str) -> None:
    torch.manual_seed(0)
    clip = CLIPModel.from_pretrained(work / "clip-drawing")
    clip.text_model.requires_grad_(False)
    fit_contrast(clip, "reading", preset.reading, preset, work, device).save_pretrained(work / "clip-read")
