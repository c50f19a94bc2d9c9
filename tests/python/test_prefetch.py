# SPDX-License-Identifier: Apache-2.0
"""prefetch: what is fetched, what is not, the digest, and how failures are told."""

import json
import subprocess
import sys
import textwrap

import pytest
from hub_support import repository, run_client, set_back, taken

from hub import Hub
from kernels import CUDAProperties, Device, LayerRepository, Mode, prefetch, use_kernel_mapping
from kernels.layer.layer import LocalLayerRepository


@pytest.fixture(scope="module")
def shared_hub(tmp_path_factory):
    with Hub(tmp_path_factory.mktemp("prefetch-hub")) as hub:
        hub.organization("open", trusted=True)
        hub.organization("closed", trusted=False)
        for number in range(4):
            repository(hub, f"k{number}")
        repository(
            hub, "needy", metadata={"kernel-depends": [{"repo-id": "open/k3", "version": 1}]}
        )
        repository(hub, "closed", org="closed")
        repository(hub, "tagged", tags=["v0.1.0"])
        yield hub


@pytest.fixture
def hub(shared_hub, tmp_path, monkeypatch):
    for name, value in shared_hub.environment(tmp_path / "home").items():
        monkeypatch.setenv(name, value)
    return set_back(shared_hub)


FILES = ["__init__.py", "metadata.json"]


def test_texts_name_versions_revisions_and_specifiers(hub):
    prefetch(["open/k0", "open/k1@v1", "open/k2@main", "open/tagged@>=0.1,<0.2"])
    assert taken(hub) == sorted([*FILES * 4, *["refs"] * 4, *["tree"] * 4, "trust"])


def test_what_was_fetched_is_what_get_kernel_then_finds(hub, monkeypatch):
    from kernels import get_kernel

    prefetch(["open/k0@v1", "open/needy@v1"])
    hub.reset_log()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert get_kernel("open/k0", version=1).NAME == "k0"
    assert get_kernel("open/needy", version=1).NAME == "needy"
    assert taken(hub) == []


def test_a_repository_may_stand_for_its_kernel(hub):
    one = prefetch(LayerRepository("open/k0", "Tenfold", version=1))
    assert one == prefetch("open/k0@v1")
    assert one == prefetch(iter(["open/k0@v1"]))
    assert one != prefetch("open/k1@v1")


def test_of_a_mapping_all_is_fetched_that_this_machine_can_need(hub):
    def of(number):
        return LayerRepository(f"open/k{number}", "Tenfold", version=1)

    class Own:
        def load(self):
            raise AssertionError("it is not to be loaded")

    mapping = {
        "A": {"cpu": {Mode.INFERENCE: of(0), Mode.TRAINING: of(1)}},
        "B": {Device("cuda", CUDAProperties(80, 90)): of(2), "cpu": Own()},
    }
    first = prefetch(mapping)
    assert taken(hub) == sorted([*FILES, "refs", "tree", "trust"])
    with use_kernel_mapping(mapping, inherit_mapping=False):
        assert prefetch() == first
        every = prefetch(all_modes=True)
    assert taken(hub) == sorted([*FILES, "refs", "tree", "trust"])
    assert every == prefetch(["open/k1@v1", "open/k0@v1"])


def test_everything_that_failed_is_told(hub):
    with pytest.raises(
        OSError, match="2 of 3 kernels cannot be had: open/none: .*; closed/closed: "
    ):
        prefetch(["open/none", "open/k0", "closed/closed"])
    with pytest.raises(ValueError, match="'closed/closed'"):
        prefetch(["closed/closed"])
    prefetch(["closed/closed"], trust_remote_code=True)
    prefetch(["closed/closed"], trust_remote_code=["closed/closed"])


@pytest.mark.parametrize("wrong", ["", "open/k0@", 3, [3], {"A": 3}])
def test_what_names_no_kernel_is_refused(hub, wrong):
    with pytest.raises((TypeError, ValueError)):
        prefetch(wrong)
    assert taken(hub) == []


def test_directories_count_by_what_is_in_them(hub, tmp_path):
    from hub import kernel_files

    digests = []
    for name, extra in (("a", 0), ("b", 0), ("c", 1)):
        for path, content in kernel_files("local", variants=["torch-cpu"], extra=extra).items():
            file = tmp_path / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        digests.append(prefetch(LocalLayerRepository(tmp_path / name, "Tenfold")))
    assert digests[0] == digests[1] != digests[2]


def test_the_digest_is_that_of_the_lines_that_are_documented(hub):
    import hashlib

    lines = "".join(
        f"open/{name} {hub.repo(f'open/{name}').about['branches']['v1']} torch-cpu\n"
        for name in ("k3", "needy")
    )
    assert prefetch(["open/needy@v1"]) == hashlib.sha256(lines.encode()).hexdigest()


def test_processes_at_once_fetch_each_file_once_and_agree(hub, tmp_path):
    program = """
        import sys
        from kernels import prefetch
        print(prefetch([f"open/k{number}@v1" for number in range(4)] + ["open/needy@v1"]))
    """
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    digests = {process.communicate(timeout=120)[0] for process in processes}
    assert all(process.returncode == 0 for process in processes)
    assert len(digests) == 1
    assert [name for name in taken(hub) if name in FILES] == sorted(FILES * 5)


def test_nothing_of_a_kernel_is_run(hub, tmp_path):
    repository(hub, "loud", code="raise SystemExit('it was run')")
    prefetch("open/loud")


def test_upstream_finds_what_was_fetched(hub, peer, tmp_path):
    prefetch(["open/k0@v1"])
    code = """
        from kernels import get_kernel
        out["name"] = get_kernel("open/k0", version=1, trust_remote_code=True).NAME
    """
    found = run_client(peer, hub, tmp_path / "home", code, HF_HUB_OFFLINE="1")
    assert found == {"name": "k0"}, json.dumps(found)
