"""The comparison of outputs bites: nothing escapes by its type, and what does not matter passes."""

import base64
from unittest.mock import ANY

import pytest
from nbcompared.outputs import compare
from samples import encode, icon, noise, shaken


def shown(**data) -> dict:
    """A display_data output; "image_png" stands for image/png."""
    return {"output_type": "display_data", "data": {mime.replace("_", "/", 1): content for mime, content in data.items()}}


def printed(text: str, name="stdout") -> dict:
    return {"output_type": "stream", "name": name, "text": text}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def embedded(data: bytes, kind="gif") -> dict:
    return shown(text_html=f'<img width="64" src="data:image/{kind};base64,{b64(data)}">')


PNG = b64(encode(icon()))
FILM = [icon(), icon("gold"), icon("teal")]
VIEW = {"application/vnd.jupyter.widget-view+json": {"version_major": 2, "model_id": "a1"}, "text/plain": "Slider(value=5)"}


def widget(**changes) -> dict:
    return {"output_type": "display_data", "data": {**VIEW, **changes}}


def test_equal_outputs_pass_however_they_are_split():
    assert not compare([printed("a 1\nb"), printed(" c\n")], [printed("a 1\n"), printed("b c\n")])
    assert not compare([printed("x", "stderr"), printed("a")], [printed("a"), printed("x", "stderr")])
    assert not compare([printed("1%\r50%\r100%\n")], [printed("1%\r"), printed("100%\n")])
    assert not compare([shown(image_png=PNG)], [shown(image_png=b64(encode(shaken(icon()))) + "\n")])


def test_embedded_pictures_and_films_are_compared_as_pictures():
    other = [FILM[0], noise(), FILM[2]]
    for kind in ("GIF", "WEBP"):
        assert not compare([embedded(encode(*FILM, kind=kind))], [embedded(encode(*FILM, kind=kind, duration=90))])
        (found,) = compare([embedded(encode(*FILM, kind=kind))], [embedded(encode(*other, kind=kind))])
        assert found.where == "output 1, text/html, picture 1" and "frame 2 of 3" in found.why
        assert all(picture.shape == (64, 64, 3) for picture in found.pictures)


def test_widgets_are_compared_by_their_description():
    view = next(iter(VIEW))
    assert not compare([widget()], [widget(**{view: {"version_major": 2, "model_id": "b2"}})])
    quoted = [widget(**{"text/plain": f"Image(value=b'\\x89PNG {name}...', width='64')"}) for name in "ab"]
    assert "display the picture itself" in compare(quoted[:1], quoted[:1])[0].why
    assert compare([widget()], [widget(**{"text/plain": "Slider(value=6)"})])
    assert compare([widget()], [widget(**{view: {"version_major": 3, "model_id": "a1"}})])


ESCAPES = {
    "no picture any more": ([printed("a"), shown(image_png=PNG)], [printed("a")]),
    "a picture that was not there": ([printed("a")], [printed("a"), shown(image_png=PNG)]),
    "text for a picture": ([shown(image_png=PNG)], [shown(text_plain="<Figure>")]),
    "another type of picture": ([shown(image_png=PNG)], [shown(image_jpeg=b64(encode(icon(), kind="JPEG")))]),
    "pictures exchanged": ([shown(image_png=PNG), printed("a")], [printed("a"), shown(image_png=PNG)]),
    "a warning": ([printed("a")], [printed("a"), printed("careful", "stderr")]),
    "an unknown type": ([shown(video_mp4="AAAA")], [shown(video_mp4="AAAB")]),
    "a drawing": ([shown(**{"image_svg+xml": "<a x='0.50'/>"})], [shown(**{"image_svg+xml": "<a x='0.60'/>"})]),
    "json": ([shown(application_json={"a": [1, 2]})], [shown(application_json={"a": [1, 3]})]),
    "broken picture": ([shown(image_png="AAAA")], [shown(image_png="AAAB")]),
}


@pytest.mark.parametrize("stored, fresh", ESCAPES.values(), ids=ESCAPES)
def test_nothing_escapes_by_its_type(stored, fresh):
    assert compare(stored, fresh)


def test_errors_are_compared_without_colours_and_traceback():
    def error(value, trace):
        return {"output_type": "error", "ename": "ValueError", "evalue": value, "traceback": [trace]}

    assert not compare([error("\x1b[31mbad\x1b[0m size", "a")], [error("bad size", "b")])
    assert compare([error("bad size", ANY)], [error("bad shape", ANY)])


def test_numbers_in_html_count_and_random_ids_do_not():
    ids = ["0123456789abcdef" * 2, "f0123456789abcde" * 2]
    assert not compare(*([shown(text_html=f"<b id='img{one}'>0.500</b>")] for one in ids))
    assert compare([shown(text_html="<b>0.500</b>")], [shown(text_html="<b>0.600</b>")])


def test_a_diagram_in_an_address_is_compared_as_text():
    def diagram(x, word):
        data = b64(f"<svg xmlns='http://www.w3.org/2000/svg'><text x='{x}'>{word}</text></svg>".encode())
        return [shown(text_html=f'<img alt="a diagram" src="data:image/svg+xml;base64,{data}">')]

    assert not compare(diagram("350.1", "latents"), diagram("350.2", "latents"))  # a rounding moves nothing that one could see
    (moved,) = compare(diagram("350.1", "latents"), diagram("390.1", "latents"))
    assert "350.1 was stored, 390.1 now" in moved.why
    (other,) = compare(diagram("350.1", "latents"), diagram("350.1", "pixels"))
    assert "the text differs" in other.why
