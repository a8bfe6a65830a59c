"""`make test-changed` runs whatever reaches a file that differs from main."""

import subprocess
import sys

import changed
import pytest
from changed import ROOT, differing, imported, main, reached, to_run


@pytest.mark.parametrize(
    "file, runs, spares",
    [
        (
            "sd_helpers/beyond/learning.py",
            ["tests/test_learning.py", "notebooks/11_a_word_of_your_own.ipynb"],
            ["tests/test_loop.py"],
        ),
        ("sd_helpers/loop.py", ["tests/test_sweep.py", "notebooks/00_the_whole_thing.ipynb"], ["tests/test_plots.py"]),
        ("sd_helpers/exercises/surgery.py", ["tests/test_exercises_surgery.py"], ["notebooks/06_image_to_image.ipynb"]),
        ("sd_helpers/sweeps/cluster.py", ["tests/test_sweep_far.py"], ["notebooks/03_tokens_and_embeddings.ipynb"]),
        (
            "nbcompared/nbcompared/text.py",
            ["nbcompared/tests/test_compared_outputs.py", "notebooks/06_image_to_image.ipynb"],
            ["tests/test_loop.py"],
        ),
        ("tests/test_text.py", ["tests/test_text.py"], ["tests/test_loop.py"]),
        ("notebooks/01_autoencoder_round_trip.ipynb", ["notebooks/01_autoencoder_round_trip.ipynb"], ["tests/test_loop.py"]),
        ("benchmarks/rows.py", ["tests/test_benchmarks.py"], ["tests/test_loop.py", "notebooks/06_image_to_image.ipynb"]),
        ("site/building/words.py", ["tests/test_site.py"], ["tests/test_loop.py"]),
        ("site/book/pages.py", ["tests/test_site.py"], ["tests/test_loop.py"]),
        ("README.md", ["tests/test_house.py"], ["tests/test_loop.py", "notebooks/06_image_to_image.ipynb"]),
    ],
)
def test_what_reaches_a_file_runs(file, runs, spares):
    chosen = to_run([file])
    assert set(runs) <= set(chosen) and not set(spares) & set(chosen)


@pytest.mark.parametrize(
    "file", ["requirements.txt", "conftest.py", "sd_helpers/__init__.py", "sd_helpers/emoji_sd/unet/config.json"]
)
def test_what_everything_needs_runs_everything(file):
    assert to_run(["README.md", file]) is None


def test_every_module_is_reached_by_a_test():
    tests = {path for test in (ROOT / "tests").glob("test_*.py") for path in reached(test)}
    modules = {path for path in (ROOT / "sd_helpers").rglob("*.py") if path.name != "__init__.py"}
    by_process = {ROOT / "sd_helpers" / "__main__.py"}  # run, not imported
    assert modules - tests <= by_process


def test_imports_of_all_kinds_are_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(changed, "ROOT", tmp_path)
    for name in ("a/b.py", "a/c.py", "a/d/__init__.py", "beside.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    source = "import a.b\ndef late():\n    from .a import c\nfrom a.d import thing\nimport beside, os\nmock('a.c.name')"
    (tmp_path / "one.py").write_text(source)
    found = {path.relative_to(tmp_path).as_posix() for path in imported(tmp_path / "one.py")}
    assert found == {"a/b.py", "a/c.py", "a/d/__init__.py", "beside.py"}


def test_files_that_differ(tmp_path, monkeypatch):
    def git(*arguments):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=tmp_path, check=True, capture_output=True
        )

    monkeypatch.setattr(changed, "ROOT", tmp_path)
    git("init", "--initial-branch", "main")
    for name in ("same", "committed", "edited"):
        (tmp_path / name).write_text("as it was")
    git("add", ".")
    git("commit", "--message", "first")
    assert differing() == []
    git("switch", "--create", "branch")
    (tmp_path / "committed").write_text("other")
    git("commit", "--all", "--message", "second")
    (tmp_path / "edited").write_text("other")
    (tmp_path / "new").touch()
    assert differing() == ["committed", "edited", "new"]


def test_the_command_says_what_it_runs(monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(
        changed.subprocess, "run", lambda command, cwd: ran.append(command) or subprocess.CompletedProcess(command, 3)
    )
    for files, said, last in (
        (["tests/test_text.py"], "2 files to run", "tests/test_text.py"),
        (["conftest.py"], "everything", "loadscope"),
    ):
        monkeypatch.setattr(changed, "differing", lambda files=files: files)
        assert main() == 3 and said in capsys.readouterr().out
        assert ran[-1][:3] == [sys.executable, "-m", "pytest"] and ran[-1][-1] == last
    monkeypatch.setattr(changed, "differing", lambda: [])
    assert main() == 0 and "nothing differs" in capsys.readouterr().out and len(ran) == 2
