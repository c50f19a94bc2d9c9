# SPDX-License-Identifier: Apache-2.0
"""Renders the documentation into build/docs/html; a warning is an error. Run by `make docs`."""

import shutil
import sys
from pathlib import Path

import c_reference
from sphinx.cmd.build import main as sphinx

import kernels

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "build" / "docs" / "source"
HTML = ROOT / "build" / "docs" / "html"

# Public names by what they are for, in the order of the page; all others come after them.
GROUPS = {
    "Kernelizing": "kernelize unkernelize unkernelized plan explain Plan Decision KernelizeFallback Mode "
    "Device CUDAProperties ROCMProperties",
    "Mappings": "use_kernel_mapping register_kernel_mapping builtin_mapping "
    "LayerRepository LocalLayerRepository LockedLayerRepository",
    "Extensible layers": "use_kernel_forward_from_hub replace_kernel_forward_from_hub use_kernelized_func",
    "Checking": "verify_numerics NumericsReport LayerNumerics compile_check CompileReport CompileResult",
}
DIRECTIVE = "```{eval-rst}\n.. auto%s:: kernels.%s\n```\n"


def reference():
    """The page of the public names."""
    groups = {title: names.split() for title, names in GROUPS.items()}
    grouped = {name for names in groups.values() for name in names} | {"__version__"}
    groups["Kernels"] = [name for name in kernels.__all__ if name not in grouped]
    parts = ["# Reference\n"]
    for title, names in groups.items():
        parts.append(f"## {title}\n")
        for name in names:
            kind = "class" if isinstance(getattr(kernels, name), type) else "function"
            parts.append(DIRECTIVE % (kind, name))
    return "\n".join(parts)


def collect():
    """A tree with what is rendered, each file at the place where links expect it."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    pages = [f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))]
    for name in ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", *pages]:
        (SOURCE / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, SOURCE / name)
    for folder in ("examples", "docs/images"):
        shutil.copytree(ROOT / folder, SOURCE / folder)
    (SOURCE / "docs" / "reference.md").write_text(reference())
    (SOURCE / "docs" / "c-reference.md").write_text(c_reference.page(ROOT))
    made = ["docs/reference.md", "docs/c-reference.md"]
    contents = "\n".join([*pages, *made, "CONTRIBUTING.md", "CHANGELOG.md"])
    with (SOURCE / "README.md").open("a") as readme:
        readme.write(f"\n```{{toctree}}\n:hidden:\n\n{contents}\n```\n")


if __name__ == "__main__":
    collect()
    options = ["-W", "--keep-going", "-q", "-E", "-c", str(Path(__file__).parent)]
    sys.exit(sphinx([*options, str(SOURCE), str(HTML)]))
