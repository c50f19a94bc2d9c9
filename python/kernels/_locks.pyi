# SPDX-License-Identifier: Apache-2.0
# Where the classes of locks are made; they are used under the names of kernels._rust.
from kernels._rust import KernelLock as KernelLock
from kernels._rust import KernelLocks as KernelLocks
from kernels._rust import KernelPaths as KernelPaths
from kernels._rust import NixKernelLock as NixKernelLock
from kernels._rust import NixKernelLocks as NixKernelLocks
