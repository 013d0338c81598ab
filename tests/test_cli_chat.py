"""`keras-llm chat`: one message, or line by line."""

import contract
import pytest
from test_cli_corpus import run

from keras_llm import BytePairTokenizer, CausalLM

SHORT = ("--max-new-tokens", 4)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model that babbles, one whose tokenizer knows no turns, and texts."""
    folder = tmp_path_factory.mktemp("chat")
    tokenizer = BytePairTokenizer.train(["text"], 261, progress=False)
    config = contract.CONFIGS["llama"].replace(
        vocabulary_size=261, context_length=40
    )
    lm = CausalLM(contract.decoder(config), tokenizer)
    lm.save(folder / "lm")
    plain = BytePairTokenizer.train(
        ["text"], 257, special_tokens=("<|endoftext|>",), progress=False
    )
    CausalLM(lm.model, plain).save(folder / "plain")
    return folder, lm


def reply(lm, *texts: str, system: str | None = None) -> str:
    """What the library says to a conversation of these texts."""
    talk = [{"role": "system", "content": system}] if system else []
    for index, text in enumerate(texts):
        role = ("user", "assistant")[index % 2]
        talk.append({"role": role, "content": text})
    return "".join(lm.chat(talk, max_new_tokens=4))


def test_one_message_is_answered(saved):
    folder, lm = saved
    shown = run("chat", folder / "lm", "--message", "Hi", *SHORT)
    assert shown.exit_code == 0
    assert shown.stdout == reply(lm, "Hi") + "\n"


def test_a_system_message_comes_first(saved):
    folder, lm = saved
    words = ("--system", "Be brief.", "--message", "Hi")
    shown = run("chat", folder / "lm", *words, *SHORT)
    assert shown.stdout == reply(lm, "Hi", system="Be brief.") + "\n"


def test_a_conversation_goes_on_until_it_ends(saved):
    folder, lm = saved
    first = reply(lm, "Hi")
    typed = "Hi\nAnd?\n\n/new\nHi\n/exit\nnever read\n"
    shown = run("chat", folder / "lm", *SHORT, typed=typed)
    assert shown.exit_code == 0
    second = reply(lm, "Hi", first, "And?")
    spoken = shown.stdout.replace("> ", "").splitlines()
    assert spoken == [*f"{first}\n{second}\n{first}".splitlines()]


def test_a_line_too_long_does_not_end_it(saved):
    folder, lm = saved
    typed = f"{'word ' * 40}\nHi\n"
    shown = run("chat", folder / "lm", *SHORT, typed=typed)
    assert shown.exit_code == 0
    assert "context of 40 tokens" in shown.stderr
    assert reply(lm, "Hi") in shown.stdout


def test_a_model_without_a_template_takes_one(saved):
    folder, lm = saved
    words = ("chat", folder / "plain", "--message", "Hi", *SHORT)
    shown = run(*words)
    assert shown.exit_code == 2
    assert "--template" in shown.stderr and "alpaca" in shown.stderr
    assert run(*words, "--template", "chatml").exit_code == 2  # no such tokens
    shown = run(*words, "--template", "alpaca")
    assert shown.exit_code == 2  # its instruction alone is over the context
    assert "context of 40 tokens" in shown.stderr
