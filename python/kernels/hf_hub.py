# SPDX-License-Identifier: Apache-2.0
"""What is known about a repository of the Hub."""


class _FieldsOnDemand:
    """`__dataclass_fields__`, made by dataclasses itself when its functions first ask for it."""

    def __get__(self, instance, cls):
        from dataclasses import make_dataclass

        made = make_dataclass(
            cls.__name__, [(name, cls.__annotations__[name]) for name in cls._fields]
        )
        cls.__dataclass_fields__ = made.__dataclass_fields__
        return cls.__dataclass_fields__


class _Frozen:
    """The base of what is a frozen dataclass to its users, without the time that it takes to make one."""

    __slots__ = ()
    _fields = ()

    def _values(self):
        return tuple(getattr(self, name) for name in self._fields)

    def __eq__(self, other):
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self):
        return hash(self._values())

    def __repr__(self):
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._fields)
        return f"{type(self).__qualname__}({fields})"

    def __reduce__(self):
        return type(self), self._values()

    def __setattr__(self, name, value):
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name):
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(f"cannot delete field {name!r}")


class RepoInfo(_Frozen):
    """A repository and the revision of it that was loaded.

    Attributes:
        repo_id (`str`): "org/name".
        revision (`str`): The branch, tag or commit.
    """

    __slots__ = _fields = __match_args__ = ("repo_id", "revision")
    __annotations__ = {"repo_id": str, "revision": str}
    __dataclass_fields__ = _FieldsOnDemand()

    def __init__(self, repo_id, revision):
        object.__setattr__(self, "repo_id", repo_id)
        object.__setattr__(self, "revision", revision)
