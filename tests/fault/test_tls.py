# SPDX-License-Identifier: Apache-2.0
"""A Hub behind TLS: nghttpx, the proxy of nghttp2, stands before the loopback Hub."""

import shutil
import socket
import subprocess
import time

import pytest
from hub_support import kinds, repository

from kernels import get_kernel
from kernels.errors import NetworkError

HOST = "localhost"
NGHTTPX = shutil.which("nghttpx") or "/usr/sbin/nghttpx"


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """An authority, and certificates by it: for localhost, and for another host."""
    folder = tmp_path_factory.mktemp("certificates")
    new_key = ("-newkey", "rsa:2048", "-nodes", "-days", 2)
    openssl(
        "req", "-x509", *new_key, "-subj", "/CN=Test authority",
        "-keyout", folder / "authority.key", "-out", folder / "authority.pem",
    )  # fmt: skip
    for host in (HOST, "elsewhere.test"):
        extension = folder / f"{host}.ext"
        extension.write_text(f"subjectAltName=DNS:{host}\n")
        openssl(
            "req", *new_key, "-subj", f"/CN={host}",
            "-keyout", folder / f"{host}.key", "-out", folder / f"{host}.csr",
        )  # fmt: skip
        openssl(
            "x509", "-req", "-days", 2, "-in", folder / f"{host}.csr", "-extfile", extension,
            "-CA", folder / "authority.pem", "-CAkey", folder / "authority.key",
            "-CAcreateserial", "-out", folder / f"{host}.pem",
        )  # fmt: skip
    return folder


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, process):
    for _ in range(400):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    raise TimeoutError("nghttpx does not listen")


class Front:
    """nghttpx before the Hub; its log has a line "<client's port> <protocol>" for each request."""

    def __init__(self, hub, folder, certificates, protocols="h2,http/1.1", host=HOST):
        self.port = free_port()
        self.log = folder / "access.log"
        self.process = subprocess.Popen(
            [
                NGHTTPX,
                f"--frontend=127.0.0.1,{self.port}",
                f"--backend=127.0.0.1,{hub.port}",
                "--conf=/dev/null",
                "--workers=1",
                f"--npn-list={protocols}",
                f"--accesslog-file={self.log}",
                "--accesslog-format=$remote_port $alpn",
                "--no-ocsp",
                str(certificates / f"{host}.key"),
                str(certificates / f"{host}.pem"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for(self.port, self.process)

    @property
    def url(self):
        return f"https://{HOST}:{self.port}"

    def requests(self):
        return [tuple(line.split()) for line in self.log.read_text().splitlines()]

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()


@pytest.fixture
def front(hub, tmp_path, monkeypatch, certificates):
    """Starts a proxy whose authority is trusted, and makes it the Hub."""
    fronts = []

    def start(trusted=True, **options):
        made = Front(hub, tmp_path, certificates, **options)
        fronts.append(made)
        monkeypatch.setenv("HF_ENDPOINT", made.url)
        if trusted:
            monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "authority.pem"))
        return made

    yield start
    for made in fronts:
        made.stop()


def test_http2_carries_all_requests_over_one_connection(hub, front):
    repository(hub, "tls-forty", extra=38)
    behind = front()
    assert get_kernel("open/tls-forty", version=1).NAME == "tls-forty"
    requests = behind.requests()
    assert {protocol for _, protocol in requests} == {"h2"}
    assert len({port for port, _ in requests}) == 1
    assert len(requests) == 43 == len(kinds(hub))


def test_http1_over_tls_keeps_its_connections(hub, front):
    repository(hub, "tls-old", extra=38)
    behind = front(protocols="http/1.1")
    assert get_kernel("open/tls-old", version=1).NAME == "tls-old"
    requests = behind.requests()
    assert {protocol for _, protocol in requests} == {"http/1.1"}
    assert len(requests) == 43
    assert len({port for port, _ in requests}) <= 24  # as many as there are to one host at once


def test_an_unknown_authority_is_refused_at_once(hub, front):
    repository(hub, "tls-unknown")
    behind = front(trusted=False)
    begun = time.monotonic()
    with pytest.raises(NetworkError, match="certificate"):
        get_kernel("open/tls-unknown", version=1)
    assert time.monotonic() - begun < 10  # the deadline is 60 s
    assert not behind.log.exists() or behind.requests() == []


def test_a_certificate_for_another_host_is_refused(hub, front):
    repository(hub, "tls-elsewhere")
    behind = front(host="elsewhere.test")
    with pytest.raises(NetworkError, match=f"(?i)certificate.*{HOST}"):
        get_kernel("open/tls-elsewhere", version=1)
    assert not behind.log.exists() or behind.requests() == []


def test_a_redirect_from_https_to_http_is_refused(hub, front):
    repository(hub, "tls-down")
    front()
    hub.fault("redirect", match="/resolve/", location=f"{hub.url}/elsewhere")
    with pytest.raises(NetworkError, match="redirects from https to 'http://"):
        get_kernel("open/tls-down", version=1)


def test_a_token_goes_over_tls(hub, front, monkeypatch):
    hub.repo("open/tls-private", private=True, grants=["insider"])
    repository(hub, "tls-private")
    front()
    monkeypatch.setenv("HF_TOKEN", "insider")
    assert get_kernel("open/tls-private", version=1).NAME == "tls-private"
