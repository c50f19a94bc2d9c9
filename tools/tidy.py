# SPDX-License-Identifier: Apache-2.0
"""Run clang-tidy over the C sources below some directories.

usage: tidy.py BUILD_DIR DIRECTORY...

BUILD_DIR holds compile_commands.json. A source that passed is not checked again until it, its compile
command, any header of the tree or the configuration changes.
"""

import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CLANG_TIDY = Path(sys.executable).with_name("clang-tidy")
HEADER_DIRECTORIES = ("include", "src", "cli", "python", "builtin")


def common_digest() -> bytes:
    """What a result depends on besides the source itself."""
    digest = hashlib.sha256(CLANG_TIDY.resolve().stat().st_mtime_ns.to_bytes(8, "big"))
    digest.update(Path(".clang-tidy").read_bytes())
    for directory in HEADER_DIRECTORIES:
        for header in sorted(Path(directory).rglob("*.h")):
            digest.update(header.as_posix().encode() + b"\0" + header.read_bytes())
    return digest.digest()


def check(source: Path, command: str, build_dir: Path, common: bytes) -> tuple[bool, str]:
    """Whether `source` passes, and what clang-tidy printed."""
    digest = hashlib.sha256(common + command.encode() + source.read_bytes()).hexdigest()
    stamp = build_dir / "tidy" / source.with_suffix(".passed")
    if stamp.is_file() and stamp.read_text() == digest:
        return True, ""
    result = subprocess.run(
        [CLANG_TIDY, "-p", build_dir, "--quiet", source],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode == 0:
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(digest)
        return True, ""
    return False, f"{result.stdout}{result.stderr}"


def main(build_dir: Path, directories: list[Path]) -> int:
    entries = json.loads((build_dir / "compile_commands.json").read_text())
    commands = {Path(os.path.relpath(entry["file"])): entry["command"] for entry in entries}
    sources = [
        source for source in sorted(commands) if any(source.is_relative_to(d) for d in directories)
    ]
    common = common_digest()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda s: check(s, commands[s], build_dir, common), sources))
    for passed, text in results:
        if not passed:
            print(text)
    failures = sum(not passed for passed, _ in results)
    print(f"tidy: {len(sources)} sources, {failures} with findings")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), [Path(argument) for argument in sys.argv[2:]]))
