# SPDX-License-Identifier: Apache-2.0
"""What README.md, docs/ and examples/ show does what they say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from native_support import write_kernel

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def python_blocks(document):
    """The Python code of a document, each line at the place where the document has it."""
    text = document.read_text()
    lines = [""] * (text.count("\n") + 1)
    for block in _BLOCK.finditer(text):
        first = text.count("\n", 0, block.start(1))
        code = block.group(1).splitlines()
        lines[first : first + len(code)] = code
    return "\n".join(lines)


def run_python(*arguments, cwd):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "document", DOCUMENTS, ids=[str(document.relative_to(ROOT)) for document in DOCUMENTS]
)
def test_code_in_documents_runs(document, tmp_path):
    program = tmp_path / f"document_{document.stem}.py"
    program.write_text(python_blocks(document))
    run_python(program, cwd=tmp_path)


def test_quickstart_prints_what_runs(tmp_path):
    printed = run_python(ROOT / "examples" / "quickstart.py", cwd=tmp_path)
    assert "builtin/activation:Gelu" in printed
    assert "builtin/norm:LayerNorm" in printed


def test_demo_finds_equal_results(tmp_path):
    printed = run_python(ROOT / "examples" / "demo.py", "--seconds", "0.1", cwd=tmp_path)
    assert printed.endswith("All results agree within the tolerances.\n")


def test_plan_for_gpu_needs_no_gpu(tmp_path):
    printed = run_python(ROOT / "examples" / "plan_for_gpu.py", cwd=tmp_path)
    assert "cuda 80  INFERENCE  my-org/norms:RMSNorm " in printed
    assert "cuda 90  INFERENCE  my-org/hopper-norms:RMSNorm " in printed


def test_links_between_documents_lead_somewhere():
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def compile_and_run(source, program, *arguments):
    """What a C program prints that is compiled as the documentation says."""
    if "KN_SHARED_LIB" not in os.environ:
        pytest.fail("set KN_SHARED_LIB to libkernels.so, or run `make test`")
    folder = Path(os.environ["KN_SHARED_LIB"]).parent
    options = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{ROOT / 'include'}"]
    compiler = os.environ.get("CC", "gcc")
    subprocess.run(
        [compiler, *options, source, f"-L{folder}", "-lkernels", "-o", program], check=True
    )
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder)}
    return subprocess.run(
        [program, *arguments], env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_the_first_program_in_c_prints_the_folder_of_a_kernel(tmp_path, monkeypatch):
    monkeypatch.setenv("KERNELS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCAL_KERNELS", f"org/fixture={tmp_path / 'fixture'}")
    text = (ROOT / "docs" / "c.md").read_text()
    code = re.findall(r"^```c\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[0]
    source = tmp_path / "first.c"
    source.write_text(code)
    kernel = write_kernel(tmp_path / "fixture", "fixture")
    printed = compile_and_run(source, tmp_path / "first", "org/fixture@v1")
    assert Path(printed.rstrip("\n")).parent.parent == Path(kernel)


def test_c_code_about_native_kernels_calls_one(tmp_path):
    text = (ROOT / "docs" / "native.md").read_text()
    [code] = re.findall(r"^```c\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    source = tmp_path / "native.c"
    source.write_text(code)
    kernel = write_kernel(tmp_path / "fixture", "fixture")
    assert compile_and_run(source, tmp_path / "native", kernel, "add_one") == "2 3 4\n"


def test_c_code_in_the_architecture_prints_what_it_shows(tmp_path):
    text = (ROOT / "docs" / "architecture.md").read_text()
    [code] = re.findall(r"^```c\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    source = tmp_path / "example.c"
    source.write_text(code)
    assert compile_and_run(source, tmp_path / "example") in text
