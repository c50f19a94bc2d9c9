# SPDX-License-Identifier: Apache-2.0
"""Kernels that depend on kernels."""


def get_kernel_dep(repo_id):
    """Returns a kernel that the kernel being loaded depends on. Not available yet."""
    raise NotImplementedError("get_kernel_dep is not available in this version")
