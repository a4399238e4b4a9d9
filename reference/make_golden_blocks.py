#!/usr/bin/env python3
"""Writes cases/golden/blocks_golden.gguf and cases/golden/types.safetensors with the formats' own public writers.

    python3 -m venv v && v/bin/pip install gguf safetensors numpy && v/bin/python reference/make_golden_blocks.py cases/golden

GGUF: for every block format a tensor of random bytes with finite scales (edge values of nibbles, scales and signs all occur) and
NAME.dequant, what gguf-py's numpy dequantisation makes of it. safetensors: patterns of every 16-bit value as BF16 and F16, and F32.
"""
import pathlib
import sys

import gguf
import numpy as np
import safetensors
from gguf import GGMLQuantizationType as Q

ROWS, ROW = 3, 512


def scale(rng, n, least, most):
    """fp16 bits of positive and negative numbers from 2^least to 2^most, subnormal ones included."""
    v = np.exp2(rng.uniform(least, most, n)) * rng.choice([-1, 1], n)
    return v.astype(np.float16).view(np.uint8).reshape(n, 2)


def blocks(rng, q):
    elements, size = gguf.GGML_QUANT_SIZES[q]
    n = ROWS * ROW // elements
    b = rng.integers(0, 256, (n, size), dtype=np.uint8)
    if q in (Q.Q4_0, Q.Q8_0):
        b[:, 0:2] = scale(rng, n, -24, 4)
    elif q in (Q.Q4_K, Q.Q5_K):
        b[:, 0:2], b[:, 2:4] = scale(rng, n, -24, 4), scale(rng, n, -24, 4)
    elif q == Q.Q6_K:
        b[:, 208:210] = scale(rng, n, -24, 4)
    elif q == Q.MXFP4:
        b[:, 0] = np.resize(np.r_[0:4, 100:140, 250:255], n)
    return b.reshape(ROWS, -1)


def main():
    out = pathlib.Path(sys.argv[1])
    rng = np.random.default_rng(6)
    w = gguf.GGUFWriter(out / "blocks_golden.gguf", "golden")
    for q in (Q.Q4_0, Q.Q8_0, Q.Q4_K, Q.Q5_K, Q.Q6_K, Q.MXFP4):
        b = blocks(rng, q)
        w.add_tensor(q.name.lower(), b, raw_dtype=q)
        w.add_tensor(q.name.lower() + ".dequant", gguf.quants.dequantize(b, q).astype(np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    every = np.arange(65536, dtype=np.uint16)
    values = {"bf16": ("bfloat16", [256, 256], every), "f16": ("float16", [256, 256], every),
              "f32": ("float32", [2, 3, 5], np.linspace(-3, 3, 30, dtype=np.float32))}
    specs = {n: safetensors.TensorSpec(dtype=t, shape=s, data_ptr=v.ctypes.data, data_len=v.nbytes) for n, (t, s, v) in values.items()}
    data = safetensors.serialize(specs, {"written-by": f"safetensors {safetensors.__version__}"})
    (out / "types.safetensors").write_bytes(bytes(data))
    print("gguf", __import__("importlib.metadata").metadata.version("gguf"), "safetensors", safetensors.__version__)


if __name__ == "__main__":
    sys.exit(main())
