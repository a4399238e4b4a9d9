#!/usr/bin/env python3
"""Tests of recorder.py, on a stand-in for the part of PyTorch's interface that it uses, and on PyTorch itself where it is installed.

    reference/test_recorder.py [build/blackframe]       the program: what was recorded is handed to `trace` and `check`

Prints one line a failure and a closing line; exit status 1 when one failed."""
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from recorder import Recorder

try:
    import torch
except ImportError:
    torch = None

passed = failed = 0


def expect(truth, what):
    global passed, failed
    passed, failed = passed + bool(truth), failed + (not truth)
    if not truth:
        print(f"FAIL {what}")


# ---- the stand-in: tensors, modules, forward hooks ----
class Tensor:
    def __init__(self, values, dtype=None):
        self.values = np.asarray(values)
        self.dtype = f"torch.{dtype or self.values.dtype.name}"
        self.shape = self.values.shape

    def detach(self):
        return self

    cpu = float = detach

    def numpy(self):
        return self.values


class Module:
    with_kwargs = True

    def __init__(self, **children):
        self.children, self.hooks = children, []

    def named_modules(self, prefix=""):
        yield prefix, self
        for name, child in self.children.items():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def register_forward_hook(self, hook, **options):
        if options and not self.with_kwargs:
            raise TypeError("unexpected keyword argument 'with_kwargs'")
        self.hooks.append((hook, bool(options)))
        handle = type("Handle", (), {})()
        handle.remove = lambda: self.hooks.clear()
        return handle

    def __call__(self, *args, **named):
        out = self.forward(*args, **named)
        for hook, with_kwargs in self.hooks:
            if with_kwargs:
                hook(self, args, named, out)
            else:
                hook(self, args, out)
        return out

    def forward(self, x):
        for child in self.children.values():
            x = child(x)
        return x


class Scale(Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x, named=None):
        with np.errstate(over="ignore", invalid="ignore"):
            return Tensor(np.asarray((named or x).values * self.factor, x.values.dtype))


class Linear(Module):
    def __init__(self, weight, dtype):
        super().__init__()
        self.weight = Tensor(weight, dtype)

    def forward(self, x):
        return (Tensor(x.values @ self.weight.values.T, "bfloat16"), {"cache": None, "again": Tensor(x.values)})


def lines(folder):
    return [json.loads(line) for line in (pathlib.Path(folder) / "activations.jsonl").read_text().splitlines()]


X = np.arange(24, dtype=np.float32).reshape(1, 4, 6) - 8  # -8 .. 15


def counts_are_those_of_numpy(folder):
    model = Module(a=Scale(2), b=Scale(np.float32(3e38)))
    with Recorder(model, folder, modules=("a", "b")) as r:
        model(Tensor(X))
        model(Tensor(X[:, :2]))
    got = {(o["module"], o["tensor"]): o for o in lines(folder) if o["type"] == "activation"}
    a = np.concatenate([2 * X.ravel(), 2 * X[:, :2].ravel()]).astype(np.float64)
    o = got["a", "output"]
    expect((o["calls"], o["values"], o["absmax"], o["over"], o["nan"], o["inf"]) == (2, 36, 30.0, 0, 0, 0), f"counts of a: {o}")
    expect(abs(o["rms"] - np.sqrt((a * a).mean())) < 1e-12, "rms of a")
    with np.errstate(over="ignore"):
        b = np.concatenate([(2 * X * np.float32(3e38)).ravel(), (2 * X[:, :2] * np.float32(3e38)).ravel()])
    o = got["b", "output"]
    expect(o["inf"] == np.isinf(b).sum() and o["over"] == np.isfinite(b).sum() - (b == 0).sum(), f"inf and over of b: {o}")
    expect(o["absmax"] == np.abs(b.astype(np.float64))[np.isfinite(b)].max() and np.isfinite(o["rms"]), "infinities are no magnitude")
    expect(got["a", "input[0]"]["absmax"] == 15 and got["b", "input[0]"]["absmax"] == 30, "inputs are counted")
    expect(r.excess[0]["module"] == "b" and len(r.excess) == 1 and "b (Scale), call 1" in r.summary(), r.summary())


def first_tensor_beyond_the_limit_is_kept(folder):
    model = Module(one=Scale(1), two=Scale(np.float32(100)), three=Scale(1))
    with Recorder(model, folder, modules=["one", "t*"], limit=1000, most=1) as r:
        model(Tensor(X / 10))
        model(Tensor(X))       # two gives 1500
        model(Tensor(X * 2))   # not the first any more
    excess = [o for o in lines(folder) if o["type"] == "excess"]
    expect([(e["module"], e["call"], e["tensor"]) for e in excess] == [("two", 2, "output")], f"{excess}")
    e = excess[0]
    into, out = np.load(folder / e["input"]), np.load(folder / e["output"])
    expect(into.shape == (4, 6) and (into == X[0]).all() and out.dtype == np.float32 and (out == 100 * X[0]).all(), "the second call's tensors as [tokens][width]")
    expect(out[e["row"], e["column"]] == float(e["value"]) and abs(out).ravel()[: 6 * e["row"] + e["column"]].max() <= 1000, "the first element at fault")
    expect(f"--input x={folder / e['input']} --size tokens=4 --size width=6" == e["trace"], e["trace"])
    expect(len(list(folder.glob("*.npy"))) == 2 and not list(folder.glob("*.new")), "nothing else is written")
    expect(r.handles == [] and not any(m.hooks for _, m in model.named_modules()), "hooks are gone")


def nan_is_beyond_every_limit(folder):
    model = Module(a=Scale(np.float32("nan")))
    with Recorder(model, folder, limit=float("inf"), inputs=False) as r:
        model(Tensor(X))
    expect([e["module"] for e in r.excess] == ["a", ""] and r.excess[0]["value"] == "nan" and "input" not in r.excess[0], "the innermost module first, the model as a whole too")
    expect((folder / "model.out.npy").exists(), "the model itself has a file name")


def the_largest_fp16_is_not_beyond_it(folder):
    model = Module(a=Scale(1), b=Scale(1))
    with Recorder(model, folder, modules="?") as r:
        model.children["a"](Tensor(np.float32([[65504, -65504]])))
        model.children["b"](Tensor(np.float32([[65504, -65536]])))
    got = {o["module"]: o["over"] for o in lines(folder) if o["type"] == "activation" and o["tensor"] == "output"}
    expect(got == dict(a=0, b=1) and [e["module"] for e in r.excess] == ["b"], f"{got} {r.summary()}")
    expect(r.excess[0]["tensor"] == "output" and r.excess[0]["column"] == 1, "both are bad: the output is named, the input has its file")


def linear_layers_become_cases(folder):
    model = Module(**{"h/0": Linear(np.full((3, 6), 1e6, np.float32), "bfloat16"), "h_0": Linear(np.full((3, 6), 1e6, np.float32), "float32")})
    with Recorder(model, folder, modules="h*") as r:
        for child in model.children.values():
            child(Tensor(X, "bfloat16"))
    e = r.excess
    expect(e[0]["tensor"] == "output[0]" and e[0]["of"] == "bfloat16", "tuples and dictionaries are looked into")
    expect([x.get("check") for x in e] == ["linear m=3 k=6 n=4 w=bf16 x=bf16 fill=outlier scale=2^3", "linear m=3 k=6 n=4 w=f32 x=bf16 fill=outlier scale=2^3"], f"{[x.get('check') for x in e]}")
    expect(len({x["output"] for x in e}) == 2, "two modules, two files")
    return e[0]["check"]


def hooks_of_older_versions(folder):
    model = Module(a=Scale(1))
    model.children["a"].with_kwargs = False
    with Recorder(model, folder, modules="a"):
        model(Tensor(X))
    expect([o["tensor"] for o in lines(folder)] == ["input[0]", "output"], "without with_kwargs")
    model = Module(a=Scale(1))
    with Recorder(model, folder, modules="a"):
        model.children["a"](Tensor(X), named=Tensor(X))
    expect([o["tensor"] for o in lines(folder)] == ["input[0]", "input[named]", "output"], "arguments by name")


def wrong_use_is_named(folder):
    try:
        Recorder(Module(a=Scale(1)), folder, modules="layer.*")
        expect(False, "no module matches, and nobody said so")
    except ValueError as error:
        expect("layer.*" in str(error) and "'a'" in str(error), str(error))


def with_torch(folder):
    """Two linear layers with a planted row: counts as torch makes them, bf16 exactly as fp32, values unchanged by the hooks."""
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.Linear(64, 256)).to(torch.bfloat16)
    with torch.no_grad():
        model[1].weight[7] = 9000.0
        x = torch.randn(2, 8, 32, dtype=torch.bfloat16)
        bare, hidden = model(x), model[0](x)
        with Recorder(model, folder, modules=["0", "1"]) as r:
            hooked = model(x)
    expect(torch.equal(bare, hooked), "the hooks change nothing")
    o = {(o["module"], o["tensor"]): o for o in lines(folder) if o["type"] == "activation"}["1", "output"]
    expect(o["over"] == int((bare.float().abs() > 65504).sum()) > 0 and o["absmax"] == float(bare.float().abs().max()) and o["dtype"] == "bfloat16", f"{o}")
    e = r.excess[0]
    expect(e["module"] == "1" and e["column"] == 7 and e["kind"] == "Linear", f"{e}")
    expect((np.load(folder / e["input"]) == hidden.float().reshape(16, 64).numpy()).all(), "what went in")
    expect((np.load(folder / e["output"]) == bare.float().reshape(16, 256).numpy()).all(), "what came out")
    expect(e["check"].startswith("linear m=256 k=64 n=16 w=bf16 x=bf16 fill=outlier scale=2^"), e["check"])


def with_the_program(program, folder, case):
    """A recorded input is what trace starts from: its largest value shows at the first op that passes it on."""
    model = Module(embed=Scale(np.float32(1)))
    x = np.random.default_rng(1).standard_normal((1, 5, 256)).astype(np.float32)
    x[0, 3, 17] = 54321.0
    with Recorder(model, folder, modules="embed", limit=50000) as r:
        model(Tensor(x))
    command = [program, "trace", "llama-3.1-8b", "--depth", "1", "--plan", "fp32", "--backend", "cpu", *r.excess[0]["trace"].split()]
    run = subprocess.run(command, capture_output=True, text=True)
    expect(run.returncode == 0 and "54,32" in run.stdout, f"{' '.join(command)}: {run.returncode} {run.stderr} {run.stdout[-600:]}")
    run = subprocess.run([program, "check", "--backend", "cpu", *case.split()], capture_output=True, text=True)
    expect(run.returncode == 0 and " 0 failed" in run.stdout, f"check {case}: {run.stdout[-300:]} {run.stderr}")


def main():
    with tempfile.TemporaryDirectory() as t:
        folders = (pathlib.Path(t) / str(i) for i in range(99))
        counts_are_those_of_numpy(next(folders))
        first_tensor_beyond_the_limit_is_kept(next(folders))
        nan_is_beyond_every_limit(next(folders))
        the_largest_fp16_is_not_beyond_it(next(folders))
        case = linear_layers_become_cases(next(folders))
        hooks_of_older_versions(next(folders))
        wrong_use_is_named(next(folders))
        if torch:
            with_torch(next(folders))
        if len(sys.argv) > 1:
            with_the_program(sys.argv[1], next(folders), case)
    print(f"recorder{'' if torch else ' (no PyTorch here: the stand-in alone)'}: {passed} passed, {failed} failed, {0 if torch else 1} skipped")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
