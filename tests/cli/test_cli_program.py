# SPDX-License-Identifier: Apache-2.0
"""The program itself: its table, help, completion, manual page, exit codes, colour."""

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cli_support import PROGRAM

import kernels
from hub import kernel_files

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def commands(cli):
    """Names and summaries, as `kernels --help` lists them."""
    lines = cli("--help").stdout.split("Commands\n")[1].split("\n\n")[0].splitlines()
    return [line[2:18].rstrip() for line in lines]


def test_help_of_program_and_commands(cli, commands):
    assert {"versions", "info", "check", "get", "resolve"} <= set(commands)
    for name in commands:
        result = cli(*name.split(), "--help")
        assert result.returncode == 0
        assert result.stdout.startswith(f"usage: kernels {name}")
        assert "Examples\n" in result.stdout
        assert result.stderr == ""
        assert cli("help", *name.split()).stdout == result.stdout


def test_version(cli):
    result = cli("--version")
    assert (result.returncode, result.stdout) == (0, f"kernels {kernels.__version__}\n")


def test_what_is_not_there(cli):
    unknown = cli("frobnicate")
    assert unknown.returncode == 2
    assert "there is no command 'frobnicate'" in unknown.stderr
    assert "'--json' has no command before it" in cli("--json", "cache", "list").stderr
    assert cli().returncode == 2


def test_a_wrong_command_line_shows_the_usage(cli):
    for words, part in (
        (["get"], "REPO is missing"),
        (["get", "a/b", "c/d"], "'c/d' is one word too many"),
        (["get", "a/b", "--nonsense"], "there is no option --nonsense"),
        (["get", "a/b", "--version"], "--version needs a value"),
        (["get", "a/b", "--version", ""], "the value of --version is empty: expected VERSION"),
        (["get", "a/b", "--revision="], "the value of --revision is empty: expected REVISION"),
        (["get", "a/b", "--json=1"], "--json takes no value"),
        (["get", "a/b", "--re", "1"], "--re may be one of several options"),
    ):
        result = cli(*words)
        assert result.returncode == 2
        assert part in result.stderr
        assert "usage: kernels get [OPTIONS] REPO" in result.stderr
        assert result.stdout == ""


def test_options_as_argparse_takes_them(cli, hub):
    hub.kernel("open/taken")
    for words in (
        ["--version=1", "open/taken"],
        ["open/taken", "--vers", "1"],
        ["--version", "1", "--", "open/taken"],
    ):
        result = cli("info", *words)
        assert result.returncode == 0, result.stderr
        assert "Revision: v1" in result.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_command_and_option(cli, commands, shell):
    script = cli("completion", shell).stdout
    for name in commands:
        assert all(word in script for word in name.split())
    for option in ("capability", "refresh", "python"):
        assert option in script
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True)
        assert (checked.returncode, checked.stderr) == (0, "")


def complete(cli, *words):
    script = cli("completion", "bash").stdout
    line = " ".join(f"'{word}'" for word in words)
    call = f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _kernels"
    program = f"{script}\n{call}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_bash_completes(cli):
    assert complete(cli, "kernels", "vers") == ["versions"]
    assert complete(cli, "kernels", "info", "--re") == ["--revision", "--refresh"]
    assert complete(cli, "kernels", "completion", "z") == ["zsh"]
    assert complete(cli, "kernels", "resolve", "--os", "l") == ["linux"]
    assert cli("completion", "tcsh").returncode == 2


def test_manual_page_is_installed_and_has_every_command(cli, commands):
    page = cli("manual").stdout
    assert (Path(sys.prefix) / "share/man/man1/kernels.1").read_text() == page
    for name in commands:
        assert f".SS kernels {name}" in page
    if shutil.which("groff"):
        done = subprocess.run(
            ["groff", "-man", "-Tutf8", "-ww"], input=page, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")


def on_terminal(*words, env):
    """What the program writes when both streams are a terminal."""
    parent, child = pty.openpty()
    process = subprocess.Popen([PROGRAM, *words], stdin=child, stdout=child, stderr=child, env=env)
    os.close(child)
    text = b""
    while True:
        try:
            piece = os.read(parent, 4096)
        except OSError:
            break
        if not piece:
            break
        text += piece
    os.close(parent)
    process.wait()
    return text.decode()


def test_colour_only_on_a_terminal(cli, environment):
    terminal = environment | {"TERM": "xterm"}
    assert "\033[" in on_terminal("--help", env=terminal)
    assert "\033[31merror:" in on_terminal("get", "--nonsense", env=terminal)
    for off in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\033[" not in on_terminal("--help", env=terminal | off)
    assert "\033[" in on_terminal("--help", env=terminal | {"NO_COLOR": ""})
    assert "\033[" not in cli("--help", TERM="xterm").stdout


def test_progress_is_a_bar_on_a_terminal_and_a_line_in_a_pipe(cli, environment, hub):
    def publish(name):
        large = {"build/torch-cpu/large.bin": bytes(300_000)}
        hub.repo(f"open/{name}").commit(kernel_files(name) | large, branches=["main"])

    publish("wide")
    on = environment | {"TERM": "xterm", "HF_HUB_DISABLE_PROGRESS_BARS": ""}
    hub.set(bandwidth=400_000)
    bar = on_terminal("get", "open/wide", env=on)
    assert "\r[" in bar
    assert bar.rstrip().endswith("/torch-cpu")
    publish("pipe")
    lines = cli("get", "open/pipe", HF_HUB_DISABLE_PROGRESS_BARS="")
    assert lines.stderr.startswith("kernels: ")
    assert "\r" not in lines.stderr
    assert lines.stdout.count("\n") == 1
    publish("silent")
    assert cli("get", "open/silent").stderr == ""


def test_what_cannot_be_printed_is_an_error(environment):
    with open("/dev/full", "w") as full:
        done = subprocess.run([PROGRAM, "--help"], env=environment, stdout=full, stderr=-1)
    assert done.returncode == 1


def test_documented_exit_codes_and_commands(commands):
    text = (ROOT / "docs/cli.md").read_text()
    for name in commands:
        assert f"kernels {name}" in text
    for code in ("0", "1", "2", "3", "4", "5", "130"):
        assert f"| {code} |" in text
