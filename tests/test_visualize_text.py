"""Pictures of tokens, merges, sampling and runs hold what really happens."""

import json

import numpy as np
import pytest

from keras_llm import CausalLM, DecoderConfig, GenerationSettings, InputError
from keras_llm.model import build_decoder
from keras_llm.sampling import controls_for, sample
from keras_llm.tokenizers import HostTokenizer, Vocabulary, load_host
from keras_llm.visualize import (
    attention_figure,
    log_figure,
    logit_lens_figure,
    merge_steps,
    merge_tree_figure,
    run_samples,
    sampling_figure,
    sampling_stages,
    text_tokens,
    token_figure,
    token_loss_figure,
    training_curves,
    training_figure,
)

CONFIG = DecoderConfig(
    vocabulary_size=9,
    context_length=16,
    num_layers=1,
    hidden_dim=8,
    num_heads=2,
)
TEXT = "a rose is a rose\nand 🌹 <|end|>"


@pytest.fixture(scope="module")
def tokenizer():
    return HostTokenizer.train(["a rose is a rose"], 270, progress=False)


@pytest.fixture(scope="module")
def gpt2():
    from conftest import DATA

    if not DATA.is_dir():
        pytest.skip(f"no real texts at {DATA}")
    return load_host(DATA / "gpt2_bpe")


def test_tokens_are_those_of_the_tokenizer(tokenizer):
    tokens = text_tokens(TEXT, tokenizer)
    ids = tokenizer.encode(TEXT, allowed_special={"<|end|>"})
    assert [token.id for token in tokens] == ids
    assert [token.special for token in tokens] == [False] * 15 + [True]
    labels = [token.label for token in tokens]
    assert "⏎" in labels and "·rose" in labels
    assert [*"\\xf0 \\x9f \\x8c \\xb9".split()] == labels[10:14]


def test_the_picture_of_tokens_has_a_box_for_each(tokenizer):
    small = HostTokenizer.train([TEXT], 261, progress=False)
    both = {"many": tokenizer, "bytes": small}
    (axes,) = token_figure(TEXT, both).axes
    counts = [len(text_tokens(TEXT, one)) for one in both.values()]
    assert len(axes.patches) == sum(counts)
    words = [one.get_text() for one in axes.texts]
    assert f"many: {counts[0]} tokens" in words[0]
    ids = [str(one.id) for one in text_tokens(TEXT, tokenizer)]
    assert words[2 : 2 * counts[0] + 1 : 2] == ids
    assert len(token_figure(TEXT, small, ids=False).axes[0].texts) == (
        1 + counts[1]
    )


def test_boxes_of_tokens_do_not_overlap_and_stay_inside(gpt2):
    (axes,) = token_figure(f"{TEXT} {'unhappily ' * 20}", gpt2).axes
    rows = {}
    for box in axes.patches:
        rows.setdefault(box.get_y(), []).append((box.get_x(), box.get_width()))
    assert len(rows) > 2
    for row in rows.values():
        for (x, width), (after, _) in zip(row, row[1:], strict=False):
            assert x + width <= after + 1e-9
        assert sum(row[-1]) < axes.get_xlim()[1]
    assert min(rows) > axes.get_ylim()[0]


def test_letters_without_a_glyph_have_their_number(tmp_path):
    # matplotlib warns of a missing glyph, and warnings are errors here.
    tokenizer = HostTokenizer.train(["\u6f22"] * 3, 263, progress=False)
    config = CONFIG.replace(vocabulary_size=tokenizer.vocabulary_size)
    lm = CausalLM(build_decoder(config), tokenizer)
    text = "\u6f22 \u6f22"
    for draw in (attention_figure, logit_lens_figure, token_loss_figure):
        draw(lm, text).savefig(tmp_path / "a.png")
    (axes,) = token_figure(text, tokenizer).axes
    assert axes.texts[1].get_text() == "\\u6f22"
    axes.figure.savefig(tmp_path / "a.png")


WORDS = (" unhappily", "tokenization", "naïve", " the", "x", "🌹", "aaaaaaa")


@pytest.mark.parametrize("word", WORDS)
def test_merges_end_in_what_tiktoken_says(word, gpt2):
    steps = merge_steps(word, gpt2)
    parts = [bytes([byte]) for byte in word.encode()]
    for step in steps:
        starts = np.cumsum([0, *map(len, parts)]).tolist()
        place, count = starts.index(step.start), len(step.parts)
        assert tuple(parts[place : place + count]) == step.parts
        assert gpt2.token_bytes(step.id) == step.token
        parts[place : place + count] = [step.token]
    ids = gpt2.encode(word)
    assert parts == [gpt2.token_bytes(number) for number in ids]


def test_each_merge_is_the_lowest_that_there_is(gpt2):
    """The rule of GPT-2's `encoder.py`, by its own list of merges."""
    order = {pair: i for i, pair in enumerate(gpt2.vocabulary.merges)}
    parts = [bytes([byte]) for byte in b" unbelievable"]
    for step in merge_steps(" unbelievable", gpt2):
        pairs = list(zip(parts, parts[1:], strict=False))
        assert min(pairs, key=lambda p: order.get(p, 1e9)) == step.parts
        place = pairs.index(step.parts)
        parts[place : place + 2] = [step.token]


def test_a_whole_word_may_need_no_merges():
    ranks = {bytes([byte]): byte for byte in range(256)}
    tokenizer = HostTokenizer(Vocabulary({**ranks, b"abc": 256}))
    (step,) = merge_steps("abc", tokenizer)
    assert step.parts == (b"a", b"b", b"c") and step.id == 256


def test_the_merge_tree_has_a_node_for_each_byte_and_merge(gpt2):
    figure = merge_tree_figure(" unhappily", gpt2)
    (axes,) = figure.axes
    steps = merge_steps(" unhappily", gpt2)
    nodes = [t for t in axes.texts if t.get_family() == ["monospace"]]
    assert len(nodes) == 10 + len(steps)
    heights = {t.get_text(): t.get_position()[1] for t in nodes[10:]}
    assert heights["·unh"] == 7 and heights["ly"] == 1
    assert figure.get_suptitle() == "·unhappily: 10 bytes, 7 merges, 3 tokens"


LOGITS = np.array([3.0, -1.0, 2.5, 0.0, 1.0, -4.0, 2.0], "float32")
SETTINGS = {
    "penalty": {"repetition_penalty": 1.5},
    "temperature": {"temperature": 0.6},
    "top-k": {"top_k": 4},
    "top-p": {"top_p": 0.8},
    "min-p": {"min_p": 0.2},
    "all": {
        "repetition_penalty": 1.2,
        "temperature": 1.4,
        "top_k": 5,
        "top_p": 0.9,
        "min_p": 0.05,
    },
}


def by_transformers(settings, ids):
    """What `generate` of transformers makes of the logits."""
    import torch
    from transformers import (
        MinPLogitsWarper,
        RepetitionPenaltyLogitsProcessor,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    steps = {
        "repetition_penalty": RepetitionPenaltyLogitsProcessor,
        "temperature": TemperatureLogitsWarper,
        "top_k": TopKLogitsWarper,
        "top_p": TopPLogitsWarper,
        "min_p": MinPLogitsWarper,
    }
    scores, ids = torch.tensor(LOGITS)[None], torch.tensor([ids])
    for name, make in steps.items():
        if name in settings:
            scores = make(settings[name])(ids, scores)
            yield torch.softmax(scores, -1)[0].numpy()


@pytest.mark.parametrize("case", SETTINGS)
def test_stages_are_those_of_transformers(case):
    chosen = SETTINGS[case]
    settings = GenerationSettings(**{"temperature": 1.0, **chosen})
    stages = sampling_stages(LOGITS, settings, prompt=[0, 1])
    expected = list(by_transformers(chosen, [0, 1]))
    assert len(stages) == 1 + len(expected) == 1 + len(chosen)
    for stage, probabilities in zip(stages[1:], expected, strict=True):
        assert np.allclose(stage.probabilities, probabilities, atol=1e-6)


def test_the_last_stage_is_what_generation_draws_from():
    settings = GenerationSettings(temperature=0.7, top_k=5, top_p=0.9)
    last = sampling_stages(LOGITS, settings)[-1].probabilities
    count = 20_000
    numbers = ((np.arange(count) + 0.5) / count).astype("float32")
    rows = np.tile(LOGITS, (count, 1))
    drawn = np.asarray(sample(rows, numbers, controls_for(settings, count)))
    shares = np.bincount(drawn, minlength=len(LOGITS)) / count
    assert np.allclose(shares, last, atol=2e-4)


def test_a_model_continues_its_prompt(tokenizer):
    config = CONFIG.replace(vocabulary_size=tokenizer.vocabulary_size)
    lm = CausalLM(build_decoder(config), tokenizer)
    ids = lm.encode_prompt("a rose")
    settings = GenerationSettings(repetition_penalty=1.3)
    stages = sampling_stages(lm, settings, "a rose")
    logits = np.asarray(lm.model(np.array([ids])))[0, -1]
    expected = np.exp(logits) / np.exp(logits).sum()
    assert np.allclose(stages[0].probabilities, expected, atol=1e-6)
    greedy = lm.generate("a rose", repetition_penalty=1.3, max_new_tokens=1)
    assert [one.name for one in stages][-1] == "greedy"
    best = int(stages[-1].probabilities.argmax())
    assert lm.tokenizer.decode([best]) == greedy
    figure = sampling_figure(lm, settings, "a rose", count=5)
    labels = figure.axes[0].get_yticklabels()
    assert len(labels) == 5 and len(figure.axes) == 3


def test_the_picture_of_sampling_marks_what_is_gone():
    settings = GenerationSettings(temperature=1.0, top_k=2)
    figure = sampling_figure(LOGITS, settings, count=4)
    first, last = figure.axes
    assert [one.get_text() for one in last.texts][2:] == ["×", "×"]
    assert sum(bar.get_width() for bar in last.patches) == pytest.approx(1)
    ids = [one.get_text() for one in first.get_yticklabels()]
    assert ids == ["0", "2", "6", "4"]


@pytest.fixture
def run(tmp_path):
    lines = [
        {"step": s, "loss": 5 / s, "learning_rate": 1e-3 * s}
        | ({"validation_loss": 6 / s} if s == 20 else {})
        for s in (10, 20, 30)
    ]
    lines[2]["loss"] = None  # what is not finite
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "metrics.jsonl").write_text(f'{text}{{"step": 4')
    texts = [
        {"step": s, "texts": [f"text {s}", "another"]} for s in range(1, 31)
    ]
    text = "".join(json.dumps(line) + "\n" for line in texts)
    (tmp_path / "samples.jsonl").write_text(text)
    return tmp_path


def test_curves_are_what_the_folder_has(run):
    curves = training_curves(run)
    steps, losses = curves["loss"]
    assert steps.tolist() == [10, 20, 30]
    assert losses[:2].tolist() == [0.5, 0.25] and np.isnan(losses[2])
    assert curves["validation_loss"][0].tolist() == [20]
    assert len(run_samples(run)) == 60


def test_the_picture_of_a_run_has_its_samples(run):
    figure = training_figure(run, samples=3)
    loss, rate, notes = figure.axes
    drawn = [one.get_label() for one in loss.lines][:2]
    assert drawn == ["training", "validation"]
    assert rate.lines[0].get_ydata().tolist() == [0.01, 0.02, 0.03]
    marks = [line.get_xdata()[0] for line in loss.lines[2:]]
    assert marks[-1] == 30 and len(marks) == 3
    text = notes.texts[0].get_text()
    assert "text 30" in text and "another" not in text


def test_a_run_without_samples_has_two_panels(run):
    (run / "samples.jsonl").unlink()
    assert len(training_figure(run).axes) == 2


@pytest.mark.slow
def test_a_real_run_is_read(tmp_path):
    from tiny_run import train, write_rows

    train(write_rows(tmp_path / "rows"), tmp_path / "run")
    curves = training_curves(tmp_path / "run")
    assert curves["loss"][0].tolist() == [2, 4, 6, 8, 10, 12]
    assert curves["validation_loss"][0].tolist() == [4, 8, 12]
    assert [one.text for one in run_samples(tmp_path / "run")] == ["text"] * 3
    training_figure(tmp_path / "run").savefig(tmp_path / "a.png")


def test_a_figure_goes_to_tensorboard(tmp_path, run):
    from tensorboard.backend.event_processing.event_accumulator import (
        EventAccumulator,
    )

    figure = training_figure(run)
    log_figure(tmp_path / "board", "pictures/run", figure, step=7)
    events = EventAccumulator(str(tmp_path / "board")).Reload()
    (event,) = events.Tensors("pictures/run")
    width, height, png, *_ = event.tensor_proto.string_val
    inches = figure.get_size_inches()
    assert event.step == 7 and png[1:4] == b"PNG"
    ratio = int(width) / int(height)
    assert ratio == pytest.approx(inches[0] / inches[1], rel=0.01)


def test_mistakes_are_sentences(tokenizer, tmp_path):
    model = build_decoder(CONFIG)
    greedy = GenerationSettings()
    cases = {
        "Expected one word": lambda: merge_steps("a rose", tokenizer),
        "Received: ''": lambda: merge_steps("", tokenizer),
        "Received: object": lambda: merge_steps("a", object()),
        "Expected a prompt": lambda: sampling_stages(model, greedy),
        "of shape (2, 3)": lambda: sampling_stages(np.ones((2, 3)), greedy),
        "the prompt 'a'": lambda: sampling_stages(np.ones(3), greedy, "a"),
        "Expected the folder of a training run": lambda: training_figure(
            tmp_path
        ),
    }
    for sentence, call in cases.items():
        with pytest.raises(InputError) as error:
            call()
        assert sentence in str(error.value)
