"""`python -m classroom ...`, from the project's folder and with its environment; `guide.md` says when to use what."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

TORCH_INDEX = "https://download.pytorch.org/whl/cpu"  # pip's own torch for Linux brings gigabytes of CUDA along


def parser() -> argparse.ArgumentParser:
    """The commands."""
    main = argparse.ArgumentParser(prog="python -m classroom", description="The classroom kit; see classroom/guide.md.")
    commands = main.add_subparsers(dest="command", required=True)

    student = commands.add_parser("student", help="write the student edition of the notebooks")
    student.add_argument("out", type=Path, help="a .zip, or a folder")
    student.add_argument("--without-package", action="store_true", help="notebooks only, under a megabyte; not for Colab")

    grade = commands.add_parser("grade", help="mark the exercises of submitted notebooks")
    grade.add_argument("folder", type=Path, help="one folder a student, or all files in one")
    grade.add_argument("-o", "--out", type=Path, default=Path("grades.csv"), help="the table (default: grades.csv)")
    grade.add_argument("--seconds", type=float, default=60, help="how long one exercise may run (default: 60)")
    grade.add_argument("--memory", type=float, default=4, help="gigabytes that one submission may use, on Linux (default: 4)")
    grade.add_argument("--jobs", type=int, help="how many at once (default: as many as cores are free)")

    wheelhouse = commands.add_parser("wheelhouse", help="gather everything for an installation without a network")
    wheelhouse.add_argument("platform", help="linux, windows or macos")
    wheelhouse.add_argument("out", type=Path, help="a folder, on a stick for example")
    wheelhouse.add_argument("--torch-index", default=TORCH_INDEX, help=f"of torch for Linux; '' is pip's own ({TORCH_INDEX})")
    wheelhouse.add_argument("--python", nargs="+", default=["3.11", "3.12"], help="versions of Python (default: 3.11 3.12)")

    colab = commands.add_parser("colab", help="write the notebooks as Colab opens them from a published repository")
    colab.add_argument("out", type=Path, help="a folder, to be published as the branch `colab`")
    colab.add_argument("--repository", required=True, help="owner/name on GitHub")

    page = commands.add_parser("page", help="write the teacher's guide as a page to print")
    page.add_argument("out", type=Path, help="an .html file")
    page.add_argument("--refresh", action="store_true", help="first bring guide.md's questions and answers up to date")
    return main


def main(arguments: list[str] | None = None) -> None:
    """Run one command; what went wrong is said in a sentence."""
    chosen = parser().parse_args(arguments)
    try:
        {"student": _student, "grade": _grade, "wheelhouse": _wheelhouse, "colab": _colab, "page": _page}[chosen.command](chosen)
    except (OSError, ValueError, RuntimeError) as error:
        sys.exit(f"{error}")


def _student(chosen: argparse.Namespace) -> None:
    from .student import write_student_edition

    out = write_student_edition(chosen.out, with_package=not chosen.without_package)
    size = sum(path.stat().st_size for path in ([out] if out.is_file() else out.rglob("*")))
    print(f"The student edition is in {out} ({size / 1e6:.1f} MB).")


def _grade(chosen: argparse.Namespace) -> None:
    from .grade import grade
    from .running import Limits

    if chosen.seconds <= 0 or chosen.memory <= 0 or (chosen.jobs or 1) < 1:
        raise ValueError("--seconds, --memory and --jobs must be greater than 0.")
    grade(chosen.folder, chosen.out, Limits(chosen.seconds, int(chosen.memory * 1e9)), chosen.jobs)


def _wheelhouse(chosen: argparse.Namespace) -> None:
    from .wheelhouse import gather

    gather(chosen.platform, chosen.out, chosen.python, chosen.torch_index)


def _colab(chosen: argparse.Namespace) -> None:
    from .colab import write_colab_edition

    print(f"The notebooks for Colab are in {write_colab_edition(chosen.out, chosen.repository)}.")


def _page(chosen: argparse.Namespace) -> None:
    from .page import GUIDE, refreshed, write_page

    if chosen.refresh:
        GUIDE.write_text(refreshed(GUIDE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"The guide is in {write_page(chosen.out)}: open it in a browser and print it.")


if __name__ == "__main__":
    main()
