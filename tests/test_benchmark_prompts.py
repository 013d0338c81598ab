"""The library's tasks ask word for word what the harness's tasks ask."""

import json

import pytest
from harness_tasks import (
    PATHS,
    needs_harness,
    our_requests,
    peer_requests,
)

from keras_llm.evaluate.harness import load_task
from keras_llm.evaluate.harness.documents import documents
from keras_llm.evaluate.harness.fewshot import Sampler
from keras_llm.evaluate.harness.items import build_items
from keras_llm.evaluate.harness.prepare import prepared

LETTERS = ["A", "B", "C", "D"]


def lettered(*texts: str) -> dict:
    return {"text": list(texts), "label": LETTERS[: len(texts)]}


# The hub's columns. The first document of arc_easy, copa, hellaswag and
# winogrande is the first of the benchmark itself; the others are ours.
DOCS = {
    "arc_easy": [
        {
            "question": "Which statement best explains why photosynthesis is "
            "the foundation of most food webs?",
            "choices": lettered(
                "Sunlight is the source of energy for nearly all ecosystems.",
                "Most ecosystems are found on land instead of in water.",
                "Carbon dioxide is more available than other gases.",
                "The producers in all ecosystems are plants.",
            ),
            "answerKey": "A",
        },
        {
            "question": "Which of these glows?",
            "choices": {"text": ["a lamp", "a sock"], "label": ["1", "2"]},
            "answerKey": "1",
        },
    ],
    "copa": [
        {
            "premise": "The man turned on the faucet.",
            "choice1": "The toilet filled with water.",
            "choice2": "Water flowed from the spout.",
            "question": "effect",
            "label": 1,
        },
        {
            "premise": "The lamp went out. ",
            "choice1": "I broke it.",
            "choice2": "It was day.",
            "question": "cause",
            "label": 0,
        },
    ],
    "hellaswag": [
        {
            "activity_label": "Roof shingle removal",
            "ctx_a": "A man is sitting on a roof.",
            "ctx_b": "he",
            "endings": [
                "is using wrap to wrap a pair of skis.",
                "is ripping level tiles off.",
                "is holding a rubik's cube.",
                "starts pulling up roofing on a roof.",
            ],
            "label": "3",
        },
        {
            "activity_label": "Finance and Business",
            "ctx_a": "[header] How to sell a lamp [title] Clean it. [step] Rub",
            "ctx_b": "it  WELL",
            "endings": [" dry. [substeps] Wait.", "[x] b  c", "d", "e"],
            "label": "0",
        },
    ],
    "winogrande": [
        {
            "sentence": "Sarah was a much better surgeon than Maria so _ "
            "always got the easier cases.",
            "option1": "Sarah",
            "option2": "Maria",
            "answer": "2",
        },
        {
            "sentence": "The lamp is on the table because the _is flat.",
            "option1": "lamp",
            "option2": "table",
            "answer": "1",
        },
    ],
    "piqa": [
        {
            "goal": "Dry a cup",
            "sol1": "Wipe it.",
            "sol2": "Fill it.",
            "label": 0,
        },
        {"goal": "a lamp", "sol1": "can swim", "sol2": "can glow", "label": 1},
    ],
    "boolq": [
        {"passage": "A lamp glows.", "question": "do lamps glow", "label": 1},
        {
            "passage": "Cups are hollow.",
            "question": "are cups full",
            "label": 0,
        },
    ],
    "openbookqa": [
        {
            "question_stem": "A lamp gives",
            "choices": lettered("light", "milk", "wool", "wind"),
            "answerKey": " B",
        },
        {
            "question_stem": "A cup holds",
            "choices": lettered("light", "milk"),
            "answerKey": "B",
        },
    ],
    "lambada_openai": [
        {"text": "She lit the lamp and sat down by the lamp"},
        {"text": "One two, said the cup; three said the  spoon"},
    ],
    "wikitext": [
        {
            "page": "\n = Cup = \n \n A cup 's rim @-@ round , 1 @,@ 000 ; "
            "\" a \" ( b ) . the cups ' rims : it 's [ c ] N \n = = Use = = "
            "\n x ' y ' 3 ° C\n"
        },
        {"page": " = A = \n = = = B = = = \n said . \n"},
    ],
    "gsm8k": [
        {"question": "What is 1 + 1?", "answer": "1 + 1 = 2\n#### 2"},
        {"question": "What is 2 + 2?", "answer": "It is 4.\n#### 4"},
    ],
    "xquad_en": [
        {
            "context": "A cup.",
            "question": "What?",
            "answers": {"text": ["A cup"], "answer_start": [0]},
        },
    ],
    "xquad_zh": [
        {
            "context": "杯子。",
            "question": "什么?",
            "answers": {"text": ["杯子"], "answer_start": [0]},
        },
    ],
}
DOCS["truthfulqa_mc1"] = DOCS["truthfulqa_mc2"] = [
    {
        "question": "Do lamps swim?",
        "mc1_targets": {"choices": ["No", "Yes"], "labels": [1, 0]},
        "mc2_targets": {
            "choices": ["No", "They sink", "Yes"],
            "labels": [1, 1, 0],
        },
    }
]  # fmt: skip


def theirs(name: str, docs: list[dict], shots: int = 0) -> list[tuple]:
    return [
        (one[0], one[1]["until"]) if isinstance(one[-1], dict) else one
        for one in peer_requests(name, docs, shots)
    ]


@needs_harness
@pytest.mark.parametrize("name", PATHS)
def test_the_questions_are_the_harness_s(name):
    ours = our_requests(name, DOCS[name])
    assert len(ours) >= len(DOCS[name])
    assert ours == theirs(name, DOCS[name])


SOLVED = ("arc_easy", "copa", "gsm8k", "hellaswag", "piqa", "winogrande")


@needs_harness
@pytest.mark.parametrize("name", SOLVED)
def test_solved_examples_are_the_harness_s(name):
    assert our_requests(name, DOCS[name], 1) == theirs(name, DOCS[name], 1)


@needs_harness
@pytest.mark.parametrize(
    "name", ["arc_easy", "copa", "hellaswag", "winogrande"]
)
def test_other_files_of_a_benchmark_ask_the_same(name, shared_data):
    """The shared files have other columns than the hub."""
    task = load_task(name)
    first = documents(task, task.eval_split, shared_data)[:1]
    assert not set(first[0]) & set(DOCS[name][0]) - {"choices"}
    assert our_requests(name, first) == theirs(name, DOCS[name][:1])


@needs_harness
def test_wikitext_is_cleaned_as_by_the_harness(shared_data):
    from lm_eval.tasks.wikitext.preprocess_wikitext import (
        wikitext_detokenizer,
    )

    task = load_task("wikitext")
    pages = documents(task, "validation", shared_data)
    made = prepared(pages, task.process_docs, "wikitext")
    assert len(pages) == 60
    assert [doc["text"] for doc in made] == [
        wikitext_detokenizer(page) for page in pages
    ]


ANSWERS = {
    "arc_easy": [0],
    "boolq": [1],
    "copa": [1],
    "hellaswag": [3],
    "openbookqa": [1],
    "piqa": [0],
    "truthfulqa_mc1": [0],
    "truthfulqa_mc2": [0, 1],
    "winogrande": [1],
    "xquad_en": ["A cup"],
    "gsm8k": ["1 + 1 = 2\n#### 2"],
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_right_answers(name):
    task = load_task(name)
    made = prepared(DOCS[name], task.process_docs, name)
    items = build_items(task, [(0, made[0])], Sampler([], 0, False, 0, name))
    assert items[0].golds == ANSWERS[name]


ALIKE = {
    "openbookqa": {
        "query": "A lamp gives",
        "choices": ["light", "milk", "wool", "wind"],
        "gold": 1,
    },
    "piqa": {
        "query": "Question: Dry a cup\n",
        "choices": ["Wipe it.", "Fill it."],
        "gold": 0,
    },
    "boolq": {
        "query": "Passage: A lamp glows.\nQuestion: do lamps glow?",
        "choices": ["no", "yes"],
        "gold": 1,
    },
    "lambada_openai": {
        "context": "She lit the lamp and sat down by the",
        "continuation": " lamp",
    },
}


@pytest.mark.parametrize("name", ALIKE)
def test_the_layout_of_llm_foundry_asks_the_same(name):
    """Its columns: https://github.com/mosaicml/llm-foundry, scripts/eval."""
    assert our_requests(name, [ALIKE[name]]) == our_requests(
        name, DOCS[name][:1]
    )


def test_the_authors_own_files_of_arc_ask_the_same():
    doc = DOCS["arc_easy"][1]
    texts, labels = doc["choices"]["text"], doc["choices"]["label"]
    own = {
        "question": {
            "stem": doc["question"],
            "choices": [
                {"text": text, "label": label}
                for text, label in zip(texts, labels, strict=True)
            ],
        },
        "answerKey": doc["answerKey"],
    }
    assert our_requests("arc_easy", [own]) == our_requests("arc_easy", [doc])


def test_the_prompt_of_humaneval_is_the_published_one(shared_data):
    """As human_eval/evaluation.py's users prompt: the column alone."""
    path = shared_data / "humaneval" / "HumanEval.jsonl"
    doc = json.loads(path.read_text(encoding="utf-8").partition("\n")[0])
    ((context, until),) = our_requests("humaneval", [doc])
    assert context == doc["prompt"]
    assert until == ["\nclass", "\ndef", "\n#", "\nif", "\nprint"]


def test_the_prompt_of_squad():
    """The harness's for SQuAD 2.0, lm_eval/tasks/squadv2/task.py."""
    doc = {
        "title": "Cup",
        "context": "A cup.",
        "question": "What?",
        "answers": {"text": ["A cup", "cup"]},
    }
    task = load_task("squad")
    items = build_items(task, [(0, doc)], Sampler([], 0, False, 0, "squad"))
    assert items[0].requests[0].context == (
        "Title: Cup\n\nBackground: A cup.\n\nQuestion: What?\n\nAnswer:"
    )
    assert items[0].golds == ["A cup", "cup"]


def test_all_translations_are_of_one_kind():
    """The prompt of the harness's WMT tasks, and languages that fit."""
    from keras_llm.evaluate.harness import select_tasks

    tasks = select_tasks(["translation"]).tasks
    assert len(tasks) == 30
    for name, task in tasks.items():
        _, source, target = name.split("_")
        doc = {"translation": {source: "A", target: "B"}}
        items = build_items(task, [(0, doc)], Sampler([], 0, False, 0, name))
        assert "phrase: A\n" in items[0].requests[0].context
        assert items[0].requests[0].context.endswith(" phrase:")
        assert items[0].golds == ["B"]
        foreign = source if target == "eng" else target
        assert f"tatoeba.{foreign}-eng." in str(task.metadata)
