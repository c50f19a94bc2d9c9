# SPDX-License-Identifier: Apache-2.0
"""plan: which kernels a mapping gives a machine; and what kernels.toml says to it and to the other commands."""

import json

import pytest

GPU = "torch29-cu118-x86_64-linux"


@pytest.fixture
def commit(hub):
    return hub.kernel("open/norm", branches=("main", "v1"), variants=("torch-cpu", GPU))


@pytest.fixture
def mapping(tmp_path, commit):
    file = tmp_path / "mapping.toml"
    file.write_text("""
[RMSNorm.cpu]
repo = "open/norm"
version = 1

[RMSNorm.cuda]
repo = "open/norm"
version = 1

[[MLP.cuda]]
min-capability = 90
repo = "open/norm"
layer = "FusedMLP"

[SiLU.cpu.inference]
repo = "open/none"
""")
    return file


@pytest.fixture
def configure(tmp_path):
    def write(text):
        file = tmp_path / "kernels.toml"
        file.write_text(text)
        return file

    return write


def layers(result):
    return {layer["layer_name"]: layer for layer in json.loads(result.stdout)["layers"]}


def test_plan_tells_what_each_layer_gets(cli, mapping, commit):
    machine = ("--torch", "2.9", "--backend", "cpu", "--mode", "training")
    result = cli("plan", str(mapping), "--json", *machine)
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert (told["file"], told["mode"], told["device"]) == (str(mapping), "TRAINING", "cpu")
    found = layers(result)
    assert list(found) == ["MLP", "RMSNorm", "SiLU"]
    assert found["RMSNorm"] == {
        "layer_name": "RMSNorm",
        "device": "cpu",
        "action": "replace",
        "reason": "mapped",
        "message": "registered for cpu under FALLBACK",
        "repo": "open/norm",
        "repo_layer": "RMSNorm",
        "repo_mode": "FALLBACK",
        "version": "1",
        "revision": "v1",
        "commit": commit,
        "variant": "torch-cpu",
        "policy": None,
    }
    assert (found["MLP"]["action"], found["MLP"]["reason"]) == ("keep", "no-device")
    assert found["SiLU"]["reason"] == "no-compatible-mode"


def test_plan_is_for_another_machine_as_well(cli, mapping):
    gpu = ("--torch", "2.9", "--backend", "cu118")
    found = layers(cli("plan", str(mapping), "--json", *gpu, "--capability", "9.0"))
    assert found["RMSNorm"]["variant"] == found["MLP"]["variant"] == GPU
    assert found["MLP"]["repo_layer"] == "FusedMLP"
    found = layers(cli("plan", str(mapping), "--json", *gpu, "--capability", "8.0"))
    assert found["MLP"]["reason"] == "no-compatible-properties"
    unknown = layers(cli("plan", str(mapping), "--json", *gpu))
    assert unknown["RMSNorm"]["variant"] == GPU
    assert unknown["MLP"]["message"].endswith("give it with --capability")
    none = cli("plan", str(mapping), "--torch", "2.9", "--backend", "cu130")
    assert none.returncode == 1
    assert "cannot-load: no build fits: " in none.stdout


def test_plan_asks_for_all_kernels_at_the_same_time(cli, hub, tmp_path):
    names = ["open/first", "open/second", "open/third"]
    for name in names:
        hub.kernel(name, branches=("main",), variants=("torch-cpu",))
    file = tmp_path / "mapping.toml"
    file.write_text(
        "".join(f'[L{i}.cpu]\nrepo = "{name}"\n' for i, name in enumerate([*names, names[0]]))
    )
    hub.reset_log()
    result = cli("plan", str(file), "--json", "--torch", "2.9", "--backend", "cpu")
    assert result.returncode == 0, result.stderr
    assert [row["repo"] for row in layers(result).values()] == [*names, names[0]]
    asked = [request["path"] for request in hub.log()]
    assert len(asked) == 9  # of each kernel the branches, the listing and one metadata.json
    assert sorted(asked[:3]) == [f"/api/kernels/{name}/refs" for name in names]


def test_plan_fails_where_a_kernel_cannot_be_had(cli, mapping):
    result = cli("plan", str(mapping), "--torch", "2.9", "--backend", "cpu")
    assert result.returncode == 1
    [line] = [line for line in result.stdout.splitlines() if line.startswith("SiLU")]
    assert "cannot-load" in line and "open/none" in line


def test_plan_reads_the_file_strictly(cli, tmp_path):
    file = tmp_path / "wrong.toml"
    file.write_text('[L.cpu]\nrepo = "o/x"\nverson = 1\n')
    result = cli("plan", str(file), "--torch", "2.9")
    assert result.returncode == 1
    assert (
        f"{file}:3:1: unknown key 'verson' in a repository; did you mean 'version'?"
        in result.stderr
    )
    assert cli("plan", str(file), "--mode", "both").returncode == 2
    assert cli("plan", str(file), "--device", "gpu", "--torch", "2.9").returncode == 2
    assert cli("plan", str(tmp_path / "none.toml"), "--torch", "2.9").returncode == 1


def test_plan_obeys_kernels_toml(cli, hub, mapping, configure):
    hub.kernel("open/norm", branches=("main", "v2"), variants=("torch-cpu", GPU))
    file = configure('deny = ["norm >= 2"]\n')
    machine = ("--torch", "2.9", "--backend", "cpu", "--json")
    found = layers(cli("plan", str(mapping), *machine, KERNELS_CONFIG=str(file)))
    assert (found["RMSNorm"]["reason"], found["RMSNorm"]["policy"]) == ("mapped", None)
    configure('[pin]\n"open/norm" = 2\n')
    found = layers(cli("plan", str(mapping), *machine, KERNELS_CONFIG=str(file)))
    assert found["RMSNorm"]["policy"] == (f"version 2 instead of version 1, as {file}:2 pins it")
    assert found["RMSNorm"]["revision"] == "v2"
    configure('deny = ["norm >= 2"]\n[pin]\n"open/norm" = 2\n')
    result = cli("plan", str(mapping), *machine, KERNELS_CONFIG=str(file))
    assert result.returncode == 4
    denied = layers(result)["RMSNorm"]
    assert (denied["action"], denied["reason"]) == ("keep", "denied")
    assert f'is denied by "norm >= 2" in {file}:1' in denied["message"]


def test_resolve_and_get_obey_it_too(cli, hub, commit, configure):
    hub.kernel("open/norm", branches=("main", "v2"))
    file = configure('[pin]\n"open/norm" = 1\n')
    resolved = json.loads(cli("resolve", "open/norm", "--json", KERNELS_CONFIG=str(file)).stdout)
    assert resolved["commit"] == commit
    assert resolved["policy"] == f"version 1 instead of revision main, as {file}:2 pins it"
    configure('deny = ["open/*"]\n')
    refused = cli("get", "open/norm", KERNELS_CONFIG=str(file))
    assert refused.returncode == 4
    assert f"'open/norm' is denied by \"open/*\" in {file}:1" in refused.stderr


def test_the_file_of_an_environment_is_its_sites(cli, commit, tmp_path, configure):
    prefix = tmp_path / "env"
    (prefix / "lib/python3.12/site-packages").mkdir(parents=True)
    (prefix / "etc/kernels").mkdir(parents=True)
    site = prefix / "etc/kernels/kernels.toml"
    site.write_text('deny = ["open/norm"]\n[pin]\n"open/other" = 1\n')
    users = configure('[pin]\n"open/norm" = 1\n"open/other" = 2\n')
    machine = ("--torch", "2.9", "--backend", "cpu", "--python", str(prefix))
    refused = cli("resolve", "open/norm", *machine, KERNELS_CONFIG=str(users))
    assert refused.returncode == 4
    assert f'is denied by "open/norm" in {site}:1' in refused.stderr
    told = cli("doctor", "--json", "--python", str(prefix), KERNELS_CONFIG=str(users))
    assert json.loads(told.stdout)["config_files"] == [str(users), str(site)]


# doctor


def test_doctor_tells_every_rule_with_its_place(cli, hub, tmp_path, configure):
    (tmp_path / "mirror").mkdir()
    file = configure(f"""
order = ["cache", "hub"]
deny = ["flash-attn2 >= 3"]
pin = {{"open/norm" = 2}}
[trust]
organizations = ["mine"]
[[source]]
directory = "{tmp_path}/mirror"
""")
    told = json.loads(cli("doctor", "--json", KERNELS_CONFIG=str(file)).stdout)
    assert told["config_files"] == [str(file)]
    assert [(r["kind"], r["subject"], r["value"], r["line"]) for r in told["rules"]] == [
        ("pin", "open/norm", "2", 4),
        ("deny", "flash-attn2 >= 3", None, 3),
        ("trust", "mine", "organization", 6),
        ("order", "cache, hub", None, 2),
    ]
    assert [(s["kind"], s["address"], s["line"]) for s in told["sources"]] == [
        ("hub", hub.url, 0),
        ("directory", f"file://{tmp_path}/mirror", 7),
    ]
    assert told["problems"] == []
    text = cli("doctor", KERNELS_CONFIG=str(file)).stdout
    assert f"deny         flash-attn2 >= 3 ({file}:3)" in text
    assert f"pin          open/norm = 2 ({file}:4)" in text
    assert f"source       hub {hub.url} (HF_ENDPOINT)" in text


def test_doctor_names_what_is_wrong_with_sources(cli, tmp_path, configure):
    file = configure(f"""
[[source]]
directory = "{tmp_path}/none"
[[source]]
mirror = "http://127.0.0.1:9"
token-variable = "NO_SUCH_TOKEN"
""")
    result = cli("doctor", "--json", KERNELS_CONFIG=str(file), HF_ENDPOINT="")
    assert result.returncode == 1
    problems = json.loads(result.stdout)["problems"]
    assert [problem["problem"] for problem in problems] == [
        f"the source '{tmp_path}/none' ({file}:2) is no directory",
        f"the source http://127.0.0.1:9 ({file}:4) has no token: NO_SUCH_TOKEN is not set",
        "all sources are mirrors, which vouch for nobody, and kernels.toml trusts nobody",
    ]
    assert all(problem["remedy"] for problem in problems)


def test_doctor_names_a_file_that_makes_no_sense(cli, configure):
    file = configure("[pins]\n")
    result = cli("doctor", "--json", KERNELS_CONFIG=str(file))
    assert result.returncode == 1
    told = json.loads(result.stdout)
    assert (told["config_files"], told["rules"], told["sources"]) == (None, None, None)
    assert told["problems"][0]["problem"] == (
        f"{file}:1:2: unknown key 'pins' in kernels.toml; did you mean 'pin'?"
    )
