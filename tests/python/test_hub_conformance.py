# SPDX-License-Identifier: Apache-2.0
"""The Hub of the tests and `kernels serve` behave as the public Hub: the real clients work on them."""

import http.client
import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from cli_support import PROGRAM
from hub_support import (
    FIRST,
    OTHER,
    RESOLVE,
    SECOND,
    TREE,
    WEIGHTS,
    WEIGHTS_SHA256,
    ask,
    run_client,
    set_back,
    write_repositories,
)

from hub import Hub, Served, git_oid


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """One Hub for all of these tests; `hub` sets it back for each."""
    with Hub(tmp_path_factory.mktemp("hub"), tokens=["insider", "outsider"]) as hub:
        write_repositories(hub)
        yield hub


@pytest.fixture
def hub(served):
    return set_back(served)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """`kernels serve`, to everybody."""
    trust = "--trust=open"
    with Served(tmp_path_factory.mktemp("served"), trust, program=PROGRAM) as hub:
        write_repositories(hub)
        yield hub


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """`kernels serve`, to those who have one of two tokens."""
    root = tmp_path_factory.mktemp("guarded")
    tokens = root / "tokens"
    tokens.write_text("insider\noutsider\n")
    with Served(root / "hub", f"--token-file={tokens}", program=PROGRAM) as hub:
        write_repositories(hub)
        yield hub


@pytest.fixture(params=["test hub", "kernels serve"])
def either(request):
    """What holds of both."""
    return request.getfixturevalue("hub" if request.param == "test hub" else "plain")


# The real clients


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
    check_reads(out)
    assert out["downloads"] > 0
    # The branch is asked for again, and nothing else.
    assert (out["requests again"], out["requests offline"]) == (1, 0)
    assert out["trusts"] == [False, None]
    assert all(line["authorization"] is False for line in hub.log(origin="cdn"))


def test_huggingface_hub_reads_all_that_is_served(plain, hub_client, tmp_path):
    out = run_client(hub_client, plain, tmp_path, READS, token="insider")
    check_reads(out)
    assert out["trusts"] == [None, None]


def check_reads(out):
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
    assert out["again"] is True
    assert out["organization"] == ["open", "Open Kernels", True]


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
    assert [
        (line["status"], line["authorization"], line["bytes"]) for line in hub.log(origin="cdn")
    ] == [(200, False, 102400)]
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
        assert set(out.values()) == {"HfHubHTTPError"}
        assert {line["status"] for line in hub.log(authorization=True)} == {401}
        return
    assert out == errors(within=token == "insider")
    statuses = {line["status"] for line in hub.log() if "/open/gated/resolve/" in line["path"]}
    within = token == "insider"
    assert statuses == ({200} if within else {401 if token is None else 403})


@pytest.mark.parametrize("token", ["outsider", "insider", "unknown"])
def test_errors_of_what_is_served_to_some(guarded, hub_client, tmp_path, token):
    out = run_client(hub_client, guarded, tmp_path, ERRORS, token=token)
    if token == "unknown":
        assert set(out.values()) == {"HfHubHTTPError"}
    else:
        assert out == errors(within=token == "insider")


def test_errors_of_what_is_served_to_everybody(plain, hub_client, tmp_path):
    assert run_client(hub_client, plain, tmp_path, ERRORS) == errors(within=False)


def errors(within):
    return {
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
    # A process asks for the register of agents first: by itself, the second would take one more. Where a
    # redirect is followed, each file costs a HEAD more.
    assert (out["three"], out["forty"]) == ((14, 124) if redirects else (11, 84))
    check_upstream(out)
    if not redirects:
        again = run_client(peer, hub, tmp_path, UPSTREAM_AGAIN)
        assert again == {"new process": 3, "second call": 3}


def test_upstream_loads_kernels_that_are_served(plain, peer, tmp_path):
    check_upstream(run_client(peer, plain, tmp_path, UPSTREAM))


def check_upstream(out):
    assert out["forward"] == 10.0
    assert out["revision"] == "toy"
    assert out["has"] == [True, False]
    assert out["no version"] == "ValueError"
    assert out["untrusted"] == ["ValueError", "ValueError"]
    assert out["no publisher"] == "ValueError"
    assert out["allowed"] == "three"


# What is said on the wire


def test_a_listing_is_paged_by_absolute_links(either):
    path, seen, pages = f"{TREE}&limit=2", [], 0
    while path:
        status, headers, body = ask(either, path)
        seen += [entry["path"] for entry in json.loads(body)]
        pages += 1
        link = headers.get("link")
        assert link is None or (
            link.startswith(f"<{either.url}/api/") and link.endswith('>; rel="next"')
        )
        path = link and link[1:].partition(">")[0].removeprefix(either.url)
    assert (status, pages) == (200, 3)
    assert seen == ["deep", "README.md", "weights.bin", "deep/er", "deep/er/name with space+.txt"]


def test_tree_ids_are_those_of_git(either, tmp_path):
    files = {"a/b.txt": b"b", "a.txt": b"a", "a/c/d": b"d", "a-b/e": b"e"}
    commit = either.repo("open/git", type="model").commit(files)
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)

    def git(*arguments):
        command = ["git", "-C", tmp_path, "-c", "core.autocrlf=false", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    git("init", "--quiet")
    git("add", ".")
    listed = git("ls-tree", "-r", "-t", git("write-tree").strip())
    wanted = {line.split("\t")[1]: line.split()[2] for line in listed.splitlines()}
    status, _, body = ask(either, f"/api/models/open/git/tree/{commit}?recursive=1")
    assert status == 200
    assert {entry["path"]: entry["oid"] for entry in json.loads(body)} == wanted


@pytest.mark.parametrize(
    ("asked", "status", "content_range", "body"),
    [
        ("bytes=0-9", 206, "bytes 0-9/102400", WEIGHTS[:10]),
        ("bytes=102390-", 206, "bytes 102390-102399/102400", WEIGHTS[-10:]),
        ("bytes=-4", 206, "bytes 102396-102399/102400", WEIGHTS[-4:]),
        ("bytes=5-999999", 206, "bytes 5-102399/102400", WEIGHTS[5:]),
        ("bytes=102400-", 416, "bytes */102400", b"Range Not Satisfiable"),
        ("lines=1-2", 200, None, WEIGHTS),
    ],
)
def test_ranges(either, asked, status, content_range, body):
    got, headers, received = ask(either, RESOLVE, Range=asked)
    assert (got, headers.get("content-range")) == (status, content_range)
    assert received == body


def test_if_range_asks_for_the_whole_of_another_file(either):
    etag = f'"{WEIGHTS_SHA256}"'
    assert ask(either, RESOLVE, Range="bytes=1-2", If_Range=etag)[0] == 206
    assert ask(either, RESOLVE, Range="bytes=1-2", If_Range='"other"')[0] == 200


def test_a_head_tells_what_a_get_would(either):
    status, headers, body = ask(either, RESOLVE, "HEAD")
    assert (status, headers["content-length"], body) == (200, "102400", b"")
    assert headers["etag"] == headers["x-linked-etag"] == f'"{WEIGHTS_SHA256}"'
    assert headers["x-linked-size"] == "102400"
    assert headers["x-repo-commit"] == SECOND
    assert headers["accept-ranges"] == "bytes"
    status, headers, _ = ask(either, "/open/model/resolve/main/README.md", "HEAD")
    assert (status, headers["etag"]) == (200, f'"{git_oid(OTHER)}"')


def test_small_files_are_behind_a_relative_307(hub):
    hub.set(redirect_small=True)
    status, headers, _ = ask(hub, "/open/model/resolve/main/README.md")
    assert status == 307
    assert headers["location"].startswith(
        f"/api/resolve-cache/models/open/model/{SECOND}/README.md?"
    )
    assert (headers["x-repo-commit"], headers["x-linked-size"]) == (SECOND, "16")
    status, headers, body = ask(hub, headers["location"])
    assert (status, body, headers["etag"]) == (200, OTHER, f'"{git_oid(OTHER)}"')


def test_large_files_are_behind_a_signed_302_to_another_origin(hub):
    hub.set(redirect_large=True)
    status, headers, _ = ask(hub, RESOLVE)
    assert status == 302
    assert (headers["x-linked-etag"], headers["x-linked-size"]) == (f'"{WEIGHTS_SHA256}"', "102400")
    assert headers["x-repo-commit"] == SECOND
    target = urlsplit(headers["location"])
    assert f"{target.scheme}://{target.netloc}" == hub.cdn_url
    there = {"host": target.hostname, "port": target.port}
    path = f"{target.path}?{target.query}"
    assert ask(hub, path, **there)[::2] == (200, WEIGHTS)
    assert ask(hub, path, **there, Range="bytes=0-1")[::2] == (206, WEIGHTS[:2])
    assert ask(hub, path, **there, Authorization="Bearer insider")[0] == 400
    assert ask(hub, path.replace("Signature=", "Signature=0"), **there)[0] == 403
    assert ask(hub, target.path, **there)[0] == 403
    cdn = [(line["status"], line["authorization"]) for line in hub.log(origin="cdn")]
    assert cdn == [(200, False), (206, False), (400, True), (403, False), (403, False)]

    hub.set(sign_seconds=-1)
    target = urlsplit(ask(hub, RESOLVE)[1]["location"])
    assert ask(hub, f"{target.path}?{target.query}", **there)[0] == 403


def test_a_token_is_asked_for(hub):
    hub.set(require_token=True)
    status, headers, _ = ask(hub, TREE)
    assert (status, headers["x-error-code"]) == (401, "RepoNotFound")
    assert ask(hub, "/api/organizations/open/overview")[0] == 401
    assert ask(hub, TREE, Authorization="Bearer insider")[0] == 200
    assert ask(hub, TREE, Authorization="Bearer nobody")[0] == 401


def test_hostile_requests_find_nothing(either):
    for path in ("/open/model/resolve/main/..%2f..%2frepo.json", "/open/model/resolve/main/%00"):
        status, headers, _ = ask(either, path)
        assert (status, headers["x-error-code"]) == (404, "EntryNotFound")
    assert ask(either, "/api/kernels/..%2fmodels/open/refs")[0] == 401
    assert ask(either, TREE, "POST")[0] == 405


def test_connections_are_kept_and_numbered(hub):
    link = http.client.HTTPConnection("127.0.0.1", hub.port)
    for _ in range(3):
        assert ask(hub, RESOLVE, connection=link)[0] == 200
    link.close()
    ask(hub, RESOLVE)
    first, second, third, fourth = (line["connection"] for line in hub.log())
    assert first == second == third != fourth


def test_the_log_tells_what_was_asked(hub):
    path = "/open/model/resolve/v0.1.0/README.md?download=true"
    ask(hub, path, Authorization="Bearer insider", Range="bytes=0-")
    (line,) = hub.log()
    assert {
        key: line[key] for key in line if key not in ("time", "seconds", "connection", "host")
    } == {
        "method": "GET",
        "path": "/open/model/resolve/v0.1.0/README.md",
        "query": "download=true",
        "status": 206,
        "bytes": 10,
        "origin": "hub",
        "authorization": True,
        "range": "bytes=0-",
        "user_agent": None,
        "accept_encoding": "identity",
        "proxied": False,
        "fault": None,
        "done": True,
    }
    assert abs(line["time"] - time.time()) < 10
    assert hub.log(method="HEAD") == []


def test_a_branch_moves_under_a_running_hub(either):
    repo = either.repo("open/moving")
    first = repo.commit({"a": b"1"}, branches=["v1"])
    second = repo.commit({"a": b"2"}, branches=["v1"])
    path = "/kernels/open/moving/resolve/v1/a"
    assert first != second
    assert ask(either, path)[2] == b"2"
    repo.move_branch("v1", first)
    assert ask(either, path)[2] == b"1"
    repo.move_branch("v1", None)
    status, headers, _ = ask(either, path)
    assert (status, headers["x-error-code"]) == (404, "RevisionNotFound")


def test_it_is_a_proxy_too(hub):
    status, headers, body = ask(hub, f"http://hub.invalid{TREE}&limit=1", Host="hub.invalid")
    assert status == 200
    assert headers["link"].startswith("<http://hub.invalid/api/")
    assert [(line["proxied"], line["path"]) for line in hub.log()] == [(True, urlsplit(TREE).path)]


def test_latency_is_each_requests_own(hub):
    hub.set(latency_ms=200)
    start = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: ask(hub, TREE)[0], range(16)))
    assert answers == [200] * 16
    assert 0.2 <= time.monotonic() - start < 3  # one after the other they take 3.2 s


def test_bandwidth_is_kept_to(hub):
    hub.set(bandwidth=400_000)
    start = time.monotonic()
    assert ask(hub, RESOLVE)[2] == WEIGHTS
    assert 0.2 < time.monotonic() - start < 10


# The program


def test_it_comes_back_on_its_port(tmp_path):
    with Hub(tmp_path, tokens=["t"]) as hub:
        hub.kernel("open/toy")
        hub.set(page_size=1)
        port = hub.port
        hub.stop()
        with pytest.raises(ConnectionRefusedError):
            ask(hub, TREE)
        hub.restart_on_same_port()
        assert hub.port == port
        assert len(json.loads(ask(hub, "/api/kernels/open/toy/tree/v1")[2])) == 1


def test_a_big_file_comes_whole_and_unbuffered(hub, tmp_path):
    big = tmp_path / "big.bin"
    with open(big, "wb") as file:
        file.truncate(256 << 20)
    hub.repo("open/big", type="model").commit({"big.bin": big})
    ask(hub, "/open/big/resolve/main/big.bin", "HEAD")
    start, size = time.monotonic(), 0
    link = http.client.HTTPConnection("127.0.0.1", hub.port)
    link.request("GET", "/open/big/resolve/main/big.bin")
    answer, buffer = link.getresponse(), bytearray(1 << 20)
    while count := answer.readinto(buffer):
        size += count
    link.close()
    assert size == 256 << 20
    assert time.monotonic() - start < 5
    assert hub.log(method="GET")[0]["bytes"] == 256 << 20


def test_many_clients_are_served_at_once(hub):
    with ThreadPoolExecutor(64) as pool:
        bodies = list(pool.map(lambda _: ask(hub, RESOLVE)[2], range(256)))
    assert all(body == WEIGHTS for body in bodies)
    assert len(hub.log()) == 256
