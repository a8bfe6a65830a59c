"""The benchmark measures what it says: turns, ratios, files; and its rows for GPUs run, here at a small size on the CPU."""

import dataclasses
import io
import json

import nbformat
import pytest
import torch

from benchmarks import crowd, drawing, gpu, notebooks, page, sweeps
from benchmarks.rows import Row, in_turns


def test_contenders_take_turns_and_the_first_round_does_not_count():
    called = []
    seconds = in_turns(3, lambda: called.append("ours"), lambda: called.append("theirs"))
    assert called == ["ours", "theirs"] * 4
    assert [len(times) for times in seconds] == [3, 3] and min(map(min, seconds)) >= 0


def test_the_ratio_is_the_median_over_rounds_and_not_of_medians():
    row = Row("a row", [1.0, 20.0, 3.0], [2.0, 10.0, 12.0], target="0.75 or less")
    assert row.ratio == 0.5
    assert row.cells() == ["a row", "3.00 s (1.00 to 20.00)", "10 s (2 to 12)", "0.50", "0.75 or less"]
    assert Row("share", [0.9754], unit="").cells() == ["share", "0.975", "", "", ""]


def test_results_are_a_table_and_values_that_pyperf_reads(tmp_path):
    pyperf = pytest.importorskip("pyperf", reason="requirements-bench.txt is not installed")
    from benchmarks.__main__ import write

    rows = [Row("draw", [1.0, 2.0], [2.0, 4.0]), Row("memory", [500], unit="MB"), Row("share", [0.97], unit="")]
    write(rows, tmp_path / "results" / "machine")
    table = (tmp_path / "results" / "machine.md").read_text()
    assert "| draw | 1.50 s (1.00 to 2.00) | 3.00 s (2.00 to 4.00) | 0.50 |  |" in table and "| memory | 500 MB |" in table
    suite = pyperf.BenchmarkSuite.load(str(tmp_path / "results" / "machine.json"))
    assert {b.get_name(): list(b.get_values()) for b in suite} == {
        "draw: ours": [1.0, 2.0], "draw: diffusers": [2.0, 4.0], "memory: ours": [500e6],
    }  # fmt: skip
    assert json.loads((tmp_path / "results" / "machine.json").read_text())


def test_both_sides_draw_the_same_picture(components, monkeypatch):
    """A ratio means nothing if one side has less to do."""
    drawn = {}

    def keep_pictures(rounds, *contenders):
        drawn["pictures"] = [contender() for contender in contenders]
        return [[1.0], [1.0]]

    monkeypatch.setattr(drawing, "STEPS", 4)
    monkeypatch.setattr(drawing, "in_turns", keep_pictures)
    for name, classes in drawing.SCHEDULERS.items():
        drawing.row(components, name, classes, 2, rounds=1)
        ours, theirs = drawn["pictures"]
        assert len(ours) == len(theirs) == 2
        for mine, other in zip(ours, theirs, strict=True):
            assert max(abs(a - b) for a, b in zip(mine.tobytes(), other.tobytes(), strict=True)) <= 1


def test_the_unets_share_and_its_operations(components, monkeypatch):
    monkeypatch.setattr(drawing, "STEPS", 4)
    assert 0.5 < drawing.unet_share(components) < 1
    assert drawing.counted(components) == pytest.approx(2 * 0.89e9, rel=0.02)


def test_sweeps_are_timed_against_as_many_calls(monkeypatch):
    monkeypatch.setattr(sweeps, "STEPS", 45)  # the longest start step of a row is 40
    monkeypatch.setattr(sweeps, "in_turns", lambda rounds, ours, theirs: [[1.0], [2.0]])
    rows = list(sweeps.rows(1))
    assert [row.ratio for row in rows] == [0.5, 0.5] and rows[0].target == "0.55 or less"


ANSWER = """
import os, sys
print("ready", flush=True)
while sys.stdin.readline().strip() == "go":
    print(os.environ.get("OMP_NUM_THREADS", 0), flush=True)
"""


def test_a_crowd_works_together_with_the_threads_asked_for(monkeypatch):
    monkeypatch.setattr(crowd, "KERNEL", ANSWER)
    monkeypatch.setattr(crowd, "TORCH", {"OMP_NUM_THREADS": "3"})
    monkeypatch.setenv("OMP_NUM_THREADS", "7")  # of whoever runs the benchmark: ours is measured as it comes
    assert crowd.seconds("picture", "alone", own=True) == [3, 3]
    assert crowd.seconds("picture", "two at once", own=False) == [0, 0, 0, 0]


def test_a_busy_loop_runs_beside_and_ends(monkeypatch):
    started, popen = [], crowd.subprocess.Popen
    monkeypatch.setattr(crowd, "KERNEL", ANSWER)
    monkeypatch.setattr(crowd.subprocess, "Popen", lambda *args, **kwargs: started.append(popen(*args, **kwargs)) or started[-1])
    crowd.seconds("batch", "beside a busy loop", own=False)
    assert [process.args[-1] for process in started] == ["ours", crowd.BUSY]
    assert all(process.poll() is not None for process in started)


def test_crowds_are_compared_with_their_time_alone(monkeypatch):
    taken = {"alone": 2.0, "beside a busy loop": 3.0, "two at once": 5.0}
    monkeypatch.setattr(crowd, "seconds", lambda kind, place, own: [taken[place] * (4 if own else 1)])
    rows = list(crowd.rows(3))
    assert len(rows) == 3 * len(crowd.KINDS) and {row.ratio for row in rows} == {0.25}
    assert "1.50 of its time alone" in rows[1].name and "2.50 of its time alone" in rows[2].name
    assert rows[0].target.startswith("1.15 of torch's own") and rows[-1].target.startswith("2.2 of its time alone")


@pytest.mark.parametrize("kind", crowd.KINDS)
def test_every_kind_of_work_runs(kind, monkeypatch, capsys):
    """What the kernels of a crowd run, here without a process of its own."""
    code = crowd.KERNEL
    for long, short in (("steps=20", "steps=2"), ("num_steps=6", "num_steps=1"), ("num_images=16", "num_images=3")):
        assert long in code
        code = code.replace(long, short)
    monkeypatch.setattr("sys.argv", ["", kind, "ours"])
    monkeypatch.setattr("sys.stdin", io.StringIO("go\nend\n"))
    exec(code, {})
    ready, seconds = capsys.readouterr().out.split()
    assert ready == "ready" and 0 < float(seconds) < 60


def test_a_notebook_is_timed_as_it_runs(tmp_path, monkeypatch):
    sources = ["import os, time; time.sleep(0.3); assert os.environ['OMP_NUM_THREADS'] == '1'", "# text", "time.sleep(0.01)"]
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "one.ipynb")
    monkeypatch.setattr(notebooks, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(notebooks, "SLOW", 0.25)
    row, mean = notebooks.rows(1)
    assert row.name == "one (slow: In [1] 0 s)" and 0.3 < row.ours[0] == mean.ours[0] < 60


@pytest.fixture
def small_gpu(monkeypatch):
    """SD v1's sizes made small, and a CUDA GPU that is this CPU."""
    sizes = dict(block_out_channels=(32, 32, 32, 32), layers_per_block=1)
    monkeypatch.setattr(gpu.models, "SD_V1_UNET", gpu.models.SD_V1_UNET | sizes | dict(sample_size=8, cross_attention_dim=32))
    monkeypatch.setattr(gpu.models, "SD_V1_VAE", gpu.models.SD_V1_VAE | sizes | dict(sample_size=64))
    text = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
    monkeypatch.setattr(gpu.models, "SD_V1_TEXT", gpu.models.SD_V1_TEXT | text)
    monkeypatch.setattr(gpu, "STEPS", 2)
    on_cpu = gpu.sd_v1_with_random_weights("cpu", torch.float32)
    monkeypatch.setattr(gpu, "sd_v1_with_random_weights", lambda: dataclasses.replace(on_cpu))
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu.torch.cuda, "reset_peak_memory_stats", lambda: None)
    monkeypatch.setattr(gpu.torch.cuda, "max_memory_allocated", lambda: 2e9)
    monkeypatch.setattr(gpu, "faster", lambda unet, runtime: unet)
    monkeypatch.setattr(gpu.torch, "compile", lambda unet, **options: unet)
    return on_cpu


def test_gpu_rows_run(small_gpu, monkeypatch):
    def count_pictures(rounds, ours, theirs):
        return [[len(ours())], [len(theirs().images)]]

    monkeypatch.setattr(gpu, "in_turns", count_pictures)
    monkeypatch.setattr(gpu, "sweep_row", lambda components, rounds: Row("sweep", [1]))
    rows = {row.name.removeprefix(f"{gpu.SHAPE}, "): row for row in gpu.rows(1)}
    for solver in ("LMS", "Euler"):
        for batch in (1, 4, 16):
            eager = rows[f"{solver}, batch {batch}, eager"]
            assert eager.ours == eager.theirs == [batch], "both sides draw the whole batch"
            assert rows[f"{solver}, batch {batch}, peak memory"].cells()[1:4] == ["2.00 GB", "2.00 GB", "1.00"]
        assert rows[f"{solver}, batch 1, compiled"].target == "0.8 s or less on an H100"


def test_the_gpus_sweep_takes_the_same_steps_as_the_calls(small_gpu, monkeypatch):
    seen, counted = [], []
    small_gpu.unet.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))

    def count_rows(rounds, *contenders):
        for contender in contenders:
            seen.clear()
            contender()
            counted.append(sum(seen))
        return [[1.0], [1.0]]

    monkeypatch.setattr(gpu, "STEPS", 50)  # its start steps go up to 40
    monkeypatch.setattr(gpu, "in_turns", count_rows)
    gpu.sweep_row(small_gpu, 1)
    asked = 2 * sum(50 - start for start in range(5, 45, 5))
    assert counted == [asked, asked]


def test_the_page_is_measured_only_where_it_was_built(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(page, "DIST", tmp_path)
    assert list(page.rows(1)) == [] and "needs `make site`" in capsys.readouterr().out
