# SPDX-License-Identifier: Apache-2.0
"""Kernels into the cache."""


def install_kernel(
    repo_id,
    *,
    revision=None,
    version=None,
    backend=None,
    local_files_only=False,
    user_agent=None,
    trust_remote_code=False,
):
    """Downloads a kernel into the cache. Not available yet."""
    raise NotImplementedError(
        "install_kernel is not available in this version: it does not load from the Hub yet"
    )
