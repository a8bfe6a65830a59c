"""Prompts: words to tokens to embeddings, and which words a model has never seen."""

from __future__ import annotations

import warnings

import torch


def embed_prompt(prompt, tokenizer, text_encoder) -> torch.Tensor:
    """The embeddings that steer the denoiser: one vector for each of the 77 positions, padding included.

    Args:
        prompt: a string, or a list of n strings.

    Returns:
        (n, 77, D), on the text encoder's device and in its dtype; D is 768 in SD v1.

    Raises:
        ValueError: an empty list, or anything that is not a string or a list of strings.

    Warns:
        of words that do not fit in 77 positions and are lost.
    """
    prompts = as_prompts(prompt)
    for text in prompts:
        lost = lost_words(text, tokenizer)
        if lost:
            warnings.warn(f"The prompt is too long: the model does not see its end, {lost!r}. Shorten it.", stacklevel=2)
    tokens = tokenizer(prompts, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt")
    with torch.no_grad():
        return text_encoder(tokens.input_ids.to(text_encoder.device))[0]


def as_prompts(prompt, argument: str = "prompt") -> list[str]:
    """A prompt or prompts as a list of strings, or a ValueError that says what was given instead."""
    prompts = [prompt] if isinstance(prompt, str) else prompt
    if not isinstance(prompts, (list, tuple)) or not all(isinstance(p, str) for p in prompts):
        raise ValueError(f"{argument}={prompt!r} must be a string or a list of strings.")
    if not prompts:
        raise ValueError(f"{argument}=[] is an empty list: give at least one string; '' asks for nothing in particular.")
    return list(prompts)


def lost_words(prompt: str, tokenizer) -> str:
    """The end of a prompt that does not fit into the model's 77 positions; '' when all of it does."""
    pieces = _tokenize(prompt, tokenizer)
    kept = tokenizer.model_max_length - 2  # start and end take a position each
    return _as_text(pieces[kept:], tokenizer)


def known_and_unknown(prompt: str, tokenizer, text_encoder) -> list[tuple[str, bool]]:
    """Each word of a prompt with whether training has ever shown it to the model.

    A word is one or more tokens; emoji-sd keeps the embedding of a token never seen at exactly zero, and a word is
    known when none of its tokens is. Of SD v1 every word is known.
    """
    embedding = text_encoder.get_input_embeddings().weight
    words, pieces = [], []
    for token in _tokenize(prompt, tokenizer):
        pieces.append(token)
        if token.endswith("</w>"):
            ids = tokenizer.convert_tokens_to_ids(pieces)
            words.append((_as_text(pieces, tokenizer), bool(embedding[ids].any(dim=-1).all())))
            pieces = []
    return words


def unknown_words(prompt: str, tokenizer, text_encoder) -> list[str]:
    """The words of a prompt that the model has never seen in training and can make nothing of."""
    return [word for word, known in known_and_unknown(prompt, tokenizer, text_encoder) if not known]


def _tokenize(prompt: str, tokenizer) -> list[str]:
    # verbose=False: the library would warn of long prompts with an indexing error that cannot happen here.
    return tokenizer.tokenize(prompt, verbose=False)


def _as_text(pieces: list[str], tokenizer) -> str:
    return tokenizer.decode(tokenizer.convert_tokens_to_ids(pieces)).strip()
