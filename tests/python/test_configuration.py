# SPDX-License-Identifier: Apache-2.0
"""kernels.toml is in force under callers that know nothing of it. It is read once in a process: each test has its own."""

import sys

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

    def one(toml, code, **environment):
        file = tmp_path / "kernels.toml"
        file.write_text(toml)
        return run_client(
            sys.executable, shared, tmp_path, code, KERNELS_CONFIG=str(file), **environment
        )

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
    why = f'\'open/two\' at version 2 is denied by "open/*" in {run.file}:1; use another kernel, or change that line'
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
    code = GET + """
    import io
    stream = io.StringIO()
    logging.getLogger().addHandler(logging.StreamHandler(stream))
    says("open/two", version=2)
    out["log"] = [line for line in stream.getvalue().splitlines() if "pins" in line]
    """
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
    lock.write_text(
        '[{"dependency": {"repo-id": "open/two", "version": 2}, "lock": {"commit": "%s"}}]' % commit
    )
    code = GET + f"""
    from kernels import get_locked_kernel
    out["locked"] = get_locked_kernel("open/two", lockfile={str(lock)!r}).SAYS
    out["commit"] = says("open/two", revision={commit!r})
    """
    assert run('[pin]\n"open/two" = 1\n', code) == {"locked": 2, "commit": 2}
    denied = GET + f"""
    from kernels import get_locked_kernel
    out["locked"] = error(get_locked_kernel, "open/two", lockfile={str(lock)!r})
    """
    assert run('deny = ["open/two >= 2"]\n', denied) == {"locked": "DeniedError"}
