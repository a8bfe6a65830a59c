"""What is in the package teaches what comes after it, where it can: things that stand alone, and wide scenes joined of these.

The noise in a picture is one sample; all that a network can learn to say is its mean, given the noisy picture and what is known
of it. Who knows the things already comes near to that mean, and it is learned from in fewer steps than samples are (distillation;
Hinton et al. 2015). The teacher is always told the truth, all of it, and the pupil what its caption says: too little, nothing, or
what is false. That changes nothing in what is learned, since E[ E[noise | picture, truth] | picture, caption ] is
E[noise | picture, caption].
"""

import copy
from dataclasses import dataclass

import torch

SOFTENED = 1.4  # the package predicts less of what words change than it knows: guidance that makes its own loss least


@dataclass(frozen=True)
class Truth:
    """What the teacher is told: of K square parts of a batch's pictures what each shows."""

    rows: list[int]  # K, which picture
    halves: list[int]  # K, 0 for its left square or the only one, 1 for the right one
    input_ids: torch.Tensor  # (K + 1, 77), the last of the empty caption


class Teacher:
    """A frozen copy of a U-Net and a text encoder."""

    def __init__(self, unet, text_encoder):
        self.unet, self.text_encoder = (copy.deepcopy(part).requires_grad_(False).eval() for part in (unet, text_encoder))

    @torch.no_grad()
    def target(self, noisy: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor, truth: Truth) -> torch.Tensor:
        """The noise, (B, 4, h, w), with the teacher's prediction in its place wherever the teacher knows what is there."""
        for part in (self.unet, self.text_encoder):
            part.to(noisy.device)
        side, target = noisy.shape[-2], noise.clone()
        squares = [
            (row, slice(None), slice(None), slice(half * side, (half + 1) * side)) for row, half in zip(truth.rows, truth.halves)
        ]
        parts, levels = torch.stack([noisy[square] for square in squares]), timesteps[truth.rows]
        words = self.text_encoder(input_ids=truth.input_ids).last_hidden_state
        states = torch.cat([words[-1:].expand(len(parts), -1, -1), words[:-1]])
        without, told = self.unet(parts.repeat(2, 1, 1, 1), levels.repeat(2), states).sample.float().chunk(2)
        for square, predicted in zip(squares, without + SOFTENED * (told - without)):
            target[square] = predicted
        return target
