# SPDX-License-Identifier: Apache-2.0
"""A project that puts its lock file into its metadata: built, installed and asked for its kernel."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hub_support import repository

ENTRY_POINT = '[project.entry-points."egg_info.writers"]\n"kernels.lock" = "kernels.locking:write_egg_lockfile"\n'
SETUP = """
    import os
    from setuptools import setup
    from setuptools.command.egg_info import egg_info
    from kernels.locking import write_egg_lockfile


    class with_lock(egg_info):
        def run(self):
            super().run()
            write_egg_lockfile(self, "kernels.lock", os.path.join(self.egg_info, "kernels.lock"))


    setup(cmdclass={"egg_info": with_lock})
"""
CALLER = """
    from kernels import get_locked_kernel


    def load():
        return get_locked_kernel("open/packaged")
"""


def write_project(folder, name, *tables):
    folder.mkdir()
    text = f"""\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "{name}"
version = "1"
"""
    (folder / "pyproject.toml").write_text("\n".join([text, *tables]))
    package = folder / name
    package.mkdir()
    (package / "__init__.py").write_text(textwrap.dedent(CALLER))
    return folder


@pytest.fixture
def pip(tmp_path):
    """pip("install", folder) works without a network; `site` is where it installs to."""
    site = tmp_path / "site"

    def run(folder):
        words = ["install", "--no-index", "--no-deps", "--no-build-isolation", "--target", site]
        done = subprocess.run(
            [sys.executable, "-m", "pip", *words, folder],
            env=os.environ | {"PYTHONPATH": str(site), "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    run.site = site
    return run


def answer_of(site, name):
    done = subprocess.run(
        [sys.executable, "-c", f"import {name}; print({name}.load().ANSWER)"],
        env=os.environ | {"PYTHONPATH": str(site)},
        cwd=site,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout.strip() or done.stderr.splitlines()[-1]


@pytest.mark.parametrize("way", ["writer", "command"])
def test_a_project_that_opts_in_is_built_with_its_lock(online, tmp_path, pip, way):
    repository(online, "packaged", code="ANSWER = 21")
    kernels = '[tool.kernels.dependencies]\n"open/packaged" = 1\n'
    project = write_project(tmp_path / "project", f"by_{way}", kernels)
    program = Path(sys.prefix) / "bin" / "kernels"
    subprocess.run([program, "lock", project], check=True, env=os.environ, stdout=subprocess.PIPE)
    repository(online, "packaged", code="ANSWER = 22")
    if way == "writer":  # a distribution that it is built with
        pip(write_project(tmp_path / "plugin", "lock_writer", ENTRY_POINT))
    else:
        (project / "setup.py").write_text(textwrap.dedent(SETUP))
    pip(project)
    written = pip.site / f"by_{way}-1.dist-info" / "kernels.lock"
    assert written.read_bytes() == (project / "kernels.lock").read_bytes()
    assert answer_of(pip.site, f"by_{way}") == "21"


def test_a_project_that_does_not_opt_in_is_left_alone(online, tmp_path, pip):
    kernels = '[tool.kernels.dependencies]\n"open/packaged" = 1\n'
    project = write_project(tmp_path / "project", "plain", kernels)
    (project / "kernels.lock").write_text("[]")
    pip(project)
    assert not (pip.site / "plain-1.dist-info" / "kernels.lock").exists()
    assert "`kernels lock <project>` and then reinstall" in answer_of(pip.site, "plain")


class Command:
    """What setuptools gives to a writer."""

    def __init__(self):
        self.calls = []

    def write_or_delete_file(self, what, filename, data):
        self.calls.append((what, filename, data))


@pytest.mark.parametrize(
    "toml, lock, calls",
    [
        ("[tool.kernels.dependencies]\n", "[]", [("kernels.lock", "x/kernels.lock", "[]")]),
        ("[tool.kernels.dependencies]\n", None, [("kernels.lock", "x/kernels.lock", None)]),
        ("[project]\n", "[]", []),
        (None, "[]", []),
    ],
)
def test_the_writer(tmp_path, monkeypatch, caplog, toml, lock, calls):
    from kernels.locking import write_egg_lockfile

    monkeypatch.chdir(tmp_path)
    if toml is not None:
        (tmp_path / "pyproject.toml").write_text(toml)
    if lock is not None:
        (tmp_path / "kernels.lock").write_text(lock)
    command = Command()
    write_egg_lockfile(command, "kernels.lock", "x/kernels.lock")
    assert command.calls == calls
    assert ("does not exist" in caplog.text) == (lock is None)


def test_this_package_registers_no_writer():
    from importlib.metadata import distribution

    assert not distribution("kernels").entry_points.select(group="egg_info.writers")
