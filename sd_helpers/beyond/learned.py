"""Words that a model has learned from pictures: embedding prompts with them, adding them to a model, files of them.

Files are in the formats that diffusers reads; a published file is never unpickled.
"""

from __future__ import annotations

import copy
import os
import pickle
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..arguments import door, kind_of, one_text
from ..components import Components
from ..files import weights_path
from ..text import as_prompts, encode_embeddings


@dataclass(frozen=True)
class LearnedWord:
    """A word that is not in the vocabulary, and what stands for it in the token table."""

    word: str  # as it is written in prompts, such as "<teapot>"
    rows: torch.Tensor  # (k, D), k is 1 unless a published concept has more
    losses: tuple[float, ...] = ()  # of each step that was trained

    @property
    def tokens(self) -> list[str]:
        """One token for each row, named as diffusers names them: "<teapot>", "<teapot>_1", and so on."""
        return [self.word] + [f"{self.word}_{i}" for i in range(1, len(self.rows))]


@door
def embed_word(prompt, word: str, rows: torch.Tensor, tokenizer, text_encoder) -> torch.Tensor:
    """`embed_prompt` for prompts with a word that has rows of its own; gradients flow to the rows.

    Args:
        prompt: a string, or a list of n strings; the word may stand in each any number of times.
        rows: (k, D); the word takes k positions.

    Returns:
        (n, 77, D)

    Raises:
        ValueError: rows of another width than the token table's.
    """
    check_rows(rows, text_encoder)
    if not one_text("word", word):
        raise ValueError("word='' is empty: give the word that the rows stand for.")
    table = text_encoder.get_input_embeddings()
    ids, places = _ids_and_places(as_prompts(prompt), word, len(rows), tokenizer)
    rows = rows.to(table.weight.device, table.weight.dtype)
    inputs = torch.where((places >= 0)[..., None].to(rows.device), rows[places.clamp(min=0)], table(ids.to(rows.device)))
    return encode_embeddings(inputs, text_encoder)


def _ids_and_places(prompts: list[str], word: str, count: int, tokenizer):
    """Token ids, and which of the word's rows belongs at a position, -1 for none: two of (n, 77)."""
    length, end = tokenizer.model_max_length, tokenizer.eos_token_id
    ids = torch.full((len(prompts), length), tokenizer.pad_token_id)
    places = torch.full((len(prompts), length), -1)
    for n, prompt in enumerate(prompts):
        tokens, at = [tokenizer.bos_token_id], [-1]
        for i, part in enumerate(prompt.split(word)):
            pieces = tokenizer(part, add_special_tokens=False, verbose=False).input_ids
            tokens += [end] * count * (i > 0) + pieces
            at += list(range(count)) * (i > 0) + [-1] * len(pieces)
        tokens, at = tokens[: length - 1] + [end], at[: length - 1]
        ids[n, : len(tokens)], places[n, : len(at)] = torch.tensor(tokens), torch.tensor(at)
    return ids, places


def check_word(word: str, tokenizer) -> str:
    """The word, or a ValueError unless it can be a new token: a string without spaces that is not in the vocabulary."""
    if not isinstance(word, str) or not word or word != "".join(word.split()):
        raise ValueError(f"word={word!r} must be a string without spaces, such as '<teapot>'.")
    if word in tokenizer.get_vocab() or f"{word}</w>" in tokenizer.get_vocab():
        raise ValueError(f"word={word!r} is in the vocabulary already: choose another, such as '<my-{word.strip('<>')}>'.")
    return word


@door
def with_word(components: Components, learned: LearnedWord) -> Components:
    """Components that know the word: copies of the tokenizer and the text encoder, with a new token for each of its rows.

    A word of several rows is written in prompts as `" ".join(learned.tokens)`.

    Raises:
        ValueError: a word that is in the vocabulary already, or rows of another width than the token table's.
    """
    _check_learned(learned)
    check_word(learned.word, components.tokenizer)
    tokenizer, text_encoder = copy.deepcopy((components.tokenizer, components.text_encoder))
    check_rows(learned.rows, text_encoder)
    tokenizer.add_tokens(learned.tokens)
    with torch.random.fork_rng(devices=[]):  # the new rows are drawn from the global generator before they are set
        table = text_encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False).requires_grad_(False)
    table.weight[tokenizer.convert_tokens_to_ids(learned.tokens)] = learned.rows.to(table.weight)
    return replace(components, tokenizer=tokenizer, text_encoder=text_encoder)


def _check_learned(learned) -> None:
    if not isinstance(learned, LearnedWord):
        raise ValueError(f"learned must be a LearnedWord, as `learn_word` and `load_word` give it, not {kind_of(learned)}.")


def check_rows(rows: torch.Tensor, text_encoder) -> None:
    """A ValueError unless rows are (k, D), as wide as the token table."""
    width = text_encoder.get_input_embeddings().weight.shape[1]
    if not torch.is_tensor(rows) or rows.ndim != 2 or not len(rows) or rows.shape[1] != width:
        raise ValueError(
            f"rows of shape {tuple(getattr(rows, 'shape', ()))} must be (k, {width}), as wide as the token table: "
            "a word learned with a model of another width does not fit this one."
        )


def initial_row(components: Components, initial_word: str | None = None) -> torch.Tensor:
    """A row to begin with, (1, D): the first token of a word, or the mean of all rows that are not zero."""
    table = components.text_encoder.get_input_embeddings().weight.detach()
    if initial_word is None:
        return table[table.any(dim=1)].float().mean(dim=0, keepdim=True)
    ids = components.tokenizer(one_text("initial_word", initial_word), add_special_tokens=False).input_ids
    if not ids:
        raise ValueError(f"initial_word={initial_word!r} holds no token: give a word, or None.")
    return table[ids[:1]].float()


def save_word(learned: LearnedWord, path) -> Path:
    """Write a word as safetensors in diffusers' format, which `pipe.load_textual_inversion(path)` reads.

    Raises:
        ValueError: a path that does not end in .safetensors.
    """
    from safetensors.torch import save_file

    path = weights_path(path, there=False)
    _check_learned(learned)
    save_file({learned.word: learned.rows.detach().cpu().contiguous()}, path)
    return path


def load_word(path, word: str | None = None) -> LearnedWord:
    """Read a concept file, one's own or a published one, without running any code that may be in it.

    Args:
        path: a .safetensors file, or a .bin or .pt file, which `torch.load(weights_only=True)` reads; in diffusers' format
            (one tensor under the word's name) or AUTOMATIC1111's.
        word: to be written in prompts; None takes the name in the file.

    Raises:
        ValueError: no such file, another kind of file, one with code in it, or none with one concept.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ValueError(f"path must be the path of a file, not {kind_of(path)}.")
    if word is not None:
        one_text("word", word)
    path = Path(path).expanduser()
    if not path.is_file():
        raise ValueError(f"path={str(path)!r}: there is no such file.")
    name, rows = _concept(_read(path), path)
    if not torch.is_tensor(rows) or rows.ndim not in (1, 2) or not rows.is_floating_point():
        raise ValueError(f"path={str(path)!r} holds no embedding, a tensor of (D) or (k, D), under {name!r}.")
    return LearnedWord(word or name, torch.atleast_2d(rows.detach()).float())


def _read(path: Path) -> dict:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f"path={str(path)!r} is not a safetensors file: {error}. Download it again.") from error
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"path={str(path)!r} holds something other than tensors, which could be code, and was not loaded. "
            "Look for a .safetensors file of the same concept."
        ) from error


def _concept(state, path: Path) -> tuple[str, torch.Tensor]:
    """The word's name and its rows, from either of the two published layouts."""
    if isinstance(state, dict) and len(state) == 1:
        ((name, rows),) = state.items()
        return (f"<{path.stem}>" if name == "emb_params" else str(name)), rows
    if isinstance(state, dict) and isinstance(state.get("string_to_param"), dict) and "*" in state["string_to_param"]:
        return str(state.get("name") or f"<{path.stem}>"), state["string_to_param"]["*"]
    raise ValueError(f"path={str(path)!r} holds no single concept; a file of one is expected, in diffusers' format.")
