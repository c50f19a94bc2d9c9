# SPDX-License-Identifier: Apache-2.0
"""The same calls under upstream's package and this one, against the same Hub: results, exceptions, their key words."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
from hub_support import repository

PROGRAM = """
    import json, sys
    import kernels
    from kernels import VariantAccepted, get_kernel, get_kernel_variants, get_loaded_kernels, has_kernel, install_kernel

    def outcome(function, *args, **kwargs):
        try:
            value = function(*args, **kwargs)
        except Exception as error:
            bases = [cls.__name__ for cls in type(error).__mro__ if cls.__module__ == "builtins"]
            return ["error", bases, str(error)]
        return ["value", value]

    def loaded(*args, **kwargs):
        module = get_kernel(*args, **kwargs)
        found = next(each for each in get_loaded_kernels() if each.module is module)
        info, metadata = found.repo_info, found.metadata
        return [module.NAME, info.repo_id, info.revision, str(metadata.name), metadata.id, metadata.version,
                metadata.license, list(metadata.python_depends), [each.repo_id for each in metadata.kernel_depends]]

    def variants(*args, **kwargs):
        return [[type(each).__name__, each.variant.variant_str] for each in get_kernel_variants(*args, **kwargs)]

    def installed(*args, **kwargs):
        return "/".join(install_kernel(*args, **kwargs).parts[-4:])

    functions = {"loaded": loaded, "variants": variants, "installed": installed, "has": has_kernel}
    print(json.dumps([outcome(functions[name], repo, **request) for name, repo, request in json.loads(sys.argv[1])]))
"""


def test_calls_come_to_the_same(online, peer, tmp_path):
    commit = repository(
        online, "plain", branches=("main", "v1"), variants=("torch-cpu", "torch-metal")
    )
    repository(online, "base", code="VALUE = 2")
    repository(online, "user", metadata={"kernel-depends": [{"repo-id": "open/base", "version": 1}]},
               code="from kernels import get_kernel_dep\nVALUE = get_kernel_dep('open/base').VALUE")  # fmt: skip
    repository(
        online, "loop", metadata={"kernel-depends": [{"repo-id": "open/loop", "version": 1}]}
    )
    repository(online, "metal", variants=("torch-metal",))
    repository(online, "missing", metadata={"python-depends": ["helion"]})
    repository(online, "strange", metadata={"python-depends": ["no-such-thing"]})
    repository(online, "future", metadata={"kernels-minver": "99.0.0"})
    repository(online, "code", org="closed")
    both = {"version": 1, "revision": "main"}
    cases = [
        ("loaded", "open/plain", {"version": 1}, ""),
        ("loaded", "open/user", {"version": 1}, ""),
        ("installed", "open/plain", {"revision": "main"}, ""),
        ("installed", "open/plain", {"revision": commit}, ""),
        ("variants", "open/plain", {"version": 1}, ""),
        ("has", "open/plain", {"version": 1}, ""),
        ("has", "open/metal", {"version": 1}, ""),
        ("has", "open/user", {"version": 1}, ""),
        ("loaded", "open/plain", {"version": 9}, "Version 9 not found, available versions: 1"),
        ("loaded", "open/plain", both, "Only one of `revision` or `version` must be specified."),
        (
            "loaded",
            "open/metal",
            {"version": 1},
            "Cannot find a build variant for this system in open/metal",
        ),
        ("loaded", "open/loop", {"version": 1}, "Cyclic kernel dependency detected: open/loop"),
        ("loaded", "open/missing", {"version": 1}, "pip install helion"),
        ("loaded", "open/strange", {"version": 1}, "unsupported kernel dependency: no-such-thing"),
        ("loaded", "open/future", {"version": 1}, "requires kernels>=99.0.0"),
        ("loaded", "closed/code", {"version": 1}, "is not from a trusted publisher"),
        ("loaded", "closed/code", {"version": 1, "trust_remote_code": ["closed/code"]}, ""),
        ("has", "closed/code", {"version": 1}, "is not from a trusted publisher"),
        ("loaded", "open/absent", {"version": 1}, ""),
    ]
    answers = []
    for name, python in (("ours", sys.executable), ("theirs", peer)):
        env = os.environ | online.environment(tmp_path / name)
        env.pop("PYTHONPATH", None)
        done = subprocess.run(
            [python, "-c", textwrap.dedent(PROGRAM), json.dumps([case[:3] for case in cases])],
            capture_output=True, text=True, env=env, cwd="/",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        answers.append(json.loads(done.stdout.splitlines()[-1]))
    for case, ours, theirs in zip(cases, *answers, strict=True):
        assert ours[0] == theirs[0], (case, ours, theirs)
        if ours[0] == "value":
            assert ours == theirs, case
            continue
        # Ours may derive from more, never from less.
        assert set(theirs[1]) <= set(ours[1]) | {"HTTPError"}, (case, ours, theirs)
        assert case[3] in ours[2], (case, ours)
        assert case[3] in theirs[2], (case, theirs)
    if not any(answer[0] == "error" for answer in answers[1]):
        pytest.fail("upstream raised nothing: it did not meet these cases")
