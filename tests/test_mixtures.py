"""Mixtures of packed rows: what is taken, in which order, and again."""

import json
import math
import zlib
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pytest
import tiny_run
from typer.testing import CliRunner

from keras_llm.cli import app
from keras_llm.data import (
    Document,
    Mixture,
    curate,
    merge_rows,
    mix,
    open_rows,
    pack_corpus,
    row_dataset,
    row_scores,
    shuffle_rows,
    weight_schedule,
)
from keras_llm.data.mixtures.plan import MIXTURE, ORDER
from keras_llm.errors import InputError
from keras_llm.train import checkpoints, read_history

# Name, documents, least id: no two sources share an id.
SOURCES = (("web", 60, 1), ("books", 25, 20), ("code", 6, 40))


def pack_source(folder: Path, name: str, number: int, least: int) -> Path:
    """A corpus of one source with a held-out part, packed."""
    random = np.random.default_rng(least)
    documents = [
        Document(
            " ".join(map(str, least + random.integers(0, 9, size=length))),
            f"{name}{at}",
            language=name,
        )
        for at, length in enumerate(random.integers(3, 40, size=number))
    ]
    curate(documents, folder / f"{name}-text", heldout=0.1, steps=[])
    pack_corpus(folder / f"{name}-text", tiny_run.Words(), folder / name, 8, 7)
    return folder / name


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    return {one[0]: pack_source(folder, *one) for one in SOURCES}


@pytest.fixture(scope="module")
def mixed(sources, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed") / "mixed"
    weights = {"web": 5, "books": 3, "code": 2}
    return mix(sources, folder, weights, tokens=1200)


def drawn(rows: Mixture, first: int, last: int) -> list[tuple[int, int]]:
    """Source and row at positions first ... last - 1."""
    both = rows.draws(np.arange(first, last))
    return list(zip(*(one.tolist() for one in both), strict=True))


def test_shares_are_those_asked_for(sources, mixed):
    for source, share in zip(mixed.plan.sources, (0.5, 0.3, 0.2), strict=True):
        info = open_rows(sources[source.name]).info
        exact = 1200 * share * info.rows / info.tokens
        assert source.drawn_rows == round(exact)
        assert mixed.plan.share(source) == pytest.approx(share, abs=0.005)
        assert source.epochs == source.drawn_rows / info.rows
    assert len(mixed) == sum(one.drawn_rows for one in mixed.plan.sources)


def test_it_gives_the_rows_of_its_sources(sources, mixed):
    opened = [open_rows(folder) for folder in sources.values()]
    everything = mixed[:]
    for at, (source, row) in enumerate(drawn(mixed, 0, len(mixed))):
        for name, values in opened[source][row].items():
            np.testing.assert_array_equal(everything[name][at], values[0])


def test_no_row_comes_much_more_often_than_another(mixed):
    for passes in (1, 2, 3):
        counts = Counter(drawn(mixed, 0, passes * len(mixed)))
        for number, source in enumerate(mixed.plan.sources):
            each = [counts[number, row] for row in range(source.rows)]
            assert max(each) - min(each) <= 1
            assert sum(each) == passes * source.drawn_rows


def test_a_second_epoch_of_a_source_is_another_order(sources, tmp_path):
    rows = mix({"web": sources["web"]}, tmp_path / "m", seed=4)
    number = len(rows)
    first, second = drawn(rows, 0, number), drawn(rows, number, 2 * number)
    assert sorted(first) == sorted(second) and first != second
    other = mix({"web": sources["web"]}, tmp_path / "n", seed=5)
    assert drawn(other, 0, number) != first
    assert other.fingerprint != rows.fingerprint


def test_the_pipeline_keeps_the_order(mixed):
    last = 2 * len(mixed)
    dataset = row_dataset(mixed, 5, seed=99).as_numpy_iterator()
    tokens = np.concatenate(
        [next(dataset)[0]["tokens"] for _ in range(last // 5 + 1)]
    )
    everything = mixed.stored(mixed.places(np.arange(last)))["tokens"]
    np.testing.assert_array_equal(tokens[:last], everything[:, :-1])


def test_scoring_takes_one_pass(mixed):
    dataset = row_dataset(mixed, 5, epochs=1, shuffle=False)
    targets = np.concatenate([y for _, y, _ in dataset.as_numpy_iterator()])
    expected = mixed[:]["tokens"][:, 1:]
    np.testing.assert_array_equal(targets[: len(mixed)], expected)
    assert not targets[len(mixed) :].any() and len(targets) < len(mixed) + 5


def test_it_starts_at_any_step_and_in_parts(mixed):
    step = len(mixed) // 4 + 3  # in the second pass
    whole = next(row_dataset(mixed, 4, start_step=step).as_numpy_iterator())
    parts = [
        next(
            row_dataset(
                mixed, 4, start_step=step, part=part, parts=2
            ).as_numpy_iterator()
        )
        for part in (0, 1)
    ]
    joined = np.concatenate([part[1] for part in parts])
    np.testing.assert_array_equal(joined, whole[1])


def test_held_out_rows_come_once(sources, mixed):
    together = open_rows(mixed.folder, "heldout")
    apart = [open_rows(path, "heldout")[:] for path in sources.values()]
    np.testing.assert_array_equal(
        together[:]["tokens"], np.concatenate([one["tokens"] for one in apart])
    )


def test_weights_change_in_training(sources, tmp_path):
    start, end = {"web": 0.9, "books": 0.1}, {"web": 0.1, "books": 0.9}
    two = {name: sources[name] for name in start}
    rows = mix(two, tmp_path / "m", weight_schedule(start, end, 8), tokens=4000)
    is_web = np.array(drawn(rows, 0, len(rows)))[:, 0] == 0
    eighth = len(rows) // 8
    first, last = is_web[:eighth].mean(), is_web[-eighth:].mean()
    assert first == pytest.approx(0.85, abs=0.03)
    assert last == pytest.approx(0.15, abs=0.03)
    middle = is_web[: len(rows) // 2].sum() / is_web.sum()
    assert middle == pytest.approx(0.7, abs=0.02)


def test_limits_and_warnings(sources, tmp_path, caplog):
    rows = mix(
        sources,
        tmp_path / "m",
        temperature=math.inf,
        tokens=2500,
        max_epochs={"code": 2, "books": 5},
    )
    web, books, code = rows.plan.sources
    assert code.drawn_rows == 2 * code.rows
    assert books.drawn_tokens == pytest.approx(web.drawn_tokens, abs=20)
    assert [line.split(":")[0] for line in rows.plan.warnings] == [
        one.name for one in (web, books, code) if one.epochs > 4
    ]
    small = mix(sources, tmp_path / "n", tokens=1e4)
    assert caplog.messages[-3:] == small.plan.warnings
    assert "web: each row comes" in small.plan.warnings[0]


@pytest.mark.parametrize("by", ["length", "compression", "rarity"])
def test_a_curriculum_goes_from_easy_to_hard(sources, tmp_path, by):
    one = {"web": sources["web"]}
    rows = mix(one, tmp_path / "m", curriculum=by, stages=3)
    scores = row_scores(open_rows(sources["web"]), by)
    np.testing.assert_array_equal(row_scores(rows, by), scores)
    order = [row for _, row in drawn(rows, 0, len(rows))]
    assert sorted(order) == list(range(len(scores)))
    ends = np.cumsum([0, *rows.plan.sources[0].stages])
    ranked = np.sort(scores)
    for begin, end in zip(ends, ends[1:], strict=False):
        here = scores[order[begin:end]]
        np.testing.assert_array_equal(np.sort(here), ranked[begin:end])
    # Shuffled within a stage.
    assert (
        order[: ends[1]]
        != np.argsort(scores, kind="stable")[: ends[1]].tolist()
    )


def test_a_curriculum_of_part_of_a_source_has_all_stages(sources, tmp_path):
    one = {"web": sources["web"]}
    number = open_rows(sources["web"]).info.rows
    scores = np.random.default_rng(0).permutation(number)
    rows = mix(one, tmp_path / "m", tokens=200, curriculum=scores, stages=4)
    order = [row for _, row in drawn(rows, 0, len(rows))]
    quarter = scores[order] * 4 // number
    assert quarter.tolist() == sorted(quarter) and set(quarter) == {0, 1, 2, 3}
    assert rows.plan.curriculum == "scores"


def test_scores_are_what_they_say(sources):
    rows = open_rows(sources["books"])
    packed, real = rows[:], rows[:]["segments"] > 0
    counts = Counter(packed["tokens"][real].tolist())
    total = sum(counts.values())
    for at, mask in enumerate(real):
        tokens = packed["tokens"][at][mask]
        bits = [math.log2(total / counts[one]) for one in tokens.tolist()]
        assert row_scores(rows, "rarity")[at] == pytest.approx(np.mean(bits))
        raw = tokens.astype("<u2").tobytes()
        assert row_scores(rows, "compression")[at] == (
            len(zlib.compress(raw)) / len(raw)
        )
        lengths = Counter(packed["segments"][at][mask].tolist()).values()
        assert row_scores(rows, "length")[at] == np.mean(list(lengths))


def test_the_file_says_all(mixed, sources):
    content = json.loads((mixed.folder / MIXTURE).read_text("utf-8"))
    assert [one["name"] for one in content["sources"]] == list(sources)
    assert sum(one["share"] for one in content["sources"]) == pytest.approx(1)
    assert content["rows"] == len(mixed)
    again = open_rows(mixed.folder)
    assert isinstance(again, Mixture) and again.plan == mixed.plan
    assert again.fingerprint == mixed.fingerprint
    again.verify()
    assert not list(mixed.folder.glob("*.bin"))


def test_a_changed_source_is_refused(tmp_path):
    for one in SOURCES[1:]:
        pack_source(tmp_path, *one)
    two = {name: tmp_path / name for name, *_ in SOURCES[1:]}
    rows = mix(two, tmp_path / "m", curriculum="length")
    order = np.load(tmp_path / "m" / ORDER)
    np.save(tmp_path / "m" / ORDER, order[::-1])
    with pytest.raises(InputError, match=r"order\.npy with SHA-256"):
        rows.verify()
    np.save(tmp_path / "m" / ORDER, order[1:])
    with pytest.raises(InputError, match=f"Expected {len(order)} numbers"):
        open_rows(tmp_path / "m")
    (tmp_path / "m" / ORDER).unlink()
    with pytest.raises(InputError, match="the order of a curriculum"):
        open_rows(tmp_path / "m")
    shard = next((tmp_path / "code").glob("train-*0.bin"))
    content = shard.read_bytes()
    shard.write_bytes(content[::-1])
    with pytest.raises(InputError, match=f"{shard.name} with SHA-256"):
        mix(two, tmp_path / "n").verify()
    pack_source(tmp_path, "code", 9, 40)
    for split in ("train", "heldout"):
        with pytest.raises(InputError, match="rows of 'code' that .* mix aga"):
            open_rows(tmp_path / "m", split)


def test_both_move_together(tmp_path):
    pack_source(tmp_path / "a", *SOURCES[0])
    rows = mix({"web": tmp_path / "a" / "web"}, tmp_path / "a" / "m")
    (tmp_path / "a").rename(tmp_path / "b")
    moved = open_rows(tmp_path / "b" / "m")
    np.testing.assert_array_equal(moved[:9]["tokens"], rows[:9]["tokens"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weights": {"web": 1}}, "each of web, books, code. Received.*web"),
        ({"weights": []}, "Received: no phase"),
        ({"weights": {"web": 0, "books": 0, "code": 0}}, "one is above 0"),
        ({"weights": {"web": 1, "books": -1, "code": 2}}, "0 or more"),
        (
            {"weights": {"web": 1, "books": 1, "code": 1}, "temperature": 2},
            "both, temperature=2",
        ),
        ({"tokens": 0}, "tokens above 0"),
        ({"tokens": 1}, "at least one row"),
        ({"tokens": math.nan}, "Received: nan"),
        ({"max_epochs": 0}, "max_epochs above 0"),
        ({"max_epochs": {"wine": 2}}, "for some of web, books, code"),
        ({"max_epochs": 1, "tokens": 1e6}, "at most"),
        ({"curriculum": "beauty"}, "length, compression, rarity.*'beauty'"),
        ({"curriculum": [1, 2]}, r"rows of the sources.*shape \(2,\)"),
        ({"seed": -1}, "seed from 0"),
    ],
)
def test_what_cannot_be_mixed_is_refused(sources, tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        mix(sources, tmp_path / "m", **options)
    assert not (tmp_path / "m").exists()


def test_sources_must_go_together(sources, mixed, tmp_path):
    pack_corpus([Document("1 2 3", "")], tiny_run.Words(), tmp_path / "a", 9)
    with pytest.raises(
        InputError, match=r"web \(row_length 9\). Received: .*10"
    ):
        mix({**sources, "a": tmp_path / "a"}, tmp_path / "m")
    with pytest.raises(InputError, match="a mixture. Name its sources"):
        mix({"m": mixed.folder}, tmp_path / "m")
    with pytest.raises(InputError, match="Received: none"):
        mix({}, tmp_path / "m")


def test_a_mixture_is_neither_shuffled_nor_merged(mixed, tmp_path):
    with pytest.raises(InputError, match="a mixture, which is shuffled alre"):
        shuffle_rows(mixed.folder, tmp_path / "m")
    with pytest.raises(InputError, match="a mixture. Merge its sources"):
        merge_rows([mixed.folder], tmp_path / "m")


def test_the_verb_mixes(sources, tmp_path):
    out = tmp_path / "m"
    words = [f"{sources['web']}=0.9:0.1", f"{sources['books']}=0.1:0.9"]
    answer = CliRunner().invoke(
        app, ["mix", *words, "--output", str(out), "--tokens", "2K"]
    )
    assert answer.exit_code == 0, answer.output
    assert "web" in answer.stdout and "50.0" in answer.stdout
    assert f"keras-llm train {out}" in answer.stdout.replace("\n", "")
    content = json.loads((out / MIXTURE).read_text("utf-8"))
    assert len(content["sources"][0]["drawn"]) == 32
    answer = CliRunner().invoke(app, ["mix", *words[:1], str(sources["code"])])
    assert answer.exit_code == 2 and "'no weight' for code" in answer.stderr


class Stopped(Exception):
    """As a power cut; tests/test_resume.py kills processes."""


class Stopping(keras.callbacks.Callback):
    steps = 0

    def on_train_batch_begin(self, batch, logs=None):
        self.steps += 1
        if self.steps == 8:
            raise Stopped


def test_a_stopped_run_goes_on_with_the_same_rows(sources, tmp_path):
    """Bit for bit, into the second pass of the mixture."""
    rows = mix(
        sources, tmp_path / "m", temperature=2, tokens=200, curriculum="length"
    )
    assert 4 * 4 < len(rows) < 4 * 8
    options = dict.fromkeys(("validation_rows", "sample"))
    # Step 4 is complete at step 8 then.
    options |= {"save_in_background": False}
    whole, resumed = tiny_run.build(), tiny_run.build()
    tiny_run.train(rows, tmp_path / "whole", whole, **options)
    with pytest.raises(Stopped):
        tiny_run.train(
            *(rows, tmp_path / "cut"), callbacks=[Stopping()], **options
        )
    names = [one.name for one in checkpoints(tmp_path / "cut/checkpoints")]
    assert names == ["step-00000004"]
    tiny_run.train(rows, tmp_path / "cut", resumed, **options)
    for one, other in zip(
        resumed.get_weights(), whole.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    losses = [
        [
            line["loss"]
            for line in read_history(tmp_path / run / "metrics.jsonl")
        ]
        for run in ("whole", "cut")
    ]
    assert losses[0] == losses[1] and len(losses[0]) == 6
