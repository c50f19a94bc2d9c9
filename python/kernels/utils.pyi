# SPDX-License-Identifier: Apache-2.0
from kernels.backends import _backend as _backend
from kernels.hf_hub import RepoInfo as RepoInfo
from kernels.importer import LoadedKernel as LoadedKernel
from kernels.importer import get_loaded_kernels as get_loaded_kernels
from kernels.install import install_kernel as install_kernel
from kernels.load import get_kernel as get_kernel
from kernels.load import get_local_kernel as get_local_kernel
from kernels.load import get_locked_kernel as get_locked_kernel
from kernels.load import has_kernel as has_kernel
from kernels.load import load_kernel as load_kernel
from kernels.variants import get_kernel_variants as get_kernel_variants
