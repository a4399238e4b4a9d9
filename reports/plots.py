"""Pictures as SVG text: colours of the page's own palette, so that they follow light and dark; text stays text."""
import io
import os
import re
import tempfile

os.environ.setdefault("MPLCONFIGDIR", tempfile.gettempdir())
import matplotlib  # noqa: E402

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "blackframe"  # the same record gives the same file
matplotlib.rcParams["svg.fonttype"] = "none"
matplotlib.rcParams["font.family"] = ["DejaVu Sans", "sans-serif"]
import matplotlib.patches  # noqa: E402
import matplotlib.pyplot as plt  # noqa: E402
import matplotlib.ticker  # noqa: E402

# Stand-ins that no other part of a picture uses; the page puts its own colour in their place.
INK, FAINT, GREY, RED = "#10131a", "#e1e3e6", "#c2c7cd", "#b3382c"
SERIES = ["#2a6f97", "#c9772b", "#3f8f5b", "#8a5aa8", "#b8a12e", "#3aa6a6", "#a34a6b", "#6b7a8f"]
NAMES = {INK: "ink", FAINT: "faint", GREY: "grey", RED: "bad", **{c: f"s{i}" for i, c in enumerate(SERIES)}}
MARKERS = "os^Dv<>P"
SOME, ALL = "//", "xxxx"  # hatches of bars, by how many of their timings are UNSETTLED
POINTS_MOST = 1200  # beyond: a raster inside the SVG

matplotlib.rcParams.update({"text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "axes.edgecolor": INK,
                            "axes.facecolor": "none", "figure.facecolor": "none", "savefig.facecolor": "none", "legend.facecolor": "none"})


def finish(fig):
    for ax in fig.axes:
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
        ax.tick_params(labelsize=8)
    fig.tight_layout()
    out = io.StringIO()
    fig.savefig(out, format="svg", metadata={"Date": None}, dpi=110)
    plt.close(fig)
    return out.getvalue()


def inline(svg, number, title):
    """For the page: no prologue, identifiers of its own, the page's colours, a name for who cannot see it."""
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.S)
    svg = re.sub(r'\bid="', f'id="p{number}-', svg)
    svg = svg.replace("url(#", f"url(#p{number}-").replace('href="#', f'href="#p{number}-')
    for colour, name in NAMES.items():
        svg = svg.replace(colour, f"var(--{name})")
    svg = re.sub(r"(\.\d\d)\d+(?=[^<]*>)", r"\1", svg)  # a hundredth of a point; text stays
    return svg.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)


def series(names):
    """A colour and a marker for each name, the same in every picture."""
    return {n: (SERIES[i % len(SERIES)], MARKERS[(i + i // len(SERIES)) % len(MARKERS)]) for i, n in enumerate(sorted(names))}


def bound(correct):
    """Largest fraction of the bound: a row an op and backend, a dot a kernel. Logarithmic, because good kernels sit far below 1."""
    rows = {}
    for r in correct:
        if r["value"]:
            rows.setdefault(f'{r["op"]}, {r["backend"]}', []).append(r["value"])
    if not rows:
        return None
    names = sorted(rows)
    fig, ax = plt.subplots(figsize=(9, 0.9 + 0.24 * len(names)))
    for y, n in enumerate(names):
        good = [v for v in rows[n] if v <= 1]
        ax.scatter(good, [y] * len(good), s=20, color=SERIES[0], alpha=0.7, linewidths=0, zorder=3)
        ax.scatter([v for v in rows[n] if v > 1], [y] * (len(rows[n]) - len(good)), s=28, color=RED, marker="X", zorder=4)
    ax.axvline(1, color=RED, lw=1)
    ax.annotate("the bound", (1, -0.6), xytext=(-4, 0), textcoords="offset points", ha="right", va="center", fontsize=8, color=RED)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -1)
    ax.grid(axis="both", color=FAINT, lw=0.6)
    ax.set_axisbelow(True)
    ax.set_xlabel("largest error / bound over all cases, a dot a kernel", fontsize=8)
    return finish(fig)


def devices_of(rows):
    return list(dict.fromkeys((r["label"], r["backend"], r["name"]) for r in rows))


def dots(ax, xs, ys, rows, colour, marker, size, label, many):
    """Timings of an op: filled where the fraction settled, hollow where it is UNSETTLED."""
    for settled in (True, False):
        at = [i for i, r in enumerate(rows) if (r["status"] != "UNSETTLED") == settled]
        if at:
            ax.scatter([xs[i] for i in at], [ys[i] for i in at], s=size, marker=marker, facecolors=colour if settled else "none", edgecolors=colour,
                       linewidths=0 if settled else 1.1, alpha=0.85, zorder=3, rasterized=many)
    ax.scatter([], [], s=size, marker=marker, color=colour, linewidths=0, label=label)


def hollow(ax, rows):
    """The entry of the legend that says what a hollow mark is."""
    n = sum(r["status"] == "UNSETTLED" for r in rows)
    if n:
        ax.scatter([], [], s=24, marker="o", facecolors="none", edgecolors=INK, linewidths=1.1, label=f"hollow: UNSETTLED,\n{n} of {len(rows)}")


def bandwidth(rows, look):
    """GB/s over the bytes of a launch, with the ceiling of each in grey: a picture a device."""
    out = []
    rows = [r for r in rows if not r["compute"] and r["status"] != "SHORT"]
    for device in devices_of(rows):
        mine = [r for r in rows if (r["label"], r["backend"], r["name"]) == device]
        many = len(mine) > POINTS_MOST
        fig, ax = plt.subplots(figsize=(9, 4.2))
        ax.scatter([r["moved"] / 1e6 for r in mine], [r["ceiling_bandwidth"] / 1e9 for r in mine], s=60, marker="_", color=GREY,
                   linewidths=2, label="ceiling beside it", zorder=2, rasterized=many)
        for op, (colour, marker) in look.items():
            of = [r for r in mine if r["op"] == op and r["status"] != "INVALID"]
            if of:
                dots(ax, [r["moved"] / 1e6 for r in of], [r["bandwidth"] / 1e9 for r in of], of, colour, marker, 22, op, many)
        hollow(ax, mine)
        wrong = [r for r in mine if r["status"] == "INVALID"]
        if wrong:
            ax.scatter([r["moved"] / 1e6 for r in wrong], [r["bandwidth"] / 1e9 for r in wrong], s=40, color=RED, marker="X", label="INVALID", zorder=4)
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        ax.set_ylim(bottom=0)
        ax.grid(color=FAINT, lw=0.6)
        ax.set_axisbelow(True)
        ax.set_xlabel("MB that one launch must move", fontsize=8)
        ax.set_ylabel("GB/s, cold", fontsize=8)
        ax.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        out.append((device, finish(fig)))
    return out


def shares(kernels, look):
    """Median fraction of the ceiling of each kernel. Hatched where timings behind the median are UNSETTLED: those could still move."""
    rows = sorted((k for k in kernels if k["median"] is not None), key=lambda k: k["median"])[-40:]
    if not rows:
        return None
    fig, ax = plt.subplots(figsize=(9, 0.8 + 0.24 * len(rows)))
    for y, k in enumerate(rows):
        colour = look[k["op"]][0]
        hatch = "" if not k["unsettled"] else SOME if k["unsettled"] < k["fair"] else ALL
        ax.barh(y, k["median"], height=0.6, facecolor="none" if hatch else colour, edgecolor=colour, linewidth=0.8, hatch=hatch)
        if hatch:
            ax.annotate(f'{k["unsettled"]} of {k["fair"]}', (max(k["median"], 100), y), xytext=(5, 0), textcoords="offset points", va="center", fontsize=7)
    swatch = matplotlib.patches.Patch
    kinds = [("every case settled", "", lambda k: not k["unsettled"]), ("some cases UNSETTLED", SOME, lambda k: 0 < k["unsettled"] < k["fair"]),
             ("all cases UNSETTLED", ALL, lambda k: k["unsettled"] == k["fair"])]
    ax.legend(handles=[swatch(facecolor="none" if hatch else INK, edgecolor=INK, hatch=hatch, label=label) for label, hatch, holds in kinds if any(map(holds, rows))],
              fontsize=8, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
    ax.scatter([k["worst"] for k in rows], range(len(rows)), marker="|", s=60, color=INK, zorder=3)
    ax.axvline(100, color=GREY, lw=1.5)
    ax.set_yticks(range(len(rows)), [f'{k["kernel"]}, {k["backend"]}' for k in rows])
    ax.set_xlabel("per cent of the measured ceiling, median of the cases; the stroke is the lowest; at the right: how many UNSETTLED", fontsize=8)
    return finish(fig)


def roofline(rows, look):
    """GFLOP/s over flops a byte; the slope is the best ceiling measured on the device, the level the best rate seen on it."""
    out = []
    rows = [r for r in rows if r.get("flops") and r["status"] in ("VALID", "UNSETTLED")]
    for device in devices_of(rows):
        mine = [r for r in rows if (r["label"], r["backend"], r["name"]) == device]
        x = [r["flops"] / r["bandwidth"] for r in mine]
        slope, level = max(r["ceiling_bandwidth"] for r in mine) / 1e9, max(r["flops"] for r in mine) / 1e9
        fig, ax = plt.subplots(figsize=(9, 4.2))
        left, right = min(x) / 2, max(max(x) * 2, 2 * level / slope)
        ax.plot([left, level / slope, right], [left * slope, level, level], color=GREY, lw=2, zorder=1)
        for op, (colour, marker) in look.items():
            of = [r for r in mine if r["op"] == op]
            if of:
                dots(ax, [r["flops"] / r["bandwidth"] for r in of], [r["flops"] / 1e9 for r in of], of, colour, marker, 24, op, len(mine) > POINTS_MOST)
        hollow(ax, mine)
        ax.set_xscale("log")
        ax.set_yscale("log")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        ax.grid(color=FAINT, lw=0.6)
        ax.set_axisbelow(True)
        ax.set_xlabel("flops for each byte that must move", fontsize=8)
        ax.set_ylabel("GFLOP/s", fontsize=8)
        ax.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        out.append((device, dict(slope=slope, level=level), finish(fig)))
    return out
