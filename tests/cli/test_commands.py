"""The command line's own decisions: what it makes of words, files and the environment."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from tiffin.cli import packages, ssh
from tiffin.cli.cloud import Cloud, alone, home_of
from tiffin.cli.errors import CliError
from tiffin.cli.image import FILES, NEEDS
from tiffin.cli.logs import belongs, render
from tiffin.cli.main import COMMANDS, _leading, main
from tiffin.cli.openstack import environment
from tiffin.cli.progress import run, step
from tiffin.cli.status import describe
from tiffin.cli.test import selection
from tiffin.core.settings import Settings, save
from tiffin.core.state_folder import StateFolder


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    """A state folder as the first `up --simulated` leaves it, without its server."""
    folder = StateFolder(tmp_path / "home")
    folder.create()
    settings = Settings(home=folder.root, simulated=True, listen="127.0.0.1:1")
    save(settings)
    folder.write_clouds_yaml(settings)
    return Cloud(settings, folder)


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_a_home_and_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    if name in ("openstack", "bench"):
        return  # --help is the client's, the benchmark's own
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert "--home DIR" in capsys.readouterr().out


def test_an_unknown_command_is_answered_by_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["upp"]) == 2
    assert "choose one of: up, down" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["status"], ["env"], ["logs"], ["ssh", "vm"], ["openstack", "server", "list"]])
def test_without_a_cloud_one_sentence_says_what_to_do(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "none"
    assert main([words[0], "--home", str(home), *words[1:]]) == 1
    assert capsys.readouterr().err == (
        f"tiffin: there is no cloud in {home}; start one by `./tiffin up --home {home}`.\n"
    )
    assert not home.exists()


@pytest.mark.parametrize("words", [["down"], ["destroy", "--yes"]])
def test_to_end_nothing_is_fine(words: list[str], tmp_path: Path) -> None:
    assert main([*words, "--home", str(tmp_path / "none")]) == 0
    assert not (tmp_path / "none").exists()


def test_destroy_leaves_foreign_folders_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.tex").touch()
    assert main(["destroy", "--yes", "--home", str(tmp_path)]) == 1
    assert "nothing was removed" in capsys.readouterr().err
    assert (tmp_path / "thesis.tex").exists()


def test_a_wrong_setting_is_a_sentence(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.folder.settings_file.write_text("hosts = 0")
    assert main(["env", "--home", str(cloud.folder.root)]) == 1
    assert capsys.readouterr().err.startswith(f"tiffin: {cloud.folder.settings_file}: ")


def test_a_wrong_call_of_up_leaves_nothing(tmp_path: Path) -> None:
    assert main(["up", "--simulated", "--listen", "nonsense", "--home", str(tmp_path / "new")]) == 1
    assert not (tmp_path / "new").exists()


def test_env_is_for_a_shell(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env", "--home", str(cloud.folder.root), "--project", "demo"]) == 0
    script = capsys.readouterr().out + 'printf %s "$OS_USERNAME/$OS_PROJECT_NAME/$OS_PASSWORD"'
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert said == f"demo/demo/{cloud.folder.secrets().demo_password}"


def test_homes_are_chosen_by_option_then_environment_then_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIFFIN_HOME", str(tmp_path / "two"))
    assert home_of(tmp_path / "one") == tmp_path / "one"
    assert home_of(None) == tmp_path / "two"
    monkeypatch.delenv("TIFFIN_HOME")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert home_of(None) == tmp_path / "tiffin"


@pytest.mark.parametrize(
    ("words", "own"),
    [
        (["server", "list", "--home", "x"], 0),
        (["--home", "x", "server", "list"], 2),
        (["--project=demo", "--home=x", "project", "list"], 2),
        (["--version"], 0),
        (["--real", "-k", "x", "--real"], 1),
    ],
)
def test_only_leading_options_are_the_commands_own(words: list[str], own: int) -> None:
    assert _leading(words, frozenset({"--real"})) == (words[:own], words[own:])


def test_the_client_is_admin_unless_told_otherwise(cloud: Cloud) -> None:
    elsewhere = {"PATH": "/bin", "OS_CLOUD": "work", "OS_AUTH_URL": "https://elsewhere", "OS_PASSWORD": "x"}
    config = {"PATH": "/bin", "OS_CLIENT_CONFIG_FILE": str(cloud.folder.clouds_yaml)}
    assert environment(cloud, None, elsewhere) == {**config, "OS_CLOUD": "tiffin"}
    assert environment(cloud, "demo", elsewhere) == {**config, "OS_CLOUD": "tiffin-demo"}
    named = {"PATH": "/bin", "OS_CLOUD": "tiffin-demo"}
    assert environment(cloud, None, named)["OS_CLOUD"] == "tiffin-demo"
    exported = {"PATH": "/bin", "OS_AUTH_URL": f"{cloud.settings.url}/identity/v3", "OS_USERNAME": "demo"}
    assert environment(cloud, None, exported) == {**exported, **config}


def test_missing_packages_are_found_by_their_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "there").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    needs = {"there": "a", "gone": "c", "lost": "b", "other": "b", str(tmp_path / "there"): "d", "/no/such/file": "e"}
    assert packages.missing(needs) == ["b", "c", "e"]


def test_nothing_is_installed_without_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(CliError, match="install --no-install-recommends quagga"):
        packages.ensure({"no-such-program": "quagga"}, tmp_path / "log")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("Get:1 http://deb.example/debian bookworm/main amd64 cpio amd64 2.13+dfsg-7.1 [245 kB]", "fetching cpio"),
        ("Unpacking ovn-host (23.03.1-1) ...", "unpacking ovn-host"),
        ("Setting up ovn-host (23.03.1-1) ...", "setting up ovn-host"),
        ("Get:1 http://deb.example/debian", None),
        ("Unpacking", None),
        ("Reading package lists...", None),
        ("", None),
    ],
)
def test_progress_of_apt(line: str, shown: str | None) -> None:
    assert packages.apt_progress(line) == shown


def test_a_program_that_fails_says_why(tmp_path: Path) -> None:
    script = "import sys; print('first'); sys.exit('no space')"
    with pytest.raises(CliError, match="no space"), step("Trying") as current:
        run([sys.executable, "-c", script], current, tmp_path / "log")
    assert (tmp_path / "log").read_text().splitlines() == ["first", "no space"]


def test_log_lines_are_for_people() -> None:
    line = '{"event":"built","level":"info","timestamp":"T","request_id":"req-7","server":"vm","traceback":"a\\nb"}'
    assert render(line) == "T info    built request_id=req-7 server=vm\na\nb"
    assert render("Segmentation fault") == "Segmentation fault"
    assert render("[1]") == "[1]"


def test_log_lines_belong_to_a_request() -> None:
    line = '{"event":"built","request_id":"req-7"}'
    assert belongs(line, "req-7")
    assert belongs(line, "7")
    assert not belongs(line, "req-77")
    assert not belongs('{"event":"saw req-7"}', "req-7")
    assert not belongs("req-7", "req-7")


def test_ssh_enters_the_namespace_and_spares_known_hosts() -> None:
    reach = ssh.Reach("172.24.4.9", "tf-1-ext")
    argv = ssh.command_line(reach, "tiny", "key", ["uptime", "-p"])
    assert argv[:5] == ["ip", "netns", "exec", "tf-1-ext", "ssh"]
    assert argv[-5:] == ["tiny", "--", "172.24.4.9", "uptime", "-p"]
    assert "UserKnownHostsFile=/dev/null" in argv
    assert argv[argv.index("-i") + 1] == "key"


def test_ssh_takes_a_command_after_two_dashes() -> None:
    parser = argparse.ArgumentParser()
    ssh.arguments(parser)
    options = parser.parse_args(["-l", "root", "vm", "--", "ls", "-la"])
    assert (options.user, options.server, options.command) == ("root", "vm", ["ls", "-la"])


@pytest.mark.parametrize(
    ("wanted", "marks"),
    [
        ((False, False, False), "not real and not upstream and not long"),
        ((True, False, False), "not upstream and not long"),
        ((False, True, False), "not real and not long"),
        ((True, True, False), "not long"),
        ((True, True, True), ""),
    ],
)
def test_which_tests_run(wanted: tuple[bool, bool, bool], marks: str) -> None:
    assert selection(*wanted) == marks


def test_status_of_a_stopped_cloud_has_an_exit_code(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--home", str(cloud.folder.root)]) == 3
    assert "is down" in capsys.readouterr().out
    assert main(["status", "--json", "--home", str(cloud.folder.root)]) == 3
    assert '"status": "down"' in capsys.readouterr().out


def test_status_lists_what_there_is() -> None:
    report = {
        "status": "ok",
        "home": "/h",
        "simulated": False,
        "url": "u",
        "namespace": "tf-1-ext",
        "memory": 90_000_000,
        "endpoints": {"compute": "u/compute"},
        "processes": [{"pid": 12, "role": "server", "memory": 90_000_000}],
        "hosts": [{"hostname": "box", "vcpus": 2}],
        "guests": [{"id": "g1", "power": "running", "memory": 230_000_000}],
        "versions": {"qemu": "7.2.22"},
    }
    text = "\n".join(describe(report))
    for words in (
        "compute  u/compute",
        "12  server  90 MB",
        "box  vcpus=2",
        "g1  power=running  memory=230 MB",
        "tf-1-ext",
    ):
        assert words in text


def test_whoever_waits_for_a_destroyed_home_makes_a_new_one(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "home")
    with alone(folder):
        folder.root.rmdir()
    with alone(folder):
        assert folder.root.is_dir()


def test_every_image_has_its_packages_and_its_file() -> None:
    assert FILES.keys() == NEEDS.keys()


def test_token_keys_rotate(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    def run_it(*words: str) -> list[str]:
        assert main(["token-keys", *words, "--home", str(cloud.folder.root)]) == 0
        return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]

    assert run_it("list") == ["fernet 0 staged", "fernet 1 primary"]
    assert run_it("rotate") == ["fernet 0 staged", "fernet 1 secondary", "fernet 2 primary"]
    assert run_it("rotate") == ["fernet 0 staged", "fernet 2 secondary", "fernet 3 primary"]
    assert run_it("rotate", "--keep", "2") == ["fernet 0 staged", "fernet 4 primary"]
    assert run_it("public") == []
    assert main(["token-keys", "rotate", "--keep", "1", "--home", str(cloud.folder.root)]) == 1
    assert "at least 2" in capsys.readouterr().err
