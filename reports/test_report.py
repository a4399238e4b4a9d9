#!/usr/bin/env python3
"""Tests of the report: it shows what the records say, and refuses records that say nothing. Prints a line like the other parts of the check."""
import contextlib
import copy
import gzip
import io
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
FAILURE = dict(type="failure", id="A2", name="n", kind="numeric", mechanism="mechanism of A2", fix="mend of A2", backend="cpu", verdict="REPRODUCED", input="i", seen="s", why="",
               again="a", tables=[])
SKIPPED = dict(FAILURE, id="A12", mechanism="m", fix="cut where activations are small", verdict="SKIPPED", why="a GPU, two for copies: the rest")
FINDING = dict(type="finding", what="cuda", why="no NVIDIA GPU on the PCI bus, and no driver library", mend="none, if there is no such card")
GPU = dict(DEVICE, backend="cuda", name="Tesla P40", gpu=True, proved=True)
TRACE_RUN = dict(RUN, command="trace", arguments=["--plan", "fp16", "--bisect", "--depth=7", "--weights", "my model.gguf", "--json", "t.jsonl", "gemma"])
AT = dict(block=13, label="ff-add", kind="residual")
TRACE = dict(type="trace", chain="gemma", backend="cpu", plan="fp16", ops=865, finite=False, first_bad=AT, first_lost=AT)
BISECT = dict(type="trace-bisect", chain="gemma", backend="cpu", plan="fp16", size=2, tried=37, sets=[["norm", "residual"], ["norm", "linear"]])
NUMERICS = dict(type="numerics", backend="cpu", device=0, family="sums", op="linear", kernel="k", accumulator_bits=24.0, order="sequential", integers_wrong=0.0)
done = dict(passed=0, failed=0)


def expect(ok, what):
    done["passed" if ok else "failed"] += 1
    if not ok:
        print("FAILED:", what)


def lines(*rows):
    return "".join(json.dumps(r) + "\n" for r in rows)


def written(folder, files):
    paths = []
    for name, content in files.items():
        path = os.path.join(folder, name)
        with (gzip.open if name.endswith(".gz") else open)(path, "wb") as f:
            f.write(content if isinstance(content, bytes) else content.encode())
        paths.append(path)
    return os.path.join(folder, "out"), paths


def read(out):
    with open(os.path.join(out, "report.html")) as page, open(os.path.join(out, "report.md")) as markdown:
        return page.read(), markdown.read()


def report(folder, files, *options):
    """As a user runs it: exit status, error, page, Markdown."""
    out, paths = written(folder, files)
    p = subprocess.run([sys.executable, os.path.join(HERE, "report.py"), "--out", out, *options, *paths], capture_output=True, text=True)
    return p.returncode, p.stderr, *(read(out) if p.returncode == 0 else ("", ""))


def quick(folder, files, pictures=False):
    """The same in this process, and without the plots."""
    out, paths = written(folder, files)
    draw, err = page_of.drawn, io.StringIO()
    page_of.drawn = draw if pictures else lambda *rows: []
    try:
        with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
            page_of.main(["--out", out, *paths])
    except SystemExit as e:
        return e.code, err.getvalue(), "", ""
    finally:
        page_of.drawn = draw
    return 0, "", *read(out)


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
        rc, err, page, md = quick(folder, files)
        expect(rc == 0 and f"{checks} of {checks} checks right" in page and f"{checks} of {checks} checks right" in md, f"{list(files)}: {checks} checks: {err}")
        expect("given twice" not in page + md if says is None else says in page and says in md, f"{list(files)}: the note says so")
    rc, err, page, md = quick(folder, {"a.jsonl": first, "b.jsonl.gz": first, "isa.json": json.dumps([ISA]), "again.json": json.dumps([ISA])})
    expect(sorted(os.listdir(os.path.join(folder, "out"))) == ["a.jsonl", "isa.json", "report.html", "report.md"], "what was given twice is not copied")
    expect(page.count("<td>q4k_matvec_int8_n1</td>") == 2 and "again.json: the same static analysis" in page, "a static analysis given twice counts once")


def box(page, text):
    """(class, what stands below) of the box of the headline that begins with text."""
    hit = re.search(r'<li class="(\w+)">' + re.escape(text) + r"(.*?)</li>", page)
    return (hit.group(1), re.sub("<.*?>", " ", hit.group(2))) if hit else (None, "")


def gpu_first(folder):
    """The first box and the first answer: which GPU ran, or why none did."""
    ran = dict(CHECK, backend="cuda", device=0)
    denied = dict(FINDING, what="/dev/nvidia0", why="no permission: user x may not read and write it", mend="usermod")
    amd = dict(FINDING, what="hip", why="no AMD GPU on the PCI bus")
    for rows, text, kind, below, answer in (
            ([DEVICE, CHECK, FINDING, amd], "No GPU ran", "plain", "no NVIDIA GPU on the PCI bus; no AMD GPU on the PCI bus", "No: no NVIDIA"),
            ([DEVICE, CHECK], "No GPU ran", "plain", "no record of blackframe devices says why", "No: no record"),
            ([DEVICE, CHECK, denied, amd], "No GPU ran", "bad", "/dev/nvidia0: no permission", "No: /dev/nvidia0"),
            ([DEVICE, CHECK, dict(GPU, proved=None)], "No GPU ran", "bad", "found and not used: Tesla P40", "No: found"),
            ([DEVICE, GPU, dict(ran, status="SKIP")], "No GPU ran", "bad", "found and not used: Tesla P40", "No: found"),
            ([DEVICE, GPU, dict(GPU, proved=None), ran, dict(ran, device=[{}])], "1 GPU ran, proved", "good", "Tesla P40", "Yes: 1 GPU ran, proved: Tesla P40"),
            ([DEVICE, GPU, dict(GPU, index=1), ran, dict(ran, device=1)], "2 GPUs ran, proved", "good", "2 x Tesla P40", "Yes: 2 GPUs"),
            ([DEVICE, GPU, dict(GPU, index=1, name="other"), ran], "1 GPU ran, proved", "plain", "other: found and not used", "Yes: 1 GPU"),
            ([DEVICE, dict(GPU, proved=False), ran], "A GPU ran, not proved", "plain", "no record says that it was proved", "A GPU ran, not proved")):
        rc, err, page, md = quick(folder, {"a.jsonl": lines(RUN, *rows)})
        first = re.search(r'<ul class="verdict"><li class="\w+">([^<]*)', page)
        got = box(page, text)
        expect(rc == 0 and first and first.group(1) == text and got[0] == kind and below in got[1], f"{text}, {below}: {got} {err}")
        expect(f"<dt>Is the GPU used?</dt><dd>{answer}" in page and f"- Is the GPU used? {answer}" in md and text in md, f"answer: {answer}")


def headline_words(folder):
    """Timings and failures in words that say what they are; green only where nothing was missed."""
    timings = [BENCH, dict(BENCH, status="UNSETTLED", kernel="u", ratio=dict(median=0.2, low=0.19, high=0.21)), dict(BENCH, status="SHORT", kernel="s", ratio=dict(median=0.01, low=0.01, high=0.01))]
    for rows, text, kind in ((timings, "3 timings: 1 settled, 1 unsettled, 1 too short, 0 above the ceiling", "plain"),
                             ([BENCH], "1 timing: 1 settled, 0 unsettled, 0 too short, 0 above the ceiling", "good"),
                             ([BENCH, dict(BENCH, status="INVALID", kernel="fast")], "2 timings: 1 settled, 0 unsettled, 0 too short, 1 above the ceiling", "bad")):
        rc, err, page, md = quick(folder, {"a.jsonl": lines(RUN, DEVICE, *rows)})
        expect(rc == 0 and box(page, text)[0] == kind and text in md and "within 1 %<" not in page, f"{text}: {box(page, text)} {err}")
    cut = dict(type="summary", reproduced=1, interrupted=True)
    gone = [FAILURE, dict(FAILURE, verdict="NOT REPRODUCED", backend="host")]
    for rows, text, kind, below in (([FAILURE], "1 of 1 documented failures shown", "good", ""), ([FAILURE, SKIPPED], "1 of 2 documented failures shown", "good", "skipped: A12 (needs a GPU, two for copies)"),
                                    ([GPU, FAILURE, SKIPPED], "1 of 2 documented failures shown", "plain", "not tried on the GPU that is here: A12"),
                                    ([GPU, FAILURE, SKIPPED, dict(SKIPPED, backend="cuda")], "1 of 2 documented failures shown", "good", "skipped: A12"),
                                    ([FAILURE, cut], "1 of 1 documented failures shown", "plain", "interrupted"), (gone, "A2 did not reproduce", "bad", "")):
        rc, err, page, md = quick(folder, {"a.jsonl": lines(RUN, DEVICE, *rows)})
        got = box(page, text)
        expect(rc == 0 and got[0] == kind and below in got[1] and below in md, f"{text}, {below}: {got} {err}")


def answers(folder):
    """At most five lines, from the records alone."""
    low = dict(BENCH, kernel="low", ratio=dict(median=0.3, low=0.29, high=0.31))
    noisy = dict(BENCH, kernel="noisy", status="UNSETTLED", ratio=dict(median=0.1, low=0.05, high=0.5))
    lower = dict(BENCH, kernel="lower", status="UNSETTLED", ratio=dict(median=0.1, low=0.05, high=0.15))
    product = dict(BENCH, kernel="product", flops=9 * 33e9 + 1, ratio=dict(median=0.01, low=0.01, high=0.01))
    naive = dict(BENCH, kernel="simple", role="naive", ratio=dict(median=0.02, low=0.02, high=0.02))
    bad = dict(CHECK, kernel="worse", status="FAIL", mismatched=1)
    files = {"a.jsonl": lines(RUN, DEVICE, CHECK, bad, BENCH, low, noisy, product, naive, FAILURE, SKIPPED), "t.jsonl": lines(TRACE_RUN, DEVICE, TRACE, BISECT, dict(TRACE, chain="fine", finite=True, first_bad=None, first_lost=None))}
    rc, err, page, md = quick(folder, files)
    said = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page))
    expect(rc == 0 and len(said) == 5 and page.index("<dl class=") < page.index("<ul class="), f"five answers, first: {list(said)} {err}")
    expect(said["Which kernel is furthest below its ceiling?"].startswith("low on cpu, P: 30.0 % of its ceiling (33.00 of 40.00 GB/s)") and "1 unsettled timing left out" in said["Which kernel is furthest below its ceiling?"]
           and "lower even so" not in page, "the lowest of the settled ones that memory bounds and somebody tuned")
    expect(said["What goes wrong first in fp16, and what must be fp32?"] == "gemma: block 13 ff-add (residual), fp32 for norm, residual; or norm, linear; finite to the end: fine", "the op and the kinds")
    expect(said["What was not measured?"].startswith("any NVIDIA GPU; any AMD GPU; power; static analysis; failures A12") and "1 check failed: worse on cpu" in said["What is wrong?"], "what is missing, what is wrong")
    expect(all(f"- {q} " in md for q in said), "the answers in Markdown")
    rc, err, page, md = quick(folder, {"a.jsonl": lines(RUN, DEVICE, BENCH, lower)})
    expect("lower even so: lower, 5.0 to 15.0 %" in page and "<dt>What is wrong?" not in page and "no chain was traced" in md, "an unsettled one whose whole interval is lower is named: " + err)
    rc, err, page, md = quick(folder, {"a.jsonl": lines(RUN, DEVICE, noisy)})
    expect("not known: no timing of a kernel that memory bounds is settled; 1 unsettled timing" in page, "nothing settled")


def what_to_do(folder):
    """A traced chain: what must be fp32 and the line to run, with the run's own weights and depth. A failure: its mend, in sight."""
    plain = [dict(TRACE_RUN, arguments=["-jt.jsonl", "--set", "gate=fp32", "other.chain"]), dict(TRACE, chain="other", plan="fp16 with gate=fp32")]
    none = [dict(TRACE_RUN, time="2026-01-01T00:00:02Z", arguments=["hard"]), dict(TRACE, chain="hard"), dict(BISECT, chain="hard", size=-1, sets=[])]
    rc, err, page, md = quick(folder, {"t.jsonl": lines(TRACE_RUN, DEVICE, TRACE, BISECT, *plain, *none), "f.jsonl": lines(RUN, FAILURE)})
    text = re.sub("<.*?>", "", page)
    for line in ("blackframe trace gemma --plan fp16 --depth=7 --weights 'my model.gguf' --set norm=fp32 --set residual=fp32", "blackframe trace other.chain --plan fp16 --set gate=fp32 --bisect"):
        expect(rc == 0 and line.replace("'", "&#39;") in text and f"`{line}`" in md, f"{line}: {err}")
    expect("<td>norm, residual; or norm, linear</td>" in page and "<td>not asked</td>" in page and "<td>no set of kinds is enough</td>" in page and "| no set of kinds is enough | - |" in md, "must be fp32")
    seen = re.sub(r"<details>.*?</details>", "", page, flags=re.S)
    expect("mend of A2" in seen and "| A2 | mechanism of A2 | mend of A2 |" in md, "the mend is in the table, not in a fold alone")
    for bad in (dict(BISECT, sets=[["norm"], "x"]), dict(BISECT, sets=None), dict(BISECT, size="2")):
        rc, err, _, _ = quick(folder, {"t.jsonl": lines(TRACE_RUN, TRACE, bad)})
        expect(rc == 2 and err.count("\n") == 1, f"a bisect record that is none: {err!r}")


def pictures_say_unsettled(folder):
    unsettled = dict(BENCH, status="UNSETTLED", case=BENCH["case"] + " x=bf16")
    hatched, strokes = {}, {}
    for name, rows in (("settled", [BENCH]), ("some", [BENCH, unsettled]), ("all", [unsettled])):
        rc, err, page, md = quick(folder, {"a.jsonl": lines(RUN, DEVICE, *rows)}, pictures=True)
        out = os.path.join(folder, "out")
        svg = {f: open(os.path.join(out, f)).read() for f in os.listdir(out) if f.endswith(".svg")}
        shares, points = svg["shares.svg"], next(v for k, v in svg.items() if k.startswith("bandwidth"))
        strokes[name] = shares.partition("<pattern")[2].partition("</pattern>")[0].count("L ")
        hatched[name] = ("<pattern" in shares, "some cases UNSETTLED" in shares, "all cases UNSETTLED" in shares, "every case settled" in shares, "hollow: UNSETTLED" in points)
        expect(rc == 0 and not any(re.search(r'[:"] ?#[0-9a-fA-F]{3}', p) for p in re.findall(r"<svg.*?</svg>", page, re.S)), f"{name}: a colour that does not follow dark: {err}")
    expect(0 == strokes["settled"] < strokes["some"] < strokes["all"], f"some and all look alike: {strokes}")
    expect(hatched == dict(settled=(False, False, False, True, False), some=(True, True, False, False, True), all=(True, False, True, False, True)), f"hatches and their legend: {hatched}")


def which_file(folder):
    """The map of headroom says of what: file, size, command; and whether the file was made to be scanned."""
    run = dict(RUN, command="scan", arguments=["--json", "s.jsonl", "/data/m.safetensors"])
    scan, total = dict(SCAN, file="/data/m.safetensors"), dict(type="scan_summary", file="/data/m.safetensors", bytes=8030000000)
    rc, err, page, md = quick(folder, {"s.jsonl": lines(run, scan, total)})
    for text in (page, md):
        expect(rc == 0 and "m.safetensors" in text and "8.03 GB" in text and "blackframe scan --json s.jsonl /data/m.safetensors" in text and "synthetic" not in text, "which file: " + err)
    made = "synthetic-planted-overflow.safetensors"
    rc, err, page, md = quick(folder, {"s.jsonl": lines(run, dict(scan, file=made), dict(total, file=made))})
    expect(rc == 0 and "a synthetic file" in box(page, made)[1] and page.count("no trained model") == 2 and md.count("no trained model") == 2, "a synthetic file is called one: " + err)
    expect("synthetic-planted-overflow" in open(os.path.join(HERE, "make.sh")).read(), "make.sh scans a file whose name says so")


def projection_words(folder):
    """Each row names the kernels it used; the footnote what was really substituted; a format without a timing is not in this record."""
    q6 = dict(BENCH, op="qblock_matmul", kernel="k6", case="qblock_matmul w=q6_k m=4096 k=14336")
    rc, err, page, md = quick(folder, {"a.jsonl": lines(RUN, DEVICE, BENCH, q6)})
    foot = re.findall(r"Tensors in (\w+) are taken at the rate of Q4_K[^.]*: (.*?)\.(?= [A-Z])", page)
    expect(rc == 0 and [f for f, _ in foot] == ["Q5_K"] and re.findall(r"Llama 3.1 (\w+) on P", foot[0][1]) == ["70B"], f"Q5_K alone is substituted, in the model that has it: {foot} {err}")
    expect("Q4_K: k, 33.0 GB/s; Q6_K: k6, 33.0 GB/s; Q5_K at the rate of Q4_K" in page and "not in this record" in page and "MXFP4 (qblock_matmul w=mxfp4), BF16 (linear w=bf16)" in page, "the rows say it")
    expect("not in this record" in md and "Tensors in Q5\\_K are taken at the rate of Q4\\_K" in md and "decode in MXFP4, BF16" in md, "so does the Markdown")
    rc, err, page, md = quick(folder, {"a.jsonl": lines(RUN, DEVICE, BENCH)})
    expect("Q6_K at the rate of Q4_K" in page and "Tensors in Q6_K are taken" in page and "Tensors in Q6\\_K are taken" in md, "without a timing of Q6_K: substituted, and said: " + err)
    rc, err, page, md = quick(folder, {"a.jsonl": lines(RUN, DEVICE, CHECK)})
    expect(rc == 0 and "are taken at the rate" not in page + md and "not in this record" not in page + md, "nothing timed, nothing substituted: " + err)


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
    wide = dict(BENCH, machine=0, op="linear", kernel="wide", case="linear m=4096 k=14336 tier=bench seed=1", bandwidth=30e9)  # w=bf16 is the default
    half = dict(wide, case="linear m=4096 k=14336 w=f16 tier=bench seed=1")
    expect(project.format_of(wide) == project.format_of(dict(wide, case=wide["case"] + " w=bf16")) == "BF16" and project.format_of(half) is None, "a record leaves out w=bf16")
    both, alone = (project.rows([dict(BENCH, machine=0), *b], [ISA], facts)["gpt-oss-120b"] for b in ([mx, wide], [mx]))
    gb = next(m for m in facts["models"] if m["name"] == "gpt-oss-120b")["gb_of"]
    expect(abs(1 / both[0]["tokens"] - gb["MXFP4"] / 16.5 - gb["BF16"] / 30) < 1e-9 and "mx" in both[0]["source"], "experts at MXFP4's rate, the rest at bf16's")
    expect(all(r["how"] != "measured" for r in alone) and all(r["tokens"] is None for r in alone), "no projection without a rate of each format")
    joules, cost = project.energy_of(500, 0.157, 50)
    expect(joules == 10 and abs(cost - 10e6 / 3.6e6 * 0.157) < 1e-12, "10 J a token are 0.436 $ a million")


def predicted_formats():
    """MXFP4 and bf16 from their own kernels: bytes a weight of MXFP4 are 17 in 32."""
    mx = dict(ISA, kernel="qblock_int8_mxfp4_n1", isa=dict(unit="weight", per_trip="32"), hot=dict(ISA["hot"], counted=90, bytes=60))
    bf = dict(ISA, kernel="linear_vec_bf16_n1", isa=dict(unit="weight", per_trip="64"), hot=dict(ISA["hot"], counted=100, bytes=256))
    facts = rec.facts()
    expect(predict.unit_bytes(mx, 32) == 17 / 32 and predict.unit_bytes(bf, 64) == 2, "bytes a weight")
    both, alone = (project.rows([], isa, facts)["gpt-oss-120b"][0] for isa in ([mx, bf], [mx]))
    expect(abs(both["tokens"] - 240 / both["gb"]) < 1e-9 and "qblock_int8_mxfp4_n1" in both["source"] and "linear_vec_bf16_n1" in both["source"], "both are bound by memory")
    expect(alone["tokens"] is None and "no static analysis of a decode kernel of BF16" in alone["source"], "one of two is no projection")


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
for test in (gpu_first, headline_words, answers, what_to_do, pictures_say_unsettled, which_file, projection_words):
    with tempfile.TemporaryDirectory() as d:
        test(d)
with tempfile.TemporaryDirectory() as d:
    bad_records(d)
projections()
predicted_formats()
predictions()
print(f"report: {done['passed']} passed, {done['failed']} failed, 0 skipped")
sys.exit(done["failed"] > 0)
