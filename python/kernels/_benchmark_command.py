# SPDX-License-Identifier: Apache-2.0
"""What `kernels benchmark` runs in the environment that it is asked for."""

import argparse
import sys
from pathlib import Path

FAILED, USAGE, STOPPED = 1, 2, 130  # as docs/cli.md has them


def _arguments(words):
    parser = argparse.ArgumentParser(prog="kernels benchmark", add_help=False)
    parser.add_argument("repo", nargs="?")
    parser.add_argument("--builtin", action="store_true")
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--warmup", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--output")
    parser.add_argument("--plot")
    return parser.parse_args(words)


def _tell(message):
    print(f"kernels: error: {message}", file=sys.stderr)


def _path(arguments):
    """The directory; None for what ships with this package."""
    if arguments.builtin:
        return None
    path = Path(arguments.repo)
    if not path.is_dir():
        raise FileNotFoundError(
            f"'{arguments.repo}' is no directory; benchmarks are run from directories alone: clone "
            "the repository of the Hub with git and name its folder"
        )
    return path


def _run(arguments):
    from kernels._benchmark_plot import check_plot, write_plot
    from kernels.benchmark import run_benchmarks

    if arguments.plot:
        check_plot(arguments.plot)
    report = run_benchmarks(
        _path(arguments), iterations=arguments.iterations, warmup=arguments.warmup
    )
    print(report, file=sys.stderr if arguments.json else sys.stdout)
    if arguments.json:
        print(report.to_json())
    if arguments.output:
        Path(arguments.output).write_text(report.to_json() + "\n", encoding="utf-8")
    if not report.ok:
        _tell("the results above are wrong, so no times were taken")
        return FAILED
    if arguments.plot:
        write_plot(report, arguments.plot)
    return 0


def main(words):
    """Runs benchmarks and returns the exit status."""
    arguments = _arguments(words)
    if (arguments.repo is None) != arguments.builtin:
        _tell("name either a repository or --builtin")
        return USAGE
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return STOPPED
    except (OSError, ValueError, ImportError) as error:
        _tell(error)
        return FAILED
