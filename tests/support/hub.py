# SPDX-License-Identifier: Apache-2.0
"""Drives the loopback Hub of tests/support/hub: starts it, writes repositories, breaks its rules, reads its log.

    with Hub(folder, latency_ms=50) as hub:
        hub.organization("kernels-test", trusted=True)
        commit = hub.repo("kernels-test/toy").commit(kernel_files("toy"), branches=["main", "v1"])
        ... a client with os.environ | hub.environment(home) ...
        assert [line["path"] for line in hub.log()] == [...]

Only the standard library is used: the clients' interpreters import this too.
"""

import base64
import hashlib
import http.client
import json
import os
import re
import shutil
import subprocess
import tempfile
import textwrap
import time
from email.utils import formatdate
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

LAYERS = """
    import torch.nn as nn


    class Tenfold(nn.Module):
        can_torch_compile = True

        def forward(self, x):
            return x * 10
"""


def hub_program():
    """The program test_hub: KN_TEST_HUB, or where the Makefile puts it."""
    program = Path(os.environ.get("KN_TEST_HUB") or ROOT / "build/test-hub/test_hub")
    if not program.is_file():
        raise FileNotFoundError(f"{program} is not built: run `make build/test-hub/test_hub`")
    return program


class Hub:
    """A running loopback Hub over a folder of repositories.

    Flags are test_hub's settings: latency_ms, bandwidth (bytes/s for each connection), page_size, lfs_threshold,
    sign_seconds, redirect_small, redirect_large, require_token, rate_limit_headers; and port, cdn_port, tokens
    (those that are valid; none: every token is).
    """

    def __init__(self, root=None, **flags):
        self._owned = None
        if root is None:
            self._owned = root = tempfile.mkdtemp(prefix="test-hub-")
        self.root = Path(root)
        self.flags = flags
        self.process = None
        self.port = flags.get("port", 0)
        self.cdn_port = flags.get("cdn_port", 0)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        if self._owned:
            shutil.rmtree(self._owned, ignore_errors=True)

    # The program

    def start(self):
        self.root.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            [hub_program(), f"--root={self.root}", "--watch-stdin", *self._arguments()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"test_hub ended at once, with status {self.process.wait()}")
        self.port = int(line)
        self.cdn_port = self.state()["cdn_port"]
        return self

    def _arguments(self):
        flags = dict(self.flags) | {"port": self.port, "cdn_port": self.cdn_port}
        for token in flags.pop("tokens", ()):
            yield f"--token={token}"
        for name, value in flags.items():
            yield f"--{name.replace('_', '-')}={json.dumps(value)}"

    def stop(self):
        """Goes away, with all its connections."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
            self.process = None

    def restart_on_same_port(self):
        """Comes back as it was set, without faults and with an empty log."""
        self.stop()
        return self.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def cdn_url(self):
        """Where LFS files are redirected to: another host too, as some clients compare hosts only."""
        return f"http://127.0.0.2:{self.cdn_port}"

    def environment(self, home, token=None, **more):
        """What a Hub client needs in its environment; `home` is HF_HOME."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_CACHE": str(Path(home) / "hub"),
            "HF_TOKEN": token or "",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "127.0.0.1,127.0.0.2,localhost",
            "no_proxy": "127.0.0.1,127.0.0.2,localhost",
        } | more

    # The side door

    def _control(self, orders=None, path="/_control"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            body = None if orders is None else json.dumps(orders)
            connection.request("GET" if orders is None else "POST", path, body)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8")
        finally:
            connection.close()
        if answer.status != 200:
            raise ValueError(f"test_hub: {text}")
        return text

    def state(self):
        return json.loads(self._control())

    def set(self, **flags):
        """Changes settings of the running Hub; they outlive a restart."""
        self._control(flags)
        self.flags |= flags

    def log(self, **wanted):
        """The requests so far as dicts, oldest first; those alone whose fields equal `wanted`."""
        lines = [json.loads(line) for line in self._control(path="/_control/log").splitlines()]
        return [line for line in lines if all(line[key] == value for key, value in wanted.items())]

    def reset_log(self):
        self._control({"reset_log": True})

    def fault(self, kind, match=None, **options):
        """Adds a rule, see tests/support/hub/testhub_fault.c; the answer tells with .fired how often it did.

        Bytes are taken for text, body and append. `body` may be anything that JSON can say. A listing takes
        `entries`, dicts or bytes of JSON. A status takes `retry_after` (seconds, or a time.time() as a float
        for a date) and `rate_limit=(remaining, seconds)`.
        """
        rule = {"kind": kind, **({"match": match} if match else {}), **options}
        headers = dict(rule.pop("headers", {}))
        retry_after = rule.pop("retry_after", None)
        if retry_after is not None:
            is_date = isinstance(retry_after, float)
            headers["Retry-After"] = (
                formatdate(retry_after, usegmt=True) if is_date else str(retry_after)
            )
        if "rate_limit" in rule:
            remaining, seconds = rule.pop("rate_limit")
            headers["RateLimit"] = f'"api";r={remaining};t={seconds}'
            headers["RateLimit-Policy"] = '"fixed window";"api";q=500;w=300'
        if "entries" in rule:
            rule["append"] = b",".join(_json_bytes(entry) for entry in rule.pop("entries"))
        if "body" in rule:
            rule["body"] = _json_bytes(rule["body"])
        for key, value in list(rule.items()):
            if isinstance(value, bytes):
                rule[f"{key}_hex"] = rule.pop(key).hex()
        if headers:
            rule["headers"] = headers
        return Fault(self, json.loads(self._control({"fault": rule}))["id"])

    def clear_faults(self):
        self._control({"clear_faults": True})

    def refuse(self, seconds):
        """Nothing listens for so long; connections that stand go on."""
        self._control({"refuse_ms": int(seconds * 1000)})

    def sever(self):
        """Cuts all connections."""
        self._control({"sever": True})

    # What is served

    def organization(self, name, trusted=None, **fields):
        """Makes a publisher known, or changes it; trusted=None says nothing of it, as the Hub does for most."""
        file = self.root / "organizations" / f"{name}.json"
        if trusted is not None:
            fields["trustedKernelPublisher"] = trusted
        _write_json(file, (json.loads(file.read_text()) if file.exists() else {}) | fields)

    def user(self, name, **fields):
        _write_json(self.root / "users" / f"{name}.json", fields)

    def repo(self, repo_id, type="kernel", **about):
        """A repository, new or known; `about`: private, gated, grants (tokens), lfs (patterns), info."""
        return RepoBuilder(self.root / f"{type}s" / repo_id, repo_id, about)

    def kernel(self, repo_id, *, branches=("main", "v1"), tags=(), trusted=True, **content):
        """A whole minimal kernel of a trusted publisher; returns the commit id. `content`: see kernel_files."""
        organization, name = repo_id.split("/")
        self.organization(organization, trusted=trusted)
        return self.repo(repo_id).commit(kernel_files(name, **content), branches, tags)


class Served(Hub):
    """`kernels serve` over the same kind of folder, or a cache; `options` are the command's."""

    def __init__(self, root, *options, program, **environment):
        super().__init__(root)
        self.options = options
        self.program = program
        self.more = environment

    url = None  # what the program prints

    def start(self):
        self.root.mkdir(parents=True, exist_ok=True)
        self.lines = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [self.program, "serve", self.root, f"--port={self.port}", *self.options],
            stdout=subprocess.PIPE,
            stderr=self.lines,
            env=os.environ | self.more,
            text=True,
        )
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            raise RuntimeError(f"kernels serve ended with {self.process.wait()}: {self.text()}")
        self.port = int(self.url.rpartition(":")[2])
        return self

    def stop(self, kill=False):
        """Ends it as a service manager does; its exit status."""
        if not self.process:
            return None
        self.process.kill() if kill else self.process.terminate()
        status = self.process.wait(timeout=60)
        self.process.stdout.close()
        self.process = None
        return status

    def text(self):
        """What it has written on standard error."""
        self.lines.seek(0)
        return self.lines.read()

    def log(self, **wanted):
        """Its lines as dicts of address, method, path, status and bytes."""
        pattern = r'\S+Z (\S+) "(\S+) (\S*)" (\d+) (\d+)'
        names = ("address", "method", "path", "status", "bytes")
        found = [
            dict(zip(names, (a, m, p.partition("?")[0], int(s), int(b)), strict=True))
            for a, m, p, s, b in re.findall(pattern, self.text())
        ]
        return [line for line in found if all(line[key] == wanted[key] for key in wanted)]


class Fault:
    """A rule that was given to the Hub."""

    def __init__(self, hub, number):
        self.hub = hub
        self.number = number

    @property
    def fired(self):
        return next(
            fault["fired"] for fault in self.hub.state()["faults"] if fault["id"] == self.number
        )


class RepoBuilder:
    """Writes a repository; a running Hub sees each change at its next request."""

    def __init__(self, folder, repo_id, about):
        self.folder = folder
        self.id = repo_id
        self._file = folder / "repo.json"
        if about or not self._file.exists():
            self.describe(**about)

    @property
    def about(self):
        return json.loads(self._file.read_text()) if self._file.exists() else {}

    def describe(self, **fields):
        _write_json(self._file, self.about | fields)
        return self

    def commit(self, files, branches=("main",), tags=(), *, pulls=(), commit=None, title="Upload"):
        """Adds a commit of exactly these files ({path: bytes, str or a Path to copy}), moves branches and tags
        there, and returns its id."""
        known = self.about
        parent = known.get("branches", {}).get(branches[0]) if branches else None
        staged = self.folder / f"staged-{os.getpid()}-{time.monotonic_ns()}"
        digest = hashlib.sha1(f"{self.id} {title} {parent}".encode())
        for path, content in sorted(files.items()):
            digest.update(f"\n{path} ".encode() + _write_file(staged / path, content))
        staged.mkdir(parents=True, exist_ok=True)
        commit = commit or digest.hexdigest()
        target = self.folder / "commits" / commit
        target.parent.mkdir(exist_ok=True)
        if target.exists():
            shutil.rmtree(target)
        staged.rename(target)
        about = {"title": title, "date": "2026-01-02T03:04:05.000Z"}
        if parent and parent != commit:
            about["parent"] = parent
        self.describe(
            commits=known.get("commits", {}) | {commit: about},
            branches=known.get("branches", {}) | dict.fromkeys(branches, commit),
            tags=known.get("tags", {}) | dict.fromkeys(tags, commit),
            pulls=known.get("pulls", {}) | {str(pull): commit for pull in pulls},
        )
        return commit

    def move_branch(self, branch, commit):
        """Points a branch at another commit; None takes it away."""
        branches = {**self.about["branches"], branch: commit}
        self.describe(branches={name: at for name, at in branches.items() if at})


def kernel_files(
    name,
    *,
    variants=("torch-cpu", "torch-universal"),
    layers=LAYERS,
    code="",
    extra=0,
    digest=False,
    metadata=None,
):
    """The files of a pure-Python kernel as {path: bytes}: metadata.json, __init__.py, layers.py (unless `layers`
    is None), and `extra` modules, for each variant. `metadata` is merged into what metadata.json says."""
    text = "from . import layers\n\n" if layers is not None else ""
    module = {"__init__.py": text + f"NAME = {name!r}\n" + textwrap.dedent(code)}
    if layers is not None:
        module["layers.py"] = textwrap.dedent(layers)
    for number in range(extra):
        module[f"extra_{number:04}.py"] = f"NUMBER = {number}\nTEXT = {name!r}\n"
    module = {path: text.encode() for path, text in module.items()}

    mark = hashlib.sha1(repr((sorted(module.items()), metadata)).encode()).hexdigest()[:12]
    files = {}
    for variant in variants:
        fields = {
            "id": f"_{re.sub('[^a-z0-9]', '_', name)}_{mark}_{variant.replace('-', '_')}",
            "name": name,
            "version": 1,
            "license": "Apache-2.0",
            "python-depends": [],
            "backend": {"type": "cpu"},
        }
        if digest:
            fields["digest"] = {
                "algorithm": "sha256",
                "files": {
                    path: base64.b64encode(hashlib.sha256(content).digest()).decode()
                    for path, content in module.items()
                },
            }
        for path, content in module.items():
            files[f"build/{variant}/{path}"] = content
        files[f"build/{variant}/metadata.json"] = _json_bytes(fields | (metadata or {}))
    return files


def git_oid(content):
    """The id that git gives to a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _json_bytes(value):
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def _write_json(file, value):
    file.parent.mkdir(parents=True, exist_ok=True)
    staged = file.with_name(f"{file.name}.{os.getpid()}.{time.monotonic_ns()}")
    staged.write_text(json.dumps(value))
    staged.replace(file)


def _write_file(file, content):
    """Writes a file; returns what tells its content from others."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Path):
        try:
            os.link(content, file)
        except OSError:
            shutil.copyfile(content, file)
        about = file.stat()
        return f"{about.st_size} {about.st_mtime_ns} {about.st_ino}".encode()
    data = content.encode() if isinstance(content, str) else content
    file.write_bytes(data)
    return hashlib.sha1(data).digest()
