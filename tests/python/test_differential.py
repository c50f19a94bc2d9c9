# SPDX-License-Identifier: Apache-2.0
"""The same cases under this package and under upstream 0.17.2: what they choose, and what they raise."""

import json

import pytest
from differential import (
    DELIBERATE,
    DELIBERATE_GENERATED,
    SCRIPTS,
    deliberate_names,
    is_equal,
    key_words,
    lacking_words,
    messages,
    run_both,
    without_messages,
)

WRITTEN, GENERATED = SCRIPTS


@pytest.fixture(scope="module")
def both(peer):
    return run_both(peer)


def test_it_is_upstream_that_we_compare_with(both):
    theirs, ours = both
    assert theirs[WRITTEN]["version"] == "0.17.2"
    assert ours[WRITTEN]["version"].startswith("0.17.2+")
    assert {script: list(cases) for script, cases in theirs.items()} == {
        script: list(cases) for script, cases in ours.items()
    }
    assert (len(ours[WRITTEN]), len(ours[GENERATED])) == (291, 640)


def test_scripts_differ_only_where_they_are_meant_to(both):
    theirs, ours = both
    differing = {
        name
        for script in SCRIPTS
        for name in theirs[script]
        if not is_equal(name, theirs[script][name], ours[script][name])
    }
    assert differing == deliberate_names()


def test_written_cases_differ_as_they_are_meant_to(both):
    theirs, ours = both
    expected = {name: (their, our) for name, their, our, _ in DELIBERATE}
    found = {name: (theirs[WRITTEN][name], ours[WRITTEN][name]) for name in expected}
    assert found == expected


def test_every_deliberate_difference_has_a_reason():
    assert all(len(reason) > 20 for *_, reason in DELIBERATE)
    assert all(len(reason) > 20 for reason in DELIBERATE_GENERATED.values())


def test_generated_mappings_are_worth_something(both):
    _, ours = both
    steps = [step for seed in range(120) for step in ours[WRITTEN][f"random {seed}"]]
    assert len(steps) == 360
    assert sum(any(answer != "original" for answer in answers) for _, answers in steps) > 100
    assert sum(error is not None for error, _ in steps) > 50


def test_generated_ranges_are_worth_something(both):
    _, ours = both
    names = [
        name for name in ours[WRITTEN] if name.startswith("capability ") and "asked" not in name
    ]
    assert len(names) == 40
    assert len({json.dumps(ours[WRITTEN][name]) for name in names}) > 10


@pytest.mark.parametrize(
    ("kind", "different"),
    [
        ("signature", 60),
        ("refusal", 40),
        ("function", 10),
        ("context", 40),
        ("lock", 30),
        ("variant", 60),
        ("value", 50),
        ("mode", 30),
    ],
)
def test_generated_cases_are_worth_something(both, kind, different):
    _, ours = both
    found = [answer for name, answer in ours[GENERATED].items() if name.startswith(f"{kind} ")]
    assert len({json.dumps(answer) for answer in found}) >= different


def test_errors_go_on_after_upstreams_words(both):
    theirs, ours = both
    told = 0
    for name, their in theirs[GENERATED].items():
        if name not in DELIBERATE_GENERATED:
            assert lacking_words(their, ours[GENERATED][name]) == [], name
            told += len(messages(their))
    assert told > 150


def test_what_is_compared_of_messages():
    their = "No layer mapping for `A` with device type `Device(type='cpu', properties=None)`"
    assert key_words(their) == {"layer", "mapping", "with", "device", "type"}
    answer = [1, {"error": ["ValueError"], "message": "Not this"}]
    assert without_messages(answer) == [1, {"error": ["ValueError"]}]
    assert lacking_words(answer, [1, {"error": ["ValueError"], "message": "not that"}]) == ["this"]
