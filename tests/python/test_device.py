# SPDX-License-Identifier: Apache-2.0
"""Device, its properties, the device of a model, and the choice by capability."""

import copy
import dataclasses
import pickle

import pytest
import torch
import torch.nn as nn
from kernel_support import Doubled, Repo, Tripled, decided, run_python

import kernels
from kernels import (
    CUDAProperties,
    Device,
    KernelizeFallback,
    Mode,
    ROCMProperties,
    explain,
    kernelize,
    plan,
    register_kernel_mapping,
    use_kernel_forward_from_hub,
)

TYPES = ["cpu", "cuda", "mps", "neuron", "npu", "rocm", "tpu", "xpu"]
PROPERTIES = [CUDAProperties, ROCMProperties]


# ---- the classes ----


@pytest.mark.parametrize("cls", PROPERTIES)
def test_properties_are_frozen_hashable_and_comparable(cls):
    properties = cls(min_capability=75, max_capability=90)
    with pytest.raises(dataclasses.FrozenInstanceError):
        properties.min_capability = 80
    assert properties == cls(75, 90)
    assert properties != cls(75, 89)
    assert hash(properties) == hash(cls(75, 90))
    assert len({properties, cls(75, 90), cls(80, 90)}) == 2
    assert pickle.loads(pickle.dumps(properties)) == properties
    assert copy.deepcopy(properties) == properties


def test_properties_of_cuda_and_rocm_are_never_equal():
    assert CUDAProperties(75, 90) != ROCMProperties(75, 90)


@pytest.mark.parametrize("cls", PROPERTIES)
def test_a_range_that_is_upside_down_is_a_value_error(cls):
    with pytest.raises(ValueError, match="90"):
        cls(min_capability=90, max_capability=75)
    assert cls(90, 90).min_capability == 90


@pytest.mark.parametrize("cls", PROPERTIES)
def test_a_capability_beyond_all_bounds_is_a_value_error(cls):
    with pytest.raises(ValueError, match="capability must be major"):
        cls(75, 10**30)


@pytest.mark.parametrize("cls", PROPERTIES)
@pytest.mark.parametrize("bad", ["75", 7.5, None])
def test_a_capability_that_is_no_integer_is_a_type_error(cls, bad):
    with pytest.raises(TypeError, match="min_capability must be an integer"):
        cls(bad, 90)
    with pytest.raises(TypeError, match="max_capability must be an integer"):
        cls(75, bad)


def test_errors_are_also_huggingface_hubs_where_that_is_imported():
    code = """
        from kernels import CUDAProperties
        def bases(*arguments):
            try:
                CUDAProperties(*arguments)
            except Exception as error:
                return sorted(base.__name__ for base in type(error).__mro__)
        before = bases(90, 75), bases("a", 90)
        from huggingface_hub.errors import StrictDataclassClassValidationError, StrictDataclassFieldValidationError
        after = bases(90, 75), bases("a", 90)
        print("ValueError" in before[0], "StrictDataclassClassValidationError" in before[0])
        print("TypeError" in before[1], "StrictDataclassFieldValidationError" in before[1])
        print("ValueError" in after[0], "StrictDataclassClassValidationError" in after[0])
        print("TypeError" in after[1], "StrictDataclassFieldValidationError" in after[1])
    """
    assert run_python(code).stdout.splitlines() == [
        "True False",
        "True False",
        "True True",
        "True True",
    ]


def test_devices_are_frozen_hashable_and_comparable():
    device = Device("cuda", CUDAProperties(75, 90))
    with pytest.raises(dataclasses.FrozenInstanceError):
        device.type = "cpu"
    assert device == Device(type="cuda", properties=CUDAProperties(75, 90))
    assert device != Device("cuda")
    assert Device("cuda") != "cuda"
    assert {Device("cuda"): 1}[Device("cuda", None)] == 1
    assert pickle.loads(pickle.dumps(device)) == device


def test_properties_belong_to_their_type():
    with pytest.raises(ValueError, match="CUDAProperties is only supported for 'cuda' devices"):
        Device("rocm", CUDAProperties(75, 90))
    with pytest.raises(ValueError, match="ROCMProperties is only supported for 'rocm' devices"):
        Device("cuda", ROCMProperties(75, 90))
    assert Device("rocm", ROCMProperties(75, 90)).type == "rocm"


def test_an_unknown_type_is_refused_when_it_is_used_and_not_before():
    device = Device("abacus")
    assert device.type == "abacus"
    with pytest.raises(ValueError) as of_repo:
        device.create_repo()
    with pytest.raises(ValueError) as of_mapping:
        register_kernel_mapping({"L": {device: Repo()}})
    with pytest.raises(ValueError) as of_text:
        register_kernel_mapping({"L": {"abacus": Repo()}})
    for error in (of_repo, of_mapping, of_text):
        assert "abacus" in str(error.value)
        assert all(known in str(error.value) for known in TYPES)


# ---- create_repo ----


@pytest.mark.parametrize("type_name", [name for name in TYPES if name not in ("cuda", "rocm")])
def test_a_set_of_repositories_gives_what_was_inserted(type_name):
    repos = Device(type_name).create_repo()
    assert repos.repos == {}
    first, second = Repo(), Repo()
    repos.insert(Device(type_name), {Mode.TRAINING: first})
    assert repos.repos == {Mode.TRAINING: first}
    repos.insert(Device(type_name), {Mode.INFERENCE | Mode.TORCH_COMPILE: second})
    assert repos.repos == {Mode.INFERENCE | Mode.TORCH_COMPILE: second}


def test_a_set_of_repositories_takes_its_own_type_only():
    with pytest.raises(ValueError, match="Device type must be 'cpu', got cuda"):
        Device("cpu").create_repo().insert(Device("cuda"), {Mode.FALLBACK: Repo()})


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_set_for_a_gpu_that_is_not_there_gives_none():
    for type_name in ("cuda", "rocm"):
        repos = Device(type_name).create_repo()
        repos.insert(Device(type_name), {Mode.FALLBACK: Repo()})
        assert repos.repos is None


def test_a_set_for_a_gpu_chooses_by_the_current_capability(monkeypatch):
    pretend_gpus(monkeypatch, [(8, 0)])
    repos = Device("cuda").create_repo()
    any_gpu, ampere = Repo(), Repo()
    repos.insert(Device("cuda"), {Mode.FALLBACK: any_gpu})
    repos.insert(Device("cuda", CUDAProperties(80, 89)), {Mode.TRAINING: ampere})
    assert repos.repos == {Mode.TRAINING: ampere}
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (9, 0))
    assert repos.repos == {Mode.FALLBACK: any_gpu}


def test_a_set_without_a_matching_range_gives_none(monkeypatch):
    pretend_gpus(monkeypatch, [(7, 5)])
    repos = Device("cuda").create_repo()
    assert repos.repos is None
    repos.insert(Device("cuda", CUDAProperties(80, 89)), {Mode.FALLBACK: Repo()})
    assert repos.repos is None


# ---- the device that is asked for ----


def pretend_gpus(monkeypatch, capabilities, hip=None):
    """Makes torch say that it has GPUs of these capabilities; the first is the current one."""

    def capability(device=None):
        if isinstance(device, torch.device):
            device = device.index
        return capabilities[device or 0]

    monkeypatch.setattr(torch.version, "cuda", None if hip else "13.0")
    monkeypatch.setattr(torch.version, "hip", hip)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(capabilities))
    monkeypatch.setattr(torch.cuda, "get_device_capability", capability)


class Placed(torch.Tensor):
    """A tensor that says that it is on another device."""

    @property
    def device(self):
        return torch.device(self.place)


def placed(place):
    tensor = torch.zeros(1).as_subclass(Placed)
    tensor.place = place
    return tensor


def put(module, place):
    module._buffers["place"] = placed(place)
    return module


@pytest.mark.parametrize(
    "device", ["cpu", torch.device("cpu"), torch.device("cpu", 0), Device("cpu")]
)
def test_device_is_text_a_torch_device_or_a_device(layer_class, device):
    register_kernel_mapping({"Identity": {"cpu": Repo(Doubled)}})
    assert kernelize(layer_class(), mode=Mode.INFERENCE, device=device)(3) == 6


def test_a_null_character_in_a_device_is_refused(layer_class):
    with pytest.raises(ValueError, match="null character"):
        kernelize(layer_class(), mode=Mode.INFERENCE, device="cpu\0")


def test_long_names_of_unknown_devices_are_cut_between_characters(layer_class):
    (decision,) = plan(layer_class(), mode=Mode.INFERENCE, device=Device("é" * 100))
    assert decision.reason == "no-layer"
    assert set(decision.device) == {"é"}


@pytest.mark.parametrize("device", ["abacus", "", "CPU", "cuda:0", "meta"])
def test_an_unknown_device_text_is_a_value_error(layer_class, device):
    with pytest.raises(ValueError) as raised:
        kernelize(layer_class(), mode=Mode.INFERENCE, device=device)
    assert all(name in str(raised.value) for name in TYPES)


@pytest.mark.parametrize("device", [0, 1.5, b"cpu", ["cpu"]])
def test_a_device_of_another_type_is_a_type_error(layer_class, device):
    with pytest.raises(TypeError, match="device must be text, a torch.device or a kernels.Device"):
        kernelize(layer_class(), mode=Mode.INFERENCE, device=device)


@pytest.mark.parametrize("device", [torch.device("meta"), Device("abacus")])
def test_devices_of_other_types_have_no_kernels(layer_class, device):
    register_kernel_mapping({"Identity": {"cpu": Repo(Doubled)}})
    model = kernelize(layer_class(), mode=Mode.INFERENCE, device=device)
    assert model(3) == 3
    assert explain(model)[0].reason == "no-device"
    with pytest.raises(ValueError, match="device type"):
        kernelize(
            model, mode=Mode.INFERENCE, device=device, use_fallback=~KernelizeFallback.NO_DEVICE
        )


def test_the_device_comes_from_the_first_parameter(layer_class):
    register_kernel_mapping({"Identity": {"cpu": Repo(Doubled)}})
    model = nn.Sequential(layer_class(), nn.Linear(2, 2))
    assert kernelize(model, mode=Mode.INFERENCE)[0](3) == 6
    model = nn.Sequential(nn.Linear(2, 2, device="meta"), layer_class(), nn.Linear(2, 2))
    assert decided(plan(model, mode=Mode.INFERENCE)) == [(("1",), "keep", "no-device")]


def test_without_parameters_the_device_must_be_passed(layer_class):
    with pytest.raises(ValueError, match="provide as `device` argument"):
        kernelize(layer_class(), mode=Mode.INFERENCE)
    with pytest.raises(ValueError, match="provide as `device` argument"):
        plan(layer_class(), mode=Mode.INFERENCE)
    with pytest.raises(ValueError, match="provide as `device` argument"):
        kernelize(nn.BatchNorm1d(2, affine=False), mode=Mode.INFERENCE)


# ---- capabilities ----

RANGES = {
    "any": Device("cuda"),
    "75-90": Device("cuda", CUDAProperties(75, 90)),
    "80-89": Device("cuda", CUDAProperties(80, 89)),
    "86-86": Device("cuda", CUDAProperties(86, 86)),
}


def chosen(model, **how):
    return [decision.repo for decision in plan(model, mode=Mode.INFERENCE, device="cuda", **how)]


def register_ranges(names):
    register_kernel_mapping(
        {"Identity": {RANGES[name]: Repo(Doubled, name=name) for name in names}}
    )


@pytest.mark.parametrize(
    ("capability", "name"),
    [
        ((7, 0), "any"),
        ((7, 5), "75-90"),
        ((8, 0), "80-89"),
        ((8, 6), "86-86"),
        ((9, 0), "75-90"),
        ((12, 0), "any"),
    ],
)
def test_the_smallest_range_that_holds_the_capability_wins(
    monkeypatch, layer_class, capability, name
):
    pretend_gpus(monkeypatch, [capability])
    register_ranges(RANGES)
    assert chosen(layer_class()) == [name]
    assert chosen(layer_class(), capability=capability[0] * 10 + capability[1]) == [name]


def test_order_of_registration_does_not_matter_for_ranges(monkeypatch, layer_class):
    pretend_gpus(monkeypatch, [(8, 6)])
    register_ranges(reversed(RANGES))
    assert chosen(layer_class()) == ["86-86"]


def test_the_same_range_registered_again_replaces(monkeypatch, layer_class):
    pretend_gpus(monkeypatch, [(8, 6)])
    register_ranges(RANGES)
    register_kernel_mapping(
        {"Identity": {Device("cuda", CUDAProperties(86, 86)): Repo(Tripled, name="new")}}
    )
    assert chosen(layer_class()) == ["new"]


def test_no_range_that_holds_the_capability_falls_back_or_fails(monkeypatch, layer_class):
    pretend_gpus(monkeypatch, [(12, 0)])
    register_ranges(["80-89"])
    model = kernelize(layer_class(), mode=Mode.INFERENCE, device="cuda")
    assert explain(model)[0].reason == "no-compatible-properties"
    with pytest.raises(
        ValueError, match="with the right properties: no registered range holds capability 120"
    ):
        kernelize(model, mode=Mode.INFERENCE, device="cuda", use_fallback=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.parametrize("device", ["cuda", "rocm"])
def test_a_capability_that_cannot_be_asked_counts_as_no_compatible_properties(layer_class, device):
    register_kernel_mapping({"Identity": {device: Repo(Doubled)}})
    model = kernelize(layer_class(), mode=Mode.INFERENCE, device=device)
    assert explain(model)[0].reason == "no-compatible-properties"
    allowed = KernelizeFallback.ALL & ~KernelizeFallback.NO_COMPATIBLE_PROPERTIES
    with pytest.raises(ValueError, match="cannot be asked"):
        kernelize(model, mode=Mode.INFERENCE, device=device, use_fallback=allowed)


def test_the_current_device_counts_where_the_gpus_are_alike(monkeypatch, layer_class):
    pretend_gpus(monkeypatch, [(8, 0), (8, 0)])
    register_ranges(["80-89"])
    assert chosen(nn.Sequential(put(layer_class(), "cuda:1"), layer_class())) == ["80-89"]


def test_unlike_gpus_give_each_module_the_kernel_of_its_own(monkeypatch, layer_class):
    pretend_gpus(monkeypatch, [(7, 5), (8, 0), (8, 6)])
    register_ranges(RANGES)

    @use_kernel_forward_from_hub("Identity")
    class Holder(nn.Module):
        def __init__(self, child):
            super().__init__()
            self.child = child

        def forward(self, x):
            return x

    own = put(layer_class(), "cuda:1")
    below = Holder(put(nn.Module(), "cuda:2"))
    above = put(Holder(nn.Sequential(layer_class())), "cuda:1")
    model = nn.ModuleDict({"own": own, "below": below, "above": above, "none": layer_class()})
    decisions = plan(model, mode=Mode.INFERENCE, device="cuda")
    found = {path: (d.repo, d.capability) for d in decisions for path in d.paths}
    assert found == {
        "own": ("80-89", 80),  # its own buffer
        "below": ("86-86", 86),  # its first descendant's
        "above": ("80-89", 80),
        "above.child.0": ("80-89", 80),  # its nearest ancestor's
        "none": ("80-89", 80),  # the root's, which is that of its first descendant
    }
    # Where nothing has a tensor it is the call's.
    assert chosen(nn.ModuleList([layer_class(), layer_class()])) == ["75-90"]


def test_a_planned_capability_holds_for_all_modules(monkeypatch, layer_class):
    pretend_gpus(monkeypatch, [(7, 5), (8, 0)])
    register_ranges(RANGES)
    model = nn.Sequential(put(layer_class(), "cuda:1"), layer_class())
    assert decided(plan(model, mode=Mode.INFERENCE, device="cuda", capability=86)) == [
        (("0", "1"), "replace", "mapped")
    ]
    assert chosen(model, capability=86) == ["86-86"]


def test_without_ranges_unlike_gpus_are_not_asked_about(monkeypatch, layer_class):
    pretend_gpus(monkeypatch, [(7, 5), (8, 0)])
    asked = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: asked.append(1) or 2)
    register_ranges(["any"])
    assert chosen(nn.Sequential(put(layer_class(), "cuda:1"), layer_class())) == ["any"]
    assert asked == []


def test_a_hip_build_makes_cuda_devices_rocm(monkeypatch, layer_class):
    pretend_gpus(monkeypatch, [(9, 4)], hip="6.4.0")
    cuda, rocm = Repo(Doubled, name="cuda"), Repo(Tripled, name="rocm")
    register_kernel_mapping(
        {"Identity": {"cuda": cuda, "rocm": Repo(), Device("rocm", ROCMProperties(90, 94)): rocm}}
    )
    model = nn.Sequential(layer_class())
    (decision,) = plan(model, mode=Mode.INFERENCE, device=torch.device("cuda"))
    assert (decision.device, decision.capability, decision.repo) == ("rocm", 94, "rocm")
    weighted = nn.Sequential(layer_class())
    weighted.register_parameter("weight", nn.Parameter(placed("cuda:0")))
    weighted.weight.place = "cuda:0"
    (decision,) = plan(weighted, mode=Mode.INFERENCE)
    assert (decision.device, decision.repo) == ("rocm", "rocm")
    # What the caller calls "cuda" stays cuda, whose capability cannot be asked here.
    (decision,) = plan(model, mode=Mode.INFERENCE, device="cuda")
    assert (decision.device, decision.reason) == ("cuda", "no-compatible-properties")


def test_capabilities_of_plans_are_checked(layer_class):
    for bad in ("90", 9.0, True):
        with pytest.raises(TypeError, match="capability must be an int"):
            plan(layer_class(), mode=Mode.INFERENCE, device="cuda", capability=bad)
    for bad in (-1, -(10**30), 10**30):
        with pytest.raises(ValueError, match="capability must be major"):
            plan(layer_class(), mode=Mode.INFERENCE, device="cuda", capability=bad)


def test_device_names_of_the_package_are_exactly_these():
    for name in TYPES:
        kernels.register_kernel_mapping({"L": {name: Repo(), Device(name): Repo()}})
    entries = kernels._core.current_mapping().entries()
    assert sorted({entry[1] for entry in entries}) == TYPES
