"""What is written appears whole, and nothing else is ever lost."""

import errno
import os

import pytest

from keras_llm.errors import InputError
from keras_llm.files import (
    atomic_path,
    check_room,
    holds_only,
    new_folder,
    write_text,
)


def held(folder):
    """Relative path -> content of all files below a folder."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_an_error_leaves_the_previous_file_and_nothing_beside_it(tmp_path):
    write_text(tmp_path / "a", "before")
    with pytest.raises(KeyboardInterrupt):
        with atomic_path(tmp_path / "a") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt
    assert held(tmp_path) == {"a": "before"}


def test_a_file_never_replaces_a_folder(tmp_path):
    (tmp_path / "model").mkdir()
    write_text(tmp_path / "model" / "weights", "weeks of training")
    with pytest.raises(IsADirectoryError, match="the folder .*model. Name a"):
        write_text(tmp_path / "model", "a report")
    assert held(tmp_path) == {"model/weights": "weeks of training"}


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="Nothing was written"):
        with atomic_path(tmp_path / "a"):
            pass


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    for name in ("first", "second"):
        with new_folder(tmp_path / "out", holds_only({"first"})) as folder:
            (folder / name).write_text(name)
    assert held(tmp_path) == {"out/second": "second"}


def test_a_foreign_folder_is_never_replaced(tmp_path):
    write_text(tmp_path / "thesis.txt", "years of work")
    for path, words in (
        (tmp_path, "holds other files .thesis.txt."),
        (tmp_path / "thesis.txt", "the file"),
    ):
        with pytest.raises(InputError, match=words):
            with new_folder(path, holds_only({"a.txt"})):
                pytest.fail("the work must not even start")
    assert held(tmp_path) == {"thesis.txt": "years of work"}


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_folder_that_cannot_be_renamed_leaves_the_other(
    tmp_path, monkeypatch, error
):
    write_text(tmp_path / "out" / "a", "before")
    rename = os.rename

    def second_fails(source, target):
        if str(target) == str(tmp_path / "out") and "previous" not in str(
            source
        ):
            raise error
        rename(source, target)

    monkeypatch.setattr("os.rename", second_fails)
    with pytest.raises(error):
        with new_folder(tmp_path / "out", holds_only({"a"})) as folder:
            (folder / "a").write_text("after")
    assert held(tmp_path) == {"out/a": "before"}


def test_room_is_asked_for_and_given_back(tmp_path, monkeypatch):
    check_room(tmp_path / "weights", 100)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full, raising=False)
    with pytest.raises(OSError, match="No space left.*weights"):
        check_room(tmp_path / "weights", 100)
    assert not list(tmp_path.iterdir())
