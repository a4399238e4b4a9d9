"""Projection: from bandwidths of single kernels to tokens a second, joules and money for whole models in Q4_K_M.

One token reads every weight once, so its time is at least the sum of each matrix's bytes over the bandwidth of the kernel that reads it.
What is not counted (norms, attention over the context, launches between kernels, sampling) only makes a real run slower: a projection is an
upper limit, and the physical limit (data-sheet bandwidth) one above it. Every format is taken at the rate measured for it on the same
device. Where a record has none for Q5_K or Q6_K, Q4_K's stands in, and the row names that; a model of other formats (MXFP4 and bf16) is
projected only where all of them were measured, and the row says which are not in the record."""
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
    if b["op"] == "linear":  # w=bf16 is its default, which a record leaves out
        return "BF16" if field(b["case"], "w") in ("", "bf16") else None
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


STAND_IN = "Q4_K"  # for formats of the same family that a record lacks
KERNEL_OF = {"Q4_K": "q4k_matvec_int8_n1", "Q6_K": "qblock_int8_q6k_n1", "MXFP4": "qblock_int8_mxfp4_n1", "BF16": "linear_vec_bf16_n1"}  # one column, preferred
TIMED_AS = {"Q4_K": "q4k_matvec", "Q6_K": "qblock_matmul w=q6_k", "MXFP4": "qblock_matmul w=mxfp4", "BF16": "linear w=bf16"}


def formats_of(m):
    """What a token reads, in the order in which a row names it. A model of which only the size of its file is known counts as Q4_K."""
    if "gb_of" in m:
        return list(m["gb_of"])
    return [STAND_IN] if "gb" in m else sorted({f for _, _, f, times in matrices(m) if times})


def sources(m, rate_of):
    """(formats at their own rate, those that take the stand-in's, those without any)."""
    wanted = formats_of(m)
    own = [f for f in wanted if f in rate_of]
    lent = [f for f in wanted if f not in rate_of] if "gb_of" not in m and STAND_IN in rate_of else []
    return own, lent, [f for f in wanted if f not in own + lent]


def seconds(m, formats, rate_of):
    """Time of a token, and the share of its bytes whose own shape was measured in their own format. rate_of: {format: {shape: GB/s}}."""
    middle = {f: statistics.median(r.values()) for f, r in rate_of.items()}
    if "gb_of" in m:
        return sum(gb / middle[f] for f, gb in m["gb_of"].items()), 0.0
    if "gb" in m:
        return m["gb"] / middle[STAND_IN], 0.0
    total, own = 0.0, 0.0
    for rows, k, f, times in matrices(m):
        n = rows * k * formats[f] * times
        rate = rate_of.get(f, {}).get(f"{rows} x {k}")
        own += n if rate else 0
        total += n / ((rate or middle.get(f, middle[STAND_IN])) * 1e9)
    return total, own / token_bytes(m, formats)


def energy_of(watts, price, tokens):
    """Joules a token, and money for a million of them."""
    return (watts / tokens, watts / tokens * 1e6 / 3.6e6 * price) if watts else (None, None)


def watts_of(benches, key):
    """Watts while that kernel ran, where the record has them: of the device alone."""
    watts = [b["watts"] for b in benches if (b["machine"], b["backend"], b["name"], b["kernel"]) == key and "watts" in b]
    return statistics.median(watts) if watts else None


def told(m, lent, said):
    """Which kernel and rate each format took."""
    words = said + [f"{f} at the rate of {STAND_IN}" for f in lent]
    return "; ".join(words + (["all of the file at it"] if "gb" in m else []))


def rows(benches, isa, facts):
    """{model: [a row a device]}. lent: formats taken at another's rate; absent: those that keep it from being projected."""
    out, price = [], facts["electricity"]["usd_per_kwh"]
    rates = {f: measured_rates(benches, f) for f in KERNEL_OF}
    best = {f: best_of(r) for f, r in rates.items()}
    ceiling = {}
    for b in benches:
        if format_of(b) in KERNEL_OF and b["status"] in ("VALID", "UNSETTLED"):
            key = b["machine"], b["backend"], b["name"]
            ceiling[key] = max(ceiling.get(key, 0), b["ceiling_bandwidth"])
    guess = {arch: {f: g for f, k in KERNEL_OF.items() if (g := predict.matvec_bandwidth(isa, facts, arch, k))} for arch in facts["devices"]}
    for m in facts["models"]:
        size = token_bytes(m, facts["formats"])
        common = dict(model=m["name"], gb=size / 1e9, note=m.get("note"))
        for device in ceiling:
            of = {f: best[f][device] for f in KERNEL_OF if device in best[f]}
            row = measured_row(m, benches, facts, of, {f: rates[f][k] for f, k in of.items()}, price)
            out.append(dict(common, where=f"{device[2]} ({device[1]})", machine=device[0], limit=ceiling[device] / size, published=None,
                            conditions=None, published_cost=None, **row))
        out += [predicted_row(m, common, arch, d, guess[arch], facts, price) for arch, d in facts["devices"].items()]
    return groups(out, lambda r: r["model"])


def measured_row(m, benches, facts, of, rate_of, price):
    own, lent, absent = sources(m, rate_of)
    if absent:
        return dict(how="not in this record", source=", ".join(f"{f} ({TIMED_AS[f]})" if f in TIMED_AS else f for f in absent), tokens=None, joules=None, cost=None,
                    lent=[], absent=absent)
    t, share = seconds(m, facts["formats"], rate_of)
    joules, cost = energy_of(watts_of(benches, of[own[0]]), price, 1 / t)
    said = [f"{f}: {of[f][3]}, {statistics.median(rate_of[f].values()):.1f} GB/s" for f in own]
    return dict(how="measured", source=told(m, lent, said) + f"; {100 * share:.0f} % of the bytes in shapes that were timed", tokens=1 / t, joules=joules, cost=cost,
                lent=lent, absent=[])


def predicted_row(m, common, arch, d, guess, facts, price):
    published = m["published"].get(arch)
    own, lent, absent = sources(m, guess)
    tokens = None if absent else 1 / seconds(m, facts["formats"], {f: {"": g[0]} for f, g in guess.items()})[0]
    joules, cost = energy_of(d["watts_system"], price, tokens) if tokens else (None, None)
    said = [f"{f}: {guess[f][1]}, bound by {guess[f][2]}, {guess[f][0]:.0f} GB/s" for f in own]
    source = told(m, lent, said) if tokens else f"the limit alone: no static analysis of a decode kernel of {', '.join(absent)} was given"
    return dict(common, where=d["name"], machine=None, how="predicted, not measured", source=source, tokens=tokens, lent=lent if tokens else [], absent=[],
                joules=joules, cost=cost, limit=d["memory_gbs"] / common["gb"], published=published and published[0],
                conditions=published and published[1], published_cost=m["published_cost"].get(arch))


def substituted(projection):
    """A sentence for each format that took another's rate; none where every format had its own."""
    by_format = groups([(f, r) for rows in projection.values() for r in rows for f in r["lent"]], lambda x: x[0])
    return [f"Tensors in {f} are taken at the rate of {STAND_IN}, for want of a kernel of their own in the records: "
            + ", ".join(dict.fromkeys(f'{r["model"]} on {r["where"]}' for _, r in g)) + "." for f, g in by_format.items()]
