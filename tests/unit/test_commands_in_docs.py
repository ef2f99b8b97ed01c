"""What README and docs tell people to type exists."""

import re

import pytest

from modelrollout.cli import COMMANDS, main
from tests.bed.__main__ import parser
from tests.bed.folders import REPOSITORY
from tests.commands import NOT_RUN, PAGES, PROGRAMS, blocks, inline

EVERY = [(page, command) for page in PAGES for block in blocks(page) if block.info.startswith("sh")
         for command in block.commands]  # fmt: skip
EVERY += [(page, command) for page in PAGES for command in inline(page)]


def named(program):
    """Words after the program's name, of each command that names it, also behind a pipe or in a pod."""
    found = {
        match for _, command in EVERY for match in re.findall(rf"(?:^|[ |]){program} ([^|<>…`]+)", command)
    }
    return sorted(found)


def test_a_block_of_commands_says_that_it_is_one_or_why_it_is_not_run():
    untold = [
        f"{block.page.name}: {block.commands[0]}"
        for page in PAGES
        for block in blocks(page)
        if not block.info and block.commands and block.commands[0].split()[0] in PROGRAMS
        and not block.text.startswith(" ")
    ]  # fmt: skip
    assert untold == [], "write ```sh, or ```sh not-run: and the reason"
    assert all(
        block.info == "sh" or re.fullmatch(f"sh {NOT_RUN}.+", block.info)
        for page in PAGES
        for block in blocks(page)
        if block.info.startswith("sh")
    )


@pytest.mark.parametrize("words", named("make"))
def test_each_make_target_exists(words):
    makefile = (REPOSITORY / "Makefile").read_text()
    target = next(word for word in words.split() if "=" not in word)
    assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("words", named("python -m tests.bed"))
def test_each_command_of_the_bed_exists(words, capsys):
    with pytest.raises(SystemExit) as ended:
        parser().parse_args([words.split()[0], "--help"])
    assert ended.value.code == 0


OURS = {
    words
    for _, command in EVERY
    for words in re.findall(r"(?:^|\| |-m )modelrollout ([a-z][^|<>…`]*)", command)
}


@pytest.mark.parametrize("words", sorted(OURS))
def test_each_subcommand_and_each_flag_exists(words, capsys):
    subcommand, *given = words.split()
    assert subcommand in COMMANDS
    with pytest.raises(SystemExit):
        main([subcommand, "--help"])
    said = capsys.readouterr().out
    if (kinds := re.search(r"\{([\w,-]+)\}", said)) and given and given[0] in kinds[1].split(","):
        with pytest.raises(SystemExit):
            main([subcommand, given[0], "--help"])
        said = capsys.readouterr().out
    for flag in (word for word in given if word.startswith("-") and word != "-"):
        assert re.search(rf"(^|[\s,\[]){re.escape(flag)}\b", said, re.MULTILINE), f"{flag} in {words}"
