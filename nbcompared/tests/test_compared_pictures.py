"""The comparison of pictures and films bites: what must pass passes, what must fail fails, and says why."""

import io

import matplotlib.figure
import numpy as np
import pytest
from nbcompared.pictures import picture_difference
from PIL import Image
from samples import encode, gradient, grid, icon, noise, shaken


def plot(shift=0.0) -> np.ndarray:
    """A matplotlib figure whose line is `shift` higher, (280, 480, 3)."""
    figure = matplotlib.figure.Figure(figsize=(6, 3.5), dpi=80)
    x = np.linspace(0, 10, 200)
    figure.subplots().plot(x, np.sin(x) + shift)
    file = io.BytesIO()
    figure.savefig(file)
    return np.array(Image.open(file).convert("RGB"))


def one_tile_noise(picture: np.ndarray) -> np.ndarray:
    """A picture with one of its 4 x 4 tiles replaced."""
    side, changed = len(picture) // 4, picture.copy()
    changed[side : 2 * side, 2 * side : 3 * side] = noise((side, side, 3), seed=3)
    return changed


PICTURES = {
    "icon": icon(),
    "grid": grid(),
    "gradient": gradient(),
    "noise": noise(),
    "latents": noise((16, 16, 3)),
    "tiny": noise((4, 4, 3)),
}
HARMLESS = {
    "same": np.copy,
    "noise of one level": lambda picture: shaken(picture, 1),
    "noise of two levels": shaken,
    "two levels brighter": lambda picture: np.clip(picture.astype(int) + 2, 0, 255).astype(np.uint8),
}
HARMFUL = {
    "noise": lambda picture: noise(picture.shape, seed=3),
    "channels turned": lambda picture: picture[..., [1, 2, 0]],
    "red and blue swapped": lambda picture: picture[..., ::-1],
    "aside": lambda picture: np.roll(picture, max(1, len(picture) // 32), axis=1),
    "down": lambda picture: np.roll(picture, max(1, len(picture) // 32), axis=0),
    "transposed": lambda picture: picture.swapaxes(0, 1),
    "inverted": lambda picture: 255 - picture,
    "one tile": one_tile_noise,
    "smaller": lambda picture: picture[:-1],
}


@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)
@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_harmless_changes_of_a_picture_pass(picture, change):
    assert picture_difference(encode(picture), encode(change(picture))) is None


@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)
@pytest.mark.parametrize("change", HARMFUL.values(), ids=HARMFUL)
def test_harmful_changes_of_a_picture_fail(picture, change):
    assert picture_difference(encode(picture), encode(np.ascontiguousarray(change(picture))))


@pytest.mark.parametrize("quality", [75, 90, 95])
@pytest.mark.parametrize("picture", [icon(), grid(), gradient()], ids=["icon", "grid", "gradient"])
def test_jpeg_saved_again_passes(picture, quality):
    stored = encode(picture, kind="JPEG", quality=quality)
    for fresh in (np.array(Image.open(io.BytesIO(stored))), shaken(picture, 1)):
        assert picture_difference(stored, encode(fresh, kind="JPEG", quality=quality)) is None


def test_line_of_a_plot_may_move_by_a_fraction_of_a_pixel():
    assert picture_difference(encode(plot()), encode(plot(shift=0.003))) is None
    assert picture_difference(encode(plot()), encode(plot(shift=0.05)))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_every_frame_of_a_film_counts(kind):
    frames = [icon(colour) for colour in ("crimson", "gold", "teal", "violet")]
    stored = encode(*frames, kind=kind)
    assert picture_difference(stored, encode(*frames, kind=kind)) is None
    changed = encode(*frames[:2], noise(), frames[3], kind=kind)
    assert "frame 3 of 4: similarity" in picture_difference(stored, changed).why
    assert "4 frames were stored, there are 3 now" in picture_difference(stored, encode(*frames[:3], kind=kind)).why


def test_transparent_is_white_and_palettes_are_converted():
    opaque = Image.fromarray(np.where(icon() == icon()[0, 0], 255, icon()).astype(np.uint8))
    clear = opaque.convert("RGBA")
    clear.putdata([(0, 0, 0, 0) if pixel == (255, 255, 255, 255) else pixel for pixel in clear.get_flattened_data()])
    assert picture_difference(encode(np.array(opaque)), encode(np.array(clear))) is None
    palette = io.BytesIO()
    opaque.quantize(16).save(palette, "PNG")
    assert picture_difference(encode(np.array(opaque)), palette.getvalue()) is None
