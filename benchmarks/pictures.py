"""The pictures of docs/pictures.md, each by one call of `keras_llm.visualize`.

    python benchmarks/pictures.py --data ../shared/data --output docs/pictures
        [--run runs/pictures] [--steps 1500] [--only memory ...]

trains a small decoder with experts on three books where `--run` has none yet
(some minutes on two cores), and draws. A PNG has at most 256 colours, to be
small.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _small_lm import BOOKS, read

import keras_llm as kl
from keras_llm import visualize
from keras_llm.data import Counts, Document
from keras_llm.estimate_setup import Setup

SENTENCE = "Alice was beginning to get very tired of sitting by her sister"
UNTRAINED = 20  # every so many paragraphs one is held out
DPI = 90


def small_lm(data: Path, run: Path, steps: int) -> Any:
    """A decoder with four experts a layer; its training is kept in `run`."""
    import keras

    if (run / "lm").is_dir():
        return kl.CausalLM.load(run / "lm")
    keras.utils.set_random_seed(0)
    held_out, learned = paragraphs(data)
    tokenizer = kl.BytePairTokenizer.train(learned, 2048, progress=False)
    config = kl.DecoderConfig(
        vocabulary_size=tokenizer.vocabulary_size,
        context_length=96,
        num_layers=4,
        hidden_dim=128,
        num_heads=4,
        num_kv_heads=2,
        experts=kl.Experts(count=4, top_k=2, mlp_dim=128),
    )
    lm = kl.CausalLM(kl.build_decoder(config), tokenizer)
    kl.train.fit(
        lm.model,
        kl.tune.text_rows_of(learned, tokenizer, 96),
        validation_rows=kl.tune.text_rows_of(held_out, tokenizer, 96),
        out=run / "train",
        steps=steps,
        batch_size=16,
        learning_rate=4e-3,
        validate_every=steps // 15,
        sample_every=steps // 5,
        sample=lambda model: lm.replace(model=model).generate(
            "Alice", max_new_tokens=40, temperature=0.7
        ),
    )
    lm.save(run / "lm")
    return lm


def paragraphs(data: Path) -> tuple[list[str], list[str]]:
    """Those of three books, each on one line: held out, and to learn."""
    books = (Document(read(data / name), name) for name in BOOKS[:3])
    clean = kl.data.gutenberg()(books, Counts("gutenberg"))
    parts = [part for book in clean for part in book.text.split("\n\n")]
    parts = [" ".join(part.split()) for part in parts if part.strip()]
    learned = [p for i, p in enumerate(parts) if i % UNTRAINED]
    return parts[::UNTRAINED], learned


def without_model(data: Path, tokenizer: Any) -> dict[str, Callable[[], Any]]:
    """Pictures of configs, settings and tokenizers."""
    gpt2 = kl.tokenizers.load_host(data / "gpt2_bpe")
    text = "Tokenizers cut unhappily: naïve 🌹 costs 1234567 tokens?\n  x = y"
    llama = kl.zoo.config("llama-3.2-1b")
    sentences = ("Down the rabbit-hole", "Curiouser!", "said the Mad Hatter.")
    row = next(kl.data.pack(tokenizer.encode(list(sentences)), row_length=27))
    peak = {"steps": 1000, "learning_rate": 1e-3, "warmup_steps": 50}
    gpt = kl.zoo.config("gpt2")
    cases = {
        "plain": {"batch_size": 8},
        "activations computed again": {"remat": True},
        "4 micro-batches": {"accumulate": 4},
        "8-way FSDP": {"devices": 8, "strategy": "fsdp"},
    }
    setups: dict[str, Any] = {
        f"train, {name}": Setup(**{"batch_size": 8, **changes})
        for name, changes in cases.items()
    }
    setups["serve 32 texts, bfloat16"] = visualize.Serving(rows=32)
    setups["serve 32 texts, int4"] = visualize.Serving(
        rows=32, precision="int4"
    )
    scaled = {
        "none": kl.Rope(theta=10_000.0),
        "linear": kl.Rope(scaling="linear", factor=4.0),
        "yarn": kl.Rope(scaling="yarn", factor=4.0, original_context=2048),
        "llama3": kl.Rope(scaling="llama3", factor=4.0, original_context=2048),
    }
    config = llama.replace(context_length=8192)
    return {
        "tokens": lambda: visualize.token_figure(
            text, {"GPT-2": gpt2, "trained on three books": tokenizer}
        ),
        "merges": lambda: visualize.merge_tree_figure(" unhappily", gpt2),
        "mask": lambda: visualize.mask_figure(row, 4, tokenizer),
        "rotary": lambda: visualize.rotary_figure(
            {name: config.replace(rope=rope) for name, rope in scaled.items()}
        ),
        "schedule": lambda: visualize.schedule_figure(
            {
                name: kl.train.TrainConfig(schedule=name, **peak)
                for name in kl.train.settings.SCHEDULES
            }
        ),
        "memory": lambda: visualize.memory_figure(gpt, setups, limit=8e9),
        "cache": lambda: visualize.cache_figure(llama, window=1024),
    }


def with_model(lm: Any, run: Path, data: Path) -> dict[str, Callable[[], Any]]:
    """Pictures of a trained model and its training."""
    settings = kl.GenerationSettings(
        repetition_penalty=1.3, temperature=0.8, top_k=8, top_p=0.9, min_p=0.2
    )
    held_out, _ = paragraphs(data)
    text = "\n\n".join(held_out)
    passage = next(p for p in held_out if "Alice" in p and len(p) > 250)
    ids = lm.tokenizer.encode(text)
    rows = kl.quantize.sample_rows(ids, lm.config.context_length)
    return {
        "training": lambda: visualize.training_figure(run / "train"),
        "sampling": lambda: visualize.sampling_figure(
            lm, settings, "said Alice, and she felt very"
        ),
        "experts": lambda: visualize.expert_load_figure(lm, rows),
        "quantization": lambda: visualize.quantization_figure(
            lm,
            {
                "int4": "int4",
                "int4 GPTQ": kl.quantize.Quantization(
                    storage="int4", method="gptq"
                ),
            },
            text,
        ),
        "attention": lambda: visualize.attention_figure(lm, SENTENCE, layer=1),
        "lens": lambda: visualize.logit_lens_figure(lm, SENTENCE),
        "losses": lambda: visualize.token_loss_figure(lm, passage),
        "neighbours": lambda: visualize.neighbours_figure(
            lm, [" Alice", " said", " little"]
        ),
    }


def save(figure: Any, path: Path) -> None:
    """Writes a PNG of 256 colours."""
    from PIL import Image

    figure.savefig(path, dpi=DPI, metadata={"Software": None})
    with Image.open(path) as picture:
        few = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def main() -> None:
    """Draws all pictures, or those asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--run", type=Path, default=Path("runs/pictures"))
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--only", nargs="*")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    lm = small_lm(given.data, given.run, given.steps)
    pictures = without_model(given.data, lm.tokenizer)
    pictures |= with_model(lm, given.run, given.data)
    for name in given.only or pictures:
        path = given.output / f"{name}.png"
        save(pictures[name](), path)
        print(f"{path}: {path.stat().st_size:,} bytes", flush=True)


if __name__ == "__main__":
    main()
