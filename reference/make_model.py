#!/usr/bin/env python3
"""Writes a model with Llama's names and a planted overflow, to try `blackframe scan` and `trace` on.

    reference/make_model.py model.safetensors                     two layers of reduced width, 3 MB
    reference/make_model.py model.safetensors --gigabytes 8       layers of Llama 3.1 8B's size, as many as fit
    reference/make_model.py model.safetensors --plant none        nothing planted

Weights are bf16, Gaussian with deviation 1/sqrt(row) (a block of 4 M values, repeated with another offset and sign for each tensor:
statistics as real ones, written as fast as the disk takes them). What --plant can put into the middle layer's down projection:

    value    one weight of 2^16, finite in bf16, infinite in fp16
    row      one row of weights of 24: each is harmless, their sum with activations is not
    tiny     one row of 1e-9: zero in fp16
"""
import argparse
import json
import struct
import sys

try:
    import numpy as np
except ImportError:
    sys.exit(f"make_model.py: {sys.executable} has no numpy: ci/setup installs it, or apt install python3-numpy")

REAL = dict(hidden=4096, inner=14336, heads=32, kv_heads=8, d=128, vocab=128256)
REDUCED = dict(hidden=256, inner=768, heads=4, kv_heads=2, d=64, vocab=512)


def to_bf16(x):
    """fp32 to bf16 bits, to nearest, ties to even."""
    u = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32)
    return ((u + 0x7FFF + ((u >> 16) & 1)) >> 16).astype(np.uint16)


def shapes(s, layers):
    yield "model.embed_tokens.weight", (s["vocab"], s["hidden"])
    q, kv = s["heads"] * s["d"], s["kv_heads"] * s["d"]
    for i in range(layers):
        p = f"model.layers.{i}."
        yield p + "input_layernorm.weight", (s["hidden"],)
        yield p + "self_attn.q_proj.weight", (q, s["hidden"])
        yield p + "self_attn.k_proj.weight", (kv, s["hidden"])
        yield p + "self_attn.v_proj.weight", (kv, s["hidden"])
        yield p + "self_attn.o_proj.weight", (s["hidden"], q)
        yield p + "post_attention_layernorm.weight", (s["hidden"],)
        yield p + "mlp.gate_proj.weight", (s["inner"], s["hidden"])
        yield p + "mlp.up_proj.weight", (s["inner"], s["hidden"])
        yield p + "mlp.down_proj.weight", (s["hidden"], s["inner"])
    yield "model.norm.weight", (s["hidden"],)


def plant(kind, bits, shape):
    """Changes bf16 bits of a weight in place."""
    row = 7 * shape[1]
    if kind == "value":
        bits[row + 3] = to_bf16(np.float32([2.0**16]))[0]
    elif kind == "row":
        bits[row:row + shape[1]] = to_bf16(np.float32([24.0]))[0]
    elif kind == "tiny":
        bits[row:row + shape[1]] = to_bf16(np.float32([1e-9]))[0]


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("out")
    p.add_argument("--gigabytes", type=float, default=0, help="real widths, about this large")
    p.add_argument("--layers", type=int, default=2, help="reduced widths: how many layers")
    p.add_argument("--plant", choices=["value", "row", "tiny", "none"], default="value")
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    size, layers = REDUCED, a.layers
    if a.gigabytes:
        size = REAL
        each = sum(2 * int(np.prod(s)) for n, s in shapes(size, 1) if ".layers." in n)
        rest = sum(2 * int(np.prod(s)) for n, s in shapes(size, 0))
        layers = max(1, round((a.gigabytes * 1e9 - rest) / each))
    tensors, header, at = list(shapes(size, layers)), {}, 0
    for name, shape in tensors:
        n = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + n]}
        at += n
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    victim = f"model.layers.{layers // 2}.mlp.down_proj.weight"
    noise = np.random.default_rng(a.seed).standard_normal(1 << 22, dtype=np.float32)
    drawn = {}
    with open(a.out, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for i, (name, shape) in enumerate(tensors):
            n = int(np.prod(shape))
            if "norm" in name:
                to_bf16(1 + 0.1 * noise[i:i + n]).tofile(f)
                continue
            if shape[-1] not in drawn:
                drawn[shape[-1]] = to_bf16(noise / np.sqrt(shape[-1]))
            bits = np.resize(np.roll(drawn[shape[-1]], 7919 * (i + 1)) ^ (0x8000 if i % 2 else 0), n)
            if name == victim and a.plant != "none":
                plant(a.plant, bits, shape)
            bits.tofile(f)
    print(f"{a.out}: {len(tensors)} tensors, {layers} layers, {8 + len(text) + at} bytes"
          + (f"; planted '{a.plant}' in row 7 of {victim}" if a.plant != "none" else ""))


if __name__ == "__main__":
    sys.exit(main())
