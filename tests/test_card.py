"""Model cards: the hub reads them, and they say nothing that is not known."""

import json

import pytest

from keras_llm.card import CARD, UNKNOWN, Card, write_card
from keras_llm.config import DecoderConfig, Experts
from keras_llm.errors import InputError

CONFIG = DecoderConfig(
    vocabulary_size=300,
    context_length=32,
    num_layers=2,
    hidden_dim=16,
    num_heads=2,
)
REPORT = {
    "steps": 10,
    "tokens": 1234,
    "seconds": 7200.0,
    "precision": "float32",
    "tokens_per_second": 99.5,
    "mfu": None,
    "loss": 2.5,
    "validation_loss": 2.25,
    "validation_perplexity": 9.5,
    "peak_memory": 1_000_000,
}
PLAN = {"settings": {"batch_size": 8, "seed": 0}, "rows": "ab12"}


def section(text: str, name: str) -> str:
    after = text.partition(f"\n## {name}\n\n")[2]
    return after.partition("\n## ")[0].strip()


def card(folder, **said) -> str:
    write_card(folder, CONFIG, **said)
    return (folder / CARD).read_text(encoding="utf-8")


@pytest.fixture
def run(tmp_path):
    """A finished run, as far as its records go, and a model in it."""
    folder = tmp_path / "roses"
    (folder / "lm").mkdir(parents=True)
    (folder / "train.json").write_text(json.dumps(PLAN))
    (folder / "report.json").write_text(json.dumps(REPORT))
    return folder


def test_what_nobody_recorded_is_said_so(tmp_path):
    text = card(tmp_path)
    for name in ("Training", "Evaluation", "Licence", "Energy"):
        assert section(text, name) == UNKNOWN
    assert section(text, "Limits").startswith(UNKNOWN)
    assert section(text, "Data").count("not recorded") == 2
    assert "metrics" not in text and 'license: "unknown"' in text


def test_the_model_is_counted(tmp_path):
    shown = section(card(tmp_path), "Model")
    assert "| parameters | 13,072 |" in shown
    assert "active" not in shown
    experts = CONFIG.replace(experts=Experts(count=4, top_k=1))
    write_card(tmp_path, experts)
    assert "active" in (tmp_path / CARD).read_text(encoding="utf-8")


def test_a_run_around_the_model_tells_its_story(run):
    text = card(run / "lm", license="mit", language=["en", "de"])
    assert "\n# roses\n" in text
    training = section(text, "Training")
    assert "| optimizer steps | 10 |" in training
    assert "| target tokens | 1,234 |" in training
    assert "| batch size | 8 |" in training
    assert "utilization" not in training  # null in the record
    assert "| validation perplexity per token | 9.5 |" in text
    assert "ab12" in section(text, "Data")
    assert section(text, "Licence") == "mit"
    assert section(text, "Energy").startswith(UNKNOWN)
    assert "2.00 hours" in section(text, "Energy")


def test_a_folder_being_written_is_told_where_it_will_stand(run, tmp_path):
    write_card(tmp_path, CONFIG, home=run / "lm")
    assert "# roses" in (tmp_path / CARD).read_text(encoding="utf-8")


def test_energy_is_time_times_power(run):
    text = section(card(run / "lm", watts=250.0), "Energy")
    assert text.startswith("Estimated: 0.5 kWh") and "250 W" in text


def test_rows_say_how_much_text_there_was(tmp_path):
    from tiny_run import write_rows

    write_rows(tmp_path / "rows")
    text = section(card(tmp_path, rows=tmp_path / "rows"), "Data")
    assert "| train documents | 40 |" in text
    assert "train bytes of text" in text


def test_the_hub_reads_the_front_matter(run):
    hub = pytest.importorskip("huggingface_hub", reason="it reads the card")
    text = card(
        run / "lm",
        license="apache-2.0",
        language=["en"],
        datasets=["wikitext"],
        base_model="openai-community/gpt2",
    )
    read = hub.ModelCard(text)
    data = read.data.to_dict()
    assert data == {
        "language": ["en"],
        "license": "apache-2.0",
        "library_name": "keras",
        "pipeline_tag": "text-generation",
        "tags": ["keras_llm", "text-generation"],
        "base_model": "openai-community/gpt2",
        "datasets": ["wikitext"],
        "metrics": ["perplexity"],
    }
    assert read.text.strip().startswith("# roses")


def test_text_that_yaml_would_take_for_something_else(tmp_path):
    hub = pytest.importorskip("huggingface_hub", reason="it reads the card")
    said = {"language": ["no"], "datasets": ["a: b", "#c", 'say "x"', "日本"]}
    data = hub.ModelCard(card(tmp_path, **said)).data
    assert data.language == ["no"] and data.datasets == said["datasets"]


def test_a_transformers_folder_says_how_to_load_it(tmp_path):
    text = card(tmp_path, library="transformers")
    assert "from transformers" in section(text, "Use")
    assert 'library_name: "transformers"' in text


@pytest.mark.parametrize(
    "said", [{"licence": "mit"}, {"library": "torch"}, {"watts": -1.0}]
)
def test_a_field_that_is_none_is_refused(tmp_path, said):
    with pytest.raises(InputError, match="Expected"):
        card(tmp_path, **said)


def test_a_damaged_record_is_refused(run):
    (run / "report.json").write_text("{")
    with pytest.raises(InputError, match="report.json"):
        card(run / "lm")


def test_a_table_cell_keeps_its_bar():
    shown = Card(name="x", data={"a|b": "c|d\ne"}).text(CONFIG)
    assert "c\\|d e" in shown
