# SPDX-License-Identifier: Apache-2.0
"""A kernelized model that goes through what happens to models."""

import pytest
import torch
from life_support import Life, write_life_kernel


@pytest.fixture(scope="session")
def kernel_folder(tmp_path_factory):
    return write_life_kernel(tmp_path_factory.mktemp("life") / "kernel")


@pytest.fixture(scope="session")
def life(kernel_folder):
    return Life(kernel_folder)


@pytest.fixture(autouse=True)
def same_numbers():
    torch.manual_seed(0)
