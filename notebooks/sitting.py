"""How long each notebook keeps a student, by one count: `python notebooks/sitting.py`. The README's minutes are these.

150 words a minute, 4 s a line of code, 2 minutes a prediction, 6 minutes an exercise, and the machine's own time; the hardest
exercise, the last, is for whoever wants more and is not counted.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat

HERE = Path(__file__).parent
CELLS, WORDS, MINUTES = 70, 2000, 60  # one lesson, one sitting


@dataclass
class Sitting:
    """What there is to read, predict and do in one notebook."""

    cells: int
    words: int
    lines: int
    predictions: int
    exercises: int
    seconds: float  # the machine's, when the notebook was last run by run_all.py

    @property
    def minutes(self) -> float:
        """For a student."""
        doing = 2 * self.predictions + 6 * max(0, self.exercises - 1)
        return self.words / 150 + self.lines * 4 / 60 + doing + self.seconds / 60


def count(path: Path) -> Sitting:
    """Count one notebook."""
    notebook = nbformat.read(path, as_version=4)
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return Sitting(
        cells=len(notebook.cells),
        # The address of a link is not read.
        words=sum(len(re.sub(r"\]\([^)]*\)", "]", text).split()) for text in prose),
        lines=sum(bool(line.strip()) for text in code for line in text.splitlines()),
        predictions=sum(text.count("question(") for text in code),
        exercises=len(set(re.findall(r"\bcheck\.(exercise_\d+)\(", "\n".join(code)))),
        seconds=notebook.metadata.get("seconds", 0),
    )


def main() -> None:
    """Print a row for each notebook."""
    print(f"{'':36}{'cells':>7}{'words':>7}{'lines':>7}{'predict':>9}{'exercises':>11}{'machine':>10}{'minutes':>9}")
    for path in [Path(p) for p in sys.argv[1:]] or sorted(HERE.glob("*.ipynb")):
        s = count(path)
        long = "  too long" if s.cells > CELLS or s.words > WORDS or s.minutes > MINUTES else ""
        row = (
            f"{path.stem:36}{s.cells:7}{s.words:7}{s.lines:7}{s.predictions:9}{s.exercises:11}{s.seconds:8.0f} s{s.minutes:9.0f}"
        )
        print(row + long)


if __name__ == "__main__":
    main()
