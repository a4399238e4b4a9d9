"""Projection: from bandwidths of single kernels to tokens a second, joules and money for whole models in Q4_K_M.

One token reads every weight once, so its time is at least the sum of each matrix's bytes over the bandwidth of the kernel that reads it.
What is not counted (norms, attention over the context, launches between kernels, sampling) only makes a real run slower: a projection is an
upper limit, and the physical limit (data-sheet bandwidth) one above it. Tensors in Q5_K and Q6_K are taken at the rate measured for Q4_K."""
import statistics

import predict
from records import groups


def more_bits(i, n):
    return i < n // 8 or i >= 7 * n // 8 or (i - n // 8) % 3 == 2


def matrices(m, formats):
    """[(rows, columns, bytes a weight, how often)] that one token reads, by llama.cpp's rule for Q4_K_M."""
    n, h = m["layers"], m["hidden"]
    better = sum(more_bits(i, n) for i in range(n))
    q4, q6 = formats["Q4_K"], formats["Q6_K"]
    plain_v = formats["Q5_K"] if m.get("big") else q4
    return [(m["q"], h, q4, n), (h, m["q"], q4, n), (m["kv"], h, q4, n), (m["kv"], h, q6, better), (m["kv"], h, plain_v, n - better),
            (m["intermediate"], h, q4, 2 * n), (h, m["intermediate"], q6, better), (h, m["intermediate"], q4, n - better),
            (m["vocabulary"], h, q6, 1)]


def token_bytes(m, formats):
    return m["gb"] * 1e9 if "gb" in m else sum(rows * k * size * times for rows, k, size, times in matrices(m, formats))


def field(case, key):
    return next((w[len(key) + 1:] for w in case.split() if w.startswith(key + "=")), "")


def measured_rates(benches):
    """{(machine, backend, device, kernel): {"m x k": GB/s}} of decode mat-vecs with one column in Q4_K that were timed cold."""
    rates = {}
    for b in benches:
        if b["op"] == "q4k_matvec" and field(b["case"], "n") in ("", "1") and b["status"] in ("VALID", "UNSETTLED"):
            key = b["machine"], b["backend"], b["name"], b["kernel"]
            by_shape = rates.setdefault(key, {})
            shape = f'{field(b["case"], "m")} x {field(b["case"], "k")}'
            by_shape[shape] = max(by_shape.get(shape, 0), b["bandwidth"] / 1e9)
    return rates


def seconds(m, formats, rate_of, otherwise):
    """Time of a token, and the share of its bytes whose own shape was measured."""
    if "gb" in m:
        return m["gb"] / otherwise, 0.0
    total, own = 0.0, 0.0
    for rows, k, size, times in matrices(m, formats):
        n = rows * k * size * times
        rate = rate_of.get(f"{rows} x {k}")
        own += n if rate else 0
        total += n / ((rate or otherwise) * 1e9)
    return total, own / token_bytes(m, formats)


def energy_of(watts, price, tokens):
    """Joules a token, and money for a million of them."""
    return (watts / tokens, watts / tokens * 1e6 / 3.6e6 * price) if watts else (None, None)


def watts_of(benches, key):
    """Watts while a matching kernel ran, where the record has them."""
    watts = [b["watts"] for b in benches if (b["machine"], b["backend"], b["name"]) == key[:3] and isinstance(b.get("watts"), (int, float))]
    return statistics.median(watts) if watts else None


def rows(benches, isa, facts):
    out, price = [], facts["electricity"]["usd_per_kwh"]
    rates = measured_rates(benches)
    best = {}
    for key, by_shape in rates.items():
        if key[:3] not in best or statistics.median(by_shape.values()) > statistics.median(rates[best[key[:3]]].values()):
            best[key[:3]] = key
    ceiling = {}
    for b in benches:
        if b["op"] == "q4k_matvec":
            key = b["machine"], b["backend"], b["name"]
            ceiling[key] = max(ceiling.get(key, 0), b["ceiling_bandwidth"])
    for m in facts["models"]:
        size = token_bytes(m, facts["formats"])
        common = dict(model=m["name"], gb=size / 1e9, note=m.get("note"))
        for key in [] if m.get("no_kernel") else best.values():
            middle = statistics.median(rates[key].values())
            t, own = seconds(m, facts["formats"], rates[key], middle)
            joules, cost = energy_of(watts_of(benches, key), price, 1 / t)
            out.append(dict(common, where=f"{key[2]} ({key[1]})", machine=key[0], how="measured",
                            source=f"{key[3]}, {middle:.1f} GB/s; {100 * own:.0f} % of the bytes in shapes that were timed", tokens=1 / t,
                            joules=joules, cost=cost, limit=ceiling[key[:3]] / size, published=None, conditions=None, published_cost=None))
        out += [predicted_row(m, common, arch, d, None if m.get("no_kernel") else predict.matvec_bandwidth(isa, facts, arch), price)
                for arch, d in facts["devices"].items()]
    return groups(out, lambda r: r["model"])


def predicted_row(m, common, arch, d, guess, price):
    published = m["published"].get(arch)
    tokens = guess[0] / common["gb"] if guess else None
    joules, cost = energy_of(d["watts_system"], price, tokens) if tokens else (None, None)
    return dict(common, where=d["name"], machine=None, how="predicted, not measured",
                source=f"{guess[1]}, bound by {guess[2]}: {guess[0]:.0f} GB/s" if guess else "the limit alone", tokens=tokens,
                joules=joules, cost=cost, limit=d["memory_gbs"] / common["gb"], published=published and published[0],
                conditions=published and published[1], published_cost=m["published_cost"].get(arch))
