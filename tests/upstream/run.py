# SPDX-License-Identifier: Apache-2.0
"""Runs upstream's own tests against this package: `make test-upstream ARGS="-k version"`.

Their sources come from the sdist on PyPI into build/upstream and never into this tree. What they load is served by the
loopback Hub. deselected.txt names the tests that do not apply, each with its reason; a test that is named there and
passes all the same is reported as a failure, so that the list stays true.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from hub_content import write_repositories  # noqa: E402

from hub import Hub  # noqa: E402

VERSION = "0.17.2"


def fetch_tests():
    """The folder with upstream's tests. pip unpacks the sdist and then fails to build it, which nobody needs."""
    target = ROOT / "build" / "upstream" / f"kernels-{VERSION}"
    if target.is_dir():
        return target / "kernels" / "tests"
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--no-deps", "--no-clean"),
                *("--no-build-isolation", "--no-binary=:all:", f"kernels=={VERSION}"),
            ],
            cwd=scratch,
            env=os.environ | {"TMPDIR": scratch},
            capture_output=True,
            text=True,
        )
        found = [
            path.parent
            for path in Path(scratch).glob("pip-download-*/*/PKG-INFO")
            if f"\nVersion: {VERSION}\n" in path.read_text()
        ]
        if not found:
            sys.exit(f"cannot fetch the sdist of kernels {VERSION}:\n{done.stderr}")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(found[0], target)
    return target / "kernels" / "tests"


def read_deselected():
    """[(pattern, reason)]: a line is a pattern of test ids, two spaces, the reason."""
    lines = (HERE / "deselected.txt").read_text().splitlines()
    entries = [line.split("  ", 1) for line in lines if line and not line.startswith("#")]
    return [(pattern, reason.strip()) for pattern, reason in entries]


def run_tests(tests, arguments):
    """{test id: outcome}, as pytest's own report lines tell it, and its text."""
    with tempfile.TemporaryDirectory() as scratch, Hub(Path(scratch, "repositories")) as hub:
        write_repositories(hub, tests)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        environment = clean | hub.environment(Path(scratch, "home")) | {"PYTHONPATH": str(HERE)}
        report = Path(scratch, "report.json")
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "--continue-on-collection-errors"),
                *("-p", "reporter", f"--outcomes={report}", "-p", "no:cacheprovider"),
                *("--tb=short", "--no-header", *arguments),
            ],
            cwd=tests,
            env=environment,
            capture_output=True,
            text=True,
        )
        if not report.exists():
            sys.exit(f"pytest did not run:\n{done.stdout}{done.stderr}")
        return json.loads(report.read_text()), done.stdout


def main():
    tests = fetch_tests()
    outcomes, text = run_tests(tests, sys.argv[1:])
    deselected = read_deselected()
    unexpected, reasons, unused = [], Counter(), {pattern for pattern, _ in deselected}
    for name, outcome in sorted(outcomes.items()):
        match = next(
            ((pattern, why) for pattern, why in deselected if fnmatchcase(name, pattern)), None
        )
        if match:
            unused.discard(match[0])
        if outcome == "failed" and match:
            reasons[match[1]] += 1
        elif outcome == "failed":
            unexpected.append(f"{name}: does not pass")
    passing = {pattern for pattern, _ in deselected} - unused
    for pattern in sorted(passing):
        matched = [outcome for name, outcome in outcomes.items() if fnmatchcase(name, pattern)]
        if "failed" not in matched:
            unexpected.append(f"{pattern}: passes, and is in deselected.txt")
    if not sys.argv[1:]:
        unexpected += [f"{pattern}: names no test, and is in deselected.txt" for pattern in unused]
    count = Counter(outcomes.values())
    if unexpected:
        print(text)
    print(
        f"upstream {VERSION}: {count['passed']} tests pass, {count['skipped']} are skipped for want of a device"
    )
    for reason, number in reasons.most_common():
        print(f"  {number:4} do not apply: {reason}")
    print("\n".join(unexpected))
    sys.exit(1 if unexpected else 0)


if __name__ == "__main__":
    main()
