# SPDX-License-Identifier: Apache-2.0
"""Completes a build variant: its metadata.json with digests, and for torch the id in _build.py.

    write_metadata.py VARIANT_DIR --name norm --version 1 --framework torch --backend cuda \\
        --archs 8.0 9.0+PTX

The id is derived from the content, so that equal builds have equal ids. Only the standard library
is used; the script runs at build time.
"""

import argparse
import base64
import hashlib
import json
from pathlib import Path

# Written by this script, so not part of what the id is derived from.
GENERATED = ("_build.py", "metadata.json")
EXCLUDED_SUFFIXES = (".pyc",)
# The devices of a variant, by its backend: a build for CUDA has the CPU kernels, too.
DEVICES = {"cpu": ("cpu",), "cuda": ("cpu", "cuda")}


def files_of(variant):
    """Relative path and content of every file that counts, in a fixed order."""
    for path in sorted(variant.rglob("*")):
        if path.is_file() and path.suffix not in EXCLUDED_SUFFIXES:
            yield path.relative_to(variant).as_posix(), path.read_bytes()


def content_id(variant, name, backend):
    """A module name that is unique to this content."""
    total = hashlib.sha256()
    for path, content in files_of(variant):
        if path not in GENERATED:
            total.update(f"{path}\0{len(content)}\0".encode() + content)
    return f"_{name.replace('-', '_')}_{backend}_{total.hexdigest()[:12]}"


def digests_of(variant):
    """The digest that upstream's `Digest.hash_variant` computes: base64 of each file's SHA-256."""
    return {
        path: base64.b64encode(hashlib.sha256(content).digest()).decode()
        for path, content in files_of(variant)
        if path != "metadata.json"
    }


def write_build_file(variant, build_id, backend):
    """What the Python files for torch have to know of the build."""
    (variant / "_build.py").write_text(
        "# SPDX-License-Identifier: Apache-2.0\n"
        '"""Written at build time: the id is derived from the content of this folder."""\n\n'
        f'BUILD_ID = "{build_id}"\n'
        f"DEVICES = {DEVICES[backend]!r}\n"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variant", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--version", required=True, type=int)
    parser.add_argument("--framework", default="torch", choices=("torch", "tvm-ffi"))
    parser.add_argument("--backend", default="cpu", choices=DEVICES)
    parser.add_argument("--archs", nargs="*", default=[])
    arguments = parser.parse_args()

    build_id = content_id(arguments.variant, arguments.name, arguments.backend)
    if arguments.framework == "torch":
        write_build_file(arguments.variant, build_id, arguments.backend)
    backend = {"type": arguments.backend}
    if arguments.archs:
        backend["archs"] = arguments.archs
    metadata = {
        "id": build_id,
        "name": arguments.name,
        "version": arguments.version,
        "license": "Apache-2.0",
        "python-depends": [],
        "backend": backend,
        "digest": {"algorithm": "sha256", "files": digests_of(arguments.variant)},
    }
    text = json.dumps(metadata, indent=2, sort_keys=True) + "\n"
    (arguments.variant / "metadata.json").write_text(text)


if __name__ == "__main__":
    main()
