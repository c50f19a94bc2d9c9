# SPDX-License-Identifier: Apache-2.0
"""The stubs that the wheel brings: complete, and good for mypy --strict."""

import ast
import importlib
import inspect
import subprocess
import sys
from importlib.resources import files

from test_api_table import HERE_NAMES
from test_seed_examples import EXAMPLES

import kernels

# What the examples themselves leave untyped.
UNTYPED = ("no-untyped-def", "no-untyped-call", "untyped-decorator")


def check(folder, *options):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--config-file="),
            *("--cache-dir", str(folder / "cache"), *options, *sorted(folder.glob("*.py"))),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
    )
    return done.stdout + done.stderr


def test_the_examples_of_the_reference_are_well_typed(tmp_path):
    assert len(EXAMPLES) == 7
    for number, example in enumerate(EXAMPLES):
        (tmp_path / f"example_{number}.py").write_text(example)
    options = [f"--disable-error-code={code}" for code in UNTYPED]
    # The one fault is the example's own: it does not import `F`.
    assert check(tmp_path, *options).splitlines() == [
        'example_4.py:11: error: Returning Any from function declared to return "Tensor"  [no-any-return]',
        'example_4.py:11: error: Name "F" is not defined  [name-defined]',
    ]


def test_wrong_calls_are_found(tmp_path):
    (tmp_path / "wrong.py").write_text(
        """from kernels import LayerRepository, Mode, get_kernel, kernelize, no_such_name
import torch.nn as nn

LayerRepository("org/name", layer_name=5)
kernelize(nn.Linear(1, 1), mode="inference")
get_kernel("org/name", versoin=1)
text: int = get_kernel("org/name", version=1)
"""
    )
    found = check(tmp_path)
    for line, code in ((1, "attr-defined"), (4, "arg-type"), (5, "arg-type"), (6, "call-arg")):
        assert any(
            each.startswith(f"wrong.py:{line}: error:") and each.endswith(f"[{code}]")
            for each in found.splitlines()
        ), (line, found)
    assert "wrong.py:7: error:" in found


def stub_names(module):
    """The names that a module's stub has at the top."""
    parts = module.split(".")[1:]
    folder = files(kernels)
    for part in parts[:-1]:
        folder = folder / part
    path = folder / (f"{parts[-1]}.pyi" if parts else "__init__.pyi")
    if not path.is_file():
        path = folder / parts[-1] / "__init__.pyi"
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.AnnAssign):
            names.add(node.target.id)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets}
    return names


def test_every_public_name_has_a_stub():
    missing = [
        name
        for name in sorted(HERE_NAMES)
        if not name.rpartition(".")[2].startswith("_")
        and name.rpartition(".")[2] not in stub_names(name.rpartition(".")[0])
    ]
    assert missing == []


def test_stubs_have_the_parameters_of_what_they_describe(tmp_path):
    """For functions of the package itself: the names of the parameters, in order."""
    wrong = []
    for name in kernels.__all__:
        value = getattr(kernels, name)
        if not inspect.isfunction(value):
            continue
        module = importlib.import_module(value.__module__)
        parts = module.__name__.split(".")[1:]
        path = files(kernels).joinpath(*parts[:-1]) / f"{parts[-1]}.pyi"
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                arguments = node.args
                listed = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
                listed += [each for each in (arguments.vararg,) if each]
                own = list(inspect.signature(value).parameters)
                if [each.arg for each in listed] != own:
                    wrong.append((name, own))
    assert wrong == []
