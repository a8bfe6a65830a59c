"""The diagram of the blank page: six functions, what they hand to each other, and the loop that they make."""

from __future__ import annotations

from ..arguments import whole_number
from ..runtime.runtimes import original
from .svg import FAINT, Drawing

TASKS = ("token_ids", "embed", "noise_schedule", "guided_noise", "euler_step", "draw")


def six_functions(components, lit=(1, 2, 3, 4, 5, 6)):
    """The functions of notebook 07 in their places, with the shapes that this model gives them.

    Args:
        lit: numbers of those to light up, 1 to 6: what is to be written. The last, `draw`, is the frame around the others.

    Returns:
        IPython.display.HTML

    Raises:
        ValueError: a number that is none of a task.
    """
    lit = {whole_number("lit", number, 1, len(TASKS)) for number in (lit if hasattr(lit, "__iter__") else [lit])}
    (height, width), factor = components.default_size, components.factor
    latent = f"(1, {original(components.unet).config.in_channels}, {height // factor}, {width // factor})"
    positions, wide = components.tokenizer.model_max_length, components.text_encoder.config.hidden_size
    d = Drawing(900, 316)

    def task(number, x, y, w, line):
        return d.box(x, y, w, 50, [f"{number} {TASKS[number - 1]}", line], "sum", lit=number in lit)

    d.box(12, 12, 876, 292, dashed=True)
    d.box(752, 22, 120, 30, ["6 draw"], "sum", lit=6 in lit)
    d.text(742, 42, "all of this, from the prompt to the picture:", anchor="end", size=11, colour=FAINT)
    typed = d.box(32, 66, 104, 50, ["prompt"], "words")
    ids, vectors = task(1, 176, 66, 124, f"(2, {positions})"), task(2, 340, 66, 124, f"(2, {positions}, {wide})")
    task(3, 606, 66, 220, "n timesteps, n + 1 sigmas")
    noise = d.box(32, 182, 104, 50, ["noise", "from the seed"], "latents")
    state = d.box(176, 182, 124, 50, ["latents", latent], "latents")
    predicted, stepped = task(4, 376, 182, 160, "asks the U-Net twice"), task(5, 620, 182, 160, "to the next sigma")
    d.box(800, 252, 72, 40, ["picture"], "pixels")
    for one, other in ((typed, ids), (ids, vectors), (state, predicted)):
        d.arrow(one.right, other.left)
    d.arrow(noise.right, state.left)
    d.text(138, 174, "times the first sigma", anchor="start", size=10, colour=FAINT)
    d.arrow((402, 116), (402, 182))
    d.text(394, 152, "embeddings", anchor="end", size=11, colour=FAINT)
    d.arrow((640, 116), (640, 148), (500, 148), (500, 182))
    d.text(570, 142, "timestep, sigma", size=11, colour=FAINT)
    d.arrow((740, 116), (740, 182))
    d.text(748, 152, "sigma, next sigma", anchor="start", size=11, colour=FAINT)
    d.arrow(predicted.right, stepped.left)
    d.text(578, 198, "noise_pred", size=11, colour=FAINT)
    d.arrow((700, 232), (700, 252), (226, 252), (226, 232))
    d.text(463, 246, "latents with a little less noise", size=11, colour=FAINT)
    d.arrow((260, 232), (260, 280), (800, 280))
    d.text(463, 296, "after the last step: decode, and to bytes", size=11, colour=FAINT)
    written = ", ".join(f"{number} {TASKS[number - 1]}" for number in sorted(lit))
    return d.shown(
        f"Six functions: token_ids and embed lead from the prompt to embeddings (2, {positions}, {wide}); noise_schedule gives "
        f"timesteps and sigmas; in the loop guided_noise and euler_step take noise out of latents {latent}; draw is all of it. "
        f"Lit: {written or 'none'}."
    )
