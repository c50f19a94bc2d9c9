# SPDX-License-Identifier: Apache-2.0
"""`kernels serve` against nginx: 64 clients, the same files of a cache, in turns.

The clients are wrk, and huggingface_hub's own, whose questions nginx can answer too, as far as they are about files.
Small files have 4 KiB, the large one KN_BENCH_MIB (256). Both servers write a line for each request. nginx and wrk are
Debian's: apt-get install nginx-light wrk.
"""

import hashlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

from side_by_side import peer_python, table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from front import free_port

from hub import Served

MIB = int(os.environ.get("KN_BENCH_MIB", "256"))
ROUNDS = int(os.environ.get("KN_BENCH_ROUNDS", "3"))
CLIENTS, SMALL_FILES, LARGE_CLIENTS = 64, 256, 4
SECONDS = 5
COMMIT = "1" * 40
PROGRAM = Path(sys.prefix) / "bin" / "kernels"
NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")

CONFIGURATION = """
daemon off;
user root;
worker_processes auto;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log {folder}/access.log;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    client_body_temp_path {folder}/body;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location ~ ^/open/files/resolve/[^/]+/(.*)$ {{
            alias {files}/$1;
            add_header X-Repo-Commit {commit};
        }}
    }}
}}
"""

# Each thread fetches its share of the files, into a cache of its own.
DOWNLOAD = """
    import json, sys, tempfile, time
    from concurrent.futures import ThreadPoolExecutor
    from huggingface_hub import hf_hub_download

    names, clients, folder = json.loads(sys.argv[1])

    def fetch(number):
        failed = 0
        with tempfile.TemporaryDirectory(dir=folder) as cache:
            for name in names[number::clients] if len(names) > 1 else names:
                try:
                    hf_hub_download("open/files", name, revision="1" * 40, cache_dir=cache)
                except Exception:
                    failed += 1
        return failed

    hf_hub_download("open/files", "small/0.bin", revision="1" * 40, cache_dir=tempfile.mkdtemp(dir=folder))
    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        failed = sum(pool.map(fetch, range(clients)))
    print(json.dumps([time.perf_counter() - start, failed]))
"""


def write_cache(root):
    """A cache as huggingface_hub leaves it, with a repository; returns the folder of its files."""
    repository = root / "models--open--files"
    files = repository / "snapshots" / COMMIT
    (repository / "blobs").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(COMMIT)
    (files / "small").mkdir(parents=True)

    def add(name, content):
        digest = hashlib.sha256(content).hexdigest()
        blob = repository / "blobs" / digest
        blob.write_bytes(content)
        link = files / name
        link.symlink_to(os.path.relpath(blob, link.parent))

    for number in range(SMALL_FILES):
        add(f"small/{number}.bin", os.urandom(4096))
    add("large.bin", os.urandom(1 << 20) * MIB)
    return files


class Nginx:
    def __init__(self, files, folder):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        file = folder / "nginx.conf"
        text = CONFIGURATION.format(folder=folder, port=self.port, files=files, commit=COMMIT)
        file.write_text(text)
        self.process = subprocess.Popen([NGINX, "-c", file], stderr=subprocess.DEVNULL)

    def stop(self):
        self.process.terminate()
        self.process.wait()


def wrk(url, connections, unit):
    """What wrk gets through in a second, and how many requests failed."""
    done = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--timeout=60s", url],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    errors = sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", done)))
    errors += sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", done)))
    if unit == "requests":
        return float(re.search(r"Requests/sec:\s*([\d.]+)", done).group(1)), errors
    number, size = re.search(r"Transfer/sec:\s*([\d.]+)([KMG]?B)", done).groups()
    return float(number) * {"B": 1e-6, "KB": 1e-3, "MB": 1, "GB": 1e3}[size], errors


def download(url, names, clients, folder):
    """Files a second that huggingface_hub's client fetches, and how many failed."""
    home = tempfile.mkdtemp(dir=folder)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    done = subprocess.run(
        [peer_python(), "-c", textwrap.dedent(DOWNLOAD), json.dumps([names, clients, home])],
        env=clean | {"HF_ENDPOINT": url, "HF_HOME": home, "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    shutil.rmtree(home)
    seconds, failed = json.loads(done.stdout)
    count = len(names) if len(names) > 1 else clients
    return count / seconds, failed


def measure(servers, folder):
    small = [f"small/{number}.bin" for number in range(SMALL_FILES)]
    at = f"/open/files/resolve/{COMMIT}"
    loads = {
        f"wrk, {CLIENTS} clients, 4 KiB": (
            "requests/s",
            lambda url: wrk(f"{url}{at}/small/1.bin", CLIENTS, "requests"),
        ),
        f"wrk, {CLIENTS} clients, {MIB} MiB": (
            "MB/s",
            lambda url: wrk(f"{url}{at}/large.bin", CLIENTS, "bytes"),
        ),
        f"huggingface_hub, {CLIENTS} clients, 4 KiB": (
            "files/s",
            lambda url: download(url, small, CLIENTS, folder),
        ),
        f"huggingface_hub, {LARGE_CLIENTS} clients, {MIB} MiB": (
            "files/s",
            lambda url: download(url, ["large.bin"], LARGE_CLIENTS, folder),
        ),
    }
    rows = []
    for name, (unit, load) in loads.items():
        samples = {server: [] for server in servers}
        for _ in range(ROUNDS):
            for server, url in servers.items():
                samples[server].append(load(url))
        ours, nginx = (statistics.median(rate for rate, _ in samples[s]) for s in servers)
        errors = [sum(failed for _, failed in samples[server]) for server in servers]
        digits = 0 if nginx >= 100 else 1
        rows.append(
            (
                name,
                f"{ours:.{digits}f} {unit}",
                f"{nginx:.{digits}f} {unit}",
                f"{ours / nginx:.2f} x",
                f"{errors[0]}, {errors[1]}",
            )
        )
    print(f"kernels serve and nginx, on the same files; medians of {ROUNDS}, in turns")
    table(("", "kernels serve", "nginx", "ratio", "errors"), rows)


def main():
    missing = [
        package
        for package, there in (("nginx-light", NGINX), ("wrk", shutil.which("wrk")))
        if not there
    ]
    if missing:
        sys.exit(
            f"bench_serve: this needs {' and '.join(missing)}: apt-get install {' '.join(missing)}"
        )
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        folder = Path(name)
        (folder / "nginx").mkdir()
        files = write_cache(folder / "cache")
        nginx = Nginx(files, folder / "nginx")
        limits = ("--max-per-address=512",)
        with Served(folder / "cache", *limits, program=PROGRAM) as served:
            time.sleep(1)
            measure({"kernels serve": served.url, "nginx": nginx.url}, folder)
        nginx.stop()


if __name__ == "__main__":
    main()
