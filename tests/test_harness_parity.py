"""The same task files, documents and model give what the harness finds."""

import pytest
from harness_peer import HashSubject, harness, write_task

from keras_llm.evaluate import evaluate_tasks

WORDS = "grey cat mat sun Zürich 東京 rose thorn naïve the a of".split()
SETTINGS = {"do_sample": False, "until": ["\n\n"]}


def text(number: int, length: int) -> str:
    chosen = [WORDS[(number * 7 + n * n) % len(WORDS)] for n in range(length)]
    return " ".join(chosen)


def choice_rows(count: int, choices: int = 2) -> list[dict]:
    return [
        {
            "q": text(n, 5),
            "options": [text(n + c, c + 2) for c in range(choices)],
            "gold": n * 5 % 7 % choices,
            "golds": [n % choices, (n + 1) % choices],
        }
        for n in range(count)
    ]


ROWS = {"train": choice_rows(9), "test": choice_rows(23)}
CHOICE = {
    "output_type": "multiple_choice",
    "doc_to_text": "Q: {{q}}\nA:",
    "doc_to_target": "gold",
    "doc_to_choice": "options",
}
CONTEXTS = [
    {
        "contexts": [text(n, 4), text(n + 1, 6)],
        "rest": text(n + 2, 3),
        "gold": str(n % 3 % 2),
    }
    for n in range(20)
]
SUMS = [{"a": n, "b": 2 * n, "answer": f"#### {n * 3}."} for n in range(20)]


def metrics(*names: str, **options) -> list[dict]:
    return [{"metric": name, **options} for name in names]


CASES = {
    "choice": {
        **CHOICE,
        "num_fewshot": 2,
        "fewshot_split": "train",
        "description": "{{q.split(' ')[0]}}: choose.\n\n",
        "metric_list": metrics(
            "acc",
            "acc_norm",
            "acc_bytes",
            "acc_mutual_info",
            "brier_score",
            "f1",
            "mcc",
        ),
    },
    "choice_usual": {**CHOICE, "doc_to_target": "{{gold}}"},
    "choice_exact": {**CHOICE, "metric_list": metrics("exact_match")},
    "choice_several_right": {
        **CHOICE,
        "doc_to_target": "golds",
        "metric_list": metrics("acc", "acc_norm", "exact_match"),
    },
    "choice_by_text": {
        **CHOICE,
        "doc_to_target": "{{options[gold]}}",
        "doc_to_choice": "{{options}}",
        "target_delimiter": "",
        "metric_list": metrics("acc"),
    },
    "choice_same_split": {
        **CHOICE,
        "rows": {"test": ROWS["test"]},
        "fewshot_split": "test",
        "num_fewshot": 3,
    },
    "choice_no_split": {**CHOICE, "num_fewshot": 1},
    "choice_first_n": {
        **CHOICE,
        "num_fewshot": 2,
        "fewshot_split": "train",
        "fewshot_delimiter": "\n---\n",
        "fewshot_config": {
            "sampler": "first_n",
            "doc_to_text": "Example: {{q}}",
        },
    },
    "choice_prefix": {
        **CHOICE,
        "gen_prefix": "Sure,",
        "num_fewshot": 1,
        "fewshot_split": "train",
    },
    "contexts": {
        **CHOICE,
        "rows": {"train": CONTEXTS[:9], "test": CONTEXTS},
        "doc_to_text": "{{gold}}",
        "doc_to_target": "rest",
        "doc_to_choice": "contexts",
        "num_fewshot": 2,
        "metric_list": metrics("acc"),
    },
    "lambada": {
        "output_type": "loglikelihood",
        "rows": {"test": [{"text": text(n, 9)} for n in range(30)]},
        "doc_to_text": "{{text.split(' ')[:-1]|join(' ')}}",
        "doc_to_target": "{{' '+text.split(' ')[-1]}}",
        "fewshot_split": "test",
        "num_fewshot": 1,
    },
    "read": {
        "output_type": "loglikelihood_rolling",
        "rows": {"test": [{"page": f"{text(n, 20)}\n.\n"} for n in range(12)]},
        "doc_to_text": "",
        "doc_to_target": "{{page|regex_replace('mat', 'rug')}}",
    },
    "sums": {
        "output_type": "generate_until",
        "rows": {"train": SUMS[:9], "test": SUMS},
        "doc_to_text": "Question: {{a}}+{{b}}\nAnswer:",
        "doc_to_target": "{{answer}}",
        "num_fewshot": 5,
        "generation_kwargs": SETTINGS,
        "metric_list": metrics(
            "exact_match",
            regexes_to_ignore=[",", "(?s).*#### ", "\\.$"],
            ignore_case=True,
        ),
        "filter_list": [
            {
                "name": "strict",
                "filter": [
                    {
                        "function": "regex",
                        "regex_pattern": "#### (\\-?[0-9\\.\\,]+)",
                    },
                    {"function": "take_first"},
                ],
            },
            {
                "name": "loose",
                "filter": [
                    {"function": "remove_whitespace"},
                    {
                        "function": "regex",
                        "group_select": -1,
                        "regex_pattern": "(-?[$0-9.,]{2,})|(-?[0-9]+)",
                    },
                    {"function": "take_first"},
                ],
            },
        ],
    },
    "sums_prefix": {
        "output_type": "generate_until",
        "rows": {"train": SUMS[:9], "test": SUMS},
        "doc_to_text": "{{a}}+{{b}}",
        "doc_to_target": " 12",
        "gen_prefix": "It is",
        "num_fewshot": 2,
        "generation_kwargs": SETTINGS,
        "metric_list": metrics("exact_match", ignore_punctuation=True),
    },
    "vote": {
        "output_type": "generate_until",
        "rows": {"test": SUMS},
        "doc_to_text": "{{a}}+{{b}}=",
        "doc_to_target": "{{[' 12', 'PARIS', a]}}",
        "repeats": 5,
        "generation_kwargs": {
            "do_sample": True,
            "temperature": 0.7,
            "until": "\n\n",
        },
        "metric_list": metrics("exact_match"),
        "filter_list": [
            {
                "name": "vote",
                "filter": [
                    {"function": "take_first_k", "k": 4},
                    {"function": "majority_vote"},
                    {"function": "take_first"},
                ],
            }
        ],
    },
    "letter": {
        "output_type": "generate_until",
        "rows": {"test": [r | {"choices": r["options"]} for r in ROWS["test"]]},
        "doc_to_text": "q",
        "doc_to_target": "gold",
        "doc_to_choice": ["(A)", "(B)"],
        "generation_kwargs": SETTINGS,
        "filter_list": [
            {
                "name": "letters",
                "filter": [
                    {
                        "function": "multi_choice_regex",
                        "regex_pattern": "(\\([A-Z]\\))",
                    },
                    {"function": "take_first"},
                ],
            }
        ],
        "metric_list": metrics("exact_match", ignore_numbers=True),
    },
    "translate": {
        "output_type": "generate_until",
        "rows": {
            "test": [{"s": text(n, 6), "t": text(n, 5)} for n in range(9)]
        },
        "doc_to_text": "{{s}} =",
        "doc_to_target": " the {{t}}",
        "generation_kwargs": SETTINGS,
        "metric_list": metrics("bleu", "chrf", "chrf++", "ter"),
    },
}
# Their errors are drawn, so that they agree but roughly, or where the harness
# has none.
DRAWN = {"f1", "mcc", "perplexity", "bleu", "chrf", "chrf++", "ter"}


def compare(found, theirs: dict) -> None:
    """All numbers, prompts, hashes and each document's values are equal."""
    mine = found.to_dict()
    for name, numbers in theirs["results"].items():
        for key, value in numbers.items():
            metric, _, chain = key.partition(",")
            if not chain:
                continue
            number = mine["results"][name][key]
            if value == "N/A":
                assert number > 0  # the harness has no error here
            elif metric.removesuffix("_stderr") in DRAWN - {metric}:
                assert number == pytest.approx(value, rel=0.35), key
            else:
                assert number == pytest.approx(value, rel=1e-12), key
    for name, samples in theirs["samples"].items():
        assert len(samples) == len(found.samples[name])
        for his, my in zip(samples, found.samples[name], strict=True):
            assert prompts(my) == [list(one) for one in his["arguments"]]
            for key in ("doc_id", "filter", "target", "filtered_resps"):
                assert plain(my[key]) == plain(his[key])
            for key in ("doc_hash", "prompt_hash", "target_hash"):
                assert my[key] == his[key]


def prompts(sample: dict) -> list[list]:
    return [list(one.values()) for one in sample["arguments"].values()]


def plain(value):
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value


def strip_options(theirs: dict) -> dict:
    """Generation options are compared by what they mean, in our form."""
    for samples in theirs["samples"].values():
        for sample in samples:
            sample["arguments"] = [
                (context, *map(understood, rest))
                for context, *rest in sample["arguments"]
            ]
    return theirs


def understood(options):
    if not isinstance(options, dict):
        return options
    until = options["until"]
    return {
        "until": [until] if isinstance(until, str) else until,
        "max_gen_toks": options.get("max_gen_toks", 256),
        "do_sample": options["do_sample"],
        "temperature": options.get("temperature", 0.0),
    }


@pytest.mark.parametrize("name", CASES)
def test_equals_the_harness(name, monkeypatch, tmp_path):
    fields = dict(CASES[name])
    rows = fields.pop("rows", ROWS)
    path = write_task(tmp_path, rows, task=name, **fields)
    theirs = strip_options(harness(monkeypatch, tmp_path, [name]))
    compare(evaluate_tasks(HashSubject(), path, progress=False), theirs)
