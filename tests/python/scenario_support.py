# SPDX-License-Identifier: Apache-2.0
"""Runs scripts of scenarios in an interpreter of their own: this package's, or the one that has upstream's."""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def run_scenarios(library, python, hub, home, *scenarios, path=(), **environment):
    """What the scenarios of `library`_scenarios.py came to, by name. `path`: folders of packages to add."""
    # The interpreter may keep its byte code: these libraries are large.
    dropped = ("KERNELS_CACHE", "LOCAL_KERNELS", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH")
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("HF_") and name not in dropped
    }
    # What overlays this package (a sanitized build) is not for upstream's.
    overlay = os.environ.get("PYTHONPATH", "") if python == sys.executable else ""
    paths = os.pathsep.join(filter(None, [overlay, *map(str, path)]))
    done = subprocess.run(
        [python, "-W", "ignore", HERE / f"{library}_scenarios.py", *scenarios],
        env=clean | hub.environment(home) | {"PYTHONPATH": paths} | environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def without_words(result):
    """A result without the texts of errors, which need not be upstream's."""
    if isinstance(result, dict):
        return {key: without_words(value) for key, value in result.items() if key != "says"}
    return [without_words(value) for value in result] if isinstance(result, list) else result
