# SPDX-License-Identifier: Apache-2.0
"""The wheel where nothing is installed: in a bare Debian 12, as root, run by `make test-wheel` only.

KN_BARE is the folder of that system, which tests/wheel/bare.sh makes. The Hub runs outside; the network is shared.
"""

import os
import re
import shutil
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest
from front import Front, make_certificates
from hub_support import repository, set_back

from hub import Hub

ROOT = Path(__file__).resolve().parents[2]
BARE = Path(os.environ["KN_BARE"])
MIB = 1 << 20
# What runs in the bare system: with /proc, which goes away with it.
ENTER = 'mount -t proc proc "$1/proc" && exec /usr/sbin/chroot "$@"'


@pytest.fixture(scope="session")
def wheel():
    (file,) = (ROOT / "dist").glob("kernels-*.whl")
    return file


@pytest.fixture(scope="session")
def unpacked(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def is_kernel(path):
    return "/builtin/" in str(path)


def binaries(folder):
    """What the linker made, without the first-party kernels."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not is_kernel(path) and path.open("rb").read(4) == b"\x7fELF"
    ]


def tool(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


# ---- the file ----


def test_the_tag_says_what_glibc_it_needs(wheel):
    assert re.fullmatch(r"kernels-\S+-cp310-abi3-manylinux_2_34_x86_64\.whl", wheel.name)


def test_it_takes_less_than_ten_megabytes(unpacked):
    sizes = {
        str(path.relative_to(unpacked)): path.stat().st_size
        for path in unpacked.rglob("*")
        if path.is_file()
    }
    ours = {name: size for name, size in sizes.items() if not is_kernel(name)}
    for name, size in sorted(ours.items(), key=lambda item: -item[1])[:4]:
        print(f"{size / MIB:8.2f} MiB {name}")
    print(f"{sum(ours.values()) / MIB:8.2f} MiB without first-party kernels")
    print(f"{sum(sizes.values()) / MIB:8.2f} MiB with them")
    assert sum(ours.values()) < 10 * 10**6


def test_no_binary_needs_more_than_the_c_library(unpacked):
    allowed = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2"}
    files = binaries(unpacked)
    assert {file.name for file in files} >= {"kernels", "_core.abi3.so", "libkernels_net.so"}
    for file in files:
        needed = re.findall(r"\(NEEDED\).*\[(.*)\]", tool("readelf", "-d", file))
        assert set(needed) <= allowed, file.name


def test_nothing_of_the_libraries_inside_is_seen_from_outside(unpacked):
    for file in binaries(unpacked):
        names = {line.split()[-1] for line in tool("nm", "-D", "--defined-only", file).splitlines()}
        own = {name for name in names if not re.match(r"kni?_|PyInit_", name)}
        # A program has copies of the C library's variables, by their versions.
        assert {name for name in own if "@" not in name} <= {"_IO_stdin_used"}, file.name


def test_binaries_are_stripped(unpacked):
    for file in binaries(unpacked):
        assert ".symtab" not in tool("readelf", "--sections", "--wide", file), file.name


def test_sha256_has_its_instructions(unpacked):
    code = tool("objdump", "-d", unpacked / "kernels" / "libkernels_net.so")
    assert "sha256rnds2" in code


def test_the_licences_of_what_is_inside_travel_with_it(unpacked):
    (folder,) = unpacked.glob("*.dist-info/licenses/bundled")
    assert sorted(file.stem for file in folder.iterdir()) == [
        "curl", "jansson", "libmicrohttpd", "nghttp2", "openssl", "tomlplusplus",
    ]  # fmt: skip
    assert all(len(file.read_text()) > 500 for file in folder.iterdir())


# ---- installed in the bare system ----


class System:
    """The bare system, with a virtual environment in /opt/app that has the wheel and nothing else."""

    def __init__(self, wheel):
        self.app = BARE / "opt/app"
        for name in ("opt", "tmp/home"):
            shutil.rmtree(BARE / name, ignore_errors=True)
            (BARE / name).mkdir(parents=True)
        (BARE / "etc/hosts").write_text("127.0.0.1 localhost\n")
        self.run("python3", "-m", "venv", "--without-pip", "/opt/app")
        # pip travels as plain files: the system has none.
        (pip,) = Path(sys.prefix).glob("lib/python3*/site-packages/pip")
        shutil.copytree(pip, BARE / "opt/pip/pip")
        shutil.copy(wheel, BARE / "opt")
        self.run(
            "/opt/app/bin/python", "-m", "pip", "install", "--no-index", f"/opt/{wheel.name}",
            PYTHONPATH="/opt/pip",
        )  # fmt: skip
        (self.site,) = self.app.glob("lib/python3*/site-packages")

    def _how(self, command, environment):
        """The arguments of a process in the bare system."""
        clean = {"PATH": "/usr/bin:/bin", "HOME": "/tmp/home", "LANG": "C.UTF-8"} | environment
        enter = ["unshare", "--mount", "--", "sh", "-c", ENTER, "enter", BARE, *command]
        return {"args": enter, "env": clean, "text": True}

    def start(self, *command, **environment):
        """A process that goes on, with its standard output."""
        return subprocess.Popen(**self._how(command, environment), stdout=subprocess.PIPE)

    def run(self, *command, check=True, **environment):
        how = self._how(command, environment)
        done = subprocess.run(**how, capture_output=True, timeout=120)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def python(self, code, **environment):
        return self.run("/opt/app/bin/python", "-c", textwrap.dedent(code), **environment)


@pytest.fixture(scope="session")
def system(wheel):
    return System(wheel)


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    with Hub(tmp_path_factory.mktemp("hub")) as hub:
        hub.organization("open", trusted=True)
        repository(hub, "plain", variants=("torch-universal",))
        yield hub


@pytest.fixture
def hub(shared):
    return set_back(shared)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def secure(hub, tmp_path, certificates):
    front = Front(hub, tmp_path, certificates)
    yield front
    front.stop()


@pytest.fixture
def environment(hub):
    """Of a client in the bare system, with a cache that is empty."""
    shutil.rmtree(BARE / "tmp/home", ignore_errors=True)
    (BARE / "tmp/home").mkdir()
    return hub.environment("/tmp/home/hf")


GET = "from kernels import get_kernel; print(get_kernel('open/plain', version=1).NAME)"


def test_the_command_tells_its_version(system):
    done = system.run("/opt/app/bin/kernels", "--version")
    assert (ROOT / "VERSION").read_text().strip() in done.stdout


def test_the_doctor_finds_the_environment_without_torch(system, environment):
    done = system.run("/opt/app/bin/kernels", "doctor", check=False, **environment)
    assert "/opt/app" in done.stdout
    assert "no torch" in done.stdout


def test_import_needs_no_torch(system):
    done = system.python("import sys, kernels; print('torch' in sys.modules, kernels.__version__)")
    assert done.stdout.startswith("False ")


def test_a_kernel_comes_over_plain_http(system, environment):
    assert system.python(GET, **environment).stdout == "plain\n"


def test_the_command_fetches_and_python_finds_it_offline(system, environment):
    system.run("/opt/app/bin/kernels", "get", "open/plain", "--version", "1", **environment)
    assert system.python(GET, **environment, HF_HUB_OFFLINE="1").stdout == "plain\n"


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_kernel_comes_over_https_with_an_authority_of_ours(
    system, environment, secure, certificates, variable
):
    shutil.copy(certificates / "authority.pem", BARE / "tmp/home/authority.pem")
    environment |= {"HF_ENDPOINT": secure.url, variable: "/tmp/home/authority.pem"}
    assert system.python(GET, **environment).stdout == "plain\n"
    assert {protocol for _, protocol in secure.requests()} == {"h2"}


@pytest.mark.parametrize(
    "program", [("/opt/app/bin/python", "-c", GET), ("/opt/app/bin/kernels", "get", "open/plain")]
)
def test_certifi_is_used_without_running_it(system, environment, secure, certificates, program):
    folder = system.site / "certifi"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise SystemExit('certifi was run')\n")
    shutil.copy(certificates / "authority.pem", folder / "cacert.pem")
    try:
        system.run(*program, **environment | {"HF_ENDPOINT": secure.url})
    finally:
        shutil.rmtree(folder)
    assert secure.requests()


def test_the_systems_authorities_are_found(system, environment, secure, certificates):
    folder = BARE / "etc/ssl/certs"
    assert not folder.exists()  # bare: https would have no authorities at all
    folder.mkdir(parents=True)
    shutil.copy(certificates / "authority.pem", folder / "ca-certificates.crt")
    try:
        done = system.python(GET, **environment | {"HF_ENDPOINT": secure.url})
    finally:
        shutil.rmtree(folder)
    assert done.stdout == "plain\n"


def test_without_authorities_the_error_names_the_variables(system, environment, secure):
    environment |= {"HF_ENDPOINT": secure.url}
    done = system.run("/opt/app/bin/kernels", "get", "open/plain", check=False, **environment)
    assert done.returncode == 3
    assert "set SSL_CERT_FILE or REQUESTS_CA_BUNDLE" in done.stderr
    assert not secure.log.exists() or secure.requests() == []


# ---- a Hub in the bare system ----


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_what_was_fetched_is_served_to_others(system, environment, certificates, secure):
    home = BARE / "tmp/home"
    system.run("/opt/app/bin/kernels", "get", "open/plain", "--version", "1", **environment)
    for name in ("authority.pem", "localhost.pem", "localhost.key"):
        shutil.copy(certificates / name, home / name)
    options = ["--tls-cert", "/tmp/home/localhost.pem", "--tls-key", "/tmp/home/localhost.key"]
    server = system.start(
        "/opt/app/bin/kernels", "serve", "/tmp/home/hf/hub", "--port", "0", "--trust", "open", "--quiet",
        "--host", "localhost", *(options if secure else []),
    )  # fmt: skip
    try:
        url = server.stdout.readline().strip()
        assert url.startswith("https://localhost:" if secure else "http://localhost:")
        client = environment | {
            "HF_ENDPOINT": url,
            "HF_HOME": "/tmp/home/other",
            "HF_HUB_CACHE": "/tmp/home/other/hub",
            "SSL_CERT_FILE": "/tmp/home/authority.pem",
        }
        assert system.python(GET, **client).stdout == "plain\n"
    finally:
        server.terminate()
        server.stdout.close()
        assert server.wait(timeout=60) == 0


# ---- beside other copies of the same libraries ----

BESIDE = """
    import ctypes, ssl, sys, urllib.request
    {before}
    from kernels import get_kernel

    def ask():
        context = ssl.create_default_context(cafile="{authority}")
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({{}}), urllib.request.HTTPSHandler(context=context)
        )
        return opener.open("{url}/api/kernels/open/plain").status

    assert ask() == 200
    assert get_kernel("open/plain", version=1).NAME == "plain"
    assert ask() == 200
    {after}
    print("both")
"""


def test_pythons_ssl_works_beside_it(system, environment, secure, certificates):
    shutil.copy(certificates / "authority.pem", BARE / "tmp/home/authority.pem")
    code = BESIDE.format(before="", after="", authority="/tmp/home/authority.pem", url=secure.url)
    environment |= {"HF_ENDPOINT": secure.url, "SSL_CERT_FILE": "/tmp/home/authority.pem"}
    assert system.python(code, **environment).stdout == "both\n"


def test_the_systems_libcurl_and_torch_work_beside_it(hub, secure, certificates, wheel, tmp_path):
    """Here, where they are: libcurl and libcrypto are in the process first, with all their symbols."""
    site = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--target", site, wheel],
        check=True,
    )  # fmt: skip
    code = BESIDE.format(
        before="curl, crypto = (ctypes.CDLL(name, ctypes.RTLD_GLOBAL)"
        " for name in ('libcurl.so.4', 'libcrypto.so.3'))\n    import torch",
        after="assert torch.ones(3).sum() == 3; curl.curl_global_init(3);"
        " assert curl.curl_easy_init()",
        authority=certificates / "authority.pem",
        url=secure.url,
    )
    environment = hub.environment(tmp_path / "home") | {
        "HF_ENDPOINT": secure.url,
        "SSL_CERT_FILE": str(certificates / "authority.pem"),
        "PYTHONPATH": str(site),
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "both\n"
