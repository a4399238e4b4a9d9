#!/usr/bin/env python3
"""Second opinion on dumped cases: recomputes every one in numpy float64 and compares three ways.

    blackframe check --dump DIR ... && reference/check_dumps.py DIR

For each run under DIR (a folder with case.json and the tensors as .npy):
  1. the C reference (ref-<tensor>.npy) against the one computed here, which shares no code with it: both must agree far below
     the bound (1e-5 of it, or to the last bit where the bound is 0);
  2. the C bound against the magnitudes computed here: it must be the same multiple of them in every row of a column, and no
     larger than the cap of the op allows;
  3. the kernel's output against the reference computed here, within the C bound.
Prints one line a disagreement. Exit status 0: all agree, 1: disagreement, 2: nothing to check or not readable.
"""
import argparse
import json
import pathlib
import sys

import numpy as np

import ref_conv
import ref_q4k_matmul
from formats import decode, encode, q4_k_parts, qblock_parts
from ref_attention import attention
from ref_linear import linear
from ref_norm import norm

U32, U64 = 2.0**-24, 2.0**-53
TOP = float(np.finfo(np.float32).max)


class Run:
    """One dumped run: case.json and a loader for its tensors (None where the file is absent)."""

    def __init__(self, folder):
        self.folder = folder
        self.meta = json.loads((folder / "case.json").read_text())
        self.fields = self.meta.get("fields") or {**self.meta.get("dims", {}), **self.meta.get("params", {})}
        self.types = self.meta.get("tensors") or self.meta.get("types", {})

    def raw(self, name):
        path = self.folder / f"{name}.npy"
        return np.load(path) if path.exists() else None

    def values(self, name):
        """Values in float64 of a tensor stored as numbers or as the bits of a 16-bit type."""
        return decode(self.types[name], self.raw(name))

    def number(self, key, default=0):
        return float(self.fields.get(key, default))

    def witness(self):
        return "witness=" in self.meta.get("case", "")


def compare(run, name, ref, bound_cap=None):
    """Yields disagreements of output `name` with `ref` (float64; NaN where any non-finite value will do)."""
    c_ref, bound, got = run.raw(f"ref-{name}"), run.raw(f"bound-{name}"), run.values(name)
    if c_ref is None or bound is None:
        yield f"{name}: no ref or bound was dumped"
        return
    c_ref, bound, got, ref = (np.asarray(a, np.float64).reshape(-1) for a in (c_ref, bound, got, ref))
    if not c_ref.size == bound.size == got.size == ref.size:
        yield f"{name}: {got.size} outputs, {c_ref.size} in the C reference, {ref.size} here"
        return
    finite, anything = np.isfinite(ref), np.isinf(bound)
    if np.any(np.isnan(bound) == finite):
        yield f"{name}: the references disagree about which outputs are finite"
    same = np.abs(c_ref - ref) <= 1e-5 * bound
    same |= (c_ref == ref) | ~finite | anything
    if not same.all():
        i = int(np.argmin(same))
        yield f"{name}[{i}]: C reference {c_ref[i]!r}, here {ref[i]!r}, bound {bound[i]!r} ({(~same).sum()} such)"
    if bound_cap is not None:
        over = finite & ~anything & ~(bound <= bound_cap.reshape(-1) * (1 + 1e-6))
        if over.any():
            i = int(np.argmax(over))
            yield f"{name}[{i}]: bound {bound[i]!r} above the op's cap {bound_cap.reshape(-1)[i]!r}"
    with np.errstate(invalid="ignore"):
        near = np.abs(got - ref) <= bound
    good = np.where(anything, True, np.where(finite, near | (got == ref), ~np.isfinite(got)))
    if not good.all():
        i = int(np.argmin(good))
        yield f"{name}[{i}]: kernel gave {got[i]!r}, here {ref[i]!r}, bound {bound[i]!r} ({(~good).sum()} such)"


def gamma(n):
    return n * U32 / (1 - n * U32)


def bound_is_proportional(bound, magnitude):
    """Every column's bound is one multiple of the magnitudes. Yields disagreements; magnitude, bound: [n][m]."""
    for c in range(bound.shape[0]):
        use = np.isfinite(bound[c]) & (bound[c] > 0) & (magnitude[c] > 1e-30) & (magnitude[c] < TOP / 16)
        ratio = bound[c][use] / magnitude[c][use]
        if ratio.size and ratio.max() > ratio.min() * (1 + 1e-4):
            yield f"column {c}: bound / magnitude runs from {ratio.min():.6e} to {ratio.max():.6e}"


def convert(run):
    source, to = run.types["x"], run.types["y"]
    saturate, bits = run.number("saturate") != 0, run.raw("x")
    x = decode(source, bits)
    y_bits = encode(to, x)
    y = decode(to, y_bits)
    overflow = np.isinf(y) & np.isfinite(x)
    if saturate:
        y = np.where(np.isinf(y), np.copysign(largest(to), y), y)
    yield from compare(run, "y", y)
    got = decode(to, run.raw("y"))
    if np.any(np.isnan(got) != np.isnan(x)):
        yield "y: NaN in and NaN out differ"
    counts = run.raw("c")
    if counts is not None:
        tiny = {"f32": 2.0**-126, "f16": 2.0**-14, "bf16": 2.0**-126}[to]
        want = [overflow.sum(), ((x != 0) & (y == 0)).sum(), ((y != 0) & (np.abs(y) < tiny)).sum(), np.isnan(x).sum()]
        if list(map(int, counts)) != list(map(int, want)):
            yield f"c: kernel counted {list(map(int, counts))}, here {list(map(int, want))}"


def largest(kind):
    return {"f32": TOP, "f16": 65504.0, "bf16": float.fromhex("0x1.fep127")}[kind]


def q4k_dequant(run):
    scaled, minimum, _ = q4_k_parts(run.raw("w"), int(run.number("m")), int(run.number("k")))
    with np.errstate(invalid="ignore"):
        f32 = decode("f32", encode("f32", scaled - minimum))
    yield from compare(run, "y", decode(run.types["y"], encode(run.types["y"], f32)))


def qblock_dequant(run):
    w, _ = qblock_parts(run.types["w"], run.raw("w"), int(run.number("m")), int(run.number("k")))
    yield from compare(run, "y", decode(run.types["y"], encode(run.types["y"], w)))


def q4k_matvec(run):
    m, k, n = (int(run.number(f, 1)) for f in "mkn")
    kind, own, parts = run.types["w"], 3, 2
    if kind == "q4_k":
        scaled, minimum, bad_row = q4_k_parts(run.raw("w"), m, k)
    else:  # no minimum: two roundings a term, one where the scale is a power of two; a block of 32 is one addend, two of q6_k
        scaled, bad_row = qblock_parts(kind, run.raw("w"), m, k)
        minimum, own, parts = np.zeros_like(scaled), 1 if kind == "mxfp4" else 2, 2 if kind == "q6_k" else 1
    scaled[bad_row], minimum[bad_row] = 0, 0
    x = run.values("x").reshape(n, k)
    bad_column = ~np.isfinite(x).all(axis=1)
    int8 = run.meta.get("path") == "int8"
    if int8:
        yield from quantiser(run, x)
        d = np.repeat(run.values("xd").reshape(n, k // 32), 32, axis=1)
        x = np.where(np.isfinite(d), d, 0) * run.values("xq").reshape(n, k)
    x[bad_column] = 0
    y = np.einsum("ck,rk->cr", x, scaled - minimum)
    magnitude = np.einsum("ck,rk->cr", np.abs(x), np.abs(scaled) + np.abs(minimum))
    y[np.ix_(bad_column, np.ones(m, bool))] = np.nan
    y[:, bad_row] = np.nan
    if run.meta.get("path") in ref_q4k_matmul.UNIT:
        yield from ref_q4k_matmul.narrow(run, compare, run.meta["path"], scaled, minimum, x, y)
        return
    longest = parts * (k // 32) + 16 if int8 else k + 8
    yield from compare(run, "y", y, gamma(longest + own) * magnitude + k * U64 * magnitude + k * 2.0**-149)
    bound = run.raw("bound-y")
    if bound is not None:
        yield from bound_is_proportional(np.asarray(bound).reshape(n, m), magnitude)


def quantiser(run, x):
    """XQ, XD, XS of the int8 path: blocks of 32."""
    blocks = x.reshape(-1, 32)
    q = run.values("xq").reshape(-1, 32)
    d, s = run.values("xd").reshape(-1), run.values("xs").reshape(-1)
    bad = ~np.isfinite(blocks).all(axis=1)
    with np.errstate(invalid="ignore"):
        amax = np.abs(blocks).max(axis=1)
        small = ~bad & (amax < 2.0**-100)
        want = np.where(small, 0, amax / 127)
        ulp = np.where(small, 0, np.spacing(np.where(bad | small, 1, amax / 127).astype(np.float32)))
        if not np.where(bad, np.isnan(d), np.abs(d - want) <= ulp).all():
            yield "xd: not amax/127 to one unit in the last place"
        off = np.abs(blocks - d[:, None] * q) <= d[:, None] / 2 + 4 * U32 * np.abs(blocks)
    if not np.where((bad | small)[:, None], q == 0, off).all():
        yield "xq: not x/d to nearest"
    if not (s == q.sum(axis=1)).all():
        yield "xs: not the sum of q"


def stream(run):
    mode = run.fields["mode"]
    if mode in ("read", "mix"):
        parity = int(np.bitwise_xor.reduce(run.raw("x").view(np.uint32)))
        if parity != int(run.raw("c").reshape(-1)[0]):
            yield "c: not the XOR of all words"
        if mode == "read":
            return
    x = run.values("x") if run.raw("x") is not None else None
    if mode == "copy":
        y = x
    elif mode in ("write", "mix"):
        length = int(run.number("m" if mode == "mix" else "n"))
        y = (0x3F800000 | (np.arange(length) & 0xFF)).astype(np.uint32).view(np.float32).astype(np.float64)
    else:
        with np.errstate(invalid="ignore"):
            y = x + 3 * run.values("z")
    yield from compare(run, "y", y)


CHECKS = {"convert": convert, "q4k_dequant": q4k_dequant, "q4k_matvec": q4k_matvec, "q4k_matmul": q4k_matvec,
          "qblock_dequant": qblock_dequant, "qblock_matmul": q4k_matvec,
          "stream": stream,
          "linear": lambda run: linear(run, compare),
          "conv": lambda run: compare(run, "y", *ref_conv.outputs(run)),
          "attention": lambda run: attention(run, compare),
          "norm": lambda run: norm(run, compare)}


def main():
    np.seterr(invalid="ignore", over="ignore")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("-q", "--quiet", action="store_true", help="only disagreements")
    args = parser.parse_args()
    folders = sorted(p.parent for p in args.directory.rglob("case.json"))
    if not folders:
        print(f"{args.directory}: no dumped case (a folder with case.json)", file=sys.stderr)
        return 2
    wrong, seen = 0, {}
    for folder in folders:
        try:
            run = Run(folder)
            problems = list(CHECKS[run.meta["op"]](run))
        except (OSError, ValueError, KeyError, TypeError) as e:
            print(f"{folder}: cannot be checked: {type(e).__name__}: {e}", file=sys.stderr)
            return 2
        seen[run.meta["op"]] = seen.get(run.meta["op"], 0) + 1
        for p in problems:
            print(f"{folder.name}: {run.meta['case']}: {p}")
        wrong += bool(problems)
    if not args.quiet:
        print(", ".join(f"{op} {n}" for op, n in sorted(seen.items())) + f": {len(folders)} runs, {wrong} disagree")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
