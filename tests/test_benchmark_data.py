"""Benchmark files: found by their usual names, read, or refused by line."""

import bz2
import csv
import gzip
import importlib.util
import json
import lzma

import pytest
from dataset_hub import dataset_hub
from harness_peer import HashSubject

from keras_llm import InputError
from keras_llm.evaluate import evaluate_tasks
from keras_llm.evaluate.harness import Task, list_tasks, load_task
from keras_llm.evaluate.harness.documents import documents
from keras_llm.evaluate.harness.prepare import PREPARE, prepared
from keras_llm.evaluate.harness.row_readers import READERS, rows_of

ROWS = [{"q": "1 + 1?", "a": "2"}, {"q": "\u2028 \u00e9?", "a": "3"}]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
TASK = Task(task="sums", test_split="test")


def refuses(call, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


# What is in the shared folder.


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("arc_easy", 2376),
        ("copa", 100),
        ("gsm8k", 1319),
        ("hellaswag", 10_042),
        ("humaneval", 164),
        ("scitldr", 618),
        ("tatoeba_deu_eng", 1000),
        ("tatoeba_eng_tha", 548),
        ("truthfulqa_mc1", 817),
        ("truthfulqa_mc2", 817),
        ("wikitext", 62),
        ("winogrande", 1267),
        ("xquad_en", 1190),
    ],
)
def test_every_document_is_read(name, count, shared_data):
    task = load_task(name)
    docs = documents(task, task.eval_split, shared_data)
    made = prepared(docs, task.process_docs, name)
    assert len(docs) == len(made) == count


def test_a_folder_of_the_task_s_own_is_enough(shared_data):
    for name, folder in (
        ("gsm8k", "gsm8k"),
        ("xquad_en", "xquad"),
        ("arc_easy", "lm_bench"),
        ("wikitext", "wikitext2"),
        ("tatoeba_deu_eng", "tatoeba"),
    ):
        task = load_task(name)
        own = documents(task, task.eval_split, shared_data / folder)
        assert own == documents(task, task.eval_split, shared_data)


def test_truthfulqa_from_the_authors_table(shared_data):
    """The first question's answers, as they stand in TruthfulQA.csv."""
    task = load_task("truthfulqa_mc1")
    docs = documents(task, "validation", shared_data)
    doc = prepared(docs, task.process_docs, "truthfulqa")[0]
    best = "The watermelon seeds pass through your digestive system"
    assert doc["mc1_targets"]["choices"][0] == best
    assert doc["mc1_targets"]["labels"] == [1] + 7 * [0]
    assert doc["mc2_targets"]["labels"] == 5 * [1] + 7 * [0]
    assert doc["mc2_targets"]["choices"][2] == best
    assert doc["true_answers"] == [0, 1, 2, 3, 4]


def test_the_sentences_that_activitynet_began_get_a_capital(shared_data):
    """3,243 of HellaSwag's contexts are ActivityNet's, which end begun."""
    task = load_task("hellaswag")
    docs = documents(task, "validation", shared_data)
    made = prepared(docs, task.process_docs, "hellaswag")
    begun = [doc["query"] for doc in docs if doc["query"][-1] not in ".!?"]
    assert len(begun) == 3243
    changed = [
        new["query"]
        for old, new in zip(docs, made, strict=True)
        if new["query"] != old["query"]
    ]
    assert len(changed) == 3236
    assert changed[0].endswith("on a roof. He")


def test_every_task_scores_what_a_model_says(shared_data):
    """From the files to the numbers, with all filters and metrics."""
    names = "arc_easy copa gsm8k hellaswag humaneval scitldr tatoeba_deu_eng \
        tatoeba_eng_jpn truthfulqa_mc1 truthfulqa_mc2 wikitext winogrande \
        xquad_en".split()
    report = evaluate_tasks(
        HashSubject(),
        names,
        shared_data,
        limit=2,
        num_fewshot=0,
        allow_code=True,
        bootstrap=0,
    )
    found = [name.partition("/")[0] for name in report.measures()]
    assert set(found) == set(names)


# Where files are looked for.


@pytest.mark.parametrize(
    "place",
    [
        "test.jsonl",
        "sums/test.jsonl",
        "sums/test.jsonl.gz",
        "test.jsonl.bz2",
        "test.jsonl.xz",
        "test.json",
        "sums/data/test-00000-of-00001.parquet",
        "hub_name/main/test-00000-of-00001.parquet",
        "test.csv",
        "hub_name/test.tsv",
        "test.parquet",
        "given/mine.jsonl",
        "mine.jsonl.gz",
    ],
)
def test_usual_places(place, tmp_path):
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path)
    task = Task(
        task="sums",
        dataset_path="owner/hub_name",
        dataset_name="main",
        metadata={"files": {"test": "given/mine.jsonl"}},
    )
    assert documents(task, "test", tmp_path) == ROWS


def save(path) -> None:
    """Writes `ROWS` as the name of the file says."""
    if path.suffix == ".parquet":
        from pyarrow import Table, parquet

        parquet.write_table(Table.from_pylist(ROWS), path)
    elif path.suffix in (".csv", ".tsv"):
        with path.open("w", encoding="utf-8", newline="") as file:
            mark = "\t" if path.suffix == ".tsv" else ","
            rows = csv.DictWriter(file, ROWS[0], delimiter=mark)
            rows.writeheader()
            rows.writerows(ROWS)
    elif path.suffix == ".json":
        path.write_text(json.dumps(ROWS, indent=1), encoding="utf-8")
    else:
        pack = {".gz": gzip, ".bz2": bz2, ".xz": lzma}.get(path.suffix)
        data = LINES.encode()
        path.write_bytes(pack.compress(data) if pack else data)


def test_a_byte_order_mark_and_other_line_ends(write):
    marked = b"\xef\xbb\xbf" + LINES.encode().replace(b"\n", b"\r\n")
    assert rows_of([write(marked)]) == ROWS


def test_the_nearest_file_comes_first(tmp_path):
    (tmp_path / "sums").mkdir()
    (tmp_path / "test.jsonl").write_text('{"from": "above"}')
    (tmp_path / "sums" / "test.jsonl").write_text('{"from": "within"}')
    assert documents(TASK, "test", tmp_path) == [{"from": "within"}]


def test_shards_are_one_file(tmp_path):
    from pyarrow import Table, parquet

    for number, row in enumerate(ROWS):
        path = tmp_path / f"test-{number:05}-of-00002.parquet"
        parquet.write_table(Table.from_pylist([row]), path)
    assert documents(TASK, "test", tmp_path) == ROWS


def test_files_that_the_task_names(tmp_path):
    (tmp_path / "a.txt").write_text(LINES, encoding="utf-8")
    (tmp_path / "b.json").write_text('{"q": "one"}')
    for kind, files, expected in (
        ("json", {"test": "a.txt"}, ROWS),
        ("json", {"test": ["a.txt", "b.json"]}, [*ROWS, {"q": "one"}]),
        ("text", {"test": "b.json"}, [{"text": '{"q": "one"}'}]),
    ):
        task = Task(
            task="sums",
            dataset_path=kind,
            dataset_kwargs={"data_files": files},
        )
        assert documents(task, "test", tmp_path) == expected
    absolute = {"data_files": {"test": str(tmp_path / "b.json")}}
    task = Task(task="a", dataset_path="json", dataset_kwargs=absolute)
    assert documents(task, "test") == [{"q": "one"}]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, ("'test'", "Received: None", "data_files: {test: test.jsonl}")),
        ({"data_files": "a.json"}, ("'test'", "'a.json'")),
        ({"data_files": {"test": 3}}, ("'test'",)),
        ({"data_files": {"test": "no.json"}}, ("no.json", "no such file")),
        ({"data_dir": "x"}, ("only data_files", "Received: data_dir")),
    ],
)
def test_named_files_that_are_wrong(fields, words, tmp_path):
    task = Task(task="sums", dataset_path="json", dataset_kwargs=fields)
    refuses(lambda: documents(task, "test", tmp_path), "sums", *words)


def test_nothing_is_there(tmp_path):
    task = load_task("arc_easy")
    refuses(
        lambda: documents(task, "test", tmp_path),
        "the test split of arc_easy",
        str(tmp_path),
        "lm_bench/arc_easy.jsonl",
        "test.(jsonl|json|csv|tsv|parquet)",
        'data="hub"',
        "https://huggingface.co/datasets/allenai/ai2_arc",
    )
    refuses(lambda: documents(task, "test"), "data=FOLDER", 'data="hub"')
    refuses(lambda: documents(TASK, "test", tmp_path), "test.jsonl", "sums")
    refuses(lambda: documents(TASK, "test", tmp_path / "no"), "which is none")
    for files in (["a"], {"test": {"read_as": "a"}}, {"test": [3, "/a"]}):
        wrong = Task(task="a", metadata={"files": files})
        refuses(
            lambda task=wrong: documents(task, "test", tmp_path),
            *("metadata.files of a", "path and read_as", str(files)),
        )
    wrong = Task(task="a", dataset_kwargs={"data_dir": "x"})
    refuses(lambda: documents(wrong, "test", tmp_path), "data_dir")


def test_an_empty_split(tmp_path):
    (tmp_path / "test.jsonl").write_text("\n")
    refuses(lambda: documents(TASK, "test", tmp_path), "which has none")


# Files that are damaged.


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", b'{"a": 1}\n{"a"', ("a.jsonl, line 2",)),
        ("a.jsonl", b'{"a": 1}\n\n[1]\n', ("a.jsonl, line 3", "[1]")),
        ("a.jsonl", b'{"a": 1}\n{"a": "\xff"}', ("a.jsonl, line 2", "UTF-8")),
        ("a.json", b'[{"a": 1},\n {"a" 2}]', ("a.json, line 2",)),
        ("a.json", b'[{"a": 1}, 2]', ("a.json, object 2", "2")),
        ("a.json", b"3", ("a.json",)),
        ("a.json", b'{"a": 1}\n{"a"', ("a.json, line 2",)),
        ("a.json", b'{"data": [{"paragraphs": [{"qas": [{"id": 1}]}]}]}',
         ("a.json, article 1", "'context'")),
        ("a.csv", b"a,b\n1,2\n3\n", ("a.csv, line 3", "a, b", "2 values")),
        ("a.csv", b"a,b\n1,2,3\n", ("a.csv, line 2",)),
        ("a.csv", b'a,b\n"1"2,3\n', ("a.csv, line 2",)),
        ("a.jsonl.gz", gzip.compress(b'{"a": 1}')[:-9], ("a.jsonl.gz",)),
        ("a.jsonl.bz2", b"no", ("a.jsonl.bz2", "cannot be read")),
        ("a.jsonl.xz", b"no", ("a.jsonl.xz", "cannot be read")),
        ("a.parquet", b"no", ("a.parquet", "cannot be read")),
        ("a.zip", b"no", ("a.zip", "jsonl, json, csv", "read_as")),
    ],
)  # fmt: skip
def test_a_damaged_file(name, content, words, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    refuses(lambda: rows_of([path]), *words)


@pytest.mark.parametrize(
    ("reader", "texts", "words"),
    [
        ("hellaswag", ["a\n3\nb\nc\nd\ne\nf\n"], ("from line 7",)),
        ("hellaswag", ["a\n4\nb\nc\nd\ne\n"], ("from line 1", "0 to 3")),
        ("parallel", ["a\n"], ("one file for each language", "alone")),
        ("parallel", ["a\n", "a\nb\n"], ("'x0': 1", "'x1': 2")),
        ("jason", ["{}"], ("read_as", "'jsonl'", "'jason'")),
    ],
)
def test_a_damaged_file_of_a_special_kind(reader, texts, words, tmp_path):
    paths = [tmp_path / f"a.x{number}" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    refuses(lambda: rows_of(paths, reader), *words)


def test_a_missing_column_names_the_document(tmp_path):
    for name in set(PREPARE) - {"arc", "openbookqa", "piqa"}:
        refuses(
            lambda name=name: prepared([{"x": 1}], name, "task t"),
            *(f"the columns of {name} in task t, document 0", "columns x"),
        )
    refuses(lambda: prepared([], "hela", "task t"), "hellaswag", "'hela'")
    assert prepared([{"x": 1}], None, "task t") == [{"x": 1}]


def test_a_document_that_a_preparation_leaves_out(monkeypatch):
    monkeypatch.setitem(
        PREPARE, "odd", lambda doc: doc if doc["n"] % 2 else None
    )
    made = prepared([{"n": n} for n in range(4)], "odd", "task t")
    assert made == [{"n": 1}, {"n": 3}]


def test_what_tasks_name_is_there():
    for name in list_tasks():
        task = load_task(name)
        assert task.task == name
        assert task.process_docs in (None, *PREPARE)
        files = (task.metadata or {}).get("files", {})
        assert set(files) <= {"train", "validation", "test"}
        for entry in sum(files.values(), []):
            if isinstance(entry, dict):
                assert entry["read_as"] in READERS


# Downloads.


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with one data set of one configuration, and an empty cache."""
    if importlib.util.find_spec("huggingface_hub") is None:
        pytest.skip("huggingface_hub is missing (extra hub)")
    from huggingface_hub import constants

    hub = dataset_hub()
    template = "/{repo_id}/resolve/{revision}/{filename}"
    for name, value in {
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.url + template,
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_TOKEN_PATH": str(tmp_path / "token"),
        "HF_HUB_DISABLE_XET": True,
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # before retries
    hub.repos["me/sums"] = folder = tmp_path / "sums"
    for part, split in (("main", "test"), ("main", "dev"), ("no", "dev")):
        (folder / part / split).mkdir(parents=True)
        save(folder / part / split / "0000.parquet")
    yield hub
    hub.close()


def hub_task(**fields) -> Task:
    return Task(**{"task": "sums", "dataset_path": "me/sums"} | fields)


def test_only_the_split_is_downloaded(hub, tmp_path, monkeypatch):
    from huggingface_hub import constants

    assert documents(hub_task(dataset_name="main"), "test", "hub") == ROWS
    assert documents(hub_task(), "test", "hub") == ROWS
    size = (tmp_path / "sums/main/test/0000.parquet").stat().st_size
    assert hub.sent["0000.parquet"] == size
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert documents(hub_task(), "test", "hub") == ROWS
    refuses(lambda: documents(hub_task(), "dev", "hub"), "network")


def test_a_download_that_cannot_be(hub):
    def get(task: Task, split: str = "test") -> None:
        documents(task, split, "hub")

    refuses(lambda: get(hub_task(dataset_path="me/no")), "me/no", "spelling")
    refuses(lambda: get(hub_task(dataset_path="a/b/c")), "a/b/c")
    refuses(lambda: get(hub_task(dataset_name="x")), "'test'", "none")
    refuses(lambda: get(TASK), "sums, which has none", "data=FOLDER")
    refuses(
        lambda: get(hub_task(), "dev"), "Received: main, no", "dataset_name"
    )
    hub.down = True
    refuses(lambda: get(hub_task()), "me/sums", "network")
