"""Stage 3, CLIP in miniature: captions and pictures drawn together by contrast. Its text half begins the denoiser's."""

import gzip
import json
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPConfig, CLIPModel, CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection

from sd_helpers.models import EMBEDDED_FOLDER

from .captions import Captioner
from .data import BACKGROUND_NAMES, COLOURS, HeldOut, Icons, concept_set
from .fit import fit
from .pool import PICTURE_SIZE, Pool
from .presets import Preset, Stage
from .scenes import Scenes

VOCABULARY = "open-clip-torch==3.3.0"  # ships the merges of OpenAI's CLIP
MERGES = 48_894
WIDTH = 128
FAMILIES = 0.3  # of the draws: three rows in five then stand beside their own other styles


def build_tokenizer(work: Path) -> CLIPTokenizer:
    """CLIP's own vocabulary of 49,408: bytes, bytes that end a word, merges, start and end."""
    wheels = work / "wheels"
    if not list(wheels.glob("*.whl")):
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(wheels), VOCABULARY], check=True)
    with zipfile.ZipFile(next(wheels.glob("*.whl"))) as wheel:
        lines = gzip.decompress(wheel.read("open_clip/bpe_simple_vocab_16e6.txt.gz")).decode().split("\n")
    merges = [tuple(line.split()) for line in lines[1 : MERGES + 1]]
    letters = list(_byte_letters())
    words = letters + [x + "</w>" for x in letters] + ["".join(m) for m in merges] + ["<|startoftext|>", "<|endoftext|>"]
    vocab = {word: i for i, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=77)


def _byte_letters():
    """The printable letter that byte-level BPE gives each of the 256 bytes, in CLIP's order."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    yield from map(chr, printable)
    yield from (chr(256 + i) for i in range(256 - len(printable)))


def build() -> CLIPModel:
    layers = dict(hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_attention_heads=4, projection_dim=WIDTH)
    ends = dict(bos_token_id=49406, eos_token_id=49407, pad_token_id=49407)
    text = dict(vocab_size=49408, max_position_embeddings=77, num_hidden_layers=3, **layers, **ends)
    vision = dict(image_size=PICTURE_SIZE, patch_size=4, num_hidden_layers=4, **layers)
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH))


def packaged() -> CLIPModel:
    """The CLIP in the package, its two halves put together again."""
    clip = build()
    clip.text_model.load_state_dict(CLIPTextModel.from_pretrained(EMBEDDED_FOLDER / "text_encoder").state_dict())
    vision = CLIPVisionModelWithProjection.from_pretrained(EMBEDDED_FOLDER / "clip", dtype=torch.float32)
    clip.vision_model.load_state_dict(vision.vision_model.state_dict())
    clip.visual_projection.load_state_dict(vision.visual_projection.state_dict())
    clip.text_projection.load_state_dict(load_file(EMBEDDED_FOLDER / "clip" / "text_projection.safetensors"))
    clip.logit_scale.data.fill_(4.0)  # not kept in the package
    return clip


class Contrast(nn.Module):
    """InfoNCE over a batch: each caption must find its picture, each picture its caption."""

    def __init__(self, clip: CLIPModel):
        super().__init__()
        self.clip = clip

    def forward(self, input_ids, positions, pictures):
        states = self.clip.text_model(input_ids=input_ids).last_hidden_state  # (B, 77, 128)
        text = self.clip.text_projection(states[torch.arange(len(states)), positions])
        image = self.clip.visual_projection(self.clip.vision_model(pixel_values=pictures).pooler_output)
        text, image = F.normalize(text.float(), dim=-1), F.normalize(image.float(), dim=-1)
        logits = self.clip.logit_scale.clamp(max=4.6).exp() * text @ image.T
        target = torch.arange(len(logits), device=logits.device)
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


class Pairs:
    """Draws captioned pictures: icon, background (named or not), caption."""

    def __init__(self, icons: Icons, held_out: HeldOut, further: bool = False):
        self.icons, self.held_out = icons, held_out
        self.pool = icons.indices(held_out).tolist()
        self.families = {}  # concept -> its icons in the pool, one of each style
        for i in self.pool:
            self.families.setdefault(icons.names[i]["concept"], []).append(i)
        self.captioner = Captioner(icons.names)
        if further:  # what the package does not know yet comes twice as often
            known = set(json.loads((EMBEDDED_FOLDER / "concepts.json").read_text()))
            self.pool += [i for i in self.pool if icons.names[i]["concept"] not in known]

    def draw(self, count: int, rng: random.Random, empty: float = 0.0, families: float = 0.0, styled: float = 0.5):
        """Lists of icon indices, background indices and captions. Where no background is named, it is mostly white.

        With chance `families` an icon brings its other styles along, on the same background, and their captions name the style:
        nothing else tells these pictures apart, so contrast must learn it.
        """
        index, background, captions = [], [], []
        while len(index) < count:
            i, named = rng.choice(self.pool), rng.random() < 0.65
            colour = rng.choice(BACKGROUND_NAMES) if named or rng.random() < 0.3 else "white"
            family = self.families[self.icons.names[i]["concept"]] if rng.random() < families else [i]
            for j in family:
                name = self.icons.names[j]
                if not self.held_out.allows(name, colour):
                    continue
                style_chance = 1 if len(family) > 1 else styled
                caption = self.captioner.caption(name, colour if named else None, rng, style_chance)
                index.append(j)
                background.append(BACKGROUND_NAMES.index(colour))
                captions.append("" if rng.random() < empty else caption)
        return index[:count], background[:count], captions[:count]


def end_positions(input_ids):
    """Where the text vector is read: at the end token, (B,). Read in the padding too, it would teach that to carry the things."""
    return (input_ids == 49407).int().argmax(dim=-1)


def train(preset: Preset, work: Path, device: str) -> None:
    """Train both halves from nothing; a preset that goes on from the package has both already."""
    build_tokenizer(work).save_pretrained(work / "tokenizer")
    if preset.further:
        return
    torch.manual_seed(0)
    fit_contrast(build(), "clip-run", preset.clip, preset, work, device).save_pretrained(work / "clip")


def fit_contrast(clip: CLIPModel, name: str, stage: Stage, preset: Preset, work: Path, device: str) -> CLIPModel:
    """Train whatever of a CLIP is not frozen on single things and scenes, a third of each shape."""
    tokenizer = CLIPTokenizer.from_pretrained(work / "tokenizer")
    icons = Icons(work, preset.size, concept_set(preset.concepts), device=device)
    pairs = Pairs(icons, HeldOut(), preset.further)
    vae = AutoencoderKL.from_pretrained(work / "vae").to(device).eval()
    pools = [Pool(Scenes(icons, HeldOut()), vae, preset.scenes, wide, work, device) for wide in (False, True)]

    def loss_of(module, count, generator, done):
        seed = int(torch.randint(2**62, (1,), generator=generator))
        rng, alone = random.Random(seed), count // 3
        index, background, captions = pairs.draw(alone, rng, families=FAMILIES)
        small = []
        for pool, number in zip(pools, (count // 3, count - 2 * (count // 3))):
            positions, said = pool.draw(number, rng)
            small.append(pool.small[positions].float() / 127.5 - 1)
            captions += [caption.text for caption in said]
        # Causal: states at the first 32 positions do not depend on what follows, so three steps in four stop there.
        length = 32 if seed % 4 else 77
        ids = tokenizer(captions, padding="max_length", max_length=length, truncation=True, return_tensors="pt").input_ids
        reach = icons.size // 16
        shift = torch.randint(-reach, reach + 1, (alone, 2), generator=generator)
        pictures = icons.compose(torch.tensor(index, device=device), COLOURS[background].to(device), shift.to(device))
        pictures = torch.cat([F.interpolate(pictures, (PICTURE_SIZE, PICTURE_SIZE), mode="area"), *small])
        return module(ids.to(device), end_positions(ids).to(device), pictures)

    options = dict(precision=preset.precision, decay=0.1)
    return fit(Contrast(clip), loss_of, stage, work / f"{name}{preset.suffix}", **options).clip
