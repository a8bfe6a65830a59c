"""Whatever a person brings as a picture or a mask is the same pixels wherever it goes."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from sd_helpers import generate, inpaint, mask_to_latents, outlined, outpainting_canvas, pil_to_latent
from sd_helpers.autoencoder import pil_to_tensor
from sd_helpers.beyond.attention_maps import overlay
from sd_helpers.beyond.steering import likeness_loss
from sd_helpers.metrics import background_of, clip_score, mean_difference, nearest_concepts, psnr
from sd_helpers.pictures import drawn, fitted, to_mask, to_rgb
from sd_helpers.views import captioned, contact_sheet, film, grid, show, thumbnail

# How a stored picture lies for each value of the EXIF orientation from 2; 1 is upright.
STORED = ("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_90", "TRANSVERSE", "ROTATE_270")


def photo(upright: Image.Image, orientation: int) -> Image.Image:
    """A picture as a camera stores it, with the EXIF entry that says how to turn it upright."""
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose[STORED[orientation - 2]])
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    stored.save(buffer, "PNG", exif=exif)
    return Image.open(buffer)


@pytest.fixture(scope="module")
def upright() -> Image.Image:
    """A picture in which no two directions are alike, and whose sides differ."""
    picture = Image.new("RGB", (96, 64), "white")
    picture.paste("red", (0, 0, 30, 20))
    picture.paste("blue", (60, 30, 96, 64))
    return picture


def transparent(upright: Image.Image) -> Image.Image:
    """The same, its white parts transparent, with black beneath."""
    white = np.asarray(upright).min(axis=-1) == 255
    pixels = np.dstack([np.where(white[..., None], 0, np.asarray(upright)), np.where(white, 0, 255)])
    return Image.fromarray(pixels.astype(np.uint8), "RGBA")


def plain(value):
    """What can be compared: PIL's own equality asks for the same notes beside the pixels."""
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return (value.size, value.tobytes()) if isinstance(value, Image.Image) else value


def disguises(upright: Image.Image, folder) -> dict:
    """One picture in the forms in which people bring it."""
    path = folder / "picture.png"
    upright.save(path)
    keyed = upright.quantize(8)
    keyed.info["transparency"] = keyed.getpixel((50, 5))  # the white, as a GIF has it
    forms = {f"exif {n}": photo(upright, n) for n in range(1, 9)}
    forms |= {"transparent": transparent(upright), "palette, one colour transparent": keyed}
    return forms | {"path": path, "name": str(path), "CMYK": upright.convert("CMYK"), "palette": upright.quantize(8)}


def grey_disguises(upright: Image.Image) -> dict:
    """A picture of black and white in the modes that have no colours."""
    grey = upright.convert("L").point(lambda level: 255 * (level > 127))
    levels = np.asarray(grey)
    forms = {"RGB": grey.convert("RGB"), "L": grey, "1 bit": grey.convert("1"), "LA": grey.convert("LA"), "I": grey.convert("I")}
    forms |= {"16 bits": Image.fromarray(levels.astype(np.uint16) * 257), "floats": Image.fromarray(levels.astype(np.float32))}
    return forms | {"floats of 0 to 1": Image.fromarray(levels.astype(np.float32) / 255)}


@pytest.mark.parametrize("colours", [True, False], ids=["colours", "greys"])
def test_every_disguise_is_the_same_picture_everywhere(upright, components, tmp_path, colours):
    forms = disguises(upright, tmp_path) if colours else grey_disguises(upright)
    upright = upright if colours else forms["RGB"]
    mask = Image.new("L", upright.size, 255)
    uses = {
        "to_rgb": to_rgb,
        "fitted": lambda p: fitted(p, 64, 64),
        "tensor": lambda p: pil_to_tensor(p).tolist(),
        "latent": lambda p: pil_to_latent(p, components.vae).tolist(),
        "canvas": lambda p: outpainting_canvas(p, (128, 96), (16, 16)),
        "outlined": lambda p: outlined(p, mask),
        "measures": lambda p: (mean_difference(p, upright), psnr(upright, p), background_of(p), clip_score([p], ["a fox"])),
        "nearest": lambda p: nearest_concepts(p),
        "loss": lambda p: likeness_loss(torch.zeros(1, 3, 64, 64), p).tolist(),
        "overlay": lambda p: overlay(p, torch.rand(8, 8, generator=torch.Generator().manual_seed(0))),
        "show": lambda p: show(p).data,
        "captioned": lambda p: captioned(p, "a").data,
        "grid": lambda p: grid([p, upright], ["a"]).data,
        "sheet": lambda p: contact_sheet([p, upright]),
        "film": lambda p: film([p, upright]).data,
        "thumbnail": lambda p: thumbnail(p, 32),
    }
    expected = {use: plain(function(upright)) for use, function in uses.items()}
    for form, picture in forms.items():
        for use, function in uses.items():
            assert plain(function(picture)) == expected[use], f"{form} in {use}"


def test_disguises_are_drawn_from_alike(upright, components, tmp_path):
    settings = dict(start_step=2, num_inference_steps=3, progress=False)
    expected = plain(generate(components, "a fox", image=upright, **settings))
    mask = Image.new("L", upright.size)
    mask.paste(255, (0, 0, 48, 64))
    painted = plain(inpaint(components, "a fox", image=upright, mask=mask, num_inference_steps=2))
    for form, picture in disguises(upright, tmp_path).items():
        assert plain(generate(components, "a fox", image=picture, **settings)) == expected, form
        assert plain(inpaint(components, "a fox", image=picture, mask=mask, num_inference_steps=2)) == painted, form


def test_every_kind_of_picture_is_converted(picture):
    rgb = np.asarray(picture)
    clear = picture.convert("RGBA")
    clear.putalpha(0)
    assert np.asarray(to_rgb(clear)).min() == 255  # transparent is white
    palette = picture.quantize(64)
    assert np.abs(np.asarray(to_rgb(palette), dtype=int) - rgb).mean() < 6
    grey = np.asarray(to_rgb(picture.convert("L")))
    assert grey.shape == rgb.shape and (grey[..., 0] == grey[..., 2]).all()
    deep = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    assert np.abs(np.asarray(to_rgb(deep), dtype=int) - grey).max() <= 1
    shallow = np.asarray(to_rgb(picture.convert("L").convert("I")), dtype=int)  # 32 bits that hold 0 to 255
    assert np.abs(shallow - grey).max() <= 1
    for mode in ("1", "CMYK", "YCbCr", "LAB", "HSV", "F", "LA"):
        source = picture.convert("RGBA" if mode == "LA" else "L" if mode == "F" else "RGB")
        assert to_rgb(source.convert(mode)).mode == "RGB"
    deep = Image.fromarray(np.full((4, 4), 200, dtype=np.uint16))  # very dark, and still 16 bits
    assert np.asarray(to_rgb(deep)).max() <= 1
    for bright in (1.0, 255.0):
        levels = Image.fromarray(np.linspace(0, bright, 16, dtype=np.float32).reshape(4, 4))
        assert np.asarray(to_rgb(levels))[..., 0].tolist() == (np.arange(16) * 17).reshape(4, 4).tolist()


@pytest.fixture(scope="module")
def painted() -> np.ndarray:
    """Where to draw: an L, true or false."""
    where = np.zeros((64, 96), dtype=bool)
    where[8:56, 16:32] = where[40:56, 16:80] = True
    return where


def strokes(painted: np.ndarray, colour: int, beneath: int) -> Image.Image:
    """Opaque strokes of a grey on a transparent canvas, as a drawing program saves them."""
    grey = np.where(painted, colour, beneath).astype(np.uint8)
    return Image.fromarray(np.dstack([grey, grey, grey, painted.astype(np.uint8) * 255]), "RGBA")


def test_what_is_painted_is_drawn(painted, components, tmp_path):
    grey = painted.astype(np.uint8) * 255
    Image.fromarray(grey).save(tmp_path / "mask.png")
    opaque = Image.fromarray(np.dstack([grey] * 3 + [np.full_like(grey, 255)]), "RGBA")
    deep = painted.astype(np.uint16) * 65535
    white, tensor = Image.fromarray(grey), torch.from_numpy(painted)
    forms = {
        "white on black": white, "colour": white.convert("RGB"), "one bit": Image.fromarray(painted),
        "palette": white.quantize(2), "opaque": opaque, "path": tmp_path / "mask.png", "a photo's": photo(white, 6),
        "16-bit picture": Image.fromarray(deep), "array": grey, "0 and 1": painted.astype(np.uint8), "truth": painted,
        "floats": painted.astype(np.float32),
        "16 bits": deep, "tensor": tensor, "float tensor": tensor.float(), "half": tensor.half(),
        "float picture": Image.fromarray(painted.astype(np.float32)),
    }  # fmt: skip
    for colour in (0, 128, 255):
        forms |= {f"strokes of {colour} on {beneath}": strokes(painted, colour, beneath) for beneath in (0, 255)}
    for form, mask in forms.items():
        assert (drawn(to_mask(mask)) == painted).all(), form
        assert mask_to_latents(mask, components).sum() == 24, form


def test_soft_masks_stay_soft(painted):
    soft = np.where(painted, 200, 20)
    assert np.unique(to_mask(soft)).tolist() == [20, 200]
    assert np.unique(to_mask(soft / 255)).tolist() == [20, 200]
    assert np.unique(to_mask((soft * 257).astype(np.uint16))).tolist() == [20, 200]


@pytest.mark.parametrize(
    "mask, message",
    [
        (None, "mask"), ("no.png", "no.png"), (np.zeros((2, 8, 8)), r"\(2, 8, 8\)"), (np.zeros((0, 8)), "mask"),
        (np.full((8, 8), np.nan), "finite"), (torch.zeros(1, 1, 8, 8), r"\(1, 1, 8, 8\)"), (np.full((8, 8), "x"), "mask"),
        ([1, 0], "mask"), (Image.new("L", (8, 16)), "agree"),
    ],
)  # fmt: skip
def test_what_is_no_mask_is_refused(mask, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        to_mask(mask, (8, 8))


def test_files_that_are_no_pictures_are_refused(tmp_path, upright):
    (tmp_path / "text.png").write_text("hello")
    upright.resize((600, 600)).rotate(7).save(tmp_path / "short.jpg")
    (tmp_path / "short.jpg").write_bytes((tmp_path / "short.jpg").read_bytes()[:3000])
    for name, error in (("text.png", ValueError), ("short.jpg", ValueError), ("none.png", FileNotFoundError), ("", ValueError)):
        with pytest.raises(error, match=f"image=.*{name}"):
            to_rgb(tmp_path / name)
    with pytest.raises(ValueError, match="cut short|read to its end"):
        to_rgb(Image.open(tmp_path / "short.jpg"))


def test_pictures_are_not_changed_by_looking(upright):
    stored = photo(upright, 6)
    before = stored.size, stored.mode
    assert plain(to_rgb(stored)) == plain(upright) and ImageOps.exif_transpose(stored).size == upright.size
    assert (stored.size, stored.mode) == before
