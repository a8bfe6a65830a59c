"""The diagrams of flow matching: right about their numbers, and inside their frame."""

import xml.etree.ElementTree as ET

import pytest
from test_diagrams import svg_of, words_in

from sd_helpers.beyond import successors
from sd_helpers.notebook import flow_diagrams

ROWS = {
    name: ([["CLIP L", "0.12 B"], ["CLIP bigG", "0.69 B"], ["T5 XXL", "4.76 B"]], [["transformer", "2.03 B"]], [["VAE", "16"]])
    for name in successors.NAMES
}


@pytest.mark.parametrize("shown", [flow_diagrams.straight_line(), flow_diagrams.straight_line(1), flow_diagrams.successors(ROWS)])
def test_words_stay_inside(shown):
    inside = ET.fromstring(svg_of(shown))
    _, _, width, height = map(float, inside.get("viewBox").split())
    for text in inside.iter("{http://www.w3.org/2000/svg}text"):
        wide = float(text.get("font-size")) * 0.62 * len(text.text)
        left = float(text.get("x")) - {"start": 0, "middle": wide / 2, "end": wide}[text.get("text-anchor")]
        assert left > -12 and left + wide < width + 25, text.text
        assert 0 < float(text.get("y")) < height, text.text


@pytest.mark.parametrize(
    "s, sigma, line, arc",
    [
        (0.5, "1.00", "0.50 x0 + 0.50 noise", "0.71 x0 + 0.71 noise"),
        (0.8, "4.00", "0.20 x0 + 0.80 noise", "0.24 x0 + 0.97 noise"),
    ],
)
def test_the_line_and_the_arc_say_their_shares(s, sigma, line, arc):
    words = words_in(flow_diagrams.straight_line(s))
    assert f"sigma = s / (1 - s) = {sigma}" in words and line in words and arc in words


def test_pure_noise_has_an_infinite_sigma():
    assert "infinite" in words_in(flow_diagrams.straight_line(1))
    with pytest.raises(ValueError, match="s=1.5"):
        flow_diagrams.straight_line(1.5)


def test_the_successors_are_all_told():
    shown = flow_diagrams.successors(ROWS)
    words = words_in(shown)
    assert all(name in words for name in successors.NAMES)
    assert "4.76 B" in words and "SD3 Medium: CLIP L, CLIP bigG, T5 XXL; transformer 2.03 B; VAE 16" in shown.data


@pytest.mark.parametrize("rows", [{}, "x", None])
def test_machines_are_asked_for(rows):
    with pytest.raises(ValueError, match="rows must be a dict"):
        flow_diagrams.successors(rows)
