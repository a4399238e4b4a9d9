"""Number and block formats in numpy, independent of the C code: bf16, fp16, fp32, Q4_K, Q6_K, Q8_0 and MXFP4.

fp16 and fp32 are numpy's own types; bf16 is rounded through the exponent. Source of Q4_K: the GGUF specification.
"""
import numpy as np


def decode(kind, a):
    """Values in float64. `a` holds numbers, or for f16 and bf16 their bits as uint16 (fp32 bits as uint32)."""
    a = np.asarray(a)
    if kind == "bf16":
        return (a.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    if kind == "f16":
        return a.view(np.float16).astype(np.float64)
    if kind == "f32" and a.dtype == np.uint32:
        return a.view(np.float32).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return a.astype(np.float64)


def encode(kind, x):
    """Bits of float64 values rounded to nearest even."""
    x = np.asarray(x, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        if kind == "f32":
            return x.astype(np.float32).view(np.uint32)
        if kind == "f16":
            return x.astype(np.float16).view(np.uint16)  # one rounding: numpy converts float64 to half directly
        # bf16: 8 significand bits, smallest exponent -126
        _, e = np.frexp(np.where(np.isfinite(x) & (x != 0), x, 1))
        unit = np.ldexp(1.0, np.maximum(e - 1, -126) - 7)
        y = np.where(np.isfinite(x), np.rint(x / unit) * unit, x)
        y = np.where(np.abs(y) >= 2.0**128, np.copysign(np.inf, y), y)
        return (y.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)


def q4_k_parts(data, m, k):
    """d*sc*q and dmin*m of m rows of k weights in float64 [m][k], and which rows have a non-finite d or dmin."""
    b = np.asarray(data, np.uint8).reshape(m * k // 256, 144)
    d = b[:, 0:2].copy().view(np.float16).astype(np.float64)
    dmin = b[:, 2:4].copy().view(np.float16).astype(np.float64)
    # The twelve bytes as 96 bits, lowest bit of byte 0 first; each 6-bit number is put together from its bit positions.
    bits = np.unpackbits(b[:, 4:16], axis=1, bitorder="little").astype(np.int64)

    def number(*positions):
        return sum(bits[:, p] << i for i, p in enumerate(positions))

    low = lambda byte, first, n: [8 * byte + first + i for i in range(n)]
    scale = np.stack([number(*low(j, 0, 6)) for j in range(4)] +
                     [number(*low(j + 8, 0, 4), *low(j, 6, 2)) for j in range(4)], axis=1)
    minimum = np.stack([number(*low(j + 4, 0, 6)) for j in range(4)] +
                       [number(*low(j + 8, 4, 4), *low(j + 4, 6, 2)) for j in range(4)], axis=1)
    nibbles = b[:, 16:].reshape(-1, 4, 32)
    q = np.stack([nibbles & 15, nibbles >> 4], axis=2).reshape(-1, 8, 32)  # sub-blocks in order: low, high, low, ...
    with np.errstate(invalid="ignore"):
        scaled = (d * scale)[:, :, None] * q
        floor = np.broadcast_to((dmin * minimum)[:, :, None], scaled.shape)
    bad = ~(np.isfinite(d) & np.isfinite(dmin)).reshape(m, k // 256).all(axis=1)
    return scaled.reshape(m, k), floor.reshape(m, k).copy(), bad


def qblock_parts(kind, data, m, k):
    """Weights d*sc*q of m rows of k of q6_k, q8_0 or mxfp4 in float64 [m][k], and which rows have a non-finite d. Layouts: ggml's; mxfp4's
    elements and scales: OCP Microscaling Formats 1.0."""
    size, count = {"q6_k": (210, 256), "q8_0": (34, 32), "mxfp4": (17, 32)}[kind]
    b = np.asarray(data, np.uint8).reshape(m * k // count, size)
    if kind == "mxfp4":
        d = np.where(b[:, :1] == 255, np.nan, np.exp2(b[:, :1].astype(np.float64) - 127))
        positive = [0.0, 0.5] + [(1 + f / 2) * 2.0**e for e in range(3) for f in range(2)]
        e2m1 = np.array(positive + [-v for v in positive])
        weight = e2m1[np.concatenate([b[:, 1:] & 15, b[:, 1:] >> 4], axis=1)]
    elif kind == "q8_0":
        d = b[:, 0:2].copy().view(np.float16).astype(np.float64)
        weight = b[:, 2:].copy().view(np.int8).astype(np.float64)
    else:
        d = b[:, 208:210].copy().view(np.float16).astype(np.float64)
        low = b[:, :128].reshape(-1, 2, 1, 64) >> np.array([0, 4], np.uint8).reshape(1, 1, 2, 1) & 15
        high = b[:, 128:192].reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 4, 1) & 3
        q = low.reshape(-1, 256).astype(np.float64) + 16.0 * high.reshape(-1, 256) - 32
        weight = q * np.repeat(b[:, 192:208].copy().view(np.int8).astype(np.float64), 16, axis=1)
    with np.errstate(invalid="ignore"):
        w = (d * weight).reshape(m, k)
    return w, ~np.isfinite(d).reshape(m, k // count).all(axis=1)
