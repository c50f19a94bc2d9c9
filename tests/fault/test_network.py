# SPDX-License-Identifier: Apache-2.0
"""Networks that do not play along."""

import logging
import os
import socket
import subprocess
import sys
import threading
import time

import pytest
from hub_support import kernel_files, repository, taken

from kernels import install_kernel
from kernels.errors import HubTimeoutError, NetworkError

STAGES = {"trust": "/overview", "refs": "/refs", "tree": "/tree/", "file": "/resolve/.*metadata"}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("kind", ["drop", "reset", "truncate", "status"])
def test_a_fault_that_passes_is_survived(hub, stage, kind):
    name = f"once-{kind}-{stage}"
    repository(hub, name)
    options = {"status": {"status": 503}, "reset": {"bytes": 5}, "truncate": {"bytes": 5}}.get(
        kind, {}
    )
    fault = hub.fault(kind, STAGES[stage], **options)
    assert install_kernel(f"open/{name}", version=1).is_dir()
    assert fault.fired == 1


@pytest.mark.parametrize("date", [False, True])
def test_the_hub_says_how_long_to_wait(hub, date):
    repository(hub, f"wait-{date}".lower())
    hub.fault("status", "/refs", status=429, retry_after=time.time() + 2 if date else 1)
    start = time.monotonic()
    assert install_kernel(f"open/wait-{date}".lower(), version=1).is_dir()
    assert 0.9 < time.monotonic() - start < 30


def test_a_wait_beyond_the_deadline_is_an_error_at_once(hub):
    repository(hub, "long")
    hub.fault("status", "/refs", status=429, retry_after=4000, times=-1)
    start = time.monotonic()
    with pytest.raises(OSError, match="4000"):
        install_kernel("open/long", version=1)
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("stage", STAGES)
def test_silence_ends_with_the_deadline(hub, stage, monkeypatch):
    repository(hub, f"silent-{stage}")
    monkeypatch.setenv("KERNELS_TIMEOUT", "0.6")
    hub.fault("stall", STAGES[stage], bytes=0, times=-1)
    start = time.monotonic()
    with pytest.raises(HubTimeoutError, match="KERNELS_TIMEOUT"):
        install_kernel(f"open/silent-{stage}", version=1)
    assert time.monotonic() - start < 15


def test_what_is_slow_but_moves_arrives(hub, monkeypatch):
    files = kernel_files("slow", variants=("torch-cpu",), layers=None)
    files["build/torch-cpu/large.bin"] = bytes(60_000)
    hub.repo("open/slow").commit(files, branches=["v1"])
    monkeypatch.setenv("KERNELS_TIMEOUT", "0.7")
    hub.fault("slow", "large.bin", rate=40_000, times=-1)
    assert install_kernel("open/slow", version=1).is_dir()


@pytest.mark.parametrize("request_", [{"version": 1}, {"revision": "main"}, {}])
def test_what_is_cached_serves_when_the_hub_is_gone(hub, request_, monkeypatch, caplog):
    repository(hub, "gone")
    folder = install_kernel("open/gone", **request_)
    monkeypatch.setenv("KERNELS_REFRESH_AFTER", "0")
    hub.stop()
    start = time.monotonic()
    with caplog.at_level(logging.WARNING):
        assert install_kernel("open/gone", **request_) == folder
    assert time.monotonic() - start < 20
    assert sum("is taken from the cache" in record.message for record in caplog.records) == 1


def test_a_hub_that_was_never_there(hub, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{unused.getsockname()[1]}")
    monkeypatch.setenv("KERNELS_TIMEOUT", "1")
    with pytest.raises(OSError) as error:
        install_kernel("open/never", version=1)
    assert isinstance(error.value, (NetworkError, HubTimeoutError))
    assert not isinstance(error.value, FileNotFoundError)


def test_a_hub_that_comes_back(hub):
    repository(hub, "back")
    hub.refuse(0.8)
    assert install_kernel("open/back", version=1).is_dir()


def test_a_token_goes_to_its_hub_alone(hub, monkeypatch):
    repository(hub, "token")
    monkeypatch.setenv("HF_TOKEN", "insider")
    hub.fault("redirect", "/resolve/.*metadata", location=f"{hub.cdn_url}/elsewhere", status=302)
    with pytest.raises(OSError):
        install_kernel("open/token", version=1)
    foreign = [line for line in hub.log() if line["origin"] == "cdn"]
    assert foreign
    assert not any(line["authorization"] for line in foreign)


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://x"])
def test_redirects_to_other_schemes_are_refused(hub, location):
    repository(hub, "scheme")
    hub.fault("redirect", "/tree/", location=location, times=-1)
    with pytest.raises(NetworkError):
        install_kernel("open/scheme", version=1)


def test_a_circle_of_redirects_ends(hub):
    repository(hub, "circle")
    hub.fault("loop", "/tree/", times=-1)
    with pytest.raises(NetworkError, match="redirect"):
        install_kernel("open/circle", version=1)


def test_a_proxy_from_the_environment(hub, monkeypatch):
    repository(hub, "proxied")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    monkeypatch.setenv("http_proxy", hub.url)
    assert install_kernel("open/proxied", version=1).is_dir()
    assert taken(hub)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KERNELS_TIMEOUT", "soon"),
        ("KERNELS_TIMEOUT", "0"),
        ("KERNELS_TIMEOUT", "-1"),
        ("KERNELS_REFRESH_AFTER", "nan"),
        ("KERNELS_TRUST", "everybody"),
        ("KERNELS_VERIFY", "never"),
        ("HF_ENDPOINT", "huggingface.co"),
        ("HF_ENDPOINT", "http://user:secret@host"),
        ("HF_TOKEN", "two words"),
    ],
)
def test_variables_that_make_no_sense(hub, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=name):
        install_kernel("open/anything", version=1)


STOP = """
    import os, signal, sys, threading, time
    from kernels import install_kernel
    import kernels._torch
    ticks = []
    def tick():
        while True:
            ticks.append(time.monotonic())
            time.sleep(0.01)
    threading.Thread(target=tick, daemon=True).start()
    print("ready", flush=True)
    begun = len(ticks)
    try:
        install_kernel("open/stopped", version=1)
    except KeyboardInterrupt:
        print("stopped", len(ticks) - begun >= 5, flush=True)  # the other thread ran all the while
"""


def test_ctrl_c_stops_at_once(hub):
    import textwrap

    repository(hub, "stopped")
    hub.fault("stall", "/resolve/", bytes=1, times=-1)
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(STOP)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    while not any("/resolve/" in line["path"] for line in hub.log()):
        time.sleep(0.02)
    time.sleep(0.2)
    # Another one waits for the first one's lock.
    second = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(STOP)], stdout=subprocess.PIPE, text=True
    )
    assert second.stdout.readline() == "ready\n"
    time.sleep(0.5)
    for running in (second, process):
        start = time.monotonic()
        running.send_signal(2)
        assert running.stdout.readline() == "stopped True\n"
        assert time.monotonic() - start < 5
        running.wait()
    hub.clear_faults()
    assert install_kernel("open/stopped", version=1).is_dir()


def test_threads_share_one_download(hub):
    repository(hub, "threads", extra=3)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(install_kernel("open/threads", version=1)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    asked = taken(hub)
    assert len(asked) == len(set(asked)) == 8
    assert os.path.isdir(found[0])
