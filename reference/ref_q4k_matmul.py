"""q4k_matmul recomputed in numpy float64: the products are those of q4k_matvec (check_dumps.py); here is the bound of
the paths whose operands are rounded to 16 bits, derived again from the formats alone.

The C bound of those paths is ((1 + g)(1 + U)(1 + U') - 1) |W||x| plus underflow; g, the additions' share, is the kernel's. Here it
is solved for in every row of a column, must be one and the same, and within what the op allows."""
import numpy as np

U32, U64 = 2.0**-24, 2.0**-53
UNIT = {"f16": 2.0**-11, "bf16": 2.0**-8}  # half an ulp of 1
TINY = {"f16": 2.0**-25, "bf16": 2.0**-134}  # half the smallest subnormal
LIMIT = {"f16": 65504.0, "bf16": float.fromhex("0x1.fep127")}
BITS = {"f32": 24, "f16": 11, "bf16": 8}  # significand, with the leading one


def outside(path, w, x):
    """[n][m]: 1 where the row or the column leaves the range of the path's type."""
    return np.abs(w).max(axis=1)[None, :] > LIMIT[path], np.abs(x).max(axis=1)[:, None] > LIMIT[path]


def bounds(path, x_type, w, x, g):
    """Bound [n][m] when additions and the weight's own rounding have relative error g."""
    u, tiny = UNIT[path], TINY[path]
    u_x = u if BITS[x_type] > BITS[path] else 0.0
    tiny_x = tiny if x_type != path else 0.0
    k = w.shape[1]
    factor = (1 + g) * (1 + u) * (1 + u_x)
    plain = np.einsum("ck,rk->cr", np.abs(x), np.abs(w))
    under = tiny * np.abs(x).sum(axis=1)[:, None] + tiny_x * np.abs(w).sum(axis=1)[None, :] + k * tiny * tiny_x
    return (factor - 1) * plain + factor * under


def narrow(run, compare, path, scaled, minimum, x, y):
    """Judges y of path f16 or bf16; rows and columns that are not finite are NaN in y and zero in scaled, minimum, x."""
    w, k = scaled - minimum, x.shape[1]
    magnitude = np.einsum("ck,rk->cr", np.abs(x), np.abs(scaled) + np.abs(minimum))
    rest = k * U64 * magnitude + k * 2.0**-149
    longest = (k + 8 + 1) * U32
    cap = bounds(path, run.types["x"], w, x, longest / (1 - longest)) + rest
    yield from compare(run, "y", y, cap)
    bound = run.raw("bound-y")
    if bound is None:
        return
    bound = np.asarray(bound).reshape(y.shape)
    row_out, column_out = outside(path, w, x)
    for c in range(y.shape[0]):
        lowest = bounds(path, run.types["x"], w, x[c : c + 1], 0.0)[0] + rest[c]
        slope = bounds(path, run.types["x"], w, x[c : c + 1], 2.0**-20)[0] + rest[c] - lowest
        use = np.isfinite(bound[c]) & np.isfinite(y[c]) & (slope > 1e-30) & ~row_out[0] & ~column_out[c]
        g = (bound[c][use] - lowest[use]) / slope[use] * 2.0**-20
        if g.size and (g.min() < 0 or g.max() > g.min() * (1 + 1e-3) + 1e-9):
            yield f"column {c}: the additions' share of the bound runs from {g.min():.6e} to {g.max():.6e}"
