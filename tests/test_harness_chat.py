"""Chats, groups and filters beside the harness."""

import pytest
import yaml
from harness_peer import ANSWERS, HashSubject, harness, write_task
from test_harness_parity import CASES, ROWS, compare, strip_options

from keras_llm.errors import InputError
from keras_llm.evaluate import Task, evaluate_tasks
from keras_llm.evaluate.harness.filters import apply, pipelines


@pytest.mark.parametrize("multiturn", [True, False])
@pytest.mark.parametrize(
    "name", ["choice_prefix", "contexts", "sums", "sums_prefix"]
)
def test_chats_are_those_of_the_harness(name, multiturn, monkeypatch, tmp_path):
    fields = dict(CASES[name])
    rows = fields.pop("rows", ROWS)
    path = write_task(tmp_path, rows, task=name, **fields)
    options = {
        "apply_chat_template": True,
        "fewshot_as_multiturn": multiturn,
        "system_instruction": "Be brief.",
    }
    theirs = strip_options(harness(monkeypatch, tmp_path, [name], **options))
    found = evaluate_tasks(HashSubject(), path, progress=False, **options)
    compare(found, theirs)
    first = found.samples[name][0]["arguments"]["gen_args_0"]["arg_0"]
    assert first.startswith("<system>Be brief.")
    assert (first.count("<user>") > 1) == multiturn


def test_system_instruction_without_a_chat(monkeypatch, tmp_path):
    path = write_task(tmp_path, ROWS, task="choice", **CASES["choice"])
    options = {"system_instruction": "Be brief.", "limit": 4, "num_fewshot": 1}
    theirs = harness(monkeypatch, tmp_path, ["choice"], **options)
    found = evaluate_tasks(HashSubject(), path, progress=False, **options)
    compare(found, theirs)
    assert found.to_dict()["n-samples"] == theirs["n-samples"]
    assert found.to_dict()["n-shot"] == {"choice": 1}


def test_a_model_without_chats_is_refused(tmp_path):
    class Plain:
        name, fingerprint = "plain", "1"

    path = write_task(tmp_path, ROWS, task="choice", **CASES["choice"])
    with pytest.raises(InputError, match="a chat template. Received: plain"):
        evaluate_tasks(Plain(), path, apply_chat_template=True)


GROUP = {
    "group": "all",
    "group_alias": "All of them",
    "task": [
        {"group": "inner", "task": ["choice_usual", "choice_by_text"]},
        "choice_first_n",
    ],
    "metadata": {"version": 2.0},
}


@pytest.mark.parametrize("weighted", [True, False])
def test_groups_are_averaged_as_in_the_harness(weighted, monkeypatch, tmp_path):
    for n, name in enumerate(["choice_usual", "choice_by_text"]):
        rows = {"test": ROWS["test"][: 9 + 5 * n]}
        write_task(tmp_path, rows, task=name, **CASES[name])
    write_task(tmp_path, ROWS, task="choice_first_n", **CASES["choice_first_n"])
    entries = [
        {"metric": "acc", "weight_by_size": weighted},
        {"metric": "acc_norm", "filter_list": "none"},
    ]
    path = tmp_path / "all.yaml"
    path.write_text(yaml.safe_dump(GROUP | {"aggregate_metric_list": entries}))
    theirs = harness(monkeypatch, tmp_path, ["all"])
    found = evaluate_tasks(HashSubject(), path, progress=False)
    compare(found, theirs)
    mine = found.to_dict()
    assert mine["groups"]["all"]["alias"] == "All of them"
    assert mine["groups"]["all"]["sample_len"] == 9 + 14 + 23
    assert "inner" not in mine["groups"]  # nothing to average by
    for key in ("group_subtasks", "higher_is_better"):
        assert mine[key] == theirs[key]
    assert mine["versions"]["all"] == 2.0
    assert mine["versions"]["choice_usual"] == "Yaml"
    assert found.measures()["all/acc"].count == 46


FILTERS = [
    {"function": "regex"},
    {"function": "regex", "regex_pattern": "(A)|(\\d+)", "group_select": -1},
    {"function": "regex", "regex_pattern": "(x?)(y?)Sure", "fallback": "no"},
    {"function": "regex_pos"},
    {"function": "regex_pos", "fallback": ["none"]},
    {"function": "multi_choice_regex", "regex_pattern": "\\(([A-D])\\)"},
    {
        "function": "multi_choice_regex",
        "regex_pattern": "answer (\\([A-D]\\))",
        "ignore_case": True,
        "ignore_punctuation": True,
        "regexes_to_ignore": ["the ", "\\d+"],
    },
    {"function": "remove_whitespace"},
    {"function": "lowercase"},
    {"function": "uppercase"},
    {"function": "map", "mapping_dict": {" PARIS ": "p"}, "default_value": "?"},
    {"function": "map", "mapping_dict": {" 12": "twelve"}},
    {"function": "format_span"},
    {"function": "take_first"},
    {"function": "take_first_k", "k": 3},
    {"function": "majority_vote"},
]
GENERATED = [
    *ANSWERS,
    "[('Ada', 'NOUN'), ('runs', 'VERB')]",
    "It is guilty of romance!",
    "Answer: C",
    "The answer (B) is right, not A.",
    "xySure",
    "yySure and Sure",
    "12 or 13A",
    "organization: The Times, BBC\nDate: none $$ people: Bob $$",
    "persons: Ann $$ counties : Kent $ time: noon",
    " PARIS ",
]
DOC = {"choices": ["Guilty", "Guilty of Romance", "(the) cat!", "dogs"]}


@pytest.mark.parametrize("step", FILTERS, ids=str)
def test_filters_are_those_of_the_harness(step):
    pytest.importorskip("lm_eval")
    from lm_eval.filters import build_filter_ensemble

    options = {key: step[key] for key in step if key != "function"}
    (theirs,) = build_filter_ensemble(
        "a", [[step["function"], options]]
    ).filters
    task = Task(task="a", filter_list=[{"name": "a", "filter": [step]}])
    steps = pipelines(task)["a"]
    everything = [GENERATED, *([one] * 4 for one in GENERATED)]
    his = list(theirs().apply(everything, [DOC] * len(everything)))
    assert [apply(steps, one, DOC) for one in everything] == his
