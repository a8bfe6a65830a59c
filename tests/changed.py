"""Run what a change can have broken: the tests and notebooks that reach a file which differs from main. `make test-changed`.

A test or a notebook reaches the modules that it imports, and what those import. What everything needs (versions, the model,
conftest.py, the tools that run notebooks) reaches all.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("", "nbcompared", "site", "site/book")  # of ROOT, that modules are imported from
EVERYTHING = re.compile(r"requirements.*\.txt|pyproject\.toml|conftest\.py|sd_helpers/(__init__\.py|emoji_sd/.*|gallery\.zip)")
NOTEBOOK_TOOLS = re.compile(r"nbcompared/nbcompared/\w+\.py")


def imported(path: Path) -> set[Path]:
    """The project's own files that a module, a test or a notebook names in its imports."""
    if path.suffix == ".ipynb":
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        source = "\n".join(re.sub(r"^\s*[%!].*$", "pass", text, flags=re.M) for text in sources)
    else:
        source = path.read_text(encoding="utf-8")
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(path.relative_to(ROOT).with_suffix("").parts[: -node.level]) if node.level else ""
            module = ".".join(filter(None, (package, node.module)))
            found.update(
                {module, *(f"{module}.{_where(alias.name) if module == 'sd_helpers' else alias.name}" for alias in node.names)}
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"(\w+\.)+\w+", node.value):
            found.add(node.value)  # a module that is named in a string: importlib, monkeypatch, mock
    places = (ROOT.joinpath(folder, *name.split(".")) for name in found for folder in FOLDERS)
    places = (place for name in places for place in (name.with_suffix(".py"), name / "__init__.py"))
    beside = (path.parent / f"{name}.py" for name in found if "." not in name)
    return {place for place in (*places, *beside) if place.is_file() and place != ROOT / "sd_helpers" / "__init__.py"}


def _where(name: str) -> str:
    from sd_helpers import _MODULES, _WHERE

    return (_WHERE | _MODULES).get(name, name)


def reached(path: Path) -> set[Path]:
    """The file itself, what it imports, and what that imports."""
    seen, left = set(), [path]
    while left:
        path = left.pop()
        if path not in seen:
            seen.add(path)
            left += imported(path)
    return seen


def to_run(changed: list[str]) -> list[str] | None:
    """What to give to pytest for these files, in its order; None for everything."""
    if any(EVERYTHING.fullmatch(name) for name in changed):
        return None
    files = {ROOT / name for name in changed}
    notebooks = sorted(path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
    tests = sorted([*(ROOT / "tests").glob("test_*.py"), *(ROOT / "nbcompared" / "tests").glob("test_*.py")])
    again = any(NOTEBOOK_TOOLS.fullmatch(name) for name in changed)
    chosen = [path for path in notebooks if again or reached(path) & files]
    chosen += [path for path in tests if reached(path) & files or (path.name == "test_house.py" and files)]
    return [str(path.relative_to(ROOT)) for path in chosen]


def differing() -> list[str]:
    """Files that differ from main, committed or not."""
    base = next((ref for ref in ("origin/main", "main") if _git("rev-parse", "--verify", "--quiet", ref)), "HEAD")
    since = (_git("merge-base", base, "HEAD") or [base])[0]
    return sorted({*_git("diff", "--name-only", since), *_git("ls-files", "--others", "--exclude-standard")})


def _git(*arguments: str) -> list[str]:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.splitlines()


def main() -> int:
    changed = differing()
    if not changed:
        print("nothing differs from main")
        return 0
    chosen = to_run(changed)
    print(
        f"{len(changed)} files differ from main: {'everything' if chosen is None else f'{len(chosen)} files'} to run", flush=True
    )
    command = [sys.executable, "-m", "pytest", "-n", "auto", "--dist", "loadscope", *(chosen or [])]
    return subprocess.run(command, cwd=ROOT).returncode if chosen is None or chosen else 0


if __name__ == "__main__":
    sys.exit(main())
