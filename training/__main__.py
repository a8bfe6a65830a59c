"""python -m training [stage ...] --preset cpu|further|gpu: train emoji-sd, stage by stage, resuming where it was."""

import argparse
import importlib
import sys
from pathlib import Path

STAGES = ["render", "autoencoder", "growing", "clip", "denoiser", "reading", "package", "evaluate", "sheets"]
SHARED = STAGES[1:6]  # by all processes, where accelerate starts several; the others by one


def main() -> int:
    from .presets import PRESETS

    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("stages", nargs="*", help=f"any of {', '.join(STAGES)}; all of them when none is named")
    parser.add_argument("--preset", choices=PRESETS, default="cpu", help="sizes and lengths, see training/presets.py")
    parser.add_argument("--work", type=Path, default=Path("training/work"), help="folder for pictures and checkpoints")
    options = parser.parse_args()
    unknown = [s for s in options.stages if s not in STAGES]
    if unknown:
        parser.error(f"no stage called {', '.join(unknown)}; there are {', '.join(STAGES)}")
    preset, stages = PRESETS[options.preset], options.stages or STAGES

    from accelerate import PartialState

    state = PartialState()
    device = str(state.device)
    print(f"Training emoji-sd, preset {options.preset!r}, on {device}: {', '.join(stages)}.")
    print(f"All stages take {preset.duration}. Interrupt at will: the same command goes on from the last checkpoint.")
    print(f"Checkpoints and pictures go to {options.work}.", flush=True)
    for stage in stages:
        module = importlib.import_module(f"training.{stage}")
        if stage in SHARED or state.is_main_process:
            module.train(preset, options.work, device)
        state.wait_for_everyone()
    return 0


if __name__ == "__main__":
    sys.exit(main())
