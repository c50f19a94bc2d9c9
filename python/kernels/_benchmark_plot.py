# SPDX-License-Identifier: Apache-2.0
"""Benchmarks as a picture: a bar for the kernel, its reference and a copy of each workload."""

import importlib.util
import statistics
from html import escape
from pathlib import Path

from kernels._table import duration

_COLOURS = {"kernel": "#2563eb", "reference": "#94a3b8", "copy": "#cbd5e1"}
_LEFT, _LENGTH, _WIDTH, _BAR, _GAP = 320, 400, 880, 18, 14


def check_plot(path):
    """Raises ValueError where no picture of this kind can be made here."""
    suffix = Path(path).suffix.lower()
    if suffix not in (".svg", ".png"):
        raise ValueError(f"a plot is a file named .svg or .png, not '{path}'")
    if suffix == ".png" and importlib.util.find_spec("matplotlib") is None:
        raise ValueError(
            f"'{path}' needs matplotlib, which is not installed: `pip install matplotlib`, or "
            "name a file .svg, which needs nothing"
        )


def write_plot(report, path):
    check_plot(path)
    if Path(path).suffix.lower() == ".svg":
        Path(path).write_text(svg(report), encoding="utf-8")
    else:
        _write_png(report, path)


def _groups(report):
    """(workload, [(way, median in seconds)]) of what was timed."""
    for result in report.results:
        ways = {
            "kernel": result.seconds,
            "reference": result.reference_seconds,
            "copy": result.copy_seconds,
        }
        yield result.workload, [(name, statistics.median(s)) for name, s in ways.items() if s]


def _text(x, y, text, anchor="start"):
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


def svg(report):
    """The picture of a report as an SVG document."""
    machine = report.machine
    title = f"torch {machine.get('pytorchVersion', '?')}, {machine.get('backend', '?')}: median"
    return bars_svg(title, _groups(report), _COLOURS)


def bars_svg(title, groups, colours):
    """Groups of bars as an SVG document: (workload, [(way, seconds)]). Within a workload lengths are times."""
    lines, y = [], 40
    for workload, bars in groups:
        longest = max(seconds for _, seconds in bars)
        lines.append(_text(_LEFT - 10, y + 13, workload, "end"))
        for name, seconds in bars:
            length = round(_LENGTH * seconds / longest, 1) if longest else 0
            lines.append(
                f'<rect x="{_LEFT}" y="{y}" width="{length}" height="{_BAR - 2}" '
                f'fill="{colours[name]}"/>'
            )
            lines.append(_text(_LEFT + length + 6, y + 13, f"{name}, {duration(seconds)}"))
            y += _BAR
        y += _GAP
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}" '
            f'viewBox="0 0 {_WIDTH} {y}" font-family="sans-serif" font-size="13">',
            '<rect width="100%" height="100%" fill="white"/>',
            _text(_LEFT, 24, title),
            *lines,
            "</svg>\n",
        ]
    )


def _write_png(report, path):
    from matplotlib.figure import Figure

    labels, lengths, colours, captions = [], [], [], []
    for workload, bars in _groups(report):
        longest = max(seconds for _, seconds in bars) or 1.0
        for name, seconds in bars:
            labels.append(f"{workload}, {name}")
            lengths.append(seconds / longest)
            colours.append(_COLOURS[name])
            captions.append(duration(seconds))
    figure = Figure(figsize=(10, 1 + 0.3 * len(labels)), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(labels))
    axes.bar_label(axes.barh(places, lengths, color=colours), captions, padding=3)
    axes.set_yticks(places, labels)
    axes.set_xticks([])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.2)
    figure.savefig(path, format="png")
