"""nbval with another comparison: collects notebooks whose cells are compared by `outputs`.

nbval runs the cells; what differs from it:
- outputs are compared by `outputs`, and pictures that differ are saved below test-report/;
- outputs come about as in JupyterLab: cleared, updated, sent into an Output widget, silenced by a last ";";
- a notebook whose cells did not all run, from 1 to n, fails.
"""

import contextlib
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import ipykernel.kernelspec
import pytest
from nbval.plugin import IPyNbCell, IPyNbFile, NbCellError
from PIL import Image

from . import preloaded
from .outputs import Comparison, comparisons
from .replay import Replay

REPORT = "test-report"  # below pytest's root folder
KERNEL = Path(__file__).with_name("kernel.py")
NEEDED = {IPyNbFile: ("collect", "get_kernel_message"), IPyNbCell: ("compare_outputs", "runtest", "repr_failure", "sanitize")}
for owner, names in NEEDED.items():
    if missing := [name for name in names if not hasattr(owner, name)]:
        raise pytest.UsageError(f"nbcompared is written for nbval 0.11; {owner.__name__} lacks {', '.join(missing)}")


class OutputsDiffer(Exception):
    """What is wrong with a notebook, in words meant for whoever reads the report."""


class Reported:
    """Shows OutputsDiffer as its bare text, everything else as before."""

    def repr_failure(self, excinfo) -> str:
        """What pytest prints about a failure."""
        if isinstance(excinfo.value, OutputsDiffer):
            return str(excinfo.value)
        return super().repr_failure(excinfo)


class ComparedNotebook(IPyNbFile):
    """A notebook: its cells as nbval collects them, and the order in which they ran."""

    collected = 0
    left_out = None  # the cell, counted from 0, that is not run

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.messages = []  # of the cell that runs
        ComparedNotebook.collected += 1

    def collect(self) -> Iterator[pytest.Item]:
        """The execution order, then every code cell."""
        cells = list(super().collect())
        if (number := self.config.option.leave_out) is not None:
            run = [cell for cell in cells if cell.cell.source.strip()]
            self.left_out = run[(number - 1) % len(run)].cell_num if run else None
        if self.compare_outputs:  # False under --nbval-lax
            yield ExecutionOrder.from_parent(self, name="Execution order")
        for cell in cells:
            yield ComparedCell.from_parent(self, name=cell.name, cell_num=cell.cell_num, cell=cell.cell, options=cell.options)

    def setup(self) -> None:
        """Start the kernel and, where this run asks for it, prepare it behind the notebook's back."""
        with (
            _preloaded(self.config.getini("nbcompared_preload")) if self.collected > 1 else contextlib.nullcontext()
        ):  # for a single one it would take as long
            super().setup()
        options, calls = self.config.option, []
        if options.jitter is not None:
            calls.append(("jitter", options.jitter))
        if options.margins:
            Path(options.margins).mkdir(parents=True, exist_ok=True)
            for kind in ("outputs", "assertions"):
                self.margins(kind).unlink(missing_ok=True)
            calls.append(("record_assertions", str(self.margins("assertions"))))
        for call in calls:
            # In a namespace of its own: the notebook's stays as a learner's would be.
            code = f"import runpy; runpy.run_path({str(KERNEL)!r}, {{'get_ipython': get_ipython}})[{call[0]!r}]({call[1]!r})"
            message = self.kernel.kc.execute(f"exec({code!r}, {{'get_ipython': get_ipython}})", silent=True)
            reply = self.kernel.kc.get_shell_msg(timeout=60)
            while reply["parent_header"].get("msg_id") != message:
                reply = self.kernel.kc.get_shell_msg(timeout=60)
            if reply["content"]["status"] != "ok":
                raise RuntimeError(f"the kernel could not be prepared by {call}: {reply['content']}")
            self.kernel.await_idle(message, timeout=60)

    def note_margins(self, cell_num: int, compared: list[Comparison]) -> None:
        """Write down which part of its tolerance each compared output of a cell uses, if this run asks for it."""
        if self.config.option.margins:
            with open(self.margins("outputs"), "a") as file:
                for found in compared:
                    file.write(json.dumps(dict(cell=cell_num, where=found.where, used=found.used)) + "\n")

    def margins(self, kind: str) -> Path:
        """The file that says how much of its tolerance each output, or what the two sides of each assertion are."""
        name = "-".join(self.path.relative_to(self.config.rootpath).with_suffix("").parts)
        return Path(self.config.option.margins).resolve() / f"{name}.{kind}.jsonl"

    def get_kernel_message(self, *args, **kwargs) -> dict:
        """nbval's, written down: nbval drops messages that change earlier outputs."""
        message = super().get_kernel_message(*args, **kwargs)
        self.messages.append(message)
        return message


def _preloaded(modules: list[str]):
    """While this lasts, kernels of the current environment start with these imported, where that is possible."""
    specification = ipykernel.kernelspec.get_kernel_dict()
    if modules and preloaded.POSSIBLE:
        specification["argv"] = preloaded.argv(modules)
    return mock.patch("ipykernel.kernelspec.get_kernel_dict", lambda: specification)


def run_it(item: pytest.Item) -> str:
    """What to do about a notebook that was not run."""
    command = item.config.getini("nbcompared_rerun")
    return "run the notebook from top to bottom" + (f": {command}" if command else "")


class ExecutionOrder(Reported, pytest.Item):
    """Passes if the stored notebook ran once, from its first code cell to its last."""

    def runtest(self) -> None:
        """Raises OutputsDiffer with the order found."""
        cells = [cell for cell in self.parent.nb.cells if cell.cell_type == "code" and cell.source.strip()]
        counts = [cell.execution_count for cell in cells]
        if counts != list(range(1, len(counts) + 1)):
            shown = ", ".join("not run" if count is None else str(count) for count in counts)
            raise OutputsDiffer(f"{self.parent.nodeid}: the cells did not run from 1 to {len(counts)} ({shown}); {run_it(self)}")

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where pytest says that this happened."""
        return self.path, 0, self.nodeid


class ComparedCell(Reported, IPyNbCell):
    """A code cell whose outputs are compared by `outputs`."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.stored = copy.deepcopy(self.cell.outputs)  # nbval joins the streams of the original

    def runtest(self) -> None:
        """Run and compare as nbval does; a cell that was never run has nothing to compare with, so it fails."""
        if self.cell_num == self.parent.left_out:
            pytest.skip("left out")
        try:
            for _ in range(2 if self.config.option.twice else 1):
                self.parent.messages.clear()
                super().runtest()
        except NbCellError:  # with a cell left out, whoever runs this one sees that something is missing
            raised = self.test_outputs[-1] if self.test_outputs else {}
            if self.parent.left_out is None or self.parent.timed_out or "ename" not in raised:
                raise
            pytest.skip(f"without Cell {self.parent.left_out} it raises {raised['ename']}: {raised['evalue']}")
        if self.parent.compare_outputs and self.cell.execution_count is None and self.cell.source.strip():
            raise OutputsDiffer(f"{self.where()}: the stored notebook holds no run of this cell; {run_it(self)}")

    def where(self) -> str:
        """The cell in nbval's counting (code cells from 0) and as the notebook shows it."""
        return f"{self.parent.nodeid}, Cell {self.cell_num} (In [{self.cell.execution_count or ' '}])"

    def compare_outputs(self, test, ref, skip_compare=None) -> bool:
        """Called by nbval after the run. Raises OutputsDiffer instead of returning False, for a shorter message."""
        messages = self.parent.messages
        if not messages:
            raise RuntimeError("nbval no longer reads the kernel's messages through IPyNbFile.get_kernel_message")
        run = messages[-1]["parent_header"]["msg_id"]  # the last message is the kernel's "idle" after this cell
        fresh = Replay(self.cell.source).take([m for m in messages if m["parent_header"].get("msg_id") == run])
        compared = list(comparisons(self.stored, fresh, clean=self.sanitize))
        self.parent.note_margins(self.cell_num, compared)
        differences = [found for found in compared if found.why]
        if differences:
            shown = [self.describe(number, found) for number, found in enumerate(differences, start=1)]
            raise OutputsDiffer("\n".join([f"{self.where()}: the outputs differ from those stored", *shown]))
        return True

    def describe(self, number: int, found: Comparison) -> str:
        """A difference in words; pictures are saved, and the words say where."""
        lines = [f"{found.where}: {found.why}"]
        for name, picture in zip(("stored", "fresh"), found.pictures or ()):
            path = Path(REPORT) / f"{self.path.stem}-cell{self.cell_num}-{number}-{name}.png"
            (self.config.rootpath / REPORT).mkdir(exist_ok=True)
            Image.fromarray(picture).save(self.config.rootpath / path)
            lines.append(f"  {name + ':':7} {path}")
        return "\n".join(lines).replace("\n", "\n  ")
