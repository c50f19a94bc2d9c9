# SPDX-License-Identifier: Apache-2.0
"""What the engine is told about where a kernel comes from: one tuple, read in C (`core_repo_describe`)."""

import os


def _check_text(**values):
    for name, value in values.items():
        if value is not None and not isinstance(value, str):
            raise TypeError(f"{name} must be text, not {value!r}")


def _version_text(version):
    """A version as text: a branch's number, or a specifier."""
    if version is None or isinstance(version, str):
        return version
    if isinstance(version, bool) or not isinstance(version, int) or version < 0:
        raise ValueError(
            f"version must be a number from 0 on, or text such as '>=0.1,<0.2', not {version!r}"
        )
    return str(version)


def _allowed_text(trust_remote_code):
    """Whose code may run: nobody's (None), everybody's ("*"), or that of the repositories in the lines."""
    if isinstance(trust_remote_code, (list, tuple, set, frozenset)):
        for repo_id in trust_remote_code:
            _check_text(trust_remote_code=repo_id)
        return "\n".join(sorted(trust_remote_code)) or None
    return "*" if trust_remote_code else None


def _agent_text(user_agent):
    if isinstance(user_agent, dict):
        return "; ".join(f"{key}/{value}" for key, value in user_agent.items()) or None
    return user_agent or None


def describe(
    kind,
    identifier,
    *,
    layer_name=None,
    revision=None,
    version=None,
    backend=None,
    user_agent=None,
    trust_remote_code=False,
    refresh=False,
    cache_only=False,
    any_arch=False,
    lock=None,
):
    """The tuple that a method `_describe` returns."""
    _check_text(repo_id=identifier, revision=revision, backend=backend)
    if revision is not None and version is not None:
        raise ValueError("Only one of `revision` or `version` must be specified.")
    display = identifier
    if kind == "local" and not identifier.isascii():  # a path may be no UTF-8
        identifier = os.fsencode(identifier)
        display = identifier.decode("utf-8", "replace")
    return (
        kind,
        identifier,
        layer_name,
        revision,
        _version_text(version),
        backend,
        display,
        _allowed_text(trust_remote_code),
        _agent_text(user_agent),
        bool(refresh),
        bool(cache_only),
        bool(any_arch),
        lock,
    )


class Source:
    """A kernel, as layer repositories describe theirs."""

    def __init__(self, kind, identifier, **options):
        self._description = describe(kind, identifier, **options)

    @classmethod
    def hub(cls, repo_id, **options):
        if not isinstance(repo_id, str):
            raise TypeError(f"repo_id must be text, not {repo_id!r}")
        return cls("hub", repo_id, **options)

    @classmethod
    def local(cls, path, **options):
        return cls("local", path, **options)

    def _describe(self):
        return self._description
