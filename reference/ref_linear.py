"""linear recomputed in numpy: y = W x + b in float64 straight from the dumped values, infinities and NaN included."""
import numpy as np

from formats import decode, encode

U32, U64 = 2.0**-24, 2.0**-53
LARGEST = {"f32": float(np.finfo(np.float32).max), "f16": 65504.0, "bf16": float.fromhex("0x1.fep127")}
BITS = {"f32": (24, -126), "f16": (11, -14), "bf16": (8, -126)}  # significand, smallest exponent


def ulp(kind, size):
    bits, least = BITS[kind]
    _, e = np.frexp(np.where(size > 0, size, 1.0))
    return np.ldexp(1.0, np.where(size > 0, np.maximum(e - 1, least), least) - (bits - 1))


def linear(run, compare):
    m, k, n = (int(run.number(f, 1)) for f in "mkn")
    kind, wmma = run.types["y"], run.meta.get("path") == "wmma"
    w, x = run.values("w").reshape(m, k), run.values("x").reshape(n, k)
    b = run.values("b").reshape(1, m) if run.raw("b") is not None else np.zeros((1, m))
    biased = run.raw("b") is not None
    finite = lambda a: np.where(np.isfinite(a), a, 0)
    with np.errstate(all="ignore"):
        y = (x[:, None, :] * w[None, :, :]).sum(axis=2) + b
        magnitude = np.einsum("ck,rk->cr", np.abs(finite(x)), np.abs(finite(w))) + np.abs(finite(b))
    steps = (2 if wmma else 1) * (k + 9) + biased
    cap = steps * U32 / (1 - steps * U32) * magnitude + k * U64 * magnitude + (k + 16) * 2.0**-149
    if kind != "f32":
        cap = cap + ulp(kind, np.minimum(np.abs(finite(y)) + cap, LARGEST[kind])) / 2

    # A finite sum that cannot be anything but an infinity in y's type is one.
    c_ref, c_bound = (np.asarray(run.raw(f"{part}-y"), np.float64).reshape(n, m) for part in ("ref", "bound"))
    ref = y.copy()
    beyond = np.isfinite(y) & np.isnan(c_bound)
    top = LARGEST[kind] + ulp(kind, np.asarray(LARGEST[kind])) / 2
    if (np.abs(y[beyond]) + cap[beyond] < top).any():
        yield "y: the C reference says infinity where the sum fits"
    ref[beyond] = np.copysign(np.inf, y[beyond])
    exact = c_bound == 0  # the sum, rounded once
    ref[exact] = decode(kind, encode(kind, y[exact]))
    promised = np.isinf(c_ref)
    if (promised & (ref != c_ref)).any():
        yield "y: promised infinities differ"
    yield from compare(run, "y", ref, cap)
    got = run.values("y").reshape(n, m)
    if (np.isnan(y) & np.isnan(c_bound) & ~np.isnan(got) & (np.isnan(x).any(1)[:, None] | np.isnan(w).any(1)[None, :] | np.isnan(b))).any():
        yield "y: a NaN was lost"
