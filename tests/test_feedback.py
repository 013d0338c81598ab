"""The feedback store: nothing acknowledged is lost, nothing foreign touched."""

import json
import signal
import sqlite3
import subprocess
import sys

import pytest

from keras_llm.errors import InputError
from keras_llm.feedback import Answer, FeedbackStore, database

CHAT = [{"role": "user", "content": "Grüß Gott 🙂"}]

WRITER = """
import sys
from keras_llm.feedback import Answer, FeedbackStore
path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = FeedbackStore(path)
for i in range(count):
    key = f"{name}-{i}"
    store.add(Answer(id=key, prompt="Once", text=key, model="rose/1"))
    store.rate(key, 1)
    print(key, flush=True)
"""

RATER = (
    WRITER.split("for i")[0]
    + """
keys = [f"{name}-{i}" for i in range(count)]
store.add(*(Answer(id=k, prompt="Once", text=k, model="rose") for k in keys))
for key in keys:
    store.rate(key, 1)
    print(key, flush=True)
"""
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "feedback.sqlite"


@pytest.fixture
def store(path):
    with FeedbackStore(path) as store:
        yield store


def answer(key, prompt="Once", text=None, **more):
    return Answer(
        id=key, prompt=prompt, text=text or f"by {key}", model="rose/1", **more
    )


def lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def writer(path, name, count, script=WRITER):
    return subprocess.Popen(
        [sys.executable, "-c", script, str(path), name, str(count)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_what_was_added_is_there_after_a_reopen(path):
    with FeedbackStore(path) as store:
        store.add(answer("1", CHAT, settings={"seed": 3}, adapter="tone/2"))
        store.add(answer("1", text="another"))  # the first one stays
        store.rate("1", -1, "too short")
    with sqlite3.connect(path) as plain:
        (row,) = plain.execute("SELECT * FROM answers").fetchall()
        (rated,) = plain.execute("SELECT * FROM ratings").fetchall()
    plain.close()
    assert row[0] == "1" and json.loads(row[2]) == CHAT
    assert row[3:] == ("by 1", "rose/1", "tone/2", '{"seed": 3}')
    assert rated[2:] == ("1", -1, "too short")


def test_the_last_thumb_counts(store):
    store.add(answer("1"), answer("2"))
    store.rate("1", -1)
    store.rate("1", 1)
    store.rate("2", -1)
    counts = {"answers": 2, "up": 1, "down": 1, "corrections": 0, "choices": 0}
    assert store.counts() == counts


def test_preferences_come_from_choices_corrections_and_thumbs(store, tmp_path):
    store.add(*(answer(key) for key in "abcd"), answer("x", CHAT))
    store.choose("a", "b")
    store.choose("a", "b")  # twice is once
    store.correct("x", "no")
    store.correct("x", "Guten Tag")
    store.rate("c", 1)
    store.rate("d", -1)
    out = tmp_path / "pairs.jsonl"
    assert store.write_preferences(out) == 3
    found = {json.dumps(line, sort_keys=True) for line in lines(out)}
    said = [{"role": "assistant", "content": t} for t in ("Guten Tag", "by x")]
    wanted = [
        {"prompt": "Once", "chosen": "by a", "rejected": "by b"},
        {"prompt": "Once", "chosen": "by c", "rejected": "by d"},
        {"prompt": CHAT, "chosen": said[:1], "rejected": said[1:]},
    ]
    assert found == {json.dumps(line, sort_keys=True) for line in wanted}


def test_a_tie_is_no_pair_and_is_not_open(store, tmp_path):
    store.add(*(answer(key) for key in "ab"), answer("c", text="by a"))
    store.add(answer("z", "Other"))
    named = [{one.id for one in pair} for pair in store.open_pairs()]
    assert named == [{"a", "b"}, {"b", "c"}]  # a and c say the same
    store.tie("b", "a")
    assert store.compared("a", "b") and store.compared("b", "a")
    store.choose("c", "b")
    assert store.open_pairs() == [] and store.compared_count() == 2
    assert store.write_preferences(tmp_path / "pairs.jsonl") == 1
    assert store.answer("c") == answer("c", text="by a")
    assert store.prompts() == ["Once", "Other"]
    for call in (lambda: store.tie("a", "z"), lambda: store.answer("9")):
        with pytest.raises(InputError):
            call()


def test_the_last_label_counts(store, tmp_path):
    for said in ("ham", "spam"):
        store.label("Free entry", said, annotator="ada", source="sms")
    store.label("Ok lar", "ham")
    store.label("Win", "spam")
    assert store.label_counts() == {"spam": 2, "ham": 1}
    assert store.write_labels(tmp_path / "labels.jsonl") == 3
    assert lines(tmp_path / "labels.jsonl")[0] == {
        "text": "Free entry", "label": "spam"
    }  # fmt: skip
    for text, said in (("", "ham"), ("Ok", " ")):
        with pytest.raises(InputError, match="one is empty"):
            store.label(text, said)


def test_a_store_of_version_1_gets_the_new_tables(path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(database, "MIGRATIONS", database.MIGRATIONS[:1])
        with FeedbackStore(path) as store:
            store.add(answer("1"), answer("2"))
            store.choose("1", "2")
    with FeedbackStore(path) as store:
        store.label("Ok lar", "ham")
        assert store.counts()["choices"] == 1 and store.open_pairs() == []


def test_instructions_are_corrections_and_thumbs_up(store, tmp_path):
    store.add(*(answer(key) for key in "abc"), answer("x", CHAT))
    store.rate("a", 1)
    store.rate("b", 1)
    store.rate("b", -1)
    store.rate("c", -1)
    store.correct("c", "better")
    store.correct("x", "Guten Tag")
    out = tmp_path / "good.jsonl"
    assert store.write_instructions(out) == 3
    assert lines(out) == [
        {"prompt": "Once", "completion": "by a"},
        {"prompt": "Once", "completion": "better"},
        {"messages": [*CHAT, {"role": "assistant", "content": "Guten Tag"}]},
    ]


def test_mistakes_are_sentences_and_leave_nothing(store):
    store.add(answer("1"), answer("2", "Other"))
    for call, sentence in [
        (lambda: store.rate("9", 1), "Received: '9'"),
        (lambda: store.correct("9", "x"), "Received: '9'"),
        (lambda: store.choose("1", "9"), "Received: '9'"),
        (lambda: store.choose("1", "2"), "answers to the same prompt"),
        (lambda: store.choose("1", "1"), "answers to the same prompt"),
        (lambda: store.rate("1", 2), "Received: 2"),
        (lambda: store.correct("1", " "), "an empty one"),
    ]:
        with pytest.raises(InputError, match=sentence):
            call()
    counts = store.counts()
    assert counts.pop("answers") == 2 and not any(counts.values())


def test_processes_that_write_at_once_all_succeed(path):
    writers = [writer(path, name, 40) for name in "abc"]
    for one in writers:
        said, _ = one.communicate(timeout=120)
        assert one.returncode == 0 and len(said.splitlines()) == 40
    with FeedbackStore(path) as store:
        counts = store.counts()
    assert counts["answers"] == counts["up"] == 120


@pytest.mark.parametrize("after", [1, 7, 30])
def test_kill_9_loses_nothing_acknowledged(path, after):
    process = writer(path, "a", 100_000)
    said = [process.stdout.readline() for _ in range(after)]
    process.send_signal(signal.SIGKILL)
    said += process.stdout.read().splitlines(keepends=True)
    process.wait()
    process.stdout.close()
    keys = [line[:-1] for line in said if line.endswith("\n")]
    with FeedbackStore(path) as store:
        assert len(keys) <= store.counts()["up"] < 100_000
        for key in keys:
            store.correct(key, "the answer is there")


def test_ten_thousand_rows_from_eight_processes_and_a_kill(path):
    """No acknowledged row is lost, none is there twice."""
    names, each = "abcdefgh", 1250
    writers = {name: writer(path, name, each, RATER) for name in names}
    said = [writers["c"].stdout.readline() for _ in range(100)]
    writers["c"].send_signal(signal.SIGKILL)
    said += writers["c"].stdout.read().splitlines(keepends=True)
    for name, one in writers.items():
        one.communicate(timeout=600)
        assert (one.returncode == 0) == (name != "c")
    heard = [line[:-1] for line in said if line.endswith("\n")]
    assert 100 <= len(heard) < each
    again = writer(path, "c", each, RATER)  # what was written stays as it was
    again.communicate(timeout=600)
    wanted = {f"{name}-{i}" for name in names for i in range(each)}
    with FeedbackStore(path) as store:
        kept = [key for (key,) in store._rows("SELECT id FROM answers")]
        rated = dict(
            store._rows(
                "SELECT answer_id, count(*) FROM ratings GROUP BY answer_id"
            )
        )
        assert store.counts()["up"] == len(kept) == len(wanted) == 10_000
    assert set(kept) == set(rated) == wanted
    twice = {key for key, count in rated.items() if count > 1}
    # Only what the killed process said is said again by the second one; its
    # last row may have been written and not yet acknowledged.
    written = {f"c-{i}" for i in range(len(heard) + 1)}
    assert set(heard) <= twice <= written


@pytest.mark.parametrize("kind", ["text", "cut", "scrambled"])
def test_a_damaged_file_is_a_sentence(path, kind):
    with FeedbackStore(path) as store:
        store.add(*(answer(str(i), text="x" * 999) for i in range(50)))
    content = path.read_bytes()
    broken = {
        "text": b"this is no database at all, but text " * 100,
        "cut": content[: len(content) // 2],
        "scrambled": content[:4096] + b"\x07" * 8192 + content[12288:],
    }
    path.write_bytes(broken[kind])
    with pytest.raises(InputError, match="damaged file or no database"):
        FeedbackStore(path)
    assert path.read_bytes() == broken[kind]


def test_a_newer_file_is_refused_and_an_older_one_brought_up_to_date(
    path, monkeypatch
):
    with FeedbackStore(path) as store:
        store.add(answer("1"))
    more = ("ALTER TABLE answers ADD COLUMN user TEXT DEFAULT 'nobody'",)
    with monkeypatch.context() as patch:
        newer = (*database.MIGRATIONS, more)
        patch.setattr(database, "MIGRATIONS", newer)
        for _ in range(2):  # the second time there is nothing to do
            with FeedbackStore(path) as store:
                (row,) = store._rows("SELECT id, user FROM answers")
                assert row == ("1", "nobody")
    with pytest.raises(InputError, match="Received: version 3 in"):
        FeedbackStore(path)


def test_a_migration_is_whole_or_not_at_all(path, monkeypatch):
    with FeedbackStore(path) as store:
        store.add(answer("1"))
    broken = ("ALTER TABLE answers ADD COLUMN user TEXT", "NO SQL")
    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr(database, "MIGRATIONS", (*database.MIGRATIONS, broken))
        FeedbackStore(path)
    with FeedbackStore(path) as store:
        assert store.counts()["answers"] == 1
        names = [row[1] for row in store._rows("PRAGMA table_info(answers)")]
    assert "user" not in names


def test_other_databases_are_not_touched(path, tmp_path):
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE mine (a)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(InputError, match="another program"):
        FeedbackStore(path)
    assert path.read_bytes() == before
    with pytest.raises(OSError, match="unable to open"):
        FeedbackStore(tmp_path)
