"""Mutations of C and C++ text, one place at a time. Only code counts: comments, strings, preprocessor lines, static assertions and host
plans of GPU kernels (`#if BF_HOST`) are left alone. Lines keep their numbers."""
import hashlib
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    file: str
    line: int      # from 1
    operator: str
    before: str    # the piece that is replaced
    after: str
    column: int    # of the piece, from 0
    text: str      # the line as it is
    copy: int = 0  # which of several equal lines of the file

    @property
    def mutation(self):
        return f"{self.column}:{self.before} => {self.after}"

    @property
    def line_hash(self):
        return hashlib.sha1(self.text.strip().encode()).hexdigest()[:12]

    @property
    def id(self):
        """Stays the same when lines are added elsewhere in the file."""
        key = "|".join((self.file, self.line_hash, str(self.copy), self.operator, self.mutation))
        return hashlib.sha1(key.encode()).hexdigest()[:12]

    def apply(self, source):
        lines = source.split("\n")
        at = lines[self.line - 1]
        assert at == self.text and at[self.column:].startswith(self.before)
        lines[self.line - 1] = at[:self.column] + self.after + at[self.column + len(self.before):]
        return "\n".join(lines)


def blank(source):
    """The text with comments, strings and characters replaced by spaces of the same length."""
    pattern = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'', re.S)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), source)


def code_lines(source):
    """(number, text, code) of the lines that may be mutated."""
    skip, depth, continued = [], 0, False
    for number, (text, code) in enumerate(zip(source.split("\n"), blank(source).split("\n")), 1):
        word = re.match(r"\s*#\s*(\w+)(.*)", code)
        if word or continued:
            if word and not continued:
                if word[1] in ("if", "ifdef", "ifndef"):
                    skip.append(bool(re.match(r"\s*(defined\(?\s*)?BF_HOST\b", word[2])) and word[1] != "ifndef")
                elif word[1] in ("else", "elif") and skip:
                    skip[-1] = False
                elif word[1] == "endif" and skip:
                    skip.pop()
            continued = text.rstrip().endswith("\\")
            continue
        if any(skip) or "static_assert" in code.lower() or not code.strip():
            continue
        yield number, text, code


TYPES = r"(?:const |static |volatile |constexpr |BF_SHARED |struct |unsigned )*(?:u?int\d*(?:_t)?|float|double|char|long|bool|size_t|void|bf_\w+|__m\d+\w*|\w+_t|\w+_args|\w+_scales|W)"
DECLARATION = re.compile(r"^\s*" + TYPES + r"\b[\s*&]+[\w, *\[\]:+\-/]*$")


def pieces(code):
    """(operator, column, before, after) of every mutation of one line of code."""
    def each(operator, pattern, change, group=1):
        for m in re.finditer(pattern, code):
            after = change(m) if callable(change) else change
            if after is not None and after != m.group(group):
                yield operator, m.start(group), m.group(group), after

    swap = {"+": "-", "-": "+", "*": "+", "/": "*", "%": "/", "<<": ">>", ">>": "<<", "&": "|", "|": "&", "^": "|"}
    yield from each("arithmetic", r"(?<=[\w)\]] )([-+*/%&|^]|<<|>>)(?= [\w(~*-])", lambda m: swap[m[1]])
    yield from each("arithmetic", r" ([-+*/%&|^])=(?= )", lambda m: swap[m[1]])
    edge = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}
    yield from each("comparison", r"(?<=[\w)\]] )(<=|>=|==|!=|<|>)(?= [\w(~*-])", lambda m: edge[m[1]])
    if not re.match(r"\s*(template|typedef)\b", code):
        for m in re.finditer(r"(?<![\w.])(0x[0-9a-fA-F]+|\d+)([uUlL]*)(?![\w.])", code):
            number = int(m[1], 0) if not (len(m[1]) > 1 and m[1][0] == "0" and m[1][1] not in "xX") else 0
            fmt = hex if m[1].lower().startswith("0x") else str
            for value in {number + 1, number - 1} if number else {1}:
                yield "constant", m.start(), m[0], f"{fmt(value)}{m[2]}"
        yield from each("constant", r"(?<![\w.])(\d+\.\d*(?:e[-+]?\d+)?f?)(?![\w.])", lambda m: f"({m[1]} + 1)")
    for m in re.finditer(r"(?<=[\w\])])\[([^\[\]]+)\]", code):
        start = max(code.rfind(c, 0, m.start()) for c in ";({") + 1
        before = code[start:m.start()]
        if not DECLARATION.match(before) and not re.search(r"(?:[(,] *|^\s*)" + TYPES + r"[\s*&]+\w+(?:\[[^\]]*\])*$", before):
            yield "index", m.start(1), m[1], f"{m[1]} + 1"
    # An accumulator in bf16: what it gets is cut to 16 bits on the way.
    for m in re.finditer(r"(?<![=!<>])= ((?:bf_fma|fmaf|__builtin_fmaf|_mm(?:256|512)_f[n]?m(?:add|sub)_ps)\(.*\));", code):
        wide = re.match(r"_mm(256|512)", m[1])
        if wide and wide[1] == "256":
            yield "accumulator", m.start(1), m[1], f"_mm256_and_ps({m[1]}, _mm256_castsi256_ps(_mm256_set1_epi32(-65536)))"
        elif wide:
            yield "accumulator", m.start(1), m[1], f"_mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512({m[1]}), _mm512_set1_epi32(-65536)))"
        elif m[1].startswith("bf_fma"):
            yield "accumulator", m.start(1), m[1], f"bf_bits_f(bf_f_bits({m[1]}) & 0xffff0000u)"
        else:
            yield "accumulator", m.start(1), m[1], f"(float)(_Float16)({m[1]})"
    yield from each("barrier", r"(?<![\w.])(bf_(?:warp_)?sync\(\);)", ";")
    yield from each("barrier", r"(?<![\w.])(_mm_sfence\(\);)", ";")
    for m in re.finditer(r"\bif \((?!constexpr)", code):
        end = closing(code, m.end() - 1)
        if end:
            condition = code[m.end():end]
            yield "negation", m.end(), condition, f"!({condition})"
            if re.match(r"\)\s*(return|continue|break)\b", code[end:]):
                yield "mask", m.end(), condition, "0"
    for m in re.finditer(r"(?<= )(&& [^&|;{}?:,()]*(?:\([^()]*\)[^&|;{}?:,()]*)*)(?=[)&?;,]|$)", code):
        yield "mask", m.start(1), m[1], ""
    for m in re.finditer(r"(?<=[=(,] )?\b([\w.\[\]>-]+(?: (?:[<>]=?|==|!=|&) [\w.\[\]>-]+)?) \? ", code):
        if m[1].count("[") == m[1].count("]"):
            yield "mask", m.start(1), m[1], "1"
    yield from each("skip last", r"\bfor \([^;]*; [^;<]*< ([^;&|]+)(?=;| &&)", lambda m: f"({m[1]}) - 1")
    extreme = {"max": "min", "min": "max"}
    yield from each("minimum", r"\b(?:bf_|f|_mm\d*_)(max|min)(?=f?\(|_\w+\()", lambda m: extreme[m[1]])
    pairs = {"dsc": "dm", "dm": "dsc", "d": "dmin", "dmin": "d", "sc": "mn", "mn": "sc", "scales": "mins", "mins": "scales"}
    yield from each("scale", r"(?<=[.>])(dsc|dm|dmin|sc|mn)\b(?!\()", lambda m: pairs[m[1]])
    yield from each("scale", r"(?<![\w.>])(dsc|sc)\b(?=\[)", lambda m: pairs[m[1]])
    # Of the checker: a bound ten times as wide.
    for m in re.finditer(r"\bbound\w*(?:\[[^\]]*\])? = ([^;=,{}]+)(?=[;,])", code):
        if m[1].count("(") == m[1].count(")") and not m[1].endswith("? 0 : NAN"): # ten times nothing
            yield "bound", m.start(1), m[1], f"10 * ({m[1]})"
    yield from each("nan", r"(!\(\w+(?:\.\w+)? <= [\w.>-]+\))", lambda m: re.sub(r"!\((.*) <= (.*)\)", r"\1 > \2", m[1]))
    yield from each("nan", r"\b(is(?:nan|inf|finite)\()", lambda m: "!" + m[1])


def closing(code, at):
    """Index of the parenthesis that closes the one at `at`; None when it is on another line."""
    depth = 0
    for i in range(at, len(code)):
        depth += (code[i] == "(") - (code[i] == ")")
        if depth == 0:
            return i
    return None


def mutants(file, source, kinds=None):
    """All mutants of a file, in order."""
    seen = {}
    for number, text, code in code_lines(source):
        copy = seen.get(text.strip(), 0)
        seen[text.strip()] = copy + 1
        known = set()
        for operator, column, before, after in pieces(code):
            # The piece is taken from the text itself, a comment inside it included.
            before = text[column:column + len(before)]
            if (column, before, after) in known or (kinds and operator not in kinds):
                continue
            known.add((column, before, after))
            yield Mutant(file, number, operator, before, after, column, text, copy)
