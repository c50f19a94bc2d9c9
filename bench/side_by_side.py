# SPDX-License-Identifier: Apache-2.0
"""Runs one program under this package and under the peer, in turns.

A benchmark defines `measure(**arguments)`, which returns numbers. The same file runs as a worker in both interpreters
(this one, and that of KN_PEER_PYTHON); requests go to them alternately, so that both meet the same noise.
"""

import json
import os
import subprocess
import sys

PEER = "upstream 0.17.2"


def peer_python():
    python = os.environ.get("KN_PEER_PYTHON")
    if not python:
        sys.exit("KN_PEER_PYTHON must name the Python that has the peer: run `make bench`")
    return python


class Worker:
    """A process that answers requests of the form {name: value} with what `measure` returns."""

    def __init__(self, python, program):
        self.process = subprocess.Popen(
            [python, program, "--worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, **arguments):
        self.process.stdin.write(json.dumps(arguments) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"a worker ended with {self.process.wait()}")
        return json.loads(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def serve(measure):
    """The worker's side."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the measured code prints must not get between the answers
    for line in sys.stdin:
        out.write(json.dumps(measure(**json.loads(line))) + "\n")
        out.flush()


def workers(program):
    return Worker(sys.executable, program), Worker(peer_python(), program)


def table(headings, rows):
    widths = [max(len(str(row[i])) for row in [headings, *rows]) for i in range(len(headings))]
    for row in [headings, *rows]:
        print(
            "  ".join(
                str(cell).rjust(width) if i else str(cell).ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
        )
    print()
