#!/usr/bin/env python3
"""Writes one page, report.html, and report.md for a pull request, from blackframe's JSON Lines records of one or several machines.

usage: report.py [--out DIR] FILE...

FILE: a record (.jsonl, .jsonl.gz), the static analysis of ci/isa.py --json (.json, .json.gz), or a picture of a failure (.png; frame-*.png
beside the records are taken by themselves). Every figure is read from a record or from reports/facts.json, whose entries name their
source; the records are copied beside the page. The directory is made under a temporary name and renamed at the end, so an
interrupted run leaves the old report alone.
"""
import argparse
import base64
import functools
import glob
import html
import os
import re
import shutil
import sys
import tempfile

try:
    import jinja2

    import plots
except ImportError as e:
    sys.exit(f"report.py: {e}: python3 with matplotlib and jinja2 is needed (ci/setup installs them)")
import headline
import numerics
import predict
import project
import records as rec
import tables

HERE = os.path.dirname(os.path.abspath(__file__))
ISA = (".json", ".json.gz")
PICTURE_MOST = 400_000
CAPTIONS = {"frame-fp16-rgb": "Latents overflow in fp16; NaN becomes the byte 0: a black frame.",
            "frame-fp16-yuv": "The same NaN, turned into bytes before the colour conversion: Y = U = V = 0 is green.",
            "frame-sound": "The same latents through the sound kernels."}


def pictures(paths):
    """Given ones, and frame-*.png beside the records: name, caption, data URI."""
    folders = dict.fromkeys(os.path.dirname(os.path.abspath(p)) for p in paths if not p.endswith((".png", *ISA)))
    found = [p for p in paths if p.endswith(".png")] + [p for d in folders for p in sorted(glob.glob(os.path.join(glob.escape(d), "frame-*.png")))]
    out = {}
    for p in found:
        name = os.path.basename(p)[:-4]
        try:
            with open(p, "rb") as f:
                data = f.read(PICTURE_MOST + 1)
        except OSError as e:
            raise rec.BadRecord(f"{p}: cannot be read: {e.strerror}") from None
        if not data.startswith(b"\x89PNG\r\n\x1a\n") or len(data) > PICTURE_MOST:
            raise rec.BadRecord(f"{p}: not a PNG picture below {PICTURE_MOST // 1000} kB")
        out[name] = dict(name=name, caption=CAPTIONS.get(name, name), uri="data:image/png;base64," + base64.b64encode(data).decode(), path=p)
    return list(out.values())


def drawn(correct, timed, kernels):
    """[(group, name, title, SVG)]; the group says which section shows it."""
    out = []
    svg = plots.bound(correct)
    if svg:
        out.append(("correctness", "bound", "Largest error as a fraction of its bound", svg))
    look = plots.series({k["op"] for k in kernels})
    svg = plots.shares(kernels, look)
    if svg:
        out.append(("shares", "shares", "Fraction of the measured ceiling by kernel", svg))
    for device, svg in plots.bandwidth(timed, look):
        out.append(("bandwidth", f"bandwidth-{slug(device)}", f"Bandwidth against the ceiling: {device[2]}, {device[1]}", svg))
    for device, top, svg in plots.roofline(timed, look):
        text = f"Roofline of {device[2]}, {device[1]}: {top['slope']:.1f} GB/s measured ceiling, {top['level']:.0f} GFLOP/s the best kernel here"
        out.append(("roofline", f"roofline-{slug(device)}", text, svg))
    return out


def slug(device):
    return re.sub(r"[^a-z0-9]+", "-", "-".join(device).lower()).strip("-")[:60]


def gib(n):
    return f"{n / 2**30:.1f} GiB" if n else "unknown"


def mib(n):
    return f"{n / 2**20:.0f} MiB" if n else "unknown"


def md(text):
    """A table cell or a line of Markdown: nothing in a record may end it or become markup."""
    text = " ".join(str(text).split())
    return re.sub(r"([\\|*_\[\]])", r"\\\1", text).replace("`", "'").replace("&", "&amp;").replace("<", "&lt;")


def code(text):
    """Inside of backticks in a table cell."""
    return " ".join(str(text).split()).replace("`", "'").replace("|", "\\|")


def context(records, isa, shots):
    facts = rec.facts()
    checks, benches = records.of("check"), records.of("bench")
    devices = tables.devices(records)
    refused = rec.unique(records.of("refused"), lambda r: (r["machine"], r["backend"], r["why"]))
    twins, fails = tables.twins(records.of("twin")), tables.failures(records)
    correct, timed = tables.correctness(checks, records), tables.bench(benches, records)
    kernels = tables.bench_by_kernel(timed)
    scans, trace_rows = tables.headroom(records), tables.traces(records)
    projection = project.rows([b for b in benches if b["status"] != "NOT TIMED"], isa, facts)
    missing = tables.not_measured(devices, benches, isa, fails, projection)
    return dict(
        verdict=headline.boxes(records, twins, fails, scans),
        answers=headline.answers(records, twins, fails, timed, trace_rows, [few for few, _ in missing if few]),
        notes=records.notes, machines=records.machines, several=records.several(), label=records.label,
        devices=devices, findings=rec.unique(records.of("finding"), lambda f: (f["machine"], f["what"], f["why"])), refused=refused,
        numerics=numerics.cards(records), failures=fails, pictures=shots, traces=trace_rows, correctness=correct, by_op=tables.correctness_by_op(correct),
        failed=[r for r in checks if r["status"] not in tables.WELL][:50], twins=twins, weights=tables.weights(checks),
        kernels=kernels, timed=timed, shown=tables.shown(timed), memcpy=next(iter(records.of("memcpy")), None),
        not_timed=[b for b in benches if b["status"] == "NOT TIMED"][:100], cold=tables.cold([r for r in timed if r["status"] != "SHORT"]),
        energy=tables.energy(timed), scans=scans, peers=tables.peers(records), predicted=predict.tables(isa, facts),
        projection=projection, substituted=project.substituted(projection), facts=facts, not_measured=[line for _, line in missing],
        commands=list(dict.fromkeys(tables.command_of(r) for r in records.of("run"))),
        files=sorted({r["record"] for r in records.rows}), svgs=drawn(correct, timed, kernels))


@functools.cache
def templates(auto):
    env = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE), trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
                             undefined=jinja2.StrictUndefined, autoescape=auto)
    env.globals.update(gib=gib, mib=mib)
    env.filters.update(md=md, code=code)
    return env


def render(values, out):
    number = iter(range(1, 1000))
    figures = {}
    for group, name, title, svg in values["svgs"]:
        with open(os.path.join(out, name + ".svg"), "w", encoding="utf-8") as f:
            f.write(svg)
        figures.setdefault(group, []).append(dict(name=name, title=title, svg=plots.inline(svg, next(number), html.escape(title, quote=True))))
    for template, auto in (("report.html", True), ("report.md", False)):
        with open(os.path.join(out, template), "w", encoding="utf-8") as f:
            f.write(templates(auto).get_template(template + ".j2").render(values, figures=figures))


def replace_directory(fresh, out):
    os.chmod(fresh, 0o755)
    if not os.path.isdir(out):
        os.rename(fresh, out)
        return
    old = tempfile.mkdtemp(prefix=".old-", dir=os.path.dirname(out))
    os.rename(out, os.path.join(old, "report"))
    os.rename(fresh, out)
    shutil.rmtree(old)


def copy_sources(paths, shots, out):
    for p in [*paths, *[s["path"] for s in shots]]:
        name, n = os.path.basename(p), 1
        while os.path.exists(os.path.join(out, name)):
            n += 1
            name = f"{n}-{os.path.basename(p)}"
        shutil.copy(p, os.path.join(out, name))


def main(argv=None):
    parser = argparse.ArgumentParser(prog="blackframe report", description="One page from the records of one or several machines: report.html, and report.md.")
    parser.add_argument("--out", default="reports/latest", metavar="DIR", help="directory of the report (reports/latest); an older report there is replaced whole")
    parser.add_argument("--no-copies", action="store_true", help="do not copy the records beside the page")
    parser.add_argument("files", nargs="+", metavar="FILE", help="records, .jsonl or .jsonl.gz; static analysis, .json; pictures, .png")
    a = parser.parse_args(argv)
    out = os.path.abspath(a.out)
    if os.path.isdir(out) and os.listdir(out) and not os.path.exists(os.path.join(out, "report.md")):
        rec.stop(f"{a.out}: holds something that is no report: not replaced")
    for p in a.files:
        if not os.path.isfile(p):
            rec.stop(f"{p}: no such file")
    try:
        records = rec.read_all([p for p in a.files if not p.endswith((".png", *ISA))])
        isa = rec.read_isas([p for p in a.files if p.endswith(ISA)], records)
        shots = pictures(a.files)
    except rec.BadRecord as e:
        rec.stop(str(e))
    os.makedirs(os.path.dirname(out), exist_ok=True)
    fresh = tempfile.mkdtemp(prefix=".report-", dir=os.path.dirname(out))
    try:
        render(context(records, isa, shots), fresh)
        if not a.no_copies:
            copy_sources(records.kept, shots, fresh)
        replace_directory(fresh, out)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    print(os.path.join(a.out, "report.html"))


if __name__ == "__main__":
    main()
