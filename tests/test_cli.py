"""The frame of the command line: help that teaches, mistakes as sentences."""

import errno
import re
import shlex

import pytest
import typer
from commands import check_verb, commands_of
from typer.testing import CliRunner

from keras_llm.cli import app, main
from keras_llm.cli.app import ORDER, Verbs, _top, sentence
from keras_llm.cli.console import check_output
from keras_llm.errors import ExportError, InputError

VERBS = typer.main.get_command(app).commands
COMMANDS = commands_of(typer.main.get_command(app))


def examples(command) -> list[str]:
    """Returns the command lines in a verb's epilog."""
    return re.findall(r"\[bold\](keras-llm .*)\[/bold\]", command.epilog or "")


def run(error: BaseException, *words: str):
    """Runs a verb that raises `error` in the frame of keras-llm."""
    frame = typer.Typer(cls=Verbs, pretty_exceptions_enable=False)
    frame.callback()(_top)

    @frame.command()
    def fail():
        raise error

    return CliRunner().invoke(frame, [*words, "fail"])


def test_help_lists_the_verbs_in_the_order_of_the_work():
    answer = CliRunner().invoke(app, ["--help"])
    assert answer.exit_code == 0
    listed = re.findall(r"(?m)^│ (\w[\w-]*) ", answer.stdout)
    assert listed == [name for name in ORDER if name in VERBS]


def test_no_verb_is_out_of_order():
    assert set(VERBS) <= set(ORDER)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_verb_teaches(name):
    command = COMMANDS[name]
    assert command.help and examples(command)
    options = [p for p in command.params if p.name != "help"]
    assert not [p.name for p in options if not p.help]


@pytest.mark.parametrize(
    "line",
    [line for command in COMMANDS.values() for line in examples(command)],
)
def test_every_example_is_understood(line):
    check_verb(shlex.split(line)[1:])


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (InputError("Expected [a]. Received: b. Do c."), "Expected [a]. Rec"),
        (FileNotFoundError(2, "No such file or directory", "x"), "tory: x"),
        (OSError(errno.ENOSPC, "No space left on device"), "device. What was"),
    ],
)
def test_a_mistake_is_one_sentence_and_code_2(error, said):
    answer = run(error)
    assert answer.exit_code == 2
    assert said in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert answer.stdout == ""


def test_a_failed_check_is_one_sentence_and_code_1():
    answer = run(ExportError("Expected equal text. Received: other text."))
    assert answer.exit_code == 1
    assert answer.stderr == "Expected equal text. Received: other text.\n"


def test_debug_shows_the_traceback(monkeypatch):
    assert isinstance(run(InputError("no"), "--debug").exception, InputError)
    monkeypatch.setenv("KERAS_LLM_DEBUG", "1")
    assert isinstance(run(InputError("no")).exception, InputError)


def test_a_defect_keeps_its_traceback():
    assert isinstance(run(ValueError("a defect")).exception, ValueError)


def test_an_interrupt_says_how_to_go_on():
    answer = run(KeyboardInterrupt())
    assert answer.exit_code == 130
    assert "run the same command again" in answer.stderr


@pytest.mark.parametrize("words", [["nonsense"], ["--nonsense"]])
def test_an_unknown_word_is_a_usage_error(words, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert "nonsense" in capsys.readouterr().err


def test_a_sentence_never_comes_out_empty():
    assert sentence(OSError()) == "OSError"


def test_an_output_folder_is_not_overwritten(tmp_path):
    check_output(tmp_path / "new")
    (tmp_path / "note").write_text("mine")
    with pytest.raises(InputError, match="holds 1 entries.*--force"):
        check_output(tmp_path)
    check_output(tmp_path, force=True)
    with pytest.raises(InputError, match="which is a file"):
        check_output(tmp_path / "note", force=True)
