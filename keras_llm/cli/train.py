"""The verb `train`."""

import contextlib
import functools
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_llm.cli import options, watch_options
from keras_llm.cli.app import verb
from keras_llm.cli.board import open_board
from keras_llm.cli.console import (
    check_output,
    command,
    report,
    start_tensorflow,
)
from keras_llm.cli.model import percent, rounded
from keras_llm.compare.model_source import LM
from keras_llm.errors import InputError

SAMPLES, BOARD = ("The ", "def "), "tensorboard"


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
    dropout: Annotated[
        float, typer.Option(help="Share dropped in training.")
    ] = 0.0,
    remat: options.Remat = False,
    precision: Annotated[
        str,
        typer.Option(help="auto, float32, mixed_bfloat16 or mixed_float16."),
    ] = "auto",
    strategy: options.Strategy = "auto",
    mesh: options.Mesh = None,
    validate_every: Annotated[
        int, typer.Option(help="Steps between validations.")
    ] = 200,
    checkpoint_every: Annotated[
        int, typer.Option(help="Steps between checkpoints.")
    ] = 200,
    seed: Annotated[int, typer.Option(help="Weights and order of rows.")] = 0,
    learning_rate: options.LearningRate = 1e-3,
    weight_decay: options.WeightDecay = 0.1,
    optimizer: options.Optimizer = "adamw",
    schedule: options.Schedule = None,
    warmup_steps: options.WarmupSteps = None,
    clip_norm: options.ClipNorm = 1.0,
    ema: options.Ema = None,
    label_smoothing: options.LabelSmoothing = 0.0,
    optimizer_state: options.OptimizerState = "float32",
    base_width: options.BaseWidth = None,
    accumulate: options.Accumulate = 1,
    ramp_steps: options.RampSteps = 0,
    ramp_from: options.RampFrom = None,
    guard: options.Guard = None,
    guard_limit: options.GuardLimit = 6.0,
    loss_chunk: options.LossChunk = "auto",
    jit: options.Jit = None,
    steps_per_execution: options.StepsPerExecution = 1,
    prefetch: options.Prefetch = None,
    watch: watch_options.Watch = False,
    detail_every: watch_options.DetailEvery = 200,
    profile: watch_options.Profile = None,
    logger: watch_options.Logger = None,
    watts: watch_options.Watts = None,
    region: watch_options.Region = "world",
    price_per_hour: watch_options.PricePerHour = None,
    price_per_kwh: watch_options.PricePerKwh = None,
    save_in_background: watch_options.SaveInBackground = True,
) -> None:
    """Pretrain a decoder on packed rows; killed runs go on exactly.

    Run the same command again after a kill or a full disk: the losses are
    those of an uninterrupted run. SIGTERM and Ctrl-C save the step first.
    """
    check_output(output, force=True)
    start_tensorflow()
    if steps is None and minutes is None:
        raise InputError(
            "Expected how long to train: --steps or --minutes. "
            "Received: neither. Try --minutes 4."
        )
    train_now = functools.partial(
        pretrain,
        rows,
        tokenizer,
        output,
        size,
        dropout=dropout,
        remat=remat,
        precision=precision,
        strategy=strategy,
        mesh=mesh,
        steps=steps,
        minutes=minutes,
        batch_size=batch_size,
        **options.settings_of(
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            optimizer=optimizer,
            schedule=schedule,
            warmup_steps=warmup_steps,
            clip_norm=clip_norm,
            ema=ema,
            label_smoothing=label_smoothing,
            optimizer_state=optimizer_state,
            base_width=base_width,
            accumulate=accumulate,
            ramp_steps=ramp_steps,
            ramp_from=ramp_from,
            guard=guard,
            guard_limit=guard_limit,
            loss_chunk=loss_chunk,
            jit=jit,
            steps_per_execution=steps_per_execution,
            prefetch=prefetch,
        ),
        **watch_options.watched(
            detail_every=detail_every,
            profile=profile,
            logger=logger,
            watts=watts,
            region=region,
            price_per_hour=price_per_hour,
            price_per_kwh=price_per_kwh,
            save_in_background=save_in_background,
        ),
        validate_every=validate_every,
        checkpoint_every=checkpoint_every,
        sample_every=validate_every,
        seed=seed,
    )
    with contextlib.ExitStack() as stack:
        if watch and "TF_CONFIG" not in os.environ:
            address = stack.enter_context(open_board(output / BOARD))
            typer.echo(f"TensorBoard: {address}")
        trained, _ = train_now()
    report(
        f"Trained {output}",
        training_facts(trained),
        command("evaluate", output),
        command("generate", "The ", "--model", output),
        command("export", output),
    )


def pretrain(
    rows: Path,
    tokenizer: Path,
    output: Path,
    size: str,
    dropout: float = 0.0,
    remat: bool = False,
    precision: str = "auto",
    strategy: str = "auto",
    mesh: str | None = None,
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
        build_mup,
        choose_precision,
        distribution,
        fit,
    )

    chosen = TrainConfig(precision=precision, **settings)  # checked first
    cut = {} if mesh is None else {"mesh": mesh}
    devices = distribution(strategy, **cut)  # before what else uses devices
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
    build = build_decoder
    if chosen.base_width is not None:
        build = functools.partial(build_mup, base_width=chosen.base_width)
    with devices.scope():
        model = build(config, dtype=choose_precision(precision), remat=remat)
    trained = fit(
        model,
        packed,
        out=output,
        validation_rows=_heldout_rows(rows, packed),
        tokenizer=encoder,
        sample=_sampler(encoder),
        **settings,
    )
    model = devices.local(model)
    if not devices.chief:
        raise typer.Exit
    lm = CausalLM(float32_copy(model), encoder)
    lm.save(output / LM)
    write_card(output / LM, config, rows=rows, tokenizer=encoder.fingerprint)
    return trained, lm


def _sampler(encoder: Any) -> Any:
    """What writes samples while training, or None where nothing can."""
    import keras

    from keras_llm import CausalLM

    if keras.backend.backend() != "tensorflow":
        typer.echo("No samples while training: generation is TensorFlow's.")
        return None
    of = functools.cache(lambda decoder: CausalLM(decoder, encoder))
    return lambda decoder: of(decoder).generate(
        list(SAMPLES), max_new_tokens=48
    )


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
        **watch_options.cost_facts(trained.cost),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _heldout_rows(folder: Path, packed: Any) -> Any:
    """The held-out rows, if the corpus had held-out documents."""
    from keras_llm.data import open_rows

    has = "heldout" in packed.manifest.splits
    return open_rows(folder, "heldout") if has else None
