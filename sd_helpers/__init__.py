"""Stable Diffusion, taken apart: the few functions that the notebooks build by hand and then import.

Every name below is loaded when it is first used, so that `import sd_helpers` is instant.
"""

import importlib
import logging
import os
import sys

# Threads of torch wait for each other by spinning, at the cost of whatever else runs. On Linux its OpenMP asks, when torch is
# imported, how long they may; this is long enough for a large batch to lose nothing by it (benchmarks/README.md).
if sys.platform == "linux" and "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "300")

_WHERE = {
    "Components": "components",
    "load": "components",
    "pil_to_latent": "autoencoder",
    "latents_to_pil": "autoencoder",
    "embed_prompt": "text",
    "known_and_unknown": "text",
    "unknown_words": "text",
    "token_embeddings": "text",
    "encode_embeddings": "text",
    "LMSScheduler": "schedulers",
    "scheduler_like": "schedulers",
    "set_timesteps": "schedulers",
    "noise_level": "schedulers",
    "add_noise": "schedulers",
    "guided": "guidance",
    "steer": "guidance",
    "Step": "loop",
    "denoise": "loop",
    "generate": "drawing",
    "starting_noise": "drawing",
    "AttentionMaps": "attention_maps",
    "watch_attention": "probes",
    "keep_attention": "probes",
    "prompt_positions": "probes",
    "invert": "editing",
    "keep_outside": "editing",
    "inpaint": "editing",
    "mask_to_latents": "editing",
    "outpainting_canvas": "editing",
    "Sweep": "sweeping",
    "sweep": "sweeping",
    "LearnedWord": "learned",
    "embed_word": "learned",
    "with_word": "learned",
    "save_word": "learned",
    "load_word": "learned",
    "learn_word": "learning",
    "learn_lora": "learning",
}
_MODULES = [
    "attention_maps",
    "autoencoder",
    "checks",
    "components",
    "drawing",
    "editing",
    "gallery",
    "guidance",
    "learned",
    "learning",
    "loop",
    "metrics",
    "models",
    "plots",
    "probes",
    "schedulers",
    "text",
    "threads",
    "views",
    "widgets",
]

__all__ = sorted([*_WHERE, *_MODULES])


class _NoTorchvision(logging.Filter):
    """Without torchvision, transformers says so twice at import; nothing here needs it and no learner can act on it."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "torchvision" not in record.getMessage()


for _name in ("transformers.utils.import_utils", "transformers.image_utils", "transformers"):
    logging.getLogger(_name).addFilter(_NoTorchvision())


def __getattr__(name: str):
    if name in _WHERE:
        return getattr(importlib.import_module(f"sd_helpers.{_WHERE[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"sd_helpers.{name}")
    raise AttributeError(f"module 'sd_helpers' has no attribute {name!r}")


def __dir__():
    return __all__
