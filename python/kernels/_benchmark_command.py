# SPDX-License-Identifier: Apache-2.0
"""What `kernels benchmark` runs in the environment that it is asked for."""

import argparse
import os
import sys
from pathlib import Path

from kernels import errors
from kernels._benchmark_plot import check_plot, write_plot
from kernels.benchmark import _check_counts

# As docs/cli.md has them.
FAILED, USAGE, NETWORK, REFUSED, DAMAGED, STOPPED = 1, 2, 3, 4, 5, 130
_STATUSES = {
    errors.NetworkError: NETWORK,
    errors.HubTimeoutError: NETWORK,
    errors.UntrustedError: REFUSED,
    errors.GatedRepoError: REFUSED,
    errors.IntegrityError: DAMAGED,
}


def _tell(message):
    print(f"kernels: error: {message}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        _tell(message)
        self.exit(USAGE)


def _arguments(words):
    parser = _Parser(prog="kernels benchmark", add_help=False)
    parser.add_argument("repo", nargs="?")
    parser.add_argument("--builtin", action="store_true")
    parser.add_argument("--revision")
    parser.add_argument("--branch")
    parser.add_argument("--version")
    parser.add_argument("--trust", action="store_true")
    parser.add_argument("--refresh", action="store_true")
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--warmup", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--output")
    parser.add_argument("--plot")
    return parser.parse_args(words)


def _check_file(path):
    """So that nothing is timed for a file that cannot be written."""
    folder = Path(path).resolve().parent
    if not folder.is_dir():
        raise ValueError(f"'{path}' cannot be written: there is no directory '{folder}'")


def _check(arguments):
    """Raises ValueError for arguments that make no sense together."""
    if (arguments.repo is None) != arguments.builtin:
        raise ValueError("name either a kernel or --builtin")
    at = [arguments.revision, arguments.branch, arguments.version]
    given = sum(each is not None for each in at)
    if given > 1:
        raise ValueError("Only one of --revision, --branch or --version can be specified")
    if given and arguments.builtin:
        raise ValueError("--builtin has no revisions: what ships with the package is measured")
    _check_counts(arguments.iterations, arguments.warmup)
    if arguments.plot:
        check_plot(arguments.plot)
    for path in (arguments.plot, arguments.output):
        if path:
            _check_file(path)


def _split(arguments):
    """(repository, revision, version); as upstream has it, "org/name@v1" names the version, too."""
    revision, version = arguments.revision or arguments.branch, arguments.version
    repo, at, named = arguments.repo.partition("@")
    if not at or revision is not None or version is not None:
        return arguments.repo, revision, version
    if named[:1] == "v" and named[1:].isdecimal():
        return repo, None, named[1:]
    return repo, named, None


def _suite(arguments):
    from kernels import _benchmark_run

    if arguments.builtin:
        return _benchmark_run.builtin_suite()
    if os.path.isdir(arguments.repo) and not arguments.repo.startswith("builtin/"):
        return _benchmark_run.folder_suite(arguments.repo)
    repo, revision, version = _split(arguments)
    if repo.count("/") != 1 or repo.startswith((".", "/", "~")):
        raise ValueError(f"'{arguments.repo}' is neither a directory nor a repository's name")
    return _benchmark_run.hub_suite(
        repo,
        revision=revision,
        version=version,
        trust_remote_code=arguments.trust,
        refresh=arguments.refresh,
    )


def _find(arguments):
    """The benchmarks, or the exit status after a message."""
    try:
        return _suite(arguments), 0
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        _tell(error)
        if isinstance(error, errors.UntrustedError):
            print("`kernels benchmark --trust` runs its code all the same", file=sys.stderr)
        status = (status for kind, status in _STATUSES.items() if isinstance(error, kind))
        return None, next(status, FAILED)


def _show(report, arguments):
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
    """Runs benchmarks and returns the exit status; what a benchmark raises comes through."""
    arguments = _arguments(words)
    try:
        _check(arguments)
    except ValueError as error:
        _tell(error)
        return USAGE
    try:
        suite, status = _find(arguments)
        if suite is None:
            return status
        report = suite.run(arguments.iterations, arguments.warmup)
    except KeyboardInterrupt:
        return STOPPED
    try:
        return _show(report, arguments)
    except OSError as error:  # a file that cannot be written
        _tell(error)
        return FAILED
