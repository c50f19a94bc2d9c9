# SPDX-License-Identifier: Apache-2.0
"""Mode and KernelizeFallback."""

import copy
import enum
import pickle

import pytest

from kernels import KernelizeFallback, Mode


def test_values_are_upstreams():
    assert {mode.name: mode.value for mode in Mode} == {
        "FALLBACK": 1,
        "TRAINING": 2,
        "INFERENCE": 4,
        "TORCH_COMPILE": 8,
    }
    assert issubclass(Mode, enum.Flag)
    assert Mode(4) is Mode.INFERENCE
    assert Mode["TRAINING"] is Mode.TRAINING


def test_modes_combine_with_torch_compile():
    assert (Mode.TRAINING | Mode.TORCH_COMPILE).value == 10
    assert (Mode.TORCH_COMPILE | Mode.INFERENCE).value == 12
    assert Mode.INFERENCE | Mode.INFERENCE == Mode.INFERENCE
    assert Mode.TORCH_COMPILE in Mode.INFERENCE | Mode.TORCH_COMPILE
    assert Mode.TRAINING not in Mode.INFERENCE | Mode.TORCH_COMPILE


def test_inference_and_training_exclude_each_other():
    for make in (
        lambda: Mode.INFERENCE | Mode.TRAINING,
        lambda: Mode.TRAINING | Mode.INFERENCE,
        lambda: Mode.INFERENCE | Mode.TORCH_COMPILE | Mode.TRAINING,
    ):
        with pytest.raises(ValueError, match="INFERENCE and Mode.TRAINING are mutually exclusive"):
            make()


@pytest.mark.parametrize("other", [Mode.INFERENCE, Mode.TRAINING, Mode.TORCH_COMPILE])
def test_fallback_combines_with_nothing(other):
    with pytest.raises(ValueError, match="FALLBACK cannot be combined"):
        Mode.FALLBACK | other
    with pytest.raises(ValueError, match="FALLBACK cannot be combined"):
        other | Mode.FALLBACK
    assert Mode.FALLBACK | Mode.FALLBACK == Mode.FALLBACK


def test_modes_combine_only_with_modes():
    with pytest.raises(TypeError):
        Mode.INFERENCE | 2
    with pytest.raises(TypeError):
        Mode.INFERENCE | KernelizeFallback.NO_LAYER


def test_modes_are_keys_of_dicts():
    chosen = {Mode.INFERENCE: "a", Mode.TRAINING | Mode.TORCH_COMPILE: "b"}
    assert chosen[Mode.TORCH_COMPILE | Mode.TRAINING] == "b"
    assert Mode.TRAINING not in chosen


def test_modes_copy_and_pickle_to_themselves():
    for mode in (Mode.FALLBACK, Mode.INFERENCE | Mode.TORCH_COMPILE):
        assert pickle.loads(pickle.dumps(mode)) is mode
        assert copy.deepcopy(mode) is mode


def test_fallback_values_are_upstreams():
    assert [(flag.name, flag.value) for flag in KernelizeFallback] == [
        ("NO_LAYER", 1),
        ("NO_DEVICE", 2),
        ("NO_COMPATIBLE_PROPERTIES", 4),
        ("NO_COMPATIBLE_MODE", 8),
        ("CANNOT_LOAD", 16),
    ]
    assert KernelizeFallback.NONE.value == 0
    assert KernelizeFallback.DEFAULT.value == 15
    assert KernelizeFallback.ALL.value == 31


def test_fallback_default_leaves_out_cannot_load():
    assert KernelizeFallback.CANNOT_LOAD not in KernelizeFallback.DEFAULT
    assert KernelizeFallback.DEFAULT | KernelizeFallback.CANNOT_LOAD == KernelizeFallback.ALL
    assert KernelizeFallback.DEFAULT & ~KernelizeFallback.NO_LAYER == KernelizeFallback(14)
