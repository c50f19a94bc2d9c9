# SPDX-License-Identifier: Apache-2.0
"""Versions and version specifiers: the same as in the package `packaging`, on generated input too."""

import copy
import operator
import pickle

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kernel_support import run_python
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion
from packaging.version import Version as Theirs

from kernels._core import Version, check_specifier, select_version

ATTRIBUTES = [
    "base_version",
    "dev",
    "epoch",
    "is_devrelease",
    "is_postrelease",
    "is_prerelease",
    "local",
    "major",
    "micro",
    "minor",
    "post",
    "pre",
    "public",
    "release",
]
OPERATORS = [operator.lt, operator.le, operator.eq, operator.ne, operator.gt, operator.ge]

many = settings(max_examples=600, deadline=None)
some = settings(max_examples=200, deadline=None)

# ---- what is generated ----

# Few values, so that versions are often equal or near; now and then one that no machine word holds.
numbers = st.sampled_from(
    ["0", "1", "2", "3", "10", "00", "01", "002", "18446744073709551616", "9" * 30]
)
separators = st.sampled_from(["", ".", "-", "_"])


def any_case(words):
    return st.sampled_from(words).flatmap(
        lambda word: st.sampled_from([word, word.upper(), word.title()])
    )


def optional(strategy):
    return st.one_of(st.just(""), strategy)


def joined(*strategies):
    return st.tuples(*strategies).map("".join)


def segment(words):
    return joined(separators, any_case(words), separators, optional(numbers))


epochs = optional(st.sampled_from(["0!", "1!", "01!"]))
releases = st.lists(numbers, min_size=1, max_size=4).map(".".join)
pre = segment(["a", "b", "c", "rc", "alpha", "beta", "pre", "preview"])
post = st.one_of(segment(["post", "rev", "r"]), numbers.map("-{}".format))
dev = segment(["dev"])
local_words = st.one_of(numbers, any_case(["a", "b", "ab", "ubuntu", "1a", "z9"]))
local = st.lists(st.tuples(st.sampled_from("._-"), local_words), min_size=1, max_size=3).map(
    lambda parts: "+" + "".join(mark + word for mark, word in parts)[1:]
)
public_versions = joined(
    st.sampled_from(["", "", "v", "V"]),
    epochs,
    releases,
    optional(pre),
    optional(post),
    optional(dev),
)
spaces = st.sampled_from(["", "", "", " ", "\t", "\n", "\x1c", "\x85", "\xa0", "\u2003", "\u3000 "])
versions = joined(public_versions, optional(local))
# Nearly versions: the letters and marks that they are made of, in any order.
soup = st.text("01.abcdeoprstv-_+!*v \u2003é", max_size=14)
texts = st.one_of(joined(spaces, versions, spaces), soup)

signs = st.sampled_from(["~=", "==", "!=", "<=", ">=", "<", ">", "==="])
prefixes = joined(st.sampled_from(["", "v"]), epochs, releases).map("{}.*".format)
clauses = st.one_of(
    joined(spaces, signs, spaces, versions, spaces),
    joined(signs, public_versions),
    joined(st.sampled_from(["==", "!="]), prefixes),
    joined(st.just("~="), epochs, releases.map("{}.0".format), optional(pre)),
)
likely_sets = st.lists(clauses, max_size=3).map(",".join)
any_sets = st.one_of(likely_sets, st.text("<>=!~,01.*a rcdev+v;)\u2003", max_size=12))

# Versions close together, for specifiers to part.
near = joined(
    st.sampled_from(["", "", "v"]),
    optional(st.just("1!")),
    st.sampled_from(["0", "1", "1.0", "1.0.0", "1.1", "1.2", "2", "2.0", "2.1.3"]),
    optional(st.sampled_from(["a1", "b0", "rc1"])),
    optional(st.sampled_from([".post0", ".post1", ".post2"])),
    optional(st.sampled_from([".dev0", ".dev1"])),
    optional(st.sampled_from(["+a", "+a.1", "+1", "+2"])),
)
near_sets = st.lists(
    st.one_of(
        joined(signs, near),
        near.map(lambda text: "~=" + text.split("+")[0]),
        near.map(lambda text: "<" + text.split("+")[0]),
        near.map(lambda text: ">" + text.split("+")[0]),
        near.map(lambda text: "<=" + text.split("+")[0]),
        st.sampled_from(
            ["==1.*", "!=1.*", "==1.0.*", "!=1.1.*", "==1!1.*", "!=2.0.0.*", "==1.0.0.0.*"]
        ),
    ),
    max_size=3,
).map(",".join)


# ---- what is compared ----


def theirs_or_none(text):
    try:
        return Theirs(text)
    except InvalidVersion:
        return None


def ours_or_none(text):
    try:
        return Version(text)
    except ValueError:
        return None


@many
@example("1.0-1").via("a post-release without its word")
@example("1.0a.-1").via("a separator that nothing follows, and a post-release")
@example("1.0.post.dev").via("words without numbers")
@example("1.0+a.").via("a local part that ends with a separator")
@given(texts)
def test_the_same_texts_are_versions_with_the_same_parts(text):
    theirs, ours = theirs_or_none(text), ours_or_none(text)
    assert (ours is None) == (theirs is None)
    if theirs is not None:
        assert str(ours) == str(theirs)
        assert repr(ours) == repr(theirs)
        assert {name: getattr(ours, name) for name in ATTRIBUTES} == {
            name: getattr(theirs, name) for name in ATTRIBUTES
        }
        assert hash(ours) == hash(theirs)
        assert str(Version(str(ours))) == str(ours)


@many
@given(versions | near, versions | near)
def test_the_order_is_the_same(a, b):
    for compare in OPERATORS:
        expected = compare(Theirs(a), Theirs(b))
        assert compare(Version(a), Version(b)) is expected
        assert compare(Version(a), Theirs(b)) is expected
        assert compare(Theirs(a), Version(b)) is expected


@some
@given(st.lists(near, max_size=30))
def test_sorting_is_the_same(texts):
    ours = sorted(map(Version, texts))
    assert [str(version) for version in ours] == [
        str(version) for version in sorted(map(Theirs, texts))
    ]


@many
@example("===").via("nothing to compare with")
@example("~=1").via("compatible with a single number")
@example("==1.0+a.*").via("a prefix with a local part")
@given(any_sets)
def test_the_same_texts_are_specifiers(text):
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        with pytest.raises(ValueError, match="version specifier"):
            check_specifier(text)
    else:
        check_specifier(text)


def expected_selection(specifier, tags):
    """By what `packaging` filters out of the versions that the tags name."""
    named = {tag: Theirs(tag) for tag in tags}
    accepted = set(SpecifierSet(specifier).filter(named.values()))
    if not accepted:
        return None
    newest = max(accepted)
    equal = [tag for tag in tags if named[tag] == newest]
    return min(equal, key=lambda tag: (not tag.startswith("v"), tag.encode()))


@many
@example(">1.0", "1.0+a").via("newer by its local part alone")
@example(">1.0a1", "1.0a1.post1").via("a post-release of a pre-release")
@example("<1.0.post1", "1.0.post1.dev0").via("a development release of the bound")
@example("~=1.0rc1", "1.0rc1+a").via("compatible with a pre-release")
@example("==1.0.*", "1.dev0").via("a prefix with zeros")
@example("===1.0", "v1.0").via("identity with the normalized text")
@given(near_sets, near)
def test_a_version_is_contained_in_the_same_specifiers(specifier, version):
    try:
        wanted = SpecifierSet(specifier).contains(Theirs(version))
    except InvalidSpecifier:
        with pytest.raises(ValueError, match="version specifier"):
            select_version(specifier, [version])
    else:
        assert select_version(specifier, [version]) == (version if wanted else None)


@many
@given(near_sets, st.lists(near, max_size=8))
def test_the_same_versions_are_filtered_out(specifier, tags):
    try:
        SpecifierSet(specifier)
    except InvalidSpecifier:
        return
    # One after the other, from the newest on: pre-releases come last.
    tags = list(dict.fromkeys(tags))
    while True:
        selected = select_version(specifier, tags)
        assert selected == expected_selection(specifier, tags)
        if selected is None:
            break
        tags.remove(selected)


@some
@given(likely_sets, st.lists(versions, max_size=8))
def test_odd_spellings_are_filtered_alike(specifier, tags):
    tags = list(dict.fromkeys(tags))
    try:
        wanted = expected_selection(specifier, tags)
    except InvalidSpecifier:
        return
    selected = select_version(specifier, tags)
    assert (selected and Theirs(selected)) == (wanted and Theirs(wanted))


# ---- written out ----


def test_the_newest_tag_is_selected():
    tags = ["v0.1.0", "v0.1.9", "v0.1.10", "v0.2.0", "main", "v0.3.0rc1", "release"]
    assert select_version(">=0.1,<0.2", tags) == "v0.1.10"
    assert select_version("", tags) == "v0.2.0"
    assert select_version(">=0.3.0rc1", tags) == "v0.3.0rc1"
    assert select_version(">0.2.0", tags) == "v0.3.0rc1"
    assert select_version(">=0.2,!=0.2.0", tags) == "v0.3.0rc1"
    assert select_version(">=0.4", tags) is None
    assert select_version(">=0.1", []) is None


def test_of_two_tags_for_one_version_that_with_v_is_selected():
    for tags in (["1.0", "v1.0.0", "v1.0"], ["v1.0", "v1.0.0", "1.0"]):
        assert select_version("==1", tags) == "v1.0"


def test_a_clause_that_is_none_is_quoted():
    with pytest.raises(ValueError, match=r"'>=0.1, 0.2': '0.2' is no clause of PEP 440; write"):
        select_version(">=0.1, 0.2", ["v0.1"])


def test_there_is_an_end_to_what_is_read():
    assert str(Version("1." + "0" * 254)) == "1.0"
    with pytest.raises(ValueError, match="has 257 bytes, expected at most 256"):
        Version("1." + "0" * 255)
    check_specifier(",".join([">=1"] * 64))
    with pytest.raises(ValueError, match="more than 64 clauses"):
        check_specifier(",".join([">=1"] * 65))


def test_equal_versions_are_one_key_of_a_dict():
    assert len({Version("1.0"), Version("1"), Theirs("1.0.0"), Version("1.0+a")}) == 2


def test_versions_copy_and_pickle():
    version = Version("1!2.0rc1.post2.dev3+ubuntu.4")
    for again in (pickle.loads(pickle.dumps(version)), copy.copy(version), copy.deepcopy(version)):
        assert type(again) is Version
        assert str(again) == str(version)


def test_versions_do_not_change():
    version = Version("1.0")
    with pytest.raises(AttributeError):
        version.major = 2
    with pytest.raises(AttributeError):
        version.other = 2
    with pytest.raises(TypeError):
        Version.major = 2


def test_versions_are_made_of_text_only():
    for given_ in (1, 1.0, None, b"1.0", Version("1.0")):
        with pytest.raises(TypeError):
            Version(given_)
    with pytest.raises(ValueError, match="null character"):
        Version("1\0")


def test_other_things_are_neither_equal_nor_in_order():
    assert Version("1.0") != "1.0"
    assert Version("1.0") != 1
    assert Version("1.0") is not None
    with pytest.raises(TypeError):
        Version("1.0") < "2.0"  # noqa: B015


def test_versions_work_without_packaging():
    code = """
        import sys
        from kernels._core import Version
        print(Version("1.0") == Version("1"), Version("1") == object(), "packaging" in sys.modules)
    """
    assert run_python(code).stdout.split() == ["True", "False", "False"]
