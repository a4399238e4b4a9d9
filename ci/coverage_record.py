#!/usr/bin/env python3
"""ci/coverage_record.py [coverage.json]: with llvm-cov's summary, writes reports/coverage.md; without, judges that file against the sources
of today: the same files, no more than a fifth of the lines come or gone, lines above HARNESS_LINES and KERNEL_LINES per cent."""
import datetime
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
REPORT = ROOT / "reports/coverage.md"
LIMITS = {"harness": float(os.environ.get("HARNESS_LINES", 90)), "kernels": float(os.environ.get("KERNEL_LINES", 95))}


def group_of(name):
    if "/tests/" in name or name.startswith("build/"):
        return None
    return "simt" if name.startswith("kernels/simt/") else name.split("/")[0]


def sources():
    """Files that are compiled on the host, or included in what is, with their number of lines."""
    names = subprocess.run(["git", "ls-files", "harness", "kernels", "reference"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    names = [n for n in names if n.endswith((".c", ".cc", ".cu", ".hip")) and group_of(n)]
    return {n: (ROOT / n).read_text().count("\n") for n in names}


def summaries(path):
    """llvm-cov's summary of each file by its path in the tree, wherever the tree was when the object was compiled."""
    files = {}
    for f in json.load(open(path))["data"][0]["files"]:
        name, s = re.sub(r"^.*?/(?=(harness|kernels|reference)/)", "", f["filename"]), f["summary"]
        if name not in files or s["lines"]["covered"] > files[name]["lines"]["covered"]:
            files[name] = s
    return files


def write(path):
    files = summaries(path)
    size, rows, sums = sources(), [], {}
    for name in sorted(files):
        group, lines, branches = group_of(name), files[name]["lines"], files[name]["branches"]
        if not group or not lines["count"]:
            continue
        s = sums.setdefault(group, [0, 0, 0, 0, 0])
        for i, n in enumerate((1, lines["covered"], lines["count"], branches["covered"], branches["count"])):
            s[i] += n
        rows.append(f"| {name} | {size.get(name, 0)} | {lines['covered']} / {lines['count']} | {branches['covered']} / {branches['count']} |")
    text = [
        "# Coverage", "",
        f"`make coverage RECORD=--record`, {datetime.date.today()}: unit tests, all suites, twins, chains and failures on cpu and both simt, the fake",
        "drivers, one short bench; clang's source coverage. Kernels of the GPUs count as they ran through simt. Written by `ci/coverage_record.py`, which also",
        "checks that this file is not stale.", "", "| | files | lines | | branches | |", "|---|---|---|---|---|---|"]
    text += [f"| {g} | {s[0]} | {s[1]} / {s[2]} | {100 * s[1] / s[2]:.1f} % | {s[3]} / {s[4]} | {100 * s[3] / max(1, s[4]):.1f} % |" for g, s in sorted(sums.items())]
    text += ["", "| file | its lines | lines reached | branches taken |", "|---|---|---|---|"] + rows
    left_out = sorted(n for n in size if n not in files or not files[n]["lines"]["count"])
    if left_out:
        text += ["", "Not in the program of the machine that ran this, or without code of their own: " + ", ".join(left_out) + "."]
    REPORT.write_text("\n".join(text) + "\n")


def judge():
    text = REPORT.read_text()
    bad = []
    for group, share in re.findall(r"^\| (\w+) \| \d+ \| \d+ / \d+ \| ([\d.]+) % \|", text, re.M):
        limit = LIMITS.get(group)
        print(f"  {group:10} {share:>5} % of lines" + (f", at least {limit:g} %" if limit else ""))
        if limit and float(share) < limit:
            bad.append(f"{group} below {limit:g} %")
    then = {n: int(lines) for n, lines in re.findall(r"^\| (\S+) \| (\d+) \| \d+ / ", text, re.M)}
    now = sources()
    moved = sum(abs(now.get(n, 0) - then[n]) for n in then if then[n])
    new = [n for n in now if n not in then and n not in text]
    moved += sum(now[n] for n in new)
    share = moved / max(1, sum(then.values()))
    print(f"  {len(new)} files are newer than the record, {moved} of {sum(then.values())} lines came or went ({100 * share:.1f} %): {' '.join(new[:8])}")
    if share > 0.2:
        bad.append("stale: make coverage RECORD=--record")
    for line in bad:
        print("coverage:", line)
    print(f"coverage (recorded): {3 - len(bad)} passed, {len(bad)} failed, 0 skipped")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(write(sys.argv[1]) if len(sys.argv) > 1 else judge())
