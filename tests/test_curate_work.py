"""Work folders of curation in shards: other plans, damage, what is refused."""

import json

import executor_tasks
import pytest
from test_curate_shards import contents, read

from keras_llm import data
from keras_llm.data import Document, curate, curate_shards, curation_status
from keras_llm.data.set_aside import read_part, write_part
from keras_llm.errors import InputError
from keras_llm.executors import Inline, open_executor


def test_broken_inputs_are_all_named(tmp_path):
    texts = tmp_path / "texts"
    texts.mkdir()
    for name in "abc":
        good = json.dumps({"text": name * 300})
        (texts / f"{name}.jsonl").write_text(f"{good}\n{good}\n")
    for name in "ac":
        with open(texts / f"{name}.jsonl", "a") as file:
            file.write('{"text": "cut')
    with pytest.raises(InputError) as refused:
        curate_shards(
            read(tmp_path), tmp_path / "out", Inline(), shard_bytes=100
        )
    assert "a.jsonl, line 3" in str(refused.value)
    assert "c.jsonl, line 3" in str(refused.value)
    assert "b.jsonl" not in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["texts"]


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """Work that stopped after reading; how to go on with it."""
    (tmp_path / "texts").mkdir()
    for number in range(9):
        text = f"Number {number}. " * 40
        (tmp_path / "texts" / f"{number}.txt").write_text(text)
    marker = tmp_path / "marker"
    trouble = Document("tr0uble " * 40, "t")
    data.write_jsonl(tmp_path / "texts" / "t.jsonl", [trouble])

    def go(length=9, **settings):
        steps = [
            data.minimum_length(length),
            executor_tasks.mishap(str(marker), "refused"),
        ]
        settings = {"steps": steps, "shard_bytes": 500, **settings}
        return curate_shards(
            read(tmp_path), tmp_path / "out", Inline(), **settings
        )

    with pytest.raises(InputError):
        go()
    go.folder = tmp_path
    return go


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"length": 10}, "other steps"),
        ({"seed": 3}, "other seed"),
        ({"heldout": 0.5, "rejects": False}, "other heldout, rejects"),
        ({"shard_bytes": 501}, "other shard_bytes"),
    ],
)
def test_other_work_is_not_gone_on_with(stopped, settings, said):
    with pytest.raises(InputError, match=said):
        stopped(**settings)
    report = stopped(**settings, restart=True)
    assert report.train.documents + report.heldout.documents == 10


def test_changed_inputs_are_noticed(stopped):
    (stopped.folder / "texts" / "3.txt").write_text("Another text. " * 40)
    with pytest.raises(InputError, match="other inputs"):
        stopped()


def test_a_damaged_shard_is_named(stopped):
    shard = max((stopped.folder / "out.work").glob("00-read*.jsonl"))
    content = shard.read_bytes()
    shard.write_bytes(content[:-9] + b"?" + content[-8:])
    with pytest.raises(InputError, match=f"{shard} as it was .* other content"):
        stopped()
    shard.unlink()
    with pytest.raises(InputError, match="no such file"):
        stopped()
    shard.write_bytes(content)
    stopped()


def test_a_broken_line_of_a_part_is_named(tmp_path):
    path = tmp_path / "part.jsonl"
    write_part(path, [Document("one", "a"), Document("two", "b")])
    path.write_bytes(path.read_bytes()[:-5])
    part = read_part(path)
    assert next(part).text == "one"
    with pytest.raises(InputError, match=f"{path}, line 2"):
        next(part)


def test_a_folder_of_somebody_else_is_refused(tmp_path):
    (tmp_path / "out.work").mkdir()
    (tmp_path / "out.work" / "diary.txt").touch()
    documents = [Document("Text. " * 50, "a"), Document("More. " * 50, "b")]
    with pytest.raises(InputError, match="diary.txt"):
        curate_shards(documents, tmp_path / "out", Inline())


def test_documents_that_are_no_files_begin_anew(tmp_path):
    def go(kind):
        texts = [f"{word} " * 50 for word in ("one", "two", "tr0uble")]
        documents = [Document(text, "a") for text in texts]
        step = executor_tasks.mishap(str(tmp_path / kind), "refused")
        curate_shards(
            documents, tmp_path / "out", Inline(), steps=[step], shard_bytes=9
        )

    with pytest.raises(InputError, match="no trouble"):
        go("first")
    with pytest.raises(InputError, match="no trouble"):
        go("second")  # not "other steps"
    go("second")
    written = json.loads((tmp_path / "out" / "curate.json").read_text())
    assert [step["step"] for step in written["steps"]] == [
        "executor_tasks:mishap"
    ]


def test_a_reader_without_files_is_read_here(tmp_path):
    curate(data.standard_library(), tmp_path / "stream", steps=[few()])
    curate_shards(
        data.standard_library(), tmp_path / "out", Inline(), steps=[few()]
    )
    assert contents(tmp_path / "out") == contents(tmp_path / "stream")


def few():
    return data.minimum_length(60_000)


def test_a_closure_works_inline_only(tmp_path):
    (tmp_path / "texts").mkdir()
    for number in range(9):
        text = f"Number {number}. " * 40
        (tmp_path / "texts" / f"{number}.txt").write_text(text)
    step = data.Step("mine", lambda documents, counts: documents)
    curate_shards(read(tmp_path), tmp_path / "out", Inline(), steps=[step])
    with (
        open_executor("local", 1) as executor,
        pytest.raises(InputError, match="'mine'.*engine inline"),
    ):
        curate_shards(read(tmp_path), tmp_path / "out", executor, steps=[step])
    assert not (tmp_path / "out.work").exists()


def test_no_document_is_an_error_and_leaves_nothing(tmp_path):
    for steps in ([data.minimum_length(999)], [data.exact_duplicates()]):
        documents = [Document("short", "a")] * (len(steps[0].settings))
        with pytest.raises(InputError, match="at least one document"):
            curate_shards(documents, tmp_path / "out", Inline(), steps=steps)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"shard_bytes": 0}, "shard_bytes >= 1"), ({"heldout": 7}, "7")],
)
def test_settings_out_of_range(tmp_path, settings, said):
    with pytest.raises(InputError, match=said):
        curate_shards([], tmp_path / "out", Inline(), **settings)


def test_status_of_what_is_no_curation(tmp_path):
    with pytest.raises(InputError, match="./status"):
        curation_status(tmp_path)
