"""Noisy copies of labelled texts: labels stay, nothing held out is touched."""

import json
import random

import pytest

from keras_llm.errors import InputError
from keras_llm.synthesize import NOISES, augment, back_translate
from keras_llm.synthesize.augmenting import read_synonyms
from keras_llm.synthesize.noises import Noise
from keras_llm.tune import Labelled

ROWS = [
    Labelled("Win a large prize now, call us today", ("spam",)),
    Labelled("Shall we meet at the big station at noon", ("ham",)),
    Labelled("Ok", ("ham",)),
    Labelled("", ("ham",)),
]
SYNONYMS = {"large": ["big", "huge"], "big": ["large"]}


def noisy(name: str, text: str, seed: int = 0, strength: float = 0.3) -> str:
    return NOISES[name](text, Noise(random.Random(seed), strength, SYNONYMS))


@pytest.mark.parametrize("seed", range(20))
def test_what_each_noise_may_change(seed):
    text = ROWS[0].text
    words = text.split()
    assert sorted(noisy("swap", text, seed).split()) == sorted(words)
    left = noisy("delete", text, seed).split()
    assert len(left) == len(words) - 2  # 0.3 of 8, rounded
    rest = iter(words)
    assert all(word in rest for word in left)
    marked = noisy("punctuate", text, seed).split()
    assert [w for w in marked if w not in list(".;?:!,")] == words
    assert noisy("replace", text, seed) in (
        text.replace("large", "big"),
        text.replace("large", "huge"),
    )
    longer = noisy("insert", text, seed).split()
    assert len(longer) == len(words) + 1
    assert {*longer} - {*words} <= {"big", "huge"}
    typed = noisy("keyboard", text, seed)
    assert len(typed) == len(text)
    wrong = sum(a != b for a, b in zip(typed, text, strict=True))
    assert wrong == round(0.3 * sum(map(str.isalpha, text)))
    assert noisy("case", text, seed).lower() == text.lower() != ""
    assert noisy("ocr", text, seed) != text


@pytest.mark.parametrize("name", NOISES)
@pytest.mark.parametrize("text", ["", "a", "  ", "?!", "日本", "ok lar"])
def test_odd_texts_do_not_break_a_noise(name, text):
    assert isinstance(noisy(name, text, strength=1.0), str)
    assert noisy(name, text).strip() or not text.strip()


def test_copies_keep_labels_and_do_not_depend_on_other_rows():
    made = augment(ROWS, copies=3, seed=4)
    assert made[:4] == ROWS
    texts = [row.text for row in made]
    assert len({*texts}) == len(texts)
    by_label = {row.where: row for row in made[4:]}
    assert by_label and all(row.labels for row in made)
    for number, row in enumerate(ROWS[:2]):
        alone = augment([row], copies=3, seed=4)[1:]
        assert len(alone) == 3 and {one.labels for one in alone} == {row.labels}
        assert [one for one in made[4:] if one.labels == row.labels][:3] == (
            alone
        ), number
    assert augment(ROWS, copies=3, seed=5) != made
    assert augment(ROWS, copies=0) == ROWS


def test_second_texts_stay():
    row = Labelled("A man is playing a flute", ("yes",), "A man plays")
    assert {one.text_pair for one in augment([row], 4)} == {"A man plays"}


def test_held_out_rows_are_neither_noisy_nor_made():
    held = [Labelled("two one", ("a",))]
    train = [Labelled("one two", ("a",))]
    with pytest.raises(InputError, match="none of them held out.*1 that are"):
        augment([*train, Labelled("two  one", ("a",))], held_out=held)
    # Swapping two words gives just the row that is held out.
    assert augment(train, noises=["swap"]) != train
    assert augment(train, noises=["swap"], held_out=held) == train
    with pytest.raises(InputError, match="none of them held out"):
        back_translate(held, str.upper, "English", held_out=held)


def test_mistakes_are_sentences(tmp_path):
    with pytest.raises(InputError, match="noises to be one of 'swap'"):
        augment(ROWS, noises=["thunder"])
    with pytest.raises(InputError, match="synonyms for the noise replace"):
        augment(ROWS, noises=["replace"])
    with pytest.raises(InputError, match="list of noises"):
        augment(ROWS, noises="swap")
    with pytest.raises(InputError, match="a strength above 0"):
        augment(ROWS, strength=0)
    with pytest.raises(InputError, match="Expected two languages"):
        back_translate(ROWS, str.upper, "German", "german")
    path = tmp_path / "synonyms.txt"
    path.write_text("# mine\nbig, large , huge\nbig, great\n")
    assert read_synonyms(path)["big"] == ["large", "huge", "great"]
    path.write_text("big\n")
    with pytest.raises(InputError, match="commas between.*line 1"):
        read_synonyms(path)


def test_texts_come_back_from_another_language(tmp_path):
    asked = []

    def model(prompt):
        asked.append(prompt)
        text = prompt.split("<material>\n")[1].split("\n</material>")[0]
        if "into Dutch" in prompt:
            return f"<text>NL {text}</text>"
        back = text.removeprefix("NL ")
        return f"<text>{back.replace('prize', 'award')}</text>"

    log = tmp_path / "log.jsonl"
    given = (ROWS[:3], model, "English", "Dutch")
    made = back_translate(*given, log=log)
    assert made[:3] == ROWS[:3]
    [copy] = made[3:]  # the others came back as they were
    assert copy.text == "Win a large award now, call us today"
    assert copy.labels == ("spam",) and copy.where.endswith("through Dutch")
    assert len(asked) == 6
    assert back_translate(*given, log=log) == made and len(asked) == 6
    told = [json.loads(line) for line in log.read_text().splitlines()]
    assert {one["task"] for one in told} == {"to Dutch", "to English"}
