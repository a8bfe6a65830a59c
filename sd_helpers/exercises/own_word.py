"""Checks of the exercises of notebook 11: the trained share, rows between rows, LoRA, and copies."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from ..checks import NotYet, answered, as_number, exercise, expect, expect_close


@exercise
def exercise_1(trained_share) -> str:
    """`trained_share(components)`: one row of the token table as a share of all parameters, asked of two small stand-ins."""
    for components in (_components(50, 8), _components(120, 12)):
        parts = dict(text_encoder=components.text_encoder, unet=components.unet, vae=components.vae)
        sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
        table = components.text_encoder.get_input_embeddings().weight
        row, total = table.shape[1], sum(sizes.values())
        given = as_number(trained_share(components))

        def close(value, given=given) -> bool:
            return abs(given - value) <= 1e-3 * value

        said = f"Of a small model of {total:,} numbers with rows of {row} you return {given:.3g}."
        expect(not close(table.numel() / total), f"{said} That is the whole table; only one of its rows is trained.")
        expect(not close(100 * row / total), f"{said} That is per cent; the share goes from 0 to 1.")
        expect(not close(total / row), f"{said} Upside down: the part is divided by the whole.")
        expect(not close(row), f"{said} That is how many numbers a row has; divide it by all of them.")
        expect(not close(table.shape[0] / total), f"{said} That counts the rows; a row is as long as the table is wide.")
        for name, size in sizes.items():
            expect(not close(row / (total - size)), f"{said} All three parts count: the {name} is missing.")
            expect(not close(row / size), f"{said} That is the share of the {name} alone; all three parts count.")
        expect(close(row / total), f"{said} It should be {row / total:.3g}.")
    return "Try it on `components`: 1 / trained_share(components) is how many numbers stay for each one that moves."


class _TextEncoder(torch.nn.Module):
    """A table of rows and one layer: what `trained_share` asks of a text encoder."""

    def __init__(self, rows: int, wide: int):
        super().__init__()
        self.config = SimpleNamespace(hidden_size=wide, vocab_size=rows)
        self.table, self.layer = torch.nn.Embedding(rows, wide), torch.nn.Linear(wide, wide)

    def get_input_embeddings(self):
        return self.table


def _components(rows: int, wide: int) -> SimpleNamespace:
    """Stand-ins for a model's parts; every mistake that has a hint gives another number."""
    return SimpleNamespace(
        text_encoder=_TextEncoder(rows, wide), unet=torch.nn.Linear(2 * wide, 31), vae=torch.nn.Linear(wide + 5, 17)
    )


@exercise
def exercise_2(mix_rows) -> str:
    """`mix_rows(first, second, amount)`: mixed directions at a mixed length, (1, D)."""
    draw = torch.Generator().manual_seed(0)
    first, second = 0.3 * torch.randn(1, 128, generator=draw), 1.2 * torch.randn(1, 128, generator=draw)
    a, b = first.norm(), second.norm()
    for amount in (0.25, 0.0, 1.0, 0.7):
        given = _tensor(mix_rows(first.clone(), second.clone(), amount), (1, 128))
        direction = (1 - amount) * first / a + amount * second / b
        plain, length = (1 - amount) * first + amount * second, (1 - amount) * a + amount * b
        right = direction / direction.norm() * length
        swapped = amount * first / a + (1 - amount) * second / b
        said = f"With amount={amount:g}: "
        mistakes = {
            "that is the plain mean; bring both rows to length 1 before you mix them.": plain,
            "the plain mean has the wrong direction, whatever length you give it; bring both rows to length 1 first.": plain
            / plain.norm()
            * length,
            "the direction is right; now give it the length that lies between the two.": direction / direction.norm(),
            "a mix of two directions is shorter than 1: divide by its norm before you give it a length.": direction * length,
            "mixed directions are not yet a row: divide by the norm, then multiply by the length between the two.": direction,
            "the amounts are swapped; `amount` is the share of the second.": swapped
            / swapped.norm()
            * (amount * a + (1 - amount) * b),
        }
        for hint, value in mistakes.items():
            expect(not _close(given, value) or _close(value, right), said + hint)
        expect_close(given, right, f"{said}the row is not the right one")
    return "Direction and length, each in its own right."


@exercise
def exercise_3(lora) -> str:
    """`lora(x, W, A, B, alpha)`: x W^T + alpha / r (x A^T) B^T, (n, outputs)."""
    for n, inputs, outputs, rank, alpha in ((3, 5, 7, 2, 8.0), (2, 6, 6, 3, 1.5), (1, 4, 9, 1, 2.0)):
        draw = torch.Generator().manual_seed(n)
        x, W, A, B = (
            torch.randn(shape, generator=draw) for shape in ((n, inputs), (outputs, inputs), (rank, inputs), (outputs, rank))
        )
        base, change = x @ W.T, (x @ A.T) @ B.T
        given = _tensor(lora(x.clone(), W.clone(), A.clone(), B.clone(), alpha), (n, outputs))
        mistakes = {
            "The two thin matrices are missing: add their product, times alpha / r.": base,
            "The layer's own x W^T is missing: LoRA adds to it.": alpha / rank * change,
            "The factor is missing: the product counts alpha / r times.": base + change,
            "Divide alpha by the rank, which is A.shape[0].": base + alpha * change,
            "The factor is alpha / r, and not r / alpha.": base + rank / alpha * change,
            "The factor belongs to the thin matrices only.": alpha / rank * (base + change),
            "Added, not subtracted.": base - alpha / rank * change,
        }
        right = base + alpha / rank * change
        for hint, value in mistakes.items():
            expect(not _close(given, value) or _close(value, right), hint)
        expect_close(given, right, f"For rank {rank} and alpha {alpha:g} the result is not the right one")
    return "With alpha = r it is the layer that peft puts into the U-Net."


@exercise
def exercise_4(copied_share) -> str:
    """`copied_share(drawings, trained, unseen)`: the share of rows nearer to one set than to half the other's distance."""
    for seed, n in ((0, 24), (1, 40)):
        drawings, trained, unseen = _shelves(seed, n)
        given = as_number(copied_share(drawings.clone(), trained.clone(), unseen.clone()))
        to_trained, to_unseen = torch.cdist(drawings, trained), torch.cdist(drawings, unseen)
        near, far = to_trained.amin(1), to_unseen.amin(1)

        def share(copied) -> float:
            return float(copied.float().mean())

        right = share(near < far / 2)
        if abs(given - right) < 1e-4:
            continue
        said = f"For {n} drawings you return {given:.3g}."
        mistakes = {
            "That is how many; the share is that divided by the number of drawings.": n * right,
            "That is per cent; the share goes from 0 to 1.": 100 * right,
            "Those are all that are nearer to a trained picture; copied means less than half as far away.": share(near < far),
            "Trained and unseen are swapped.": share(far < near / 2),
            "Those are the ones that are not copied.": 1 - right,
            "Take the nearest picture of each set, not the mean distance to all.": share(
                to_trained.mean(1) < to_unseen.mean(1) / 2
            ),
            "Squared distances need a quarter, not a half.": share(near**2 < far**2 / 2),
            "The minimum is over the pictures, for each drawing; you took it over the drawings.": share(
                to_trained.amin(0) < to_unseen.amin(0)[: len(trained)] / 2
            ),
        }
        for hint, value in mistakes.items():
            expect(abs(given - value) > 1e-4, f"{said} {hint}")
        raise NotYet(f"{said} It should be {right:.3g}.")
    return "A measure of memory, wherever the training pictures are known."


def _shelves(seed: int, n: int):
    """Drawings at various distances from pictures of two sets of equal size, (n, 12) each; all mistakes give other shares."""
    draw = torch.Generator().manual_seed(seed)
    trained, unseen = 3 * torch.randn(n, 12, generator=draw), 3 * torch.randn(n, 12, generator=draw)
    drawings = torch.where(torch.arange(n)[:, None] % 4 == 3, unseen, trained)
    amount = torch.linspace(0.1, 3.0, n)[:, None]
    return drawings + amount * torch.randn(n, 12, generator=draw), trained, unseen


def _close(given: torch.Tensor, value: torch.Tensor) -> bool:
    return given.shape == value.shape and torch.allclose(given, value, atol=1e-4, rtol=1e-4)


def _tensor(value, shape: tuple) -> torch.Tensor:
    """What a learner returned as a tensor of that shape, or a hint."""
    value = answered(value)
    expect(torch.is_tensor(value), f"It should be a tensor, and is a {type(value).__name__}.")
    expect(tuple(value.shape) == shape, f"Its shape is {tuple(value.shape)}, and should be {shape}.")
    return value.detach().float().cpu()
