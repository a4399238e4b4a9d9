"""Projection: from bandwidths of single kernels to tokens a second, joules and money for whole models in Q4_K_M.

One token reads every weight once, so its time is at least the sum of each matrix's bytes over the bandwidth of the kernel that reads it.
What is not counted (norms, attention over the context, launches between kernels, sampling) only makes a real run slower: a projection is an
upper limit, and the physical limit (data-sheet bandwidth) one above it. Tensors in Q6_K are taken at the rate measured for Q6_K on the same
device, at Q4_K's where a record has none; those in Q5_K, which no kernel reads yet, at Q4_K's. A model given by its bytes in each format (MXFP4
and bf16) is projected only where all of them were measured."""
import statistics

import predict
from records import groups


def more_bits(i, n):
    return i < n // 8 or i >= 7 * n // 8 or (i - n // 8) % 3 == 2


def matrices(m):
    """[(rows, columns, format, how often)] that one token reads, by llama.cpp's rule for Q4_K_M."""
    n, h = m["layers"], m["hidden"]
    better = sum(more_bits(i, n) for i in range(n))
    q4, q6 = "Q4_K", "Q6_K"
    plain_v = "Q5_K" if m.get("big") else q4
    return [(m["q"], h, q4, n), (h, m["q"], q4, n), (m["kv"], h, q4, n), (m["kv"], h, q6, better), (m["kv"], h, plain_v, n - better),
            (m["intermediate"], h, q4, 2 * n), (h, m["intermediate"], q6, better), (h, m["intermediate"], q4, n - better),
            (m["vocabulary"], h, q6, 1)]


def token_bytes(m, formats):
    if "gb_of" in m:
        return sum(m["gb_of"].values()) * 1e9
    return m["gb"] * 1e9 if "gb" in m else sum(rows * k * formats[f] * times for rows, k, f, times in matrices(m))


def field(case, key):
    return next((w[len(key) + 1:] for w in case.split() if w.startswith(key + "=")), "")


def format_of(b):
    """The weights' format of a timed decode mat-vec with one column; None for anything else."""
    if field(b["case"], "n") not in ("", "1"):
        return None
    if b["op"] == "qblock_matmul":
        return field(b["case"], "w").upper()
    if b["op"] == "linear" and field(b["case"], "w") == "bf16":
        return "BF16"
    return "Q4_K" if b["op"] == "q4k_matvec" else None


def measured_rates(benches, wanted="Q4_K"):
    """{(machine, backend, device, kernel): {"m x k": GB/s}} of decode mat-vecs with one column in a format that were timed cold."""
    rates = {}
    for b in benches:
        if format_of(b) == wanted and b["status"] in ("VALID", "UNSETTLED"):
            key = b["machine"], b["backend"], b["name"], b["kernel"]
            by_shape = rates.setdefault(key, {})
            shape = f'{field(b["case"], "m")} x {field(b["case"], "k")}'
            by_shape[shape] = max(by_shape.get(shape, 0), b["bandwidth"] / 1e9)
    return rates


def best_of(rates):
    """{(machine, backend, device): key of its fastest kernel}, by the median over shapes."""
    best = {}
    for key, by_shape in rates.items():
        if key[:3] not in best or statistics.median(by_shape.values()) > statistics.median(rates[best[key[:3]]].values()):
            best[key[:3]] = key
    return best


def seconds(m, formats, rate_of):
    """Time of a token, and the share of its bytes whose own shape was measured in their own format. rate_of: {format: {shape: GB/s}}."""
    middle = {f: statistics.median(r.values()) for f, r in rate_of.items()}
    if "gb_of" in m:
        return sum(gb / middle[f] for f, gb in m["gb_of"].items()), 0.0
    if "gb" in m:
        return m["gb"] / middle["Q4_K"], 0.0
    total, own = 0.0, 0.0
    for rows, k, f, times in matrices(m):
        n = rows * k * formats[f] * times
        rate = rate_of.get(f, {}).get(f"{rows} x {k}")
        own += n if rate else 0
        total += n / ((rate or middle.get(f, middle["Q4_K"])) * 1e9)
    return total, own / token_bytes(m, formats)


def energy_of(watts, price, tokens):
    """Joules a token, and money for a million of them."""
    return (watts / tokens, watts / tokens * 1e6 / 3.6e6 * price) if watts else (None, None)


def watts_of(benches, key):
    """Watts while that kernel ran, where the record has them: of the device alone."""
    watts = [b["watts"] for b in benches if (b["machine"], b["backend"], b["name"], b["kernel"]) == key and "watts" in b]
    return statistics.median(watts) if watts else None


def rows(benches, isa, facts):
    out, price = [], facts["electricity"]["usd_per_kwh"]
    rates = {f: measured_rates(benches, f) for f in ("Q4_K", "Q6_K", "MXFP4", "BF16")}
    best = {f: best_of(r) for f, r in rates.items()}
    ceiling = {}
    for b in benches:
        if format_of(b):
            key = b["machine"], b["backend"], b["name"]
            ceiling[key] = max(ceiling.get(key, 0), b["ceiling_bandwidth"])
    for m in facts["models"]:
        size = token_bytes(m, facts["formats"])
        common = dict(model=m["name"], gb=size / 1e9, note=m.get("note"))
        own_formats = list(m.get("gb_of", ("Q4_K", "Q6_K")))
        for key in best[own_formats[0]].values():
            of = {f: best[f][key[:3]] for f in own_formats if key[:3] in best[f]}
            if "gb_of" in m and len(of) < len(own_formats):
                continue
            rate_of = {f: rates[f][k] for f, k in of.items()}
            source = "; ".join(f"{f}: {k[3]}, {statistics.median(rate_of[f].values()):.1f} GB/s" for f, k in of.items())
            t, own = seconds(m, facts["formats"], rate_of)
            joules, cost = energy_of(watts_of(benches, key), price, 1 / t)
            out.append(dict(common, where=f"{key[2]} ({key[1]})", machine=key[0], how="measured",
                            source=f"{source}; {100 * own:.0f} % of the bytes in shapes that were timed", tokens=1 / t,
                            joules=joules, cost=cost, limit=ceiling[key[:3]] / size, published=None, conditions=None, published_cost=None))
        out += [predicted_row(m, common, arch, d, None if "gb_of" in m else predict.matvec_bandwidth(isa, facts, arch), price)
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
