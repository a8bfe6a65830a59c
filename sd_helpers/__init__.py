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

_ROOMS = {  # the hall, in the order of the lesson, then the wings; see docs/house.md
    "components": ["Components", "load"],
    "autoencoder": ["latents_to_pil", "pil_to_latent", "pil_to_tensor", "tensor_to_pil"],
    "lms": ["LMSScheduler"],
    "schedulers": ["add_noise", "noise_level", "scheduler_like", "set_timesteps"],
    "text": ["embed_prompt", "encode_embeddings", "known_and_unknown", "lost_words", "token_embeddings", "unknown_words"],
    "guidance": ["guided", "noise_predictor"],
    "loop": ["Step", "denoise"],
    "drawing": ["generate", "generator_of", "latent_and_noise", "latents_and_noise", "starting_latents", "starting_noise"],
    "pictures": ["fitted", "to_mask", "to_rgb"],
    "metrics": ["background_of", "clip_score", "mean_difference", "nearest_concepts", "picture_tower", "psnr"],
    "beyond.steering": [
        "blueness", "colour_loss", "decoded", "likeness_loss", "loss_gradient", "palette_loss", "prompt_loss", "steer",
        "symmetry_loss",
    ],
    "beyond.learned": ["LearnedWord", "embed_word", "load_word", "save_word", "with_word"],
    "beyond.learning": ["learn_word", "noise_loss", "word_training"],
    "beyond.lora": ["learn_lora", "load_lora", "lora_training", "save_lora"],
    "beyond.probes": ["attention_probabilities", "keep_attention", "prompt_positions", "watch_attention"],
    "beyond.attention_maps": ["AttentionMaps", "overlap", "overlay"],
    "beyond.editing": ["inpaint", "invert", "keep_outside", "mask_to_latents", "outlined", "outpainting_canvas", "seam"],
    "sweeps.sweeping": ["Sweep", "sweep"],
    "beyond.plane": ["exact_noise"],
    "notebook.live": ["explore_machine"],
    "notebook.questions": ["question"],
    "notebook.stepwise": ["TrainingPanel"],
    "notebook.views": ["captioned", "contact_sheet", "film", "grid", "show"],
    "notebook.widgets": ["explore", "uploaded"],
}  # fmt: skip
_WHERE = {name: room for room, names in _ROOMS.items() for name in names}
_MODULES = {  # name -> where it lies
    **{name: name for name in [*(room for room in _ROOMS if "." not in room), "arguments", "gallery", "models"]},
    **{name: f"notebook.{name}" for name in ("checks", "diagrams", "plots", "views", "widgets")},
    "plane": "beyond.plane",
    "threads": "runtime.threads",
}

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
        return importlib.import_module(f"sd_helpers.{_MODULES[name]}")
    raise AttributeError(f"module 'sd_helpers' has no attribute {name!r}")


def __dir__():
    return __all__
