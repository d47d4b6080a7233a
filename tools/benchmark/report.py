"""Figures to text, JSON and SVG. Works on plain data, so that a test can feed it."""

import json
import statistics


def paired(rounds, peer):
    """Ratios gatehouse / peer of the rounds in which both were accepted."""
    return [r["gatehouse"]["cost"] / r[peer]["cost"] for r in rounds
            if r.get("gatehouse") and r.get(peer) and r[peer]["cost"] > 0]


def summary(rounds, peer):
    """(median, lowest, highest) of the paired ratios, or None."""
    ratios = paired(rounds, peer)
    return (statistics.median(ratios), min(ratios), max(ratios)) if ratios else None


def median(rounds, name, key):
    values = [r[name][key] for r in rounds if r.get(name) and r[name].get(key) is not None]
    return statistics.median(values) if values else None


def noisy(window):
    """Why a measuring window cannot be trusted, or "". Fields: elapsed, others (CPU seconds of processes that are not part of
    the benchmark), steal (share of 0..1)."""
    if window["others"] > 0.15 * window["elapsed"]:
        return f"other processes used {100 * window['others'] / window['elapsed']:.0f} % of a core"
    if window["steal"] > 0.03:
        return f"the hypervisor took {100 * window['steal']:.1f} %"
    return ""


def table(results):
    lines = []
    for result in results:
        target = f", target {result['target']:g} x nginx" if result.get("target") else ""
        target = target or (f", target {result['limit']:g} {result['unit']}" if result.get("limit") else "")
        lines.append(f"{result['scenario']} ({result['unit']}{target})")
        for name in result["peers"]:
            cost = median(result["rounds"], name, "cost")
            if cost is None:
                lines.append(f"  {name:10} no accepted round")
                continue
            line = f"  {name:10} {cost:9.2f}"
            for key, format_, label in (("rate", "{:9.0f}/s", ""), ("p50", " p50 {:7.3f} ms", ""), ("p99", " p99 {:7.3f} ms", ""),
                                        ("rss", " rss {:5.1f} MiB", ""), ("syscalls", " {:5.2f} system calls", "")):
                value = median(result["rounds"], name, key)
                line += format_.format(value) + label if value is not None else ""
            if name != "gatehouse" and (found := summary(result["rounds"], name)):
                line += f"  gatehouse/{name} {found[0]:.3f} ({found[1]:.3f}..{found[2]:.3f})"
            lines.append(line)
    return "\n".join(lines)


def to_json(results, about):
    return json.dumps({"about": about, "results": results}, indent=1)


COLOURS = {"gatehouse": "#2a78d6", "nginx": "#8a8a84", "haproxy": "#b5b5ae", "envoy": "#d0a24c"}


def svg(results):
    """Horizontal bars: each peer's median cost relative to nginx (or, without it, to Gatehouse)."""
    rows = []
    for result in results:
        base = median(result["rounds"], "nginx", "cost") or median(result["rounds"], "gatehouse", "cost")
        bars = [(name, median(result["rounds"], name, "cost") / base) for name in result["peers"]
                if base and median(result["rounds"], name, "cost") is not None]
        if bars:
            rows.append((result["scenario"], bars))
    left, bar, gap, width = 230, 14, 16, 900
    widest = max([min(value, 4) for _, bars in rows for _, value in bars] or [1])
    scale = (width - left - 80) / widest
    y, parts = 40, []
    for name, bars in rows:
        parts.append(f'<text x="{left - 10}" y="{y + bar * len(bars) / 2 + 4:.0f}" text-anchor="end">{name}</text>')
        for peer, value in bars:
            length = min(value, 4) * scale
            parts.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{bar - 2}" rx="2" fill="{COLOURS.get(peer, "#999")}"/>')
            more = " \N{RIGHTWARDS ARROW}" if value > 4 else ""
            parts.append(f'<text class="v" x="{left + length + 5:.1f}" y="{y + bar - 4}">{value:.2f} {peer}{more}</text>')
            y += bar
        y += gap
    style = ("<style>text{font:12px sans-serif;fill:#333}.v{font-size:10px;fill:#666}"
             "@media (prefers-color-scheme:dark){text{fill:#ddd}.v{fill:#aaa}}</style>")
    title = f'<text x="{left}" y="22">Cost relative to nginx (less is better)</text>'
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y + 10}" width="{width}" height="{y + 10}">'
            + style + title + "".join(parts) + "</svg>\n")
