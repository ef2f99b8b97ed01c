"""The table of subcommands, their help, and what completes them."""

import re

import pytest

from modelrollout.cli import COMMANDS, FAMILIES, main, module_of
from modelrollout.cli.completion import NAMED, script


@pytest.mark.parametrize("name", COMMANDS)
def test_each_subcommand_has_a_help_that_names_it(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"usage: modelrollout {name} " in capsys.readouterr().out


@pytest.mark.parametrize("name", [name for name in COMMANDS if hasattr(module_of(name), "parser")])
def test_each_help_says_what_the_exit_codes_mean(name, capsys):
    with pytest.raises(SystemExit):
        main([name, "--help"])
    assert re.search(r"[Ee]xit\s+code\s+0", capsys.readouterr().out)


def test_help_lists_every_subcommand(capsys):
    assert main(["--help"]) == 0
    listed = re.findall(r"^  ([a-z-]+) +\S", capsys.readouterr().out, re.MULTILINE)
    assert listed == list(COMMANDS)


def test_an_unknown_subcommand_is_refused_with_the_list(capsys):
    assert main(["abbort"]) == 2
    assert "  abort " in capsys.readouterr().err


def test_without_a_cluster_a_command_says_where_it_looks_for_one(tmp_path, capsys):
    assert main(["list", "--kubeconfig", str(tmp_path / "none")]) == 2
    assert "Set KUBECONFIG" in capsys.readouterr().err


def test_completion_knows_every_subcommand_and_the_flags_of_those_that_take_a_name():
    made = script()
    assert f'compgen -W "{" ".join(COMMANDS)}"' in made
    for name in NAMED:
        (flags,) = re.findall(rf'^    {name}\) flags="([^"]*)"', made, re.MULTILINE)
        assert {"--context", "--kubeconfig", "--namespace"} <= set(flags.split())
    assert "--full" in re.findall(r'^    promote\) flags="([^"]*)"', made, re.MULTILINE)[0]


def test_each_family_has_its_module():
    assert {module_of(name).__name__ for name in FAMILIES} == {"modelrollout.cli.orders"}
