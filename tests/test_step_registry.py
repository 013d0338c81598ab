"""Every step is made again from its name and settings, in another process."""

import json
import pickle

import executor_tasks
import numpy as np
import pytest

from keras_llm import data
from keras_llm.data import Counts, Document, Step, make_step
from keras_llm.data.registry import _FILES, is_sendable
from keras_llm.errors import InputError

ROSE = "The rose is a rose that we have in the garden of the house to be. "
NUMBERS = "Ask jo@example.org or +1 212 555 0166. "
DOCUMENTS = [
    Document(ROSE * 8, "https://a.example/1", license="MIT"),
    Document(ROSE * 8, "b", license="CC-BY-NC-4.0"),
    Document(
        f"cafÃ© e\u0301 {ROSE}\n\n\n\n{ROSE * 7}", "c", metadata={"score": 3}
    ),
    Document(f"<p>{ROSE}</p>&amp;\x07 \nRead more\n{NUMBERS}", "d"),
    Document(ROSE * 8 + "Yes.", "e", metadata={"score": 1}),
    Document("<html><body><p>" + "Two words here. " * 30 + "</p></body>", "f"),
    Document("Buy now and save. " * 60, "g", metadata={"score": 2}),
    Document("Le petit chat dort dans la cuisine depuis ce matin.", "h"),
    Document("nettle\nOne more line of text that others have too.", "i"),
    Document("One more line of text that others have too.\nEnd", "j"),
    Document(f"*** START OF THE PROJECT GUTENBERG EBOOK ***\n{ROSE}", "k"),
    Document("short", "l"),
]


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    """Each step with settings that are not its defaults."""
    folder = tmp_path_factory.mktemp("lists")
    (folder / "out.txt").write_text("a.example\n")
    (folder / "terms.txt").write_text("nettle\n")
    (folder / "bench.txt").write_text(ROSE)
    model = data.QualityModel(np.linspace(-1, 1, 64, dtype="float32"), 2, 0.1)
    model.save(folder / "model.npz")
    return [
        data.repair(mojibake=False),
        data.repair(),
        data.minimum_length(50),
        data.split_long(200),
        data.control_characters(),
        data.white_space(1),
        data.gutenberg(),
        data.boilerplate_lines(["more line"], longest=99),
        data.html_leftovers(),
        data.html_pages("resiliparse"),
        data.licenses(["MIT"], unknown=True),
        data.sources(["a.example"]),
        data.opt_out(folder / "out.txt"),
        data.blocked_terms(folder / "terms.txt"),
        data.blocked_terms(["rose"], most=3),
        data.c4_quality(sentences=2, word_length=None),
        data.c4_paragraphs(40),
        data.fineweb_quality(newlines=None),
        data.gopher_quality(words=(5, None), stop_list=["rose", "we"]),
        data.gopher_repetition(top=[(2, 0.3)], repeated=()),
        data.keep_percentiles("score", 40, 100),
        data.language(["fr"], short="drop"),
        data.quality_score(folder / "model.npz", 0.3),
        data.privacy(["email"], {"email": "<E>"}, numbered=True, audit=1),
        data.privacy(detectors=["executor_tasks:find_roses"]),
        data.exact_duplicates(),
        data.duplicate_lines(shortest=9),
        data.duplicate_paragraphs(1, shortest=5),
        data.repeated_lines(1),
        data.near_duplicates(None, words=3, bands=4, rows=2),
        data.near_duplicates(0.9),
        data.semantic_duplicates("executor_tasks:letters_of", 0.99),
        data.decontaminate({"b": folder / "bench.txt", "c": [ROSE]}, size=9),
        make_step("executor_tasks:shout", {"mark": "?"}),
    ]


def done_by(step):
    counts = Counts(step.name)
    documents = [one.to_dict() for one in step(DOCUMENTS, counts)]
    return documents, json.dumps(counts.to_record())


def test_all_steps_are_there(steps):
    names = {step.name for step in steps if ":" not in step.name}
    assert names == set(_FILES)
    public = {name for name in data.__all__ if name in _FILES}
    assert public == names


def test_a_sent_step_does_the_same(steps):
    for step in steps:
        again = pickle.loads(pickle.dumps(step))
        assert json.dumps(again.settings) == json.dumps(step.settings)
        assert done_by(again) == done_by(step), step.name


def test_each_step_does_something(steps):
    plain = [one.to_dict() for one in DOCUMENTS]
    for step in steps:
        assert done_by(step)[0] != plain, step.name


def test_a_step_is_made_from_its_place_in_the_report(steps):
    for step in steps:
        settings = json.loads(json.dumps(step.settings))
        assert done_by(make_step(step.name, settings)) == done_by(step)


def closure():
    return Step("mine", lambda documents, counts: iter(documents))


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (closure(), "'mine'"),
        (Step("repair", closure().run, {"mojibake": True}), "settings"),
        (Step("gutenberg", closure().run), "another step has this name"),
        (Step("gutenberg", closure().run, {"a": {1}}), "JSON"),
        (data.privacy(detectors=[executor_tasks.find_roses]), "find_roses"),
        (data.semantic_duplicates(executor_tasks.letters_of), "letters_of"),
        (Step("executor_tasks:nothing", closure().run), "no function"),
        (Step("executor_tasks:other_name", closure().run), "'executor_tasks:s"),
        (Step("executor_tasks:square", closure().run), "takes"),
    ],
)
def test_what_cannot_be_sent(step, said):
    with pytest.raises(InputError, match="engine inline") as refused:
        pickle.dumps(step)
    assert said in str(refused.value)
    assert not is_sendable(step)


def test_a_list_that_changed_is_noticed(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("a.example\n")
    settings = data.opt_out(path).settings
    path.write_text("b.example\n")
    with pytest.raises(InputError, match="file that it reads changed"):
        make_step("opt_out", settings)
