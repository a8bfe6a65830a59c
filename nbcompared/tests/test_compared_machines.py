"""Other machines, imitated: assertions are written down and still assert, weights shake alike, and the margins are right."""

import ast
import builtins
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from nbcompared.pictures import picture_used
from nbcompared.text import text_used
from samples import encode, icon, shaken

from nbcompared import kernel, machines

HOLDS = {  # what is asserted: the operator, the left and the right side of each line that is written down
    "1 < 2 <= 3": [("Lt", 1, 2), ("LtE", 2, 3)],
    "np.float32(1.5) > 0.5 and not 2 < 1": [("Gt", 1.5, 0.5), ("Lt", 2, 1)],
    "all(x < 3 for x in (1, 2))": [("Lt", 1, 3), ("Lt", 2, 3)],
    "[3, 2, 1] == sorted([1, 2, 3], reverse=True)": [("Lt", 2, 3), ("Lt", 1, 2)],
    "np.allclose([1.0, 1.0], [1.0, 1.001], atol=0.004, rtol=0)": [("Lt", 0.25, 1)],
    "(1 < 2) == ('a' == 'a')": [("Lt", 1, 2), ("Eq", None, None), ("Eq", 1, 1)],
    "any(x > 1 for x in (1, 2))": [],
    "not np.allclose(1, 2)": [],
}


@pytest.fixture
def recorder(tmp_path, monkeypatch):
    found = kernel.Recorder(str(tmp_path / "lines"))
    monkeypatch.setattr(builtins, kernel.MEASURED, found, raising=False)
    return found


def run(source: str) -> None:
    tree = ast.fix_missing_locations(kernel.Measured().visit(ast.parse(source)))
    exec(compile(tree, "cell", "exec"), {"np": np})


@pytest.mark.parametrize("condition", HOLDS)
def test_both_sides_of_an_assertion_are_written_down(recorder, condition):
    recorder.next_cell(None)
    run(f"assert {condition}")
    lines = machines.read(Path(recorder.path))
    assert [(line["operator"], line["left"], line["right"]) for line in lines] == [
        (name, pytest.approx(a), pytest.approx(b)) for name, a, b in HOLDS[condition]
    ]
    assert [line["number"] for line in lines] == list(range(len(lines))) and all(line["cell"] == 0 for line in lines)


@pytest.mark.parametrize("condition", ["2 < 1", "1 < 2 < 2", "all(x < 2 for x in (1, 2))", "[2, 1] == sorted([2, 1])", "1 == 2"])
def test_what_is_false_still_raises(recorder, condition):
    with pytest.raises(AssertionError):
        run(f"assert {condition}")


SHAKE = f"""
import json, runpy, sys, torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextModel
torch.manual_seed(1)
def load(): return [kind.from_pretrained(f"{{sys.argv[1]}}/{{kind.__name__}}") for kind in (UNet2DConditionModel, CLIPTextModel)]
def weights(models): return torch.cat([p.flatten() for model in models for p in model.parameters()]).double()
true = weights(load())
runpy.run_path({kernel.__file__!r})["jitter"](SEED)
first, second = weights(load()), weights(load())
x, layer = torch.ones(1, 4), torch.nn.Linear(4, 4)
plain = torch.nn.functional.linear(x, layer.weight, layer.bias)
print(json.dumps([torch.equal(first, second), (first / true - 1)[true != 0].std().item(),
    (first - true)[true == 0].abs().sum().item(), (layer(x) / plain - 1).abs().max().item(), torch.equal(layer(x), layer(x)),
    first.sum().item()]))
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with a small U-Net and a small text encoder."""
    diffusers, transformers = pytest.importorskip("diffusers"), pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("models")
    blocks = dict(down_block_types=["CrossAttnDownBlock2D"], up_block_types=["CrossAttnUpBlock2D"], block_out_channels=[32])
    diffusers.UNet2DConditionModel(cross_attention_dim=32, layers_per_block=1, **blocks).save_pretrained(
        folder / "UNet2DConditionModel"
    )
    sizes = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, vocab_size=100)
    transformers.CLIPTextModel(transformers.CLIPTextConfig(**sizes)).save_pretrained(folder / "CLIPTextModel")
    return folder


def test_jitter_is_small_and_the_same_for_each_load(models):
    sums = set()
    for seed in (1, 2):
        code = SHAKE.replace("SEED", str(seed))
        command = [sys.executable, "-W", "ignore", "-c", code, str(models)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        alike, spread, moved_from_zero, moved, repeats, total = json.loads(done.stdout.splitlines()[-1])
        assert alike and repeats and 0 < moved < 1e-5
        assert spread == pytest.approx(1e-6, rel=0.05) and moved_from_zero == 0
        sums.add(total)
    assert len(sums) == 2


def test_used_is_the_part_of_the_tolerance():
    assert text_used("loss 0.500", "loss 0.500") == 0
    assert text_used("loss 0.500", "loss 0.501") == 0  # the last place flips
    assert text_used("loss 0.500, 1.0", "loss 0.506, 1.0") == pytest.approx(0.005 / (1e-3 + 2e-2 * 0.506))
    assert picture_used(encode(icon()), encode(icon())) == 0
    assert 0 < picture_used(encode(icon()), encode(shaken(icon(), 1))) < picture_used(encode(icon()), encode(shaken(icon()))) < 1
    assert picture_used(encode(icon()), encode(255 - icon())) > 1


def line(left, right, operator="Lt", tolerance=False) -> dict:
    return dict(left=left, right=right, operator=operator, tolerance=tolerance)


@pytest.mark.parametrize(
    "now, before, used",
    [
        (line(64.7, 66.1), line(64.7, 66.1), 0),
        (line(65.4, 66.1), line(64.7, 66.1), 0.5),
        (line(66.8, 66.1), line(64.7, 66.1), 1.5),  # it flipped
        (line(3, 1, "Gt"), line(2, 1, "Gt"), 0),  # further off than before
        (line(1.5, 1, "Gt"), line(2, 1, "Gt"), 0.5),
        (line(5e-5, 1e-4), line(1e-5, 1e-4), 0.5),  # a limit for rounding: what counts is the limit
        (line(0.5, 1.0, tolerance=True), None, 0.5),
        (line(2.0, 1.0, tolerance=True), None, 2),  # what failed shows above 1
        (line(1, 1, "LtE"), line(1, 1, "LtE"), 0),
        (line(1, 1, "Eq"), line(1, 1, "Eq"), None),
        (line(None, None, "Lt"), None, None),
    ],
)
def test_an_assertion_uses_the_room_between_its_sides(now, before, used):
    assert machines.assertion_used(now, before) == (used if used is None else pytest.approx(used))


def test_there_are_about_fifteen_variants_and_the_lowest_is_both():
    assert 15 <= len(machines.VARIANTS) <= 18 and next(iter(machines.VARIANTS)) == machines.AS_IT_IS
    assert machines.VARIANTS["lowest"].environment == {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}
    assert [v.jitter for v in machines.VARIANTS.values() if v.jitter is not None] == [1, 2, 3, 4, 5]
