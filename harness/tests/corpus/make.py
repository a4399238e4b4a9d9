#!/usr/bin/env python3
"""Writes the seed inputs of the fuzz targets beside itself: small valid files that reach every branch of the readers."""
import json
import pathlib
import struct

here = pathlib.Path(__file__).parent
U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
PACK = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}


def string(s):
    return struct.pack("<Q", len(s)) + s.encode()


def value(kind, v):
    if kind == STRING:
        return string(v)
    if kind == ARRAY:
        item, items = v
        return struct.pack("<IQ", item, len(items)) + b"".join(value(item, x) for x in items)
    return struct.pack("<" + PACK[kind], v)


def gguf(values=(), tensors=(), version=3, alignment=32):
    """values: (key, kind, value); tensors: (name, type, dims, bytes of data)."""
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(values))
    for key, kind, v in values:
        out += string(key) + struct.pack("<I", kind) + value(kind, v)
    data = b""
    for name, kind, dims, size in tensors:
        out += string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, len(data))
        data += bytes((i * 37 + 11) & 255 for i in range(size))
        data += bytes(-len(data) % alignment)
    return out + bytes(-len(out) % alignment) + data if tensors else out


def npy(descr, shape, data, version=1, order="False"):
    text = f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}"
    start = 10 if version == 1 else 12
    text += " " * (-(start + len(text) + 1) % 64) + "\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text.encode() + data


def safetensors(header, data=b""):
    text = header if isinstance(header, str) else json.dumps(header, separators=(",", ":"))
    return struct.pack("<Q", len(text)) + text.encode() + data


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


GGUF = {
    "empty_v3": gguf(),
    "empty_v2": gguf(version=2),
    "kinds": gguf([("a.u8", U8, 255), ("a.i8", I8, -1), ("a.u16", U16, 65535), ("a.i16", I16, -2), ("a.u32", U32, 7),
                   ("a.i32", I32, -7), ("a.f32", F32, 1.5), ("a.bool", BOOL, 1), ("a.string", STRING, "text"),
                   ("a.u64", U64, 1 << 63), ("a.i64", I64, -1 << 63), ("a.f64", F64, 0.1)]),
    "arrays": gguf([("b.strings", ARRAY, (STRING, ["x", "", "yz"])), ("b.numbers", ARRAY, (F32, [1, 2, 3])),
                    ("b.bools", ARRAY, (BOOL, [0, 1])), ("b.none", ARRAY, (U64, [])),
                    ("b.nested", ARRAY, (ARRAY, [(U8, [1, 2]), (STRING, ["in"]), (ARRAY, [(I16, [-1])])]))]),
    "too_deep": gguf([("b.deep", ARRAY, (ARRAY, [(ARRAY, [(ARRAY, [(ARRAY, [(U8, [1])])])])]))]),
    "tensors": gguf([("general.architecture", STRING, "none")],
                    [("w", 12, [256, 2], 288), ("x", 0, [4], 16), ("s", 28, [], 8), ("e", 0, [0], 0)]),
    "aligned64": gguf([("general.alignment", U32, 64)], [("p", 1, [3, 2], 12), ("q", 30, [2], 4)], alignment=64),
    "huge_count": gguf([("b.many", ARRAY, (U64, [5]))]).replace(struct.pack("<QQ", 1, 5), struct.pack("<QQ", 1 << 61, 5)),
    "huge_dims": gguf(tensors=[("w", 0, [1 << 32, 1 << 32], 0), ("x", 28, [1 << 61], 0)]),
    "unknown": gguf(tensors=[("new", 99, [64], 24), ("old", 4, [32], 20)]),
}
NPY = {
    "f4": npy("<f4", "(3, 2)", bytes(range(24))),
    "u1": npy("|u1", "(5,)", bytes(5)),
    "scalar": npy("<i8", "()", bytes(8)),
    "v2": npy("<u2", "(1, 0, 4)", b"", version=2),
    "v3": npy("<f2", "(2,)", bytes(4), version=3),
    "fortran": npy("=f8", "(1,)", bytes(8), order="True"),
    "rank8": npy("<i4", "(1, 1, 1, 1, 1, 1, 1, 1)", bytes(4)),
}
CASE = {
    "matvec": "# mat-vec\nq4k_matvec m=8 k=256,2^9 n=1,8 x=f32,bf16 fill=gauss,outlier seed=1,2\n",
    "convert": "convert n=65536 from=bf16 to=f32 fill=all16\r\nconvert n=7 from=f32 to=f16 saturate=1 count=1 # tail\n",
    "dequant": "q4k_dequant m=3 k=256 to=f16 witness=dsc-fp16 kernel=*_vec tier=full expect=zeros fill=zeros\n",
    "stream": "\n\tstream n=2^20 mode=copy,read,write,triad store=plain seed=18446744073709551615\n",
    "scale": "q4k_matvec m=1 k=256 w=q4_k scale=2^-24,0x1p3,1e2,.5,-0,.33333333333333331,5e-324 seed=2^63\n",
    "many": "q4k_matvec k=256 m=" + ",".join(map(str, range(1, 99))) + " seed=" + ",".join(map(str, range(99)))
            + " n=1,2,3,4,5,6,7,8 x=f32,f16\n",
    "long": "convert n=1 from=f32 to=f16 kernel=" + "a" * 4040 + " fill=outlier seed=10000000000\n",
    "scales": "q4k_matvec m=1 k=256 scale=1e999\nq4k_matvec m=1 k=256 scale=x\nq4k_matvec m=1 k=256 scale=2^-1075\n",
    "wrong": "q4k_matvec m=1 k=300\nq4_matvec m=1\nconvert n=1,,2\n",
}
SAFETENSORS = {
    "empty": safetensors("{}   "),
    "types": safetensors({"__metadata__": {"format": "pt"}, "w": tensor("BF16", [3, 2], 0, 12), "s": tensor("F64", [], 12, 20),
                          "none": tensor("F32", [4, 0], 20, 20), "b": tensor("BOOL", [3], 20, 23)}, bytes(23)),
    "order": safetensors({"b": tensor("F16", [2], 4, 8), "a": tensor("F32", [1], 0, 4), "c": tensor("F8_E4M3", [1, 1, 1], 8, 9)}, bytes(9)),
    "hole": safetensors({"a": tensor("U8", [1], 1, 2)}, bytes(2)),
    "overlap": safetensors({"a": tensor("I16", [2], 0, 4), "b": tensor("I16", [1], 2, 4)}, bytes(4)),
    "huge": safetensors({"a": tensor("I64", [1 << 32, 1 << 31, 2], 0, 0)}),
    "escapes": safetensors(r'{"a\n\u001b":{"dtype":"Q9","shape":[1],"data_offsets":[0,1]}}', b"x"),
    "deep": safetensors('{"a":' * 40 + "1" + "}" * 40),
}
CHAIN = {
    "block": "chain t depth=2 tokens=4\nsize w=64:32 h=2\ninput x width=w scale=2^3 plant=0,5,1e3\nblock\nnorm n x plus_one=1 weight=0.5,.125\n"
             "linear y n rows=w*2 plant=7,5,0.25@1-2 bias=1 tensor=l.{}.w\nsilu s y\ngelu t y label=G kind=act\nmul m s t\n"
             "linear d m rows=w kind=down\nresidual x x d\nafter\nnorm z x layer=1 weight=none\n",
    "attention": "chain a depth=96 tokens=16 # c\ninput x width=64 fill=outlier\ninput c rows=8 width=32\nblock\nlinear q x rows=64 gguf=blk.{}.q\n"
                 "linear k c rows=32\nlinear v c rows=32\nnorm q q over=16 kind=qk\nattention o q k v heads=4 kv_heads=2 causal=1 window=8 full_every=6\n"
                 "linear g x rows=4\nheadgate o o g heads=4\nmodulate o o shift=1 scale=.5 plant=3,0\ngate o o weight=0,1\nresidual x x o\n",
    "outside": "chain t depth=2 tokens=4\ninput x width=32 plant=3,32,1\nblock\ngelu x x\n",
    "heads": "chain t depth=2 tokens=4\ninput x width=64\ninput k width=48\nblock\nattention x x k k heads=4 kv_heads=3\n",
    "wrong": "chain t depth=2 tokens=4\ninput x width=32\nblock\nlinear x x rows=8\n",
}

# The first byte is the command: 0 check, 1 bench, 2 list, 3 devices, 4 fail, 5 trace, 6 compare, 7 scan.
OPTIONS = {
    "check": "\0--backend=cpu\n--kernel\n*_naive\n--suite\nsmoke\n--tier\nfull\n--seed=7\n--shard=1/2\n-j\nx.json\n--junit=y.xml\n--timeout\n.5\n-P2\n-v",
    "line": "\0convert\nn=4\nfrom=f32\nto=f16\n--seed\n0x10\n--archive=a\n--dump=d",
    "op": "\0norm\n--twins\n--chain\n--exhaustive\n--best\n--require=cpu,cuda\n--cases=.",
    "weights": "\0--weights\nw.gguf\n--tensor=*q*\nq4k_matvec\nn=1,2",
    "bench": "\1--seconds=0.01\n--size\n1e3\n--naive\n--threads=2\nstream\nn=64\nmode=copy",
    "list": "\2--markdown\n--\n-x",
    "devices": "\3--numerics\n--twins\n-k\nlinear*",
    "fail": "\4--list\nA1\nB2",
    "trace": "\5llama\n--plan=fp16\n--set=norm=fp32\n--depth=3\n--real-width\n--size=width=64\n--bisect\n--frame=f\n--input\nx=x.npy\n--weights=m.gguf",
    "compare": "\6a.jsonl,b.jsonl\nc.jsonl\n--threshold=1\n--outputs\n--ulps=4",
    "scan": "\7m.gguf\n--basic\n--amplitude=1e3\n--chain=llama\n--read\n--threads=1",
    "wrong": "\0--tier=slow\n--shard=3/2\n--seed=-1\n--timeout=nan\n--help\n--version\n--usage\n--no-such",
    "nan": "\0--timeout=nan\nnorm",
    "many": "\0" + "\n".join(f"-s{i}" for i in range(70)),
    "words": "\0" + "\n".join(["norm"] * 70),
}
SPEED = {"median": 1.0, "low": 0.5, "high": 2}
TIMING = {"type": "bench", "backend": "cpu", "name": "p", "op": "convert", "kernel": "k", "case": "convert n=4", "source": "a.gguf:t", "status": "VALID",
          "ceiling": "c", "steady_s": SPEED, "ratio": SPEED, "bandwidth": 2.5, "flops": 3}
OUTPUT = {"type": "output", "op": "convert", "case": "convert n=1", "kernel": "k", "path": "", "backend": "cpu", "device": 0, "arch": "a", "status": "PASS", "tensor": "y"}


def fnv(data):
    h = 0xCBF29CE484222325
    for b in data:
        h = (h ^ b) * 0x100000001B3 % 2**64
    return f"{h:016x}"


def output(dtype, shape, data, **more):
    return {**OUTPUT, "dtype": dtype, "shape": shape, "hash": fnv(data), "values": data.hex(), **more}


def lines(*rows):
    return "".join(json.dumps(r, separators=(",", ":")) + "\n" for r in rows)


RECORD = {
    "timings": lines({"type": "run"}, TIMING, {**TIMING, "kernel": "l", "status": "INVALID"}, {**TIMING, "kernel": "m", "status": "NOT TIMED"}, TIMING),
    "short": lines({**TIMING, "status": "SHORT", "flops": 1e300, "bandwidth": 1e-300}, {**TIMING, "status": "UNSETTLED", "steady_s": {**SPEED, "high": 1e308}}),
    "floats": lines(output("f16", [2], bytes.fromhex("003c007e")), output("f16", [2], bytes.fromhex("013c017c")), output("f32", [1], bytes(4)),
                    output("f32", [], bytes.fromhex("00000080"), of="t")),
    "integers": lines(output("i8", [3], b"\x80\0\x7f"), output("i8", [1, 3], b"\x7f\1\x80"), output("u64", [1], b"\xff" * 8), output("u64", [1], bytes(8))),
    "empty": lines(output("f32", [0, 4], b""), {**OUTPUT, "dtype": "f64", "shape": [1 << 20, 1 << 30], "hash": "0" * 16}),
    "rank": lines({**OUTPUT, "dtype": "f16", "shape": [1, 1, 1, 1, 1], "hash": fnv(b"\0\0"), "values": "0000"}),
    "wrong": lines({**TIMING, "ratio": 1}, {"type": "output"}) + "[]\n{",
}

for folder, files in (("gguf", GGUF), ("npy", NPY), ("case", CASE), ("safetensors", SAFETENSORS), ("chain", CHAIN), ("options", OPTIONS), ("record", RECORD)):
    (here / folder).mkdir(exist_ok=True)
    for name, data in files.items():
        (here / folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
