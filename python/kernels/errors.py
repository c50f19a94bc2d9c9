# SPDX-License-Identifier: Apache-2.0
"""What goes wrong with a Hub. Each class derives from the builtin that fits; once `huggingface_hub` is imported, what
is raised derives from the class of that name there, too."""

import sys


class NetworkError(ConnectionError):
    """The Hub could not be reached, or it did not answer as a Hub does, and the cache did not help."""


class HubTimeoutError(TimeoutError):
    """Nothing arrived for longer than KERNELS_TIMEOUT says."""


class RepositoryNotFoundError(OSError):
    """There is no such repository, or not for this token."""


class RevisionNotFoundError(OSError):
    """The repository has no such branch, tag or commit."""


class GatedRepoError(RepositoryNotFoundError):
    """The repository's owner has to grant access first."""


class IntegrityError(OSError):
    """A file is not what its repository or its metadata says it is."""


class UntrustedError(ValueError):
    """The publisher of a kernel is not trusted, and `trust_remote_code` does not allow it."""


class DependencyError(ImportError):
    """A kernel needs Python packages that are not installed."""


class DeniedError(FileNotFoundError):
    """`kernels.toml` denies the kernel. Who does without a kernel that is not there does without a denied one."""


# By the status of the C library, see include/kernels/common.h.
_CLASSES = {
    10: NetworkError,
    11: HubTimeoutError,
    12: RepositoryNotFoundError,
    13: RevisionNotFoundError,
    14: GatedRepoError,
    15: IntegrityError,
    16: UntrustedError,
    17: DependencyError,
    18: DeniedError,
}
_joined = {}


def _join(status, own, theirs):
    """A class that is both, whose instances are made from a message alone."""

    def __init__(self, message):
        Exception.__init__(self, message)
        self._request = self.response = self.request_id = None
        self.server_message = message

    def __reduce_ex__(self, protocol):
        return _make, (status, str(self))

    members = {"__init__": __init__, "__reduce_ex__": __reduce_ex__, "__module__": own.__module__}
    return type(own.__name__, (own, theirs), members)


def _make(status, message):
    """The exception for a status of the C library."""
    own = _CLASSES[status]
    hub_errors = sys.modules.get("huggingface_hub.errors")
    theirs = getattr(hub_errors, own.__name__, None)
    if theirs is None:
        return own(message)
    joined = _joined.get((status, theirs))
    if joined is None:
        joined = _joined[status, theirs] = _join(status, own, theirs)
    return joined(message)
