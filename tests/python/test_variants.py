# SPDX-License-Identifier: Apache-2.0
"""Build variants: names, and which of them run on this machine or on another; as upstream decides."""

import itertools
import json
import platform
import random

import pytest
import torch
from kernel_support import run_python
from packaging.version import Version as PackagingVersion

from kernels import _core, backends
from kernels._core import Version
from kernels.backends import CANN, CPU, CUDA, TPU, XPU, Metal, Neuron, ROCm, parse_backend
from kernels.variants import (
    Arch,
    ArchVariant,
    Noarch,
    NoarchVariant,
    Torch,
    TorchNoarch,
    TorchStableAbi,
    TvmFfi,
    VariantAccepted,
    VariantRejected,
    get_variants_local,
    parse_variant,
    resolve_variant,
    resolve_variants,
    variants_trace_str,
)

# ---- what is generated ----

FRAMEWORKS = [
    "torch29",
    "torch210",
    "torch210-cxx11",
    "torch210-cxx98",
    "torch-stable-abi29",
    "torch-stable-abi210",
    "torch-stable-abi211",
    "tvm-ffi01",
    "tvm-ffi02",
]
BACKENDS = [
    "cpu",
    "cu118",
    "cu126",
    "cu128",
    "cu130",
    "rocm63",
    "rocm64",
    "xpu20251",
    "xpu20252",
    "cann83",
    "metal",
    "neuron",
    "tpu",
]
NOARCH = ["cpu", "cuda", "rocm", "xpu", "npu", "cann", "metal", "universal", "cu128", "a-b", ""]
NAMES = [
    *("-".join(parts) for parts in itertools.product(FRAMEWORKS, BACKENDS, ["x86_64"], ["linux"])),
    *(f"{framework}-cu128-aarch64-linux" for framework in FRAMEWORKS),
    *(f"{framework}-cu128-x86_64-windows" for framework in FRAMEWORKS),
    *(f"torch-{name}" for name in NOARCH),
    "torch",
]
ARCHS = ["7.5", "8.0", "8.6", "8.0+PTX", "9.0", "9.0a", "9.0a+PTX", "10.0f", "10.0f+PTX", "12.0"]
ODD_ARCHS = ["", ".", "9", "9.", ".0", "9.0b", "9.0af", "9.0 ", "sm_90", "9.0+ptx", "9.0.1", "+PTX"]
CAPABILITIES = [75, 80, 86, 89, 90, 100, 103, 120, 121]


def random_system(rng):
    has_torch, has_tvm_ffi = rng.random() < 0.8, rng.random() < 0.6
    return {
        "torch": rng.choice(["2.9.1", "2.10.0+cu128", "2.11.0a0"]) if has_torch else None,
        "cxx11_abi": rng.choice([True, True, False, None]) if has_torch else None,
        "backend": rng.choice(BACKENDS),
        "arch": rng.choice(["x86_64"] * 4 + ["aarch64"]),
        "os": rng.choice(["linux"] * 5 + ["windows"]),
        "tvm_ffi": rng.choice(["0.1.4", "0.2.0"]) if has_tvm_ffi else None,
    }


def as_pairs(decisions):
    return [
        [decision.variant.variant_str, getattr(decision, "reason", None)] for decision in decisions
    ]


def peer_answers(peer, tmp_path, code, cases):
    path = tmp_path / "cases.json"
    path.write_text(json.dumps(cases))
    done = run_python(code, str(path), python=peer, env={"PYTHONPATH": ""})
    return json.loads(done.stdout)


def without_ties(pairs):
    """What is refused has another order here: by name."""
    return [pair for pair in pairs if pair[1] is None], sorted(pair for pair in pairs if pair[1])


# ---- as upstream ----

PEER_RESOLVES = """
    import json, sys
    from packaging.version import Version
    from kernels.backends import parse_backend
    from kernels.variants import _resolve_variant_for_system, parse_variant

    def pair(text):
        version = text and Version(text)
        return version and Version(f"{version.major}.{version.minor}")

    answers = []
    for names, system in json.load(open(sys.argv[1])):
        accepted, trace = _resolve_variant_for_system(
            variants=[parse_variant(name) for name in names],
            selected_backend=parse_backend(system["backend"]),
            cpu=system["arch"],
            os=system["os"],
            torch_version=pair(system["torch"]),
            torch_cxx11_abi=system["cxx11_abi"],
            tvm_ffi_version=pair(system["tvm_ffi"]),
        )
        answers.append([[d.variant.variant_str, getattr(d, "reason", None)] for d in trace])
    print(json.dumps(answers))
"""


def test_generated_machines_take_the_same_variants(peer, tmp_path):
    rng = random.Random(4)
    ours, cases = [], []
    for _ in range(400):
        system = random_system(rng)
        names = rng.sample(NAMES, rng.randrange(20, 120))
        ours.append(as_pairs(resolve_variants(names, **system)))
        # Upstream's sort keeps the order of what it takes for equally good: given ours, it must leave it as it is.
        cases.append([[name for name, _ in ours[-1]], system])
    theirs = peer_answers(peer, tmp_path, PEER_RESOLVES, cases)
    assert [without_ties(pairs) for pairs in ours] == [without_ties(pairs) for pairs in theirs]
    # The cases are worth something: many accept several.
    assert sum(sum(reason is None for _, reason in pairs) > 2 for pairs in ours) > 50
    assert len({reason and reason.split("(")[0] for pairs in ours for _, reason in pairs}) >= 9


PEER_CHECKS_ARCHS = """
    import json, sys
    from kernels.archs import _supports_cuda_capability
    print(json.dumps([
        _supports_cuda_capability(archs, divmod(capability, 10))
        for archs, capability in json.load(open(sys.argv[1]))
    ]))
"""


def test_generated_archs_support_the_same_gpus(peer, tmp_path):
    rng = random.Random(4)
    cases = [([arch], capability) for arch in ARCHS + ODD_ARCHS for capability in CAPABILITIES]
    cases += [
        (rng.sample(ARCHS + ODD_ARCHS, rng.randrange(2, 5)), rng.choice(CAPABILITIES))
        for _ in range(1000)
    ]
    name = "torch29-cu128-x86_64-linux"
    ours = []
    for archs, capability in cases:
        [decision] = resolve_variants(
            {name: archs}, torch="2.9", backend="cu128", capability=capability
        )
        ours.append(isinstance(decision, VariantAccepted))
        if not ours[-1]:
            assert decision.reason == (
                f"CUDA capability {capability // 10}.{capability % 10} is not supported by the "
                f"architectures of the build: {', '.join(archs)}"
            )
    theirs = peer_answers(peer, tmp_path, PEER_CHECKS_ARCHS, cases)
    assert ours == theirs
    assert {True, False} == set(ours)


DESCRIBES = """
    import json, sys
    from kernels import backends, variants
    from kernels.backends import parse_backend
    from kernels.variants import parse_variant

    def described(parse, text):
        try:
            parsed = parse(text)
        except ValueError:
            return "ValueError"
        # Before Python 3.12 the hash of None is an address.
        comparable = "None" not in repr(parsed)
        return [repr(parsed), parsed.variant_str, comparable and hash(parsed), parsed == parse(text)]

    cases = json.load(open(sys.argv[1]))
    parsers = [
        *(getattr(variants, name).parse for name in ("Torch", "TorchStableAbi", "TvmFfi", "Noarch")),
        *(getattr(backends, name).parse
          for name in ("CANN", "CPU", "CUDA", "Metal", "Neuron", "ROCm", "TPU", "XPU")),
    ]
    print(json.dumps({
        "variants": [described(parse_variant, text) for text in cases],
        "backends": [described(parse_backend, text) for text in cases],
        "parts": [[described(parse, text) for parse in parsers] for text in cases],
        "arch": [described(variants.Arch.parse, text.split("-")) for text in cases],
        "here": [repr(backends._backend()), repr(backends._select_backend("cpu"))],
    }))
"""


def test_the_same_names_are_parsed_to_the_same(peer, tmp_path):
    rng = random.Random(4)
    words = [
        "torch",
        "torch29",
        "torch2",
        "stable",
        "abi29",
        "abi2",
        "tvm",
        "ffi01",
        "ffi",
        "cxx11",
    ]
    words += ["cxx98", "cu128", "cu1", "cu", "rocm", "rocm64", "xpu2", "cpu", "x86_64", "linux", ""]
    cases = [*NAMES, *BACKENDS, *FRAMEWORKS, "cux1", "cpu1", "mps", "torch29-cu0128-x86_64-linux"]
    cases += ["-".join(rng.choices(words, k=rng.randrange(1, 6))) for _ in range(1500)]
    path = tmp_path / "cases.json"
    path.write_text(json.dumps(cases))
    seed = {"PYTHONHASHSEED": "4"}
    theirs = json.loads(
        run_python(DESCRIBES, str(path), python=peer, env=seed | {"PYTHONPATH": ""}).stdout
    )
    ours = json.loads(run_python(DESCRIBES, str(path), env=seed).stdout)
    assert ours == theirs
    assert sum(answer != "ValueError" for answer in ours["variants"]) > len(NAMES)


def test_names_that_the_library_takes_are_parsed():
    for name in NAMES:
        assert (
            len(
                _core.rank_variants(
                    [name], [None], (2, 9, 1, -1, -1, "cpu", "a", "b", False), -2, None
                )
            )
            == 1
        )
        assert parse_variant(name).variant_str == ("torch-" if name == "torch" else name)


PEER_RESOLVES_HERE = """
    import json, sys
    from kernels.variants import parse_variant, resolve_variant, resolve_variants, variants_trace_str
    names, backend = json.load(open(sys.argv[1]))
    found = [parse_variant(name) for name in names]
    accepted, trace = resolve_variants(found, backend)
    best, same = resolve_variant(found, backend)
    print(json.dumps([
        [v.variant_str for v in accepted],
        [[d.variant.variant_str, getattr(d, "reason", None)] for d in trace],
        best and best.variant_str,
        variants_trace_str([d for d in trace if not hasattr(d, "reason")]),
    ]))
"""


@pytest.mark.parametrize("backend", [None, "cpu"])
def test_this_machine_takes_what_it_takes_under_upstream(peer, tmp_path, backend):
    major, minor = Version(torch.__version__).release[:2]
    here = f"{platform.machine()}-{platform.system().lower()}"
    names = [f"torch{major}{minor}-cpu-{here}", f"torch{major}{minor}-cxx11-cpu-{here}"]
    names += [
        f"torch-stable-abi{major}{minor}-cpu-{here}",
        f"torch-stable-abi29-cpu-{here}",
        *NAMES,
    ]
    accepted, trace = resolve_variants([parse_variant(name) for name in names], backend)
    assert len(accepted) >= 6
    assert accepted == [each.variant for each in trace if isinstance(each, VariantAccepted)]
    pairs = as_pairs(trace)
    theirs = peer_answers(
        peer, tmp_path, PEER_RESOLVES_HERE, [[name for name, _ in pairs], backend]
    )
    assert theirs[0] == [variant.variant_str for variant in accepted]
    assert without_ties(theirs[1]) == without_ties(pairs)
    assert theirs[2] == accepted[0].variant_str == resolve_variant(accepted, backend)[0].variant_str
    assert theirs[3] == variants_trace_str([VariantAccepted(variant) for variant in accepted])


# ---- another machine ----


def test_what_fits_stands_first_and_the_rest_tells_why():
    names = [
        "torch-universal",
        "torch210-cu128-x86_64-linux",
        "docs",
        "torch29-cu126-x86_64-linux",
        "torch29-cu130-x86_64-linux",
        "torch29-cu128-x86_64-linux",
    ]
    assert resolve_variants(names, torch="2.9.1", backend="cu128") == [
        VariantAccepted(parse_variant("torch29-cu128-x86_64-linux")),
        VariantAccepted(parse_variant("torch29-cu126-x86_64-linux")),
        VariantAccepted(parse_variant("torch-universal")),
        VariantRejected(
            parse_variant("torch210-cu128-x86_64-linux"),
            "Torch version (2.10) does not match environment Torch version (2.9)",
        ),
        VariantRejected(
            parse_variant("torch29-cu130-x86_64-linux"),
            "CUDA version (13.0) is not compatible with system CUDA version (12.8)",
        ),
    ]


def test_the_machine_is_cuda_13_without_frameworks_unless_it_is_described():
    assert as_pairs(resolve_variants(["torch-cuda", "torch29-cu130-x86_64-linux"])) == [
        ["torch-cuda", None],
        [
            "torch29-cu130-x86_64-linux",
            "Torch version (2.9) does not match environment Torch version (None)",
        ],
    ]


def test_builds_without_code_for_the_gpu_are_rejected():
    builds = {
        "torch29-cu128-x86_64-linux": ["8.0", "9.0"],
        "torch29-cu126-x86_64-linux": ["8.0"],
        "torch-stable-abi29-cu128-x86_64-linux": None,
        "torch-universal": ["8.0"],
        "torch-cuda": [],
    }
    for capability in (90, "9.0"):
        decisions = resolve_variants(builds, torch="2.9.1", backend="cu128", capability=capability)
        assert as_pairs(decisions) == [
            ["torch-stable-abi29-cu128-x86_64-linux", None],
            ["torch29-cu128-x86_64-linux", None],
            ["torch-cuda", None],
            ["torch-universal", None],
            [
                "torch29-cu126-x86_64-linux",
                "CUDA capability 9.0 is not supported by the architectures of the build: 8.0",
            ],
        ]
    assert all(
        isinstance(decision, VariantAccepted)
        for decision in resolve_variants(builds, torch="2.9.1", backend="cu128")
    )


def test_rocm_needs_the_very_arch():
    builds = {
        "torch29-rocm64-x86_64-linux": ["gfx90a", "gfx942"],
        "torch-stable-abi29-rocm64-x86_64-linux": ["gfx90"],
    }
    decisions = resolve_variants(
        builds, torch="2.9", backend="rocm64", capability="gfx90a:sramecc+:xnack-"
    )
    assert as_pairs(decisions) == [
        ["torch29-rocm64-x86_64-linux", None],
        [
            "torch-stable-abi29-rocm64-x86_64-linux",
            "ROCm arch gfx90a is not supported by the architectures of the build: gfx90",
        ],
    ]


@pytest.mark.parametrize("capability", [9, -90, "9", "sm_90", "9.0a", "", "9.10"])
def test_a_capability_that_is_none_is_a_value_error(capability):
    with pytest.raises(ValueError, match="capability must be major"):
        resolve_variants(["torch-cuda"], capability=capability)


def test_a_capability_of_another_type_is_a_type_error():
    with pytest.raises(TypeError, match="capability must be an integer or text"):
        resolve_variants(["torch-cuda"], capability=9.0)


@pytest.mark.parametrize(
    "system, part",
    [
        ({"backend": "cuda"}, "not 'cuda'"),
        ({"backend": ""}, "unknown backend"),
        ({"torch": "two"}, "'two' is no version"),
        ({"tvm_ffi": ""}, "'' is no version"),
    ],
)
def test_a_machine_that_is_not_described_rightly_is_a_value_error(system, part):
    with pytest.raises(ValueError, match=part):
        resolve_variants(["torch-cuda"], **system)


def test_names_that_are_no_text_for_the_library_are_left_out():
    assert resolve_variants(["torch-\0", "torch-\udc80", "torch"], backend="cpu") == [
        VariantRejected(
            parse_variant("torch"),
            "backend () does not match system backend (cpu) and is not universal",
        )
    ]
    with pytest.raises((AttributeError, TypeError)):
        resolve_variants([5])


def test_any_iterable_of_names_will_do():
    assert len(resolve_variants(iter(["torch-cuda", "torch-cpu"]))) == 2
    assert len(resolve_variants({"torch-cuda", "torch-cpu"})) == 2
    assert resolve_variants(()) == []
    assert resolve_variants({}) == []
    assert resolve_variants([], torch="2.9") == []
    assert resolve_variants([], backend="cu128") == []


def test_upstreams_form_gives_a_pair():
    assert resolve_variants([]) == ([], [])
    universal = parse_variant("torch-universal")
    assert resolve_variants([universal]) == ([universal], [VariantAccepted(universal)])
    assert resolve_variant([]) == (None, [])
    with pytest.raises(ValueError, match="Invalid backend 'abacus', system supported backends: "):
        resolve_variants([universal], "abacus")


def test_variant_objects_can_be_held_against_another_machine():
    variant = parse_variant("torch29-cu128-x86_64-linux")
    assert resolve_variants([variant], torch="2.9", backend="cu128") == [VariantAccepted(variant)]


def test_folders_that_are_variants_are_found(tmp_path):
    for name in ("torch-universal", "torch29-cu128-x86_64-linux", "docs", "torch-cpu"):
        (tmp_path / name).mkdir()
    (tmp_path / "torch-cuda").write_text("a file")
    found = get_variants_local(tmp_path)
    assert [variant.variant_str for variant in found] == [
        "torch-cpu",
        "torch-universal",
        "torch29-cu128-x86_64-linux",
    ]
    assert get_variants_local(tmp_path / "nowhere") == []


def test_a_trace_is_one_line_a_variant():
    names = ["torch-universal", "torch-cuda", "torch-cpu"]
    assert variants_trace_str(resolve_variants(names)) == (
        "torch-cuda compatible, preferred ✅\n"
        "torch-universal compatible ✅\n"
        "torch-cpu: backend (cpu) does not match system backend (cuda) and is not universal"
    )
    assert variants_trace_str([]) == ""


def test_variants_are_made_of_their_parts():
    variant = ArchVariant(
        framework=Torch(version=Version("2.9"), cxx11_abi=True),
        arch=Arch(backend=CUDA(version=Version("12.8")), platform="x86_64", os="linux"),
    )
    assert variant == parse_variant("torch29-cxx11-cu128-x86_64-linux")
    assert variant != parse_variant("torch29-cu128-x86_64-linux")
    assert hash(variant) == hash(parse_variant(variant.variant_str))
    assert NoarchVariant(TorchNoarch(), Noarch("cuda")) == parse_variant("torch-cuda")
    assert TorchStableAbi(Version("2.9")) != Torch(Version("2.9"), None)
    assert TvmFfi(Version("0.1")).variant_str == "tvm-ffi01"


def test_versions_of_packaging_do_as_well():
    theirs = CUDA(version=PackagingVersion("12.8"))
    assert theirs == CUDA(version=Version("12.8")) == parse_backend("cu128")
    assert hash(theirs) == hash(CUDA(version=Version("12.8")))
    assert theirs.variant_str == "cu128"


def test_every_backend_is_one():
    versioned = [cls(version=Version("1.2")) for cls in (CANN, CUDA, ROCm, XPU)]
    for backend in [*versioned, CPU(), Metal(), Neuron(), TPU()]:
        assert isinstance(backend, backends.Backend)
        assert parse_backend(backend.variant_str) == backend
    assert not isinstance("cpu", backends.Backend)


def test_another_machine_is_decided_about_without_torch():
    code = """
        import sys
        sys.modules["torch"] = None  # importing it fails
        import kernels
        assert not {"kernels.variants", "kernels.backends"} & set(sys.modules)
        from kernels.variants import resolve_variants
        print(resolve_variants(["torch29-cu128-x86_64-linux"], torch="2.9", backend="cu128"))
        print(sorted({"packaging", "huggingface_hub", "numpy"} & set(sys.modules)))
    """
    lines = run_python(code).stdout.splitlines()
    assert lines[0].startswith("[VariantAccepted(variant=ArchVariant(framework=Torch(version=<")
    assert lines[1] == "[]"
