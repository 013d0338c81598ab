"""Curation steps against real dirt; the folder; hold-out; nothing lost."""

import gzip
import json
import os
import random
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_llm.data import (
    Counts,
    Document,
    Step,
    curate,
    exact_duplicates,
    hold_out,
    minimum_length,
    read_corpus,
    read_documents,
    repair,
    split_long,
    write_jsonl,
)
from keras_llm.errors import InputError


def run(step, documents):
    """Returns the documents a step hands on, and its counts."""
    counts = Counts(step.name)
    return list(step(documents, counts)), counts


def numbered(number, length=300):
    return [
        Document(f"{n} ".ljust(length, "x"), f"{n}.txt") for n in range(number)
    ]


def json_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def dirty(shared_data):
    """Real documents labelled by their defect."""
    path = shared_data / "dirty" / "dirty_sample.jsonl.gz"
    return list(read_documents(path))


def test_repair_composes_and_undoes_mojibake():
    documents = [
        Document("e\u0301", "nfd"),
        Document("cafÃ©", "mojibake"),
        Document("ﬁ “quoted” ＡＢ &amp; \x1b", "as it is"),
    ]
    repaired, counts = run(repair(), documents)
    assert [d.text for d in repaired[:2]] == ["é", "café"]
    assert repaired[2] == documents[2]
    assert counts.changed == {"NFC": 1, "mojibake": 1}
    assert counts.documents_out == 3


def test_repair_on_cases_from_the_wild(shared_data):
    def cases(name):
        path = shared_data / "dirty" / f"ftfy_{name}.json"
        return json.loads(path.read_text(encoding="utf-8"))

    wild = [c for c in cases("in_the_wild") if c["expect"] == "pass"]
    repaired, _ = run(repair(), [Document(c["original"], "") for c in wild])
    right = [
        d.text == c.get("fixed-encoding", c["fixed"])
        for d, c in zip(repaired, wild, strict=True)
    ]
    assert sum(right) >= 0.9 * len(wild) > 50
    good = [Document(c["fixed"], "") for c in cases("negative")]
    assert run(repair(), good)[1].changed["mojibake"] == 0


def test_repair_leaves_clean_text_alone(dirty):
    clean = [d for d in dirty if d.metadata["kind"] in ("clean", "lang_jpn")]
    repaired, counts = run(repair(), clean)
    assert repaired == clean and not counts.changed


def test_repair_of_labelled_mojibake(dirty):
    broken = [d for d in dirty if d.metadata["kind"] == "mojibake"]
    # Half of the labelled cases lost bytes and cannot be repaired.
    repaired, _ = run(repair(), broken)
    assert sum(d.text == d.metadata["want"] for d in repaired) == 100


def test_repair_without_ftfy(monkeypatch):
    monkeypatch.setitem(sys.modules, "ftfy", None)
    with pytest.raises(InputError, match=r"keras_llm\[data\].*mojibake=False"):
        repair()
    (document,), _ = run(repair(mojibake=False), [Document("e\u0301", "a")])
    assert document.text == "é"


def test_exact_duplicates_against_labels(dirty):
    kinds = ("clean", "exact_dup", "near_dup")
    documents = [d for d in dirty if d.metadata["kind"] in kinds]
    kept, counts = run(exact_duplicates(), documents)
    distinct = {" ".join(d.text.split()) for d in documents}
    assert len(kept) == len(distinct)
    reason = "same text as an earlier document"
    assert counts.dropped == {reason: len(documents) - len(distinct)}
    assert counts.dropped[reason] >= 200


def test_minimum_length_counts_the_reason():
    documents = [Document("  abc  ", "a"), Document("abcd", "b")]
    kept, counts = run(minimum_length(4), documents)
    assert kept == documents[1:]
    assert counts.dropped == {"shorter than 4 characters": 1}
    assert (counts.documents_in, counts.documents_out) == (2, 1)
    assert (counts.bytes_in, counts.bytes_out) == (11, 4)
    with pytest.raises(InputError, match="-1"):
        minimum_length(-1)


@given(st.text("ab \n", max_size=200), st.integers(1, 30))
def test_split_long_only_cuts(text, characters):
    parts, _ = run(split_long(characters), [Document(text, "a")])
    assert "".join(part.text for part in parts) == text
    assert all(len(part.text) <= characters for part in parts)


def test_hold_out_depends_on_the_text_alone():
    documents = numbered(500)
    sides = {d.text: side for side, d in hold_out(documents, 0.1, seed=3)}
    held = [text for text, side in sides.items() if side == "heldout"]
    assert 25 < len(held) < 80
    some = random.Random(1).sample(documents, 100)
    assert all(side == sides[d.text] for side, d in hold_out(some, 0.1, seed=3))
    more = {d.text: side for side, d in hold_out(documents, 0.2, seed=3)}
    assert all(more[text] == "heldout" for text in held)
    other = {d.text: side for side, d in hold_out(documents, 0.1, seed=4)}
    assert other != sides


@pytest.mark.parametrize("fraction, seed", [(1, 0), (-0.1, 0), (0.1, -1)])
def test_hold_out_refuses(fraction, seed):
    with pytest.raises(InputError, match="Received"):
        hold_out([], fraction, seed)


def test_curate_accounts_for_every_document(tmp_path, dirty):
    source = tmp_path / "in" / "dirty.jsonl"
    write_jsonl(source, dirty)
    (tmp_path / "in" / "logo.png").write_bytes(b"\0")
    report = curate(read_documents(tmp_path / "in"), tmp_path / "out")
    assert report.steps[0].dropped == {"unknown file type .png": 1}
    for counts in report.steps[1:]:
        assert counts.documents_in == counts.documents_out + sum(
            counts.dropped.values()
        )
    out = report.folder
    train, heldout = (
        json_lines(out / "train.jsonl"),
        read_corpus(out, "heldout"),
    )
    assert len(train) == report.train.documents
    assert len(list(heldout)) == report.heldout.documents
    rejects = json_lines(out / "rejects.jsonl")
    assert len(train) + report.heldout.documents + len(rejects) == len(dirty)
    reasons = {(r["step"], r["reason"]) for r in rejects}
    assert reasons == {
        ("minimum_length", "shorter than 200 characters"),
        ("exact_duplicates", "same text as an earlier document"),
    }
    content = json.loads((out / "curate.json").read_text())
    assert content["steps"][2]["settings"] == {"characters": 200}
    assert content["train"]["sha256"] == report.train.sha256
    assert content == report.to_dict()
    size = sum(len(r["text"].encode()) for r in train)
    assert report.train.bytes == size


def test_curate_twice_gives_the_same_bytes(tmp_path):
    for name in ("one", "two", "two"):
        curate(numbered(50), tmp_path / name)
    first, second = sorted(tmp_path.iterdir())
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()


def test_custom_steps_and_no_rejects(tmp_path):
    def odd(documents, counts):
        for document in documents:
            if int(document.source.split(".")[0]) % 2:
                yield document
            else:
                counts.drop(document, "even")

    step = Step("odd", odd)
    report = curate(numbered(20), tmp_path, 0.3, steps=[step], rejects=False)
    assert report.steps[0].dropped == {"even": 10}
    assert not (tmp_path / "rejects.jsonl").exists()


def test_small_corpus_holds_out_one_document(tmp_path):
    report = curate(numbered(2), tmp_path / "small", heldout=0.001)
    assert (report.train.documents, report.heldout.documents) == (1, 1)
    assert report.settings["forced"]
    report = curate(numbered(3), tmp_path / "large", heldout=0.999)
    assert (report.train.documents, report.heldout.documents) == (1, 2)


def test_forced_hold_out_never_splits_duplicates(tmp_path):
    documents = numbered(2) * 3
    report = curate(documents, tmp_path / "a", heldout=0.001, steps=[])
    assert (report.train.documents, report.heldout.documents) == (3, 3)
    with pytest.raises(InputError, match="two different documents"):
        curate(numbered(1) * 3, tmp_path / "b", heldout=0.001, steps=[])


def test_one_document(tmp_path):
    with pytest.raises(InputError, match="split_long, or pass heldout=0"):
        curate(numbered(1), tmp_path / "a")
    report = curate(numbered(1), tmp_path / "b", heldout=0)
    assert report.heldout is None
    assert not (tmp_path / "b" / "heldout.jsonl").exists()


def test_nothing_left_says_which_step_dropped(tmp_path):
    with pytest.raises(InputError, match="3 shorter than 1000 characters"):
        curate(numbered(3), tmp_path / "a", steps=[minimum_length(1000)])
    with pytest.raises(InputError, match="no document came in"):
        curate([], tmp_path / "a", steps=[])
    assert not list(tmp_path.iterdir())


def test_failure_leaves_the_previous_corpus(tmp_path):
    curate(numbered(10), tmp_path / "out")
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}

    def failing():
        yield from numbered(5)
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        curate(failing(), tmp_path / "out")
    after = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    assert before == after
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_foreign_folders_are_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="other files"):
        curate(numbered(10), tmp_path)
    (tmp_path / "curate.json").write_text('{"format": "something else"}')
    with pytest.raises(InputError, match="other files"):
        curate(numbered(10), tmp_path)
    with pytest.raises(InputError, match="the file"):
        curate(numbered(10), tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_read_corpus_needs_a_corpus(tmp_path):
    with pytest.raises(InputError, match="Run curate first"):
        read_corpus(tmp_path)


def test_names_and_fields_that_are_no_utf8_can_be_written(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    try:  # not every file system takes such a name
        (source / os.fsdecode(b"caf\xe9.txt")).write_text("Long text. " * 30)
    except OSError:
        pytest.skip("this file system wants names in UTF-8")
    line = '{"text": "%s", "title": "\\ud800"}' % ("Another text. " * 30)
    (source / "b.jsonl").write_text(line)
    curate(read_documents(source), tmp_path / "out", heldout=0)
    found = list(read_corpus(tmp_path / "out"))
    assert found[0].metadata == {"title": "\ufffd"}
    assert found[1].source.endswith("caf\ufffd.txt")


def test_rejects_can_be_read_again(tmp_path):
    documents = [*numbered(5), Document("short", "s.txt", license="MIT")]
    curate(documents, tmp_path / "out", heldout=0.5)
    (reject,) = read_documents(tmp_path / "out" / "rejects.jsonl")
    assert (reject.text, reject.license) == ("short", "MIT")
    assert reject.metadata["reason"] == "shorter than 200 characters"


def test_gzip_of_the_labelled_set_is_what_we_read(shared_data, dirty):
    path = shared_data / "dirty" / "dirty_sample.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        assert [json.loads(line)["text"] for line in file] == [
            document.text for document in dirty
        ]


def test_a_corpus_without_heldout_says_what_to_change(tmp_path):
    texts = [Document("many words " * 30 + str(n), f"{n}") for n in range(3)]
    curate(texts, tmp_path / "corpus", heldout=0)
    with pytest.raises(InputError, match="held-out share above 0"):
        next(iter(read_corpus(tmp_path / "corpus", "heldout")))
    with pytest.raises(InputError, match="Run curate first[.]$"):
        next(iter(read_corpus(tmp_path, "train")))
