"""Chat templates say what the published ones say, as text and as ids."""

import dataclasses
import itertools
import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from keras_llm import zoo
from keras_llm.errors import InputError
from keras_llm.tokenizers import HostTokenizer
from keras_llm.tokenizers.chat import TEMPLATES, ChatTemplate, Fold, Turn

PUBLISHED = json.loads(
    (Path(__file__).parent / "golden" / "chat.json").read_text("utf-8")
)
CONVERSATIONS = PUBLISHED["conversations"]
CASES = [
    pytest.param(name, key, id=f"{name}-{key}")
    for name in PUBLISHED["templates"]
    for key in CONVERSATIONS
]

# The published template of Llama 3.2 differs from 3.1's in its date only.
SAME = {"llama3.2": "llama3.1"}

# Said in keras_llm/tokenizers/chat.py: these drop a message without a word.
REFUSED = {
    (name, "late_system")
    for name in ("harmony", "olmo3", "smollm3", "smollm3_no_think")
}
KEPT = {
    ("mistral_v3", "system_reply"),
    ("mistral_v3_tekken", "system_reply"),
}


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def system(text: str) -> dict[str, str]:
    return {"role": "system", "content": text}


TALK = [user("Hello there"), assistant("Hi, friend!"), user("And?")]


@pytest.mark.parametrize(("name", "key"), CASES)
def test_the_text_is_the_published_one(name: str, key: str):
    template = TEMPLATES[SAME.get(name, name)]
    for asked, text in enumerate(PUBLISHED["templates"][name]["texts"][key]):
        if text is None or (name, key) in REFUSED:
            with pytest.raises(InputError):
                template.render(CONVERSATIONS[key], bool(asked))
        elif (name, key) in KEPT:
            ours = template.render(CONVERSATIONS[key], bool(asked))
            assert ours.replace("Be brief.\n\n", "") == text != ours
        else:
            assert template.render(CONVERSATIONS[key], bool(asked)) == text


def test_every_template_is_checked_but_our_own():
    checked = {SAME.get(name, name) for name in PUBLISHED["templates"]}
    assert checked == set(TEMPLATES) - {"keras_llm"}


def test_every_template_that_the_zoo_names_is_there():
    named = {family.chat for family in zoo.families()}
    named |= {zoo.find_size(name).chat for name in zoo.list()}
    assert named - {None} <= set(TEMPLATES)
    assert len(named) > 5


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    """One small vocabulary with the special tokens of each template."""
    texts = ["Hello there, how are you? I am fine. user assistant system\n\n"]
    made = {}
    for name, template in TEMPLATES.items():
        special = template.special
        tokenizer = HostTokenizer.train(
            texts * 9,
            300 + len(special),
            "qwen2",
            list(special),
            None,
            None,
            progress=False,
        )
        folder = tmp_path_factory.mktemp(name)
        tokenizer.save(folder)
        other = Tokenizer.from_file(str(folder / "tokenizer.json"))
        made[name] = (tokenizer, other)
    return made


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("key", sorted(set(CONVERSATIONS) - {"spelled"}))
def test_ids_are_those_of_the_whole_text(tokenizers, name, key):
    template, (tokenizer, other) = TEMPLATES[name], tokenizers[name]
    for asked in (False, True):
        try:
            text = template.render(CONVERSATIONS[key], asked)
        except InputError:
            continue
        ids, mask = template.encode(tokenizer, CONVERSATIONS[key], asked)
        assert ids == other.encode(text, add_special_tokens=False).ids
        assert len(mask) == len(ids)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_message_cannot_spell_a_special_token(tokenizers, name):
    template, (tokenizer, _) = TEMPLATES[name], tokenizers[name]
    spelled = " ".join(template.special)
    plain, _ = template.encode(tokenizer, [user("?"), assistant("!")])
    forged, _ = template.encode(
        tokenizer, [user(f"?{spelled}"), assistant(f"!{spelled}")]
    )
    special = {tokenizer.special_tokens[token] for token in template.special}
    assert [i for i in forged if i in special] == [
        i for i in plain if i in special
    ]
    assert tokenizer.decode(forged).count(spelled) >= 2


def learned_parts(tokenizer, ids: list[int], mask: list[int]) -> list[str]:
    """The texts of neighbouring tokens that the mask keeps."""
    groups = itertools.groupby(
        zip(mask, ids, strict=True), lambda pair: pair[0]
    )
    return [
        tokenizer.decode([i for _, i in pairs])
        for flag, pairs in groups
        if flag
    ]


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_is_learned_is_what_follows_the_prompt(tokenizers, name):
    template, (tokenizer, _) = TEMPLATES[name], tokenizers[name]
    ids, mask = template.encode(tokenizer, [*TALK, assistant("No more.")])
    first, second = learned_parts(tokenizer, ids, mask)
    for reply, text in ((first, "Hi, friend!"), (second, "No more.")):
        assert text in reply
        assert reply.endswith(template.special)
    prompt, prompt_mask = template.encode(tokenizer, TALK, True)
    assert learned_parts(tokenizer, prompt, prompt_mask) == [first]
    assert ids[: len(prompt)] == prompt or template.reasoning_end
    if ids[: len(prompt)] == prompt:
        written = zip(ids[len(prompt) :], mask[len(prompt) :], strict=True)
        assert tokenizer.decode([i for i, m in written if m]) == second
        assert mask[len(prompt)] == 1


@pytest.mark.parametrize("name", PUBLISHED["learned"])
def test_what_is_learned_is_what_others_learn(tokenizers, name):
    """TRL's loss is on the same text, and on the line break after it."""
    template, (tokenizer, _) = TEMPLATES[name], tokenizers[name]
    found = template.encode(tokenizer, CONVERSATIONS["long"])
    theirs = [part.rstrip("\n") for part in PUBLISHED["learned"][name]]
    assert learned_parts(tokenizer, *found) == theirs


def test_a_token_over_the_border_is_learned():
    """The published ids, though the line break before the text is in one."""
    tokenizer = HostTokenizer.train(
        ["a\n\nb\n\nc"] * 9,
        266,
        "qwen2",
        ("<|im_start|>", "<|im_end|>"),
        None,
        None,
    )
    ids, mask = TEMPLATES["chatml"].encode(
        tokenizer, [user("q"), assistant("\nb")]
    )
    pieces = [tokenizer.decode([i]) for i in ids]
    crossing = pieces.index("\n\n")
    assert mask[crossing] == 1 and mask[crossing - 1] == 0
    assert (
        tokenizer.decode([i for i, m in zip(ids, mask, strict=True) if m])
        == "\n\nb<|im_end|>"
    )


def test_a_template_survives_json(tmp_path):
    for template in TEMPLATES.values():
        template.save(tmp_path / "chat.json")
        assert ChatTemplate.load(tmp_path / "chat.json") == template


def test_the_date_can_be_another():
    today = TEMPLATES["harmony"].with_text("2025-06-28", "2026-01-02")
    assert "Current date: 2026-01-02" in today.render("Hi")
    with pytest.raises(InputError, match="1999"):
        today.with_text("1999", "2000")


def test_a_string_is_a_user_message():
    template = TEMPLATES["chatml"]
    assert template.render("Hi") == template.render([user("Hi")])


@pytest.mark.parametrize(
    ("name", "messages", "words"),
    [
        ("chatml", [], "list of messages"),
        ("chatml", {"role": "user", "content": "Hi"}, "list of messages"),
        ("chatml", [{"role": "user"}], "message 1"),
        ("chatml", [user("Hi"), {**assistant("a"), "tool": 1}], "message 2"),
        ("chatml", [{"role": "user", "content": 3}], "content of message 1"),
        ("chatml", [{"role": "tool", "content": ""}], "'tool'"),
        ("gemma", [system("Be kind."), user("Hi")], "first user message"),
        ("llama2", [system("a")], "Add one"),
        ("llama2", [user("Hi"), user("Hello?")], "message 2"),
        ("llama2", [assistant("Hi")], "message 1"),
        ("llama2", [system("a"), assistant("Hi")], "message 2"),
        ("harmony", [user("Hi"), system("Be kind.")], "only at the start"),
        ("chatml", [user("Hi"), assistant("Hello!")], "last message"),
    ],
)
def test_what_is_wrong_with_messages_is_a_sentence(name, messages, words):
    with pytest.raises(InputError, match=words):
        TEMPLATES[name].render(messages, add_generation_prompt=True)


def test_a_tokenizer_of_another_model_is_refused(tokenizers):
    with pytest.raises(InputError, match="im_start"):
        TEMPLATES["chatml"].encode(tokenizers["gemma"][0], "Hi")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"turns": {}}, "at least"),
        ({"end": ()}, "end token"),
        ({"end": ("<stop>",)}, "end token"),
        ({"order": "random"}, "order"),
        ({"last_turns": {"assistant": Turn()}}, "suffix"),
        ({"fold": {"at": "middle"}}, "at to be one of"),
        ({"turns": {"user": {"strip": "all"}}}, "strip"),
        ({"jinja": "{{ messages }}"}, "jinja"),
        ({"turns": "user"}, "dictionary"),
        ({"generation": None}, "generation"),
        ({"last_turns": {"user": {"prefix": 3}}}, "prefix"),
    ],
)
def test_a_template_that_makes_no_sense_is_refused(change, words):
    with pytest.raises(InputError, match=words):
        ChatTemplate.from_dict({**TEMPLATES["chatml"].to_dict(), **change})


def test_a_folded_system_message_is_no_role_of_its_own():
    folded = dataclasses.replace(TEMPLATES["gemma"], fold=Fold(suffix=" "))
    assert folded.roles == ("system", "user", "assistant")
    text = folded.render([system("Be kind."), user("Hi")])
    assert text == "<bos><start_of_turn>user\nBe kind. Hi<end_of_turn>\n"
