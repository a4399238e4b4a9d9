"""Reads blackframe's JSON Lines records. They may come from anywhere, so every field that the report uses is checked here, once."""
import collections
import gzip
import hashlib
import json
import math
import os
import sys

LINE_MOST, FILE_MOST = 1 << 20, 512 << 20

NUMBER = (int, float)
SUMMARY = dict(median=NUMBER, low=NUMBER, high=NUMBER)
# Field -> type; a tuple of types, None among them where null is allowed; a dict for an object.
SHAPES = {
    "run": dict(command=str, version=str, time=str, arguments=[str], system=str, kernel=str, processor=str, cores=int, blas=str),
    "device": dict(backend=str, index=int, name=str, arch=str, object=str, memory=int, cache=int),
    "finding": dict(what=str, why=str, mend=str),
    "refused": dict(backend=str, why=str),
    "check": dict(backend=str, kernel=str, op=str, case=str, source=str, status=str, worst=(*NUMBER, None), worst_prob=(*NUMBER, None),
                  outputs=int, mismatched=int, note=str),
    "twin": dict(backend=str, kernel=str, status=str, mismatched=int),
    "bench": dict(backend=str, name=str, arch=str, op=str, kernel=str, case=str, source=str, status=str, note=str, bytes_read=int, bytes_written=int),
    "timed": dict(first_s=NUMBER, second_s=NUMBER, hot_s=NUMBER, bandwidth=NUMBER, ceiling_bandwidth=NUMBER, steady_s=SUMMARY,
                  ceiling_s=SUMMARY, ratio=SUMMARY, ceiling=str),
    "peer": dict(peer=str, how=str, backend=str, name=str, op=str, kernel=str, case=str, source=str, seconds=SUMMARY, ratio=SUMMARY, worst=(*NUMBER, None),
                 ours_worst=(*NUMBER, None)),
    "powered": dict(watts=NUMBER, joules=NUMBER, power=dict(clock_low_mhz=NUMBER, clock_high_mhz=NUMBER, celsius=NUMBER, samples=int, throttled=int, why=str)),
    "scan": dict(tensor=str, file=str, stored=str, verdict=str, advice=str, to_inf=int),
    "memcpy": dict(bytes=int, bandwidth=NUMBER),
    "failure": dict(id=str, name=str, kind=str, mechanism=str, fix=str, backend=str, verdict=str, input=str, seen=str, why=str, again=str, tables=list),
    "numerics": dict(backend=str, device=int, family=str, kernel=str),
    "trace": dict(chain=str, backend=str, plan=str, ops=int, finite=bool),
    "trace-bisect": dict(chain=str, backend=str, plan=str, size=int, tried=int, sets=[[str]]),
    "scan_summary": dict(file=str, bytes=int),
    "summary": dict(interrupted=bool),
}


class BadRecord(Exception):
    pass


def fits(value, kind):
    if isinstance(kind, dict):
        return isinstance(value, dict) and all(fits(value.get(k), t) for k, t in kind.items())
    if isinstance(kind, list):
        return isinstance(value, list) and all(fits(v, kind[0]) for v in value)
    if isinstance(kind, tuple):
        return any(value is None if k is None else fits(value, k) for k in kind)
    if isinstance(value, bool):
        return kind is bool
    if kind is float and isinstance(value, float) and not math.isfinite(value):
        return False
    return isinstance(value, kind) and not (kind is int and abs(value) > 1 << 62)


def check_row(row, where):
    kind = row.get("type")
    if not isinstance(kind, str):
        raise BadRecord(f"{where}: field 'type' is missing: not a blackframe record")
    shapes = [SHAPES[kind]] if kind in SHAPES else []
    if kind == "bench" and row.get("status") != "NOT TIMED":
        shapes.append(SHAPES["timed"])
        if "watts" in row:
            shapes.append(SHAPES["powered"])
    for shape in shapes:
        for field, want in shape.items():
            if not fits(row.get(field), want):
                raise BadRecord(f"{where}: field '{field}' of '{kind}' is missing or not what blackframe writes")
    if kind == "bench" and row["status"] != "NOT TIMED":
        times = [row["steady_s"]["median"], row["ceiling_s"]["median"], row["hot_s"], row["bandwidth"], row["ceiling_bandwidth"], row["ratio"]["median"]]
        if min(times) <= 0:
            raise BadRecord(f"{where}: a time or a bandwidth of 'bench' is not positive")
    if kind == "failure":
        for t in row["tables"]:
            if not fits(t, dict(head=[str], rows=[[str]])):
                raise BadRecord(f"{where}: field 'tables' of 'failure' is not what blackframe writes")


def refuse_constant(name):
    raise ValueError(f"{name} is no JSON")


def lines_of(path):
    opener = gzip.open if path.endswith(".gz") else open
    total = 0
    try:
        with opener(path, "rb") as f:
            while line := f.readline(LINE_MOST + 1):
                total += len(line)
                if len(line) > LINE_MOST or total > FILE_MOST:
                    raise BadRecord(f"{path}: a line or the file is too long for a record")
                yield line
    except (OSError, EOFError) as e:
        raise BadRecord(f"{path}: cannot be read: {e}") from None


def digest(data):
    return hashlib.blake2b(data, digest_size=16).digest()


class Records:
    """rows: all of them, each with 'machine' (a number), 'run' (a number) and 'record', the file it came from. machines: what a run line
    says of each. kept: the files of which a line was taken. notes: what was left out, in words.

    A line is left out where the same run line (command, arguments, second, machine) stood in an earlier file or earlier in this one,
    with the same line under it: a record given twice, packed and unpacked, alone and as a part of another. Every line of a case holds
    its seconds in full precision, so that two runs which began in the same second do not share one."""

    def __init__(self):
        self.rows, self.machines, self.kept, self.notes = [], [], [], []
        self.seen = {}  # digest of a run line -> its number, the digests of the lines read under it

    def machine_of(self, run):
        key = (run["processor"], run["cores"], run["kernel"])
        for i, m in enumerate(self.machines):
            if (m["processor"], m["cores"], m["kernel"]) == key:
                return i
        self.machines.append(run)
        return len(self.machines) - 1

    def read(self, path):
        machine, run, before, own, again, n = None, None, set(), set(), 0, 0
        for n, line in enumerate(lines_of(path), 1):
            where = f"{path}: line {n}"
            try:
                row = json.loads(line, parse_constant=refuse_constant)
            except (ValueError, RecursionError) as e:
                raise BadRecord(f"{where}: not JSON: {e}") from None
            if not isinstance(row, dict):
                raise BadRecord(f"{where}: not a JSON object")
            check_row(row, where)
            mark = digest(line.strip())
            if row["type"] == "run":
                before.update(own)
                (run, before), own = self.seen.setdefault(mark, (len(self.seen), set())), set()
                machine = self.machine_of(row)
            elif machine is None:
                raise BadRecord(f"{where}: no 'run' line before it: not made by blackframe")
            own.add(mark)
            if mark in before:
                again += 1
                continue
            row.update(machine=machine, run=run, record=os.path.basename(path), line_number=n)
            self.rows.append(row)
        if machine is None:
            raise BadRecord(f"{path}: no 'run' line in it: not made by blackframe")
        before.update(own)
        if again < n:
            self.kept.append(path)
        if again:
            self.note_twice(os.path.basename(path), again, n)

    def note_twice(self, name, again, n):
        if again == n:
            self.notes.append(f"given twice: {name}: its {n} lines had all been read before and are counted once")
        else:
            self.notes.append(f"given twice: {again} of {n} lines of {name} had been read before with the same run and are counted once")

    def of(self, *types):
        return [r for r in self.rows if r["type"] in types]

    def several(self):
        return len(self.machines) > 1

    def label(self, row):
        return chr(ord("A") + row["machine"]) if row["machine"] < 26 else str(row["machine"])


def read_all(paths):
    records = Records()
    for p in paths:
        records.read(p)
    if not records.rows:
        raise BadRecord("no record was given")
    return records


def read_isa(path):
    """What ci/isa.py --json wrote: a list of kernels with registers, loops and mixes."""
    want = dict(kernel=str, arch=str, registers=int, shared=int, spill=int, threads=int, warps=NUMBER, file=str, isa=dict,
                hot=dict(counted=int, instructions=int, mix=dict, loads=dict, bytes=int, dots=int))
    try:
        with (gzip.open if path.endswith(".gz") else open)(path, "rb") as f:
            text = f.read(FILE_MOST + 1)
        rows = json.loads(text, parse_constant=refuse_constant) if len(text) <= FILE_MOST else None
    except (OSError, EOFError, ValueError, RecursionError) as e:
        raise BadRecord(f"{path}: cannot be read: {e}") from None
    if not isinstance(rows, list) or not all(fits(r, want) for r in rows):
        raise BadRecord(f"{path}: not what ci/isa.py --json writes")
    return rows


def read_isas(paths, records):
    """Of all of them, the same analysis once."""
    lists = []
    for path in paths:
        rows = read_isa(path)
        if rows in lists:
            records.notes.append(f"given twice: {os.path.basename(path)}: the same static analysis")
            continue
        lists.append(rows)
        records.kept.append(path)
    return [r for rows in lists for r in rows]


def unique(rows, key):
    return list({key(r): r for r in rows}.values())


def groups(rows, key):
    g = collections.defaultdict(list)
    for r in rows:
        g[key(r)].append(r)
    return g


def facts():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "facts.json"), encoding="utf-8") as f:
        return json.load(f)


def stop(text):
    sys.stderr.write("report.py: " + "".join(c if c.isprintable() else "?" for c in text) + "\n")
    sys.exit(2)
