"""Records real activations: hooks modules of a PyTorch model, counts what fp16 would lose, and keeps the first tensors beyond a limit
as .npy, for `blackframe trace --input`.

    from recorder import Recorder               # PYTHONPATH=reference; needs numpy, and torch only through the model

    with Recorder(model, "recorded", modules="model.layers.*") as r:
        model(**inputs)
    print(r.summary())

Each hooked module has its inputs and outputs counted in every call:

    values, calls        seen so far
    absmax, rms          of the finite ones (rms in float64)
    over                 finite, magnitude above 65,504, the largest fp16
    nan, inf             not finite

The first call in which a value of a module is not finite or above `limit` in magnitude is kept: the tensors that went in and
those that came out, [tokens][width] with all leading dimensions taken together, fp16 as f2, bf16 widened exactly to f4. At most `most`
modules are kept, in the order in which they went wrong, so the first is the one to look at. In the folder:

    activations.jsonl    a line "excess" when a module first goes beyond the limit (written at once: the process may not live on), with
                         module, call, the tensor ("output", "output[1]", "input[0]", "input[hidden_states]"), the first element
                         at fault, the files, and for trace the options that fit; on close a line "activation" a tensor of each
                         module with its counts. For modules with a matrix `weight` (linear layers) "check" is a case of the same
                         shape and types for `blackframe check`
    <module>.in.npy, <module>.out.npy    the first floating-point tensor that went in and came out

Cost: a copy to the host of every tensor that is looked at; name fewer modules where that is too slow. A hook never changes a value, and a
full disk loses a file, not the run (the line then has "error")."""
import fnmatch
import json
import math
import os
import re
import sys
import threading

import numpy as np

FP16_MAX = 65504.0
CASE_TYPES = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}


def type_name(tensor):
    """"float32", "bfloat16", ...; "" for what is no tensor."""
    return str(getattr(tensor, "dtype", "")).rpartition(".")[2]


def is_floating(tensor):
    return type_name(tensor) in ("float16", "bfloat16", "float32", "float64") and hasattr(tensor, "detach")


def to_numpy(tensor):
    """The values on the host; bf16, which numpy lacks, as fp32."""
    t = tensor.detach().cpu()
    return np.asarray((t.float() if type_name(t) == "bfloat16" else t).numpy())


def floating_tensors(value, name):
    """(name, tensor) of the floating-point tensors in what a module took or gave: a tensor, or tuples, lists, dictionaries of them."""
    if is_floating(value):
        yield name, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from floating_tensors(item, f"{name}[{key}]")
    elif isinstance(value, (tuple, list)):
        for i, item in enumerate(value):
            yield from floating_tensors(item, f"{name}[{i}]")


class Counts:
    """What has been seen of one tensor of one module."""

    def __init__(self):
        self.calls = self.values = self.over = self.nan = self.inf = 0
        self.absmax = self.squares = 0.0
        self.shape, self.dtype = None, None

    def add(self, tensor, values):
        size = np.abs(values.astype(np.float64))
        finite = size[np.isfinite(size)]
        self.calls += 1
        self.values += size.size
        self.nan += int(np.isnan(size).sum())
        self.inf += int(np.isinf(size).sum())
        self.over += int((finite > FP16_MAX).sum())
        self.squares += float(np.square(finite).sum())
        self.absmax = max(self.absmax, float(finite.max(initial=0.0)))
        self.shape, self.dtype = list(values.shape), type_name(tensor)

    def fields(self):
        finite = self.values - self.nan - self.inf
        return dict(calls=self.calls, values=self.values, shape=self.shape, dtype=self.dtype, absmax=self.absmax,
                    rms=math.sqrt(self.squares / finite) if finite else 0.0, over=self.over, nan=self.nan, inf=self.inf)


def as_matrix(values):
    """[tokens][width]."""
    return np.ascontiguousarray(values.reshape(-1, values.shape[-1] if values.ndim else 1))


def write_npy(path, values):
    """Under a temporary name first: a file that is there is whole."""
    with open(path + ".new", "wb") as f:
        np.lib.format.write_array(f, values, allow_pickle=False)
    os.replace(path + ".new", path)


class Recorder:
    """model: a torch.nn.Module. modules: a glob of names, or several ("" is the model itself). limit: a magnitude above it is kept.
    most: modules of which tensors are kept. inputs: count what goes in as well."""

    def __init__(self, model, directory, modules="*", limit=FP16_MAX, most=8, inputs=True):
        globs = [modules] if isinstance(modules, str) else list(modules)
        self.directory, self.limit, self.most, self.inputs = os.fspath(directory), float(limit), most, inputs
        self.counts, self.excess, self.handles, self.calls, self.files = {}, [], [], {}, set()
        self.lock = threading.Lock()  # hooks of replicas run in threads
        chosen = [(name, m) for name, m in model.named_modules() if any(fnmatch.fnmatchcase(name, g) for g in globs)]
        if not chosen:
            raise ValueError(f"no module matches {globs}; the first names are {[n for n, _ in model.named_modules()][:8]}")
        os.makedirs(self.directory, exist_ok=True)
        self.lines = open(os.path.join(self.directory, "activations.jsonl"), "w", encoding="utf-8")
        for name, module in chosen:
            self.handles.append(self.hook(name, module))

    def hook(self, name, module):
        def with_names(m, args, named, out):
            self.see(name, m, {**{str(i): a for i, a in enumerate(args)}, **named}, out)

        try:
            return module.register_forward_hook(with_names, with_kwargs=True)
        except TypeError:  # before torch 2.0: arguments passed by name are not seen
            return module.register_forward_hook(lambda m, args, out: with_names(m, args, {}, out))

    def see(self, name, module, taken, given):
        with self.lock:
            if self.lines is None:
                return
            call = self.calls[name] = self.calls.get(name, 0) + 1
            tensors = list(floating_tensors(taken, "input")) if self.inputs else []
            tensors += floating_tensors(given, "output")
            values = {which: to_numpy(t) for which, t in tensors}
            for which, tensor in tensors:
                self.counts.setdefault((name, which), Counts()).add(tensor, values[which])
            if len(self.excess) >= self.most or any(e["module"] == name for e in self.excess):
                return
            # What came out first: a sound input and a bad output name the module; a bad input names one before it.
            for which in sorted(values, key=lambda w: not w.startswith("output")):
                bad = np.flatnonzero(~(np.abs(values[which].reshape(-1).astype(np.float64)) <= self.limit))
                if bad.size:
                    self.keep(name, module, call, which, int(bad[0]), values)
                    return

    def keep(self, name, module, call, which, first, values):
        matrix = as_matrix(values[which])
        row, column = divmod(first, matrix.shape[1])
        e = dict(type="excess", module=name, kind=module.__class__.__name__, call=call, tensor=which, limit=self.limit, shape=list(values[which].shape),
                 row=row, column=column, value=repr(float(matrix[row, column])), of=self.counts[name, which].dtype)
        for key, side in (("input", "in"), ("output", "out")):
            tensor = next((w for w in values if w.startswith(key)), None)
            if tensor is None:
                continue
            matrix = as_matrix(values[tensor])
            file = self.free_name(name) + f".{side}.npy"
            try:
                write_npy(os.path.join(self.directory, file), matrix)
            except OSError as error:
                e["error"] = str(error)
                continue
            e[key] = file
            if key == "input":
                path = os.path.join(self.directory, file)
                e["trace"] = f"--input x={path} --size tokens={matrix.shape[0]} --size width={matrix.shape[1]}"
        case = self.case(module, name, values)
        if case:
            e["check"] = case
        self.excess.append(e)
        self.write(e)

    def free_name(self, name):
        base = re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip(".") or "model"
        taken = {n: b for b, n in self.files}
        if name not in taken:  # "a/b" and "a_b" are two modules
            unique, i = base, 2
            while any(b == unique for b, _ in self.files):
                unique, i = f"{base}-{i}", i + 1
            self.files.add((unique, name))
            return unique
        return taken[name]

    def case(self, module, name, values):
        """A linear layer as a case of `blackframe check`: its shape and types, activations as large as these."""
        weight = getattr(module, "weight", None)
        into = next((w for w in values if w.startswith("input")), None)
        if not is_floating(weight) or len(weight.shape) != 2 or into is None or values[into].ndim < 1 or values[into].shape[-1] != weight.shape[1]:
            return None
        types = CASE_TYPES.get(type_name(weight)), CASE_TYPES.get(self.counts[name, into].dtype)
        rms = self.counts[name, into].fields()["rms"]
        if None in types or not rms:
            return None
        m, k, n = weight.shape[0], weight.shape[1], as_matrix(values[into]).shape[0]
        return f"linear m={m} k={k} n={n} w={types[0]} x={types[1]} fill=outlier scale=2^{min(126, max(-126, round(math.log2(rms))))}"

    def write(self, line):
        try:
            self.lines.write(json.dumps(line) + "\n")
            self.lines.flush()
        except OSError as error:
            print(f"recorder: {self.lines.name}: {error}", file=sys.stderr)

    def close(self):
        """Removes the hooks and writes the counts. Safe to call twice."""
        with self.lock:
            for handle in self.handles:
                handle.remove()
            self.handles = []
            if self.lines is None:
                return
            for (name, which), c in self.counts.items():
                self.write(dict(type="activation", module=name, tensor=which, **c.fields()))
            try:
                self.lines.close()
            except OSError:
                pass  # said by write
            self.lines = None

    def summary(self):
        """What went wrong first, in a line, and the largest of the rest."""
        if self.excess:
            e = self.excess[0]
            return (f"{e['module'] or 'model'} ({e['kind']}), call {e['call']}: {e['tensor']}[{e['row']}][{e['column']}] = {e['value']}, beyond {e['limit']:g}; "
                    f"{len(self.excess)} modules kept in {self.directory}")
        largest = max(self.counts.items(), key=lambda item: item[1].absmax, default=None)
        return f"nothing beyond {self.limit:g}" + (f"; largest {largest[1].absmax:g} in {largest[0][0] or 'model'}, {largest[0][1]}" if largest else "")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
