# SPDX-License-Identifier: Apache-2.0
"""Whose code runs, what kernels need, where repositories went, and what works offline."""

import json
import logging

import pytest
from hub_support import age, kernel_files, records, repository, taken

import kernels
from kernels import get_kernel, get_kernel_dep, get_local_kernel, has_kernel, install_kernel
from kernels.errors import DependencyError, IntegrityError, NetworkError, UntrustedError


def offline_mode(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


# ---- publishers ----


def test_an_untrusted_publisher_is_refused_before_anything_is_fetched(online, tmp_path):
    repository(online, "code", org="closed")
    for call in (get_kernel, install_kernel, has_kernel):
        with pytest.raises(
            ValueError, match="'closed/code' is not from a trusted publisher"
        ) as error:
            call("closed/code", version=1)
        assert isinstance(error.value, UntrustedError)
        assert "trust_remote_code=True" in str(error.value)
    assert set(taken(online)) == {"trust", "refs"}
    with pytest.raises(UntrustedError):
        get_kernel("closed/code", version=1, trust_remote_code=["closed/other"])
    module = get_kernel("closed/code", version=1, trust_remote_code=["closed/code"])
    assert get_kernel("closed/code", version=1, trust_remote_code=True) is module
    with pytest.raises(UntrustedError):
        get_kernel("closed/code", version=1)


def test_an_unknown_publisher_is_not_trusted(online):
    repository(online, "code", org="nobody")
    with pytest.raises(UntrustedError):
        install_kernel("nobody/code", version=1)


def test_answers_about_publishers_are_recorded(online, tmp_path, monkeypatch, caplog):
    repository(online, "recorded")
    install_kernel("open/recorded", version=1)
    (file,) = records(tmp_path, "trust.json")
    assert json.loads(file.read_text())["trusted"] == 1
    offline_mode(monkeypatch)
    age(tmp_path, "trust.json", 10 * 86400)
    assert install_kernel("open/recorded", version=1).is_dir()
    file.write_text(file.read_text().replace('"trusted": 1', '"trusted": 0'))
    with pytest.raises(UntrustedError):
        get_kernel("open/recorded", revision="v1")
    assert get_kernel("open/recorded", revision="v1", trust_remote_code=True).NAME == "recorded"
    file.unlink()
    monkeypatch.setenv("KERNELS_TRUST", "strict")
    with pytest.raises(UntrustedError):
        get_kernel("open/recorded", version="1")
    monkeypatch.delenv("KERNELS_TRUST")
    with caplog.at_level(logging.WARNING):
        assert get_kernel("open/recorded", version=1).NAME == "recorded"
        assert get_kernel("open/recorded", version=1).NAME == "recorded"
    assert caplog.text.count("whether its publisher is trusted was never asked") == 1


def test_a_network_that_fails_says_nothing_of_trust(online):
    repository(online, "failing")
    online.fault("status", "/overview", status=500, times=-1)
    with pytest.raises(NetworkError) as error:
        install_kernel("open/failing", version=1)
    assert "trust_remote_code" not in str(error.value)


def test_what_is_here_needs_no_trust(online, toy, monkeypatch):
    monkeypatch.setenv("LOCAL_KERNELS", f"closed/toy={toy}")
    assert get_kernel("closed/toy") is get_local_kernel(toy)
    get_kernel("builtin/norm")
    assert taken(online) == []


# ---- kernels that need kernels, and other needs ----


def depends(*entries):
    return {"metadata": {"kernel-depends": list(entries)}}


def on(repo_id, **how):
    return {"repo-id": repo_id, **(how or {"version": 1})}


def test_kernels_that_a_kernel_needs_are_imported_before_it(online):
    repository(online, "base", code="VALUE = 5")
    find = "from kernels import get_kernel_dep\n"
    left = find + "VALUE = get_kernel_dep('open/base').VALUE + 1"
    repository(online, "left", code=left, **depends(on("open/base")))
    repository(online, "right", code=left, **depends(on("open/base", revision="main")))
    top = find + "VALUE = get_kernel_dep('open/left').VALUE * get_kernel_dep('open/right').VALUE"
    repository(online, "top", code=top, **depends(on("open/left"), on("open/right")))
    assert has_kernel("open/top", version=1) is True
    assert get_kernel("open/top", version=1).VALUE == 36
    taken(online)
    assert get_kernel("open/top", version=1).VALUE == 36
    assert taken(online) == []
    with pytest.raises(RuntimeError, match="only works during kernel loading"):
        get_kernel_dep("open/base")


def test_a_circle_names_the_way_round(online):
    repository(online, "ring1", **depends(on("open/ring2")))
    repository(online, "ring2", **depends(on("open/ring3")))
    repository(online, "ring3", **depends(on("open/ring1")))
    with pytest.raises(ValueError, match="Cyclic kernel dependency detected: ") as error:
        get_kernel("open/ring1", version=1)
    for name in (
        "open/ring1 -> open/ring2",
        "open/ring2 -> open/ring3",
        "open/ring3 -> open/ring1",
    ):
        assert name in str(error.value)


def test_a_dependency_that_cannot_be_had_is_named(online):
    repository(online, "secret", org="closed")
    repository(online, "needs", **depends(on("closed/secret")))
    with pytest.raises(UntrustedError, match="open/needs depends on 'closed/secret'"):
        get_kernel("open/needs", version=1)
    assert get_kernel("open/needs", version=1, trust_remote_code=["closed/secret"]).NAME == "needs"


def test_a_local_kernel_may_need_one_of_the_hub(online, tmp_path):
    repository(online, "remote", code="VALUE = 7")
    code = "from kernels import get_kernel_dep\nVALUE = get_kernel_dep('open/remote').VALUE"
    files = kernel_files(
        "near", variants=("torch-cpu",), layers=None, code=code, **depends(on("open/remote"))
    )
    for path, content in files.items():
        file = tmp_path / "near" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    assert get_local_kernel(tmp_path / "near").VALUE == 7


def test_python_packages_that_are_missing_are_named(online, monkeypatch):
    repository(online, "python", metadata={"python-depends": ["einops", "helion"]})
    monkeypatch.setattr(kernels._host, "can_import", lambda name: False)
    with pytest.raises(ImportError, match="pip install einops helion") as error:
        get_kernel("open/python", version=1)
    assert isinstance(error.value, DependencyError)
    monkeypatch.setattr(kernels._host, "can_import", lambda name: True)
    assert get_kernel("open/python", version=1).NAME == "python"
    repository(online, "unknown", metadata={"python-depends": ["no-such-thing"]})
    with pytest.raises(ValueError, match="unsupported kernel dependency: no-such-thing"):
        get_kernel("open/unknown", version=1)


def test_a_newer_version_that_a_kernel_needs(online):
    repository(online, "future", metadata={"kernels-minver": "99.0"})
    with pytest.raises(RuntimeError, match="requires kernels>=99.0"):
        get_kernel("open/future", version=1)


def test_a_build_for_other_gpus_is_refused(online, monkeypatch):
    repository(online, "gpu", metadata={"backend": {"type": "cuda", "archs": ["9.0"]}})
    monkeypatch.setattr(kernels._torch, "gpu", lambda: (80, None))
    with pytest.raises(RuntimeError, match="does not support the current device"):
        get_kernel("open/gpu", version=1)
    assert has_kernel("open/gpu", version=1) is False
    assert has_kernel("open/gpu", version=1, check_arch=False) is True
    assert get_kernel("open/gpu", version=1, check_arch=False).NAME == "gpu"


def test_a_digest_is_checked(online):
    repository(online, "digest", digest=True, extra=2)
    assert install_kernel("open/digest", version=1).is_dir()
    files = kernel_files("wrong", variants=("torch-cpu",), layers=None, digest=True)
    files["build/torch-cpu/__init__.py"] += b"# changed since\n"
    online.repo("open/wrong").commit(files, branches=["v1"])
    for _ in range(2):
        with pytest.raises(IntegrityError, match="__init__.py"):
            get_kernel("open/wrong", version=1)


# ---- redirects ----


def redirect(online, name, destination, revision="main", kind="redirect"):
    text = f'kind = "{kind}"\ndestination = "{destination}"\nrevision = "{revision}"\n'
    online.repo(f"open/{name}").commit(
        {"kernel-status.toml": text.encode()}, branches=["main", "v1"]
    )


def test_a_repository_that_moved_is_followed(online, tmp_path, monkeypatch, caplog):
    commit = repository(online, "arrived")
    redirect(online, "left1", "open/left2", "v1")
    redirect(online, "left2", "open/arrived", "main")
    with caplog.at_level(logging.WARNING):
        module = get_kernel("open/left1", version=1)
    assert commit in module.__file__
    assert "'open/left1' redirected to 'open/left2'" in caplog.text
    asked = taken(online)
    assert (asked.count("kernel-status.toml"), asked.count("tree")) == (2, 3)
    assert install_kernel("open/left1", version=1).parent.parent.name == commit
    offline_mode(monkeypatch)
    assert install_kernel("open/left1", version=1).parent.parent.name == commit
    assert taken(online) == []


def test_redirects_that_lead_nowhere(online):
    redirect(online, "round1", "open/round2")
    redirect(online, "round2", "open/round1")
    with pytest.raises(ValueError, match="leads back"):
        install_kernel("open/round1", version=1)
    redirect(online, "bent", "not a repository")
    with pytest.raises(ValueError, match="redirect|repository"):
        install_kernel("open/bent", version=1)
    redirect(online, "strange", "open/round1", kind="deprecated")
    with pytest.raises(ValueError, match="deprecated"):
        install_kernel("open/strange", version=1)
    online.repo("open/bomb").commit({"kernel-status.toml": b"a = " + b"[" * 30000}, branches=["v1"])
    with pytest.raises(ValueError, match="kernel-status.toml"):
        install_kernel("open/bomb", version=1)
    online.repo("open/huge").commit({"kernel-status.toml": b"#" * 100_000}, branches=["v1"])
    with pytest.raises(ValueError, match="100000 bytes"):
        install_kernel("open/huge", version=1)
    repository(online, "elsewhere", org="closed")
    redirect(online, "lure", "closed/elsewhere")
    with pytest.raises(UntrustedError, match="closed/elsewhere"):
        install_kernel("open/lure", version=1)


# ---- offline ----


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_whatever_was_used_online_works_offline(online, tmp_path, monkeypatch, variable):
    commit = repository(online, f"kept-{variable.lower().replace('_', '-')}", tags=("v0.3.0",))
    name = f"open/kept-{variable.lower().replace('_', '-')}"
    requests = [
        {"version": 1},
        {"version": ">=0.3"},
        {"revision": "main"},
        {"revision": "v0.3.0"},
        {"revision": commit},
    ]
    for request in requests:
        install_kernel(name, **request)
    age(tmp_path, "resolutions/*", 40 * 86400)
    taken(online)
    monkeypatch.setenv(variable, "1")
    for request in requests:
        assert install_kernel(name, **request).parent.parent.name == commit
        assert has_kernel(name, **request) is True
        assert get_kernel(name, **request).NAME
    with pytest.raises(FileNotFoundError, match="unset HF_HUB_OFFLINE"):
        install_kernel(name, version=2)
    with pytest.raises(FileNotFoundError, match="open/never"):
        get_kernel("open/never", version=1)
    assert taken(online) == []


def test_a_plan_names_where_a_redirect_led(online, layer_class):
    from kernels import LayerRepository, Mode, plan, register_kernel_mapping

    commit = online.kernel("open/newhome", variants=("torch-cpu",))
    redirect(online, "oldhome", "open/newhome", "v1")
    register_kernel_mapping(
        {"Identity": {"cpu": LayerRepository("open/oldhome", "Tenfold", version=1)}}
    )
    (decision,) = plan(layer_class(), mode=Mode.INFERENCE, device="cpu", fetch=True)
    assert (decision.repo, decision.commit) == ("open/newhome", commit)
    assert "'open/oldhome' redirected to 'open/newhome'" in decision.message
