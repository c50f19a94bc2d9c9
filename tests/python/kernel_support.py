# SPDX-License-Identifier: Apache-2.0
"""What the tests of the Python package share: repositories, kernel directories, fresh interpreters."""

import itertools
import json
import os
import subprocess
import sys
import textwrap

import torch.nn as nn

_numbers = itertools.count()


class Repo:
    """A repository of a user's own: gives a class, or what `give` makes, and counts how often."""

    def __init__(self, layer=None, give=None, name="repo"):
        self.layer = layer
        self.give = give
        self.name = name
        self.loads = 0

    def load(self):
        self.loads += 1
        return self.layer if self.give is None else self.give()

    def __str__(self):
        return self.name


class KeyedRepo(Repo):
    """Equal to every other of the same key."""

    def __init__(self, key, layer, loaded):
        super().__init__(layer)
        self.key = key
        self.loaded = loaded

    def load(self):
        self.loaded.append(self.key)
        return super().load()

    def __eq__(self, other):
        return isinstance(other, KeyedRepo) and self.key == other.key

    def __hash__(self):
        return hash(self.key)


class Doubled(nn.Module):
    """A layer: twice its input."""

    def forward(self, x):
        return x * 2


class Tripled(nn.Module):
    can_torch_compile = True
    has_backward = True

    def forward(self, x):
        return x * 3


class InferenceOnly(nn.Module):
    has_backward = False
    can_torch_compile = False

    def forward(self, x):
        return x * 5


LAYERS = """
    import torch.nn as nn


    class Tenfold(nn.Module):
        can_torch_compile = True

        def forward(self, x):
            return x * 10


    class Hundredfold(nn.Module):
        def forward(self, x):
            return x * 100
"""


def write_variant(folder, *, name="toy", layers=LAYERS, code="", metadata=None):
    """Writes one build variant; `metadata` is merged into what its metadata.json says, or is its text."""
    folder.mkdir(parents=True)
    text = "from . import layers\n" if layers is not None else ""
    (folder / "__init__.py").write_text(text + textwrap.dedent(code))
    if layers is not None:
        (folder / "layers.py").write_text(textwrap.dedent(layers))
    fields = {
        "id": f"_{name.replace('-', '_')}_{next(_numbers)}_{os.getpid()}",
        "name": name,
        "version": 1,
        "license": "Apache-2.0",
        "python-depends": [],
        "backend": {"type": "cpu"},
    }
    if isinstance(metadata, str):
        (folder / "metadata.json").write_text(metadata)
    else:
        (folder / "metadata.json").write_text(json.dumps(fields | (metadata or {})))
    return folder


def write_kernel(folder, *, variants=("torch-universal",), **content):
    """Writes a kernel directory in the layout of the Hub; returns its path."""
    for variant in variants:
        write_variant(folder / "build" / variant, **content)
    return folder


def run_python(code, *arguments, python=sys.executable, options=(), env=None, check=True):
    """Runs code in a fresh interpreter, which has LOCAL_KERNELS and the like only from `env`."""
    clean = {
        key: value
        for key, value in os.environ.items()
        if key not in ("LOCAL_KERNELS", "DISABLE_KERNEL_MAPPING")
    }
    done = subprocess.run(
        [python, *options, "-c", textwrap.dedent(code), *arguments],
        env=clean | (env or {}),
        capture_output=True,
        text=True,
        timeout=120,
    )
    if check:
        assert done.returncode == 0, done.stderr
    return done


def forwards(model):
    """What stands in the __dict__ of each module, by path: for comparing before and after."""
    return {
        path: dict(module.__dict__) for path, module in model.named_modules(remove_duplicate=False)
    }


def decided(plan):
    """(paths, action, reason) of each decision."""
    return [(decision.paths, decision.action, decision.reason) for decision in plan]
