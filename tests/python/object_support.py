# SPDX-License-Identifier: Apache-2.0
"""Shared objects that cannot be loaded here, made from one that can."""

import re
import struct
import subprocess

from kernels import _core


def object_of_ours():
    with open(_core.__file__, "rb") as file:
        return file.read()


def for_machine(content, machine):
    return content[:18] + struct.pack("<H", machine) + content[20:]


def needing_glibc(content, version):
    """Every version of glibc that is needed becomes that one; its length has to be the same."""
    return re.sub(rb"GLIBC_2\.\d\d\0", b"GLIBC_" + version + b"\0", content)


def with_code(content, code, tmp_path):
    """With a fat binary of entries (kind, architecture, flags), as nvcc writes them."""
    entries = b"".join(
        struct.pack("<HHIQIIHHIIIQQQ", kind, 0x101, 64, 8, 0, 0, 8, 1, arch, 0, 0, flags, 0, 0)
        + bytes(8)
        for kind, arch, flags in code
    )
    (tmp_path / "fatbin").write_bytes(
        struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(entries)) + entries
    )
    (tmp_path / "in.so").write_bytes(content)
    command = [
        "objcopy",
        "--add-section",
        f".nv_fatbin={tmp_path / 'fatbin'}",
        tmp_path / "in.so",
        tmp_path / "out.so",
    ]
    subprocess.run(command, check=True)
    return (tmp_path / "out.so").read_bytes()
