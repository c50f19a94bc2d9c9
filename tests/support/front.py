# SPDX-License-Identifier: Apache-2.0
"""TLS and HTTP/2 before the loopback Hub: nghttpx, the proxy of nghttp2, with certificates of an authority of its own.

Only the standard library is used.
"""

import shutil
import socket
import subprocess
import time

HOST = "localhost"
NGHTTPX = shutil.which("nghttpx") or "/usr/sbin/nghttpx"


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def make_certificates(folder):
    """An authority, and certificates by it: for localhost, and for another host. Returns the folder."""
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
