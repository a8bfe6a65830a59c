"""Diagrams of training: drawn within their frames, true to the network, and refusing what they cannot draw."""

import base64
import re
import xml.etree.ElementTree as ET

import pytest
from torch import nn

from sd_helpers import diagrams
from sd_helpers.beyond.from_nothing import TinyUNet
from sd_helpers.notebook.svg import LIT


def svg_of(shown) -> str:
    (data,) = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', shown.data)
    assert re.search(r'alt="[^"]{20,}"', shown.data)
    return base64.b64decode(data).decode()


@pytest.mark.parametrize("draw", [diagrams.denoiser_training, lambda: diagrams.tiny_u_net(TinyUNet(), 16)])
def test_words_stand_within_the_frame(draw):
    inside = ET.fromstring(svg_of(draw()))
    _, _, width, height = map(float, inside.get("viewBox").split())
    for text in inside.iter("{http://www.w3.org/2000/svg}text"):
        wide = float(text.get("font-size")) * 0.62 * len(text.text)
        left = float(text.get("x")) - {"start": 0, "middle": wide / 2, "end": wide}[text.get("text-anchor")]
        assert left > -12 and left + wide < width + 25 and 0 < float(text.get("y")) < height, text.text


def test_the_network_alone_is_lit():
    assert svg_of(diagrams.denoiser_training()).count(LIT) == 1


def test_shapes_and_counts_are_the_networks():
    net = TinyUNet(3, 16)
    words = " ".join(ET.fromstring(svg_of(diagrams.tiny_u_net(net, 32))).itertext())
    assert "(16, 16, 16)" in words and "(32, 8, 8)" in words and "(3, 32, 32)" in words
    for part in ("enter", "before", "middle", "join", "leave"):
        assert f"{sum(p.numel() for p in getattr(net, part).parameters()):,}" in words
    seen = {}
    for part in ("before", "middle"):
        getattr(net, part).register_forward_hook(lambda module, given, out, part=part: seen.update({part: tuple(out.shape[1:])}))
    import torch

    net(torch.zeros(1, 3, 32, 32), 0.5)
    assert seen == {"before": (16, 16, 16), "middle": (32, 8, 8)}


@pytest.mark.parametrize(
    "wrong, said",
    [((nn.Linear(2, 2),), "TinyUNet"), ((TinyUNet(), 15), "multiple of 4"), ((TinyUNet(), 2), "side=2"), ((None,), "NoneType")],
)
def test_refuses_with_a_sentence(wrong, said):
    with pytest.raises(ValueError, match=said):
        diagrams.tiny_u_net(*wrong)
