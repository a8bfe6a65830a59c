"""Prompts: words to tokens to embeddings, and which words a model has never seen."""

from __future__ import annotations

import warnings

import torch

from .arguments import door, one_text


@door
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
    with torch.no_grad():
        return text_encoder(_token_ids(prompt, tokenizer).to(text_encoder.device))[0]


@door
def token_embeddings(prompt, tokenizer, text_encoder) -> torch.Tensor:
    """The rows of the text encoder's table for a prompt's tokens: what goes into the transformer, before the positions.

    The result is a copy, free to be edited and then given to `encode_embeddings`. Row 0 is the start token's.

    Args:
        prompt: a string, or a list of n strings.

    Returns:
        (n, 77, D), on the text encoder's device and in its dtype.

    Raises, Warns:
        as `embed_prompt`.
    """
    with torch.no_grad():
        return text_encoder.get_input_embeddings()(_token_ids(prompt, tokenizer).to(text_encoder.device))


@door
def encode_embeddings(inputs_embeds: torch.Tensor, text_encoder) -> torch.Tensor:
    """Token embeddings, edited or not, through the transformer: what `embed_prompt` does after its look-up.

    The text encoder of transformers takes ids only, so a forward hook on its table hands on `inputs_embeds` in place
    of the rows looked up; it is removed before this returns. Gradients flow to `inputs_embeds`.

    Args:
        inputs_embeds: (n, 77, D), from `token_embeddings`; the encoder adds the positions itself.

    Returns:
        (n, 77, D), the embeddings that the U-Net reads.

    Raises:
        ValueError: another shape, or more positions than the text encoder has.
    """
    config = text_encoder.config
    shape = tuple(getattr(inputs_embeds, "shape", ()))
    if (
        not torch.is_tensor(inputs_embeds)
        or len(shape) != 3
        or shape[2] != config.hidden_size
        or not 0 < shape[1] <= config.max_position_embeddings
    ):
        raise ValueError(
            f"inputs_embeds of shape {shape} must be (n, {config.max_position_embeddings}, {config.hidden_size}): "
            "start from token_embeddings(prompt, tokenizer, text_encoder)."
        )
    table = text_encoder.get_input_embeddings()
    rows = inputs_embeds.to(table.weight.device, table.weight.dtype)
    hook = table.register_forward_hook(lambda module, ids, output: rows)
    try:
        return text_encoder(torch.zeros(shape[:2], dtype=torch.long, device=rows.device))[0]  # ids that nobody reads
    finally:
        hook.remove()


def as_prompts(prompt, argument: str = "prompt") -> list[str]:
    """A prompt or prompts as a list of strings, or a ValueError that says what was given instead."""
    prompts = [prompt] if isinstance(prompt, str) else prompt
    if not isinstance(prompts, (list, tuple)) or not all(isinstance(p, str) for p in prompts):
        raise ValueError(f"{argument}={prompt!r} must be a string or a list of strings.")
    if not prompts:
        raise ValueError(f"{argument}=[] is an empty list: give at least one string; '' asks for nothing in particular.")
    return list(prompts)


@door
def lost_words(prompt: str, tokenizer) -> str:
    """The end of a prompt that does not fit into the model's 77 positions; '' when all of it does."""
    pieces = _tokenize(one_text("prompt", prompt), tokenizer)
    kept = tokenizer.model_max_length - 2  # start and end take a position each
    return as_text(pieces[kept:], tokenizer)


@door
def known_and_unknown(prompt: str, tokenizer, text_encoder) -> list[tuple[str, bool]]:
    """Each word of a prompt with whether training has ever shown it to the model.

    A word is one or more tokens; emoji-sd keeps the embedding of a token never seen at exactly zero, and a word is
    known when none of its tokens is. Of SD v1 every word is known.
    """
    embedding = text_encoder.get_input_embeddings().weight
    found = []
    for pieces in words_of(prompt, tokenizer):
        ids = tokenizer.convert_tokens_to_ids(pieces)
        found.append((as_text(pieces, tokenizer), bool(embedding[ids].any(dim=-1).all())))
    return found


@door
def unknown_words(prompt: str, tokenizer, text_encoder) -> list[str]:
    """The words of a prompt that the model has never seen in training and can make nothing of."""
    return [word for word, known in known_and_unknown(prompt, tokenizer, text_encoder) if not known]


def _token_ids(prompt, tokenizer) -> torch.Tensor:
    """A prompt's ids, (n, 77), with a warning in the name of the public function that was called with it."""
    prompts = as_prompts(prompt)
    for text in prompts:
        lost = lost_words(text, tokenizer)
        if lost:
            warnings.warn(
                f"The prompt is too long: the model does not see its end, {lost!r}. Shorten it.", stacklevel=4
            )  # past `door`
    return tokenizer(
        prompts, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
    ).input_ids


def words_of(prompt: str, tokenizer) -> list[list[str]]:
    """The tokens of a prompt, word by word: each ends with "</w>" or is one that was added to the vocabulary."""
    added = tokenizer.get_added_vocab()
    words, pieces = [], []
    for token in _tokenize(one_text("prompt", prompt), tokenizer):
        pieces.append(token)
        if token.endswith("</w>") or token in added:
            words.append(pieces)
            pieces = []
    return words


def as_text(pieces: list[str], tokenizer) -> str:
    """Tokens as they would be written."""
    # A copied tokenizer, as that of a word learned, has forgotten that "</w>" is a space.
    return tokenizer.decode(tokenizer.convert_tokens_to_ids(pieces)).replace("</w>", " ").strip()


def _tokenize(prompt: str, tokenizer) -> list[str]:
    # verbose=False: the library would warn of long prompts with an indexing error that cannot happen here.
    return tokenizer.tokenize(prompt, verbose=False)
