"""The folder of a description: report, datasheet, Croissant, and the verb."""

import json
import os
from pathlib import Path

import pytest
import yaml
from commands import check_verb
from markdown_it import MarkdownIt
from test_cli_corpus import done, next_commands, run

from keras_llm import data
from keras_llm.data import Document
from keras_llm.errors import InputError
from keras_llm.evaluate import (
    Finding,
    answers_template,
    load_answers,
    read_funnel,
    write_description,
)
from keras_llm.evaluate.corpus import written as writing
from keras_llm.evaluate.corpus.questions import KEYS, QUESTIONS

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
LONG = "The roses of the garden grow well in the sun, she said to him. "


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A curated corpus with drops, licences, and a hostile source."""
    folder = tmp_path_factory.mktemp("describe")
    documents = [
        Document(
            f"{LONG * 4} Part {n}. Write to rose{n}@example.org.",
            f"<script>notes|{n % 2}</script>.jsonl:{n}",
            license="MIT" if n % 3 else None,
            language="en",
            metadata={"date": f"20{10 + n}-01-01"},
        )
        for n in range(12)
    ]
    documents += [documents[0], Document("short", "a.txt")]
    steps = [*data.default_steps(), data.privacy()]
    data.curate(documents, folder / "corpus", 0.3, steps=steps)
    return folder / "corpus"


@pytest.fixture(scope="module")
def written(corpus):
    return write_description(corpus, corpus.parent / "out", identify=False)


def test_the_funnel_is_what_curate_counted(corpus, written):
    funnel = read_funnel(corpus)
    assert isinstance(funnel, Finding)
    counted = json.loads((corpus / "curate.json").read_text())
    assert funnel.steps == counted["steps"]
    drops = {row["reason"]: row for row in funnel.drops()}
    short = drops["shorter than 200 characters"]
    assert (short["documents"], short["share"]) == (1, 1 / 14)
    assert drops["same text as an earlier document"]["share"] == 1 / 13
    kept = funnel.measures()["curation/documents_kept"].value
    assert kept == pytest.approx(12 / 14)
    assert funnel.found("privacy") == {"email": 12}
    labels = funnel.blocks()[0].figure.axes[0].get_yticklabels()
    assert [one.get_text() for one in labels] == [
        *("repair", "minimum_length", "exact_duplicates", "privacy")
    ]
    sides = counted["train"]["documents"], counted["heldout"]["documents"]
    assert sum(sides) == 12 and written.description.documents == sides[0]


def test_reading_counts_files_in_the_funnel(tmp_path):
    (tmp_path / "a.txt").write_text("Rose. " * 50)
    (tmp_path / "b.txt").write_text("Thorn. " * 50)
    (tmp_path / "c.png").write_bytes(b"...")
    data.curate(data.read_documents(tmp_path), tmp_path / "corpus", 0.0)
    funnel = read_funnel(tmp_path / "corpus")
    (drop,) = funnel.drops()
    assert (drop["step"], drop["share"]) == ("read", pytest.approx(1 / 3))
    assert funnel.measures()["curation/documents_kept"].value == 1


def test_a_folder_that_curate_did_not_write(tmp_path):
    with pytest.raises(InputError, match="folder written by curate"):
        read_funnel(tmp_path)
    (tmp_path / "curate.json").write_text('{"format": "other"}')
    with pytest.raises(InputError, match="Run curate first"):
        read_funnel(tmp_path)


def test_the_datasheet_has_every_section_and_question(written):
    page = written.datasheet.read_text()
    heads = [one[3:] for one in page.splitlines() if one.startswith("## ")]
    assert heads == [
        *("Motivation", "Composition", "Collection process"),
        *("Preprocessing and cleaning", "Uses", "Distribution", "Maintenance"),
    ]
    assert len(KEYS) == len(set(KEYS)) == sum(map(len, QUESTIONS.values()))
    for asked in QUESTIONS.values():
        assert all(page.count(question) == 1 for question in asked.values())
    still_open = [
        line for line in page.splitlines() if "To be answered by you:" in line
    ]
    assert len(still_open) == len(written.open_questions)
    keys = [line.rpartition("(`")[2].rstrip("`)") for line in still_open]
    assert keys == written.open_questions
    assert not {"size", "steps", "hashes", "splits"} & set(keys)


def test_the_datasheet_tells_what_is_known(corpus, written):
    page = written.datasheet.read_text()
    html = MarkdownIt("commonmark").enable("table").render(page)
    assert "<script" not in html and "&lt;script&gt;notes|0" in html
    counted = json.loads((corpus / "curate.json").read_text())
    assert counted["train"]["sha256"] in html
    assert counted["heldout"]["sha256"] in html
    assert f"{counted['train']['documents']} documents" in html
    assert "<td>email</td>" in html and "seed 0" in html
    assert "has a date, from 20" in html
    assert "no benchmark was compared" in html
    assert "of the text has no stated licence" in html


def test_answers_are_merged_and_survive(corpus, written, monkeypatch):
    assert yaml.safe_load(answers_template("corpus")) == yaml.safe_load(
        written.answers.read_text()
    )
    text = written.answers.read_text()
    text = text.replace("  funding:", "  funding: |\n    Nobody,\n    **yet**.")
    text = text.replace("  timeframe:", "  timeframe: In spring.")
    text = text.replace("  published:", "  published: 2026-05-31")
    text = text.replace("name: corpus", "name: Roses")
    written.answers.write_text(text)

    def refuse(*_, **__):
        raise AssertionError("It was counted again.")

    monkeypatch.setattr(writing, "describe_corpus", refuse)
    monkeypatch.setattr(writing, "corpus_bias", refuse)
    again = write_description(corpus, written.folder, identify=False)
    assert again.description == written.description
    assert written.answers.read_text() == text
    page = again.datasheet.read_text()
    assert page.startswith("# Datasheet: Roses\n")
    assert "Nobody,\n**yet**." in page and "In spring." in page
    assert set(written.open_questions) - set(again.open_questions) == {
        *("funding", "timeframe")
    }
    facts = json.loads((written.folder / "croissant.json").read_text())
    assert (facts["name"], facts["datePublished"]) == ("Roses", "2026-05-31")
    with pytest.raises(AssertionError, match="again"):
        write_description(corpus, written.folder, identify=False, seed=1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("answers: {fundings: a}", "Received: fundings. Did you mean funding?"),
        ("dataset: {nam: a}", "Did you mean name?"),
        ("purpose: a", "Received: purpose."),
        ("answers: [a]", "Expected answers by key"),
    ],
)
def test_wrong_answers_are_told(tmp_path, text, said):
    (tmp_path / "answers.yaml").write_text(text)
    with pytest.raises(InputError) as error:
        load_answers(tmp_path / "answers.yaml")
    assert said in str(error.value)
    with pytest.raises(InputError, match="which is none"):
        load_answers(tmp_path / "no.yaml")


def test_croissant_leads_to_the_files(corpus, written):
    path = written.folder / "croissant.json"
    facts = json.loads(path.read_text())
    assert facts["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert facts["@type"] == "sc:Dataset" and facts["inLanguage"] == ["en"]
    counted = json.loads((corpus / "curate.json").read_text())
    files = {one["@id"]: one for one in facts["distribution"]}
    for side, records in zip(
        ("train", "heldout"), facts["recordSet"], strict=True
    ):
        file = files[f"{side}.jsonl"]
        assert file["sha256"] == counted[side]["sha256"]
        target = (path.parent / file["contentUrl"]).resolve()
        line = json.loads(target.read_text().splitlines()[0])
        for field in records["field"]:
            source = field["source"]
            assert source["fileObject"]["@id"] == f"{side}.jsonl"
            assert isinstance(line.get(source["extract"]["column"], ""), str)
        columns = [
            one["source"]["extract"]["column"] for one in records["field"]
        ]
        assert columns == ["text", "source", "license"]
    # Every short name in the file is one that its context explains.
    context = facts["@context"]
    assert {"recordSet", "field", "extract", "column"} <= set(context)
    assert all(
        context[name] == f"cr:{name}" for name in ("recordSet", "citeAs")
    )


def test_other_files_are_described_and_not_replaced(tmp_path):
    (tmp_path / "a.txt").write_text(LONG * 9)
    answer = run(
        "describe",
        tmp_path / "a.txt",
        "--output",
        tmp_path / "out",
        "--no-mentions",
        "--no-identify",
    )
    assert answer.exit_code == 0, answer.output
    assert not (tmp_path / "out" / "croissant.json").exists()
    assert next_commands(answer.stdout.partition("Warning")[0]) == [
        ["curate", str(tmp_path / "a.txt")]
    ]
    (tmp_path / "out" / "mine.txt").write_text("mine")
    answer = run("describe", tmp_path / "a.txt", "--output", tmp_path / "out")
    assert answer.exit_code == 2 and "mine.txt" in answer.stderr
    answer = run("describe", tmp_path / "no.txt", "--output", tmp_path / "b")
    assert answer.exit_code == 2 and "no.txt, which is not" in answer.stderr
    answer = run("describe", tmp_path / "a.txt", "--sample-megabytes", 0)
    assert answer.exit_code == 2 and "1 or more" in answer.stderr


def test_a_corpus_that_was_changed_is_refused(tmp_path):
    documents = [Document(f"{LONG * 4} {n}", str(n)) for n in range(3)]
    data.curate(documents, tmp_path / "corpus", 0)
    with open(tmp_path / "corpus/train.jsonl", "a", encoding="utf-8") as file:
        file.write('{"text": "more", "source": "a"}\n')
    with pytest.raises(InputError, match="so it was changed since"):
        write_description(tmp_path / "corpus", tmp_path / "out")


def test_the_report_names_sources_without_their_folder(tmp_path):
    for name in ("one.txt", "two.txt"):
        (tmp_path / name).write_text(LONG * 9)
    steps = [data.split_long(200)]
    documents = data.read_documents(tmp_path)
    data.curate(documents, tmp_path / "corpus", 0, steps=steps)
    done = write_description(
        tmp_path / "corpus", tmp_path / "out", identify=False
    )
    page = done.html.read_text(encoding="utf-8")
    body = page.partition('id="how-this-was-made"')[0]
    assert str(tmp_path) not in body and ".txt#" not in body
    found = json.loads((done.folder / "report/results.json").read_text())
    spoken = found["findings"][2]
    assert spoken["title"] == "Whom the corpus speaks of"
    assert {row["source"] for row in spoken["sources"]} == {
        *("one.txt", "two.txt")
    }


def test_the_verb_counts_tokens_and_warns(corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done("tokenize", str(corpus), "--vocabulary-size", "280")
    shown = done(
        "describe",
        str(corpus),
        "--tokenizer",
        "runs/tokenizer",
        "--no-mentions",
        "--no-identify",
    )
    assert "tokens" in shown and "Warning: " in shown
    assert "no stated licence" in shown
    (following,) = next_commands(shown.partition("Warning")[0])
    assert following[0] == "pack"
    check_verb(following)
    results = json.loads(
        Path("runs/description/report/results.json").read_text()
    )
    value = results["measures"]["description/bytes_per_token"]["value"]
    assert 1 < value < 20


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_its_window(written, width):
    playwright = pytest.importorskip("playwright.sync_api")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    asked = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(
            viewport={"width": width, "height": 900}, is_mobile=width == 390
        )
        page.on("request", lambda request: asked.append(request.url))
        page.goto(written.html.resolve().as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == width
        titles = page.locator("h2").all_text_contents()
        assert "What the corpus is made of" in titles
        assert {"What curation did", "Whom the corpus speaks of"} < set(titles)
        sizes = page.locator("img").evaluate_all(
            "all => all.map(one => one.naturalWidth)"
        )
        assert len(sizes) >= 6 and all(sizes)
        assert page.locator("script").count() == 0
        browser.close()
    assert [one for one in asked if not one.startswith("data:")] == [
        written.html.resolve().as_uri()
    ]
