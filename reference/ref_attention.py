"""attention in numpy float64, and the cap of its bound: the second opinion of check_dumps.py. Written from
kernels/common/attention.h and the derivation in harness/ops/attention.c; shares no code with the C reference."""
import numpy as np

U = 2.0**-24
TOP = float(np.finfo(np.float32).max)


def gamma(n):
    return n * U / (1 - n * U)


def excluded(run, queries, keys, mask):
    """[queries][keys]: by causal, window and mask."""
    at = np.arange(queries)[:, None] + keys - queries
    j = np.arange(keys)[None, :]
    out = np.zeros((queries, keys), bool)
    if run.number("causal"):
        out |= j > at
    if run.number("window"):
        out |= j <= at - run.number("window")
    return out | (mask <= -TOP)


def dots(q, k):
    """q k^T; where a value is not finite, element by element, so that NaN and infinities stay in their rows."""
    bad_q, bad_k = ~np.isfinite(q).all(axis=1), ~np.isfinite(k).all(axis=1)
    clean = lambda x: np.where(np.isfinite(x), x, 0)
    s = np.einsum("id,jd->ij", clean(q), clean(k))
    for i in range(q.shape[0]):
        for j in np.flatnonzero(bad_k | bad_q[i]):
            s[i, j] = np.sum(q[i] * k[j])
    return s, np.einsum("id,jd->ij", np.abs(clean(q)), np.abs(clean(k))), np.abs(clean(k)).sum(axis=1)


class Row:
    """One head: o [queries][d], lse [queries] and caps of their bounds."""

    def __init__(self, run, q, k, v, mask, sink):
        d, keys = q.shape[1], k.shape[0]
        scale = float(np.float32(run.number("scale") or 1 / np.sqrt(d)))
        cap = float(np.float32(run.number("cap")))
        t, size, key_sum = dots(q, k)
        t = t * scale
        if cap:
            t = cap * np.tanh(t / cap)
        out = excluded(run, q.shape[0], keys, mask)
        add = np.where(out, 0, mask)
        with np.errstate(invalid="ignore"):
            nonzero = (q != 0).sum(axis=1)[:, None]
            e = gamma(nonzero + 3) * scale * size + (19 if cap else 3) * U * (np.abs(t) + np.abs(t + add)) + 2 * U * np.abs(add)
            e = e + 2.0**-149 * (key_sum[None, :] + d * max(1, scale) + 4)
            self.t, self.v, self.sink = np.where(out, -np.inf, t + add), v, sink
            self.e = np.where(np.isfinite(self.t), e, 0)
        self.keys, self.d, self.wmma = keys, d, run.meta.get("path") == "wmma"

    def softmax(self):
        t, v = self.t, self.v
        with np.errstate(all="ignore"):
            m = np.fmax(np.max(np.where(np.isnan(t), -np.inf, t), axis=1), -np.inf if self.sink is None else self.sink)
            m = np.where(m == -np.inf, 0, m)
            p = np.where(t == -np.inf, 0, np.exp(t - m[:, None]))
            l = p.sum(axis=1) + (0 if self.sink is None else np.exp(self.sink - m))
            w = p / np.where(l == 0, 1, l)[:, None]
            vz = np.where(np.isfinite(v), v, 0)
            o = w @ vz
            for j in np.flatnonzero(~np.isfinite(v).all(axis=1)):
                for i in np.flatnonzero(w[:, j] != 0):
                    o[i, ~np.isfinite(v[j])] = np.nan
            lse = np.where(l == 0, -np.inf, m + np.log(l))
        self.m, self.w, self.vz, self.o, self.lse = m, w, vz, o, lse
        return o, lse

    def bounds(self):
        """Worst-case caps: the chain is keys + 64, or the keys of weight above zero."""
        with np.errstate(all="ignore"):
            return self._bounds()

    def _bounds(self):
        w, v, o, m = self.w, self.vz, np.where(np.isfinite(self.o), self.o, 0), self.m
        taking = w > 0
        log_w = np.where(np.isfinite(self.t), self.t - self.lse[:, None], -np.inf)
        b = np.where(np.isfinite(log_w), self.e + 3 * U * (np.abs(self.t - m[:, None]) + 2 * self.e.max(axis=1)[:, None]), 0)
        taking = taking | (log_w + b > -110)  # an error may lift a weight of zero
        b = np.where(taking, b, 0)
        count = taking.sum(axis=1) + (self.sink is not None)
        chain = np.minimum(self.keys + 64, count)
        r = np.minimum(chain // 16 + 2, count + 2)
        grow, g = np.expm1(4 * U * (1 + r)), gamma(chain + r + 1)
        moved_w = np.minimum(np.where(b <= 1, w * np.expm1(np.minimum(b, 1)), np.exp(np.minimum(log_w + b, 700))), 1e30)
        finite = np.isfinite(self.v)
        n = np.maximum(finite.sum(axis=0), 1)
        c = np.sum(v, axis=0) / n
        away = np.where(finite, np.abs(v - c), 0)
        spread, moved, error = w @ away, moved_w @ away, moved_w.sum(axis=1)
        low, high = np.where(finite, v, np.inf).min(axis=0), np.where(finite, v, -np.inf).max(axis=0)
        worst = b.max(axis=1)
        if self.sink is not None:
            ws = np.exp(self.sink - self.lse)
            off = np.expm1(3 * U * (np.abs(self.sink - m) + 2 * self.e.max(axis=1)))
            spread, moved = spread + ws[:, None] * np.abs(c), moved + (ws * np.expm1(3 * U * (np.abs(self.sink - m) + 2 * worst)))[:, None] * np.abs(c)
            error = error + ws * off
            low, high = np.minimum(low, 0), np.maximum(high, 0)
        if self.wmma:  # every b doubles
            by = 1.0001 * (1 + np.exp(np.minimum(worst, 700)))
            error, moved, worst = error * by, moved * by[:, None], worst * 2.0001
        s = error * (1 + grow) + grow
        col = lambda x: x[:, None]
        moved = moved * col(1 + grow) + col(grow) * spread
        rest = 1 - s - g * (1 + s)
        tight = (moved + np.abs(o - c) * col(s) + col(g) * (w @ np.abs(v) + np.abs(o) + moved + (np.abs(c) + np.abs(o)) * col(s))) / col(rest)
        hull = high - low + 3 * col(g) * np.maximum(np.abs(low), np.abs(high))
        bound = np.where((col(rest) > 0.5) & (tight < hull), tight, hull)
        flush = col(r + 2) * 2.0**-126 * (np.abs(v).sum(axis=0) + col(count) * np.abs(o)) + col(count + r + 8) * 2.0**-149
        for_o = bound + 2 * U * (np.abs(o) + bound) + flush + 1e-9 * (w @ np.abs(v) + np.abs(o)) + 1e-6 * bound
        q, shift = s + g * (1 + s), worst + 4 * U * (1 + r) + 2 * g
        shift = np.where((q < 0.5) & (q / (1 - q) < shift), q / (1 - q), shift)
        for_lse = shift + 8 * U * (np.abs(self.lse - m) + shift) + 4 * U * (np.abs(self.lse) + np.abs(m) + shift) + 1e-9 * (1 + np.abs(self.lse))
        return for_o, for_lse


def attention(run, compare):
    heads, kv = int(run.number("heads", 1)), int(run.number("kv_heads", 1))
    queries, keys, d = int(run.number("queries")), int(run.number("keys")), int(run.number("d", 64))
    q, k, v = run.values("q").reshape(heads, queries, d), run.values("k").reshape(kv, keys, d), run.values("v").reshape(kv, keys, d)
    mask = run.values("mask").reshape(queries, keys) if "mask" in run.types else np.zeros((queries, keys))
    sink = run.values("sink") if "sink" in run.types else None
    o, lse, cap_o, cap_lse = [], [], [], []
    for h in range(heads):
        g = h // (heads // kv)
        one = Row(run, q[h], k[g], v[g], mask, None if sink is None else float(sink[h]))
        a, b = one.softmax()
        x, y = one.bounds()
        o.append(a), lse.append(b), cap_o.append(x), cap_lse.append(y)
    for name, ref, cap in (("o", o, cap_o), ("lse", lse, cap_lse)):
        ref, cap = np.stack(ref).reshape(-1), np.stack(cap).reshape(-1)
        bound = run.raw(f"bound-{name}")
        if bound is not None:  # what may leave fp32 is not compared
            ref = np.where(np.isposinf(np.asarray(bound).reshape(-1)), 0, ref)
        yield from compare(run, name, ref, cap)
