"""The verbs around a model: train, evaluate, generate."""

from pathlib import Path
from typing import Annotated, Any

import typer

from keras_llm.cli.app import verb
from keras_llm.cli.console import (
    check_output,
    command,
    report,
    start_tensorflow,
)
from keras_llm.errors import InputError

LM = "lm"  # the folder inside a run that holds the finished CausalLM
SAMPLES = ("The ", "def ")

Model = Annotated[
    Path,
    typer.Argument(
        help="What `keras-llm train` or `keras-llm import` wrote, another "
        "model folder (CausalLM's or Hugging Face's), or a preset."
    ),
]


@verb(
    "keras-llm train runs/rows --size tiny --minutes 4",
    "keras-llm train runs/rows --size small --steps 5000 --batch-size 32",
)
def train(
    rows: Annotated[
        Path, typer.Argument(help="The folder that `keras-llm pack` wrote.")
    ] = Path("runs/rows"),
    tokenizer: Annotated[
        Path, typer.Option(help="The tokenizer the rows were packed with.")
    ] = Path("runs/tokenizer"),
    output: Annotated[
        Path, typer.Option(help="The run's folder; resumed if it holds a run.")
    ] = Path("runs/model"),
    size: Annotated[
        str, typer.Option(help="A preset of the zoo: tiny, mini, small, ...")
    ] = "tiny",
    steps: Annotated[
        int | None, typer.Option(help="Optimizer steps; or give --minutes.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Time to train; or give --steps.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Rows in a step.")] = 16,
    learning_rate: Annotated[
        float, typer.Option(help="Peak of the schedule.")
    ] = 1e-3,
    weight_decay: Annotated[
        float, typer.Option(help="AdamW's decay of kernels.")
    ] = 0.1,
    accumulate: Annotated[
        int, typer.Option(help="Micro-batches in a step, to save memory.")
    ] = 1,
    dropout: Annotated[
        float, typer.Option(help="Share dropped in training.")
    ] = 0.0,
    remat: Annotated[
        bool, typer.Option(help="Compute activations twice to save memory.")
    ] = False,
    precision: Annotated[
        str, typer.Option(help="auto, float32 or mixed_bfloat16.")
    ] = "auto",
    strategy: Annotated[
        str,
        typer.Option(
            help="auto, single, mirrored (this machine's GPUs) or "
            "multi_worker (see `keras-llm launch`)."
        ),
    ] = "auto",
    validate_every: Annotated[
        int, typer.Option(help="Steps between validations.")
    ] = 200,
    checkpoint_every: Annotated[
        int, typer.Option(help="Steps between checkpoints.")
    ] = 200,
    seed: Annotated[int, typer.Option(help="Weights and order of rows.")] = 0,
) -> None:
    """Pretrain a decoder on packed rows; killed runs go on exactly.

    Run the same command again after a kill or a full disk: the losses are
    those of an uninterrupted run. Watch it with `tensorboard --logdir
    runs/model/tensorboard`.
    """
    check_output(output, force=True)
    start_tensorflow()
    if steps is None and minutes is None:
        raise InputError(
            "Expected how long to train: --steps or --minutes. "
            "Received: neither. Try --minutes 4."
        )
    trained, _ = pretrain(
        rows,
        tokenizer,
        output,
        size,
        dropout=dropout,
        remat=remat,
        precision=precision,
        strategy=strategy,
        steps=steps,
        minutes=minutes,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        accumulate=accumulate,
        validate_every=validate_every,
        checkpoint_every=checkpoint_every,
        sample_every=validate_every,
        seed=seed,
    )
    report(
        f"Trained {output}",
        training_facts(trained),
        command("evaluate", output),
        command("generate", "The ", "--model", output),
        command("export", output),
    )


@verb("keras-llm evaluate runs/model --corpus runs/corpus")
def evaluate(
    model: Model = Path("runs/model"),
    corpus: Annotated[
        Path, typer.Option(help="Corpus with held-out documents.")
    ] = Path("runs/corpus"),
    output: Annotated[
        Path | None, typer.Option(help="Also write the numbers as JSON here.")
    ] = None,
) -> None:
    """Measure perplexity and bits per byte on held-out documents.

    Every token is scored once. Bits per byte compare across tokenizers; a
    unigram model and `xz -9` on the same bytes say what is easy.
    """
    start_tensorflow()
    lm = load_model(model)
    found = heldout_bits(lm, corpus)
    if output is not None:
        found.save(output)
    facts = {
        name.replace("_", " "): value
        if isinstance(value, int)
        else rounded(value)
        for name, value in found.to_dict().items()
    }
    report(f"Evaluated {model}", facts, command("export", model))


@verb(
    'keras-llm generate "The " --max-new-tokens 100',
    'keras-llm generate "def " --temperature 0.8 --top-p 0.95 --seed 7',
)
def generate(
    prompt: Annotated[str, typer.Argument(help="The text to continue.")],
    model: Annotated[
        Path, typer.Option(help="What `keras-llm train` wrote.")
    ] = Path("runs/model"),
    max_new_tokens: Annotated[
        int, typer.Option(help="Most tokens to add.")
    ] = 64,
    temperature: Annotated[
        float, typer.Option(help="0 is greedy, 1 the model's distribution.")
    ] = 0.0,
    top_k: Annotated[
        int, typer.Option(help="Sample among the k likeliest; 0: no limit.")
    ] = 0,
    top_p: Annotated[
        float, typer.Option(help="Sample among this much probability.")
    ] = 1.0,
    min_p: Annotated[
        float, typer.Option(help="Drop tokens below this share of the top.")
    ] = 0.0,
    repetition_penalty: Annotated[
        float, typer.Option(help="Above 1: repeat less.")
    ] = 1.0,
    stop: Annotated[
        list[str] | None, typer.Option(help="A string that ends the text.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the sampling.")] = 0,
) -> None:
    """Continue a text, printed as it comes."""
    from keras_llm.sampling import GenerationSettings

    settings = GenerationSettings(
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        stop=tuple(stop or ()),
        seed=seed,
    )  # checked before TensorFlow is waited for
    start_tensorflow()
    lm = load_model(model)
    pieces = lm.stream(prompt, **settings.to_dict())
    first = next(pieces, "")  # a prompt too long fails before it is echoed
    typer.echo(prompt + first, nl=False)
    for piece in pieces:
        typer.echo(piece, nl=False)
    typer.echo()


def pretrain(
    rows: Path,
    tokenizer: Path,
    output: Path,
    size: str,
    dropout: float = 0.0,
    remat: bool = False,
    precision: str = "auto",
    strategy: str = "auto",
    **settings: Any,
) -> tuple[Any, Any]:
    """Trains a preset on rows and saves the CausalLM beside its run.

    Returns:
        The `TrainReport` and the float32 `CausalLM`.

    Raises:
        SystemExit: With code 0, at the end of a process that is not the
            chief: saving and the report are the chief's.
    """
    import keras

    from keras_llm import CausalLM, float32_copy, tokenizers, zoo
    from keras_llm.card import write_card
    from keras_llm.data import open_rows
    from keras_llm.model import build_decoder
    from keras_llm.train import (
        TrainConfig,
        choose_precision,
        distribution,
        fit,
    )

    chosen = TrainConfig(precision=precision, **settings)  # checked first
    devices = distribution(strategy)  # before anything uses TensorFlow
    packed = open_rows(rows)
    encoder = tokenizers.load(tokenizer)
    packed.require(encoder)
    config = zoo.config(
        size,
        vocabulary_size=encoder.vocabulary_size,
        context_length=packed.context_length,
        dropout=dropout,
    )
    keras.utils.set_random_seed(chosen.seed)
    with devices.scope():
        model = build_decoder(config, choose_precision(precision), remat)
    sampler = CausalLM(model, encoder)
    trained = fit(
        model,
        packed,
        out=output,
        validation_rows=_heldout_rows(rows, packed),
        tokenizer=encoder,
        sample=lambda _: sampler.generate(list(SAMPLES), max_new_tokens=48),
        **settings,
    )
    if not devices.chief:
        raise typer.Exit
    lm = CausalLM(float32_copy(model), encoder)
    lm.save(output / LM)
    write_card(output / LM, config, rows=rows, tokenizer=encoder.fingerprint)
    return trained, lm


def load_model(path: Path) -> Any:
    """Loads a CausalLM from a run, a model folder or a preset's name.

    Names on the hub are for `keras-llm import`: here a name that is no
    folder is a folder that is missing, and no reason to use the network.
    """
    from keras_llm import zoo

    inner = path / LM
    if not inner.is_dir() and (path / "train.json").exists():
        raise InputError(
            f"Expected a finished run at {path}. Received: one that was "
            "stopped. Run the same `keras-llm train` again to finish it."
        )
    if not path.exists() and str(path) not in zoo.list():
        raise InputError(
            f"Expected a model folder, or a preset, at {path}. Received: no "
            "such folder. A model on the Hugging Face hub is fetched with "
            "`keras-llm import OWNER/NAME`."
        )
    return zoo.load(inner if inner.is_dir() else path)


def heldout_bits(lm: Any, corpus: Path) -> Any:
    """Returns the `BitsReport` of a corpus's held-out documents."""
    from keras_llm.data import read_corpus
    from keras_llm.evaluate import bits_per_byte

    documents = read_corpus(corpus, "heldout")
    texts = [document.text for document in documents]
    return bits_per_byte(lm.model, lm.tokenizer, texts)


def training_facts(trained: Any) -> dict[str, Any]:
    """The lines that a person wants to see of a `TrainReport`."""
    facts = {
        "parameters": trained.parameters,
        "steps": trained.steps,
        "tokens seen": trained.tokens,
        "tokens/s": rounded(trained.tokens_per_second, 0),
        "MFU": percent(trained.mfu),
        "training loss": rounded(trained.loss),
        "validation loss": rounded(trained.validation_loss),
        "minutes": rounded(trained.seconds / 60, 1),
        "precision": trained.precision,
    }
    return {name: value for name, value in facts.items() if value is not None}


def rounded(value: float | None, digits: int = 3) -> str | None:
    """Returns a number for a table, None for None.

    Example:

    >>> rounded(1234.5678, 1)
    '1,234.6'
    """
    return None if value is None else f"{value:,.{digits}f}"


def percent(value: float | None) -> str | None:
    """Returns a share as a percentage, None for None.

    Example:

    >>> percent(0.4567)
    '45.7%'
    """
    return None if value is None else f"{value:.1%}"


def _heldout_rows(folder: Path, packed: Any) -> Any:
    """The held-out rows, if the corpus had held-out documents."""
    from keras_llm.data import open_rows

    has = "heldout" in packed.manifest.splits
    return open_rows(folder, "heldout") if has else None
