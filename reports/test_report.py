#!/usr/bin/env python3
"""Tests of the report: it shows what the records say, and refuses records that say nothing. Prints a line like the other parts of the check."""
import copy
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import predict  # noqa: E402
import project  # noqa: E402
import records as rec  # noqa: E402
import report as page_of  # noqa: E402

RUN = dict(type="run", command="bench", version="0", time="2026-01-01T00:00:00Z", arguments=["--best"], system="Linux", kernel="6", processor="P", cores=2, blas="b")
DEVICE = dict(type="device", backend="cpu", index=0, name="P", arch="x", object="host", memory=1 << 30, cache=1 << 20)
CHECK = dict(type="check", backend="cpu", kernel="k", op="linear", case="linear m=1 k=1", source="cases/x.case", status="PASS", worst=0.25, worst_prob=None,
             outputs=1, mismatched=0, note="")
SPAN = dict(median=1e-3, low=0.99e-3, high=1.01e-3)
BENCH = dict(type="bench", backend="cpu", name="P", arch="x", op="q4k_matvec", kernel="k", case="q4k_matvec m=4096 k=14336 n=1", source="cases/bench.case",
             status="VALID", note="", bytes_read=33000000, bytes_written=16384, first_s=5e-3, second_s=1e-3, hot_s=5e-4, bandwidth=33e9, ceiling_bandwidth=40e9,
             steady_s=SPAN, ceiling_s=SPAN, ratio=dict(median=0.825, low=0.82, high=0.83), ceiling="stream", flops=117e9)
POWER = dict(seconds=0.4, clock_low_mhz=1300.0, clock_high_mhz=1531.0, celsius=71.0, samples=40, throttled=3, why="power cap")
PEER = dict(type="peer", peer="ggml 0", how="mul_mat", backend="cpu", name="P", op="q4k_matvec", kernel="k", case="q4k_matvec m=4096 k=14336 n=1", source="cases/bench.case",
            seconds=SPAN, ratio=dict(median=1.75, low=1.7, high=1.8), worst=None, ours_worst=0.001)
SCAN = dict(type="scan", tensor="model.layers.3.mlp.down_proj.weight", file="m.safetensors", stored="BF16", verdict="OVERFLOW", advice="store as bf16", to_inf=1, headroom_bits=-5.6)
ISA = dict(kernel="q4k_matvec_int8_n1", arch="sm_61", registers=61, shared=0, spill=0, threads=128, warps=32, file="f.cu", isa=dict(unit="weight", per_trip="128"),
           hot=dict(instructions=157, counted=157, mix={"int": 72, "convert": 12}, loads={"128": 11}, dots=32, bytes=176))
NUMERICS = dict(type="numerics", backend="cpu", device=0, family="sums", op="linear", kernel="k", accumulator_bits=24.0, order="sequential", integers_wrong=0.0)
done = dict(passed=0, failed=0)


def expect(ok, what):
    done["passed" if ok else "failed"] += 1
    if not ok:
        print("FAILED:", what)


def lines(*rows):
    return "".join(json.dumps(r) + "\n" for r in rows)


def report(folder, files, *options):
    paths = []
    for name, content in files.items():
        path = os.path.join(folder, name)
        with (gzip.open if name.endswith(".gz") else open)(path, "wb") as f:
            f.write(content if isinstance(content, bytes) else content.encode())
        paths.append(path)
    out = os.path.join(folder, "out")
    p = subprocess.run([sys.executable, os.path.join(HERE, "report.py"), "--out", out, *options, *paths], capture_output=True, text=True)
    page = open(os.path.join(out, "report.html")).read() if p.returncode == 0 else ""
    markdown = open(os.path.join(out, "report.md")).read() if p.returncode == 0 else ""
    return p.returncode, p.stderr, page, markdown


def good_report(folder):
    evil = dict(CHECK, kernel="<script>alert(1)</script>", status="FAIL", mismatched=1, note="a | b ` <img src=x>\n# title")
    other = dict(RUN, processor="Q")
    rc, err, page, md = report(folder, {
        "a.jsonl": lines(RUN, DEVICE, CHECK, evil, BENCH, PEER, SCAN, dict(SCAN, tensor="model.layers.3.mlp.up_proj.weight", verdict="OK", headroom_bits=6.5), dict(SCAN, tensor="embed", headroom_bits=None)), "b.jsonl.gz": lines(other, dict(DEVICE, name="Q"), dict(BENCH, name="Q", bandwidth=66e9, watts=125.0, joules=0.125, power=POWER)),
        "isa.json": json.dumps([ISA]), "frame-sound.png": b"\x89PNG\r\n\x1a\n" + bytes(9)})
    expect(rc == 0, err)
    expect("<script" not in page and "&lt;script&gt;" in page and "<img src=x" not in page, "a record's text reached the page as markup")
    expect("<script" not in md and "\n# title" not in md, "a record's text reached the Markdown as markup")
    expect("1 of 2 checks FAILED" in page and "1 of 2 checks FAILED" in md, "the verdict hides a failure")
    expect("33.00" in page and "66.00" in page and "82.5 %" in page, "figures of the two machines")
    expect("125.0" in page and "power cap in 3 of 40" in page and "1300 to 1531" in page, "watts, clocks and why it was held back")
    expect('<td class="n">8.7</td>' in page, "125 W over 66 GB/s and 4.6 GB a token are 8.7 J a token")
    expect('class="h0" title="model.layers.3.mlp.down_proj.weight: OVERFLOW">-5.6<' in page and ">+6.5<" in page and "<th>3</th>" in page, "the map of headroom")
    expect("1.75 x" in page and "1.70 to 1.80" in page and "not finite" in page and "| 1.75 |" in md, "the peer, its interval and its error")
    expect("<b>A</b>: P" in page and "<b>B</b>: Q" in page, "two machines are told apart")
    expect("data:image/png;base64,iVBOR" in page, "the picture is inside")
    expect(page.count("predicted, not measured") > 2, "the label of predictions")
    expect(not re.search(r'(src|href)="(?!#|data:)', page) and "@import" not in page and "url(" not in page.replace("url(#", ""), "the page asks for something outside")
    ids = re.findall(r'\bid="([^"]+)"', page)
    expect(len(ids) == len(set(ids)), "an identifier twice")
    expect(set(re.findall(r'(?:url\(#|href="#)([^")]+)', page)) <= set(ids), "a reference without a target")
    expect("prefers-color-scheme: dark" in page, "dark")


def given_twice(folder):
    """A record counts once: packed, under another name, as a part of another, in either order. Two runs of one second are two."""
    first, clone = lines(RUN, DEVICE, dict(CHECK, seconds=0.125), dict(CHECK, case="linear m=2 k=1", seconds=0.5)), lines(RUN, DEVICE, dict(CHECK, seconds=0.25))
    other = lines(dict(RUN, time="2026-01-01T00:00:01Z"), dict(CHECK, seconds=0.125))
    whole = {"a.jsonl": first, "merged.jsonl": other + first}
    for files, checks, says in (({"a.jsonl": first, "b.jsonl.gz": first, "isa.json": json.dumps([ISA]), "again.json": json.dumps([ISA])}, 2, "b.jsonl.gz: its 4 lines"),
                                (whole, 3, "4 of 6 lines of merged.jsonl"), (dict(reversed(whole.items())), 3, "a.jsonl: its 4 lines"),
                                ({"a.jsonl": first, "clone.jsonl": clone}, 3, "2 of 3 lines of clone.jsonl"), ({"a.jsonl": first + other + first}, 3, "4 of 10 lines of a.jsonl"),
                                ({"a.jsonl": first, "other.jsonl": other}, 3, None)):
        rc, err, page, md = report(folder, files)
        expect(rc == 0 and f"{checks} of {checks} checks right" in page and f"{checks} of {checks} checks right" in md, f"{list(files)}: {checks} checks: {err}")
        expect("given twice" not in page + md if says is None else says in page and says in md, f"{list(files)}: the note says so")
    rc, err, page, md = report(folder, {"a.jsonl": first, "b.jsonl.gz": first, "isa.json": json.dumps([ISA]), "again.json": json.dumps([ISA])})
    expect(sorted(os.listdir(os.path.join(folder, "out"))) == sorted(["a.jsonl", "bound.svg", "isa.json", "report.html", "report.md"]), "what was given twice is not copied")
    expect(page.count("<td>q4k_matvec_int8_n1</td>") == 2 and "again.json: the same static analysis" in page, "a static analysis given twice counts once")


def numerics_card(folder):
    narrow = dict(NUMERICS, kernel="thin", accumulator_bits=11.0, integers_wrong=3.0)
    rc, err, page, md = report(folder, {"a.jsonl": lines(RUN, DEVICE, NUMERICS)})
    expect(rc == 0 and "1 of 1 kernels that add" in page and "come out exact" in page and "sequential" in page and "come out exact" in md, "numerics card: " + err)
    rc, err, page, md = report(folder, {"a.jsonl": lines(RUN, DEVICE, NUMERICS, narrow)})
    expect(rc == 0 and "1 of 2 kernels that add" in page and "thin with 11" in page and "inexact from thin" in page, "a narrow accumulator is named: " + err)


def bad_records(folder):
    bad = copy.deepcopy(BENCH)
    bad["ratio"]["low"] = "x"
    for name, content, says in (
            ("empty.jsonl", "", "no 'run' line"), ("text.jsonl", "hello\n", "line 1: not JSON"), ("list.jsonl", "[]\n", "not a JSON object"),
            ("untyped.jsonl", "{}\n", "'type'"), ("headless.jsonl", lines(CHECK), "no 'run' line before"), ("nan.jsonl", '{"type": NaN}\n', "NaN"),
            ("ratio.jsonl", lines(RUN, bad), "'ratio'"), ("negative.jsonl", lines(RUN, dict(BENCH, hot_s=-1)), "not positive"),
            ("number.jsonl", lines(RUN, dict(CHECK, note=7)), "'note'"), ("deep.jsonl", "[" * 100000 + "\n", "line 1"),
            ("long.jsonl", '"' + "x" * (2 << 20), "too long"), ("gz.jsonl.gz", lines(RUN)[:5], "cannot be read"), ("isa.json", "{}", "not what ci/isa.py"),
            ("frame.png", "GIF", "not a PNG")):
        path = os.path.join(folder, name)
        with open(path, "wb") as f:
            f.write(content if isinstance(content, bytes) else content.encode())
        try:
            rec.read_isa(path) if name.endswith(".json") else page_of.pictures([path]) if name.endswith(".png") else rec.read_all([path])
            expect(False, f"{name}: accepted")
        except rec.BadRecord as e:
            expect(says in str(e) and "\n" not in str(e), f"{name}: {e}")
    rc, err, _, _ = report(folder, {"bad.jsonl": lines(RUN) + "{\n"})
    expect(rc == 2 and err.count("\n") == 1 and "bad.jsonl: line 2: not JSON" in err, f"{rc} {err!r}")
    rc, err, _, _ = report(folder, {"ok.jsonl": lines(RUN, CHECK)}, "--out", HERE)
    expect(rc == 2 and "not replaced" in err, "a directory that is no report was replaced")


def projections():
    facts = rec.facts()
    # Tensors of published files, less their norms: 2.012, 4.617, 41.922 GB a token.
    for name, mb in (("Llama 3.2 3B", 2010.8), ("Llama 3.1 8B", 4616.4), ("Llama 3.1 70B", 41916.2)):
        m = next(x for x in facts["models"] if x["name"] == name)
        expect(abs(project.token_bytes(m, facts["formats"]) / 1e6 - mb) < 0.2, f"bytes a token of {name}")
    rows = project.rows([dict(BENCH, machine=0)], [ISA], facts)["Llama 3.1 8B"]
    expect(abs(rows[0]["tokens"] - 33e9 / 4616.3e6) < 0.01 and rows[0]["how"] == "measured", "33 GB/s over 4.6 GB")
    expect(rows[1]["how"] == "predicted, not measured" and abs(rows[1]["limit"] - 346 / 4.6163) < 0.05, "the limit of the data sheet")
    q6 = dict(BENCH, machine=0, op="qblock_matmul", kernel="k6", case="qblock_matmul w=q6_k m=4096 k=14336", bandwidth=BENCH["bandwidth"] / 2)
    slower = project.rows([dict(BENCH, machine=0), q6], [ISA], facts)["Llama 3.1 8B"]
    own = [project.rows([dict(BENCH, machine=0), dict(q6, case=c)], [ISA], facts)["Llama 3.1 8B"][0]["tokens"] for c in (q6["case"] + " n=8", q6["case"].replace("q6_k", "q8_0"))]
    m = next(m for m in facts["models"] if m["name"] == "Llama 3.1 8B")
    six = sum(r * k * facts["formats"][f] * n for r, k, f, n in project.matrices(m) if f == "Q6_K") / project.token_bytes(m, facts["formats"])
    expect(abs(rows[0]["tokens"] / slower[0]["tokens"] - (1 + six)) < 1e-9 and "k6" in slower[0]["source"], "tensors in Q6_K at the rate of Q6_K")
    expect(own == [rows[0]["tokens"]] * 2, "more columns and other formats leave the projection alone")
    mx = dict(q6, case=q6["case"].replace("q6_k", "mxfp4"), kernel="mx")
    wide = dict(BENCH, machine=0, op="linear", kernel="wide", case="linear m=4096 k=14336 n=1 w=bf16 x=f32", bandwidth=30e9)
    both, alone = (project.rows([dict(BENCH, machine=0), *b], [ISA], facts)["gpt-oss-120b"] for b in ([mx, wide], [mx]))
    gb = next(m for m in facts["models"] if m["name"] == "gpt-oss-120b")["gb_of"]
    expect(abs(1 / both[0]["tokens"] - gb["MXFP4"] / 16.5 - gb["BF16"] / 30) < 1e-9 and "mx" in both[0]["source"], "experts at MXFP4's rate, the rest at bf16's")
    expect(all(r["how"] != "measured" for r in alone) and all(r["tokens"] is None for r in alone), "no projection without a rate of each format")
    joules, cost = project.energy_of(500, 0.157, 50)
    expect(joules == 10 and abs(cost - 10e6 / 3.6e6 * 0.157) < 1e-12, "10 J a token are 0.436 $ a million")


def predictions():
    device = rec.facts()["devices"]["sm_61"]
    r = predict.predict(ISA, device)
    expect(r["bound"] == "memory" and abs(r["gbs"] - 240) < 1e-9 and abs(r["per_unit"] - 157 / 128) < 1e-12, "a lean mat-vec is bound by memory")
    slow = copy.deepcopy(ISA)
    slow["hot"]["counted"] = 157 * 20
    expect(predict.predict(slow, device)["bound"] == "issue", "twenty times the instructions: issue")
    idle = dict(copy.deepcopy(ISA), warps=1)
    idle["hot"]["bytes"] = 4
    r = predict.predict(idle, device)
    expect(r["bound"] == "latency" and r["gbs"] < 240, "one warp with one load in flight: latency")


with tempfile.TemporaryDirectory() as d:
    good_report(d)
    numerics_card(d)
with tempfile.TemporaryDirectory() as d:
    given_twice(d)
with tempfile.TemporaryDirectory() as d:
    bad_records(d)
projections()
predictions()
print(f"report: {done['passed']} passed, {done['failed']} failed, 0 skipped")
sys.exit(done["failed"] > 0)
