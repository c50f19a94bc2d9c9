# SPDX-License-Identifier: Apache-2.0
"""Tables and pictures of what bench_gpu_models.py and bench_gpu_kernels.py wrote.

    gpu_report.py [--models FILE] [--kernels FILE] [--pictures FOLDER]

Prints the tables of docs/gpu.md, and writes the pictures into the folder.
"""

import argparse
import json
from pathlib import Path

# What kernels must gain over eager, by model and the beginning of the task.
GOALS = {
    ("llama-1b", "decode, batch 1"): 1.3,
    ("llama-8b", "decode, batch 1"): 1.3,
    ("llama-1b", "prefill"): 1.3,
    ("llama-8b", "prefill"): 1.15,
}
# Compiled, they must not lose: what two runs of the same program differ by is left out of account.
NOISE = 1.02
PAIRS = (
    ("eager", "ours"),
    ("compile", "compile on ours"),
    ("reduce-overhead", "reduce-overhead on ours"),
)
COLOURS = {
    "eager": "#94a3b8",
    "compile": "#cbd5e1",
    "reduce-overhead": "#e2e8f0",
    "ours": "#2563eb",
    "compile on ours": "#3b82f6",
    "reduce-overhead on ours": "#60a5fa",
    "copy": "#fde68a",
    "F": "#a7f3d0",
    "compiled": "#cbd5e1",
    "liger": "#fca5a5",
}


def joined(reports):
    """Several files of one kind as one: a later file replaces what it measured anew.

    What was measured on another machine is not for the same table."""
    first, *others = reports
    for report in others:
        if report["machine"] != first["machine"]:
            raise SystemExit(f"measured apart: {first['machine']} and {report['machine']}")
    lists = {name for name, found in first.items() if isinstance(found, list)}
    entries = {name: {} for name in lists}
    for report in reports:
        for name in lists:
            entries[name] |= {
                tuple(each.get(key) for key in ("model", "task", "way", "what")): each
                for each in report[name]
            }
    return first | {name: list(found.values()) for name, found in entries.items()}


def markdown(headings, rows):
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def least(report):
    """{(model, task): {way: least ms}} of what was timed: what disturbs a process only ever adds to it."""
    found = {}
    for result in report["results"]:
        if result["ms"]:
            ways = found.setdefault((result["model"], result["task"]), {})
            ways[result["way"]] = min(result["ms"])
    return found


def goal_of(model, task):
    return next(
        (goal for (m, start), goal in GOALS.items() if m == model and task.startswith(start)), None
    )


def verdicts(model, task, ways):
    """How many times as fast each pair is with kernels, and what is short of its goal."""
    gains, short = [], []
    for plain, kernels in PAIRS:
        if plain not in ways or kernels not in ways:
            gains.append("")
            continue
        gain = ways[plain] / ways[kernels]
        goal = goal_of(model, task) if plain == "eager" else 1 / NOISE
        gains.append(f"{gain:.2f} x")
        if goal is not None and gain < goal:
            short.append(kernels)
    return gains, short


def models_table(report):
    rows = []
    for (model, task), ways in least(report).items():
        gains, short = verdicts(model, task, ways)
        cells = []
        for (plain, kernels), gain in zip(PAIRS, gains, strict=True):
            for way in (plain, kernels):
                cells.append(f"{ways[way]:.2f}" if way in ways else "")
            cells.append(gain)
        goal = goal_of(model, task)
        said = "" if goal is None else f">= {goal} x; "
        said += "missed by " + ", ".join(short) if short else "reached"
        rows.append([model, task, *cells, said])
    titles = [title for pair in PAIRS for title in (*pair, "gain")]
    about = " ".join(f"{name} {value}" for name, value in report["machine"].items())
    return f"{about}; ms\n\n" + markdown(["model", "task", *titles, "goal"], rows)


def profiles_table(report):
    """Where a call spends its time, in ms."""
    rows = []
    for each in report["profiles"]:
        if "kinds" in each:
            kinds = [f"{value:.2f}" for value in each["kinds"].values()]
            idle, launches = f"{each['no kernel']:.2f}", f"{each['launches']:.0f}"
            name = [each["model"], each["task"], each["way"]]
            rows.append([*name, f"{each['ms']:.2f}", *kinds, idle, launches])
            titles = [*each["kinds"], "no kernel runs", "kernels"]
    return markdown(["model", "task", "way", "ms", *titles], rows) if rows else ""


def checks_table(report):
    rows = [
        [each["model"], each["task"], each["way"], f"{each['difference']:.1e}"]
        for each in report["checks"]
    ]
    return markdown(["model", "task", "way", "difference"], rows)


KERNEL_WAYS = ("ours", "copy", "eager", "F", "compiled", "liger")


def kernels_table(report):
    rows = []
    for each in report["results"]:
        times = [f"{each['us'][n]:.2f}" if n in each["us"] else "" for n in KERNEL_WAYS]
        rows.append([each["what"], *times, each["goal"], "yes" if each["reached"] else "no"])
    return markdown(["", *(f"{name}, us" for name in KERNEL_WAYS), "goal", "reached"], rows)


def models_groups(report):
    for (model, task), ways in least(report).items():
        order = [way for pair in PAIRS for way in pair if way in ways]
        yield f"{model}: {task}", [(way, ways[way] / 1e3) for way in order]


def kernels_groups(report):
    for each in report["results"]:
        yield (
            each["what"],
            [(way, each["us"][way] / 1e6) for way in KERNEL_WAYS if way in each["us"]],
        )


def write_picture(path, report, groups):
    from kernels._benchmark_plot import bars_svg

    title = f"{report['machine']['device']}, torch {report['machine']['torch']}: least time"
    path.write_text(bars_svg(title, groups, COLOURS), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--models", type=Path, nargs="*", help="what bench_gpu_models.py --json wrote"
    )
    parser.add_argument(
        "--kernels", type=Path, nargs="*", help="what bench_gpu_kernels.py --json wrote"
    )
    parser.add_argument("--pictures", type=Path, help="a folder for the pictures")
    arguments = parser.parse_args()
    kinds = {
        "models": (models_groups, (models_table, profiles_table, checks_table)),
        "kernels": (kernels_groups, (kernels_table,)),
    }
    for kind, (groups, tables) in kinds.items():
        files = getattr(arguments, kind)
        if not files:
            continue
        report = joined([json.loads(file.read_text()) for file in files])
        print("\n\n".join(filter(None, (table(report) for table in tables))), end="\n\n")
        if arguments.pictures is not None:
            write_picture(arguments.pictures / f"gpu-{kind}.svg", report, groups(report))


if __name__ == "__main__":
    main()
