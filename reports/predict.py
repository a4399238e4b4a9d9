"""The static half: what a GPU kernel would be bound by, from its compiled hot loop and the device's data sheet. Predicted, not measured.

For each unit of work (a weight, an element; the kernel's own isa line says how many one trip of the loop handles) four times are formed,
of the whole device: memory (bytes read from DRAM over the published rate; what is written comes on top), issue (every instruction a slot), convert (conversions, exponentials:
a slower pipe), shared (shared memory and shuffles). The largest is the bound; the others are what is left under it. Latency is no
time but a reserve: how long a load may take before the loads in flight no longer cover the memory's rate (Little's law)."""
from records import groups

LATENCY_NS = 1000  # a load from DRAM under load takes less on both devices: a reserve beyond it hides it


BLOCKED = ("product", "weight-column")  # a multiplication and addition: operands come from shared memory and caches


def unit_bytes(row, per_trip):
    """Bytes that must be read from DRAM for a unit; None where blocking decides. Weights are read once, activations stay in caches."""
    if row["isa"]["unit"] in BLOCKED:
        return None
    if row["isa"]["unit"] == "weight":
        block = next((size for part, size in (("q4k", 0.5625), ("_q6k_", 0.8203125), ("_q80_", 1.0625), ("_mxfp4_", 0.53125)) if part in row["kernel"]), None)
        return block or (4 if "_f32" in row["kernel"] else 2)
    return row["hot"]["bytes"] / per_trip


def wmmas(hot):
    return sum(n for m, n in hot.get("mnemonics", {}).items() if m.startswith("v_wmma"))


def predict(row, device):
    per_trip = float(row["isa"]["per_trip"])
    hot, mix, rates = row["hot"], row["hot"]["mix"], device["rates"]
    clock = device["units"] * device["clock_ghz"]  # of all units, per ns
    matrix = wmmas(hot) if rates["wmma"] else 0
    size = unit_bytes(row, per_trip)
    ns = {
        "memory": (size or 0) / device["memory_gbs_published"],
        "issue": (hot["counted"] - matrix) / per_trip / (clock * rates["issue"]) + (matrix / per_trip / (clock * rates["wmma"]) if matrix else 0),
        "convert": mix.get("convert", 0) / per_trip / (clock * rates["convert"]),
        "shared": mix.get("shared", 0) / per_trip / (clock * rates["shared"]),
    }
    bound = max(ns, key=ns.get)
    resident = row["warps"] * device["units"] * (1 if row["arch"] == "sm_61" else 2)  # a SIMD: two a CU
    flight = resident * 32 * hot["bytes"]
    reserve = flight / device["memory_gbs_published"] if size else None  # bytes / (GB/s) = ns
    if bound == "memory" and reserve is not None and reserve < LATENCY_NS:
        bound = "latency"
    gbs = size / max(ns.values()) if size else None
    if bound == "latency":
        gbs *= reserve / LATENCY_NS
    order = sorted(ns.values())
    return dict(kernel=row["kernel"], file=row["file"], registers=row["registers"], shared=row["shared"] + int(row["isa"].get("shared", 0)),
                warps=row["warps"], occupancy=row["warps"] / device["most_warps"], unit=row["isa"]["unit"], per_unit=hot["counted"] / per_trip,
                bytes=size, mix={k: n for k, n in mix.items() if n and k != "hint"}, bound=bound, ns=ns, gbs=gbs,
                tflops=None if size else 2e-3 / max(ns.values()), share=gbs / device["memory_gbs_published"] if gbs else None, reserve=reserve,
                headroom=order[-1] / order[-2] if order[-2] else None)


def usable(row):
    """A kernel that only writes, or whose count runs over the branches of several types at once, is not predicted."""
    try:
        per_trip = float(row["isa"]["per_trip"])
        size = row["hot"]["bytes"] / per_trip
        return row["hot"]["counted"] > 0 and (row["isa"]["unit"] != "element" or 0 < size <= 8)
    except (KeyError, ValueError, ZeroDivisionError):
        return False


def tables(isa, facts):
    """For each arch of facts.json: the device, and its kernels with an isa line, by source file."""
    out = []
    by_arch = groups([r for r in isa if usable(r)], lambda r: r["arch"])
    for arch, device in facts["devices"].items():
        rows = [predict(r, device) for r in by_arch.get(arch, [])]
        if rows:
            rows.sort(key=lambda r: (r["file"], r["kernel"]))
            bounds = groups(rows, lambda r: r["bound"])
            first = {}
            for r in rows:
                first.setdefault((r["file"], r["bound"]), r)
            out.append(dict(arch=arch, device=device, rows=rows, examples=list(first.values()), bounds={b: len(v) for b, v in sorted(bounds.items(), key=lambda x: -len(x[1]))}))
    return out


def matvec_bandwidth(isa, facts, arch, kernel):
    """GB/s of weights predicted for a one-column kernel, with its name and its bound; None without one."""
    table = next((t for t in tables(isa, facts) if t["arch"] == arch), None)
    rows = [r for r in (table or {"rows": []})["rows"] if r["kernel"] == kernel]
    return (rows[0]["gbs"], rows[0]["kernel"], rows[0]["bound"]) if rows and rows[0]["gbs"] else None
