"""The measures and the gallery, on icons whose answer is known."""

import base64
import io

import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from PIL import Image, ImageChops

from sd_helpers import gallery
from sd_helpers.metrics import background_of, clip_score, mean_difference, nearest_concepts, psnr
from sd_helpers.views import contact_sheet, film, grid, show


def test_gallery_holds_four_styles_with_labels_and_tags():
    icons = gallery.icons()
    assert len(icons) > 5000 and len({i.concept for i in icons}) > 1300
    assert {i.style for i in icons} == set(gallery.STYLES)
    (fox,) = gallery.find("fox", style="noto")
    assert fox.label == "fox" and "animal" in fox.tags and fox.group == 3
    assert "dog-face" in {i.concept for i in gallery.find("puppy")}
    assert gallery.find("") == [] and gallery.find("zygomorphic") == []


def test_thumbnails_stand_on_their_background():
    icon = gallery.find("fox", style="noto")[0]
    assert icon.picture("blue").getpixel((0, 0)) == gallery.BACKGROUNDS["blue"]
    assert icon.picture("blue", 64).size == (64, 64)
    with pytest.raises(ValueError, match="mauve.*white"):
        icon.picture("mauve")


def test_icons_that_the_model_learned_first_are_there_in_detail():
    def detail(icon):  # what an enlarged thumbnail cannot have
        picture = icon.picture("green", 128)
        return mean_difference(
            picture, picture.resize((32, 32), Image.Resampling.BOX).resize((128, 128), Image.Resampling.LANCZOS)
        )

    fox, unknown = (gallery.find(name, style="noto")[0] for name in ("fox", "trombone"))
    assert detail(fox) > 3 * detail(unknown) > 0
    shown = gallery.find("brown heart") + gallery.find("fox") + gallery.find("owl")
    thumbnails = [icon.picture("blue") for icon in shown]
    for icon in shown:
        shrunk = icon.picture("blue", gallery.LARGE).resize(thumbnails[0].size, Image.Resampling.BOX)
        distances = [mean_difference(thumbnail, shrunk) for thumbnail in thumbnails]
        assert shown[int(np.argmin(distances))] == icon, "the large icon is another one than the thumbnail"


def test_backgrounds_are_named_even_when_noisy():
    rng = np.random.default_rng(0)
    for name, colour in gallery.BACKGROUNDS.items():
        noisy = np.clip(rng.normal(colour, 12, (64, 64, 3)), 0, 255).astype(np.uint8)
        assert background_of(Image.fromarray(noisy)) == name


def test_an_icon_is_its_own_nearest_concept():
    for words, background in (("fox", "white"), ("pizza", "blue"), ("rocket", "yellow")):
        icon = gallery.find(words, style="flat")[0]
        best = nearest_concepts(icon.picture(background, 64), background)
        assert best[0].icon.concept == icon.concept and best[0].distance < 0.03
        assert len({m.icon.concept for m in best}) == len(best) == 5


@pytest.mark.parametrize("spoil", [ImageChops.invert, lambda p: p.transpose(Image.Transpose.TRANSPOSE), lambda p: p.rotate(180)])
def test_a_spoilt_icon_is_not(spoil):
    icon = gallery.find("rocket", style="noto")[0]
    spoilt = nearest_concepts(spoil(icon.picture("yellow", 64)), "yellow", count=1)[0]
    assert spoilt.distance > 0.1


def test_psnr_by_hand():
    black, grey = Image.new("RGB", (4, 4)), Image.new("RGB", (4, 4), (51, 51, 51))  # 0.2 apart: 10 log10(1 / 0.04)
    assert psnr(black, grey) == pytest.approx(13.979, abs=1e-3)
    assert psnr(black, black) == float("inf")
    assert mean_difference(black, grey) == 51
    for measure in (psnr, mean_difference):
        with pytest.raises(ValueError, match="must agree"):
            measure(black, Image.new("RGB", (4, 5)))


def test_clip_finds_the_icon_of_a_prompt():
    labels = ["fox", "pizza", "rocket", "red heart", "penguin", "sunflower"]
    pictures = [gallery.find(label, style="noto")[0].picture("white", 64) for label in labels]
    for label, picture in zip(labels, pictures, strict=True):
        scores = clip_score([picture] * len(labels), [f"a {other}" for other in labels])
        assert labels[int(np.argmax(scores))] == label
    with pytest.raises(ValueError, match="one prompt for each"):
        clip_score(pictures, ["a fox"])


def test_clip_sees_wide_pictures_whole_and_several_sizes_at_once():
    wide, square = Image.new("RGB", (128, 64), "blue"), Image.new("RGB", (128, 128), (128, 128, 128))
    wide.paste(gallery.find("fox")[0].picture("white", 64), (64, 0))
    square.paste(wide, (0, 32))
    one, other, whole = clip_score([wide, square, wide.resize((64, 32))], ["a fox"] * 3)
    assert one == pytest.approx(other, abs=0.01) and one == pytest.approx(whole, abs=0.05)


def test_contact_sheet_and_film():
    tiles = [Image.new("RGB", (8, 4), colour) for colour in ("red", "green", "blue")]
    sheet = contact_sheet(tiles, columns=2, scale=2)
    assert sheet.size == (2 * 16 + 2, 2 * 8 + 2)
    assert sheet.getpixel((1, 1)) == (255, 0, 0) and sheet.getpixel((1, 12)) == (0, 0, 255)
    mixed = [*tiles, tiles[0].resize((9, 9))]
    for wrong, message in (([], "empty"), (tiles[0], "list"), (mixed, "one size"), ([None], "pictures")):
        with pytest.raises(ValueError, match=message):
            contact_sheet(wrong)
    html = film(tiles, width=99, alt='a "film"').data
    assert "data:image/webp;base64," in html and "&quot;film&quot;" in html and 'width="99"' in html


def test_show_keeps_the_pixels_and_says_what_it_shows():
    picture = Image.radial_gradient("L").resize((40, 20)).convert("RGB")
    data, metadata = DisplayFormatter().format(show(picture, width=80, alt="rings"))
    shown = Image.open(io.BytesIO(base64.b64decode(data["image/jpeg"])))
    assert shown.size == picture.size and mean_difference(shown, picture) < 3
    assert metadata["image/jpeg"] == {"width": 80, "alt": "rings"}


def test_what_is_enlarged_more_than_twice_keeps_its_pixels_sharp():
    picture = Image.radial_gradient("L").resize((40, 20)).convert("RGB")
    data, _ = DisplayFormatter().format(show(picture, width=120))
    shown = Image.open(io.BytesIO(base64.b64decode(data["image/jpeg"])))
    assert shown.size == (120, 60)
    assert mean_difference(shown, picture.resize((120, 60), Image.Resampling.NEAREST)) < 3
    assert "pixelated" in grid([picture], ["latents"], width=120).data
    assert "pixelated" not in grid([picture], ["latents"], width=80).data
