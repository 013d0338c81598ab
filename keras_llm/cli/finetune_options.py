"""Options of `keras-llm finetune`, as records: flags, YAML and checks in one.

A field is a flag of the same name, a key of `--config`, and a line of the
run's `finetune.json`.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_llm.cli.finetune_config import take_config
from keras_llm.cli.watch_options import Watch
from keras_llm.errors import InputError
from keras_llm.records import Record

DATA, LONG, WHAT = "Data", "How long", "What trains"
ADAPTER, SIZE = "LoRA", "Precision and size"


def option(
    help: str, panel: str | None = None, *names: str, **more: Any
) -> Any:
    """Returns typer's option with a help line in a panel."""
    return typer.Option(*names, help=help, rich_help_panel=panel, **more)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(Record):
    """What every flavour of `finetune` can be told."""

    model: Annotated[
        Path,
        typer.Argument(
            help="A run, a model folder (CausalLM's or Hugging Face's), or a "
            "preset with published weights."
        ),
    ] = Path("runs/model")
    data: Annotated[
        list[Path] | None,
        option("What to learn; give it again for more files.", DATA),
    ] = None
    validation: Annotated[
        Path | None,
        option(
            "Measured, never learned.", DATA, show_default="--hold-out of data"
        ),
    ] = None
    hold_out: Annotated[
        float, option("Share of the data to measure on instead.", DATA)
    ] = 0.1
    output: Annotated[
        Path,
        option("The run's folder; the same command goes on with a run."),
    ] = Path("runs/tuned")
    config: Annotated[
        str | None,
        option(
            "A YAML or JSON file with options by name, or a recipe of ours; "
            "flags win.",
            callback=take_config,
            is_eager=True,
        ),
    ] = None
    epochs: Annotated[
        float | None,
        option("How often the data are seen.", LONG, show_default="3"),
    ] = None
    steps: Annotated[int | None, option("Or: optimizer steps.", LONG)] = None
    minutes: Annotated[float | None, option("Or: time to train.", LONG)] = None
    batch_size: Annotated[
        int | None, option("Rows of a step.", LONG, show_default="8")
    ] = None
    learning_rate: Annotated[
        float | None,
        option("Peak of the schedule.", LONG, show_default="by what trains"),
    ] = None
    train: Annotated[
        str,
        option(
            "all, last_2 and the like, or patterns of weights' paths with "
            "commas between.",
            WHAT,
        ),
    ] = "all"
    layer_decay: Annotated[
        float | None,
        option("Factor from a layer's rate to the one below, as 0.9.", WHAT),
    ] = None
    unfreeze_every: Annotated[
        int, option("Steps until the next layer below trains.", WHAT)
    ] = 0
    lora: Annotated[
        int, option("Rank of an adapter, which trains alone; 0: none.", ADAPTER)
    ] = 0
    lora_alpha: Annotated[
        float | None,
        option("Its scale is alpha / rank.", ADAPTER, show_default="2 x rank"),
    ] = None
    lora_dropout: Annotated[
        float, option("Share of its inputs dropped.", ADAPTER)
    ] = 0.0
    lora_targets: Annotated[
        str,
        option(
            "Layers that get one: names or patterns with commas between, or "
            "all-linear.",
            ADAPTER,
        ),
    ] = "query,value"
    dora: Annotated[
        bool, option("Learn lengths and directions apart.", ADAPTER, "--dora")
    ] = False
    rslora: Annotated[
        bool, option("Scale by the root of the rank.", ADAPTER, "--rslora")
    ] = False
    bits: Annotated[
        int | None,
        option("8 or 4: round the base to integers (QLoRA).", ADAPTER),
    ] = None
    precision: Annotated[
        str, option("auto, float32, mixed_bfloat16 or mixed_float16.", SIZE)
    ] = "auto"
    strategy: Annotated[
        str,
        option(
            "auto, single, mirrored (this machine's GPUs); with "
            "KERAS_BACKEND=jax data_parallel.",
            SIZE,
        ),
    ] = "auto"
    context_length: Annotated[
        int | None,
        option("Tokens of a row.", SIZE, show_default="the model's"),
    ] = None
    seed: Annotated[int, option("Of the order, the adapter, the noise.")] = 0
    watch: Watch = False

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values; paths become text."""
        return {
            name: _plain(value) for name, value in super().to_dict().items()
        }

    def files(self) -> list[Path]:
        """Returns the files to learn from.

        Raises:
            InputError: None is named.
        """
        if not self.data:
            raise InputError(
                "Expected --data FILE: what to learn. Received: none. Several "
                "files are several --data."
            )
        return list(self.data)

    def trainable(self) -> dict[str, Any]:
        """Returns the fields of a `tune.Trainable`.

        Raises:
            InputError: An option of an adapter is given without one.
        """
        parts = tuple(self.train.split(","))
        return {
            "weights": parts[0] if len(parts) == 1 else parts,
            "lora": self.adapter(),
            "bits": self.bits,
            "seed": self.seed,
        }

    def adapter(self) -> dict[str, Any] | None:
        """Returns the fields of an `adapters.Lora`, or None for none.

        Raises:
            InputError: An option of an adapter is given without one.
        """
        if self.lora:
            return {
                "rank": self.lora,
                "alpha": self.lora_alpha or 2.0 * self.lora,
                "dropout": self.lora_dropout,
                "targets": tuple(self.lora_targets.split(",")),
                "rank_stabilized": self.rslora,
                "dora": self.dora,
            }
        alone = [
            f"--{name.replace('_', '-')}"
            for name in ("lora_alpha", "lora_dropout", "dora", "rslora")
            if getattr(self, name)
        ]
        if alone:
            raise InputError(
                f"Expected --lora RANK with {', '.join(alone)}. Received: "
                "none. Try --lora 8."
            )
        return None

    def settings(self) -> dict[str, Any]:
        """Returns the settings of `train.fit`, without those not given."""
        names = (
            *("epochs", "steps", "minutes", "batch_size", "learning_rate"),
            *("layer_decay", "unfreeze_every", "seed"),
        )
        return {
            name: value
            for name in names
            if (value := getattr(self, name)) is not None
        }


def named(option: str, pairs: list[str] | None) -> dict[str, str]:
    """Returns what "name=value" options say.

    Raises:
        InputError: One has no "=".

    Example:

    >>> named("--field", ["summary=target"])
    {'summary': 'target'}
    """
    found = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise InputError(
                f"Expected {option} NAME=VALUE. Received: {pair!r}."
            )
        found[name] = value
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value
