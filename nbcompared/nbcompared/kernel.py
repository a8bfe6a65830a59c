"""Run inside the kernel of a notebook, before its first cell and without its knowledge: weights as another machine would round
them, and how far the two sides of each assertion lie apart.

`notebooks` runs this file with `runpy`; so it imports nothing from its neighbours and leaves nothing in the
notebook's namespace.
"""

from __future__ import annotations

import ast
import builtins
import functools
import hashlib
import importlib
import json
import operator

JITTER = 1e-6  # relative; the same picture drawn alone and in a batch of 16 differs by 4e-6 a call of the U-Net
MEASURED = "__measured__"  # the name, among Python's own, by which changed assertions reach `Recorder`
OPERATORS = {
    "Lt": operator.lt,
    "LtE": operator.le,
    "Gt": operator.gt,
    "GtE": operator.ge,
    "Eq": operator.eq,
    "NotEq": operator.ne,
}
BASES = {"diffusers.models.modeling_utils": "ModelMixin", "transformers.modeling_utils": "PreTrainedModel"}
CLOSE = ("allclose", "isclose")


# --- jitter ---------------------------------------------------------------------------------------------------------------------


def jitter(seed: int) -> None:
    """From now on every weight that is loaded is multiplied by 1 + 1e-6 n, n standard normal.

    n depends on the seed and on the parameter's name alone, so two loads of one model agree, and no generator that a notebook
    could see is drawn from. Of layers that were not loaded the outputs are multiplied in its place.
    """
    import torch

    for module, name in BASES.items():
        try:
            base = getattr(importlib.import_module(module), name)
        except ModuleNotFoundError:  # then no model is loaded by it
            continue
        base.from_pretrained = classmethod(_then_shaken(base.from_pretrained.__func__, seed))

    def shaken_output(module, inputs, output):
        if torch.is_tensor(output) and output.is_floating_point() and not hasattr(module, "loaded_shaken"):
            return output * _factors(seed, type(module).__name__, output.shape[1:], output)

    for layer in (torch.nn.Linear, torch.nn.Conv2d):
        layer.__call__ = _hooked(layer.__call__, shaken_output)


def _hooked(call, hook):
    """A layer's call whose output passes through `hook`; a hook on all modules would slow every one of them down."""

    @functools.wraps(call)
    def wrapped(module, *inputs, **named):
        output = call(module, *inputs, **named)
        changed = hook(module, inputs, output)
        return output if changed is None else changed

    return wrapped


def _then_shaken(load, seed: int):
    """A `from_pretrained` whose model comes with every weight jittered."""

    @functools.wraps(load)
    def loaded(cls, *args, **kwargs):
        result = load(cls, *args, **kwargs)
        _shake(result[0] if isinstance(result, tuple) else result, seed)  # a tuple with output_loading_info=True
        return result

    return loaded


def _shake(model, seed: int) -> None:
    """Multiply every parameter in place, and mark the layers, so that their outputs are left alone."""
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # transformers names the same weight with and without this, by the class that holds it.
            parameter.mul_(_factors(seed, name.removeprefix("text_model."), parameter.shape, parameter))
    for module in model.modules():
        module.loaded_shaken = True  # an attribute of the module itself, so that copies of the model carry it


def _factors(seed: int, name: str, shape, like):
    """1 + 1e-6 n for a tensor, from a generator of its own."""
    import torch

    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    return (1 + JITTER * torch.randn(tuple(shape), generator=generator)).to(like)


# --- assertions -----------------------------------------------------------------------------------------------------------------


def record_assertions(path: str) -> None:
    """Write both sides of every comparison that a cell asserts to a file, a line of JSON each."""
    shell = get_ipython()  # noqa: F821
    recorder = Recorder(path)
    setattr(builtins, MEASURED, recorder)
    shell.events.register("pre_run_cell", recorder.next_cell)
    shell.ast_transformers.append(Measured())


class Recorder:
    """Called in the place of a comparison: says what it says, and writes its sides down."""

    def __init__(self, path: str):
        self.path, self.cell, self.number = path, -1, 0

    def next_cell(self, info) -> None:
        """A cell begins; they are counted from 0, as nbval does."""
        self.cell, self.number = self.cell + 1, 0

    def compare(self, source: str, operators: list[str], *sides):
        """`a < b <= c`, all sides computed; True where each pair holds."""
        result = True
        for name, (left, right) in zip(operators, zip(sides, sides[1:]), strict=True):
            if name == "Eq" and _in_order(right) and isinstance(left, (list, tuple)) and sorted(left) == sorted(right):
                for neighbours in zip(left, left[1:]):  # `errors == sorted(errors)` compares each two neighbours
                    self.write(source, "Lt", *(neighbours if right[0] <= right[-1] else neighbours[::-1]))
            else:
                self.write(source, name, left, right)
            result = result and OPERATORS[name](left, right)
        return result

    def close(self, source: str, function, left, right, rtol=1e-5, atol=1e-8, **others):
        """`allclose(a, b, rtol, atol)`: the largest part of the tolerance that any element uses."""
        import numpy as np

        a, b = (np.asarray(side.detach().cpu() if hasattr(side, "detach") else side, dtype=float) for side in (left, right))
        self.write(source, "Lt", float(np.max(np.abs(a - b) / (atol + rtol * np.abs(b)))), 1.0, tolerance=True)
        return function(left, right, rtol=rtol, atol=atol, **others)

    def write(self, source: str, name: str, left, right, tolerance: bool = False) -> None:
        """One line: where, what, and both sides if they are numbers."""
        left, right = _number(left), _number(right)
        found = dict(
            cell=self.cell, number=self.number, source=source, operator=name, left=left, right=right, tolerance=tolerance
        )
        self.number += 1
        with open(self.path, "a") as file:
            file.write(json.dumps(found) + "\n")


def _in_order(value) -> bool:
    """Whether it is a list of numbers that only rise, or only fall."""
    numbers = isinstance(value, (list, tuple)) and len(value) > 1 and all(_number(item) is not None for item in value)
    return numbers and list(value) in (sorted(value), sorted(value, reverse=True))


def _number(value) -> float | None:
    """The value as a float, None where it is no single number."""
    try:
        return None if isinstance(value, (str, bytes)) else float(value)
    except (TypeError, ValueError, RuntimeError):
        return None


class Measured(ast.NodeTransformer):
    """`assert a < b` becomes `assert __measured__.compare("a < b", ["Lt"], a, b)`; through and, or, not, all(...)."""

    def visit_Assert(self, node: ast.Assert) -> ast.Assert:
        """Every assertion, wherever it stands."""
        node.test = self.measured(node.test)
        return ast.fix_missing_locations(node)

    def measured(self, test: ast.expr) -> ast.expr:
        """The same condition, its comparisons passed through the recorder."""
        if isinstance(test, ast.BoolOp):
            test.values = [self.measured(value) for value in test.values]
        elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            if not isinstance(test.operand, ast.Call):  # `not allclose` asserts no tolerance
                test.operand = self.measured(test.operand)
        elif isinstance(test, ast.Compare) and all(type(op).__name__ in OPERATORS for op in test.ops):
            names = [type(op).__name__ for op in test.ops]
            source = ast.unparse(test)
            sides = [self.measured(side) for side in (test.left, *test.comparators)]
            return _call("compare", ast.Constant(source), ast.List([ast.Constant(n) for n in names], ast.Load()), *sides)
        elif isinstance(test, ast.Call):
            name = getattr(test.func, "attr", getattr(test.func, "id", ""))
            if name in CLOSE and len(test.args) == 2:
                test = _call("close", ast.Constant(ast.unparse(test)), test.func, *test.args, keywords=test.keywords)
            elif name == "all" and len(test.args) == 1 and isinstance(test.args[0], ast.GeneratorExp):
                test.args[0].elt = self.measured(test.args[0].elt)
        return test


def _call(method: str, *arguments: ast.expr, keywords=()) -> ast.Call:
    """`__measured__.method(arguments)`."""
    function = ast.Attribute(ast.Name(MEASURED, ast.Load()), method, ast.Load())
    return ast.Call(function, list(arguments), list(keywords))
