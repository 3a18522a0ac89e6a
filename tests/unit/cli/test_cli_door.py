"""The door itself: help, version, exit codes, and the words for what went wrong."""

import logging
import sys
from collections.abc import Iterator

import click
import pytest
import typer
from typer.testing import CliRunner

from s2s import __version__, cli, errors
from s2s.cli import app, main


def verbs(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every verb that does something, with the words that call it."""
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in children.items():
        yield from verbs(child, (*path, name))


VERBS = dict(verbs(typer.main.get_command(app)))
EACH_VERB = pytest.mark.parametrize("words", [pytest.param(words, id=" ".join(words)) for words in VERBS])


@pytest.fixture
def door_that_meets(monkeypatch: pytest.MonkeyPatch):
    """Say `s2s fail` where the verb `fail` raises what it is given; returns the exit code."""

    def say(raised: BaseException) -> int:
        door = typer.Typer(pretty_exceptions_enable=False)

        @door.command()
        def fail() -> None:
            raise raised

        monkeypatch.setattr(cli, "app", door)
        monkeypatch.setattr(sys, "argv", ["s2s"])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0)

    return say


def test_every_verb_of_the_documentation_is_there() -> None:
    to_make = {"ingest", "train", "plan-memory", "atlas", "impute", "export", "score", "benchmark", "demo"}
    to_serve = {"models", "serve", "tokens", "client", "page"}
    assert {words[0] for words in VERBS} == to_make | to_serve | {"stack", "node", "doctor"}
    assert {words[1] for words in VERBS if words[0] == "tokens"} == {"create", "list", "revoke"}
    assert {words[1] for words in VERBS if words[0] == "client"} == {"models", "impute"}
    assert {words[1] for words in VERBS if words[0] == "models"} == {"list", "card", "promote", "rollback"}
    assert {words[1] for words in VERBS if words[0] == "atlas"} == {"plan", "run", "status", "retry", "impute"}
    assert {words[1] for words in VERBS if words[0] == "export"} == {"spatialdata", "figure"}
    assert {words[1] for words in VERBS if words[0] == "page"} == {"build", "show"}
    assert {words[1] for words in VERBS if words[0] == "stack"} == {"up", "status", "env", "down"}
    assert {words[1] for words in VERBS if words[0] == "ingest"} == {"section", "photographs", "synthetic"}


@EACH_VERB
def test_help_says_what_the_verb_does(words: tuple[str, ...]) -> None:
    said = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "200"})
    assert said.exit_code == 0
    first = (VERBS[words].help or "").split(".")[0].replace("`", "")
    assert len(first.split()) > 3
    assert " ".join(first.split()) in " ".join(said.output.split())


@EACH_VERB
def test_help_explains_every_option(words: tuple[str, ...]) -> None:
    assert [parameter.name for parameter in VERBS[words].params if not getattr(parameter, "help", None)] == []


@EACH_VERB
def test_a_verb_that_needs_words_shows_an_example_of_them(words: tuple[str, ...]) -> None:
    command = VERBS[words]
    if any(parameter.required for parameter in command.params):
        example = f"{command.help or ''} {command.epilog or ''}".partition("Example: ")[2]
        assert example.lstrip("`").startswith(f"s2s {' '.join(words)}")


def test_help_of_all_shows_the_first_steps() -> None:
    said = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"})
    for words in ("s2s demo", "s2s stack up", "s2s train"):
        assert words in said.output


def test_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).output == f"s2s {__version__}\n"


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.__name__) for kind in (errors.S2SError, *errors.S2SError.__subclasses__())])
def test_a_users_mistake_is_one_message_and_code_2(
    door_that_meets, kind: type[errors.S2SError], capsys: pytest.CaptureFixture[str]
) -> None:
    assert door_that_meets(kind("expected a, got b; do c")) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "error: expected a, got b; do c\n")


def test_an_interrupt_is_code_130_and_says_how_to_go_on(door_that_meets, capsys: pytest.CaptureFixture[str]) -> None:
    assert door_that_meets(KeyboardInterrupt()) == 130
    said = capsys.readouterr()
    assert "goes on from what is kept" in said.err
    assert "Traceback" not in said.err


def test_a_defect_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["s2s", "train", "job.yaml"])

    def defect() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "app", defect)
    with pytest.raises(ZeroDivisionError):
        main()


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["trian"], id="unknown verb"),
        pytest.param(["train"], id="no job"),
        pytest.param(["train", "a.yaml", "--steps", "3"], id="unknown option"),
        pytest.param(["ingest", "section", "f", "--reader", "excel"], id="unknown reader"),
        pytest.param([], id="nothing"),
    ],
)
def test_words_that_make_no_command_are_code_2_with_usage(words: list[str]) -> None:
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 2
    assert "Usage: " in said.output


@pytest.mark.parametrize(
    ("options", "level"), [pytest.param([], logging.INFO, id="plain"), pytest.param(["-v"], logging.DEBUG, id="verbose")]
)
def test_verbose_shows_details(options: list[str], level: int, monkeypatch: pytest.MonkeyPatch) -> None:
    CliRunner().invoke(app, [*options, "stack", "env"])
    assert logging.getLogger("s2s").level == level
