"""Downloads from a hub on this machine: resumed, checked, refused, cached."""

import importlib.util
import json
import os
import shutil

import pytest
from hub_server import COMMIT, Hub
from published import by_hand

from keras_llm import InputError, zoo
from keras_llm.zoo.hub import download

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("huggingface_hub") is None,
    reason="huggingface_hub is missing (extra hub)",
)
REPO = "me/rose"


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A llama's folder with what is of no use beside it."""
    folder = by_hand(tmp_path_factory.mktemp("hub") / "llama")
    (folder / "pytorch_model.bin").write_bytes(b"x" * 10_000)
    (folder / "README.md").write_text("# A rose")
    (folder / "original").mkdir()
    return folder


@pytest.fixture
def hub(published, tmp_path, monkeypatch):
    """A hub that has the folder, and an empty cache."""
    from huggingface_hub import constants

    hub = Hub()
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
    hub.repos[REPO] = published
    yield hub
    hub.close()


@pytest.fixture
def offline(monkeypatch):
    """Returns a function that switches the network off."""
    from huggingface_hub import constants

    return lambda: monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def refuses(call, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


def test_only_what_is_needed(hub):
    found = download(REPO)
    assert (found.repo, found.revision) == (REPO, COMMIT)
    assert set(os.listdir(found.folder)) == {
        *("config.json", "model.safetensors"),
        *("tokenizer.json", "tokenizer_config.json"),
    }
    assert not hub.sent["pytorch_model.bin"] and not hub.sent["README.md"]


def test_loaded_as_the_folder_it_is(hub, published):
    lm = zoo.load(REPO, context_length=32)
    here = zoo.load(published, context_length=32)
    text = here.generate("a king", max_new_tokens=8)
    assert lm.generate("a king", max_new_tokens=8) == text
    assert (lm.origin.repo, lm.origin.revision) == (REPO, COMMIT)
    assert lm.origin.family == "llama"


def test_a_preset_is_its_repository(hub, published, tmp_path):
    size = zoo.find_size("gpt2")
    hub.repos[size.repo] = published
    lm = zoo.load("gpt2", revision=COMMIT)
    assert (lm.origin.repo, lm.origin.license) == (size.repo, size.license)
    lm.save(tmp_path / "ours")
    assert zoo.load(tmp_path / "ours").origin == lm.origin
    card = (tmp_path / "ours" / "README.md").read_text()
    assert f'license: "{size.license}"' in card and size.repo in card


def test_the_second_time_nothing_is_sent(hub, offline):
    first, sent = download(REPO), hub.sent.copy()
    assert download(REPO) == first
    assert all(hub.sent[name] == sent[name] for name in sent if name)
    offline()
    hub.down = True
    for revision in (None, "main", COMMIT):
        assert download(REPO, revision) == first


def test_shards_by_their_index(hub, published, tmp_path):
    model = zoo.load_hugging_face(published)
    folder = tmp_path / "shards"
    zoo.save_hugging_face(model, folder, "llama", shard_bytes=50_000)
    (folder / "model.fp16.safetensors").write_bytes(b"x")
    hub.repos["me/shards"] = folder
    names = os.listdir(download("me/shards").folder)
    shards = [name for name in names if name.startswith("model-")]
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert sorted(shards) == sorted({*index["weight_map"].values()})
    assert len(shards) > 1 and "model.fp16.safetensors" not in names


@pytest.fixture
def slow_chunks(monkeypatch):
    """What arrives is written in small pieces, so that a part is kept."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)


def test_a_cut_line_is_resumed(hub, slow_chunks, published):
    size = (published / "model.safetensors").stat().st_size
    hub.hang_up["model.safetensors"] = size // 2
    found = download(REPO)
    data = (found.folder / "model.safetensors").read_bytes()
    assert data == (published / "model.safetensors").read_bytes()
    assert hub.sent["model.safetensors"] < size + 2000


def test_a_stopped_download_goes_on(hub, monkeypatch):
    """Whole files are kept; huggingface_hub 2.4 drops the part of one."""
    import huggingface_hub

    huggingface_hub.hf_hub_download(REPO, "tokenizer.json")
    assert hub.sent["tokenizer.json"]
    hub.hang_up["model.safetensors"] = 5000
    hub.down_after = True
    refuses(lambda: download(REPO), "503", "what was downloaded is kept")
    hub.down, sent = False, hub.sent.copy()
    download(REPO)
    assert hub.sent["tokenizer.json"] == sent["tokenizer.json"]
    assert hub.sent["model.safetensors"] > sent["model.safetensors"]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_wrong_hash(hub, name):
    hub.wrong = name
    refuses(lambda: download(REPO), name, "hash", "once more")
    hub.wrong = ""
    sent = hub.sent[name]
    download(REPO)
    assert hub.sent[name] > sent  # it was removed, and came anew


@pytest.mark.parametrize("network", [True, False])
def test_a_file_that_changed_in_the_cache(hub, offline, network):
    file = download(REPO).folder / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    if not network:
        offline()
    refuses(lambda: download(REPO), "model.safetensors", "removed")
    assert not file.exists()


def test_a_gated_model(hub, monkeypatch):
    hub.gated.add(REPO)
    refuses(lambda: download(REPO), "gated", "Accept its terms", "HF_TOKEN")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert download(REPO).revision == COMMIT


@pytest.mark.parametrize(
    ("name", "revision", "words"),
    [
        ("me/nobody", None, ("'me/nobody'", "does not exist or is private")),
        (REPO, "v7", ("revision='v7'", "does not exist")),
        ("me/a--b..", None, ("owner/name", "'me/a--b..'")),
    ],
)
def test_what_is_not_there(hub, name, revision, words):
    refuses(lambda: zoo.load(name, revision=revision), *words)


@pytest.mark.parametrize("missing", ["model.safetensors", "config.json"])
def test_a_repository_without_what_is_needed(hub, published, tmp_path, missing):
    folder = shutil.copytree(published, tmp_path / "part")
    (folder / missing).unlink()
    hub.repos["me/part"] = folder
    refuses(
        lambda: download("me/part"), missing, "pytorch_model.bin", "run code"
    )


def test_no_network_and_nothing_cached(hub, offline, tmp_path):
    offline()
    refuses(lambda: download(REPO), REPO, "network", str(tmp_path / "cache"))


def test_a_server_that_is_not_there(hub, monkeypatch):
    from huggingface_hub import constants

    cached = download(REPO)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert download(REPO) == cached
    refuses(lambda: download("me/other"), "127.0.0.1:9", "local folder")


def test_an_old_library_is_named(hub, monkeypatch):
    from huggingface_hub import HfApi

    monkeypatch.delattr(HfApi, "resolve_revision")
    refuses(lambda: zoo.load("me/rose"), "2.4 or newer", "--upgrade")


def test_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refuses(lambda: zoo.load("me/rose"), 'pip install "keras_llm[hub]"')
