#!/usr/bin/env python3
"""Writes a Markdown report with SVG plots from blackframe's JSON Lines records.

usage: report.py --out DIR RECORD.jsonl [RECORD.jsonl ...]

Every figure in the report is read from a record; the records are copied beside it. The directory is made under a
temporary name and renamed at the end, so an interrupted run leaves the old report alone.
"""
import argparse
import collections
import json
import math
import os
import shutil
import sys
import tempfile

os.environ.setdefault("MPLCONFIGDIR", tempfile.gettempdir())
import jinja2  # noqa: E402
import matplotlib  # noqa: E402

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "blackframe"  # the same record gives the same file
import matplotlib.pyplot as plt  # noqa: E402
import matplotlib.ticker  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
BLUE, GREY, RED = "#2a6f97", "#c9ced3", "#b3382c"
PLOT_ROWS = 36  # bars in one picture


def load(paths):
    rows = []
    for path in paths:
        with open(path, encoding="utf-8") as f:
            for n, line in enumerate(f, 1):
                try:
                    row = json.loads(line)
                except ValueError as e:
                    sys.exit(f"report.py: {path}: line {n}: not JSON: {e}")
                if not isinstance(row, dict) or "type" not in row:
                    sys.exit(f"report.py: {path}: line {n}: field 'type' is missing: not a blackframe record")
                rows.append(row)
    return rows


def of_type(rows, *types):
    return [r for r in rows if r["type"] in types]


def unique(rows, key):
    return list({key(r): r for r in rows}.values())


def fraction(v):
    return "not finite" if v is None else "exact" if v == 0 else f"{v:.3g}"


def greatest(values):
    """None (not finite in the record) is worse than any number."""
    values = list(values)
    return None if any(v is None for v in values) else max(values, default=0)


def correctness(checks):
    groups = collections.defaultdict(list)
    for r in checks:
        groups[r["backend"], r["kernel"]].append(r)
    table = []
    for (backend, kernel), rows in sorted(groups.items()):
        status = collections.Counter(r["status"] for r in rows)
        probs = [r["worst_prob"] for r in rows if r["worst_prob"] is not None]
        table.append(dict(backend=backend, kernel=kernel, cases=len(rows), passed=status["PASS"],
                          skipped=status["SKIP"], failed=len(rows) - status["PASS"] - status["SKIP"],
                          worst=fraction(greatest(r["worst"] for r in rows)), prob=fraction(max(probs)) if probs else "-"))
    return table


def twin_table(twins):
    if not twins:
        return None
    caught = collections.defaultdict(bool)
    for r in twins:
        caught[r["kernel"], r["backend"]] |= r["status"] == "FAIL" and r["mismatched"] > 0
    backends = list(dict.fromkeys(r["backend"] for r in twins))
    names = list(dict.fromkeys(r["kernel"] for r in twins))
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
        return ", ".join(f'**{r["status"]}** {r["kernel"]}' for r in bad)
    n = f"{len(rows)} kernel{'s' if len(rows) > 1 else ''}: "
    if all(r["note"].startswith("bit-identical") for r in rows):
        return n + "bit-identical"
    return n + fraction(greatest(r["worst"] for r in rows))


def weight_tables(checks):
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
    words = [w for w in case.split() if not w.startswith(("seed=", "fill="))]
    return " ".join(words) + (f" of {tensor}" if tensor else "")


def bench_rows(benches):
    rows = []
    for b in benches:
        if b["status"] == "NOT TIMED":
            continue
        moved = b["bytes_read"] + b["bytes_written"]
        q = b["ratio"]
        memory = f'{100 * b["of_memcpy"]:.0f} %' if "of_memcpy" in b else "-"
        share = b["status"] != "SHORT"
        rows.append(dict(b, memcpy=memory, gflops=f'{b["flops"] / 1e9:.1f}' if b["flops"] else "-", short=short(b["case"], b["source"]), gbs=f'{b["bandwidth"] / 1e9:.1f}',
                         ceiling_gbs=f'{b["ceiling_bandwidth"] / 1e9:.1f}', percent=f'{100 * q["median"]:.1f} %' if share else "-",
                         interval=f'{100 * q["low"]:.1f} to {100 * q["high"]:.1f} %' if share else "-",
                         hot_gbs=f'{moved / b["hot_s"] / 1e9:.1f}',
                         first=f'{b["first_s"] / b["steady_s"]["median"]:.1f}'))
    return rows


def bars(path, labels, values, limits, title, xlabel, colors):
    height = 0.9 + 0.27 * len(labels)
    fig, ax = plt.subplots(figsize=(9, height))
    y = range(len(labels))
    if limits:
        ax.barh(y, limits, height=0.8, color=GREY, label="ceiling measured beside it")
    ax.barh(y, values, height=0.45 if limits else 0.6, color=colors, label="kernel" if limits else None)
    ax.set_yticks(list(y), labels, fontsize=7)
    ax.invert_yaxis()
    ax.set_title(title, fontsize=9, loc="left")
    ax.set_xlabel(xlabel, fontsize=8)
    ax.tick_params(axis="x", labelsize=7)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    if limits:
        ax.legend(fontsize=7, frameon=False, loc="lower right")
    fig.tight_layout()
    fig.savefig(path, format="svg", metadata={"Date": None})
    plt.close(fig)


def bandwidth_plots(out, rows):
    names = []
    groups = collections.defaultdict(list)
    for r in rows:
        groups[r["backend"], r["op"]].append(r)
    for (backend, op), group in groups.items():
        for part in range(0, len(group), PLOT_ROWS):
            rs = group[part:part + PLOT_ROWS]
            name = f"bandwidth-{backend}-{op}{'-%d' % (part // PLOT_ROWS + 1) if len(group) > PLOT_ROWS else ''}.svg"
            labels = [f'{r["kernel"]}\n{r["short"].partition(" ")[2]}' for r in rs]
            bars(os.path.join(out, name), labels, [r["bandwidth"] / 1e9 for r in rs],
                 [r["ceiling_bandwidth"] / 1e9 for r in rs], f"{backend}: {op}", "GB/s",
                 [RED if r["status"] == "INVALID" else BLUE for r in rs])
            names.append(name)
    return names


def bound_plot(out, checks):
    """Largest fraction of the bound for each kernel; logarithmic, because good kernels sit far below 1."""
    worst = {}
    for r in checks:
        key = f'{r["backend"]} {r["kernel"]}'
        if r["worst"] is not None and r["worst"] > 0:
            worst[key] = max(worst.get(key, 0), r["worst"])
    if not worst:
        return None
    worst = dict(sorted(worst.items(), key=lambda x: x[0].split()[::-1]))
    fig, ax = plt.subplots(figsize=(9, 0.9 + 0.2 * len(worst)))
    y = range(len(worst))
    ax.scatter(list(worst.values()), y, s=22, color=[RED if v > 1 else BLUE for v in worst.values()], zorder=3)
    ax.axvline(1, color=RED, lw=1)
    ax.annotate("the bound", (1, 0), xytext=(-4, 2), textcoords="offset points", ha="right", fontsize=7, color=RED)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    ax.set_yticks(list(y), list(worst), fontsize=7)
    ax.invert_yaxis()
    ax.grid(axis="both", color="#e6e8ea", lw=0.6)
    ax.tick_params(axis="x", labelsize=7)
    ax.set_xlabel("largest error / bound over all cases", fontsize=8)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    fig.tight_layout()
    fig.savefig(os.path.join(out, "bound.svg"), format="svg", metadata={"Date": None})
    plt.close(fig)
    return "bound.svg"


def not_measured(devices, benches):
    have = {d["backend"] for d in devices}
    timed = {b["backend"] for b in benches}
    lines = []
    for gpu, name in (("cuda", "NVIDIA"), ("hip", "AMD")):
        if gpu not in have:
            lines.append(f"No {name} GPU was found: the {gpu} kernels were compiled, and executed on the CPU by simt-{gpu} "
                         "where that is listed; nothing here is a figure of such a GPU.")
    for b in sorted(have - timed):
        if b.startswith("simt"):
            lines.append(f"{b} executes GPU source on the CPU: it proves results and is never timed.")
        elif benches:
            lines.append(f"{b} was not timed in these records.")
    lines.append("Clocks, temperature and power were not read.")
    return lines


def verdict(checks, twins, benches, refused):
    bad = [r for r in checks if r["status"] not in ("PASS", "SKIP")]
    parts = [f"**{len(checks) - len(bad)} of {len(checks)} checks right**" if not bad
             else f"**{len(bad)} of {len(checks)} checks FAILED**"]
    if twins:
        parts.append(f'{twins["caught"]} of {twins["all"]} broken twins caught')
    timed = [b for b in benches if b["status"] in ("VALID", "UNSETTLED", "SHORT")]
    if timed:
        invalid = sum(b["status"] == "INVALID" for b in benches)
        parts.append(f"{len(timed)} kernel timings" + (f", {invalid} INVALID" if invalid else ""))
    if refused:
        parts.append(f"{len(refused)} devices refused")
    return ", ".join(parts) + "."


def render(rows, out, paths):
    checks, twins = of_type(rows, "check"), twin_table(of_type(rows, "twin"))
    benches, devices = of_type(rows, "bench"), unique(of_type(rows, "device"), lambda d: (d["backend"], d["index"], d["name"]))
    refused = unique(of_type(rows, "refused"), lambda r: (r["backend"], r["why"]))
    runs = of_type(rows, "run")
    timed = bench_rows(benches)
    env = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE), trim_blocks=True, keep_trailing_newline=True,
                             undefined=jinja2.StrictUndefined)
    env.globals.update(gib=lambda n: f"{n / 2**30:.1f} GiB" if n else "unknown",
                       mib=lambda n: f"{n / 2**20:.0f} MiB" if n else "unknown")
    text = env.get_template("report.md.j2").render(
        verdict=verdict(checks, twins, benches, refused), run=runs[0], devices=devices,
        findings=unique(of_type(rows, "finding"), lambda f: (f["what"], f["why"])), refused=refused,
        correctness=correctness(checks), bound_plot=bound_plot(out, checks),
        failures=[r for r in checks if r["status"] not in ("PASS", "SKIP")][:50], twins=twins,
        weights=weight_tables(checks), benches=timed, memcpy=next(iter(of_type(rows, "memcpy")), None),
        bandwidth_plots=bandwidth_plots(out, timed), not_timed=[b for b in benches if b["status"] == "NOT TIMED"],
        not_measured=not_measured(devices, benches),
        commands=["blackframe " + " ".join([r["command"]] + [a for a in r["arguments"]]) for r in runs])
    with open(os.path.join(out, "report.md"), "w", encoding="utf-8") as f:
        f.write(text)
    for p in paths:
        shutil.copy(p, out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, metavar="DIR", help="directory of the report; replaced whole")
    parser.add_argument("records", nargs="+", metavar="RECORD.jsonl")
    a = parser.parse_args()
    for p in a.records:
        if not os.path.isfile(p):
            sys.exit(f"report.py: {p}: no such record")
    rows = load(a.records)
    if not of_type(rows, "run"):
        sys.exit("report.py: no 'run' line in the records: not made by blackframe")
    out = os.path.abspath(a.out)
    os.makedirs(os.path.dirname(out), exist_ok=True)
    fresh = tempfile.mkdtemp(prefix=".report-", dir=os.path.dirname(out))
    try:
        os.chmod(fresh, 0o755)
        render(rows, fresh, a.records)
        if os.path.isdir(out):
            old = tempfile.mkdtemp(prefix=".old-", dir=os.path.dirname(out))
            os.rename(out, os.path.join(old, "report"))
            os.rename(fresh, out)
            shutil.rmtree(old)
        else:
            os.rename(fresh, out)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    print(os.path.join(a.out, "report.md"))


if __name__ == "__main__":
    main()
