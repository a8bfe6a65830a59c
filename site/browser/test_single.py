"""The page as one file, opened as from a stick: no server at all."""

import subprocess
import sys

import pytest
from served import SITE
from test_page import draw, drawn, pixels


@pytest.fixture(scope="module")
def single(address):
    subprocess.run([sys.executable, SITE / "single.py"], check=True)
    return (SITE / "dist" / "emoji-sd.html").as_uri()


def test_one_file_draws_the_same_picture(fresh, address, single):
    served, alone = fresh(), fresh()
    draw(served, address)
    alone.goto(single)  # with all of it here, it draws at once
    drawn(alone)
    assert pixels(alone) == pixels(served)
    assert all(url.startswith((single, "blob:", "data:")) for url in alone.asked)
