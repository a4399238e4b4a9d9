"""Convolution recomputed in numpy float64, tap by tap: plain ones by slices of a padded x, transposed ones by scattering.
Shares nothing with reference/conv.c, which lays out receptive fields and multiplies matrices."""
import numpy as np

U32, U64 = 2.0**-24, 2.0**-53
LIMIT = {"f16": 65520.0, "bf16": float.fromhex("0x1.ffp127"), "f32": np.inf}


def per_dimension(run, rank):
    """(taps, stride, pad) of depth, height, width; a dimension that is not used has 1, 1, 0."""
    used = [False] * (3 - rank) + [True] * rank
    number = {key: int(run.number(key)) for key in ("taps", "stride", "pad")}
    return [[number[key] if u else rest for u in used] for key, rest in (("taps", 1), ("stride", 1), ("pad", 0))]


def convolve(x, w, taps, stride, pad, dilation, transposed):
    """Sum of w x. x [batch][groups][in][z][h][w], w [groups][out][in][taps...] -> [batch][groups][out][...]."""
    batch, groups, _, *size = x.shape
    reach = [dilation * (t - 1) + 1 for t in taps]
    if transposed:
        full = [(n - 1) * s + r for n, s, r in zip(size, stride, reach)]
        y = np.zeros((batch, groups, w.shape[1], *full))
    else:
        x = np.pad(x, [(0, 0)] * 3 + [(p, p) for p in pad])
        out = [(n + 2 * p - r) // s + 1 for n, p, r, s in zip(size, pad, reach, stride)]
        y = np.zeros((batch, groups, w.shape[1], *out))
    for tap in np.ndindex(*taps):
        part = w[(slice(None),) * 3 + tap]
        first = [t * dilation for t in tap]
        if transposed:
            where = tuple(slice(f, f + (n - 1) * s + 1, s) for f, n, s in zip(first, size, stride))
            y[(slice(None),) * 3 + where] += np.einsum("ngczyx,goc->ngozyx", x, part)
        else:
            where = tuple(slice(f, f + (n - 1) * s + 1, s) for f, n, s in zip(first, out, stride))
            y += np.einsum("ngczyx,goc->ngozyx", x[(slice(None),) * 3 + where], part)
    if transposed:
        y = y[(slice(None),) * 3 + tuple(slice(p, n - p) for p, n in zip(pad, y.shape[3:]))]
    return y


def outputs(run):
    """Reference of y (NaN where a non-finite operand takes part) and the largest bound that the op may grant."""
    rank, transposed = int(run.number("rank")), run.number("transposed") != 0
    batch, groups, cin, cout = (int(run.number(key, 1)) for key in ("batch", "groups", "in", "out"))
    size = [int(run.number(key, 1)) for key in "zhw"]
    taps, stride, pad = per_dimension(run, rank)
    shape = (taps, stride, pad, int(run.number("dilation", 1)), transposed)
    x = run.values("x").reshape(batch, groups, cin // groups, *size)
    w = run.values("wt").reshape(*((groups, cin // groups, cout // groups) if transposed else
                                   (groups, cout // groups, cin // groups)), *taps)
    if transposed:
        w = w.swapaxes(1, 2)
    bias = run.values("b").reshape(1, groups, cout // groups, 1, 1, 1) if "b" in run.types else np.zeros(1)
    good_x, good_w = np.isfinite(x), np.isfinite(w)
    bad = convolve((~good_x).astype(float), np.ones(w.shape), *shape) + convolve(np.ones(x.shape), (~good_w).astype(float), *shape)
    x, w = np.where(good_x, x, 0), np.where(good_w, w, 0)
    magnitude = convolve(np.abs(x), np.abs(w), *shape)
    terms = cin // groups * int(np.prod(taps))
    with np.errstate(invalid="ignore"):
        y = convolve(x, w, *shape) + bias
    y[(bad > 0) | ~np.isfinite(y)] = np.nan
    longest = terms + 8 + 1
    cap = longest * U32 / (1 - longest * U32) * magnitude + U32 * np.abs(bias) * (1 + U32)
    cap += (terms + 1) * U64 * magnitude + U64 * np.abs(bias) + terms * 2.0**-149
    kind = run.types["y"]
    if kind != "f32":
        top = np.minimum(np.abs(y) + cap, 65504.0 if kind == "f16" else float.fromhex("0x1.fep127"))
        unit = np.spacing(np.where(np.isfinite(top), top, 1).astype(np.float32)).astype(float) * 2.0 ** (13 if kind == "f16" else 16)
        cap += np.maximum(unit, 2.0**-24 if kind == "f16" else 2.0**-133) / 2
    c_bound = np.asarray(run.raw("bound-y")).reshape(y.shape)
    sure = np.isnan(c_bound) & (np.abs(y) >= LIMIT[kind])
    return np.where(sure, np.copysign(np.inf, y), y), cap
