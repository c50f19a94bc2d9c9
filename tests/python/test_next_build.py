# SPDX-License-Identifier: Apache-2.0
"""Where the best build of a kernel cannot be loaded here, the next best one is."""

import json
import logging
import shutil

import pytest
from hub_support import kernel_files
from kernel_support import write_kernel
from object_support import for_machine, needing_glibc, object_of_ours, with_code

from kernels import (
    LayerRepository,
    Mode,
    VariantAccepted,
    explain,
    get_kernel,
    get_kernel_variants,
    get_local_kernel,
    get_locked_kernel,
    install_kernel,
    kernelize,
    load_kernel,
    plan,
    prefetch,
    use_kernel_mapping,
)
from kernels.errors import IntegrityError

BEST, NEXT, LAST = "torch-stable-abi210-cpu-x86_64-linux", "torch-cpu", "torch-universal"
NEWER = r"its shared object '_native\.so' needs glibc 9\.99 or newer and this system has 2\.\d+"


def newer():
    return needing_glibc(object_of_ours(), b"9.99")


@pytest.fixture
def publish(online):
    """publish(name, {variant: the content of its shared object, or None}) commits open/name."""

    def make(name, builds):
        files = kernel_files(name, variants=tuple(builds))
        for variant, content in builds.items():
            files[f"build/{variant}/__init__.py"] += f"BUILD = {variant!r}\n".encode()
            if content is not None:
                files[f"build/{variant}/_native.so"] = content
        return online.repo(f"open/{name}").commit(files, ["main", "v1"])

    return make


def write_local(folder, builds):
    for variant, content in builds.items():
        write_kernel(folder, variants=(variant,), code=f"BUILD = {variant!r}\n")
        if content is not None:
            (folder / "build" / variant / "_native.so").write_bytes(content)
    return folder


def test_the_next_best_build_is_fetched_and_loaded_with_one_warning(publish, caplog):
    publish("next", {BEST: newer(), NEXT: None, LAST: None})
    with caplog.at_level(logging.WARNING, logger="kernels"):
        assert get_kernel("open/next", version=1).BUILD == NEXT
        assert get_kernel("open/next", version=1).BUILD == NEXT
    (said,) = [record.getMessage() for record in caplog.records if BEST in record.getMessage()]
    assert f"'{NEXT}' is taken, since '{BEST}' is passed over: its shared object" in said
    assert "needs glibc 9.99 or newer" in said


def test_more_than_one_build_may_be_passed_over(publish):
    publish("third", {BEST: newer(), NEXT: for_machine(object_of_ours(), 183), LAST: None})
    assert get_kernel("open/third", version=1).BUILD == LAST


def test_where_no_build_is_left_each_is_told_with_its_reason(publish):
    publish("none", {BEST: newer(), NEXT: for_machine(object_of_ours(), 183)})
    with pytest.raises(FileNotFoundError, match=rf"(?s){BEST}: {NEWER}.*\n  {NEXT}: .* aarch64"):
        get_kernel("open/none", version=1)


def test_a_damaged_build_is_not_passed_over(publish):
    publish("damaged", {BEST: object_of_ours()[:100_000], NEXT: None})
    with pytest.raises(IntegrityError, match="is cut off: its end is missing"):
        get_kernel("open/damaged", version=1)


def test_a_local_kernel_has_its_next_best_build_loaded(tmp_path):
    folder = write_local(tmp_path / "local", {BEST: newer(), NEXT: None})
    assert get_local_kernel(folder).BUILD == NEXT


def test_kernelize_and_explain_tell_what_was_passed_over(publish, layer_class):
    publish("layers", {BEST: newer(), NEXT: None})
    mapping = {"Identity": {"cpu": LayerRepository("open/layers", layer_name="Tenfold", version=1)}}
    with use_kernel_mapping(mapping):
        model = kernelize(layer_class(), mode=Mode.INFERENCE, device="cpu")
        (made,) = plan(layer_class(), mode=Mode.INFERENCE, device="cpu")
    assert model(1) == 10
    (said,) = explain(model)
    assert (said.variant, made.variant) == (NEXT, NEXT)
    assert (
        f"'{BEST}' is passed over: its shared object '_native.so' needs glibc 9.99" in made.message
    )


def test_a_locked_kernel_takes_the_next_best_build_of_its_commit(publish, tmp_path):
    commit = publish("locked", {BEST: newer(), NEXT: None})
    lock = tmp_path / "kernels.lock"
    entry = {"dependency": {"repo-id": "open/locked", "version": 1}, "lock": {"commit": commit}}
    lock.write_text(json.dumps([entry]))
    assert get_locked_kernel("open/locked", lockfile=lock).BUILD == NEXT
    assert load_kernel("open/locked", lockfile=lock).BUILD == NEXT


def test_what_was_prefetched_loads_offline(publish, monkeypatch):
    publish("fetched", {BEST: newer(), NEXT: None})
    prefetch(["open/fetched@v1"])
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert get_kernel("open/fetched", version=1).BUILD == NEXT


def test_offline_the_cache_has_to_have_the_next_best_build(publish, monkeypatch, tmp_path):
    publish("partly", {BEST: newer(), NEXT: None})
    install_kernel("open/partly", version=1)
    (gone,) = (tmp_path / "hub").glob(f"kernels--open--partly/snapshots/*/build/{NEXT}")
    shutil.rmtree(gone)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        FileNotFoundError,
        match=rf"'build/{NEXT}/.* not in the cache, and no request is made in offline mode; .*"
        rf"before that, '{BEST}' is passed over: {NEWER}",
    ):
        get_kernel("open/partly", version=1)


def test_what_is_only_fetched_may_be_for_another_system(publish, caplog):
    publish("abroad", {BEST: newer()})
    with caplog.at_level(logging.WARNING, logger="kernels"):
        assert install_kernel("open/abroad", version=1).name == BEST
    assert (
        "none of its builds can be loaded here, and the best is taken all the same" in caplog.text
    )
    with pytest.raises(FileNotFoundError, match=NEWER):
        get_kernel("open/abroad", version=1)


def test_variants_tell_the_build_that_was_looked_at(publish):
    publish("listed", {BEST: newer(), NEXT: None})
    before = get_kernel_variants("open/listed", version=1)
    assert [type(v) for v in before] == [VariantAccepted, VariantAccepted]  # nothing is cached
    get_kernel("open/listed", version=1)
    best, passed = get_kernel_variants("open/listed", version=1)
    assert best.variant.variant_str == NEXT
    assert "needs glibc 9.99" in passed.reason


def test_a_build_without_code_for_the_gpu_is_passed_over_unless_that_does_not_matter(
    publish, monkeypatch, tmp_path
):
    monkeypatch.setattr("kernels._torch.gpu", lambda: (90, None))
    sm80 = with_code(object_of_ours(), [(2, 80, 0x11)], tmp_path)
    publish("sm80", {BEST: sm80, NEXT: None})
    assert get_kernel("open/sm80", version=1).BUILD == NEXT
    assert get_kernel("open/sm80", version=1, check_arch=False).BUILD == BEST
    assert get_kernel("open/sm80", version=1).BUILD == NEXT
