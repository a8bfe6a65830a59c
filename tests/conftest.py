"""Shared by the tests: the embedded model, loaded once, and the published values of Stable Diffusion v1."""

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))  # for training/, which is not installed


@pytest.fixture(scope="session")
def components():
    from sd_helpers import load

    return load("emoji-sd", device="cpu")


@pytest.fixture(scope="session")
def published():
    return json.loads((Path(__file__).parent / "data" / "sd-v1.json").read_text())


@pytest.fixture(scope="session")
def picture(components) -> Image.Image:
    """An icon of the model's own size, unlike its mirror image and its transpose."""
    from sd_helpers import gallery

    return gallery.find("rocket", style="noto")[0].picture("yellow", components.default_size[0])


@pytest.fixture(scope="session")
def embeds(components):
    """Embeddings of a prompt and of the empty prompt, (1, 77, D) each."""
    from sd_helpers import embed_prompt

    return tuple(embed_prompt(p, components.tokenizer, components.text_encoder) for p in ("a red apple on a blue background", ""))
