# SPDX-License-Identifier: Apache-2.0
"""What a Metadata makes of documents, one JSON line each: run under this package and under upstream's."""

import json

from kernels._rust import Metadata

LEAST = {
    "id": "_a_b_1",
    "name": "a-b",
    "version": 1,
    "license": "MIT",
    "python-depends": [],
    "backend": {"type": "cpu"},
}
FULL = LEAST | {
    "upstream": "https://example.com/a/b",
    "source": "https://example.com/c/d.git",
    "kernels-minver": "0.17.0",
    "python-depends": ["einops"],
    "kernel-depends": [
        {"repo-id": "o/n", "version": 1},
        {"repo-id": "o/m", "revision": "main"},
    ],
    "backend": {"type": "cuda", "archs": ["8.0", "9.0a"]},
    "digest": {
        "algorithm": "sha256",
        "files": {"b/c": "LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE="},
    },
    "provenance": {
        "kernel-builder": {"version": "0.17.0", "sha": "a" * 40, "dirty": True},
        "kernel": {"sha": "B" * 64, "dirty": False},
    },
}
SHA = "c" * 40
X = "LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE="
LONG = "pKvURIxJVi2CgRXROh/M6pJ/UrTVRZKX+LQ+QtqJI4vBNibkPcs43bCCSIkn7JBPtCBXRDmD6IWFF51QVRr+Yg=="
DEPEND = {"repo-id": "o/n"}
BUILDER = {"kernel-builder": {"version": "1"}}
HALF_STATES = ({"sha": SHA}, {"dirty": True}, {"sha": "abc", "dirty": True})


def sha256(files):
    return {"algorithm": "sha256", "files": files}


# Values of one field, on top of the least document.
VALUES = {
    "id": ["", "a/b", "..", "a b", "\u00e9", "a.b", "5"],
    "name": ["ab", "a", "A-b", "a_b", "a--b", "a-", "1a", "\u00e9\u00e9", "a-b\n", ""],
    "version": [0, 7, -1, 1.0, True, "1", 2**63 - 1, 2**63, 2**64 - 1, 2**64],
    "license": ["", "\u00e9", "A OR B", 5, [], {}],
    "kernels-minver": ["0.17.0", "00.17.0", " 0.17.0", "0.17", "0.17.0.1", "", "a", "0.17.0rc1", "v0.17.0", "1..2", 5],
    "source": ["https://example.com/a/b", "ssh://git@example.com/a", "git@example.com:a/b.git", "http://x", "a", "", 5],
    "python-depends": [["a", "b"], [1], ["a", None], "a", {"a": 1}],
    "kernel-depends": [
        [DEPEND],
        [DEPEND | {"version": 1, "revision": "x"}],
        [DEPEND | {"version": "1"}],
        [DEPEND | {"version": 0}],
        [DEPEND | {"version": -1}],
        [DEPEND | {"version": 1.0}],
        [DEPEND | {"version": None, "revision": "a"}],
        [DEPEND | {"version": 1, "revision": None}],
        [DEPEND | {"version": None, "revision": None}],
        [DEPEND | {"revision": ""}],
        [DEPEND | {"revision": 5}],
        [DEPEND | {"revision": 'a"b'}],
        [DEPEND | {"version": 1, "newer": 2}],
        [DEPEND | {"version": 2**63}],
        [{"repo_id": "o/n", "version": 1}],
        [{"repo-id": "", "version": 1}],
        [{"repo-id": "name", "version": 1}],
        [{"version": 1}],
        [DEPEND | {"version": 1}, DEPEND | {"version": 1}],
        ["o/n"],
        [None],
        [],
        {},
        "o/n",
    ],
    "backend": [
        {"type": name} for name in ("cann", "cpu", "cuda", "metal", "neuron", "rocm", "tpu", "xpu", "CUDA", "npu")
    ]
    + [
        {},
        {"archs": ["8.0"]},
        {"type": "cuda", "archs": []},
        {"type": "cuda", "archs": None},
        {"type": "cuda", "archs": [1, "8.0"]},
        {"type": "cuda", "archs": "8.0"},
        {"type": "cuda", "newer": 1},
        "cuda",
    ],
    "digest": [
        sha256({}),
        sha256({"b": X, "a": X, "Z": X, "a/b": X}),
        sha256({"a": X}) | {"newer": 1},
        {"algorithm": "sha512", "files": {"a": LONG}},
        {"algorithm": "sha512", "files": {"a": X}},
        {"algorithm": "SHA256", "files": {}},
        {"algorithm": "md5", "files": {}},
        {"algorithm": "sha256"},
        {"files": {}},
        sha256([]),
        sha256({"a": 5}),
        sha256({"a": None}),
        sha256({"a": "x"}),
        sha256({"a": X[:-1]}),
        sha256({"../a": X}),
        sha256({"/a": X}),
        sha256({"": X}),
        sha256({"a\nb": X}),
        [],
        "sha256",
    ],
    "provenance": [
        {},
        BUILDER,
        BUILDER | {"newer": 1},
        BUILDER | {"kernel": None},
        {"kernel": {"sha": SHA, "dirty": True}},
        {"kernel-builder": {"version": 5}},
        {"kernel-builder": {"version": ""}},
        {"kernel-builder": {"version": "1", "git": {"sha": SHA, "dirty": True}}},
        *({"kernel-builder": {"version": "1"} | state} for state in HALF_STATES),
        *({"kernel-builder": {"version": "1", name: SHA, "dirty": True}} for name in ("sha", "commit")),
        *({"kernel-builder": {"version": "1", "sha": SHA, "dirty": dirty}} for dirty in (False, None, 1)),
        *(BUILDER | {"kernel": kernel} for kernel in ({}, 5, *HALF_STATES)),
        *(BUILDER | {"kernel": {name: SHA.upper(), "dirty": True, "newer": 1}} for name in ("sha", "commit")),
        *(BUILDER | {"kernel": {"sha": SHA, "dirty": dirty}} for dirty in (False, None)),
        {"kernel-builder": {"version": "1", "sha": SHA, "dirty": True}, "kernel": {"sha": SHA, "dirty": True}},
        5,
    ],
}  # fmt: skip

TEXTS = {
    "empty": "",
    "not JSON": "{",
    "a list": "[]",
    "a number": "5",
    "something behind": json.dumps(LEAST) + " x",
    "a mark before": "\ufeff" + json.dumps(LEAST),
    "id twice": '{"id": "b", ' + json.dumps(LEAST)[1:],
    "a newer field twice": '{"newer": 1, "newer": 2, ' + json.dumps(LEAST)[1:],
    "a file twice": json.dumps(LEAST | {"digest": 0}).replace(
        '"digest": 0', f'"digest": {{"algorithm": "sha256", "files": {{"a": "{X}", "a": "{X}"}}}}'
    ),
    "nested 60 deep": json.dumps(LEAST | {"newer": 0}).replace(
        '"newer": 0', f'"newer": {"[" * 60}{"]" * 60}'
    ),
    "nested 100 deep": json.dumps(LEAST | {"newer": 0}).replace(
        '"newer": 0', f'"newer": {"[" * 100}{"]" * 100}'
    ),
}


def documents():
    yield "least", LEAST
    yield "full", FULL
    yield "newer field", FULL | {"newer": {"a": [1, None]}}
    for field in FULL:
        yield f"no {field}", {name: value for name, value in FULL.items() if name != field}
        yield f"null {field}", FULL | {field: None}
    for field, values in VALUES.items():
        for value in values:
            yield f"{field} {json.dumps(value)}", LEAST | {field: value}


def describe(metadata):
    provenance = metadata.provenance
    return {
        "id": metadata.id,
        "name": [repr(metadata.name), str(metadata.name), metadata.name.python_name],
        "version": metadata.version,
        "license": metadata.license,
        "upstream": metadata.upstream,
        "source": metadata.source,
        "kernels_minver": metadata.kernels_minver and str(metadata.kernels_minver),
        "python_depends": metadata.python_depends,
        "kernel_depends": [
            [repr(depend), depend.repo_id, repr(depend.version)]
            for depend in metadata.kernel_depends
        ],
        "backend": [
            repr(metadata.backend),
            str(metadata.backend.backend_type),
            metadata.backend.archs,
        ],
        "digest": metadata.digest
        and [repr(metadata.digest), str(metadata.digest.algorithm), metadata.digest.files],
        "provenance": provenance
        and [
            repr(provenance),
            provenance.dirty,
            provenance.kernel_builder.version,
            provenance.kernel and [provenance.kernel.commit, provenance.kernel.dirty],
        ],
    }


def answer(content):
    try:
        return describe(Metadata.from_bytes(content))
    except Exception as error:
        return type(error).__name__


if __name__ == "__main__":
    for name, document in documents():
        print(json.dumps([name, answer(json.dumps(document).encode())]))
    for name, text in TEXTS.items():
        print(json.dumps([name, answer(text.encode())]))
    print(json.dumps(["not UTF-8", answer(json.dumps(LEAST).encode().replace(b"MIT", b"M\xff"))]))
