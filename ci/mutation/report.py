"""reports/mutants.md from the results."""
import collections


def table(rows, entries, by, title):
    counts = collections.OrderedDict()
    for row in sorted(rows, key=lambda r: r[by]):
        entry = entries.get((row["file"], row["hash"], row["operator"], row["mutation"]))
        s = row["status"]
        if s == "survived" and entry and entry[0] == "equivalent":
            s = "argued"
        if s == "equivalent":
            s = "same object" if row["stage"] == "object" else "same bits"
        counts.setdefault(row[by], collections.Counter())[s] += 1
    out = [f"| {title} | killed | survived | same object | same bits | argued | do not compile | score |", "|---|---|---|---|---|---|---|---|"]
    total = collections.Counter()
    for name, c in counts.items():
        total.update(c)
        out.append(line(f"`{name}`" if by == "file" else name, c))
    return out + [line("all", total), ""]


def line(name, c):
    lost = c["survived"]
    score = f"{100 * c['killed'] / (c['killed'] + lost):.1f} %" if c["killed"] + lost else "-"
    return f"| {name} | {c['killed']} | {lost} | {c['same object']} | {c['same bits']} | {c['argued']} | {c['invalid']} | {score} |"


def cell(text):
    return text.replace("|", "\\|").replace("\n", " ")


def write(rows, entries, args, samples, path="reports/mutants.md"):
    out = ["# Mutants", "",
           "What the checks notice when a kernel, or the checker itself, is changed in one place. Written by `ci/mutants --report` from the results "
           "of `make mutants`; how to read it: README.md.", ""]
    for group in samples:
        mine = [r for r in rows if r["group"] == group and r["status"] != "pending"]
        waiting = sum(r["group"] == group and r["status"] == "pending" for r in rows)
        if not mine:
            continue
        seconds = sorted(r["seconds"] for r in mine)
        stages = collections.Counter(r["stage"] for r in mine if r["status"] == "killed")
        out += [f"## {group.capitalize()}", "",
                f"{len(mine)} mutants, sampled round robin over all pairs of file and operator, seed {args.seed}; "
                f"{sum(seconds) / 60:.0f} minutes on one core of a busy machine, median {seconds[len(seconds) // 2]:.1f} s a mutant. "
                f"Again: `ci/mutants --group {group} --seed {args.seed}`.", "",
                "Killed by: " + ", ".join(f"{n} {s}" for s, n in stages.most_common()) + ".", ""]
        if waiting:
            out += [f"**{waiting} more passed the first stage (smoke and witness cases without optimisation) or want the race checker, and are not judged yet.** What that stage "
                    "kills is judged at once, so the scores below are too high until they are; if all of them survived the score would be "
                    f"{100 * sum(r['status'] == 'killed' for r in mine) / (sum(r['status'] in ('killed', 'survived') for r in mine) + waiting):.0f} %.", ""]
        if group == "kernels":
            out += table([{**r, "backend": {"cu": "cuda (simt)", "hip": "hip (simt)", "c": "cpu"}[r["unit"].rsplit(".", 1)[-1]]} for r in mine],
                         entries, "backend", "backend")
        out += table(mine, entries, "operator", "operator") + table(mine, entries, "file", "file")
        left = [r for r in mine if r["status"] == "survived"]
        if left:
            out += [f"### Not killed: {len(left)}", "", "| place | change | judgement |", "|---|---|---|"]
            for r in sorted(left, key=lambda r: (r["file"], r["line"])):
                kind, words = entries.get((r["file"], r["hash"], r["operator"], r["mutation"]), ("open", "not judged yet"))
                out.append(f"| `{r['file']}:{r['line']}` | {r['operator']}: `{cell(r['mutation'].split(':', 1)[1])}` in `{cell(r['text'])[:90]}` "
                           f"| {'equivalent' if kind == 'equivalent' else 'hole'}: {cell(words)} |")
            out.append("")
    with open(path, "w") as f:
        f.write("\n".join(out).rstrip() + "\n")
    print(path)
    return 0
