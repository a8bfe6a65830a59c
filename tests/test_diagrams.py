"""Diagrams: drawn from the components, right about them, readable as SVG; predictions; the plane."""

import base64
import re
import xml.etree.ElementTree as ET

import pytest
import torch

from sd_helpers import diagrams, exact_noise, explore_machine, plane, question
from sd_helpers.notebook.svg import LIT, Drawing


def svg_of(shown) -> str:
    """The SVG in an <img>, which must be well formed; and what its alternative text says."""
    (data,) = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', shown.data)
    text = base64.b64decode(data).decode()
    ET.fromstring(text)
    assert re.search(r'alt="[^"]{20,}"', shown.data)
    return text


def words_in(shown) -> str:
    return " ".join(ET.fromstring(svg_of(shown)).itertext())


def all_diagrams(components) -> dict:
    a, b = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    c = components
    return {
        "machine": diagrams.machine(c, lit="U-Net", prompt="a very long prompt that is cut < & \" '"),
        "here": diagrams.here(c, "encoder", "decoder"),
        "autoencoder": diagrams.autoencoder(c.vae),
        "words": diagrams.words("a fox & a <cat>", c.tokenizer, c.text_encoder),
        "text_encoder_layers": diagrams.text_encoder_layers(c.text_encoder),
        "attention": diagrams.attention(64, 77, 128, 4),
        "u_net": diagrams.u_net(c.unet, lit=1),
        "noise_levels": diagrams.noise_levels(c.scheduler, 15),
        "guidance_arrow": diagrams.guidance_arrow(a, b, 5),
        "image_to_image": diagrams.image_to_image(c.scheduler, 20, 8),
        "slopes": diagrams.slopes(),
        "steering": diagrams.steering(),
        "adapted": diagrams.adapted(c),
        "backwards": diagrams.backwards(),
        "inpainting": diagrams.inpainting(),
        "lent_attention": diagrams.lent_attention(64, 77, 4),
        "random_step": diagrams.random_step(2.0, 1.0),
        "cuts": diagrams.cuts("a fox", c.tokenizer, c.text_encoder, edited="sums", at=2),
        "one_row": diagrams.one_row(c),
        "six_functions": diagrams.six_functions(c, lit=(2,)),
    }


def test_every_diagram_is_drawn(components):
    drawn = all_diagrams(components)
    assert set(diagrams.__all__) == {*drawn, "PARTS"}
    for name, shown in drawn.items():
        inside = ET.fromstring(svg_of(shown))
        _, _, width, height = map(float, inside.get("viewBox").split())
        for text in inside.iter("{http://www.w3.org/2000/svg}text"):
            wide = float(text.get("font-size")) * 0.62 * len(text.text)  # about: no letter is much wider
            left = float(text.get("x")) - {"start": 0, "middle": wide / 2, "end": wide}[text.get("text-anchor")]
            assert left > -12 and left + wide < width + 25, (name, text.text)
            assert 0 < float(text.get("y")) < height, (name, text.text)


def test_diagrams_say_what_the_components_are(components):
    assert "(77, 128)" in words_in(diagrams.machine(components)) and "(4, 16, 16)" in words_in(diagrams.machine(components))
    assert "0.18215" in words_in(diagrams.autoencoder(components.vae))
    assert "(192, 4, 4)" in words_in(diagrams.u_net(components.unet))
    unet = components.unet
    assert f"the {sum(hasattr(m, 'time_emb_proj') for m in unet.modules())} residual" in words_in(diagrams.u_net(unet))
    assert "3240" in words_in(diagrams.words("a fox", components.tokenizer, components.text_encoder))
    assert "12 of 20 steps are taken, 8 are left out" in words_in(diagrams.image_to_image(components.scheduler, 20, 8))


def test_the_original_is_drawn_as_well():
    from sd_helpers import models

    original = models.sd_v1_on_meta()
    assert "(1280, 8, 8)" in words_in(diagrams.u_net(original["unet"]))
    assert "(4, 64, 64)" in words_in(diagrams.autoencoder(original["vae"]))
    assert "layer 12" in words_in(diagrams.text_encoder_layers(original["text_encoder"]))


@pytest.mark.parametrize("scale", [-4, 0, 1, 7.5])
def test_the_arrow_of_guidance_is_true_to_scale(scale):
    a, b = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    lines = re.findall(
        r"<path d='M([\d.]+) [\d.]+ L([\d.]+) [\d.]+'[^>]*stroke-width='3'", svg_of(diagrams.guidance_arrow(a, b, scale))
    )
    (x1, x2), (x3, x4) = [tuple(map(float, line)) for line in lines]  # to the guided one, and to the one with the prompt
    assert x2 - x3 == pytest.approx(scale * (x4 - x3), abs=0.5)


def test_wrong_parts_are_refused(components):
    with pytest.raises(ValueError, match="no part 'motor'"):
        diagrams.machine(components, lit="motor")
    with pytest.raises(ValueError, match="at least one part"):
        diagrams.here(components)
    a, b = torch.zeros(1, 4, 8, 8), torch.zeros(1, 4, 4, 4)
    c = components
    for refused, call in {
        "one shape, not Tensor of shape .1, 4, 8, 8. and": lambda: diagrams.guidance_arrow(a, b, 5),
        "one shape, not int and int": lambda: diagrams.guidance_arrow(1, 2, 5),
        "guidance_scale=nan": lambda: diagrams.guidance_arrow(a, a, float("nan")),
        "shown=99": lambda: diagrams.words("a", c.tokenizer, c.text_encoder, shown=99),
        "heads=0": lambda: diagrams.attention(4, 4, 8, 0),
        "wide=10 numbers do not divide": lambda: diagrams.attention(4, 4, 10, 3),
        "keys='x'": lambda: diagrams.lent_attention(4, "x", 2),
        "unet must be a U-Net, .* not AutoencoderKL": lambda: diagrams.u_net(c.vae),
        "lit=9": lambda: diagrams.u_net(c.unet, lit=9),
        "lit=3 must be a list": lambda: diagrams.machine(c, lit=3),
        "prompt=None": lambda: diagrams.machine(c, prompt=None),
        "picture_size=7": lambda: diagrams.autoencoder(c.vae, 7),
        "lora_rank=0": lambda: diagrams.adapted(c, 0),
        "components must be a loaded model": lambda: explore_machine(3),
    }.items():
        with pytest.raises(ValueError, match=refused):
            call()
    with pytest.raises(ValueError, match="start_step"):
        diagrams.image_to_image(components.scheduler, 20, 21)


def test_words_in_a_drawing_are_escaped():
    d = Drawing(100, 50)
    d.text(50, 20, "<b> & 'quoted'")
    assert words_in(d.shown('an alternative text with "quotes"')).strip() == "<b> & 'quoted'"


def test_a_prediction_is_compared(capsys):
    asked = question("Which is larger?", ["one", "two"])
    asked.reveal("two", "It is more.")
    asked.buttons.value = "A"
    assert asked.said == "one"
    asked.reveal("two")
    asked.reveal("one")
    printed = capsys.readouterr().out
    assert "The answer is B: two (you made no prediction). It is more." in printed
    assert "You said A: one. The answer is B: two." in printed and "You predicted it: A: one." in printed
    with pytest.raises(ValueError, match="none of the choices"):
        asked.reveal("three")
    for choices in (["one"], ["one", "one"]):
        with pytest.raises(ValueError, match="2 to 8 different choices"):
            question("Which?", choices)


@pytest.mark.parametrize(
    "points", [plane.spiral(300), plane.moons(301), plane.letters("SD", 300)], ids=["spiral", "moons", "letters"]
)
def test_points_are_of_unit_size(points):
    assert points.shape[1] == 2 and len(points) >= 300
    assert points.std() == pytest.approx(1, abs=1e-4) and points.mean(dim=0).abs().max() < 1e-4


def test_a_perfect_denoiser_is_the_gradient_of_the_log_density():
    points, sigma = plane.spiral(50).double(), 0.4
    x = torch.randn(8, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    density = torch.logsumexp(-torch.cdist(x, points).square() / (2 * sigma**2), dim=1).sum()
    (score,) = torch.autograd.grad(density, x)
    torch.testing.assert_close(exact_noise(x.detach(), sigma, points), -sigma * score)
    with pytest.raises(ValueError, match="above 0"):
        exact_noise(x.detach(), 0, points)


def test_of_one_point_all_the_rest_is_noise():
    x, point = torch.randn(5, 2), torch.tensor([[0.5, -1.0]])
    torch.testing.assert_close(exact_noise(x, 2.0, point), (x - point) / 2)


@pytest.mark.parametrize("eta, down, up", [(1, "0.85", "0.99"), (0.5, "1.20", "0.49"), (0, "1.30", "0.00")])
def test_a_random_step_says_where_it_goes(eta, down, up):
    words = words_in(diagrams.random_step(2.0, 1.3, eta))
    assert f"sigma_down {down}" in words and f"sigma_up {up}" in words
    assert ("fresh noise" in words) == (eta > 0)


@pytest.mark.parametrize("levels", [(2.0, 0.0), (1.0, 2.0), (0.0, 0.0)])
def test_a_step_goes_down_to_a_level_above_0(levels):
    with pytest.raises(ValueError, match="sigma_next"):
        diagrams.random_step(*levels)


def boxes(shown) -> dict[str, tuple[str, ...]]:
    """The small lines of each box, by its name; of boxes with the same name the last."""
    texts = [(t.text, t.get("font-weight")) for t in ET.fromstring(svg_of(shown)).iter("{http://www.w3.org/2000/svg}text")]
    found = {}
    for i, (name, weight) in enumerate(texts):
        if weight:
            end = next((j for j in range(i + 1, len(texts)) if texts[j][1]), len(texts))
            found[name] = tuple(text for text, _ in texts[i + 1 : end])
    return found


def lit_boxes(shown) -> int:
    return svg_of(shown).count(f"fill='{LIT}'")


def outputs_of(modules: dict, call) -> dict:
    """What each module gave out during a call, (C, h, w) without the batch, as text."""
    given, hooks = {}, []
    for name, module in modules.items():
        hooks.append(module.register_forward_hook(lambda m, a, out, name=name: given.update({name: str(tuple(out.shape[1:]))})))
    try:
        with torch.no_grad():
            call()
    finally:
        for hook in hooks:
            hook.remove()
    return given


def test_the_unets_shapes_are_those_it_computes(components, embeds):
    unet = components.unet
    blocks = {f"down {i}": b.resnets[-1] for i, b in enumerate(unet.down_blocks)} | {"middle": unet.mid_block}
    blocks |= {f"up {i}": b.resnets[-1] for i, b in enumerate(unet.up_blocks)}
    given = outputs_of(blocks, lambda: unet(torch.zeros(1, 4, 16, 16), 500, embeds[0]))
    drawn = boxes(diagrams.u_net(unet))
    assert {name: drawn[name][0] for name in blocks} == given


def test_the_autoencoders_shapes_are_those_it_computes(components):
    vae = components.vae
    down = {f"down {i}": block for i, block in enumerate(vae.encoder.down_blocks)} | {"to moments": vae.quant_conv}
    up = {f"up {i}": block for i, block in enumerate(vae.decoder.up_blocks)}
    given = outputs_of(down, lambda: vae.encode(torch.zeros(1, 3, 128, 128)))
    given |= outputs_of(up, lambda: vae.decode(torch.zeros(1, 4, 16, 16)))
    shown = diagrams.autoencoder(vae)
    assert {name: boxes(shown)[name][0] for name in (*down, *up)} == given
    assert "49,152 numbers in the picture" in words_in(shown) and "1,024 in the latents, 48 times fewer" in words_in(shown)


def test_words_have_their_own_ids(components):
    c = components
    ids = c.tokenizer("a red fox").input_ids
    texts = words_in(diagrams.words("a red fox", c.tokenizer, c.text_encoder)).split()
    assert [text for text in texts if text in map(str, ids)][: len(ids)] == list(map(str, ids))


def test_attention_is_scaled_by_the_numbers_of_one_head():
    assert "q . k / sqrt(32)" in words_in(diagrams.attention(64, 77, 128, 4))


def test_the_curves_are_the_shares_of_picture_and_noise(components):
    scheduler = components.scheduler
    curves = re.findall(r"<polyline points='([^']+)'", svg_of(diagrams.noise_levels(scheduler, 15)))
    heights = [torch.tensor([float(point.split(",")[1]) for point in curve.split()]) for curve in curves]
    alphas = scheduler.alphas_cumprod[::9].double()
    for share, height in zip((alphas.sqrt(), (1 - alphas).sqrt()), heights):
        drawn = _zero_to_one(-height)  # y runs downwards
        torch.testing.assert_close(drawn, _zero_to_one(share), atol=0.01, rtol=0, check_dtype=False)


def _zero_to_one(values):
    return (values - values.min()) / (values.max() - values.min())


def test_a_step_uses_at_most_as_many_slopes_as_its_order():
    used = "fill='#fdf3e1'"  # what a slope that is remembered looks like
    for order, steps in ((1, 3), (4, 7), (2, 5)):
        svg = svg_of(diagrams.slopes(order, steps))
        assert svg.count(used) + lit_boxes(diagrams.slopes(order, steps)) == sum(min(i + 1, order) for i in range(steps))


def test_what_lora_trains_is_counted(components, picture):
    from sd_helpers import learn_lora

    taught, _ = learn_lora(components, [picture], ["a rocket"], num_steps=0, rank=4)
    count = sum(p.numel() for name, p in taught.unet.named_parameters() if "lora" in name)
    assert f"{count:,}" in words_in(diagrams.adapted(components, lora_rank=4))


@pytest.mark.parametrize("edited, lit", [(None, 0), ("token rows", 1 + 1 + 7), ("sums", 1 + 7), ("finished vectors", 1)])
def test_an_edit_reaches_what_stands_at_its_place_and_after_it(components, edited, lit):
    # Drawn are the positions 0 to 7 and the last: of the vectors an edit at 2 reaches 2 to 7 and the last.
    assert lit_boxes(diagrams.cuts("a red fox", components.tokenizer, components.text_encoder, edited, at=2)) == lit
