# SPDX-License-Identifier: Apache-2.0
"""`kernels serve`: real clients on a machine without the public Hub, and those who mean no good."""

import hashlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cli_support import PROGRAM
from front import make_certificates
from hub_support import ask, run_client

from hub import Hub, Served, kernel_files

LIBRARY = bytes(range(256)) * 400


@pytest.fixture
def serve(tmp_path):
    """serve(folder, "--trust=open", NAME=value): a running `kernels serve`."""
    running = []

    def start(folder, *options, **environment):
        running.append(Served(folder, *options, program=PROGRAM, **environment))
        return running[-1].start()

    yield start
    for hub in running:
        hub.stop()


@pytest.fixture
def folder(tmp_path):
    """A folder in the plain form, with a kernel."""
    hub = Hub(tmp_path / "plain")
    files = kernel_files("toy") | {"build/torch-cpu/toy.so": LIBRARY}
    hub.repo("open/toy", lfs=["*.so"]).commit(files, ["main", "v1"], ["v0.1.0"])
    return hub.root


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    """HF_HOME folders of a machine with a network, by the client that filled them."""
    root = tmp_path_factory.mktemp("caches")
    fetch = """
        from huggingface_hub import snapshot_download
        out["path"] = snapshot_download("open/toy", repo_type="kernel", revision="v1")
    """
    with Hub(root / "hub") as hub:
        hub.organization("open", trusted=True)
        files = kernel_files("toy") | {"build/torch-cpu/toy.so": LIBRARY}
        hub.repo("open/toy", lfs=["*.so"]).commit(files, ["main", "v1"], ["v0.1.0"])
        get(hub, root / "ours", "open/toy", "--version", "1")
        for name in ("KN_PEER_PYTHON", "KN_HUB1_PYTHON"):
            run_client(os.environ[name], hub, root / name, fetch)
    return root


def get(hub, home, *words, **environment):
    return subprocess.run(
        [PROGRAM, "get", *words],
        env=os.environ | hub.environment(home) | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def content(folder):
    """What a folder holds, and when it changed."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_mtime_ns, path.lstat().st_size)
        for path in sorted(Path(folder).rglob("*"))
    }


# ---- clients ----


@pytest.mark.parametrize("filled_by", ["ours", "KN_PEER_PYTHON", "KN_HUB1_PYTHON"])
def test_a_cache_serves_a_team_without_the_public_hub(
    caches, serve, peer_python, tmp_path, filled_by
):
    cache = caches / filled_by / "hub"
    before = content(cache)
    hub = serve(cache, "--trust=open")

    ours = get(hub, tmp_path / "ours", "open/toy", "--version", "1")
    assert ours.returncode == 0, ours.stderr
    assert hashlib.sha256(Path(ours.stdout.strip(), "toy.so").read_bytes()).hexdigest() == (
        "27783e87963a4efb6829b531c9ba57b44f45797f6770bd637fbf0d807cbdbae0"
    )
    upstream = """
        from kernels import get_kernel
        out["name"] = get_kernel("open/toy", version=1).NAME
    """
    assert run_client(peer_python, hub, tmp_path / "peer", upstream) == {"name": "toy"}
    download = """
        from huggingface_hub import snapshot_download
        from pathlib import Path
        folder = Path(snapshot_download("open/toy", repo_type="kernel", revision="v1"))
        out["size"] = (folder / "build/torch-cpu/toy.so").stat().st_size
    """
    for number, name in enumerate(("KN_PEER_PYTHON", "KN_HUB1_PYTHON")):
        out = run_client(os.environ[name], hub, tmp_path / str(number), download)
        assert out == {"size": 102400}

    assert hub.stop() == 0
    offline = get(hub, tmp_path / "ours", "open/toy", "--version", "1", HF_HUB_OFFLINE="1")
    assert (offline.returncode, offline.stdout) == (0, ours.stdout)
    assert content(cache) == before


@pytest.fixture(scope="session")
def peer_python():
    return os.environ["KN_PEER_PYTHON"]


def test_trust_is_the_operators_to_give(folder, serve, tmp_path):
    (folder / "organizations").mkdir()
    (folder / "organizations/open.json").write_text('{"trustedKernelPublisher": true}')
    refused = get(serve(folder), tmp_path / "a", "open/toy", "--version", "1")
    assert refused.returncode == 4
    trusted = serve(folder, "--trust=other,open")
    assert get(trusted, tmp_path / "b", "open/toy", "--version", "1").returncode == 0
    other = serve(folder, "--trust=op,opener,other")
    assert get(other, tmp_path / "c", "open/toy", "--version", "1").returncode == 4


def test_a_folder_that_changes_while_it_is_served(folder, serve, tmp_path):
    hub = serve(folder, "--trust=open")
    assert get(hub, tmp_path / "a", "open/late", "--version", "1").returncode == 1
    Hub(folder).repo("open/late").commit(kernel_files("late"), ["v1"])
    assert get(hub, tmp_path / "a", "open/late", "--version", "1").returncode == 0


def test_tokens_let_in(folder, serve, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("# the team\nsesame\n")
    hub = serve(folder, "--trust=open", f"--token-file={tokens}")
    wanted = ("open/toy", "--version", "1")
    assert get(hub, tmp_path / "a", *wanted).returncode != 0
    assert get(hub, tmp_path / "b", *wanted, HF_TOKEN="sesam").returncode != 0
    assert get(hub, tmp_path / "c", *wanted, HF_TOKEN="sesame").returncode == 0
    assert "sesame" not in hub.text()
    status, headers, body = ask(hub, "/api/kernels/open/toy/refs")
    assert (status, json.loads(body)) == (401, {"error": "Invalid username or password."})


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def test_tls_by_certificate_files(folder, serve, certificates, tmp_path):
    hub = serve(
        folder, "--trust=open", "--host=localhost",
        f"--tls-cert={certificates}/localhost.pem", f"--tls-key={certificates}/localhost.key",
    )  # fmt: skip
    assert hub.url.startswith("https://localhost:")
    wanted = ("open/toy", "--version", "1")
    authority = {"SSL_CERT_FILE": str(certificates / "authority.pem")}
    assert get(hub, tmp_path / "a", *wanted).returncode == 3
    good = get(hub, tmp_path / "b", *wanted, **authority)
    assert good.returncode == 0, good.stderr
    download = """
        from huggingface_hub import snapshot_download
        out["path"] = bool(snapshot_download("open/toy", repo_type="kernel", revision="v1"))
    """
    python = os.environ["KN_PEER_PYTHON"]
    assert run_client(python, hub, tmp_path / "c", download, **authority) == {"path": True}


def test_tls_takes_many_and_cuts_those_that_say_nothing(folder, serve, certificates):
    hub = serve(
        folder, "--timeout=1",
        f"--tls-cert={certificates}/localhost.pem", f"--tls-key={certificates}/localhost.key",
    )  # fmt: skip
    context = ssl.create_default_context(cafile=certificates / "authority.pem")
    context.check_hostname = False

    def fetch(_):
        link = http.client.HTTPSConnection("127.0.0.1", hub.port, context=context, timeout=60)
        link.request("GET", "/kernels/open/toy/resolve/main/build/torch-cpu/toy.so")
        try:
            return link.getresponse().read() == LIBRARY
        finally:
            link.close()

    with ThreadPoolExecutor(32) as pool:
        assert all(pool.map(fetch, range(96)))
    with socket.create_connection(("127.0.0.1", hub.port), timeout=30) as link:
        quiet = context.wrap_socket(link)
        assert quiet.recv(1) == b""


def test_64_clients_at_once(folder, serve):
    hub = serve(folder)
    path = "/kernels/open/toy/resolve/main/build/torch-cpu/toy.so"
    with ThreadPoolExecutor(64) as pool:
        bodies = list(pool.map(lambda _: ask(hub, path)[2], range(256)))
    assert all(body == LIBRARY for body in bodies)
    hub.stop()
    assert len(hub.log(method="GET", path=path, status=200, bytes=102400)) == 256


# ---- those who mean no good ----


def wire(hub, request):
    """What comes back for these bytes until the connection ends."""
    with socket.create_connection(("127.0.0.1", hub.port), timeout=30) as link:
        link.sendall(request)
        got = b""
        try:
            while piece := link.recv(65536):
                got += piece
        except ConnectionResetError:
            pass
        return got


@pytest.mark.parametrize(
    "target",
    [
        "/kernels/open/toy/resolve/main/../../../../../etc/passwd",
        "/kernels/open/toy/resolve/main/..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/kernels/open/toy/resolve/main/%2e%2e/%2e%2e/repo.json",
        "/kernels/open/toy/resolve/main//etc/passwd",
        "/kernels/open/toy/resolve/main/%2fetc%2fpasswd",
        "/kernels/open/toy/resolve/main/build%00/../secret",
        "/kernels/open/toy/resolve/main/..%5c..%5csecret",
        "/kernels/open/toy/resolve/main/link",
        "/kernels/open/toy/resolve/main/folder/secret",
        "/kernels/open/toy/resolve/main/pipe",
        "/kernels/open/toy/resolve/..%2f..%2f..%2f..%2f/secret",
        "/kernels/%2e%2e/%2e%2e/resolve/main/secret",
        "/api/kernels/../../tree/main",
        "/api/organizations/..%2f..%2fsecret/overview",
        "http://127.0.0.1/secret",
        "secret",
    ],
)
def test_no_request_leads_out_of_the_folder(folder, serve, tmp_path, target):
    (tmp_path / "secret").write_text("SECRET")
    (commit,) = (folder / "kernels/open/toy/commits").iterdir()
    (commit / "link").symlink_to(tmp_path / "secret")
    (commit / "folder").symlink_to(tmp_path)
    os.mkfifo(commit / "pipe")
    hub = serve(folder)
    answer = wire(hub, f"GET {target} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n".encode())
    assert answer.split()[1] in (b"400", b"401", b"404"), answer
    assert b"SECRET" not in answer and b"root:" not in answer and b"branches" not in answer


def test_what_is_too_much_is_refused(folder, serve):
    hub = serve(folder, "--timeout=2")
    many = "".join(f"X-{number}: a\r\n" for number in range(100))
    assert wire(hub, f"GET / HTTP/1.1\r\nHost: h\r\n{many}\r\n".encode()).split()[1] == b"431"
    assert wire(hub, b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n").split()[1] == b"414"
    body = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n123456789"
    assert wire(hub, body).split()[1] == b"413"
    assert wire(hub, b"\x00\xff\x16\x03\x01\r\n\r\n")[:12] in (
        b"",
        b"HTTP/1.1 400",
        b"HTTP/1.0 400",
    )

    start = time.monotonic()
    assert wire(hub, b"GET / HTTP/1.1\r\nHost: ") == b""  # and nothing more
    assert time.monotonic() - start < 20


def test_one_address_has_so_many_connections(folder, serve):
    hub = serve(folder, "--max-per-address=4")
    held = [socket.create_connection(("127.0.0.1", hub.port), timeout=30) for _ in range(4)]
    for link in held:
        link.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert link.recv(1) == b"H"
    assert wire(hub, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n") == b""
    for link in held:
        link.close()


def test_lines_in_the_log_are_lines(folder, serve):
    hub = serve(folder)
    wire(
        hub,
        b'GET /a"b\x1b[31m HTTP/1.1\r\nUser-Agent: x\x1b"y\r\nHost: h\r\nConnection: close\r\n\r\n',
    )
    hub.stop()
    (line,) = hub.text().splitlines()
    assert line.isascii() and line.isprintable() and line.count('"') == 4


def test_nothing_is_open_to_children(folder, serve):
    hub = serve(folder)
    ask(hub, "/api/kernels/open/toy/refs")
    link = http.client.HTTPConnection("127.0.0.1", hub.port)
    ask(hub, "/api/kernels/open/toy/refs", connection=link)
    folder = Path(f"/proc/{hub.process.pid}/fdinfo")
    flags = {file.name: file.read_text() for file in folder.iterdir() if int(file.name) > 2}
    link.close()
    open_to_children = [
        number
        for number, text in flags.items()
        if not int(text.split("flags:")[1].split()[0], 8) & 0o2000000
    ]
    assert flags and open_to_children == []


# ---- the program ----


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_transfer_ends_before_the_program_does(folder, serve, tmp_path, ending):
    big = tmp_path / "big"
    with open(big, "wb") as file:
        file.truncate(64 << 20)
    Hub(folder).repo("open/big").commit({"big.bin": big}, ["main"])
    hub = serve(folder)
    path = "/kernels/open/big/resolve/main/big.bin"
    ask(hub, path, "HEAD")
    idle = socket.create_connection(("127.0.0.1", hub.port), timeout=30)
    link = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=30)
    link.request("GET", path)
    answer = link.getresponse()
    received = len(answer.read(1 << 20))
    hub.process.send_signal(ending)
    assert idle.recv(1) == b""
    time.sleep(0.2)
    received += len(answer.read())
    assert received == 64 << 20
    assert hub.process.wait(timeout=30) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", hub.port))
    link.close()
    idle.close()


def test_the_log_and_quiet(folder, serve):
    loud, quiet = serve(folder), serve(folder, "--quiet")
    for hub in (loud, quiet):
        assert ask(hub, "/api/kernels/open/toy/refs", User_Agent="tester/1")[0] == 200
        assert hub.stop() == 0
    (line,) = loud.log()
    assert (line["address"], line["method"], line["status"]) == ("127.0.0.1", "GET", 200)
    assert line["path"] == "/api/kernels/open/toy/refs"
    assert loud.text().rstrip().endswith('"tester/1"')
    assert quiet.text() == ""


def test_links_know_the_address_behind_a_proxy(folder, serve):
    path = "/api/kernels/open/toy/tree/main?limit=1&recursive=true"
    headers = ask(serve(folder, "--url=https://hub.example/kernels"), path)[1]
    assert headers["link"].startswith(
        "<https://hub.example/kernels/api/kernels/open/toy/tree/main?"
    )
    hub = serve(folder)
    assert ask(hub, path)[1]["link"].startswith(f"<{hub.url}/api/")
    assert ask(hub, path, Host="a>b")[1]["link"].startswith(f"<{hub.url}/api/")


def test_what_cannot_be_served_is_told(cli, tmp_path, folder):
    for words, status, part in (
        (["none"], 1, "'none' cannot be served: No such file or directory"),
        ([folder / "kernels/open/toy/repo.json"], 1, "cannot be served: Not a directory"),
        ([folder, "--port", "70000"], 2, "--port takes a number from 0 to 65535, not '70000'"),
        ([folder, "--timeout", "soon"], 2, "--timeout takes a number from 1 to 86400, not 'soon'"),
        ([folder, "--tls-cert", "cert.pem"], 1, "only one of the two was given"),
        ([folder, "--tls-cert=a", "--tls-key=b"], 1, "the certificate 'a' cannot be used"),
        ([folder, "--token-file", "none"], 1, "none"),
        ([], 2, "DIR is missing"),
    ):
        result = cli("serve", *words)
        assert (result.returncode, result.stdout) == (status, ""), result.stderr
        assert part in result.stderr
