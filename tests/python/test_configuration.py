# SPDX-License-Identifier: Apache-2.0
"""kernels.toml is in force under callers that know nothing of it. A process reads it once: each test has another."""

import contextlib
import functools
import http.server
import json
import shutil
import sys
import threading

import pytest
from hub_support import run_client, set_back

from hub import Hub

FP8 = "kernels-community/finegrained-fp8"  # transformers asks for its version 4
LAYERS = """
    import torch.nn as nn


    class Tenfold(nn.Module):
        def forward(self, x):
            return x * 10
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with Hub(tmp_path_factory.mktemp("hub")) as hub:
        for repo, versions in {"open/two": (1, 2), FP8: (3, 4)}.items():
            for version in versions:
                hub.kernel(
                    repo,
                    branches=("main", f"v{version}"),
                    tags=(f"v{version}.0",),
                    layers=LAYERS,
                    code=f"SAYS = {version}",
                    metadata={"version": version},
                )
        hub.kernel("closed/one", trusted=False, code="SAYS = 1")
        yield hub


@pytest.fixture
def run(shared, tmp_path):
    """run(toml, code): what the code put into `out`, with kernels.toml as it is given."""
    set_back(shared)

    def one(toml, code, token=None, **environment):
        file = tmp_path / "kernels.toml"
        file.write_text(toml)
        environment["KERNELS_CONFIG"] = str(file)
        return run_client(sys.executable, shared, tmp_path, code, token, **environment)

    one.file = tmp_path / "kernels.toml"
    return one


GET = """
    import logging
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stdout)
    from kernels import LayerRepository, get_kernel, get_local_kernel, has_kernel, install_kernel
    from kernels.errors import DeniedError, UntrustedError

    def says(*arguments, **named):
        return get_kernel(*arguments, **named).SAYS
"""


def test_a_pin_holds_whatever_version_is_asked_for(run):
    out = run(
        '[pin]\n"open/two" = 1\n',
        GET
        + """
    out["main"] = says("open/two")
    out["version"] = says("open/two", version=2)
    out["specifier"] = says("open/two", version=">=2")
    out["tag"] = says("open/two", revision="v2.0")
    """,
    )
    assert out == {"main": 1, "version": 1, "specifier": 1, "tag": 1}


def test_a_denied_kernel_is_refused_with_file_and_line(run):
    out = run(
        'deny = [\n  "two >= 2",\n]\n',
        GET
        + """
    out["one"] = says("open/two", version=1)
    out["newest"] = says("open/two", version=">=1")
    out["has"] = [has_kernel("open/two", version=n) for n in (1, 2)]
    for name, named in {"version": {"version": 2}, "main": {"revision": "main"}}.items():
        try:
            get_kernel("open/two", trust_remote_code=True, **named)
        except DeniedError as denied:
            out[name] = str(denied), isinstance(denied, FileNotFoundError)
    """,
    )
    line = f'is denied by "two >= 2" in {run.file}:2; use another version, or change that line'
    assert out == {
        "one": 1,
        "newest": 1,
        "has": [True, False],
        "version": [f"'open/two' at version 2 {line}", True],
        "main": [f"'open/two' at version 2 {line}", True],
    }


PLAN = """
    import torch.nn as nn
    from kernels import LayerRepository, explain, kernelize, plan, use_kernel_mapping
    from kernels import KernelizeFallback, Mode, use_kernel_forward_from_hub
    from kernels.errors import DeniedError

    @use_kernel_forward_from_hub("Tenfold")
    class Own(nn.Module):
        def forward(self, x):
            return x

    model = nn.Sequential(Own())
    repository = LayerRepository("open/two", layer_name="Tenfold", version=2)
    def told(plan):
        [decision] = plan
        return decision.action, decision.reason, decision.message
"""


def test_a_plan_says_what_was_pinned_and_by_whom(run):
    out = run(
        '[pin]\n"open/two" = 1\n',
        PLAN
        + """
    with use_kernel_mapping({"Tenfold": {"cpu": repository}}):
        kernelize(model, mode=Mode.INFERENCE, device="cpu")
        out["plan"] = told(plan(model, mode=Mode.INFERENCE, device="cpu"))
    out["explain"] = told(explain(model))
    out["runs"] = model(1)
    """,
    )
    why = (
        "registered for cpu under FALLBACK; "
        f"version 1 instead of version 2, as {run.file}:2 pins it"
    )
    told = ["replace", "mapped", why]
    assert out == {"plan": told, "explain": told, "runs": 10}


def test_a_denied_layer_keeps_its_forward(run):
    out = run(
        'deny = ["open/*"]\n',
        PLAN
        + """
    with use_kernel_mapping({"Tenfold": {"cpu": repository}}):
        out["plan"] = told(plan(model, mode=Mode.INFERENCE, device="cpu"))
        kernelize(model, mode=Mode.INFERENCE, device="cpu")
        out["explain"] = told(explain(model))
        try:
            kernelize(model, mode=Mode.INFERENCE, device="cpu", use_fallback=False)
        except DeniedError as denied:
            out["strict"] = str(denied)
    out["runs"] = model(1)
    """,
    )
    why = f"'open/two' at version 2 is denied by \"open/*\" in {run.file}:1; use another kernel, or change that line"
    told = ["keep", "denied", why]
    assert out == {"plan": told, "explain": told, "strict": why, "runs": 1}


def test_transformers_obeys_pins_and_denies(run):
    load = """
    from transformers.integrations import hub_kernels
    kernel = hub_kernels.lazy_load_kernel("finegrained-fp8")
    out["says"] = kernel and kernel.SAYS
    """
    assert run("", load) == {"says": 4}
    assert run(f'[pin]\n"{FP8}" = 3\n', load) == {"says": 3}
    assert run('deny = ["finegrained-fp8 >= 4"]\n', load) == {"says": None}
    assert run(f'deny = ["finegrained-fp8 >= 4"]\npin = {{"{FP8}" = 3}}\n', load) == {"says": 3}


def test_a_publisher_is_trusted_by_the_file(run):
    get = GET + '    out["says"] = says("closed/one")\n'
    assert run('[trust]\norganizations = ["closed"]\n', get) == {"says": 1}
    refused = """
    try:
        get_kernel("closed/one")
    except UntrustedError as error:
        out["error"] = str(error)
    """
    out = run('[trust]\nrepositories = ["closed/two"]\n', GET + refused)
    assert "is not from a trusted publisher" in out["error"]


def test_what_changed_is_in_the_log(run, shared, tmp_path):
    code = (
        GET
        + """
    import io
    stream = io.StringIO()
    logging.getLogger().addHandler(logging.StreamHandler(stream))
    says("open/two", version=2)
    out["log"] = [line for line in stream.getvalue().splitlines() if "pins" in line]
    """
    )
    out = run('[pin]\n"open/two" = 1\n', code)
    assert out["log"] == [f"'open/two': version 1 instead of version 2, as {run.file}:2 pins it"]


def test_a_wrong_file_fails_what_looks_for_kernels_and_no_import(run):
    out = run(
        "\n[pins]\n",
        """
    import kernels
    try:
        kernels.has_kernel("open/two")
    except ValueError as wrong:
        out["error"] = str(wrong)
    """,
    )
    assert out["error"] == (
        f"{run.file}:2:2: unknown key 'pins' in kernels.toml; did you mean 'pin'?"
    )


def test_a_lock_and_a_directory_stand_above_a_pin(run, shared, tmp_path):
    commit = shared.repo("open/two").about["branches"]["v2"]
    lock = tmp_path / "kernels.lock"
    entry = {"dependency": {"repo-id": "open/two", "version": 2}, "lock": {"commit": commit}}
    lock.write_text(json.dumps([entry]))
    code = (
        GET
        + f"""
    from kernels import get_locked_kernel
    out["locked"] = get_locked_kernel("open/two", lockfile={str(lock)!r}).SAYS
    out["commit"] = says("open/two", revision={commit!r})
    """
    )
    assert run('[pin]\n"open/two" = 1\n', code) == {"locked": 2, "commit": 2}
    denied = (
        GET
        + f"""
    from kernels import get_locked_kernel
    out["locked"] = error(get_locked_kernel, "open/two", lockfile={str(lock)!r})
    """
    )
    assert run('deny = ["open/two >= 2"]\n', denied) == {"locked": "DeniedError"}


# Sources


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """Another Hub, which wants a token of its own, and calls nobody trusted but `team`."""
    with Hub(tmp_path_factory.mktemp("second"), tokens=["theirs"], require_token=True) as hub:
        hub.kernel("team/own", layers=LAYERS, code="SAYS = 'second'")
        hub.kernel("closed/one", trusted=False, code="SAYS = 'second'")
        yield hub


def source(**keys):
    return "[[source]]\n" + "".join(
        f'{key.replace("_", "-")} = "{value}"\n' for key, value in keys.items()
    )


def test_what_one_hub_does_not_have_comes_from_the_next(run, shared, second, tmp_path):
    (tmp_path / "token").write_text("theirs\n")
    code = (
        GET
        + """
    out["own"] = says("team/own", version=1)
    out["shared"] = says("open/two", version=2)
    out["untrusted"] = error(get_kernel, "closed/one")
    """
    )
    shared.reset_log()
    toml = source(hub=second.url, token_file=tmp_path / "token")
    out = run(toml, code, token="ours")
    assert out == {"own": "second", "shared": 2, "untrusted": "UntrustedError"}


def test_each_token_goes_to_its_own_hub(run, shared, second, tmp_path):
    code = GET + '    out["own"] = error(get_kernel, "team/own", version=1)\n'
    toml = source(hub=second.url)
    assert run(toml, code, token="theirs")["own"] == "RepositoryNotFoundError"  # HF_TOKEN is ours
    second.reset_log()
    toml = source(hub=second.url, token_variable="THEIR_TOKEN")
    assert run(toml, code, THEIR_TOKEN="theirs")["own"] is None
    assert second.log()


@pytest.fixture
def mirror(run, shared, tmp_path):
    """A copy of a cache, as rsync -rL makes it."""
    run("", GET + '    out["say"] = [says("open/two", version=n) for n in (1, 2)]\n')
    shutil.copytree(tmp_path / "hub", tmp_path / "mirror", symlinks=False)
    shutil.rmtree(tmp_path / "hub")
    return tmp_path / "mirror"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextlib.contextmanager
def plain_web(folder):
    """A web server that knows nothing of kernels: its address."""
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def web(mirror):
    with plain_web(mirror) as address:
        yield address


ALONE = {"HF_ENDPOINT": ""}  # no Hub but those in the file
TWO = (
    GET
    + """
    out["says"] = [says("open/two", version=n) for n in (1, 2)]
    """
)


@pytest.mark.parametrize("kind", ["directory", "mirror"])
def test_a_copy_of_a_cache_serves_without_a_hub(run, shared, mirror, web, kind):
    shared.reset_log()
    address = source(**{kind: mirror if kind == "directory" else web})
    assert run('[trust]\norganizations = ["open"]\n' + address, TWO, **ALONE) == {"says": [1, 2]}
    refused = GET + '    out["error"] = error(get_kernel, "open/two")\n'
    shutil.rmtree(mirror.parent / "hub")
    assert run(address, refused, **ALONE) == {"error": "UntrustedError"}
    assert shared.log() == []


@pytest.mark.parametrize("kind", ["directory", "mirror"])
def test_a_copy_of_a_cache_knows_its_tags(run, shared, tmp_path, kind):
    shared.kernel(f"open/{kind}", branches=("main",), tags=("v0.1.0",), code="SAYS = 'tagged'")
    code = GET + f'    out["says"] = says("open/{kind}", version=">=0.1")\n'
    assert run("", code) == {"says": "tagged"}
    (tmp_path / "hub").rename(tmp_path / "kept")
    shutil.copytree(tmp_path / "kept", tmp_path / "mirror", symlinks=False)
    with plain_web(tmp_path / "mirror") as address:
        toml = source(**{kind: tmp_path / "mirror" if kind == "directory" else address})
        out = run('[trust]\norganizations = ["open"]\n' + toml, code, **ALONE)
    assert out == {"says": "tagged"}


def test_a_hub_says_what_is_there_and_a_mirror_brings_it(run, shared, web):
    shared.reset_log()
    assert run(source(mirror=web) + source(hub=shared.url), TWO, **ALONE) == {"says": [1, 2]}
    asked = {line["path"].split("/")[-1] for line in shared.log()}
    assert "refs" in asked and not any(name.endswith(".py") for name in asked)


def test_wrong_bytes_of_a_mirror_come_from_the_hub(run, shared, mirror):
    for file in mirror.glob("*/snapshots/*/build/torch-cpu/layers.py"):
        file.write_bytes(file.read_bytes().replace(b"10", b"66"))
    toml = source(directory=mirror) + source(hub=shared.url)
    assert run(toml, TWO, **ALONE) == {"says": [1, 2]}
    for file in (mirror.parent / "hub").glob("*/snapshots/*/build/torch-cpu/layers.py"):
        assert b"66" not in file.read_bytes()
    shutil.rmtree(mirror.parent / "hub")
    alone = '[trust]\norganizations = ["open"]\n' + source(directory=mirror)
    refused = GET + '    out["error"] = error(get_kernel, "open/two", version=1)\n'
    assert run(alone, refused, **ALONE) == {"error": "IntegrityError"}


def test_huggingface_hubs_cache_is_a_mirror_too(run, shared, mirror):
    for folder in mirror.glob("*/.kernels/listings"):
        trees = folder.parent.parent / "trees"
        trees.mkdir()
        for file in folder.iterdir():
            files = {
                entry["path"]: {"size": entry["size"], "blob_id": entry["oid"]}
                for entry in json.loads(file.read_text())
            }
            (trees / file.name).write_text(json.dumps({"format_version": 1, "files": files}))
        shutil.rmtree(folder.parent)
    toml = '[trust]\nrepositories = ["open/two"]\n' + source(directory=mirror)
    assert run(toml, TWO, **ALONE) == {"says": [1, 2]}
