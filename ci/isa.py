#!/usr/bin/env python3
"""What the compilers made of the kernels, read from the built objects: registers, spills, shared memory, occupancy,
and for the hot loop the instruction mix, load widths and instructions a unit. Nothing here was measured on a GPU.

A kernel says in a comment of its own file what one trip of its hot loop handles, and what must not be lost:

    /* isa: q4k_matvec_int8_n1 unit=weight per_trip=64 cols=1 gate=dot,load128 max=2.0 */

The name may hold stars (q4k_matvec_int8_n*): the line then serves all kernels that match and have no closer one.

    unit=NAME      weight, element, byte: a word for the table
    per_trip=N     units that one thread handles in one trip of the loop *as compiled* (an unrolled loop: all of it)
    cols=N         columns: with gate=dot, 4 * dots / cols must equal per_trip. cols=n: the number that
                   the name ends in, "_n<number>"; other names do not match the line
    max=X          most instructions a unit (sm_61: SASS; gfx: VALU). Exceeded: failure
    gate=dot       the hot loop must contain IDP.4A (sm_61) or v_dot4 (gfx)
    gate=wmma      the hot loop must contain v_wmma (gfx)
    share=X:N      at least N percent of the hot loop's instructions begin with mnemonic X, e.g. share=FFMA:75 (sm_61: of
                   all that issue; gfx: of the VALU's)
    gate=load128   global loads in the hot loop are 128 bit, but for narrow=N (default 0) narrower ones
    loop=none      count the whole kernel (its work is straight-line code)
    shared=BYTES   dynamic shared memory of the launch, for the occupancy

The hot loop is the innermost loop (found by its backward branch) with the most dot (and matrix) instructions, then the most bytes
loaded, then the most instructions. Without any loop it is the whole kernel. B/unit, bytes loaded from global memory a unit, shows
whether per_trip is true: 0.5625 and the activations for Q4_K, the element's size for conversions.

Failures, besides those gates: a spill; a stack frame or scratch in a kernel with an isa line; an int8 mat-vec without a
dot instruction; floating-point instructions in the PTX that leave contraction or flushing open; a v_fma_mixlo_f16 or
v_fma_mixhi_f16 with the literal addend +0 (what clang before LLVM pull request 214544 makes of an fp16 product: -0 becomes
+0); an isa line without a kernel.

usage: ci/isa.py [--device DIR] [--json FILE] [--all]      (--all: gfx1100 in the table too; its gates hold always)
"""
import argparse
import functools
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from glob import glob

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ISA_LINE = re.compile(r"/\*\s*isa:\s*([\w*]+)\s+(.*?)\s*\*/")
PLUS_ZERO_MIX = re.compile(r"v_(?:fma|mad)_mix(?:lo|hi)_f16\b(?:[^,]*,){3} *(?:0|\|0\|)(?![\w.])")
DOT = {"sm_61": re.compile(r"IDP"), "gfx": re.compile(r"v_dot4|v_dot8")}

# ---- what a mnemonic is: first match wins ----
SASS = [
    ("dot", r"IDP"), ("load", r"LDG|LD\.E"), ("store", r"STG|ST\.E|RED|ATOM"), ("local", r"LDL|STL"),
    ("shared", r"LDS|STS|SHFL"), ("const", r"LDC"), ("convert", r"I2F|F2I|F2F|I2I|MUFU"), ("hint", r"DEPBAR|NOP"),
    ("control", r"BRA|SSY|SYNC|BAR|EXIT|PBK|BRK|CAL|RET|MEMBAR|JMP|PCNT|CONT"),
    ("fp32", r"F(ADD|MUL|FMA|SETP|SET|MNMX|SEL|CMP|CHK)"), ("int", r"."),
]
GFX = [
    ("dot", r"v_dot|v_wmma"), ("load", r"(global|flat|buffer)_load"), ("store", r"(global|flat|buffer)_(store|atomic)"),
    ("local", r"scratch_"), ("shared", r"ds_"), ("scalar load", r"s_load|s_buffer_load"),
    ("hint", r"s_delay_alu|s_waitcnt|s_nop|s_clause|s_code_end|s_set_inst_prefetch"),
    ("control", r"s_c?branch|s_endpgm|s_barrier|s_sendmsg"),
    ("convert", r"v_(cvt|exp|log|rcp|rsq|sqrt|sin|cos)"), ("fp32", r"v_\w*_f(16|32|64)"), ("int", r"v_"), ("scalar", r"s_"),
]
VALU = ("dot", "convert", "fp32", "int")  # of gfx, what issues to the vector unit


@functools.cache
def kind_of(arch, mnemonic):
    table = SASS if arch == "sm_61" else GFX
    return next((kind for kind, pattern in table if re.match(pattern, mnemonic)), "other")


def load_bits(arch, mnemonic):
    """Width in bits of a global load, one lane."""
    if arch == "sm_61":
        found = re.search(r"\.(U8|S8|U16|S16|64|128)(\.|$)", mnemonic)
        return int(found.group(1).lstrip("US")) if found else 32
    found = re.search(r"_load_(?:d16_(?:hi_)?)?[a-z]+(\d+)", mnemonic)
    return int(found.group(1)) if found else 32


class Ins:
    def __init__(self, address, mnemonic, target):
        self.address, self.mnemonic, self.target = address, mnemonic, target


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def disassembly(path, *command):
    """Output of a disassembler on the object `path`, kept beside it: the slow part."""
    kept = path + ".dis"
    if not os.path.exists(kept) or os.path.getmtime(kept) < os.path.getmtime(path):
        text = run(*command, path)
        with open(f"{kept}.{os.getpid()}", "w") as out:
            out.write(text)
        os.replace(f"{kept}.{os.getpid()}", kept)
    with open(kept) as kept_text:
        return kept_text.read()


# ---- readers: object -> {symbol: {"ins": [...], "registers": ..., "spill": ..., "stack": ..., "shared": ..., "threads": ...}}
def read_cubin(cuobjdump, cubin, ptx, log):
    kernels = {}
    name = None
    for line in disassembly(cubin, cuobjdump, "-sass").splitlines():
        head = re.match(r"\s*Function : (\w+)", line)
        if head:
            name = head.group(1)
            kernels[name] = {"ins": []}
        ins = re.match(r"\s*/\*([0-9a-f]{4,})\*/\s+\{?\s*(?:@!?P\w+\s+)?([A-Z][\w.]*)([^;}]*)", line)
        if ins and name:
            mnemonic, rest = ins.group(2), ins.group(3)
            target = re.search(r"0x([0-9a-f]+)\s*$", rest.strip()) if mnemonic.startswith(("BRA", "JMP")) else None
            kernels[name]["ins"].append(Ins(int(ins.group(1), 16), mnemonic, int(target.group(1), 16) if target else None))
    usage = run(cuobjdump, "-res-usage", cubin)
    for name, text in re.findall(r"Function (\w+):\s*\n\s*(REG:.*)", usage):
        get = {k: int(v) for k, v in re.findall(r"(\w+):(\d+)", text)}
        kernels[name].update(registers=get["REG"], stack=get["STACK"] + get["LOCAL"], shared=get["SHARED"])
    spills = re.findall(r"Function properties for (\w+)\s*\n.*?(\d+) bytes spill stores, (\d+) bytes spill loads",
                        open(log).read())
    for name, stores, loads in spills:
        if name in kernels:
            kernels[name]["spill"] = int(stores) + int(loads)
    text = open(ptx).read()
    for name, body in re.findall(r"\.entry (\w+)\((.*?)\n\{", text, re.S):
        bound = re.search(r"\.maxntid (\d+)(?:, (\d+))?(?:, (\d+))?", body)
        kernels[name]["threads"] = eval("*".join(n for n in bound.groups() if n)) if bound else 1024
    for kernel in kernels.values():
        while kernel["ins"] and kernel["ins"][-1].mnemonic == "NOP" or is_self_loop(kernel["ins"][-1:]):
            kernel["ins"].pop()  # padding after the end
        kernel.setdefault("spill", sum(8 for i in kernel["ins"] if i.mnemonic.startswith(("LDL", "STL"))))
    return kernels


def is_self_loop(last):
    return bool(last) and last[0].target == last[0].address


def read_hsaco(path, tools):
    kernels = {}
    notes = run(tools["readelf"], "--notes", path)
    for block in notes.split("- .args:")[1:] if "- .args:" in notes else notes.split("  - .")[1:]:
        get = dict(re.findall(r"\.(\w+):\s+(\S+)", block))
        kernels[get["name"]] = {
            "ins": [], "registers": int(get["vgpr_count"]), "sgprs": int(get["sgpr_count"]),
            "spill": int(get["vgpr_spill_count"]) * 4 + int(get["sgpr_spill_count"]) * 4,
            "stack": int(get["private_segment_fixed_size"]), "shared": int(get["group_segment_fixed_size"]),
            "threads": int(get["max_flat_workgroup_size"]), "plus_zero_mixes": 0}
    name = None
    for line in disassembly(path, tools["objdump"], "-d").splitlines():
        head = re.match(r"([0-9a-f]+) <(\w+)>:", line)
        if head:
            name, base = head.group(2), int(head.group(1), 16)
            continue
        ins = re.match(r"\s+([a-z]\w+)(.*?)// ([0-9A-F]+):(.*)", line)
        if not ins or name not in kernels or ins.group(1) == "s_code_end":
            continue
        kernels[name]["plus_zero_mixes"] += bool(PLUS_ZERO_MIX.search(line))
        target = re.search(r"<\w+\+0x([0-9a-f]+)>", ins.group(4)) if "branch" in ins.group(1) else None
        kernels[name]["ins"].append(
            Ins(int(ins.group(3), 16), ins.group(1), base + int(target.group(1), 16) if target else None))
    return kernels


# ---- analysis ----
def innermost_loops(ins):
    ends = {}
    for i in ins:
        if i.target is not None and i.target <= i.address:
            ends[i.target] = max(ends.get(i.target, 0), i.address)
    loops = [(start, end) for start, end in ends.items()]
    inner = [a for a in loops if not any(b != a and a[0] <= b[0] and b[1] <= a[1] for b in loops)]
    return [[i for i in ins if start <= i.address <= end] for start, end in inner]


def summarise(arch, ins):
    kinds = Counter(kind_of(arch, i.mnemonic) for i in ins)
    widths = Counter(load_bits(arch, i.mnemonic) for i in ins if kind_of(arch, i.mnemonic) == "load")
    issued = sum(n for kind, n in kinds.items() if arch == "sm_61" or kind != "hint")
    counted = issued if arch == "sm_61" else sum(kinds[k] for k in VALU)
    dots = sum(1 for i in ins if DOT["sm_61" if arch == "sm_61" else "gfx"].match(i.mnemonic))
    return {"instructions": issued, "counted": counted, "mix": dict(kinds), "loads": dict(widths), "dots": dots,
            "bytes": sum(bits // 8 * n for bits, n in widths.items()), "mnemonics": dict(Counter(i.mnemonic for i in ins))}


def wmmas(part):
    return sum(n for m, n in part["mnemonics"].items() if m.startswith("v_wmma"))


def hot_part(arch, kernel, isa):
    loops = [] if isa.get("loop") == "none" else [summarise(arch, body) for body in innermost_loops(kernel["ins"])]
    if not loops:
        return dict(summarise(arch, kernel["ins"]), loop=False)
    return dict(max(loops, key=lambda s: (s["dots"] + wmmas(s), s["bytes"], s["instructions"])), loop=True)


def round_up(n, step):
    return (n + step - 1) // step * step


def occupancy(arch, kernel, dynamic):
    """Resident warps: (now, most) an SM (sm_61) or a SIMD of a WGP (gfx11), by registers, shared memory and block size.
    sm_61: CUDA occupancy rules for compute capability 6.1. gfx11: 1,536 VGPRs a lane and SIMD in wave32, allocated
    by 24; 16 waves a SIMD; 4 SIMDs and 128 KiB LDS a WGP (LLVM AMDGPUUsage, RDNA 3 ISA)."""
    warps = round_up(kernel["threads"], 32) // 32
    shared = kernel["shared"] + dynamic
    if arch == "sm_61":
        by_registers = 65536 // round_up(max(kernel["registers"], 1) * 32, 256) // 4 * 4 // warps
        blocks = min(by_registers, 64 // warps, 32, 98304 // round_up(shared, 256) if shared else 32)
        return blocks * warps, 64
    a_simd = min(16, 1536 // round_up(max(kernel["registers"], 1), 24))
    groups = min(a_simd * 4 // warps, 32, 131072 // round_up(shared, 1024) if shared else 32)
    return groups * warps / 4, 16


def judge(arch, name, kernel, hot, isa):
    """The failures of one kernel, as text."""
    bad = []
    if kernel["spill"]:
        bad.append(f"spills {kernel['spill']} bytes")
    if isa and kernel["stack"]:
        bad.append(f"uses {kernel['stack']} bytes of stack")
    if kernel.get("plus_zero_mixes"):
        bad.append(f"{kernel['plus_zero_mixes']} v_fma_mixlo/hi_f16 with the addend +0: -0 becomes +0 (bf_apart)")
    gates = [g for g in isa.get("gate", "").split(",") if g]
    for gate in gates:
        if gate not in ("dot", "load128", "wmma"):
            bad.append(f"isa line: unknown gate {gate}")
    whole = summarise(arch, kernel["ins"])
    if "int8" in name and "matvec" in name and not re.search("naive|twin|quant", name):
        if not isa:
            bad.append("an int8 mat-vec without an isa line")
        if not whole["dots"]:
            bad.append("no dot instruction in an int8 mat-vec")
    if not isa:
        return bad
    per_trip = float(isa["per_trip"])
    if "dot" in gates and not hot["dots"]:
        bad.append("no dot instruction in the hot loop")
    if "dot" in gates and "cols" in isa and hot["dots"] * 4 / float(isa["cols"]) != per_trip:
        bad.append(f"per_trip={per_trip:g} but 4 * {hot['dots']} dots / {isa['cols']} columns")
    if "wmma" in gates and not wmmas(hot):
        bad.append("no v_wmma in the hot loop")
    if "share" in isa:
        begins, _, percent = isa["share"].partition(":")
        count = sum(n for m, n in hot["mnemonics"].items() if m.startswith(begins))
        if count * 100 < float(percent) * hot["counted"]:
            bad.append(f"{count} of {hot['counted']} instructions in the hot loop are {begins}, at least {percent} % wanted")
    narrow = sum(n for bits, n in hot["loads"].items() if bits < 128)
    if "load128" in gates and (narrow > int(isa.get("narrow", 0)) or not hot["loads"].get(128)):
        bad.append(f"global loads in the hot loop: {widths_text(hot)}; narrower than 128 bit allowed: {isa.get('narrow', 0)}")
    if "max" in isa and hot["counted"] / per_trip > float(isa["max"]):
        bad.append(f"{hot['counted'] / per_trip:.2f} instructions a {isa['unit']}, at most {isa['max']} allowed")
    return bad


def widths_text(hot):
    return " ".join(f"{n}x{bits}" for bits, n in sorted(hot["loads"].items(), reverse=True)) or "none"


def ptx_failures(path):
    """PTX without .rn may be contracted to FMA by ptxas; .ftz flushes subnormals."""
    text = re.sub(r"//.*", "", open(path).read())
    text = re.sub(r"\b(?:(?:ex2|rcp)\.approx\.ftz|rsqrt\.approx)\.f32\b", "", text)  # accuracy documented, allowed for in the bounds
    bad = sorted(set(re.findall(r"\b(?:add|sub|mul|fma)\.(?:ftz\.)?f32\b|\b\w+(?:\.\w+)*\.ftz(?:\.\w+)*\b|\b\w+\.approx\S*", text)))
    return [f"PTX leaves rounding open: {', '.join(bad)}"] if bad else []


def isa_lines(path):
    lines = {}
    for name, text in ISA_LINE.findall(open(path).read()):
        isa = dict(word.split("=", 1) for word in text.split())
        if "unit" not in isa or "per_trip" not in isa:
            sys.exit(f"{path}: isa line of {name}: unit= and per_trip= are required")
        unknown = set(isa) - {"unit", "per_trip", "cols", "max", "gate", "narrow", "loop", "shared", "share"}
        if unknown:
            sys.exit(f"{path}: isa line of {name}: unknown key {', '.join(sorted(unknown))}")
        lines[name] = isa
    return lines


def isa_of(name, lines):
    """The line of this kernel: its own, or the longest pattern that matches; {} without any."""
    number = re.search(r"_n(\d+)$", name)
    fitting = [p for p in lines if fnmatchcase(name, p) and (number or lines[p].get("cols") != "n")]
    if not fitting:
        return {}
    isa = dict(lines[max(fitting, key=lambda p: (p == name, len(p)))])
    if isa.get("cols") == "n":
        isa["cols"] = number.group(1)
    return isa


def sources():
    for folder, suffix in (("cuda", "cu"), ("hip", "hip")):
        for path in sorted(glob(f"{ROOT}/kernels/{folder}/*.{suffix}")) + sorted(glob(f"{ROOT}/kernels/broken/*.{suffix}")):
            stem = os.path.basename(path).rsplit(".", 1)[0]
            yield folder, path, "broken_" + stem if "/broken/" in path else stem


def objects(device, tools):
    """Calls to make, one an object: each gives (arch, source, {symbol: kernel} or None if not built, failures of the file)."""
    def cuda(path, base, ptx):
        if not tools["cuobjdump"] or not os.path.exists(base + ".cubin"):
            return "sm_61", path, None, []
        return "sm_61", path, read_cubin(tools["cuobjdump"], base + ".cubin", ptx, base + ".ptxas"), ptx_failures(ptx)

    def hip(path, arch, hsaco):
        return arch, path, read_hsaco(hsaco, tools) if os.path.exists(hsaco) else None, []

    for target, path, stem in sources():
        if target == "cuda":
            yield functools.partial(cuda, path, f"{device}/cuda/sm_61/{stem}", f"{device}/cuda/compute_61/{stem}.ptx")
        else:
            for arch in ("gfx1151", "gfx1100"):
                yield functools.partial(hip, path, arch, f"{device}/hip/{arch}/{stem}.hsaco")


def find_tools():
    compilers = dict(line.split(" := ", 1) for line in run(f"{ROOT}/ci/compilers").splitlines() if " := " in line)
    ptxas = compilers.get("PTXAS", "")
    major = re.search(r"\+\+-(\d+)", compilers.get("DEVICE_CXX", "") or "")
    suffix = "-" + major.group(1) if major else ""
    dump = os.path.join(os.path.dirname(ptxas), "cuobjdump") if ptxas else ""
    os.environ["PATH"] = os.path.dirname(ptxas) + ":" + os.environ["PATH"] if ptxas else os.environ["PATH"]
    return {"cuobjdump": dump if os.path.exists(dump) else "", "objdump": "llvm-objdump" + suffix, "readelf": "llvm-readelf" + suffix}


HEAD = f"{'kernel':44} {'regs':>4} {'spill':>5} {'shared':>6} {'warps':>8}  {'loop':>5} {'a unit':>14} {'B/unit':>6}  {'loads':16} mix"


def print_row(name, arch, kernel, hot, isa):
    now, most = occupancy(arch, kernel, int(isa.get("shared", 0)))
    unit = f"{hot['counted'] / float(isa['per_trip']):.2f} {isa['unit']}" if isa else ""
    loaded = f"{hot['bytes'] / float(isa['per_trip']):.2f}" if isa else ""
    mix = ", ".join(f"{n} {kind}" for kind, n in sorted(hot["mix"].items(), key=lambda kv: -kv[1]))
    loop = f"{hot['instructions']}" + ("" if hot["loop"] else "*")
    print(f"{name:44} {kernel['registers']:4} {kernel['spill']:5} {kernel['shared']:6} {now:5g}/{most}"
          f"  {loop:>5} {unit:>14} {loaded:>6}  {widths_text(hot):16} {mix}")


def main():
    args = argparse.ArgumentParser(description="What the compilers made of the kernels.")
    args.add_argument("--device", default=f"{ROOT}/build/device")
    args.add_argument("--json")
    args.add_argument("--all", action="store_true")
    args = args.parse_args()
    rows, failures, skipped, passed, shown = [], [], 0, 0, None
    order = ("sm_61", "gfx1151", "gfx1100")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = sorted(pool.map(lambda one: one(), objects(args.device, find_tools())), key=lambda o: order.index(o[0]))
    for arch, path, kernels, bad_file in found:
        short = os.path.relpath(path, ROOT)
        if kernels is None:
            print(f"{arch}: {short}: not built as machine code, skipped")
            skipped += 1
            continue
        lines = isa_lines(path)
        problems = [f"{short}: {text}" for text in bad_file]
        problems += [f"{short}: {name}: an isa line, but no such kernel" for name in lines
                     if not any(fnmatchcase(kernel, name) for kernel in kernels)]
        for name, kernel in kernels.items():
            isa = isa_of(name, lines)
            hot = hot_part(arch, kernel, isa)
            if shown != arch and (args.all or arch != "gfx1100"):
                print(f"\n{arch}   (warps: resident of most, {'an SM' if arch == 'sm_61' else 'a SIMD'}; loop: instructions in the hot loop,"
                      f" *: no loop, whole kernel; a unit: {'SASS' if arch == 'sm_61' else 'VALU'} instructions)\n{HEAD}")
                shown = arch
            if args.all or arch != "gfx1100":
                print_row(name, arch, kernel, hot, isa)
            bad = judge(arch, name, kernel, hot, isa)
            problems += [f"{short}: {name}: {text}" for text in bad]
            passed += not bad
            row = {k: v for k, v in kernel.items() if k != "ins"}
            rows.append(dict(row, kernel=name, arch=arch, file=short, isa=isa, hot=hot, failures=bad,
                             warps=occupancy(arch, kernel, int(isa.get("shared", 0)))[0]))
        failures += [f"{arch}: {text}" for text in problems]
    if args.json:
        with open(args.json + ".new", "w") as out:
            json.dump(rows, out, indent=1)
        os.replace(args.json + ".new", args.json)
    print()
    for text in failures:
        print("FAIL", text)
    print(f"isa: {passed} passed, {len(failures)} failed, {skipped} skipped")
    return 1 if failures else 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
