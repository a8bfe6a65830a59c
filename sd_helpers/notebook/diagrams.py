"""Diagrams of the machine, drawn from the loaded components: real shapes, real sizes, so that no picture can drift from them.

Each function returns an `IPython.display.HTML` with an alternative text. The pen is `svg.Drawing`; diagrams of parts lie in
`part_diagrams` and `text_diagrams`, those of ideas in `idea_diagrams` and `hold_diagrams`; all are imported from here.
"""

from __future__ import annotations

from ..arguments import door, one_text, several
from ..runtime.runtimes import original
from .flow_diagrams import straight_line as straight_line
from .flow_diagrams import successors as successors
from .hold_diagrams import adapted, backwards, cuts, inpainting, one_row, steering
from .idea_diagrams import guidance_arrow, image_to_image, noise_levels, random_step, slopes
from .part_diagrams import autoencoder, six_functions, u_net
from .svg import FAINT, Drawing
from .text_diagrams import attention, lent_attention, text_encoder_layers, words
from .train_diagrams import denoiser_training as denoiser_training
from .train_diagrams import tiny_u_net as tiny_u_net

__all__ = [
    "PARTS", "adapted", "attention", "autoencoder", "backwards", "cuts", "guidance_arrow", "here", "image_to_image",
    "inpainting", "lent_attention", "machine", "noise_levels", "one_row", "random_step", "six_functions", "slopes", "steering",
    "text_encoder_layers", "u_net", "words",
]  # fmt: skip

PARTS = (
    "prompt", "tokenizer", "text encoder", "noise", "latents", "U-Net", "guidance", "scheduler", "decoder", "picture",
    "your picture", "encoder",
)  # fmt: skip


@door
def machine(components, lit: str | tuple[str, ...] = (), prompt: str = "a fox on a blue background"):
    """The whole machine, with what flows between its parts.

    Args:
        lit: the parts to light up, of `PARTS`.
        prompt: the words that stand at its beginning.

    Returns:
        IPython.display.HTML

    Raises:
        ValueError: a part that the machine has not.
    """
    lit, prompt = _parts(lit), one_text("prompt", prompt)
    (height, width), factor = components.default_size, components.factor
    unet = original(components.unet)
    latent = f"({unet.config.in_channels}, {height // factor}, {width // factor})"
    positions, wide = components.tokenizer.model_max_length, components.text_encoder.config.hidden_size
    size = lambda module: f"{sum(p.numel() for p in module.parameters()) / 1e6:.1f} M numbers"  # noqa: E731
    d = Drawing(900, 340)

    def part(name, x, y, w, h, lines, kind):
        return d.box(x, y, w, h, [name, *lines], kind, lit=name in lit)

    typed = part("prompt", 20, 24, 190, 50, [prompt if len(prompt) < 28 else prompt[:25] + "..."], "words")
    tokens = part("tokenizer", 250, 24, 130, 50, [f"{len(components.tokenizer):,} pieces"], "words")
    text = part("text encoder", 430, 24, 150, 50, [size(components.text_encoder)], "network")
    d.arrow(typed.right, tokens.left)
    d.arrow(tokens.right, text.left, label=f"{positions} ids")

    d.box(268, 118, 424, 144, kind="")  # the loop
    d.text(282, 136, "the loop, once for each of the steps", anchor="start", size=11, colour=FAINT)
    net = part("U-Net", 430, 150, 150, 66, [size(unet), "predicts the noise"], "network")
    # The label of these arrows stands beside them, where there is room.
    d.arrow(text.bottom, net.top)
    d.text(516, 96, f"prompt embeddings ({positions}, {wide})", anchor="start", size=11, mono=True)
    noise = part("noise", 20, 158, 100, 50, ["from the seed"], "latents")
    state = part("latents", 290, 158, 110, 50, [latent], "latents")
    d.arrow(noise.right, state.left, label="times sigma", above=7)
    d.arrow(state.right, net.left)
    guide = part("guidance", 604, 124, 78, 36, [], "sum")
    stepped = part("scheduler", 604, 190, 78, 36, [], "sum")
    d.arrow(net.right, (592, 183), (592, 142), guide.left)
    d.arrow(guide.bottom, stepped.top)
    d.arrow((643, 226), (643, 238), (330, 238), (330, 208), label="a little less noise", above=-13)

    decoded = part("decoder", 716, 158, 76, 50, ["VAE"], "network")
    final = part("picture", 812, 158, 76, 50, [f"{width} x {height}"], "pixels")
    d.arrow((376, 208), (376, 280), (754, 280), decoded.bottom)
    d.text(596, 275, "after the last step", anchor="middle", size=11, colour=FAINT)
    d.arrow(decoded.right, final.left)

    given = part("your picture", 20, 276, 100, 46, ["or none"], "pixels")
    encoded = part("encoder", 158, 276, 90, 46, ["VAE"], "network")
    d.arrow(given.right, encoded.left, dashed=True)
    d.arrow(encoded.right, (305, 299), (305, 208), dashed=True)
    d.text(256, 318, "plus noise: image to image", anchor="start", size=11, colour=FAINT)
    return d.shown(
        f"The machine: the prompt becomes {positions} ids, then as many vectors of {wide} numbers, which the U-Net reads; noise "
        f"becomes latents {latent}; in the loop the U-Net predicts noise, guidance exaggerates, the scheduler removes a little; "
        f"at the end the decoder makes {width} x {height} pixels. {_told(lit)}"
    )


@door
def here(components, *lit: str):
    """The whole machine, small, with the parts lit that a notebook is about: where on the map we are.

    Args:
        lit: parts, of `PARTS`.
    """
    lit = _parts(lit)
    if not lit:
        raise ValueError(f"light at least one part: {', '.join(PARTS)}.")
    d = Drawing(760, 104)

    def part(name, x, y, w, kind):
        return d.box(x, y, w, 28, [name], kind, lit=name in lit)

    typed, tokens = part("prompt", 14, 12, 70, "words"), part("tokenizer", 104, 12, 80, "words")
    text = part("text encoder", 204, 12, 104, "network")
    noise, state = part("noise", 14, 60, 60, "latents"), part("latents", 228, 60, 72, "latents")
    net, guide = part("U-Net", 322, 60, 64, "network"), part("guidance", 408, 60, 78, "sum")
    stepped = part("scheduler", 408, 12, 78, "sum")
    decoded, final = part("decoder", 516, 60, 70, "network"), part("picture", 606, 60, 70, "pixels")
    encoded, given = part("encoder", 516, 12, 70, "network"), part("your picture", 606, 12, 104, "pixels")
    for one, other in ((typed, tokens), (tokens, text), (noise, state), (state, net), (net, guide), (decoded, final)):
        d.arrow(one.right, other.left)
    d.arrow(text.right, (354, 26), net.top)
    d.arrow(guide.top, stepped.bottom)
    d.arrow(stepped.left, (396, 26), (396, 50), (264, 50), state.top)
    d.arrow(state.bottom, (264, 97), (551, 97), decoded.bottom)
    d.arrow(given.left, encoded.right, dashed=True)
    d.arrow(encoded.left, (500, 26), (500, 5), (192, 5), (192, 74), (228, 74), dashed=True, head=False)
    return d.shown(f"Map of the machine. {_told(lit)}", width=760)


def _parts(lit) -> tuple[str, ...]:
    lit = (lit,) if isinstance(lit, str) else tuple(several("lit", lit, f"Name parts: {', '.join(PARTS)}."))
    for name in lit:
        if name not in PARTS:
            raise ValueError(f"the machine has no part {name!r}: {', '.join(PARTS)}.")
    return lit


def _told(lit) -> str:
    return f"Lit: {', '.join(lit)}." if lit else ""
