# SPDX-License-Identifier: Apache-2.0
"""Tables as `Plan` prints them, and numbers in them."""

import math


def table(headings, rows):
    """Lines of cells in columns, parted by two blanks, without a newline at the end."""
    lines = [tuple(headings), *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def number(value):
    return "-" if value is None else f"{value:.2g}"


def duration(seconds):
    if seconds is None:
        return "-"
    for unit, factor in (("s", 1), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def paths(found):
    """The first of several paths, and how many more there are."""
    first = found[0] or "(model)"
    return first if len(found) == 1 else f"{first} (+{len(found) - 1})"


def json_number(value):
    """`value` as JSON has it, which knows no infinity."""
    return value if value is None or math.isfinite(value) else None
