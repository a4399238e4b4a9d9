"""The top of the page: boxes and at most five answers, in the order in which a person asks: does my GPU compute, is anything wrong, how
fast is it, what overflows, what is not known."""
import tables
from records import unique

GPU = ("cuda", "hip")
SIDE_CAUSES = ("mend the above first", "none needed")  # of findings that follow from another, or explain nothing
CAUSES_MOST, CHAINS_MOST, ANSWERS_MOST = 3, 4, 5


def plural(n, word):
    return f"{n} {word}{'' if n == 1 else 's'}"


def listed(names, most):
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def gpus(records):
    """Every GPU that a record lists: did it run, and did it compute what the probe asks before any kernel (proved)?"""
    proved, ran = set(), set()
    for d in records.of("device"):
        if d.get("proved") is True:
            proved.add((d["machine"], d["backend"], d["index"]))
    for r in records.of("check", "twin", "bench", "failure"):
        if r.get("status", r.get("verdict")) not in ("SKIP", "SKIPPED", "NOT TIMED"):
            ran.add((r["machine"], r["backend"], r["device"] if isinstance(r.get("device"), int) else 0))
    rows = unique([d for d in records.of("device") if d["backend"] in GPU], lambda d: (d["machine"], d["backend"], d["index"]))
    key = lambda d: (d["machine"], d["backend"], d["index"])  # noqa: E731
    return [dict(name=d["name"], ran=key(d) in ran, proved=key(d) in proved) for d in rows]


def causes(records):
    """(why no GPU ran, whether one is there all the same)."""
    found = [f for f in records.of("finding") if f["mend"] not in SIDE_CAUSES]
    unused = [f for f in found if f["what"] not in GPU]  # of a card that is there: what stands in its way
    why = [f'{f["what"]}: {f["why"]}' for f in unused] + [f'{r["backend"]} refused: {r["why"]}' for r in records.of("refused") if r["backend"] in GPU]
    there = bool(why)
    why = why or [f["why"].partition(", and ")[0] for f in found]
    return "; ".join(list(dict.fromkeys(why))[:CAUSES_MOST]), there


def gpu_box(records):
    """(text, good, more)."""
    rows = gpus(records)
    ran = [g for g in rows if g["ran"]]
    if not ran:
        why, there = causes(records)
        if rows:
            return "No GPU ran", False, f"found and not used: {listed([g['name'] for g in rows], 8)}" + (f"; {why}" if why else "")
        return "No GPU ran", False if there else None, why or "no record of blackframe devices says why"
    good = [g["name"] for g in ran if g["proved"]]
    names = ", ".join(f"{good.count(n)} x {n}" if good.count(n) > 1 else n for n in dict.fromkeys(good))
    rest = [f'{g["name"]}: {"ran, and no record says that it was proved" if g["ran"] else "found and not used"}' for g in rows if g["name"] not in good]
    return f'{plural(len(good), "GPU")} ran, proved' if good else "A GPU ran, not proved", True if good and not rest else None, "; ".join(filter(None, [names, *rest]))


def failures_box(fails, records):
    """Green only if all that could run here ran, and showed what it is there to show."""
    rows = fails["rows"]
    lost = [f["id"] for f in rows if "NOT REPRODUCED" in f["cells"]]
    seen = [f for f in rows if "REPRODUCED" in f["cells"] or "MEASURED" in f["cells"]]
    skipped = [f for f in rows if f not in seen and f["id"] not in lost]
    here = {d["backend"] for d in records.of("device")} & set(GPU)
    missed = [f["id"] for f in skipped if here - set(f["tried"])]
    more = []
    if skipped:
        more.append("skipped: " + ", ".join(f'{f["id"]} (needs {f["needs"]})' if f["needs"] else f["id"] for f in skipped))
    if missed:
        more.append(f"not tried on the GPU that is here: {', '.join(missed)}")
    cut = any(s.get("interrupted") is True for s in records.of("summary") if "reproduced" in s)
    if cut:
        more.append("the run was interrupted")
    text = f"{len(seen)} of {len(rows)} documented failures shown" if not lost else f"{', '.join(lost)} did not reproduce"
    return text, False if lost else None if missed or cut else True, "; ".join(more)


def timings_box(timed):
    n = {s: sum(b["status"] == s for b in timed) for s in tables.TIMED}
    text = f'{plural(len(timed), "timing")}: {n["VALID"]} settled, {n["UNSETTLED"]} unsettled, {n["SHORT"]} too short, {n["INVALID"]} above the ceiling'
    good = False if n["INVALID"] else True if n["VALID"] and not n["UNSETTLED"] else None
    return text, good, ("settled: the share of the ceiling is known to 1 % (not: it is within 1 % of the ceiling); unsettled: time was up before; too short: below 20 "
                        "microseconds; above the ceiling: measured wrongly")


def boxes(records, twin_table, fails, scans):
    """[(text, good, more)]; good None: neither good nor bad."""
    checks, benches = records.of("check"), records.of("bench")
    parts = [gpu_box(records)]
    bad = [r for r in checks if r["status"] not in tables.WELL]
    if checks:
        parts.append((f"{len(checks) - len(bad)} of {len(checks)} checks right" if not bad else f"{len(bad)} of {len(checks)} checks FAILED", not bad, ""))
    if twin_table:
        parts.append((f'{twin_table["caught"]} of {twin_table["all"]} broken twins caught', not twin_table["escaped"], ""))
    if fails:
        parts.append(failures_box(fails, records))
    timed = [b for b in benches if b["status"] in tables.TIMED]
    if timed:
        parts.append(timings_box(timed))
    if len(benches) > len(timed):
        parts.append((f"{len(benches) - len(timed)} not timed", False, ""))
    refused = unique(records.of("refused"), lambda r: (r["machine"], r["backend"], r["why"]))
    if refused:
        parts.append((f'{plural(len(refused), "device")} refused', False, ""))
    for m in scans:
        parts.append((f'{m["file"]}: {m["worst"]} of {plural(m["tensors"], "tensor")} without headroom in fp16', None if m["worst"] else True, m["kind"]))
    if not checks and not benches:
        parts.append(("no check and no timing in the records", False, ""))
    return parts


def wrong(checks, twin_table, fails, timed):
    out = []
    bad = [r for r in checks if r["status"] not in tables.WELL]
    if bad:
        out.append(f'{plural(len(bad), "check")} failed: {listed(dict.fromkeys(r["kernel"] + " on " + r["backend"] for r in bad), 3)}')
    if twin_table and twin_table["escaped"]:
        out.append("broken twins not caught: " + listed(twin_table["escaped"], 3))
    lost = [f["id"] for f in fails["rows"] if "NOT REPRODUCED" in f["cells"]] if fails else []
    if lost:
        out.append(f"did not reproduce: {listed(lost, 8)}")
    invalid = [b for b in timed if b["status"] == "INVALID"]
    if invalid:
        out.append(f'{plural(len(invalid), "timing")} above the ceiling, that is, measured wrongly: {listed(dict.fromkeys(b["kernel"] for b in invalid), 3)}')
    return "; ".join(out)


def slowest(timed):
    """Of settled timings alone: an unsettled one may stand where it does by noise."""
    if not timed:
        return "nothing was timed: blackframe bench"
    fair = [b for b in timed if b["status"] in ("VALID", "UNSETTLED") and not b["compute"] and b.get("role", "tuned") == "tuned"]
    rows = [b for b in fair if b["status"] == "VALID"]
    left = f'; {plural(len(fair) - len(rows), "unsettled timing")} left out, a longer --seconds may settle them' if len(fair) > len(rows) else ""
    if not rows:
        return "not known: no timing of a kernel that memory bounds is settled" + left
    b = min(rows, key=lambda b: b["ratio"]["median"])
    lower = min((u for u in fair if u["status"] == "UNSETTLED" and u["ratio"]["high"] < b["ratio"]["median"]), key=lambda u: u["ratio"]["high"], default=None)
    if lower:
        left += f'; lower even so: {lower["kernel"]}, {lower["interval"]}, {lower["short"]}'
    return (f'{b["kernel"]} on {b["backend"]}, {b["name"]}: {b["percent"]} of its ceiling ({b["gbs"]} of {b["ceiling_gbs"]} GB/s), {b["short"]}; the lowest of '
            f'{plural(len(rows), "settled timing")}{left}')


def overflows(traces):
    rows = [t for t in traces if t["half"]]
    if not rows:
        return "no chain was traced: blackframe trace CHAIN --plan fp16 --bisect"
    bad = [f'{t["chain"]}: {t["first"]}, fp32 for {t["must"]}' if t["kinds"] else f'{t["chain"]}: {t["first"]}, what must be fp32: {t["must"]}' for t in rows if t["first"] != "-"]
    fine = dict.fromkeys(t["chain"] for t in rows if t["first"] == "-")
    return "; ".join(bad[:CHAINS_MOST] + ([f"{len(bad) - CHAINS_MOST} more below"] if len(bad) > CHAINS_MOST else [])
                     + ([f"finite to the end: {listed(fine, CHAINS_MOST)}"] if fine else []))


def answers(records, twin_table, fails, timed, traces, missing):
    """At most five (question, answer). missing: what was not measured, each in a few words."""
    text, _, more = gpu_box(records)
    out = [("Is the GPU used?", f"No: {more}" if text == "No GPU ran" else f"Yes: {text}: {more}" if text[0].isdigit() else f"{text}: {more}")]
    bad = wrong(records.of("check"), twin_table, fails, timed)
    if bad:
        out.append(("What is wrong?", bad))
    out.append(("Which kernel is furthest below its ceiling?", slowest(timed)))
    out.append(("What goes wrong first in fp16, and what must be fp32?", overflows(traces)))
    out.append(("What was not measured?", "; ".join(missing) or "all that this report knows was measured"))
    return out[:ANSWERS_MOST]
