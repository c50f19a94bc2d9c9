# SPDX-License-Identifier: Apache-2.0
"""What the tests of the loopback Hub share: its repositories, its clients, requests by hand."""

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from hub import kernel_files

WEIGHTS = bytes(range(256)) * 400  # 102400 bytes: an LFS file here
WEIGHTS_SHA256 = "27783e87963a4efb6829b531c9ba57b44f45797f6770bd637fbf0d807cbdbae0"
README = b"# A model\n"
OTHER = b"# Another model\n"
FIRST = "1" * 40
SECOND = "2" * 40
PULLED = "3" * 40


def let_others_enter(folder):
    """Other users may enter the folder of a test, and those that pytest made above it."""
    for each in (folder, *folder.parents):
        if each.is_relative_to(tempfile.gettempdir()) and each != Path(tempfile.gettempdir()):
            os.chmod(each, 0o755)


def write_repositories(hub):
    hub.organization("open", trusted=True, fullname="Open Kernels")
    hub.organization("closed", trusted=False)
    hub.organization("silent")
    model = hub.repo("open/model", type="model", lfs=["*.bin"])
    model.commit({"README.md": README, "weights.bin": WEIGHTS}, commit=FIRST, tags=["v0.1.0"])
    model.commit({"README.md": README}, commit=PULLED, branches=(), pulls=[1])
    model.commit(
        {"README.md": OTHER, "weights.bin": WEIGHTS, "deep/er/name with space+.txt": b"deep"},
        commit=SECOND,
        branches=["main", "feature/x"],
        tags=["v0.2.0"],
    )
    hub.repo("open/hidden", type="model", private=True, grants=["insider"]).commit({"a": b"a"})
    hub.repo("open/gated", type="model", gated="auto", grants=["insider"]).commit({"a": b"a"})
    kernel = hub.repo("open/toy", lfs=["*.so"])
    kernel.commit(
        kernel_files("toy") | {"build/torch-cpu/toy.so": WEIGHTS},
        commit=FIRST,
        branches=["main", "v1"],
        tags=["v0.1.0"],
    )
    hub.kernel("open/three", extra=0)
    hub.kernel("open/forty", extra=37, digest=True)
    hub.kernel("closed/three", trusted=False)
    hub.kernel("silent/three", trusted=None)
    broken = {"build/torch29-cu118-x86_64-linux/metadata.json": b"{}"}
    hub.repo("open/unfit").commit(broken, branches=["v1"])


def set_back(hub):
    """As it was at the start."""
    hub.clear_faults()
    hub.set(
        latency_ms=0,
        bandwidth=0,
        page_size=1000,
        sign_seconds=3600,
        redirect_small=False,
        redirect_large=False,
        require_token=False,
    )
    hub.reset_log()
    return hub


CLIENT = """
    import json, os, sys, urllib.request

    def requests():
        "How many requests there were since the last time; None where the Hub does not tell."
        url = os.environ["HF_ENDPOINT"] + "/_control"
        try:
            with urllib.request.urlopen(url + "/log") as answer:
                count = len(answer.read().splitlines())
        except urllib.error.HTTPError:
            return None
        urllib.request.urlopen(url, data=b'{"reset_log": true}').close()
        return count

    def error(call, *arguments, **named):
        try:
            call(*arguments, **named)
        except Exception as problem:
            return type(problem).__name__
        return None

    out = {}
"""


def run_client(python, hub, home, code, token=None, **environment):
    program = textwrap.dedent(CLIENT) + textwrap.dedent(code) + "\nprint(json.dumps(out))\n"
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("HF_") and name.lower() not in ("http_proxy", "all_proxy")
    }
    if python != sys.executable:
        clean.pop(
            "PYTHONPATH", None
        )  # what overlays this package (a sanitized build) is not for others
    done = subprocess.run(
        [python, "-c", program],
        env=clean | hub.environment(home, token) | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def preload(folder, source):
    """What LD_PRELOAD has to be for functions in C to take the place of the system's, behind what is in it already."""
    file, shim = Path(folder, "shim.c"), Path(folder, "shim.so")
    file.write_text(textwrap.dedent(source))
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", shim, file, "-ldl"], check=True)
    return f"{os.environ.get('LD_PRELOAD', '')} {shim}".strip()


def ask(hub, path, method="GET", connection=None, port=None, host="127.0.0.1", **headers):
    """One request; (status, headers in lower case, body)."""
    own = connection or http.client.HTTPConnection(host, port or hub.port, timeout=20)
    try:
        own.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        answer = own.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        if not connection:
            own.close()


def raw(hub, text, seconds=5.0):
    """Sends a request's text; (bytes that came, how it ended: "end", "reset" or "silence")."""
    with socket.create_connection(("127.0.0.1", hub.port), timeout=seconds) as link:
        link.sendall(text.replace("\n", "\r\n").encode())
        got = b""
        while True:
            try:
                piece = link.recv(65536)
            except ConnectionResetError:
                return got, "reset"
            except TimeoutError:
                return got, "silence"
            if not piece:
                return got, "end"
            got += piece


RESOLVE = "/open/model/resolve/main/weights.bin"
TREE = "/api/models/open/model/tree/main?recursive=true"


def get(path):
    return f"GET {path} HTTP/1.1\nHost: hub\nConnection: close\n\n"


def body_of(answer):
    return answer.partition(b"\r\n\r\n")[2]


def repository(hub, name, *, org="open", branches=("main", "v1"), tags=(), **content):
    """A kernel of `org`, one variant only; returns its commit. `content`: see kernel_files."""
    content = {"variants": ("torch-cpu",), "layers": None} | content
    return hub.repo(f"{org}/{name}").commit(kernel_files(name, **content), branches, tags)


def kinds(hub):
    """The requests of the log: what each asked for, in no order within a call."""
    names = []
    for line in hub.log():
        path = line["path"]
        if "/overview" in path:
            names.append("trust")
        elif path.endswith("/refs"):
            names.append("refs")
        elif "/tree/" in path:
            names.append("tree")
        elif "/revision/" in path:
            names.append("revision")
        else:
            names.append(path.rsplit("/", 1)[-1])
    return sorted(names)


def taken(hub):
    """The requests since the last time."""
    found = kinds(hub)
    hub.reset_log()
    return found


def records(home, name):
    """The files of our own in the cache below `home` that match `name`."""
    return sorted(Path(home, "hub").glob(f"*/.kernels/{name}"))


def age(home, name, seconds):
    """Makes what was recorded in those files so much older."""
    for file in records(home, name):
        text = json.loads(file.read_text())

        def older(value):
            if isinstance(value, dict):
                return {
                    key: item - seconds if key == "time" else older(item)
                    for key, item in value.items()
                }
            return [older(item) for item in value] if isinstance(value, list) else value

        file.write_text(json.dumps(older(text)))
