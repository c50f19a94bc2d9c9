# SPDX-License-Identifier: Apache-2.0
"""The loopback Hub behaves as the public one: the real clients work on it; and each of its faults does harm."""

import hashlib
import http.client
import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from hub import Hub, git_oid, kernel_files

WEIGHTS = bytes(range(256)) * 400  # 102400 bytes: an LFS file here
WEIGHTS_SHA256 = "27783e87963a4efb6829b531c9ba57b44f45797f6770bd637fbf0d807cbdbae0"
README = b"# A model\n"
OTHER = b"# Another model\n"
FIRST = "1" * 40
SECOND = "2" * 40
PULLED = "3" * 40


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


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """One Hub for all of these tests; `hub` sets it back for each."""
    with Hub(tmp_path_factory.mktemp("hub"), tokens=["insider", "outsider"]) as hub:
        write_repositories(hub)
        yield hub


@pytest.fixture
def hub(served):
    served.clear_faults()
    served.set(
        latency_ms=0,
        bandwidth=0,
        page_size=1000,
        sign_seconds=3600,
        redirect_small=False,
        redirect_large=False,
        require_token=False,
    )
    served.reset_log()
    return served


# The real clients

CLIENT = """
    import json, os, sys, urllib.request

    def requests():
        "How many requests there were since the last time."
        url = os.environ["HF_ENDPOINT"] + "/_control"
        with urllib.request.urlopen(url + "/log") as answer:
            count = len(answer.read().splitlines())
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
    done = subprocess.run(
        [python, "-c", program],
        env=clean | hub.environment(home, token) | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="session", params=["KN_PEER_PYTHON", "KN_HUB1_PYTHON"])
def hub_client(request):
    """A Python that has huggingface_hub 2.4, and one that has 1.33; `make test` provides them."""
    python = os.environ.get(request.param)
    if not python:
        pytest.fail(f"set {request.param}, or run `make test`")
    return python


READS = """
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download
    from pathlib import Path

    api = HfApi()
    refs = api.list_repo_refs("open/model", include_pull_requests=True)
    out["branches"] = sorted((ref.name, ref.ref, ref.target_commit) for ref in refs.branches)
    out["tags"] = sorted((ref.name, ref.target_commit) for ref in refs.tags)
    out["pulls"] = [(ref.name, ref.ref) for ref in refs.pull_requests]

    out["tree"] = [
        (at.path, getattr(at, "size", None), getattr(at, "blob_id", None),
         at.lfs.sha256 if getattr(at, "lfs", None) else None)
        for at in api.list_repo_tree("open/model", recursive=True)
    ]
    out["top"] = [at.path for at in api.list_repo_tree("open/model")]
    expanded = list(api.list_repo_tree("open/model", "deep", recursive=True, expand=True))
    out["expanded"] = [(at.path, at.last_commit.oid) for at in expanded]

    out["kernel"] = [api.repo_info("open/toy", repo_type="kernel", revision=at).sha
                     for at in (None, "main", "v1", "v0.1.0", "refs/heads/v1")]
    info = api.model_info("open/model", revision="v0.1.0", files_metadata=True)
    out["model"] = [info.sha, info.id, [(at.rfilename, at.size) for at in info.siblings]]
    out["slashes"] = api.model_info("open/model", revision="feature/x").sha
    out["commits"] = [at.commit_id for at in api.list_repo_commits("open/model")]

    out["readmes"] = [
        Path(hf_hub_download("open/model", "README.md", revision=at)).read_text()
        for at in ("main", "v0.1.0", "refs/pr/1", "1" * 40)
    ]
    out["odd name"] = Path(hf_hub_download("open/model", "deep/er/name with space+.txt")).read_text()

    requests()
    model = Path(snapshot_download("open/model"))
    out["weights"] = (model / "weights.bin").stat().st_size
    out["commit folder"] = model.name
    kernel = Path(snapshot_download("open/toy", repo_type="kernel", revision="v1"))
    out["kernel files"] = sorted(str(at.relative_to(kernel)) for at in kernel.rglob("*.*"))
    out["blobs"] = sorted(at.name for at in (kernel.parents[1] / "blobs").iterdir())
    out["downloads"] = requests()
    out["again"] = str(snapshot_download("open/toy", repo_type="kernel", revision="v1")) == str(kernel)
    out["requests again"] = requests()
    snapshot_download("open/toy", repo_type="kernel", revision="v1", local_files_only=True)
    out["requests offline"] = requests()

    organization = api.get_organization_overview("open")
    out["organization"] = [organization.name, organization.fullname, organization.trustedKernelPublisher]
    out["trusts"] = [getattr(api.get_organization_overview(name), "trustedKernelPublisher", None)
                     for name in ("closed", "silent")]
"""


@pytest.mark.parametrize("redirects", [False, True], ids=["direct", "redirected"])
def test_huggingface_hub_reads_all_of_it(hub, hub_client, tmp_path, redirects):
    hub.set(page_size=3, redirect_small=redirects, redirect_large=redirects)
    out = run_client(hub_client, hub, tmp_path, READS, token="insider")
    assert out["branches"] == [
        ["feature/x", "refs/heads/feature/x", SECOND],
        ["main", "refs/heads/main", SECOND],
    ]
    assert out["tags"] == [["v0.1.0", FIRST], ["v0.2.0", SECOND]]
    assert out["pulls"] == [["1", "refs/pr/1"]]
    assert out["tree"] == [
        ["deep", None, None, None],
        ["README.md", 16, git_oid(OTHER), None],
        ["weights.bin", 102400, "7a206a8a3af594b3a84d2daac4f184782e91a830", WEIGHTS_SHA256],
        ["deep/er", None, None, None],
        ["deep/er/name with space+.txt", 4, git_oid(b"deep"), None],
    ]
    assert out["top"] == ["deep", "README.md", "weights.bin"]
    assert out["expanded"] == [["deep/er", SECOND], ["deep/er/name with space+.txt", SECOND]]
    assert out["kernel"] == [FIRST] * 5
    assert out["model"] == [FIRST, "open/model", [["README.md", 10], ["weights.bin", 102400]]]
    assert out["slashes"] == SECOND
    assert out["commits"] == [SECOND, FIRST]
    assert out["readmes"] == ["# Another model\n", "# A model\n", "# A model\n", "# A model\n"]
    assert out["odd name"] == "deep"
    assert (out["weights"], out["commit folder"]) == (102400, SECOND)
    assert out["kernel files"] == [
        "build/torch-cpu/__init__.py",
        "build/torch-cpu/layers.py",
        "build/torch-cpu/metadata.json",
        "build/torch-cpu/toy.so",
        "build/torch-universal/__init__.py",
        "build/torch-universal/layers.py",
        "build/torch-universal/metadata.json",
    ]
    assert WEIGHTS_SHA256 in out["blobs"]
    assert out["downloads"] > 0
    assert (out["again"], out["requests offline"]) == (True, 0)
    assert out["organization"] == ["open", "Open Kernels", True]
    assert out["trusts"] == [False, None]
    assert all(line["authorization"] is False for line in hub.log(origin="cdn"))


def test_redirected_downloads_went_by_the_redirects(hub, hub_client, tmp_path):
    hub.set(redirect_small=True, redirect_large=True)
    code = """
        from huggingface_hub import snapshot_download
        from pathlib import Path
        folder = Path(snapshot_download("open/model"))
        import hashlib
        out["sha256"] = hashlib.sha256((folder / "weights.bin").read_bytes()).hexdigest()
    """
    out = run_client(hub_client, hub, tmp_path, code, token="insider")
    assert out["sha256"] == WEIGHTS_SHA256
    assert [(line["status"], line["authorization"], line["bytes"]) for line in hub.log(origin="cdn")] == [
        (200, False, 102400)
    ]
    assert {line["status"] for line in hub.log() if "/resolve/" in line["path"]} == {302, 307}
    small = [line for line in hub.log(method="GET") if "/api/resolve-cache/" in line["path"]]
    assert len(small) == 2
    assert all(line["authorization"] and line["status"] == 200 for line in small)


ERRORS = """
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download

    api = HfApi()
    get = hf_hub_download
    out["repository"] = error(get, "open/nothing", "a")
    out["repository refs"] = error(api.list_repo_refs, "open/nothing", repo_type="kernel")
    out["repository info"] = error(api.repo_info, "open/nothing", repo_type="kernel")
    out["revision"] = error(get, "open/model", "README.md", revision="v9")
    out["revision info"] = error(api.repo_info, "open/model", revision="4" * 40)
    out["revision tree"] = error(lambda: list(api.list_repo_tree("open/model", revision="v9")))
    out["entry"] = error(get, "open/model", "no.md")
    out["entry tree"] = error(lambda: list(api.list_repo_tree("open/model", "no")))
    out["hidden"] = error(get, "open/hidden", "a")
    out["hidden info"] = error(api.repo_info, "open/hidden")
    out["gated"] = error(get, "open/gated", "a")
    out["gated snapshot"] = error(snapshot_download, "open/gated")
    out["gated info"] = error(api.repo_info, "open/gated")
    out["organization"] = error(api.get_organization_overview, "nobody")
"""


@pytest.mark.parametrize("token", [None, "outsider", "insider", "unknown"])
def test_errors_are_the_classes_of_the_real_hub(hub, hub_client, tmp_path, token):
    out = run_client(hub_client, hub, tmp_path, ERRORS, token=token)
    if token == "unknown":  # nothing is for a token that is no token
        assert set(out.values()) == {"HfHubHTTPError", "LocalEntryNotFoundError"} or set(
            out.values()
        ) == {"HfHubHTTPError"}
        return
    within = token == "insider"
    assert out == {
        "repository": "RepositoryNotFoundError",
        "repository refs": "RepositoryNotFoundError",
        "repository info": "RepositoryNotFoundError",
        "revision": "RevisionNotFoundError",
        "revision info": "RevisionNotFoundError",
        "revision tree": "RevisionNotFoundError",
        "entry": "RemoteEntryNotFoundError",
        "entry tree": "RemoteEntryNotFoundError",
        "hidden": None if within else "RepositoryNotFoundError",
        "hidden info": None if within else "RepositoryNotFoundError",
        "gated": None if within else "GatedRepoError",
        "gated snapshot": None if within else "GatedRepoError",
        "gated info": None,
        "organization": "HfHubHTTPError",
    }
    statuses = {line["status"] for line in hub.log() if "/open/gated/resolve/" in line["path"]}
    assert statuses == ({200} if within else {401 if token is None else 403})


UPSTREAM = """
    from kernels import get_kernel, has_kernel
    import torch

    requests()
    kernel = get_kernel("open/three", version=1)
    out["three"] = requests()
    out["forward"] = kernel.layers.Tenfold().forward(torch.ones(1)).item()
    get_kernel("open/forty", version=1)
    out["forty"] = requests()
    out["revision"] = get_kernel("open/toy", revision="v0.1.0").NAME
    out["has"] = [has_kernel("open/three", version=1), has_kernel("open/unfit", version=1)]
    out["no version"] = error(get_kernel, "open/three", version=7)
    out["untrusted"] = [error(get_kernel, f"{name}/three", version=1) for name in ("closed", "silent")]
    out["no publisher"] = error(get_kernel, "nobody/three", version=1)
    out["allowed"] = get_kernel("closed/three", version=1, trust_remote_code=True).NAME
"""

UPSTREAM_AGAIN = """
    from kernels import get_kernel
    requests()
    get_kernel("open/three", version=1)
    out["new process"] = requests()
    get_kernel("open/three", version=1)
    out["second call"] = requests()
"""


@pytest.mark.parametrize("redirects", [False, True], ids=["direct", "redirected"])
def test_upstream_loads_kernels_in_as_many_requests_as_ever(hub, peer, tmp_path, redirects):
    hub.set(redirect_small=redirects, redirect_large=redirects)
    out = run_client(peer, hub, tmp_path, UPSTREAM)
    # Each file costs a HEAD more where a redirect is followed.
    assert (out["three"], out["forty"]) == ((14, 124) if redirects else (11, 84))
    assert out["forward"] == 10.0
    assert out["revision"] == "toy"
    assert out["has"] == [True, False]
    assert out["no version"] == "ValueError"
    assert out["untrusted"] == ["ValueError", "ValueError"]
    assert out["no publisher"] == "ValueError"
    assert out["allowed"] == "three"
    if not redirects:
        again = run_client(peer, hub, tmp_path, UPSTREAM_AGAIN)
        assert again == {"new process": 3, "second call": 3}
