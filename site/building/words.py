"""The way of the words: the tokenizer's merges, and the rows of the token table that were trained."""

from __future__ import annotations

import json

import numpy as np


def merges_of(tokenizer) -> bytes:
    """The tokenizer as the text of its merges, one a line; its vocabulary follows from them.

    Raises:
        ValueError: the vocabulary does not follow from the merges as CLIP's does, or there are more special tokens than two.
    """
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    letters, special = sorted(_byte_letters()), [tokenizer.bos_token, tokenizer.eos_token]
    follows = [*letters, *(f"{letter}</w>" for letter in letters), *(pair.replace(" ", "") for pair in merges), *special]
    if {piece: i for i, piece in enumerate(follows)} != model["vocab"]:
        raise ValueError(
            "This tokenizer's vocabulary does not follow from its merges as CLIP's does: site/src/tokenizer.js cannot read it."
        )
    return "\n".join(merges).encode()


def _byte_letters() -> list[str]:
    """The letter that byte-level BPE writes for each byte: itself where it can be seen, else one from 256 on."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in seen else chr(next(others)) for byte in range(256)]


def rows_of(text_encoder) -> tuple[bytes, int]:
    """The rows of the token table that are not zero, and how many: their ids (int32), then their numbers (float32)."""
    table = text_encoder.get_input_embeddings().weight.detach().cpu().float().numpy()
    known = np.flatnonzero(table.any(axis=1))
    return known.astype("<i4").tobytes() + table[known].astype("<f4").tobytes(), len(known)
