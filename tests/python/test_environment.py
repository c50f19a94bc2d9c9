# SPDX-License-Identifier: Apache-2.0
"""What the environment comes to, here and in huggingface_hub: the same, but for what docs/hub.md lists."""

import http.server
import io
import json
import os
import re
import subprocess
import sys
import textwrap
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernels import _host, install_kernel

ORACLE = """
    import importlib, json, os, sys
    from huggingface_hub import constants
    from huggingface_hub.utils import _headers

    def token():
        try:
            return _headers.get_token_to_send(None)
        except IsADirectoryError:  # ours: there is no such file
            return None

    for line in sys.stdin:
        os.environ.clear()
        os.environ.update(json.loads(line))
        importlib.reload(constants)
        print(json.dumps({
            "endpoint": constants.ENDPOINT,
            "cache": os.path.join(os.getcwd(), constants.HF_HUB_CACHE),
            "token_path": constants.HF_TOKEN_PATH,
            "offline": constants.HF_HUB_OFFLINE,
            "telemetry": not constants.HF_HUB_DISABLE_TELEMETRY,
            "token": token(),
        }), flush=True)
"""


@pytest.fixture(params=["KN_PEER_PYTHON", "KN_HUB1_PYTHON"], scope="module")
def oracle(request):
    """What one of huggingface_hub's versions makes of an environment."""
    python = os.environ.get(request.param) or pytest.fail(
        f"set {request.param}, or run `make test`"
    )
    process = subprocess.Popen(
        [python, "-c", textwrap.dedent(ORACLE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )  # fmt: skip

    def ask(environment):
        process.stdin.write(json.dumps(environment) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield ask
    process.stdin.close()
    process.wait()


class Listener(http.server.BaseHTTPRequestHandler):
    """A Hub that has nothing, and notes what it is asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.requests.append((self.path, self.headers))
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def listener():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        server.requests = []
        server.daemon_threads = True
        server.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


PLACES = [
    "XDG_CACHE_HOME",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "KERNELS_CACHE",
    "HF_TOKEN_PATH",
]
SECRETS = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]
SWITCHES = [
    "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_IMPLICIT_TOKEN",
    "HF_HUB_DISABLE_TELEMETRY", "DISABLE_TELEMETRY", "DO_NOT_TRACK",
]  # fmt: skip
READ = ["HOME", "HF_ENDPOINT", *PLACES, *SECRETS, *SWITCHES]


def failure(environment):
    """What a call for a kernel that is nowhere says in that environment; it always fails."""
    before = dict(os.environ)
    try:
        for name in READ:
            os.environ.pop(name, None)
        os.environ.update(environment)
        install_kernel("open/nothing", trust_remote_code=True)
    except OSError as error:
        return str(error)
    finally:
        os.environ.clear()
        os.environ.update(before)
    raise AssertionError("a kernel that is nowhere was found")


def cache(environment):
    """Where the cache is in that environment."""
    message = failure(environment | {"HF_HUB_OFFLINE": "1"})
    return re.search(r"not in the cache \('(.*)/kernels--open--nothing'\)", message)[1]


def requests(listener, environment, place):
    """The requests of a call in that environment, with the cache in `place`."""
    listener.requests.clear()
    failure(environment | {"KERNELS_CACHE": str(place)})
    return list(listener.requests)


TRUTHS = st.sampled_from(["", "0", "1", "on", "Yes", "TRUE", "tRuE", "true ", "2", "no", "auto"])
TOKENS = st.sampled_from(["", " ", "\n", "hf_a", " hf_b\n", "\thf_\r\nc ", "hf_d\r"])
PATHS = [
    "", "/tmp", "~", "~/p q", "$BASE/v", "${BASE}/w", "rel/ative", "~root/r", "$UNSET/u", "${UNSET}", "$EMPTY~/e",
    "$TILDE/t", "${odd-name}/o", "ünïcode/$BASE", "~/$$x$", "~/${x$BASE}", "$HOME/h", "a~/b", "//x//y/..",
]  # fmt: skip


def environments(base, url):
    """Some of the variables, with values; but for HF_ENDPOINT none has to be there."""
    drawn = {name: st.sampled_from(PATHS) for name in PLACES}
    drawn |= dict.fromkeys(SECRETS, TOKENS) | dict.fromkeys(SWITCHES, TRUTHS)
    drawn["HOME"] = st.sampled_from(["/", base, f"{base}/home/"])
    endpoints = st.sampled_from([url, f"{url}/", f"{url}//", f"{url}/pre/fix", f"{url}/p//"])
    fixed = {
        "BASE": base,
        "EMPTY": "",
        "TILDE": "~/tilde",
        "odd-name": f"{base}/odd",
        "no_proxy": "*",
    }
    return st.fixed_dictionaries({"HF_ENDPOINT": endpoints}, optional=drawn).map(
        lambda chosen: fixed | chosen
    )


def as_they_read_it(environment):
    """Without what is ours alone: an empty variable counts as not set, KERNELS_CACHE as the nearest HF_HUB_CACHE."""
    ours = {name: value for name, value in environment.items() if value or name == "EMPTY"}
    place = ours.pop("KERNELS_CACHE", None)
    return ours | ({"HF_HUB_CACHE": place} if place else {})


def compare(oracle, listener, environment, place):
    theirs = oracle(as_they_read_it(environment))
    assert cache(environment) == theirs["cache"]
    found = requests(listener, environment, place)
    assert (not found) == theirs["offline"]
    prefix = theirs["endpoint"].removeprefix(listener.url)
    expected = f"Bearer {theirs['token']}" if theirs["token"] else None
    for path, headers in found:
        assert path.startswith(f"{prefix}/api/")
        assert headers["Authorization"] == expected
        assert ("python/" in headers["User-Agent"]) == theirs["telemetry"]
    return theirs


def test_both_read_the_environment_alike(oracle, listener, tmp_path_factory):
    base = tmp_path_factory.mktemp("environment")
    seen = {"offline": 0, "token": 0, "file": 0}

    @settings(
        max_examples=300, deadline=None, derandomize=True, database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip
    @given(environments(str(base), listener.url), st.none() | TOKENS)
    def check(environment, content):
        file = oracle(as_they_read_it(environment))["token_path"]
        writes = content is not None and file.startswith(f"{base}/") and not os.path.isdir(file)
        if writes:
            os.makedirs(os.path.dirname(file), exist_ok=True)
            with open(file, "w", newline="") as out:
                out.write(content)
        try:
            theirs = compare(oracle, listener, environment, base / "cache")
        finally:
            if writes:
                os.unlink(file)
        seen["offline"] += theirs["offline"]
        seen["token"] += bool(theirs["token"])
        seen["file"] += writes

    check()
    assert min(seen.values()) > 10  # the comparison had something to compare


def test_without_home_it_is_the_password_databases(oracle, listener):
    environment = {"HF_ENDPOINT": listener.url}
    assert cache(environment) == oracle(environment)["cache"]
    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
        place = environment | {name: "~/there"}
        assert cache(place) == oracle(place)["cache"]


def test_an_empty_variable_counts_as_not_set(oracle, listener):
    for name in ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        environment = {"HF_ENDPOINT": listener.url, "HOME": "/home/me", name: ""}
        assert cache(environment) == "/home/me/.cache/huggingface/hub"
        assert oracle(environment)["cache"].startswith(os.getcwd())  # theirs: relative to nothing
    assert oracle({"HOME": "/home/me", "HF_ENDPOINT": ""})["endpoint"] == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [("HF_ENDPOINT", "https://"), ("HF_HUB_CACHE", "~no-such-user/x"), ("HF_TOKEN", "two words")],
)
def test_what_cannot_be_meant_is_refused_by_name(name, value, listener, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", listener.url)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=name):
        install_kernel("open/nothing")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("value", "shown"), [("1", ""), ("On", ""), ("0", "kernels: 2.0 of 4.0 MB"), ("", "kernels: 2.0 of 4.0 MB")]
)  # fmt: skip
def test_progress_is_shown_on_a_terminal_unless_it_is_switched_off(value, shown, monkeypatch):
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", value)
    monkeypatch.setattr(sys, "stderr", Terminal())
    _host.progress(2_000_000, 4_000_000)
    assert sys.stderr.getvalue().strip() == shown
