"""The numerics cards of the report: how each kernel computes, from the records of `blackframe devices --numerics`."""
from records import NUMBER, fits, groups

TITLES = dict(accumulator_bits="sum bits", input_bits="x bits", integers_wrong="integers wrong", subnormal_in="subnormals in",
              subnormal_out="subnormals out", nan="NaN becomes", exp_ulp="exp, worst ulp", rsqrt_ulp="rsqrt, worst ulp")
FAMILIES = dict(sums="Sums of products", conversions="Conversions from fp32", functions="Functions")
NOT_SHOWN = {"type", "backend", "device", "family", "op", "kernel", "variant", "machine", "run", "record", "line_number"}
FP32_BITS = 24


def cell(value):
    return f"{value:.3g}" if isinstance(value, NUMBER) else str(value) if value is not None else "-"


def family(title, rows):
    keys = [k for k in dict.fromkeys(k for r in rows for k in r) if k not in NOT_SHOWN]
    return dict(title=title, head=["kernel"] + [TITLES.get(k, k.replace("_", " ")) for k in keys],
                rows=[[" ".join(filter(None, (r["kernel"], r.get("variant"))))] + [cell(r.get(k)) for k in keys] for r in rows])


def cards(records):
    """One card a device: a sentence with what matters most, and a table for each family of probes."""
    out = []
    for (machine, backend, device), rows in groups(records.of("numerics"), lambda r: (r["machine"], r["backend"], r["device"])).items():
        sums = [r for r in rows if fits(r.get("accumulator_bits"), NUMBER)]
        narrow = [f'{r["kernel"]} with {r["accumulator_bits"]:.0f}' for r in sums if r["accumulator_bits"] < FP32_BITS]
        inexact = [r["kernel"] for r in rows if r.get("integers_wrong")]
        says = [f"{len(sums) - len(narrow)} of {len(sums)} kernels that add do so with {FP32_BITS} bits or more, as fp32 does"]
        if narrow:
            says.append("; ".join(narrow))
        says.append("small integers come out exact" if not inexact else "small integers come out inexact from " + ", ".join(inexact))
        out.append(dict(machine=machine, backend=backend, device=device, summary="; ".join(says) + ".", good=not narrow and not inexact,
                        families=[family(t, g) for f, t in FAMILIES.items() if (g := [r for r in rows if r["family"] == f])]))
    return out
