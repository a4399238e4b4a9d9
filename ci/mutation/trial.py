"""Builds one mutant and runs what should notice it."""
import fcntl
import glob
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

OPS = ("attention", "convert", "conv", "linear", "norm", "q4k_dequant", "q4k_matmul", "q4k_matvec", "qblock", "stream")
WORDS = {"qblock": ["qblock_dequant", "qblock_matmul"]}
BACKEND = {".cu": "simt-cuda", ".hip": "simt-hip", ".c": "cpu"}
# Where the unit tests of a file are; all of HEAVY beside them when nothing else notices.
HEAVY = "compare ops reference fill runner dtype q4k_matmul linear attention conv norm cpu_kernels cuda_kernels hip_kernels numerics"
CPU_ENV = {"OPENBLAS_NUM_THREADS": "1"}


def run(words, limit, cwd=None, env=None, out=None):
    """(exit status, output); a run over its limit has the status "timeout". Its children die with it."""
    def child():
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    p = subprocess.Popen(words, cwd=cwd, env={**os.environ, **CPU_ENV, **(env or {})}, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, preexec_fn=child, text=True, errors="replace")
    try:
        text, _ = p.communicate(timeout=limit)
        return p.returncode, text
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGKILL)
        text, _ = p.communicate()
        return "timeout", text


class Build:
    """The commands that the Makefile would use, applied to a copy of the sources."""

    def __init__(self, root, base, work):
        self.root, self.base, self.work = Path(root), Path(base), Path(work)
        none = "build/mutants/none"
        text = subprocess.run(["make", "-n", "V=1", f"B={none}", f"{none}/blackframe", f"{none}/tests"], cwd=root, check=True,
                              capture_output=True, text=True).stdout
        text = text.replace("\\\n", " ")
        self.compile, self.link = {}, {}
        for line in text.splitlines():
            words = line.split()
            if "-o" not in words or line.startswith((" ", "@")):
                continue
            out = words[words.index("-o") + 1]
            if out.startswith(none + "/obj/") and "-c" in words:
                self.compile[words[-1]] = (words, out)
            elif out in (f"{none}/blackframe", f"{none}/tests"):
                self.link[Path(out).name] = words
        assert self.compile and len(self.link) == 2, "make -n shows no commands"
        self.none = none
        self.tree = self.work / "tree"
        shutil.rmtree(self.tree, ignore_errors=True)
        self.tree.mkdir(parents=True)
        for d in ("kernels", "harness", "reference"):
            shutil.copytree(self.root / d, self.tree / d)
        for d in (".toolchain", "cases", "build"):
            if (self.root / d).exists():
                (self.tree / d).symlink_to((self.root / d).resolve())
        self.units = self.dependants()
        # What is known of sound units, by the unit and the hash of its object in the build.
        self.store = self.work.parent / "sound"
        self.store.mkdir(exist_ok=True)

    def dependants(self):
        """source file -> translation units that include it, from the dependency files of the build."""
        units = {}
        for unit in self.compile:
            d = self.base / "obj" / (unit + ".d")
            for candidate in (d, self.base / "obj" / (unit + ".o").replace(".o", ".d")):
                if candidate.exists():
                    text = candidate.read_text().split(":", 1)[1].split("\n\n")[0]
                    for f in text.replace("\\\n", " ").split("\n")[0].split():
                        units.setdefault(os.path.normpath(f), []).append(unit)
                    break
        return units

    def object(self, unit, to, more=(), cwd=None):
        """Compiles a unit of the tree as it stands. None, or what the compiler says."""
        words, out = self.compile[unit]
        words = [str(to) if w == out else w.replace(self.none, "build") for w in words if w not in ("-MMD", "-MP", "-Wall", "-Wextra")]
        status, text = run(words[:-1] + ["-g0", "-w", *more] + words[-1:], 180, cwd=cwd or self.tree)
        return None if status == 0 else text or str(status)

    def remember(self, what, unit, make):
        """make(), once for a unit as it is."""
        data = (self.base / "obj" / (unit + ".o")).read_bytes()
        suites = b"".join(Path(f).read_bytes() for f in sorted(glob.glob(str(self.root / "cases/*.case"))) + [str(Path(__file__).parent / name) for name in ("wide.case", "wider.case")])
        file = self.store / hashlib.sha1(f"{what} {unit}".encode() + data + (suites if what != "object" else b"")).hexdigest()
        if not file.exists():
            value = make()
            scratch = Path(f"{file}.{os.getpid()}")
            scratch.write_text(json.dumps(value))
            scratch.rename(file)
        return json.loads(file.read_text())

    def sound_hash(self, unit):
        def make():
            to = self.work / "sound.o"
            problem = self.object(unit, to, cwd=self.root)
            assert not problem, problem
            return hashlib.sha1(to.read_bytes()).hexdigest()
        return self.remember("object", unit, make)

    def program(self, name, unit, obj, to, base=None, more=()):
        """Links the command or the tests; the mutated object comes first, so that its copies of inline functions count."""
        base = base or self.base
        words = []
        for w in self.link[name]:
            if w == f"{self.none}/obj/{unit}.o":
                continue
            words.append(str(to) if w == f"{self.none}/{name}" else w.replace(self.none, str(base)))
        at = words.index(str(to)) + 1
        lld = ["-fuse-ld=lld"] if shutil.which("ld.lld") else []
        status, text = run(words[:at] + [str(obj)] + words[at:] + lld + ["-Wl,-S", *more], 180, cwd=self.root)
        assert status == 0, text
        return to


def op_of(unit):
    stem = Path(unit).stem
    return max((op for op in OPS if stem.startswith(op)), key=len, default=None)


class Trial:
    """One worker."""

    def __init__(self, root, base, work, quiet=None, deep=True, without=()):
        self.b = Build(root, base, work)
        self.root, self.work, self.quiet, self.deep, self.without = Path(root), Path(work), quiet, deep, set(without)
        names = run([str(Path(base) / "blackframe"), "list"], 60, cwd=root)[1]
        self.names = set(re.findall(r"^\s+((?:cpu|cuda|hip)   *[a-z]\w+)  +(?:naive|tuned)", names, re.M))
        self.names = {tuple(n.split()) for n in self.names}
        self.kernels_of_unit, self.end = {}, float("inf")

    # ---- what notices ----
    def kernels(self, unit):
        if unit not in self.kernels_of_unit:
            data = (self.b.base / "obj" / (unit + ".o")).read_bytes()
            op, target = op_of(unit), BACKEND[Path(unit).suffix].replace("simt-", "")
            self.kernels_of_unit[unit] = sorted({s.decode() for s in re.findall(rb"(?<=\0)[a-z][a-z0-9_]+(?=\0)", data)
                                                 if s.decode().startswith(op) and (target, s.decode()) in self.names})
            assert self.kernels_of_unit[unit], f"{unit}: no kernel of `blackframe list` is in its object"
        return self.kernels_of_unit[unit]

    def check(self, program, op, unit, *more, env=None, timeout=10, limit=300):
        backend = BACKEND[Path(unit).suffix]
        words = [str(program), "check", "--fail-fast", "--parallel", "1", "--backend", backend, "--timeout", str(timeout), *more]
        op = WORDS.get(op, [op])
        target = backend.replace("simt-", "")
        every = {k for t, k in self.names if t == target and k.startswith(op_of(unit) + "_")}
        kernels = [None] if every == set(self.kernels(unit)) else self.kernels(unit)
        for k in kernels:
            status, text = run(words + (["--kernel", k] if k else []) + op, limit, cwd=self.root, env=env)
            if status == 2 and "nothing was checked" in text:
                continue  # this suite has nothing for this kernel
            assert status not in (2, 3) or "REFUSED" in text or "missing" in text, text
            if status != 0:
                return self.first_words(status, text)
        return None

    @staticmethod
    def first_words(status, text):
        for line in text.splitlines():
            if re.match(r"(FAIL|CRASH|HANG|ERROR|MISTRUSTED|REFUSED)\b", line):
                return line[:160]
        return f"exit status {status}"

    def tests(self, unit, obj, suites, limit=240):
        program = self.b.program("tests", unit, obj, self.work / "tests")
        words = [str(program), "--jobs", "1", "--filter", "@(" + "|".join([*suites, "coverage"]) + ")/*"]  # coverage: what kernels accept
        status, text = run(words, limit, cwd=self.root)
        if status == 0:
            return None
        # Time limits are short on a busy machine: the sound tests must pass right now.
        if run([str(self.b.base / "tests"), *words[1:]], limit, cwd=self.root)[0] != 0:
            return None
        failed = re.search(r"\[\S*FAIL\S*\]\s+(?:\x1b\[[0-9;]*m)*\s*([\w:]+)|(\w+::\w+)", text)
        return f"tests: {(failed[1] or failed[2]) if failed else status}"

    # ---- kernels ----
    def kernel(self, m, units, fast_only=False, skip_fast=False):
        """(status, stage, words). Units that include the file, in an order that depends on the mutant."""
        source = (self.root / m.file).read_text()
        units = sorted(units, key=lambda u: hashlib.sha1((m.id + u).encode()).hexdigest())
        (self.b.tree / m.file).write_text(m.apply(source))
        try:
            for unit in units:
                obj = self.work / "mutant.o"
                words = not skip_fast and self.fast(unit)
                if words:
                    return "killed", "fast", unit, words
                if fast_only:
                    return "pending", "", unit, ""
                problem = self.b.object(unit, obj)
                if problem:
                    return "invalid", "compile", unit, next((w for w in problem.splitlines() if "error" in w), "")[:160]
                if hashlib.sha1(obj.read_bytes()).hexdigest() == self.b.sound_hash(unit):
                    continue
                return self.judge_kernel(m, unit, obj)
            return "equivalent", "object", units[0], "the object code of every unit is the same"
        finally:
            (self.b.tree / m.file).write_text(source)

    def fast(self, unit):
        """Smoke and witness cases without optimisation: most mutants do not live longer. What they say; None where they say nothing."""
        if "fast" in self.without:
            return None
        if self.b.object(unit, self.work / "fast.o", ["-O0"]):
            return None
        for suite in ("smoke", "witness"):
            words = self.fast_check(unit, self.work / "fast.o", suite)
            if words:
                return words if self.b.remember("fast " + suite, unit, lambda: self.sound_fast(unit, suite)) else None
        return None

    def sound_fast(self, unit, suite):
        """Whether the sound unit passes so; otherwise the stage is not for it."""
        obj = self.work / "sound-fast.o"
        return not self.b.object(unit, obj, ["-O0"], cwd=self.root) and not self.fast_check(unit, obj, suite)

    def fast_check(self, unit, obj, suite):
        program = self.b.program("blackframe", unit, obj, self.work / "blackframe-fast")
        return self.check(program, op_of(unit), unit, "--suite", suite, timeout=5 if suite == "smoke" else 10)

    def judge_kernel(self, m, unit, obj):
        op, backend = op_of(unit), BACKEND[Path(unit).suffix]
        program = self.b.program("blackframe", unit, obj, self.work / "blackframe")
        stages = [("smoke", lambda: self.check(program, op, unit, "--suite", "smoke", timeout=3)),
                  ("witness", lambda: self.check(program, op, unit, "--suite", "witness", timeout=5)),
                  ("quick", lambda: self.check(program, op, unit))]
        if backend != "cpu" and m.operator in ("barrier", "index"):
            stages += [("order", lambda: self.check(program, op, unit, env={"BF_SIMT_ORDER": "reverse"})),
                       ("order", lambda: self.check(program, op, unit, env={"BF_SIMT_ORDER": "shuffle"}))]
        stages += [("chain", lambda: self.check(program, op, unit, "--chain"))]
        for name, stage in stages:
            if time.monotonic() > self.end:
                return "pending", name, unit, "out of time"
            words = name not in self.without and stage()
            if words:
                return "killed", name, unit, words
        if time.monotonic() + 15 > self.end:  # the two runs of it are the longest
            return "pending", "differential", unit, "out of time"
        status, words = self.differential(program, op, unit)
        # Bits that never change where it matters: only what watches memory and threads can still tell.
        stages = []
        if m.operator == "barrier" and backend != "cpu":  # the same bits in one order of threads say nothing
            if not self.deep or not (self.root / "build/race/blackframe").exists():
                return "pending", "race", unit, "needs the objects of make racecheck"
            stages += [("race", lambda: self.race(op, unit))]
        if self.deep and m.operator in ("index", "comparison", "mask", "skip last", "constant", "negation") and (self.root / "build/asan/blackframe").exists():
            stages += [("asan", lambda: self.asan(op, unit))]
        if status == "equivalent":  # addresses that no case has: only the unit tests
            stages += [("tests", lambda: self.tests(unit, obj, [op]))]
        if status == "survived":
            vendor = {"cpu": "cpu_kernels", "simt-cuda": "cuda_kernels", "simt-hip": "hip_kernels"}[backend]
            stages += [("tests", lambda: self.tests(unit, obj, [op, vendor]))]
        for name, stage in stages:
            noticed = name not in self.without and stage()
            if noticed:
                return "killed", name, unit, noticed
        return status, "differential" if status == "equivalent" else "", unit, words

    ASAN_ENV = {"ASAN_OPTIONS": "abort_on_error=1:detect_leaks=0", "UBSAN_OPTIONS": "abort_on_error=1"}

    def asan_program(self, unit):
        """The command with this unit of the tree under the sanitizers; None: it does not compile so."""
        obj, base = self.work / "asan.o", self.root / "build/asan"
        lean = ["-O1", "-fno-sanitize=pointer-overflow,alignment,null,object-size"]
        if unit.endswith(".c"):
            lean += ["-mllvm", "-asan-instrumentation-with-call-threshold=0"]
        sane = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
        clang = self.clang()
        words, out = self.b.compile[unit]
        words = [str(obj) if w == out else w.replace(self.b.none, "build") for w in words if w not in ("-MMD", "-MP", "-Wall", "-Wextra")]
        words[0] = clang if unit.endswith(".c") else words[0]
        status, text = run(words[:-1] + ["-w", "-g1", *sane, *lean] + words[-1:], 300, cwd=self.b.tree)
        if status != 0:
            return None
        save, self.b.link["blackframe"] = self.b.link["blackframe"], [clang, *sane, *self.b.link["blackframe"][1:]]
        try:
            return self.b.program("blackframe", unit, obj, self.work / "blackframe-asan", base=base)
        finally:
            self.b.link["blackframe"] = save

    def asan(self, op, unit):
        program = self.asan_program(unit)
        return program and self.check(program, op, unit, env=self.ASAN_ENV, timeout=60, limit=600)

    def checker_asan(self, unit, words):
        program = self.deep and (self.root / "build/asan/blackframe").exists() and self.asan_program(unit)
        if not program:
            return None
        status, text = run([str(program), "check", "--fail-fast", "--parallel", "1", "--timeout", "120", "--backend", "cpu", "--best", *words], 900,
                           cwd=self.root, env=self.ASAN_ENV)
        return None if status == 0 else "sanitizers: " + self.first_words(status, text)

    def race(self, op, unit):
        base = self.root / "build/race"
        if not (base / "blackframe").exists():
            return None
        obj = self.work / "race.o"
        words, out = self.b.compile[unit]
        words = [str(obj) if w == out else w.replace(self.b.none, "build") for w in words if w not in ("-MMD", "-MP", "-Wall", "-Wextra")]
        status, _ = run(words[:-1] + ["-w", "-O1", "-fno-omit-frame-pointer", "-fsanitize=thread"] + words[-1:], 300, cwd=self.b.tree)
        if status != 0:
            return None
        link = [w.replace(self.b.none, str(self.b.base)) for w in self.b.link["blackframe"]]
        done = []
        for w in link:
            rel = w[len(str(self.b.base)) + 1:] if w.startswith(str(self.b.base)) else ""
            raced = base / rel[4:] if rel.startswith("obj/") else None
            if rel == f"obj/{unit}.o":
                done.append(str(obj))
            elif re.match(r"obj/kernels/broken/.*\.(cu|hip)\.o", rel):
                continue
            else:
                done.append(str(raced) if raced and raced.exists() and re.search(r"\.(cu|hip)\.o$", rel) else w)
        at = done.index("-o") + 1
        done[0], done[at] = words[0], str(self.work / "blackframe-race")
        status, text = run(done + ["-fsanitize=thread"], 180, cwd=self.root)
        assert status == 0, text
        # The suites of `make racecheck`, and every third case of the op's own.
        suites = [w for s in ("smoke", "boundary", "kernels/simt/race.case") for w in ("--suite", s)]
        for how in (suites, ["--shard", "1/3"]):
            for way in ("threads", "blocks"):
                words = self.check(done[at], op, unit, *how, env={"BF_SIMT_RACE": way}, timeout=300, limit=580)
                if words:
                    return words
        return None

    def python(self):
        """One that has numpy: a missing module must not pass for something noticed."""
        if not hasattr(self, "_python"):
            self._python = next((p for p in ("python3", "/usr/bin/python3") if run([p, "-c", "import numpy"], 60)[0] == 0), None)
            assert self._python, "no Python with numpy: ci/setup"
        return self._python

    def clang(self):
        if not hasattr(self, "_clang"):
            text = (self.root / "build/device/toolchain.mk").read_text()
            self._clang = re.search(r"^SAN_CC := (.*)$", text, re.M)[1]
        return self._clang

    # ---- the same bits in a million outputs ----
    def differential(self, program, op, unit):
        """(status, words)"""
        sound, _, said = self.b.remember("archive", unit, lambda: self.archive(self.b.base / "blackframe", op, unit))
        assert not said, f"{unit}: sound, but {said}"
        mine, count, said = self.archive(program, op, unit)
        if said:  # the suites do not notice, these cases do: a hole
            return "survived", "wide cases notice: " + said
        differ = [k for k in sound if mine.get(k) != sound[k]]
        if differ:
            return "survived", f"{len(differ)} of {len(sound)} outputs differ, e.g. {differ[0]}"
        if count < 1000000:
            return "survived", f"only {count} outputs compared, all the same"
        return "equivalent", f"{count} outputs bit for bit the same"

    def archive(self, program, op, unit):
        """{case kernel tensor: hash} over the wide cases and the suites, how many outputs those are, what failed."""
        file = self.work / "archive.jsonl"
        got, count = {}, 0
        backend = BACKEND[Path(unit).suffix]
        here = Path(__file__).parent
        for suite in (["--suite", str(here / "wide.case")], [], ["--suite", str(here / "wider.case")]):
            if suite and suite[1].endswith("wider.case") and count >= 1000000:
                break
            for k in self.kernels(unit):
                words = [str(program), "check", "--parallel", "1", "--backend", backend, "--timeout", "60", "--kernel", k, "--archive", str(file), *suite, *WORDS.get(op, [op])]
                status, text = run(words, 900, cwd=self.root)
                if status == 2 and "nothing was checked" in text:
                    continue
                if status != 0:
                    return got, count, self.first_words(status, text)
                for line in open(file):
                    if not line.startswith('{"type":"output"'):
                        continue
                    row = json.loads(re.sub(r',"values":"[0-9a-f]*"', "", line))
                    got[" ".join((row["case"], row["kernel"], row["tensor"]))] = row["hash"]
                    n = 1
                    for d in row["shape"]:
                        n *= d
                    count += n
        return got, count, ""

    # ---- the checker ----
    def checker(self, m, units):
        source = (self.root / m.file).read_text()
        unit = units[0]
        (self.b.tree / m.file).write_text(m.apply(source))
        try:
            obj = self.work / "mutant.o"
            problem = self.b.object(unit, obj)
            if problem:
                return "invalid", "compile", unit, next((w for w in problem.splitlines() if "error" in w), "")[:160]
            if hashlib.sha1(obj.read_bytes()).hexdigest() == self.b.sound_hash(unit):
                return "equivalent", "object", unit, "the object code is the same"
            program = self.b.program("blackframe", unit, obj, self.work / "blackframe")
            for name, stage in self.checker_stages(m, unit, obj, program):
                if name in self.without:
                    continue
                words = stage()
                if words:
                    return "killed", name, unit, words
            return self.same_references(unit, program)
        finally:
            (self.b.tree / m.file).write_text(source)

    @staticmethod
    def checked_ops(unit):
        op = op_of(unit) or ("q4k_matvec" if "q4" in unit else None)
        if "q4" in unit:
            return op, ["q4k_matvec", "q4k_matmul", "q4k_dequant"]
        return op, WORDS.get(op, [op]) if op else []

    def same_references(self, unit, program):
        """(status, stage, unit, words) of a mutant that nothing noticed: references, bounds and verdicts over a million outputs. Only for
        what makes those (references, ops); the judge itself is not seen in them."""
        if not unit.startswith(("reference/", "harness/ops/")):
            return "survived", "", unit, ""
        words = self.checked_ops(unit)[1]
        sound, count = self.b.remember("references " + " ".join(words), unit, lambda: self.references(self.b.base / "blackframe", words))
        mine, _ = self.references(program, words)
        differ = [k for k in sound if mine.get(k) != sound[k]]
        if differ or len(mine) != len(sound):
            return "survived", "", unit, f"{len(differ)} of {len(sound)} references or bounds differ, e.g. {differ[:1]}"
        if count < 1000000:
            return "survived", "", unit, f"only {count} references compared, all the same"
        return "equivalent", "differential", unit, f"{count} references, their bounds and all verdicts bit for bit the same"

    def references(self, program, words):
        """{file or row: hash} of what the wide, hostile and the op's own cases dump, how many references those are."""
        folder, rows, got, count = self.work / "references", self.work / "references.jsonl", {}, 0
        here = Path(__file__).parent
        # Some bounds are those of matrix instructions, which only hip's kernels have.
        for suite in (["--backend", "cpu", "--suite", str(here / "wide.case"), "--suite", str(here / "wider.case"), "--suite", "hostile", "--suite", "smoke"],
                      ["--backend", "cpu"], ["--backend", "simt-hip"]):
            shutil.rmtree(folder, ignore_errors=True)
            status, text = run([str(program), "check", "--parallel", "1", "--best", "--dump", str(folder), "--json", str(rows), *suite, *words],
                               900, cwd=self.root)
            got[f"status {suite}"] = str(status)
            for line in open(rows):
                row = json.loads(line)
                if row["type"] == "check":
                    got[f"{row['case']} {row['kernel']} {suite}"] = json.dumps([row[k] for k in ("status", "worst", "worst_prob", "mismatched", "nan", "inf")])
            for file in sorted(folder.glob("*/*.npy")):
                data = file.read_bytes()
                got[f"{suite} {file.parent.name}/{file.name}"] = hashlib.sha1(data).hexdigest()
                count += (len(data) - 128) // 8 if file.name.startswith("ref-") else 0
        shutil.rmtree(folder, ignore_errors=True)
        return got, count

    def checker_stages(self, m, unit, obj, program):
        op, words = self.checked_ops(unit)

        def check(*more, limit=300):
            status, text = run([str(program), "check", "--fail-fast", "--parallel", "1", "--timeout", "20", *more], limit, cwd=self.root)
            return None if status == 0 else self.first_words(status, text)

        def twins():
            status, text = run([str(program), "check", "--twins", "--parallel", "1", "--timeout", "20", "--backend", "cpu,simt-cuda,simt-hip"], 300, cwd=self.root)
            escaped = re.search(r"^\S+\s+(\S+)\s+\S+\s+(?:ESCAPED|NO WITNESS)", text, re.M)
            return None if status == 0 else f"twin {escaped[1]} escaped" if escaped else f"exit status {status}"

        def numpy():
            dump = self.work / "dump"
            shutil.rmtree(dump, ignore_errors=True)
            dump.mkdir()
            suites = sum((["--suite", s] for s in ("smoke", "boundary", "hostile", "norm")), [])
            status, _ = run([str(program), "check", "--backend", "cpu", *suites, "--dump", str(dump)], 300, cwd=self.root)
            status, text = run([self.python(), "reference/check_dumps.py", str(dump)], 300, cwd=self.root)
            shutil.rmtree(dump, ignore_errors=True)
            return None if status == 0 else "numpy: " + (text.strip().splitlines() or [str(status)])[-1][:120]

        near = [s for s in (op, {"compare": "compare", "fill": "fill", "runner": "runner"}.get(Path(unit).stem)) if s] + ["reference"]
        return [("smoke", lambda: check("--suite", "smoke", "--backend", "cpu", *words)), ("twins", twins),
                ("quick", lambda: check("--backend", "cpu", *words)),
                ("quick", lambda: check("--backend", "simt-cuda,simt-hip", "--suite", "smoke", "--suite", "witness", *words)),
                ("tests", lambda: self.tests(unit, obj, near)), ("numpy", numpy),
                ("all tests", lambda: self.tests(unit, obj, HEAVY.split())), ("asan", lambda: self.checker_asan(unit, words))]
