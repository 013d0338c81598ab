"""Published sets: downloaded from a server that is here, checked, kept."""

import functools
import http.server
import threading

import pytest

from keras_llm.data import downloads
from keras_llm.errors import InputError
from keras_llm.files import sha256_of


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of the files below `tmp_path / "server"`; notes requests."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words):
            asked.append(self.path)

    folder = tmp_path / "server"
    folder.mkdir()
    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{running.server_port}"
        monkeypatch.setattr(downloads, "SERVER", address)
        yield folder, asked
        running.shutdown()
        thread.join()


@pytest.fixture
def one_set(server, monkeypatch):
    folder, _ = server
    path = folder / "owner/name/commit/a file.txt"
    path.parent.mkdir(parents=True)
    path.write_text("hello\n" * 20_000)
    known = {"from": "owner/name/commit/a file.txt", "sha256": sha256_of(path)}
    about = {"folder": "greeting", "files": {"hello.txt": known}}
    monkeypatch.setattr(downloads, "published", lambda: {"greeting": about})
    return path


def test_a_set_is_downloaded_once(server, one_set, tmp_path, monkeypatch):
    monkeypatch.setenv(downloads.FOLDER, str(tmp_path / "kept"))
    for _ in range(2):
        place = downloads.download("greeting")
        assert (place / "hello.txt").read_bytes() == one_set.read_bytes()
    assert place == tmp_path / "kept/greeting"
    assert server[1] == ["/owner/name/commit/a%20file.txt"]


def test_another_file_is_refused_and_nothing_kept(one_set, tmp_path):
    one_set.write_text("something else")
    with pytest.raises(InputError, match="Received: another file from http"):
        downloads.download("greeting", tmp_path / "kept")
    assert not [*(tmp_path / "kept").rglob("*.txt")]


def test_without_a_connection_the_sentence_says_where_to_put_it(
    one_set, tmp_path, monkeypatch
):
    one_set.unlink()
    with pytest.raises(InputError, match="404.*or put the file at .*hello.txt"):
        downloads.download("greeting", tmp_path / "kept")
    monkeypatch.setattr(downloads, "SERVER", "http://127.0.0.1:9")
    with pytest.raises(InputError, match="Connection refused"):
        downloads.download("greeting", tmp_path / "kept")


def test_an_unknown_set():
    with pytest.raises(InputError, match="'sms_spam'.*Received: 'spam'"):
        downloads.download("spam")


def test_the_files_beside_the_checkout_are_the_published_ones(shared_data):
    for about in downloads.published().values():
        for name, known in about["files"].items():
            path = shared_data / about["folder"] / name
            assert sha256_of(path) == known["sha256"]
