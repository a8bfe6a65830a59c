"""Diagrams of samplers: true to scale, readable as SVG; plots side by side."""

import base64
import io
import re
import xml.etree.ElementTree as ET

import pytest
from PIL import Image

from sd_helpers import plane, plots
from sd_helpers.notebook.sampler_diagrams import random_step, side_by_side


def words_in(shown) -> str:
    (data,) = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', shown.data)
    return " ".join(ET.fromstring(base64.b64decode(data)).itertext())


@pytest.mark.parametrize("eta, down, up", [(1, "0.85", "0.99"), (0.5, "1.20", "0.49"), (0, "1.30", "0.00")])
def test_a_random_step_says_where_it_goes(eta, down, up):
    words = words_in(random_step(2.0, 1.3, eta))
    assert f"sigma_down {down}" in words and f"sigma_up {up}" in words
    assert ("fresh noise" in words) == (eta > 0)


@pytest.mark.parametrize("levels", [(2.0, 0.0), (1.0, 2.0), (0.0, 0.0)])
def test_a_step_goes_down_to_a_level_above_0(levels):
    with pytest.raises(ValueError, match="sigma_next"):
        random_step(*levels)


def test_plots_stand_side_by_side():
    one = plots.plane(plane.moons(20))
    row = side_by_side([one, one, one], alt="three times the moons")
    picture = Image.open(io.BytesIO(row.data))
    assert picture.width == 3 * Image.open(io.BytesIO(side_by_side([one]).data)).width
    assert row.alt == "three times the moons"
    for figures in ([], "no figures"):
        with pytest.raises(ValueError, match="figures"):
            side_by_side(figures)
