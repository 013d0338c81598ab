"""Documents, paragraphs and lines that stand somewhere else already."""

import collections
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from near_documents import documents_of, run, run_in_shards

from keras_llm.data import (
    duplicate_lines,
    duplicate_paragraphs,
    exact_duplicates,
    repeated_lines,
)
from keras_llm.errors import InputError

LETTERS = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6)
TEXTS = st.lists(LETTERS.map("\n".join), max_size=12)


def texts_of(documents):
    return [document.text for document in documents]


def without(texts, most, everywhere):
    """What is left of the lines of texts, by dictionaries alone."""
    owners = collections.defaultdict(set)
    for at, text in enumerate(texts):
        for line in text.split("\n"):
            owners[line].add(at)
    left = []
    for at, text in enumerate(texts):
        kept = [
            line
            for line in text.split("\n")
            if (
                len(owners[line]) <= most
                if everywhere
                else sum(other < at for other in owners[line]) < most
            )
        ]
        left += ["\n".join(kept)] if kept else []
    return left


@given(TEXTS, st.integers(1, 3))
def test_lines_as_dictionaries_say_in_any_shards(texts, most):
    documents = documents_of(texts)
    for step, everywhere in (
        (duplicate_lines(most, shortest=1), False),
        (repeated_lines(most), True),
    ):
        kept, counts = run(step, documents)
        assert texts_of(kept) == without(texts, most, everywhere)
        for number in (1, 3, 7):
            again, same = run_in_shards(step, documents, number)
            assert again == kept
            assert (same.dropped, same.changed) == (
                counts.dropped,
                counts.changed,
            )


@given(TEXTS)
def test_documents_are_compared_in_shards_as_in_a_stream(texts):
    documents = documents_of([*texts, *texts[::2], "e\u0301 x", "é  x "])
    kept, counts = run(exact_duplicates(), documents)
    assert texts_of(kept) == list(dict.fromkeys([*texts, "e\u0301 x"]))
    for number in (1, 3, 7):
        again, same = run_in_shards(exact_duplicates(), documents, number)
        assert again == kept
        assert same.dropped == counts.dropped


def test_paragraphs_go_and_the_rest_stays_as_it_is():
    notice = "Copyright by the Society for the Preservation of Hares.\nAll."
    texts = [
        f"  One.\n\n\n{notice}\n",
        f"Two.\n \n    indented\n\n{notice.replace(' ', '  ')}\n\nEnd.\n",
        f"{notice}\n\n \n",
        "One.\n\n\nThree.",
        notice,
    ]
    kept, counts = run(duplicate_paragraphs(), documents_of(texts))
    assert texts_of(kept) == [
        texts[0],
        "Two.\n\n    indented\n\nEnd.\n",
        texts[3],
    ]
    assert counts.changed == {"without a paragraph of other documents": 1}
    assert counts.dropped == {"only paragraphs of other documents": 2}
    kept, counts = run(duplicate_paragraphs(most=2), documents_of(texts))
    assert texts_of(kept) == [*texts[:2], texts[3]]


def test_a_document_keeps_what_it_repeats_itself():
    refrain = "And the chorus sings it again and again, again and again."
    texts = [f"{refrain}\nOnce\n{refrain}", f"Twice\n{refrain}\n{refrain}"]
    kept, _ = run(duplicate_lines(), documents_of(texts))
    assert texts_of(kept) == [texts[0], "Twice"]


def test_short_lines_and_blank_documents_are_left_alone():
    texts = ["}\n" * 9, "}\n}", "", "\n\n", "    return None" + " " * 40] * 2
    kept, counts = run(duplicate_lines(), documents_of(texts))
    assert texts_of(kept) == texts
    assert not counts.changed and not counts.dropped


def test_menus_of_a_site_go_everywhere():
    chance = random.Random(1)
    bodies = [str(chance.random()) for _ in range(12)]
    texts = [f"Home | News | About\n{body}\nLegal" for body in bodies]
    kept, counts = run(repeated_lines(most=11), documents_of(texts))
    assert texts_of(kept) == bodies
    assert counts.changed == {"without a line of other documents": 12}
    assert run(repeated_lines(most=12), documents_of(texts))[0] == (
        documents_of(texts)
    )


def test_settings():
    for step in (duplicate_paragraphs, duplicate_lines, repeated_lines):
        made = step(most=3, shortest=5)
        assert step(**made.settings).settings == {"most": 3, "shortest": 5}
        with pytest.raises(InputError, match="Received: most=0, shortest=40"):
            step(most=0, shortest=40)
        with pytest.raises(InputError, match="Received: most=1, shortest=0"):
            step(most=1, shortest=0)


def test_a_book_with_repeated_pages(shared_data):
    (path,) = (shared_data / "gutenberg").glob("Moby*")
    pages = path.read_text(encoding="utf-8").split("\n\n\n")[:600]
    pages = [page for page in pages if page.strip()]
    twice = [*pages, *reversed(pages)]
    kept, counts = run(duplicate_paragraphs(shortest=1), documents_of(twice))
    alone, _ = run(duplicate_paragraphs(shortest=1), documents_of(pages))
    assert kept == alone
    assert sum(counts.dropped.values()) >= len(pages) > 150
