"""Stage 7: the trained parts as a folder in diffusers' layout, in half precision, and the gallery of icons."""

import io
import json
import math
import re
import shutil
import zipfile
from pathlib import Path

import torch
from diffusers import AutoencoderKL, LMSDiscreteScheduler, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection

from sd_helpers import gallery
from sd_helpers.gallery import BACKGROUNDS
from sd_helpers.models import EMBEDDED_FOLDER

from .captions import FRAMES, ON_BACKGROUND, STYLED, SYNONYMS, Captioner
from .data import Icons, concept_set
from .denoiser import SCHEDULE
from .presets import PRESETS, Preset
from .render import COLUMNS, ICON_SIZE
from .scenes import PHRASES, plural_of

# Shown large beside the first things learned (all that are learned later would take another megabyte): the heart that notebook 11
# teaches the model.
TAUGHT = ["brown-heart"]


def train(preset: Preset, work: Path, device: str) -> None:
    concepts = concept_set(preset.concepts)
    pack_gallery(work, concept_set(PRESETS["cpu"].concepts) if concepts else None)
    clip, tokenizer = CLIPModel.from_pretrained(work / "clip-read"), CLIPTokenizer.from_pretrained(work / "tokenizer")
    icons = Icons(work, preset.size, concepts)
    zero_unseen_tokens(clip, tokenizer, icons)
    scheduler = LMSDiscreteScheduler(**SCHEDULE)
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(work / "vae"),
        text_encoder=text_half(clip),
        tokenizer=tokenizer,
        unet=UNet2DConditionModel.from_pretrained(work / "unet"),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).to(torch.float16)
    for part in ("vae", "tokenizer", "text_encoder", "unet", "scheduler", "clip"):
        shutil.rmtree(EMBEDDED_FOLDER / part, ignore_errors=True)
    pipeline.save_pretrained(EMBEDDED_FOLDER, max_shard_size="9MB")
    finish_text_encoder(EMBEDDED_FOLDER / "text_encoder", pipeline.text_encoder)
    shrink_tokenizer(EMBEDDED_FOLDER / "tokenizer" / "tokenizer.json")
    forget_paths(EMBEDDED_FOLDER)
    pack_picture_tower(clip)
    known = sorted({n["concept"] for n in icons.names})
    (EMBEDDED_FOLDER / "concepts.json").write_text(json.dumps(known, indent=0) + "\n")
    files = [f for f in EMBEDDED_FOLDER.rglob("*") if f.is_file()]
    print(f"package: {EMBEDDED_FOLDER.name}, {sum(f.stat().st_size for f in files) / 1e6:.1f} MB in {len(files)} files")


def zero_unseen_tokens(clip: CLIPModel, tokenizer, icons: Icons) -> None:
    """Set the embeddings of tokens that no caption can hold to zero, as the package's `unknown_words` expects."""
    captioner = Captioner(icons.names)
    texts = {re.sub(r"{\w+}", " ", frame) for frame in (*FRAMES, *STYLED, *ON_BACKGROUND, *PHRASES)} | {"a", "an", *BACKGROUNDS}
    for name in icons.names:
        words = {name["label"], *SYNONYMS.get(name["concept"], [])}
        texts |= {name["style"], *words, *map(plural_of, words), *captioner.tags[name["concept"]]}
    seen = {token for text in texts for token in tokenizer(text).input_ids}
    weight = clip.text_model.get_input_embeddings().weight
    unseen = torch.ones(len(weight), dtype=torch.bool)
    unseen[list(seen)] = False
    weight.data[unseen] = 0
    print(f"package: {len(seen)} of {len(weight)} tokens were seen in training")


def text_half(clip: CLIPModel) -> CLIPTextModel:
    """CLIP's text encoder as the model Stable Diffusion uses."""
    encoder = CLIPTextModel(clip.config.text_config)
    encoder.load_state_dict(clip.text_model.state_dict())
    return encoder


def finish_text_encoder(folder: Path, encoder: CLIPTextModel) -> None:
    """Save the keys as transformers 4 names them, which 5 reads too, and have plain diffusers load it in float32.

    Otherwise the text encoder would load in half precision beside a U-Net in single, and the pipeline would crash.
    """
    for file in folder.glob("*.safetensors*"):
        file.unlink()
    state = {f"text_model.{key}": value.half().contiguous() for key, value in encoder.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config.pop("torch_dtype", None)
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "float32"}, indent=2) + "\n")


def pack_picture_tower(clip: CLIPModel) -> None:
    """CLIP's picture half and the projection of its text half, which Stable Diffusion itself does not use."""
    vision = CLIPVisionModelWithProjection(clip.config.vision_config)
    vision.vision_model.load_state_dict(clip.vision_model.state_dict())
    vision.visual_projection.load_state_dict(clip.visual_projection.state_dict())
    vision.half().save_pretrained(EMBEDDED_FOLDER / "clip")
    save_file({"weight": clip.text_projection.weight.data.half()}, EMBEDDED_FOLDER / "clip" / "text_projection.safetensors")


def forget_paths(folder: Path) -> None:
    """Take out of the configurations where on this machine their weights came from."""
    for path in folder.glob("*/config.json"):
        config = json.loads(path.read_text())
        config.pop("_name_or_path", None)
        path.write_text(json.dumps(config, indent=2) + "\n")


def shrink_tokenizer(path: Path) -> None:
    """Rewrite tokenizer.json without white space, each merge as one string, as CLIP's own was: 1.5 MB instead of 3.6."""
    content = json.loads(path.read_text())
    content["model"]["merges"] = [pair if isinstance(pair, str) else " ".join(pair) for pair in content["model"]["merges"]]
    path.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")))


def pack_gallery(work: Path, concepts: list[str] | None) -> None:
    """All icons as thumbnails in one WebP sheet, those of `concepts` larger in another, with their records, in one zip file."""
    records = json.loads((work / "icons.json").read_text())
    Image.MAX_IMAGE_PIXELS = None
    sheet = Image.open(work / "icons.webp").convert("RGBA").convert("RGBa")
    assert gallery.LARGE == ICON_SIZE
    shown = {*concepts, *TAUGHT} if concepts else {record["concept"] for record in records}
    large = [position for position, record in enumerate(records) if record["concept"] in shown]
    columns = math.isqrt(len(large) - 1) + 1
    beside = Image.new("RGBa", (columns * ICON_SIZE, -(-len(large) // columns) * ICON_SIZE))
    for place, position in enumerate(large):
        x, y = position % COLUMNS * ICON_SIZE, position // COLUMNS * ICON_SIZE
        icon = sheet.crop((x, y, x + ICON_SIZE, y + ICON_SIZE))
        beside.paste(icon, (place % columns * ICON_SIZE, place // columns * ICON_SIZE))
    small = sheet.resize((COLUMNS * gallery.THUMBNAIL, sheet.height // ICON_SIZE * gallery.THUMBNAIL), Image.Resampling.BOX)
    files = {"icons.webp": _webp(small), "icons.json": json.dumps(records, ensure_ascii=False)}
    files |= {"large.webp": _webp(beside), "large.json": json.dumps(large)}
    with zipfile.ZipFile(gallery.PACK, "w") as pack:
        for name, data in files.items():
            # A ZipInfo has a fixed date, so the same icons give the same file. WebP only grows when packed again.
            packing = zipfile.ZIP_STORED if name.endswith(".webp") else zipfile.ZIP_LZMA
            pack.writestr(zipfile.ZipInfo(name), data, compress_type=packing)
    print(f"package: gallery of {len(records)} icons, {len(large)} of them large, {gallery.PACK.stat().st_size / 1e6:.1f} MB")


def _webp(sheet: Image.Image) -> bytes:
    buffer = io.BytesIO()
    sheet.convert("RGBA").save(buffer, "WEBP", quality=70, alpha_quality=70, method=6)
    return buffer.getvalue()
