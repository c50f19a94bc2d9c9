# SPDX-License-Identifier: Apache-2.0
"""The same scripts under this package and under upstream 0.17.2: how they are run, and where they differ on purpose.

Used by test_differential.py and by bench/bench_compat.py.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
SCRIPTS = ("differential_cases.py", "differential_generated.py")

STRICT = ["StrictDataclassClassValidationError"]
REFUSED_AT_ONCE = "a malformed mapping is refused when it is given, with a TypeError"
NOT_ASKED = "a capability that cannot be asked is no compatible properties; upstream lets torch's AssertionError out"
CHECKED = "properties are checked with builtin errors; each also derives from huggingface_hub's where that is imported"

# What differs on purpose: the case, upstream's answer, ours, why.
DELIBERATE = [
    (
        "capability of cuda that cannot be asked",
        [["AssertionError"], ["original"]],
        [None, ["original"]],
        NOT_ASKED,
    ),
    (
        "capability of rocm that cannot be asked",
        [["AssertionError"], ["original"]],
        [None, ["original"]],
        NOT_ASKED,
    ),
    (
        "third layer fails",
        [["TypeError"], ["A", "B", "original"]],
        [["TypeError"], ["original", "original", "original"]],
        "a failed call leaves the model as it was",
    ),
    (
        "second class does not fit",
        [None, ["r", "r"]],
        [["TypeError"], ["original", "original"]],
        "a layer is checked against every class that it replaces; upstream checks the first",
    ),
    (
        "foreign forward",
        [None, ["r"]],
        [None, ["foreign"]],
        "a forward that somebody else has set is kept",
    ),
    (
        "keyword of the replaced class",
        ["TypeError"],
        "renamed",
        "keyword calls by the replaced class's names still work",
    ),
    ("mapping None", [["AttributeError"], None], [["TypeError"], None], REFUSED_AT_ONCE),
    ("mapping 5", [["AttributeError"], None], [["TypeError"], None], REFUSED_AT_ONCE),
    ("mapping []", [["AttributeError"], None], [["TypeError"], None], REFUSED_AT_ONCE),
    ("mapping {'A': None}", [["AttributeError"], None], [["TypeError"], None], REFUSED_AT_ONCE),
    (
        "mapping {'A': {'cpu': None}}",
        [None, ["AttributeError"]],
        [["TypeError"], None],
        REFUSED_AT_ONCE,
    ),
    ("mapping {'A': {'cpu': {'INFERENC", [None, None], [["TypeError"], None], REFUSED_AT_ONCE),
    *(
        (f"{cls}{arguments}", theirs, ours, CHECKED)
        for cls in ("CUDAProperties", "ROCMProperties")
        for arguments, theirs, ours in (
            ("(90, 75)", STRICT, ["ValueError"]),
            ("('75', 90)", STRICT, ["TypeError"]),
            ("(75, None)", STRICT, ["TypeError"]),
            ("(7.5, 90)", [7.5, True], ["TypeError"]),
        )
    ),
]

# Of the generated cases: name, why.
DELIBERATE_GENERATED = {
    "variant 44": "builds for tvm-ffi come before builds for no architecture, also where upstream's order is a tie",
}


def run_scripts(python):
    """{script: {case: answer}} under the Python that has one of the packages, without a GPU: torch then says so with an
    AssertionError or, built for CUDA, with a RuntimeError."""
    hidden = {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "", "PYTHONPATH": ""}
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in ("LOCAL_KERNELS", "DISABLE_KERNEL_MAPPING")
    }
    found = {}
    for script in SCRIPTS:
        done = subprocess.run(
            [python, FOLDER / script],
            env=clean | hidden,
            capture_output=True,
            text=True,
            timeout=300,
        )
        if done.returncode:
            raise RuntimeError(f"{script} under {python}: {done.stderr}")
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        found[script] = dict(lines)
        assert len(found[script]) == len(lines), "a case has the name of another"
    return found


def run_both(peer):
    """(upstream's answers, ours)"""
    theirs = run_scripts(peer)
    for name in ("cuda", "rocm"):
        answer = theirs[SCRIPTS[0]][f"capability of {name} that cannot be asked"]
        answer[0] = ["AssertionError"] if answer[0] == ["RuntimeError"] else answer[0]
    return theirs, run_scripts(sys.executable)


def without_messages(answer):
    if isinstance(answer, dict):
        return {key: value for key, value in answer.items() if key != "message"}
    if isinstance(answer, list):
        return [without_messages(each) for each in answer]
    return answer


def messages(answer):
    """The messages in an answer, in order."""
    if isinstance(answer, dict):
        return [answer["message"]] if "message" in answer else []
    if isinstance(answer, list):
        return [message for each in answer for message in messages(each)]
    return []


def key_words(message):
    """What a reader or a program looks for in a message: its words and what it quotes, but for what stands in
    parentheses."""
    plain = re.sub(r"\([^()]*\)?", " ", message)
    return set(re.findall(r"[a-z_]{4,}", plain.lower()))


def lacking_words(theirs, ours):
    """The key words of upstream's messages that ours do not have."""
    return sorted(
        word
        for their, our in zip(messages(theirs), messages(ours), strict=True)
        for word in key_words(their) - key_words(our)
    )


def after_failures(their_steps):
    """What the steps of a random case come to where a failed call leaves the model as it was: upstream leaves it half
    replaced."""
    before, expected = ["original"] * 3, []
    for error, answers in their_steps:
        before = before if error else answers
        expected.append([error, before])
    return expected


def is_equal(name, theirs, ours):
    """Whether a case came to the same, but for the models that failed calls left."""
    if name.startswith("random "):
        return ours == after_failures(theirs)
    return without_messages(theirs) == without_messages(ours) and not lacking_words(theirs, ours)


def deliberate_names():
    return {name for name, *_ in DELIBERATE} | set(DELIBERATE_GENERATED) | {"version"}
