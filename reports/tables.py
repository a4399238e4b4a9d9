"""Rows of the report's tables, from records: plain dictionaries of text and numbers, the same for HTML and Markdown."""
import collections
import os
import re
import shlex
import statistics

from records import groups, unique

WELL = ("PASS", "SKIP")
ROWS_MOST = 2500  # timings shown one by one; the records hold the others
TIMED = ("VALID", "UNSETTLED", "SHORT", "INVALID")


def fraction(v):
    return "not finite" if v is None else "exact" if v == 0 else f"{v:.3g}"


def greatest(values):
    """None (not finite in the record) is worse than any number."""
    values = list(values)
    return None if any(v is None for v in values) else max(values, default=0)


def devices(records):
    rows = unique(records.of("device"), lambda d: (d["machine"], d["backend"], d["index"], d["name"]))
    return sorted(rows, key=lambda d: (d["machine"], d["backend"], d["index"]))


def correctness(checks, records):
    table = []
    for (machine, backend, kernel), rows in sorted(groups(checks, lambda r: (r["machine"], r["backend"], r["kernel"])).items()):
        status = collections.Counter(r["status"] for r in rows)
        probs = [r["worst_prob"] for r in rows if r["worst_prob"] is not None]
        worst = greatest(r["worst"] for r in rows)
        table.append(dict(machine=records.label(rows[0]), backend=backend, kernel=kernel, op=rows[0]["op"], cases=len(rows), passed=status["PASS"],
                          skipped=status["SKIP"], failed=len(rows) - status["PASS"] - status["SKIP"], value=worst,
                          worst=fraction(worst), prob=fraction(max(probs)) if probs else "-"))
    return table


def correctness_by_op(table):
    out = []
    for (op, backend), rows in sorted(groups(table, lambda r: (r["op"], r["backend"])).items()):
        worst = greatest(r["value"] for r in rows)
        out.append(dict(op=op, backend=backend, kernels=len(rows), cases=sum(r["cases"] for r in rows), failed=sum(r["failed"] for r in rows),
                        worst=fraction(worst), value=worst))
    return out


def twins(rows):
    if not rows:
        return None
    caught = collections.defaultdict(bool)
    for r in rows:
        caught[r["kernel"], r["backend"]] |= r["status"] == "FAIL" and r["mismatched"] > 0
    backends = list(dict.fromkeys(r["backend"] for r in rows))
    names = list(dict.fromkeys(r["kernel"] for r in rows))
    word = {True: "caught", False: "ESCAPED", None: "-"}
    return dict(all=len(caught), caught=sum(caught.values()), backends=backends,
                escaped=[f"{k} on {b}" for (k, b), ok in caught.items() if not ok],
                rows=[dict(name=n, cells=[word[caught.get((n, b))] for b in backends]) for n in names])


def field(case, key):
    return next((w[len(key) + 1:] for w in case.split() if w.startswith(key + "=")), "")


def weight_cell(rows):
    """All kernels of one backend on one tensor."""
    if not rows:
        return "-"
    bad = [r for r in rows if r["status"] != "PASS"]
    if bad:
        return ", ".join(f'{r["status"]} {r["kernel"]}' for r in bad)
    n = f"{len(rows)} kernel{'s' if len(rows) > 1 else ''}: "
    if all(r["note"].startswith("bit-identical") for r in rows):
        return n + "bit-identical"
    return n + fraction(greatest(r["worst"] for r in rows))


def weights(checks):
    """A table a file; a row a tensor and op, a column a backend."""
    files = collections.defaultdict(lambda: collections.defaultdict(lambda: collections.defaultdict(list)))
    for r in checks:
        path, _, tensor = r["source"].partition(".gguf:")
        if tensor:
            shape = f'{field(r["case"], "m")} x {field(r["case"], "k")}'
            files[path + ".gguf"][tensor, shape, r["op"]][r["backend"]].append(r)
    tables = []
    for path, rows in files.items():
        backends = list(dict.fromkeys(b for cells in rows.values() for b in cells))
        tables.append(dict(file=os.path.basename(path), backends=backends,
                           rows=[dict(tensor=t, shape=s, op=op, cells=[weight_cell(cells.get(b)) for b in backends])
                                 for (t, s, op), cells in sorted(rows.items(), key=lambda x: x[0][2])]))
    return tables


def short(case, source):
    tensor = source.partition(".gguf:")[2]
    words = [w for w in case.split() if not w.startswith(("seed=", "fill=", "tier=", "kernel="))]
    return " ".join(words) + (f" of {tensor}" if tensor else "")


def compute_bound(b):
    return b.get("flops") and b["flops"] > 8 * b["bandwidth"]


def bench(benches, records):
    rows = []
    for b in benches:
        if b["status"] == "NOT TIMED":
            continue
        moved, q, steady = b["bytes_read"] + b["bytes_written"], b["ratio"], b["steady_s"]["median"]
        share = b["status"] != "SHORT"
        rows.append(dict(b, label=records.label(b), moved=moved, compute=bool(compute_bound(b)),
                         memcpy=f'{100 * b["of_memcpy"]:.0f} %' if b.get("of_memcpy") else "-",
                         gflops=f'{b["flops"] / 1e9:.1f}' if b.get("flops") else "-", short=short(b["case"], b["source"]),
                         gbs=f'{b["bandwidth"] / 1e9:.2f}', ceiling_gbs=f'{b["ceiling_bandwidth"] / 1e9:.2f}',
                         percent=f'{100 * q["median"]:.1f} %' if share else "-",
                         interval=f'{100 * q["low"]:.1f} to {100 * q["high"]:.1f} %' if share else "-",
                         hot_gbs=f'{moved / b["hot_s"] / 1e9:.2f}', hot=steady / b["hot_s"], first=b["first_s"] / steady,
                         second=b["second_s"] / steady, steady_ms=steady * 1e3))
    return rows


def bench_by_kernel(rows):
    out = []
    key = lambda r: (r["label"], r["backend"], r["name"], r["op"], r["kernel"])  # noqa: E731
    for (label, backend, name, op, kernel), g in sorted(groups(rows, key).items()):
        fair = [r for r in g if r["status"] in ("VALID", "UNSETTLED") and not r["compute"]]
        ratio = [r["ratio"]["median"] for r in fair]
        rate = [r["flops"] / 1e9 for r in g if r["compute"]]
        status = collections.Counter(r["status"] for r in g)
        out.append(dict(label=label, backend=backend, name=name, op=op, kernel=kernel, cases=len(g),
                        best=f'{max(r["bandwidth"] for r in fair) / 1e9:.1f}' if fair else "-",
                        ceiling=f'{max(r["ceiling_bandwidth"] for r in fair) / 1e9:.1f}' if fair else "-",
                        median=100 * statistics.median(ratio) if ratio else None, fair=len(fair), unsettled=sum(r["status"] == "UNSETTLED" for r in fair), worst=100 * min(ratio) if ratio else None,
                        gflops=f"{max(rate):.1f}" if rate else "-", statuses=", ".join(f"{n} {s}" for s, n in sorted(status.items()))))
    return out


def shown(rows):
    """At most ROWS_MOST: what is INVALID, then what is farthest from its ceiling. In the order of the records."""
    if len(rows) <= ROWS_MOST:
        return rows
    order = sorted(range(len(rows)), key=lambda i: (rows[i]["status"] != "INVALID", rows[i]["ratio"]["median"]))
    return [rows[i] for i in sorted(order[:ROWS_MOST])]


def peers(records):
    """A row a peer and timing of ours; the geometric mean of the ratios by peer and op."""
    rows = [dict(p, label=records.label(p), short=short(p["case"], p["source"]), ms=p["seconds"]["median"] * 1e3, error=fraction(p["worst"]),
                 own=fraction(p["ours_worst"]), sure="faster" if p["ratio"]["low"] > 1 else "slower" if p["ratio"]["high"] < 1 else "even")
            for p in records.of("peer")]
    means = [dict(peer=peer, op=op, cases=len(g), mean=statistics.geometric_mean(p["ratio"]["median"] for p in g),
                  low=min(p["ratio"]["median"] for p in g), high=max(p["ratio"]["median"] for p in g))
             for (peer, op), g in sorted(groups(rows, lambda p: (p["peer"], p["op"])).items())]
    return dict(rows=rows, means=means) if rows else None


def energy(rows):
    """Of timings whose record has power: joules a launch and for each byte or operation, and whether the device held itself back."""
    return [dict(r, gb_joule=r["moved"] / r["joules"] / 1e9, gflop_joule=f'{r["flops"] * r["steady_s"]["median"] / r["joules"] / 1e9:.2f}' if r.get("flops") else "-",
                 clocks=f'{r["power"]["clock_low_mhz"]:.0f} to {r["power"]["clock_high_mhz"]:.0f}' if r["power"]["clock_high_mhz"] else "-",
                 celsius=f'{r["power"]["celsius"]:.0f}' if r["power"]["celsius"] else "-",
                 held=f'{r["power"]["why"]} in {r["power"]["throttled"]} of {r["power"]["samples"]}' if r["power"]["throttled"] else "no")
            for r in rows if "watts" in r and r["joules"] > 0]


LAYER = re.compile(r"^(?:.*\.)?(?:layers|blk|blocks|transformer_blocks|h|layer|block)\.(\d+)\.(.+?)(?:\.weight)?$")
KINDS_MOST, LAYERS_MOST = 24, 200
BAD_MOST = 8  # named above the map; the record has all of them


def heat(verdict, bits):
    """A class of the page's colours. Negative headroom may overflow an fp16 output; a bit or two is what an outlier needs."""
    if verdict in ("OVERFLOW", "DAMAGED"):
        return "h0"
    return "hn" if bits is None else "h0" if bits < 0 else "h1" if bits < 2 else "h2" if bits < 6 else "h3"


SYNTHETIC = "synthetic"  # in the name of a file that was made, not trained: reports/make.sh names its own so


def headroom(records):
    """Of each scanned file a map: a row a layer, a column a kind of matrix; the least of what shares a cell. Tensors outside of
    layers stand in a list. Which file it is: its name, size and the command that read it."""
    maps = []
    runs, sizes = {r["run"]: r for r in records.of("run")}, {(s["run"], s["file"]): s["bytes"] for s in records.of("scan_summary")}
    for (number, file), g in groups(records.of("scan"), lambda r: (r["run"], r["file"])).items():
        kind = "a synthetic file, made to be scanned: no trained model" if SYNTHETIC in file else ""
        cells, others = {}, []
        for r in g:
            bits = r.get("headroom_bits")
            if not isinstance(bits, (int, float)) or isinstance(bits, bool):
                bits = None
            hit = LAYER.match(r["tensor"])
            cell = dict(text="-" if bits is None else f"{bits:+.1f}", bits=bits, heat=heat(r["verdict"], bits), tensor=r["tensor"], verdict=r["verdict"],
                        advice=r["advice"], to_inf=r["to_inf"])
            if not hit:
                others.append(cell)
                continue
            key = int(hit.group(1)), hit.group(2)
            if key not in cells or (cell["heat"], bits or 0) < (cells[key]["heat"], cells[key]["bits"] or 0):
                cells[key] = cell
        layers, kinds = sorted({k[0] for k in cells})[:LAYERS_MOST], list(dict.fromkeys(k[1] for k in cells))
        kinds = sorted(kinds, key=lambda k: min(c["bits"] if c["bits"] is not None else 99 for (n, kind), c in cells.items() if kind == k))
        bad = [c for c in [*cells.values(), *others] if c["heat"] == "h0"]
        maps.append(dict(file=os.path.basename(file), path=file, kind=kind, bytes=sizes.get((number, file)), command=command_of(runs[number]), tensors=len(g), kinds=kinds[:KINDS_MOST], left_out=max(0, len(kinds) - KINDS_MOST), bad=bad[:BAD_MOST], more=max(0, len(bad) - BAD_MOST), worst=len(bad), others=others[:12],
                         layers=[dict(layer=n, cells=[cells.get((n, k)) for k in kinds[:KINDS_MOST]]) for n in layers]))
    return maps


def cold(rows):
    """First, second and hot launches as factors of the steady cold one, by kernel."""
    out = []
    for (label, backend, kernel), g in sorted(groups(rows, lambda r: (r["label"], r["backend"], r["kernel"])).items()):
        middle = {k: statistics.median(r[k] for r in g) for k in ("first", "second", "hot")}
        out.append(dict(label=label, backend=backend, kernel=kernel, cases=len(g), worst=max(r["first"] for r in g), **middle))
    return sorted(out, key=lambda r: -r["first"])


def failures(records):
    """A row an entry of the catalogue; its verdict on each backend, and the first run that shows something."""
    out = []
    rows = records.of("failure")
    backends = sorted(dict.fromkeys(r["backend"] for r in rows), key=lambda b: b == "host")  # what needs no device comes last
    for (ident, name), g in groups(rows, lambda r: (r["id"], r["name"])).items():
        ran = [r for r in g if r["verdict"] in ("REPRODUCED", "MEASURED", "NOT REPRODUCED")] or g
        ran.sort(key=lambda r: r["verdict"] != "NOT REPRODUCED")
        one = ran[0]
        verdict = {r["backend"]: r["verdict"] for r in g}
        needs = next((r["why"].partition(": ")[0] for r in g if r["verdict"] == "SKIPPED"), "")
        out.append(dict(one, needs=needs, tried=list(verdict), cells=[verdict.get(b, "-") for b in backends], sides=[s for s in (side(one, "broken"), side(one, "sound")) if s]))
    return dict(backends=backends, rows=sorted(out, key=lambda r: natural(r["id"]))) if out else None


def natural(ident):
    digits = "".join(c for c in ident if c.isdigit())
    return ident[:1], int(digits or 0), ident


def side(row, which):
    s = row.get(which)
    if not isinstance(s, dict) or not isinstance(s.get("kernel"), str):
        return None
    count = {k: s.get(k) if isinstance(s.get(k), int) else 0 for k in ("values", "inf", "nan", "zero", "wrong")}
    return dict(which=which, kernel=s["kernel"], **count)


VALUES = ("--backend", "-b", "--cases", "--depth", "--frame", "--input", "--json", "-j", "--plan", "--require", "--seed", "--set", "--size", "--timeout", "--weights")
DROPPED = ("--bisect", "--frame", "--json", "--plan")  # what a mend gives in its own way, or does without
SETS_MOST = 3


def mend_command(run, chain, plan, options):
    """The line that traces a chain again as the run did, with other options: its weights, depth and inputs stay."""
    words, kept = iter(run["arguments"]), []
    for w in words:
        name, value = w.partition("=")[0], [next(words, "")] if w in VALUES else []
        if not w.startswith("-"):
            chain = w  # a name, or a file
        elif name not in DROPPED and w[:2] != "-j":
            kept += [w, *value]
    return " ".join(["blackframe", "trace", *map(shlex.quote, [chain, "--plan", plan.partition(" ")[0], *kept, *options])])


def command_of(run):
    return " ".join(["blackframe", run["command"], *map(shlex.quote, run["arguments"])])


def traces(records):
    """A row a traced chain: the first op that goes wrong; the kinds that must be in fp32, where the run asked (--bisect); what to run."""
    rows, runs = [], {r["run"]: r for r in records.of("run")}
    bisected = {(b["run"], b["chain"], b["backend"]): b for b in records.of("trace-bisect")}
    for t in records.of("trace"):
        bad = t.get("first_bad") or t.get("first_lost")
        at = f'block {bad.get("block")} {bad.get("label")} ({bad.get("kind")})' if isinstance(bad, dict) else "-"
        b, kinds = bisected.get((t["run"], t["chain"], t["backend"])), []
        if b is None:
            must, options = ("-", None) if at == "-" else ("not asked", ["--bisect"])
        elif b["size"] <= 0 or not b["sets"]:
            must, options = "nothing" if b["size"] == 0 else "no set of kinds is enough", None
        else:
            kinds = b["sets"][0]
            more = len(b["sets"]) - SETS_MOST
            must = "; or ".join(", ".join(s) for s in b["sets"][:SETS_MOST]) + (f"; or {more} more sets" if more > 0 else "")
            options = [w for k in kinds for w in ("--set", f"{k}=fp32")]
        rows.append(dict(chain=t["chain"], plan=t["plan"], backend=t["backend"], ops=t["ops"], finite=t["finite"], first=at, kinds=kinds, must=must,
                         half=t["plan"].partition(" ")[0] == "fp16", mend=options and mend_command(runs[t["run"]], t["chain"], t["plan"], options)))
    return rows


def not_measured(devs, benches, isa, fails, projection):
    """[(a few words, the whole line)]; no words: true of every report, no news at its top."""
    have, timed = {d["backend"] for d in devs}, {b["backend"] for b in benches if b["status"] != "NOT TIMED"}
    lines = []
    for gpu, name in (("cuda", "NVIDIA"), ("hip", "AMD")):
        if gpu not in have:
            lines.append((f"any {name} GPU", f"No {name} GPU was found: the {gpu} kernels were compiled, and executed on the CPU by simt-{gpu} "
                          "where that is listed; nothing measured here is a figure of such a GPU."))
    for b in sorted(have - timed):
        if b.startswith("simt"):
            lines.append(("", f"{b} executes GPU source on the CPU: it proves results and is never timed."))
        elif benches:
            lines.append((f"time on {b}", f"{b} was not timed in these records."))
    if not benches:
        lines.append(("time", "Nothing was timed: no bench record was given."))
    if not any("watts" in b for b in benches):
        lines.append(("power", "Clocks, temperature and power were not read: no joules of this machine."))
    if not isa:
        lines.append(("static analysis", "The static half is missing: no file of ci/isa.py --json was given."))
    skipped = [f for f in fails["rows"] if set(f["cells"]) <= {"SKIPPED", "-"}] if fails else []
    if skipped:
        names = ", ".join(f["id"] for f in skipped)
        lines.append((f"failures {names}", f"Of the documented failures {names} ran on no device: " + "; ".join(f'{f["id"]} needs {f["needs"] or "another"}' for f in skipped) + "."))
    absent = list(dict.fromkeys(f for rows in projection.values() for r in rows for f in r["absent"]))
    if absent:
        lines.append((f"decode in {', '.join(absent)}", f"No decode kernel of {', '.join(absent)} was timed in these records."))
    lines.append(("", "The projection counts reading the weights alone: no attention over a context, no launches between kernels, no sampling."))
    return lines
