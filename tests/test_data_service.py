"""Rows from other processes: each once, in whatever order they come."""

import contextlib
import signal
import subprocess

import numpy as np
import pytest
import tensorflow as tf
import tiny_run

from keras_llm.cli import launch
from keras_llm.cli.workers import free_ports
from keras_llm.data import DataService, from_service, pack, text_rows
from keras_llm.errors import InputError
from keras_llm.tokenizers import BytePairTokenizer
from keras_llm.train.source import Source

TEXTS = [
    [f"the {word} of line {line} is {line * 37}" for line in range(6)]
    for word in ("rose", "stone", "river", "bird", "winter")
]
CONTEXT = 8


@pytest.fixture(scope="module")
def tokenizer():
    return BytePairTokenizer.train([" ".join(sum(TEXTS, []))], 290)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    for index, lines in enumerate(TEXTS):
        (folder / f"{index}.txt").write_text("\n".join(lines) + "\n\n")
    return sorted(folder.iterdir())


def as_tuples(rows) -> list[tuple]:
    return sorted(
        tuple(np.concatenate([np.ravel(x) for x in tf.nest.flatten(row)]))
        for row in rows
    )


def test_rows_hold_every_token_of_every_document_once(files, tokenizer):
    rows = list(text_rows(files, tokenizer, CONTEXT))
    targets = [t.numpy()[w.numpy() > 0].tolist() for _, t, w in rows]
    expected = [
        [tokenizer.bos_id, *tokenizer.encode([line])[0], tokenizer.eos_id]
        for lines in TEXTS
        for line in lines
    ]
    assert sum(targets, []) == sum((ids[1:] for ids in expected), [])
    firsts = [i["tokens"].numpy()[0] for i, *_ in rows]
    assert firsts[0] == expected[0][0]
    for inputs, following, weights in rows:
        tokens = inputs["tokens"].numpy()[1:]
        known = weights.numpy()[:-1] > 0
        assert (tokens[known] == following.numpy()[:-1][known]).all()


def test_rows_of_whole_documents_are_those_of_packing(files, tokenizer):
    rows = list(text_rows(files, tokenizer, 64))
    ids = tokenizer.encode(sum(TEXTS, []))
    packed = [
        next(iter(pack([one], 65, tokenizer.bos_id, tokenizer.eos_id)))
        for one in ids
    ]
    for (inputs, *_), row in zip(rows, packed, strict=True):
        tokens = np.asarray(row.tokens)
        ours = inputs["tokens"].numpy()
        np.testing.assert_array_equal(ours[: len(tokens)], tokens[:64])


def test_each_row_comes_once_from_two_workers(files, tokenizer):
    rows = text_rows(files, tokenizer, CONTEXT)
    with DataService(workers=2) as service:
        served = list(from_service(rows, service.address))
    assert as_tuples(served) == as_tuples(rows)
    assert len(served) > 2 * len(files)


def test_rows_without_an_order_are_not_cut_over_replicas(files, tokenizer):
    rows = text_rows(files, tokenizer, CONTEXT)
    with DataService(workers=1) as service:
        batches = from_service(rows, service.address).repeat().batch(4)
        source = Source(batches, 4, CONTEXT, None, None)
        assert source.batches(0, 0) is not None
        with pytest.raises(InputError, match="data service.*2 parts"):
            source.batches(0, 0, part=1, parts=2)


def test_a_decoder_trains_on_what_is_served(files, tokenizer):
    model = tiny_run.build(vocabulary_size=tokenizer.vocabulary_size)
    rows = text_rows(files, tokenizer, CONTEXT)
    with DataService(workers=2) as service:
        served = from_service(rows, service.address).repeat()
        report = tiny_run.train(
            served.batch(4, drop_remainder=True),
            None,
            model,
            validation_rows=None,
        )
    assert report.steps == tiny_run.STEPS
    assert report.loss < np.log(tokenizer.vocabulary_size)


def test_the_verb_serves_until_it_is_interrupted():
    (port,) = free_ports(1)
    command = [*launch.PROGRAM, "data-service", "--port", str(port)]
    with (
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process,
        contextlib.ExitStack() as stack,
    ):
        stack.callback(process.kill)  # whatever fails, nothing is left
        assert process.stdout is not None
        line = next(line for line in process.stdout if "dispatcher" in line)
        address = f"localhost:{port}"
        assert line == f"1 workers, dispatcher {address}\n"
        with DataService(workers=1, dispatcher=address):  # comes later
            numbers = from_service(tf.data.Dataset.range(20), address)
            assert sorted(int(n) for n in numbers) == list(range(20))
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"workers": -1}, "workers=-1"),
        ({"port": 5050, "dispatcher": "a:1"}, "port=5050"),
        ({"workers": 0, "dispatcher": "a:1"}, "workers=0"),
        ({"dispatcher": "grpc://a:1"}, "grpc://a:1"),
    ],
)
def test_a_service_that_cannot_be_is_refused(arguments, said):
    with pytest.raises(InputError, match=said):
        DataService(**arguments)


def test_a_port_that_is_taken_is_a_sentence():
    with DataService(workers=0) as service:
        port = int(service.address.rsplit(":", 1)[1])
        with pytest.raises(InputError, match=f"port {port}"):
            DataService(port=port)


def test_files_that_are_not_there_are_refused(files, tokenizer):
    with pytest.raises(InputError, match="1 are missing .*/no.txt"):
        text_rows([*files, files[0].parent / "no.txt"], tokenizer, CONTEXT)
    with pytest.raises(InputError, match="0 files"):
        text_rows([], tokenizer, CONTEXT)
