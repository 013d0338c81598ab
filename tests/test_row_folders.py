"""Merged and shuffled rows: nothing lost, nothing twice, one order."""

import os
import shutil

import numpy as np
import pytest
from test_shards import Bytes, Wide, documents

from keras_llm.data import (
    Document,
    curate,
    merge_rows,
    mix,
    open_rows,
    pack_corpus,
    shuffle_rows,
)
from keras_llm.data.shuffling import shuffle_keys
from keras_llm.data.split_mix import split_mix
from keras_llm.errors import InputError


def packed(folder, number=30, time=32, tokenizer=None, shard_rows=7):
    pack_corpus(
        documents(number), tokenizer or Bytes(), folder, time, shard_rows
    )
    return folder


def everything(folder, split="train"):
    """All rows, (rows, 2, row_length)."""
    rows = open_rows(folder, split)
    rows.verify()
    return np.stack([*rows[:].values()], 1)


def test_merged_rows_are_the_rows_of_all_in_order(tmp_path):
    one, two = packed(tmp_path / "one"), packed(tmp_path / "two", 11)
    merged = merge_rows([one, two], tmp_path / "all").splits["train"]
    expected = np.concatenate([everything(one), everything(two)])
    np.testing.assert_array_equal(everything(tmp_path / "all"), expected)
    infos = [open_rows(folder).info for folder in (one, two)]
    for name in ("documents", "empty", "text_bytes", "tokens", "targets"):
        total = sum(getattr(info, name) for info in infos)
        assert getattr(merged, name) == total, name
    share = 1 - merged.targets / (len(expected) * 32)
    assert merged.padding_share == pytest.approx(share, abs=1e-6)
    # No copy: the same file under another name, which outlives the first.
    file = tmp_path / "all" / "train-00000.bin"
    assert os.path.samefile(file, one / "train-00000.bin")
    shutil.rmtree(one)
    open_rows(tmp_path / "all").verify()


def test_merging_copies_where_it_cannot_link(tmp_path, monkeypatch):
    def refused(source, target):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refused)
    one = packed(tmp_path / "one")
    merge_rows([one], tmp_path / "all")
    file = tmp_path / "all" / "train-00000.bin"
    assert not os.path.samefile(file, one / "train-00000.bin")
    np.testing.assert_array_equal(everything(tmp_path / "all"), everything(one))


def test_a_split_that_only_one_has(tmp_path):
    curate(documents(), tmp_path / "corpus", heldout=0.3, steps=[])
    pack_corpus(tmp_path / "corpus", Bytes(), tmp_path / "one", 32)
    merge_rows([packed(tmp_path / "two"), tmp_path / "one"], tmp_path / "all")
    np.testing.assert_array_equal(
        everything(tmp_path / "all", "heldout"),
        everything(tmp_path / "one", "heldout"),
    )


class Other(Bytes):
    fingerprint = "c" * 64
    bos_id = None


def test_folders_of_another_kind_are_refused(tmp_path):
    one, out = packed(tmp_path / "one"), tmp_path / "all"
    longer = packed(tmp_path / "longer", time=33)
    with pytest.raises(InputError, match=r"row_length 33.*row_length 34"):
        merge_rows([one, longer], out)
    wide = packed(tmp_path / "wide", tokenizer=Wide())
    with pytest.raises(InputError, match="token_dtype <u2.*token_dtype <u4"):
        merge_rows([one, wide], out)
    other = packed(tmp_path / "other", tokenizer=Other())
    with pytest.raises(InputError, match="tokenizer b.*c.*, bos_id None"):
        merge_rows([one, other], out)
    with pytest.raises(InputError, match="each once"):
        merge_rows([one, tmp_path / "wide" / ".." / "one"], out)
    with pytest.raises(InputError, match="Received: none"):
        merge_rows([], out)
    with pytest.raises(InputError, match="no manifest.json"):
        merge_rows([one, tmp_path], out)
    file = one / "train-00001.bin"
    file.write_bytes(file.read_bytes()[:-1])
    for change in (merge_rows, lambda folders, out: shuffle_rows(one, out)):
        with pytest.raises(InputError, match="train-00001.bin.*is cut"):
            change([one], out)
    assert not out.exists()


def test_a_mixture_is_not_merged(tmp_path):
    one, two = packed(tmp_path / "one"), packed(tmp_path / "two", 9)
    mix({"one": one, "two": two}, tmp_path / "mixed", tokens=500)
    with pytest.raises(InputError, match="mixed, a mixture"):
        merge_rows([one, tmp_path / "mixed"], tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_keys_are_those_of_splitmix64():
    # The outputs for the seed 1234567 that other implementations test with,
    # https://rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64.
    state = np.array([1234567], np.uint64)
    assert split_mix(state, np.arange(5)).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_shuffled_rows_are_the_rows_in_the_order_of_their_keys(tmp_path):
    folder = packed(tmp_path / "rows", 300)
    before = everything(folder)
    shuffle_rows(folder, tmp_path / "new", seed=5)
    order = np.argsort(shuffle_keys(5, np.arange(len(before))))
    np.testing.assert_array_equal(everything(tmp_path / "new"), before[order])
    info, old = (open_rows(f).info for f in (tmp_path / "new", folder))
    assert info.tokens == old.tokens and info.targets == old.targets
    assert sorted(os.listdir(tmp_path)) == ["new", "rows"]


def test_the_order_depends_on_seed_and_index_only(tmp_path):
    """Not on how the rows lie in shards, nor on the memory."""
    some, whole = packed(tmp_path / "some"), tmp_path / "whole"
    packed(whole, shard_rows=1000)
    for name, folder, memory in (
        ("a", some, 2**28),
        ("b", whole, 1),
        ("c", whole, 1000),
    ):
        shuffle_rows(folder, tmp_path / name, 3, shard_rows=9, memory=memory)
    a, b, c = (everything(tmp_path / name) for name in "abc")
    assert len(a) > 14
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a, c)
    files = [(tmp_path / n / "train-00001.bin").read_bytes() for n in "abc"]
    assert files[0] == files[1] == files[2]
    shuffle_rows(some, tmp_path / "d", 4)
    assert (everything(tmp_path / "d") != a).any()


def test_neighbours_are_torn_apart():
    places = np.argsort(np.argsort(shuffle_keys(0, np.arange(10_000))))
    assert sorted(places) == list(range(10_000))
    moved = places - np.arange(10_000)
    assert np.mean(np.abs(np.diff(places)) == 1) < 1e-3
    # Uniform: a place and its index have nothing to do with each other.
    assert abs(np.corrcoef(places, np.arange(10_000))[0, 1]) < 0.04
    assert abs(np.mean(moved > 0) - 0.5) < 0.02
    other = np.argsort(np.argsort(shuffle_keys(1, np.arange(10_000))))
    assert abs(np.corrcoef(places, other)[0, 1]) < 0.04


def test_shuffled_and_merged_rows_shuffle_and_merge_again(tmp_path):
    one, two = packed(tmp_path / "one"), packed(tmp_path / "two", 9)
    merge_rows([one, two], tmp_path / "all")
    manifest = shuffle_rows(tmp_path / "all", tmp_path / "all", seed=1)
    assert manifest.recipe["of"]["merged"][1]["packing"] == "best fit"
    rows = everything(tmp_path / "all")
    both = np.concatenate([everything(one), everything(two)])
    assert sorted(map(bytes, rows)) == sorted(map(bytes, both))


def test_bad_numbers_and_a_full_disk(tmp_path, monkeypatch):
    folder = packed(tmp_path / "rows")
    before = everything(folder)
    with pytest.raises(InputError, match="memory=0"):
        shuffle_rows(folder, tmp_path / "new", memory=0)
    with pytest.raises(InputError, match="seed"):
        shuffle_rows(folder, tmp_path / "new", seed=-1)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("keras_llm.data.shuffling._sorted", full)
    for out in (folder, tmp_path / "new"):
        with pytest.raises(OSError, match="No space left"):
            shuffle_rows(folder, out)
    np.testing.assert_array_equal(everything(folder), before)
    assert os.listdir(tmp_path) == ["rows"]


def test_one_row(tmp_path):
    pack_corpus([Document("ab", "")], Bytes(), tmp_path / "rows", 8)
    shuffle_rows(tmp_path / "rows", tmp_path / "new")
    one, two = everything(tmp_path / "rows"), everything(tmp_path / "new")
    np.testing.assert_array_equal(one, two)
