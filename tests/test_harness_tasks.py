"""What can be wrong with a task is said before a model is asked."""

import json

import pytest
import yaml
from harness_peer import HashSubject, write_task

from keras_llm.errors import InputError
from keras_llm.evaluate import Task, evaluate_tasks, list_tasks, load_task
from keras_llm.evaluate.harness import METRICS, select_tasks
from keras_llm.evaluate.harness.fewshot import Sampler

QUESTION = {"q": "Is it?", "options": ["yes", "no"], "gold": 1}
FIELDS = {
    "output_type": "multiple_choice",
    "doc_to_text": "q",
    "doc_to_target": "gold",
    "doc_to_choice": "options",
}


def refused(path, **options) -> str:
    """The sentence that refuses a task; nothing may have been asked."""
    subject = HashSubject()
    with pytest.raises(InputError) as error:
        evaluate_tasks(subject, path, progress=False, **options)
    assert not subject.asked
    return str(error.value)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"num_fewshott": 2}, "num_fewshott in .*, line .*Did you mean num_f"),
        ({"process_results": "f"}, "process_results in .* Did you mean proc"),
        ({"num_fewshot": "2"}, r"an integer or null. Received: '2'.*line \d"),
        ({"num_fewshot": -1}, "num_fewshot to be at least 0"),
        ({"repeats": 0}, "repeats to be above zero"),
        ({"output_type": "choice"}, "'multiple_choice'. Received: 'choice'"),
        ({"doc_to_choice": None}, "doc_to_choice in the multiple-choice task"),
        ({"fewshot_config": {"sampler": "x"}}, "sampler .* 'first_n'"),
        ({"fewshot_config": {"split": 3}}, "split to be a text or null"),
        ({"metric_list": ["acc"]}, "metric_list to be a list of values by"),
        ({"generation_kwargs": {"top_p": 1}}, "in generation_kwargs. .* top_p"),
        ({"generation_kwargs": {"until": [""]}}, "until to be texts"),
        ({"generation_kwargs": {"max_gen_toks": 0}}, "max_gen_toks to be an"),
        ({"generation_kwargs": {"temperature": "1"}}, "temperature to be a n"),
        (
            {"generation_kwargs": {"do_sample": True, "temperature": 0}},
            "above 0 with true",
        ),
        ({"metric_list": [{"metric": "ac"}]}, "'ac'. Did you mean acc"),
        ({"metric_list": [{"metric": "bleu"}]}, "metric for multiple_choice"),
        (
            {"metric_list": [{"metric": "acc", "aggregation": "sum"}]},
            "one of mean, median.*'sum'",
        ),
        (
            {"metric_list": [{"metric": "acc", "hf_evaluate": True}]},
            "Received: hf_evaluate",
        ),
        ({"metric_list": [{"metric": "acc"}] * 2}, "each metric once in task"),
        (
            {"filter_list": [{"name": "a", "filter": [{"function": "regex"}]}]},
            "only take_first in filter_list of task bad.*Received: regex",
        ),
        ({"filter_list": [{"name": "a"}]}, "Expected name and filter"),
        ({"unsafe_code": True}, "allow_code=True"),
        ({"doc_to_text": "question"}, "a column question .*q, options, gold"),
        ({"doc_to_text": "{{question}}"}, "'question' is undefined.*columns"),
        ({"doc_to_text": "{{q"}, "Jinja template .*line 1 is wrong"),
        ({"doc_to_text": "{{q.nope()}}"}, "document 0, doc_to_text.*nope"),
        ({"doc_to_text": "{{ 1 // 0 }}"}, "division"),
        ({"doc_to_text": "{{q.__class__.mro()}}"}, "unsafe"),
        ({"doc_to_target": "q"}, "one of 2 choices.*document 0.*'Is it"),
        ({"doc_to_target": None}, "doc_to_target for task bad, document 0"),
        ({"doc_to_choice": "q"}, "list of texts for .*doc_to_choice"),
        ({"doc_to_choice": "{{ [1, 2] }}"}, "list of texts .* '?.1, 2"),
        ({"test_split": None}, "test_split or validation_split in task bad"),
        ({"process_docs": "nope"}, "process_docs to be one of .*'nope'"),
        ({"num_fewshot": 1}, "fewshot_split in task bad, for 1 solved"),
        (
            {"num_fewshot": 1, "fewshot_split": "test"},
            "at least 1 solved examples for task bad. Received: 0",
        ),
        (
            {"num_fewshot": 1, "fewshot_split": "train"},
            "files of the split 'train'",
        ),
    ],
)
def test_a_wrong_task_is_refused(wrong, sentence, tmp_path):
    fields = FIELDS | {"task": "bad"} | wrong
    path = write_task(tmp_path, {"test": [QUESTION]}, **fields)
    said = refused(path)
    with pytest.raises(InputError, match=sentence):
        raise InputError(said)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (
            {"filter_list": [{"name": "a", "filter": [{"function": "re"}]}]},
            "among regex, .*'function': 're'",
        ),
        (
            {
                "filter_list": [
                    {"name": "a", "filter": [{"function": "map", "dict": {}}]}
                ]
            },
            "Expected map.mapping_dict.* 'dict'",
        ),
        (
            {
                "filter_list": [
                    {
                        "name": "a",
                        "filter": [{"function": "regex", "regex_pattern": "("}],
                    }
                ]
            },
            "Expected regex.* unterminated",
        ),
        (
            {
                "filter_list": [
                    {
                        "name": "a",
                        "filter": [{"function": "take_first_k", "k": 3}],
                    }
                ]
            },
            "at least 3 answers for take_first_k. Received: 2",
        ),
        (
            {"filter_list": [{"name": "a", "filter": []}]},
            "one answer to score. Received: 2. .*take_first",
        ),
        (
            {
                "filter_list": [
                    {
                        "name": "a",
                        "filter": [{"function": "multi_choice_regex"}],
                    }
                ]
            },
            "a column choices",
        ),
        (
            {
                "metric_list": [
                    {"metric": "exact_match", "regexes_to_ignore": ["("]}
                ]
            },
            "regular expressions in exact_match of task bad",
        ),
        (
            {"doc_to_target": "{{[]}}", "metric_list": [{"metric": "bleu"}]},
            "at least 1 right answers for bleu of task bad.* document 0",
        ),
    ],
)
def test_a_wrong_generation_task_is_refused(wrong, sentence, tmp_path):
    fields = {"doc_to_text": "q", "doc_to_target": "gold", "repeats": 2}
    fields |= {"task": "bad", "output_type": "generate_until"} | wrong
    path = write_task(tmp_path, {"test": [QUESTION]}, **fields)
    with pytest.raises(InputError, match=sentence):
        raise InputError(refused(path))


def test_metrics_of_one_answer_refuse_several(tmp_path):
    row = QUESTION | {"gold": [0, 1]}
    fields = FIELDS | {"metric_list": [{"metric": "mcc"}]}
    path = write_task(tmp_path, {"test": [row]}, task="two", **fields)
    assert "at most 1 right answers for mcc of task two" in refused(path)


def test_f1_refuses_three_choices(tmp_path):
    row = QUESTION | {"options": ["a", "b", "c"]}
    fields = FIELDS | {"metric_list": [{"metric": "f1"}]}
    path = write_task(tmp_path, {"test": [row]}, task="three", **fields)
    assert "choices 0 and 1 for the metric f1" in refused(path)


@pytest.mark.parametrize("limit", [0, -1, 2.5])
def test_a_wrong_limit_is_refused(limit, tmp_path):
    path = write_task(tmp_path, {"test": [QUESTION]}, task="a", **FIELDS)
    assert "Expected limit to be a number" in refused(path, limit=limit)
    assert "num_fewshot to be at least 0" in refused(path, num_fewshot=-1)


def test_a_missing_column_is_found_in_any_document(tmp_path):
    rows = [QUESTION, QUESTION, {"q": "Was it?", "gold": 0}]
    path = write_task(tmp_path, {"test": rows}, task="a", **FIELDS)
    assert "options for task a, document 2" in refused(path)


@pytest.mark.parametrize("gold", [2, -1, "perhaps", [0, 7], []])
def test_a_gold_that_is_no_choice_is_refused(gold, tmp_path):
    rows = [QUESTION, QUESTION | {"gold": gold}]
    path = write_task(tmp_path, {"test": rows}, task="a", **FIELDS)
    assert "the target of task a, document 1" in refused(path)


def test_unknown_tasks_are_told_from_misspelt_ones():
    assert "'hellaswagg'. Did you mean hellaswag" in refused("hellaswagg")
    assert "Name a YAML file" in refused("quite-something-else")
    assert "a task file at nowhere.yaml" in refused("nowhere.yaml")
    assert "Received: none. Those that come" in refused([])


def test_the_library_s_own_tasks_can_all_be_read():
    assert {"hellaswag", "gsm8k", "wikitext"} <= set(list_tasks())
    for name in list_tasks():
        assert load_task(name).task == name


def test_metrics_can_be_added(monkeypatch, tmp_path):
    length = METRICS["acc"].__class__(
        {"generate_until": lambda answer, unit=1: len(answer.text) / unit},
        higher_is_better=None,
    )
    monkeypatch.setitem(METRICS, "length", length)
    fields = {"doc_to_text": "q", "doc_to_target": "gold"}
    fields["metric_list"] = [{"metric": "length", "unit": 2}]
    path = write_task(tmp_path, {"test": [QUESTION]}, task="a", **fields)
    report = evaluate_tasks(HashSubject(), path, progress=False)
    assert report.measures()["a/length"].higher_is_better is None


def test_code_is_run_only_where_it_was_allowed(monkeypatch, tmp_path):
    ran = []

    def score(answer, allow_code=False):
        ran.append(allow_code)
        return 1.0

    metric = METRICS["acc"].__class__({"generate_until": score}, runs_code=True)
    monkeypatch.setitem(METRICS, "runs", metric)
    fields = {"doc_to_text": "q", "doc_to_target": "gold"}
    fields["metric_list"] = [{"metric": "runs"}]
    path = write_task(tmp_path, {"test": [QUESTION]}, task="a", **fields)
    assert "leave to run the programs" in refused(path)
    assert not ran
    evaluate_tasks(HashSubject(), path, allow_code=True, progress=False)
    assert ran == [True, True]  # first on an empty answer


def write(path, text) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_files_are_included_and_their_lines_are_named(tmp_path):
    write(tmp_path / "base.yaml", "test_split: test\nrepeats: 0\n")
    both = ["base.yaml", "more.yaml"]
    write(tmp_path / "more.yaml", "description: More.\n")
    path = tmp_path / "mine.yaml"
    write(path, yaml.safe_dump({"include": both, "task": "mine"}))
    assert "above zero. Received: 0. In " in refused(path)
    assert "base.yaml, line 2" in refused(path)
    task = load_task(path, repeats=3)
    assert (task.repeats, task.description) == (3, "More.")
    write(path, "include: nowhere.yaml\ntask: mine")
    assert "to include at" in refused(path)
    write(path, "include: mine.yaml\ntask: mine")
    assert "do not include themselves" in refused(path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("task: [", "Expected YAML in"),
        ("- task", "Expected values by name in"),
        ("task: a\ndoc_to_text: !function utils.f", "write a template, or"),
        ("test_split: test", "Expected Task to have task"),
        ("group: g\ntask: [3]", "names of tasks, or fields with a task, in"),
        ("group: g\ntask: [{num_fewshot: 1}]", "names of tasks, or fields"),
        ("group: g\ntask: [g]", "do not contain themselves.*g > g"),
        ("group: g\ntask: copa\nweight: 1", "field of TaskGroup.*weight"),
    ],
)
def test_files_that_are_no_task_are_refused(text, sentence, tmp_path):
    write(tmp_path / "g.yaml", text)
    with pytest.raises(InputError, match=sentence):
        select_tasks([tmp_path / "g.yaml"])


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"weight_by_size": True}, "a metric in each part of"),
        ({"metric": "acc", "by": 1}, "Expected only aggregation, filter_list"),
        ({"metric": "acc", "aggregation": "max"}, "the aggregation mean"),
        ({"metric": "f1"}, "a task of group g to have f1"),
        ({"metric": "acc", "filter_list": ["x"]}, "have acc with the filters"),
    ],
)
def test_groups_that_cannot_be_averaged_are_refused(entry, sentence, tmp_path):
    write_task(tmp_path, {"test": [QUESTION]}, task="a", **FIELDS)
    group = {"group": "g", "task": "a", "aggregate_metric_list": entry}
    path = write(tmp_path / "g.yaml", json.dumps(group))
    with pytest.raises(InputError, match=sentence):
        raise InputError(refused(path))


def test_one_name_is_one_task():
    with pytest.raises(InputError, match="two different ones called a"):
        select_tasks([Task(task="a"), Task(task="a", repeats=2)])
    same = select_tasks([Task(task="a"), Task(task="a")])
    assert list(same.tasks) == ["a"]


def test_a_group_s_members_can_be_changed(tmp_path):
    write_task(tmp_path, {"test": [QUESTION]}, task="a", **FIELDS)
    members = [{"task": "a", "num_fewshot": 3}, FIELDS | {"task": "b"}]
    path = write(
        tmp_path / "g.yaml", json.dumps({"group": "g", "task": members})
    )
    chosen = select_tasks([path])
    assert list(chosen.tasks) == ["a", "g::b"]
    assert chosen.tasks["a"].num_fewshot == 3
    with pytest.raises(InputError, match="one task. Received: .*for several"):
        load_task(path)


def test_tags_stand_for_their_tasks():
    chosen = select_tasks(["truthfulqa"])
    assert list(chosen.tasks) == ["truthfulqa_mc1", "truthfulqa_mc2"]


@pytest.mark.parametrize("first", [True, False])
def test_a_pool_without_enough_others_is_refused(first):
    pool = [{"n": 1}, {"n": 1}, {"n": 2}]
    sampler = Sampler(pool, 2, first, 0, "task a")
    assert len(sampler.draw(None)) == 2
    for _ in range(9):
        assert {"n": 2} not in sampler.draw({"n": 2})
        with pytest.raises(InputError, match="2 solved examples for task a"):
            sampler.draw({"n": 1})
