"""Files of labelled texts: JSON Lines, tables, CoNLL, and what is wrong."""

import csv

import pytest
from tuning_examples import lines, missing_parts

from keras_llm.errors import InputError
from keras_llm.tune import (
    Labelled,
    Tagged,
    held_out,
    label_ids,
    label_matrix,
    labels_of,
    read_labelled,
    read_pairs,
    read_tagged,
    tag_ids,
)


def test_labels_in_json_lines(write):
    read = list(
        read_labelled(
            write(
                lines(
                    {"text": "a", "label": "x"},
                    {"text": "b", "label": 10},
                    {"text": "c", "label": 2, "text_pair": "d"},
                    {"text": "e", "label": True},
                )
            )
        )
    )
    assert [example.labels for example in read] == [
        *(("x",), ("10",), ("2",), ("true",)),
    ]
    assert [example.text_pair for example in read] == [None, None, "d", None]
    names = labels_of(read)
    assert names == ("2", "10", "true", "x")
    assert label_ids(read, names).tolist() == [3, 1, 0, 2]


def test_many_labels(write):
    path = write(
        lines({"text": "a", "labels": ["x", "y", "x"]})
        + lines({"text": "b", "labels": []})
    )
    read = list(read_labelled(path))
    assert [example.labels for example in read] == [("x", "y"), ()]
    assert label_matrix(read, labels_of(read)).tolist() == [[1, 1], [0, 0]]
    with pytest.raises(InputError, match=r"one label.* 2 in .*line 1"):
        label_ids(read, ("x", "y"))


def test_tables(write):
    rows = [("a, b", "ham"), ('say "c"\nagain', "spam"), ("d", "ham")]
    expected = [(text, (label,)) for text, label in rows]
    path = write(b"", "a.csv")
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    read = list(read_labelled(path))
    assert [(e.text, e.labels) for e in read] == expected
    assert [e.line for e in read] == [2, 3, 5]
    plain = b'ham\tsay "a\r\nspam\tb\r\n\r\nham\tc\n'
    for name, columns in (("b.tsv", None), ("c.tsv", ("label", "text"))):
        read = list(read_labelled(write(plain, name), columns))
        assert [(e.text, *e.labels, e.line) for e in read] == [
            *(('say "a', "ham", 1), ("b", "spam", 2), ("c", "ham", 4)),
        ]
    named = write(b"review\tlabel\na\t1\nb\t1\n", "d.tsv")
    read = list(read_labelled(named, ("text", "label")))
    assert [(e.text, e.labels) for e in read] == [("a", ("1",)), ("b", ("1",))]


def test_the_tables_of_shared_data(shared_data):
    messages = list(read_labelled(shared_data / "sms_spam" / "sms.tsv"))
    assert len(messages) == 5574
    assert sum(e.labels == ("spam",) for e in messages) == 747
    folder = shared_data / "uci_sentiment"
    for path in sorted(folder.glob("*.txt")):
        read = list(read_labelled(path))
        assert [e.labels for e in read].count(("1",)) == len(read) / 2 == 500


BAD_TABLES = {
    "too many columns": (
        b"a\tx\nb\tx\nc\td\tx\n",
        "a.tsv",
        ["2 columns", "3 in", "line 3", "tabs"],
    ),
    "unclear": (b"a\tb\nc\td\n", "a.tsv", ["columns=", "a, b"]),
    "other names": (b"review\tlabel\na\tx\nb\tx\n", "a.tsv", ["review, label"]),
    "empty": (b"\n", "a.tsv", ["empty"]),
    "names only": (b"text,label\n", "a.csv", ["at least one example"]),
    "empty text": (b"text,label\na,x\n,y\n", "a.csv", ["'text'", "line 3"]),
    "empty label": (b"text,label\na,x\nb,\n", "a.csv", ["label", "line 3"]),
    "open quote": (b'text,label\na,x\n"b,x\n', "a.csv", ["line 3", "twice"]),
    "broken UTF-8": (b"a\tx\nb\xff\tx\n", "a.tsv", ["line 2", "encoding"]),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_what_is_wrong_with_a_table(write, case):
    content, name, parts = BAD_TABLES[case]
    with pytest.raises(InputError) as caught:
        list(read_labelled(write(content, name)))
    assert not missing_parts(caught.value, parts), str(caught.value)


@pytest.mark.parametrize(
    ("records", "parts"),
    [
        ([{"text": "a"}], ["line 1 has text", "columns="]),
        ([{"text": "a", "label": ""}], ["label", "line 1"]),
        ([{"text": "a", "label": 0.5}], ["0.5", "line 1"]),
        ([{"text": "a", "labels": "x"}], ["list", "line 1"]),
        (
            [{"text": "a", "label": "x"}, {"text": "a", "labels": ["x"]}],
            ["line 2", "file of its own"],
        ),
        ([{"text": "", "label": "x"}], ["'text'", "line 1"]),
    ],
)
def test_what_is_wrong_with_labels(write, records, parts):
    with pytest.raises(InputError) as caught:
        list(read_labelled(write(lines(*records))))
    assert not missing_parts(caught.value, parts), str(caught.value)


def test_a_label_that_training_did_not_see(write):
    path = write(
        lines({"text": "a", "label": "x"}, {"text": "b", "label": "z"})
    )
    read = list(read_labelled(path))
    with pytest.raises(InputError) as caught:
        label_ids(read, ("x", "y"))
    for part in ("x, y", "'z'", f"{path}, line 2"):
        assert part in str(caught.value)
    with pytest.raises(InputError, match="line 2"):
        label_matrix(read, ("x", "y"))
    with pytest.raises(InputError, match="word 2 of .*made in code"):
        tag_ids([Tagged(("a", "b"), ("O", "B-z"))], ("O", "B-x"))
    with pytest.raises(InputError, match="two different labels"):
        labels_of([Labelled("a", ("x",))])


def test_tagged_sentences(write):
    content = b"-DOCSTART- O\n\nin O\nRome NNP B-loc\n\n\t\nHi\tO\n#\tO"
    read = list(read_tagged(write(content)))
    assert [(e.words, e.labels, e.line) for e in read] == [
        (("in", "Rome"), ("O", "B-loc"), 3),
        (("Hi", "#"), ("O", "O"), 7),
    ]
    assert [ids.tolist() for ids in tag_ids(read, labels_of(read))] == [
        *([1, 0], [1, 1]),
    ]


@pytest.mark.parametrize(
    ("name", "sentences", "words"),
    [("train", 3394, 62730), ("dev", 1009, 15733), ("test", 1287, 23394)],
)
def test_wnut17(shared_data, name, sentences, words):
    """Blank lines and lines with a tag, as `grep -c` counts them."""
    read = list(read_tagged(shared_data / "wnut17" / f"{name}.conll"))
    assert len(read) == sentences
    assert sum(len(example.words) for example in read) == words
    assert len(labels_of(read)) == 13


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"Hi O\nRome\n", "line 2. Add the tag"),
        (b"Hi O\n\nRome loc\n", "'loc' in .*line 3"),
        (b"Hi O\nR\xff O\n", "line 2"),
        (b"\n", "at least one example"),
    ],
)
def test_what_is_wrong_with_a_tagged_file(write, content, part):
    with pytest.raises(InputError, match=part):
        list(read_tagged(write(content)))


def test_answers_to_one_prompt_are_held_out_together(write):
    records = [
        {"prompt": f"Say {n // 2}", "chosen": f"good {n}", "rejected": "bad"}
        for n in range(400)
    ]
    pairs = list(read_pairs(write(lines(*records))))
    train, held = held_out(pairs, 0.2)
    assert 40 < len(held) < 130 and len(held) + len(train) == 400
    assert not {p.prompt[0]["content"] for p in train} & {
        p.prompt[0]["content"] for p in held
    }
    assert held_out(pairs[::-1], 0.2)[1] == held[::-1]
