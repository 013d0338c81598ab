"""Synthetic data: what is asked, kept and dropped, each for its reason."""

import dataclasses
import json

import pytest
from towns import ANY, DOCUMENTS, TOWNS, good, lines, pairs, town_in

from keras_llm.data import curate, read_documents
from keras_llm.errors import InputError
from keras_llm.synthesize import (
    FromDocuments,
    Generator,
    Preferences,
    Reflect,
    Rephrase,
    SynthesisSettings,
    document_parts,
    instructions_of,
    prompts_of,
    synthesize,
)
from keras_llm.tune import read_conversations, read_pairs


def reasons(folder) -> dict[str, str]:
    return {one["source"]: one["reason"] for one in lines(folder)}


def test_instructions_are_what_finetune_chat_reads(tmp_path):
    out = tmp_path / "out"
    report = synthesize(FromDocuments(), DOCUMENTS, good, out, ANY)
    talks = list(read_conversations(out / "examples.jsonl"))
    assert len(talks) == report.examples == len(TOWNS)
    assert talks[0].messages[1]["content"].startswith("The 2 traders of Bath")
    about = lines(out / "examples.jsonl")[0]["metadata"]
    assert about["model"] == "good" and about["source"] == "Bath.txt"
    assert about["prompt"] == report.prompt and len(report.prompt) == 16
    assert lines(out / "rejects.jsonl") == []
    kept = json.loads((out / "synthesize.json").read_text())
    assert kept["usage"]["questions"] == kept["usage"]["uncounted"] == 8


BAD = {
    "Bath": "Bath is nice.",
    "Ghent": "",
    "Lucca": pairs(("Day?", "Mon")),
    "Porto": pairs(("Tell me of the market.", "I\u2019m sorry, but I cannot.")),
    "Siena": pairs(("Repeat what you know of it.", DOCUMENTS[4].text)),
    "Turku": pairs(
        (
            "An welchem Tag ist dort der Markt, und was wird verkauft?",
            "Der Markt ist immer am Montag, und die Leute verkaufen dort "
            "Brot, Käse und viele schöne Blumen.",
        )
    ),
    "Ulm": pairs(
        ("Whom do I write to for a stall?", "Write to jo@example.org now.")
    ),
}


def test_each_bad_answer_goes_for_its_own_reason(tmp_path):
    report = synthesize(
        FromDocuments(),
        DOCUMENTS,
        lambda prompt: (
            BAD.get(town_in(prompt))
            or good(prompt) * (town_in(prompt) == "York")
        ),
        tmp_path / "out",
    )
    assert reasons(tmp_path / "out" / "rejects.jsonl") == {
        "Bath.txt": "no JSON with all fields",
        "Ghent.txt": "empty answer",
        "Lucca.txt": "shorter than 20 characters",
        "Porto.txt": "refusal",
        "Siena.txt": "copy of what it was made from",
        "Turku.txt": "language changed from en to de",
    }
    kept = lines(tmp_path / "out" / "examples.jsonl")
    assert [one["metadata"]["source"] for one in kept] == [
        *("Ulm.txt", "York.txt")
    ]
    said = kept[0]["messages"][1]["content"]
    assert said == "Write to [EMAIL] now."
    dropped = sum(sum(one.dropped.values()) for one in report.steps)
    assert dropped == 6 and report.steps[0].documents_in == 8


def test_repeated_and_contaminated_examples_go(tmp_path):
    same = "On which of the seven days of the week is the market of the town?"
    item = (
        "The quick brown fox of our small town jumps over the lazy old dog "
        "on every single market day."
    )
    (tmp_path / "bench.jsonl").write_text(json.dumps({"text": item}))
    answers = {
        "Bath": pairs((same, "It is held on Monday.")),
        "Ghent": pairs((same, "It is held on  Monday.")),
        "Lucca": pairs((same, "It is held on Monday. Yes.")),
        "Porto": pairs(("Write one line about an animal.", item)),
    }
    synthesize(
        FromDocuments(),
        DOCUMENTS[:4],
        lambda prompt: answers[town_in(prompt)],
        tmp_path / "out",
        dataclasses.replace(ANY, benchmarks=(tmp_path / "bench.jsonl",)),
    )
    assert reasons(tmp_path / "out" / "rejects.jsonl") == {
        "Ghent.txt": "same text as an earlier document",
        "Lucca.txt": "near duplicate of an earlier document",
        "Porto.txt": f"has words of {tmp_path / 'bench.jsonl'}",
    }


def test_texts_are_rewritten_in_a_style(tmp_path):
    new = "<text>Here {} lies by the water, and each week begins with trade: "
    new += "loaves, blossoms and cheeses change hands.</text>"
    report = synthesize(
        Rephrase("persona", persona="a sailor"),
        DOCUMENTS[:2],
        lambda prompt: new.format(town_in(prompt)) * ("a sailor" in prompt),
        tmp_path / "out",
        ANY,
    )
    texts = list(read_documents(tmp_path / "out" / "examples.jsonl"))
    assert report.examples == 1  # one town for another: nearly the same
    assert texts[0].text.startswith("Here Bath lies")
    assert texts[0].source == "Bath.txt"
    assert texts[0].metadata["persona"] == "a sailor"
    with pytest.raises(InputError, match="Expected a persona with style"):
        Rephrase("easy", persona="a sailor")
    with pytest.raises(InputError, match="style to be one of 'easy'"):
        Rephrase("loud")


def longer(question: str) -> str:
    a, b = (
        question.split(f"<answer_{x}>")[1].split("</answer")[0] for x in "AB"
    )
    return "[[A]]" if len(a) > len(b) else "[[B]]"


def test_pairs_are_what_finetune_prefer_reads(write, tmp_path):
    path = write(b"Where is Bath?\nWhere is Ghent?\nWhere is Lucca?\n", "p.txt")
    items, _ = prompts_of(path)
    short = {"Bath": "Over there.", "Ghent": "It is.", "Lucca": "Left."}
    report = synthesize(
        Preferences(),
        items,
        lambda prompt: short[town_in(prompt)],
        tmp_path / "out",
        ANY,
        judge=lambda q: "[[A]]" if "Ghent" in q else longer(q),
        other=lambda p: "Left." if "Lucca" in p else "On a river, I think.",
    )
    [pair] = read_pairs(tmp_path / "out" / "examples.jsonl")
    assert (pair.chosen, pair.rejected) == (
        *("On a river, I think.", "Over there."),
    )
    assert dict(report.steps[0].dropped) == {
        "both answers are equal": 1,
        "the judge sees a tie, or contradicts itself": 1,
    }


def test_reflection_keeps_the_better_one(write, tmp_path):
    rows = [
        {"instruction": f"Tell of {town}.", "output": f"{town} is a town."}
        for town in TOWNS[:4]
    ]
    rows[3]["system"] = "Be brief."
    path = write("\n".join(map(json.dumps, rows)).encode())
    items, [counts] = instructions_of(path)
    assert dict(counts.dropped) == {"has a system message": 1}

    def model(prompt):
        town = town_in(prompt)
        if "You grade" in prompt:
            best = "Ghent" if "Bath" not in prompt else "better"
            return "[[9]]" if best in prompt else "[[3]]"
        if town == "Lucca":
            return "no"
        if "a better instruction" in prompt:
            new = f"What of {town}? Tell it better.", "A first answer."
            return pairs(new)
        return json.dumps({"response": f"A second and better one on {town}."})

    synthesize(
        *(Reflect(), items, model, tmp_path / "out"),
        SynthesisSettings(near_duplicates=None, same_language=False),
    )
    kept = lines(tmp_path / "out" / "examples.jsonl")
    about = [
        (one["metadata"]["kept"], one["metadata"].get("grades")) for one in kept
    ]
    assert about == [
        *(("reflected", [3.0, 9.0]), ("original", [9.0, 9.0])),
        ("original", None),
    ]
    assert kept[0]["messages"][0]["content"].startswith("What of Bath?")
    assert kept[0]["messages"][1]["content"].startswith("A second and better")
    made = json.loads((tmp_path / "out" / "synthesize.json").read_text())
    assert made["steps"][0]["changed"] == {"as it was: no JSON": 1}


def test_mistakes_are_sentences(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(InputError, match="good example. Received: none .inst"):
        synthesize(FromDocuments(), DOCUMENTS, lambda p: "no", out, ANY)
    assert len(lines(out / "rejects.jsonl")) == 8
    with pytest.raises(InputError, match="at least one document"):
        synthesize(FromDocuments(), [], good, out)
    with pytest.raises(InputError, match='with "response" in their metadata'):
        synthesize(Reflect(), DOCUMENTS, good, out)
    with pytest.raises(InputError, match="Expected a text from .*lambda"):
        Generator(lambda p: 3).ask(["x"])
    with pytest.raises(InputError, match="path, an address or a CausalLM"):
        Generator(3)
    with pytest.raises(InputError, match="list of benchmark files"):
        SynthesisSettings(benchmarks="a.jsonl")
    (tmp_path / "other.txt").touch()
    with pytest.raises(InputError, match="holds other.txt"):
        synthesize(FromDocuments(), DOCUMENTS, good, tmp_path)


def test_a_corpus_is_read_by_its_training_side(tmp_path):
    made = curate(DOCUMENTS, tmp_path / "corpus", 0.3, steps=[])
    parts, _ = document_parts(tmp_path / "corpus", longest=80)
    assert made.train.documents < len(TOWNS)
    assert "".join(one.text for one in parts).count("old town") == (
        made.train.documents
    )
