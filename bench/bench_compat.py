# SPDX-License-Identifier: Apache-2.0
"""The share of scripts that behave equally under this package and under upstream's.

Each script chooses, kernelizes, refuses or reads something; its results, the types of its exceptions and the key words
of their messages are compared. Where they differ on purpose, tests/python/differential.py lists it with the reason.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "python"))

from differential import deliberate_names, is_equal, run_both
from side_by_side import PEER, peer_python, table

GENERATED = "capability context function lock mode random refusal signature value variant".split()


def kind_of(name):
    word, _, seed = name.rpartition(" ")
    return word if seed.isdigit() and word in GENERATED else "written out"


def main():
    theirs, ours = run_both(peer_python())
    counts, unlisted = {}, []
    listed = deliberate_names()
    for script, cases in theirs.items():
        for name, answer in cases.items():
            if name == "version":
                continue
            count = counts.setdefault(kind_of(name), [0, 0, 0])
            equal = is_equal(name, answer, ours[script][name])
            count[0] += 1
            count[1] += equal
            count[2] += not equal and name in listed
            if not equal and name not in listed:
                unlisted.append(name)
    rows = [[kind, *count] for kind, count in sorted(counts.items())]
    total = [sum(column) for column in zip(*counts.values(), strict=True)]
    print(f"Scripts under this package and {PEER}")
    table(["kind", "scripts", "equal", "differ on purpose"], [*rows, ["all", *total]])
    print(f"{total[1] / total[0]:.1%} behave equally; {len(unlisted)} differ and are not listed")
    sys.exit(1 if unlisted else 0)


if __name__ == "__main__":
    main()
