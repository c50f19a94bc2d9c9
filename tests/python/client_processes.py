# SPDX-License-Identifier: Apache-2.0
"""Processes of the clients, ours and the real ones: each is new, but without the second that its imports take.

    ours = processes("ours")
    out = ours.run("out['name'] = get_kernel('org/toy', version=1).NAME", hub.environment(home))
    job = ours.start("...", environment)
    ... job.out() ...

One process for each interpreter imports what they need (never a client itself) and is forked for every run; the
fork then reads its own environment, as a new process would.
"""

import atexit
import functools
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

SERVER = r"""
import importlib, json, os, signal, sys, traceback

for name in ("torch", "httpx", "httpx2", "yaml", "tqdm.auto", "filelock", "anyio", "asyncio", "ssl",
             "importlib.metadata", "packaging.version", "urllib.request"):
    try:
        importlib.import_module(name)
    except ImportError:
        pass

def work(job):
    out = {}
    scope = {"__name__": "__main__", "out": out}
    for name in [*os.environ]:
        if name not in job["environment"]:
            del os.environ[name]
    os.environ.update(job["environment"])
    if job["folder"]:
        os.chdir(job["folder"])
    try:
        exec(compile(job["code"], "job", "exec"), scope)
    except BaseException:
        out = {"failure": traceback.format_exc()}
    with os.fdopen(job["answer"], "w") as file:
        file.write(json.dumps(out))

def serve(job):
    path = job["path"]
    job["answer"] = os.open(path + ".part", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    worker = os.fork()
    if not worker:
        os.setpgid(0, 0)
        work(job)
        sys.stdout.flush()
        os._exit(0)
    with open(path + ".pid.part", "w") as file:
        file.write(str(worker))
    os.rename(path + ".pid.part", path + ".pid")
    _, status = os.waitpid(worker, 0)
    if status:
        with open(path + ".part", "w") as file:
            file.write(json.dumps({"failure": f"ended with status {status}"}))
    os.rename(path + ".part", path)
    os._exit(0)

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    if not os.fork():
        serve(json.loads(line))
"""

PRELUDE = """
import os, sys, time
import logging as _logging

class _Keep(_logging.Handler):
    def emit(self, record):
        if record.levelno >= _logging.WARNING:
            warned.append(record.getMessage())

warned = []
_logging.getLogger().addHandler(_Keep())

def error(call, *arguments, **named):
    try:
        call(*arguments, **named)
    except Exception as problem:
        bases = [base.__name__ for base in type(problem).__mro__]
        return {"type": type(problem).__name__, "bases": bases, "text": str(problem)}
    return None
"""

OURS = """
import kernels.load, kernels.install, kernels._torch
from kernels import get_kernel, has_kernel, install_kernel
"""

HUB = """
from huggingface_hub import CacheNotFound, hf_hub_download, scan_cache_dir, snapshot_download, try_to_load_from_cache
from huggingface_hub.utils import WeakFileLock
"""

TIMEOUT_S = 60


class Job:
    """One run."""

    def __init__(self, path):
        self.path = path

    def _read(self, path, seconds):
        end = time.monotonic() + seconds
        while not path.exists():
            if time.monotonic() > end:
                raise TimeoutError(f"{path} did not come within {seconds} s")
            time.sleep(0.002)
        return path.read_text()

    @property
    def pid(self):
        return int(self._read(self.path.with_name(self.path.name + ".pid"), TIMEOUT_S))

    @property
    def running(self):
        return not self.path.exists()

    def out(self, seconds=TIMEOUT_S):
        """What the code left in `out`."""
        out = json.loads(self._read(self.path, seconds))
        assert "failure" not in out, out["failure"]
        return out


class Processes:
    """New processes of one interpreter."""

    def __init__(self, python, prelude, **environment):
        self.prelude = PRELUDE + prelude
        self.folder = Path(tempfile.mkdtemp(prefix="clients-"))
        self.folder.chmod(0o755)
        self.numbers = itertools.count()
        self.server = subprocess.Popen(
            [python, "-c", SERVER],
            stdin=subprocess.PIPE,
            text=True,
            env=plain_environment() | environment,
        )
        atexit.register(self.close)

    def start(self, code, environment, folder=None):
        path = self.folder / f"{next(self.numbers)}.json"
        job = {
            "code": self.prelude + textwrap.dedent(code),
            "environment": plain_environment() | environment,
            "folder": folder and str(folder),
            "path": str(path),
        }
        self.server.stdin.write(json.dumps(job) + "\n")
        self.server.stdin.flush()
        return Job(path)

    def run(self, code, environment, folder=None):
        return self.start(code, environment, folder).out()

    def close(self):
        self.server.stdin.close()
        self.server.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def plain_environment():
    """Ours, without what clients read."""
    prefixes = ("HF_", "KERNELS_", "HUGGING", "XDG_", "TRANSFORMERS_", "LOCAL_KERNELS", "LD_PRELOAD")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(prefixes) and name.lower() not in ("http_proxy", "all_proxy")
    }


@functools.cache
def processes(client):
    """Of "ours", "hub1" (huggingface_hub 1.33) or "hub2" (2.4, with upstream's kernels 0.17.2)."""
    if client == "ours":
        return Processes(sys.executable, OURS)
    variable = {"hub1": "KN_HUB1_PYTHON", "hub2": "KN_PEER_PYTHON"}[client]
    python = os.environ.get(variable)
    if not python:
        pytest.fail(f"set {variable}, or run `make test`")
    return Processes(python, HUB)


def environment(hub, home, **more):
    """What a client needs to use the Hub with `home` as its only folder."""
    paths = {"HOME": str(home), "XDG_CACHE_HOME": str(Path(home) / "xdg")}
    return hub.environment(home) | paths | {name: str(value) for name, value in more.items()}


NO_NETWORK = {"HF_HUB_OFFLINE": "1", "KERNELS_NET_LIBRARY": "/nowhere/libkernels_net.so"}


def content_requests(hub):
    """Paths of the files that were sent so far, in order."""
    return [
        line["path"] for line in hub.log(method="GET") if "/resolve/" in line["path"] and line["status"] < 300
    ]
