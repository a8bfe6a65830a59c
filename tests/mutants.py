"""Break the package in places that matter, one at a time, and see that a test turns red. `make mutants` calls this.

Each mutant is one mistake that a person could make: a sign, an index, a factor, an axis, a missing scale, a lost seed. Tests
that should notice it run in a copy of the project. A mutant that survives, or a place that is no longer there, makes this fail.
`python tests/mutants.py guidance text` runs those whose file's path holds one of the words.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATIENCE = 600  # seconds for the tests of one mutant: what hangs has noticed, too


@dataclass(frozen=True)
class Mutant:
    """`old` becomes `new`, at its first place in the file; `tests`, by name, should notice."""

    file: str
    old: str
    new: str
    tests: str


# File: the tests, by name, that should notice; then what stands there -> the mistake, made at its first place.
MISTAKES: dict[str, tuple[str, dict[str, str]]] = {
    "sd_helpers/guidance.py": (
        "guidance loop",
        {
            "(noise_cond - noise_uncond)": "(noise_uncond - noise_cond)",
            "return noise_uncond + guidance": "return noise_cond + guidance",
            "latents / scale": "latents",
        },
    ),
    "sd_helpers/loop.py": (
        "loop drawing flow_models sweep",
        {
            "torch.cat([negative_embeds, prompt_embeds])": "torch.cat([prompt_embeds, negative_embeds])",
            "latents / signal - sigma * noise_pred": "latents - sigma * noise_pred",
            "latents / self.signal - self.sigma": "latents / self.signal + self.sigma",
            "begin = start_step * scheduler.order": "begin = start_step",
            "copy.deepcopy(scheduler)": "scheduler",
            "scheduler.scale_model_input(latents, timestep)": "latents",
        },
    ),
    "sd_helpers/schedulers.py": (
        "loop schedulers",
        {
            "signal * predicted + signal * sigma * model_input": "predicted + sigma * model_input",
            "((1 - alpha) / alpha) ** 0.5": "(alpha / (1 - alpha)) ** 0.5",
            "signal * latents + share * noise": "latents + share * noise",
            "clip_sample=False, set_alpha_to_one=False": "set_alpha_to_one=False",
        },
    ),
    "sd_helpers/lms.py": (
        "schedulers loop",
        {
            "slopes = min(len(self.derivatives) + 1, order)": "slopes = order",
            "- np.polyval(integral, sigmas[t])": "",
        },
    ),
    "sd_helpers/autoencoder.py": (
        "autoencoder",
        {
            "permute(2, 0, 1)": "permute(2, 1, 0)",
            "/ 127.5 - 1": "/ 255",
            ".clamp(0, 255)": "",
            "return latent * vae.config.scaling_factor": "return latent",
            "vae.dtype) / vae.config.scaling_factor": "vae.dtype)",
        },
    ),
    "sd_helpers/drawing.py": (
        "drawing schedulers",
        {
            "[generator_of(seed + row) for row in rows]": "[generator_of(seed) for row in rows]",
            'settings | {"generator": generators}': "settings",
            "* scheduler.init_noise_sigma": "",
            "* components.vae.config.scaling_factor": "",
        },
    ),
    "sd_helpers/text.py": (
        "text",
        {
            "lambda module, ids, output: rows": "lambda module, ids, output: output",
            "kept = tokenizer.model_max_length - 2": "kept = tokenizer.model_max_length",
            ".any(dim=-1).all()": ".any(dim=-1).any()",
        },
    ),
    "sd_helpers/metrics.py": (
        "metrics",
        {
            "10 * np.log10(255**2 / error)": "10 * np.log10(255 / error)",
        },
    ),
    "sd_helpers/beyond/editing.py": (
        "editing",
        {
            "mask * step.latents + (1 - mask) * known": "(1 - mask) * step.latents + mask * known",
            "max_pool2d(white": "avg_pool2d(white",
        },
    ),
    "sd_helpers/beyond/steering.py": (
        "guidance exercises_steering",
        {
            "step.noise_pred + (strength * step.sigma": "step.noise_pred - (strength * step.sigma",
            "gradient.float() * step.signal / SCALE": "gradient.float() / SCALE",
            "pixels.flip(dims=(3,))": "pixels.flip(dims=(2,))",
        },
    ),
    "sd_helpers/beyond/attention_maps.py": (
        "exercises_attention probes",
        {
            "stable=True)[: int(mask.sum())]": "stable=True)[-int(mask.sum()) :]",
        },
    ),
    "sd_helpers/beyond/plane.py": (
        "plots diagrams from_nothing",
        {
            "likely @ points.double()) / sigma": "likely @ points.double()) * sigma",
        },
    ),
    "sd_helpers/beyond/from_nothing.py": (
        "from_nothing",
        {
            "alpha.sqrt() * x0": "alpha * x0",
            "mean.lerp_(now, 1 - self.ema)": "mean.lerp_(now, self.ema)",
        },
    ),
    "sd_helpers/beyond/tiny_nets.py": (
        "from_nothing",
        {
            "likely @ known) / (1 - alpha) ** 0.5": "likely @ known) / (1 - alpha)",
            "alpha**0.5 * data": "data",
            "1 / (1 + sigma**2)": "1 / (1 + sigma)",
        },
    ),
    "training/denoiser.py": (
        "training training_scenes",
        {
            "(1 - alphas_cumprod) / alphas_cumprod": "alphas_cumprod / (1 - alphas_cumprod)",
            "values[begin + 1 :: 2]": "values[begin + 2 :: 2]",
            "(halves, halves[::-1])": "(halves, halves)",
        },
    ),
    "training/looking.py": (
        "training_scenes",
        {
            "elsewhere = 1 - F.avg_pool2d": "elsewhere = F.avg_pool2d",
            '"right": slice(width // 2, None)': '"right": slice(width // 2)',
        },
    ),
    "training/teacher.py": (
        "training_scenes",
        {
            "without + SOFTENED * (told - without)": "told",
        },
    ),
    "sd_helpers/beyond/flow.py": (
        "flow",
        {
            "return shift * s / (1 + (shift - 1) * s)": "return shift * s",
        },
    ),
    "sd_helpers/sweeps/sweeping.py": (
        "sweep",
        {
            "(i * len(self.guidance_scales) + j) * len(self.seeds) + k": "(j * len(self.start_steps) + i) * len(self.seeds) + k",
        },
    ),
    "sd_helpers/notebook/questions.py": (
        "diagrams",
        {
            "elif self.said == answer:": "elif self.said != answer:",
        },
    ),
    "sd_helpers/notebook/checks.py": (
        "checks",
        {
            "for told, wrong in mistakes.items():": "for told, wrong in ():",
        },
    ),
    "nbcompared/nbcompared/text.py": (
        "compared_text",
        {
            "RELATIVE = 2e-2": "RELATIVE = 2e-1",
        },
    ),
    "nbcompared/nbcompared/pictures.py": (
        "compared_pictures",
        {
            "enumerate(zip(old, new), start=1)": "enumerate(zip(old[:1], new), start=1)",
        },
    ),
}
MUTANTS = [Mutant(file, old, new, tests) for file, (tests, pairs) in MISTAKES.items() for old, new in pairs.items()]


def main() -> int:
    words = sys.argv[1:]
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant.file for word in words)]
    if not chosen:
        sys.exit(f"No mutant's file holds {' or '.join(words)}; the files are: {', '.join(MISTAKES)}.")
    survivors = []
    with tempfile.TemporaryDirectory() as made:
        copy = Path(made) / "project"
        left_out = shutil.ignore_patterns(".git", ".venv", "node_modules", "dist", "test-report", "__pycache__", "work")
        shutil.copytree(ROOT, copy, ignore=left_out)
        for number, mutant in enumerate(chosen, start=1):
            outcome = tried(mutant, copy)
            print(f"{number:3} of {len(chosen)}  {outcome:8}  {mutant.file}: {mutant.old}", flush=True)
            if outcome != "noticed":
                survivors.append(mutant)
    print(f"\n{len(chosen) - len(survivors)} of {len(chosen)} mutants were noticed.")
    return bool(survivors)


def tried(mutant: Mutant, copy: Path) -> str:
    """Make the mistake in the copy, run the tests, and put the file back: "noticed", "survived", or that it is "gone"."""
    path = copy / mutant.file
    source = path.read_text(encoding="utf-8")
    if mutant.old not in source:
        return "gone"
    tests = [str(test) for name in mutant.tests.split() for test in copy.rglob(f"tests/test_{name}.py")]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:nbval", "-o", "addopts=", *tests]
    path.write_text(source.replace(mutant.old, mutant.new, 1), encoding="utf-8")
    try:
        environment = os.environ | {"PYTHONPATH": str(copy)}  # before the project itself, which is installed from where it lies
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return "noticed"
    finally:
        path.write_text(source, encoding="utf-8")
    return "survived" if done.returncode == 0 else "noticed"


if __name__ == "__main__":
    sys.exit(main())
