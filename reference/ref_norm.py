"""norm in numpy float64, and the cap of its bound: the second opinion of check_dumps.py. Written from kernels/common/norm.h
and the derivation in harness/ops/norm.c; shares no code with the C reference. Sums are exact (math.fsum)."""
import math

import numpy as np

from formats import decode, encode

U = 2.0**-24
LARGEST = {"f32": float(np.finfo(np.float32).max), "f16": 65504.0, "bf16": float.fromhex("0x1.fep127")}
BITS = {"f32": (24, -126), "f16": (11, -14), "bf16": (8, -126)}  # significand, smallest exponent


def gamma(n):
    return n * U / (1 - n * U)


def ulp(kind, size):
    bits, least = BITS[kind]
    _, e = np.frexp(np.where(size > 0, size, 1.0))
    return np.ldexp(1.0, np.where(size > 0, np.maximum(e - 1, least), least) - (bits - 1))


def root_interval(square, eps, kappa, centred, chain):
    """Largest relative distance of 1/sqrt(computed variance) from 1/sqrt(variance + eps)."""
    sigma, wide = math.sqrt(square), 2 * U if centred else 0
    high = (sigma * (1 + wide) + kappa) ** 2 * (1 + gamma(chain + 4)) + eps * (1 + gamma(2))
    low = max(0.0, sigma * (1 - wide) - kappa) ** 2 * (1 - gamma(chain + 4)) + eps * (1 - gamma(2))
    v = square + eps
    return max(math.sqrt(v / low) - 1, 1 - math.sqrt(v / high)) if low > 0 else math.inf


def one_row(s, g, b, eps, centred):
    """y of one row in float64 and the largest bound that the op may give it in fp32."""
    n = s.size
    if not np.isfinite(s).all():
        return np.full(n, np.nan), np.full(n, np.nan)
    mean = math.fsum(s) / n if centred else 0.0
    if centred and s.min() == s.max():
        mean = s[0]
    t = s - mean
    square = math.fsum(t * t) / n
    magnitude = math.fsum(np.abs(s)) / n if centred else 0.0
    chain = min(n + 16, 1 << 22)
    if not centred:
        chain = min(chain, int(np.count_nonzero(s)))
    if square + eps == 0:
        if not centred or s[0] == 0:
            return np.full(n, np.nan), np.full(n, np.nan)
        return np.where(np.isfinite(g), b, np.nan), np.full(n, np.inf)
    root, sigma = 1 / math.sqrt(square + eps), math.sqrt(square)
    q = gamma(chain + 3) * magnitude
    kappa = U * q + gamma(chain + 3) * (sigma + q) if centred else 0.0
    relative = (1 + root_interval(square, eps, kappa, centred, chain)) * (1 + gamma(2)) * (1 + 2 * U) - 1
    h = t * root * g
    y = h + b
    most = np.abs(g) * (math.sqrt(n) * (1 + gamma(chain + 8)) + np.abs(t) * root)
    off = np.abs(h) * relative + np.abs(g) * kappa * root * (1 + relative)
    off = np.where(off <= most, off, most)
    off = off + gamma(3) * (np.abs(h) + off)
    off = off + U * (np.abs(y) + off)
    rest = 2.0**-149 * (1 + np.abs(g) * (1 + 2 * math.sqrt(n))) + 2.0**-48 * (np.abs(h) + np.abs(y))
    return y, off + rest + 2.0**-50 * magnitude * root * np.abs(g)


def norm(run, compare):
    group, centred = run.fields["kind"] == "group", run.fields["kind"] != "rms"
    groups, inner = (int(run.number(f, 1)) for f in ("groups", "inner"))
    channels = int(run.number("k")) // groups
    kind, x = run.types["y"], run.values("x").reshape(-1, channels * inner)
    with np.errstate(all="ignore"):
        if run.raw("r") is not None:
            x = decode("f32", encode("f32", x + run.values("r").reshape(x.shape)))
            yield from compare(run, "s", x)
            finite, got = np.isfinite(x), run.values("s").reshape(x.shape)
            if not np.array_equal(np.where(finite, x, 0), np.where(finite, got, 0)):
                yield "s: not x + r rounded to fp32"
        g = run.values("w") if run.raw("w") is not None else np.ones(channels * groups)
        if str(run.fields.get("plus_one", "0")) == "1":
            g = g + 1
        b = run.values("b") if run.raw("b") is not None else np.zeros(channels * groups)
        y, cap = np.empty_like(x), np.empty_like(x)
        for i, s in enumerate(x):
            at = np.arange(i % groups * channels, (i % groups + 1) * channels).repeat(inner)
            y[i], cap[i] = one_row(s, g[at], b[at], run.number("eps"), centred)
    assert group or groups * inner == 1
    y, cap = y.reshape(-1), cap.reshape(-1)
    if kind != "f32":
        cap = cap + ulp(kind, np.minimum(np.abs(y) + cap, LARGEST[kind])) / 2
    y[~np.isfinite(y)] = np.nan
    # A value that cannot be anything but an infinity in y's type is one.
    bound = np.asarray(run.raw("bound-y"), np.float64).reshape(-1)
    beyond = np.isfinite(y) & np.isnan(bound)
    over = LARGEST[kind] + ulp(kind, np.asarray(LARGEST[kind])) / 2
    if (np.abs(y[beyond]) < over).any():
        yield "y: the C reference says infinity where the value fits"
    y[beyond] = np.copysign(np.inf, y[beyond])
    yield from compare(run, "y", y, cap)
