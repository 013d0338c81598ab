"""The model card: a README.md that says what is known, and what is not.

The form is the Hugging Face hub's: YAML front matter, then sections. Every
number comes from a record of the run; what nobody recorded is said to be not
recorded.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_llm.config import DecoderConfig
from keras_llm.errors import InputError
from keras_llm.estimate import count_parameters, weight_bytes
from keras_llm.files import write_text
from keras_llm.records import Record

CARD = "README.md"
GENERATES = "text-generation"
UNKNOWN = "Not recorded."
TRAINED = {
    "steps": "optimizer steps",
    "tokens": "target tokens",
    "seconds": "seconds",
    "precision": "precision",
    "tokens_per_second": "tokens a second",
    "mfu": "model FLOPs utilization",
    "peak_memory": "peak memory in bytes",
    "loss": "training loss in nats per token",
}
"""Field of `TrainReport` -> what the card calls it."""
MEASURED = {
    "validation_loss": "validation loss in nats per token",
    "validation_perplexity": "validation perplexity per token",
}
SETTINGS = (
    *("batch_size", "learning_rate", "weight_decay", "clip_norm"),
    *("warmup_steps", "z_loss", "accumulate", "seed"),
)
USES = {
    "keras": 'from keras_llm import CausalLM\n\nlm = CausalLM.load("FOLDER")\n'
    'print(lm.generate("Once upon a time"))',
    "transformers": "from transformers import pipeline\n\n"
    'write = pipeline("text-generation", "FOLDER")\n'
    'print(write("Once upon a time"))',
}
"""Library that loads the folder -> how."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Card(Record):
    """What a model card says; None and empty mean not recorded.

    Args:
        name: Title of the page.
        library: What loads the folder: "keras" or "transformers".
        language: Codes of the languages in the data, for example ("en",).
        license: The licence's identifier on the hub, for example "mit".
        base_model: The model on the hub that this one was trained from.
        datasets: Names on the hub of what it was trained on.
        tokenizer: Fingerprint of its tokenizer.
        data: Facts about the training data, by name.
        training: Facts about the training, by name; `seconds` among them.
        evaluation: Results, by name.
        environment: Versions of what it was trained with, by name.
        limits: What the model should not be used for, in words.
        task: What it does, as the hub calls it. Default: "text-generation".
        use: Python that uses it. Default: that of the library.
        watts: Mean power drawn during training; gives the energy.

    Raises:
        InputError: `library` or `watts` is out of range.

    Example:

    >>> Card(name="rose", license="mit").front_matter().splitlines()[1]
    'license: "mit"'
    """

    name: str
    library: str = "keras"
    language: tuple[str, ...] = ()
    license: str | None = None
    base_model: str | None = None
    datasets: tuple[str, ...] = ()
    tokenizer: str | None = None
    data: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    training: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    evaluation: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    environment: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    limits: str | None = None
    task: str = GENERATES
    use: str | None = None
    watts: float | None = None

    def __post_init__(self) -> None:
        self._one_of("library", tuple(USES))
        self._positive("watts")

    def front_matter(self) -> str:
        """Returns what the hub reads: YAML between two lines of dashes."""
        values = {
            "language": [*self.language],
            "license": self.license or "unknown",
            "library_name": self.library,
            "pipeline_tag": self.task,
            "tags": ["keras_llm", self.task],
            "base_model": self.base_model,
            "datasets": [*self.datasets],
            "metrics": ["perplexity"] if self._has_perplexity() else [],
        }
        # JSON is YAML, and quotes whatever needs it.
        lines = [
            f"{name}: {json.dumps(value, ensure_ascii=False)}"
            for name, value in values.items()
            if value
        ]
        return "\n".join(["---", *lines, "---"])

    def text(self, config: DecoderConfig) -> str:
        """Returns the whole page."""
        sections = {
            "Model": _facts(_model(config) | {"tokenizer": self.tokenizer}),
            "Use": f"```python\n{self.use or USES[self.library]}\n```",
            "Data": self._data(),
            "Training": _facts(self.training),
            "Evaluation": _facts(self.evaluation),
            "Limits": self._limits(config),
            "Licence": self.license or UNKNOWN,
            "Energy": self._energy(),
        }
        if self.environment:
            sections["Environment"] = _facts(self.environment)
        parts = [f"## {name}\n\n{body}" for name, body in sections.items()]
        head = f"{self.front_matter()}\n\n# {self.name}"
        return "\n\n".join([head, *parts]) + "\n"

    def _has_perplexity(self) -> bool:
        return any("perplexity" in name for name in self.evaluation)

    def _data(self) -> str:
        said = {
            "languages": ", ".join(self.language) or "not recorded",
            "datasets on the hub": ", ".join(self.datasets) or "not recorded",
        }
        return _facts({**said, **self.data})

    def _limits(self, config: DecoderConfig) -> str:
        does = "continues" if self.task == GENERATES else "reads"
        return (
            f"{self.limits or UNKNOWN}\n\nThe model {does} text, at most "
            f"{config.context_length:,} tokens with the prompt. Truth, bias "
            "and harm of what it says were not measured unless "
            "Evaluation says so."
        )

    def _energy(self) -> str:
        seconds = self.training.get("seconds")
        if not seconds:
            return UNKNOWN
        hours = seconds / 3600
        if self.watts is None:
            return (
                f"{UNKNOWN} Training took {hours:.2f} hours; the power drawn "
                "was not measured."
            )
        return (
            f"Estimated: {self.watts * hours / 1000:.3g} kWh, which is "
            f"{hours:.2f} hours of training at a mean of {self.watts:g} W."
        )


def write_card(
    folder: str | os.PathLike,
    config: DecoderConfig,
    home: str | os.PathLike | None = None,
    rows: str | os.PathLike | None = None,
    **said: Any,
) -> None:
    """Writes a model's README.md from what was recorded.

    Args:
        folder: The folder to write to; an earlier README.md is replaced.
        config: The model's config.
        home: Where the folder will stand. Default: where it is. A run's
            folder around it, as `keras-llm train` makes one, tells settings,
            speed and losses; without one they are said to be not recorded.
        rows: The packed rows that it was trained on: their size and hashes.
        **said: Fields of `Card` that no file records: `license`,
            `language`, `limits`, ...; they win over what was recorded.

    Raises:
        InputError: A record is damaged, or a field is none of `Card`'s.

    Example:

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_card(folder, DecoderConfig(vocabulary_size=9, num_layers=1,
    ...     context_length=8, hidden_dim=8, num_heads=2), name="rose")
    >>> "# rose" in (folder / "README.md").read_text()
    True
    """
    place = Path(os.path.abspath(home or folder))
    run = _run_around(place)
    found: dict[str, Any] = {"name": (run or place).name}
    if run is not None:
        found |= _of_run(run)
    if rows is not None:
        found["data"] = found.get("data", {}) | _of_rows(Path(rows))
    card = Card.from_dict(found | said)
    write_text(Path(folder) / CARD, card.text(config))


def _run_around(place: Path) -> Path | None:
    """The finished run that a model's folder stands in, if it does."""
    from keras_llm.train.folder import PLAN, REPORT

    run = place.parent
    return run if all((run / f).is_file() for f in (PLAN, REPORT)) else None


def _of_run(run: Path) -> dict[str, Any]:
    """What a finished run's files say."""
    from keras_llm.train.folder import PLAN, REPORT

    plan, report = _read(run / PLAN), _read(run / REPORT)
    settings = plan.get("settings") or {}
    training = {label: report.get(key) for key, label in TRAINED.items()}
    return {
        "data": {"hash of the rows": plan.get("rows")},
        "training": training | {k: settings.get(k) for k in SETTINGS},
        "evaluation": {
            label: report[key]
            for key, label in MEASURED.items()
            if report.get(key) is not None
        },
    }


def _of_rows(rows: Path) -> dict[str, Any]:
    """What the manifest of packed rows says."""
    from keras_llm.data.manifest import Manifest

    manifest = Manifest.load(rows)
    facts: dict[str, Any] = {}
    for name, split in manifest.splits.items():
        facts[f"{name} documents"] = split.documents
        facts[f"{name} bytes of text"] = split.text_bytes
        facts[f"{name} tokens"] = split.tokens
    for name, value in (manifest.recipe.get("corpus") or {}).items():
        facts[f"SHA-256 of the {name} corpus"] = value
    return facts


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"Expected the record of a finished run at {path}. Received: "
            f"{error}. Restore it, or save the model outside of the run."
        ) from error


def _model(config: DecoderConfig) -> dict[str, Any]:
    parts = count_parameters(config)
    facts: dict[str, Any] = {"parameters": parts.total}
    if parts.idle:
        facts["parameters active for a token"] = parts.active
    return facts | {
        "bytes in float32": weight_bytes(config),
        "layers": config.num_layers,
        "hidden dimension": config.hidden_dim,
        "attention heads": f"{config.num_heads}, {config.num_kv_heads} for "
        "keys and values",
        "context length": config.context_length,
        "vocabulary": config.vocabulary_size,
    }


def _facts(facts: Mapping[str, Any]) -> str:
    """Facts as a table; those without a value are left out."""
    known = {k: v for k, v in facts.items() if v not in (None, "", [], {})}
    if not known:
        return UNKNOWN
    lines = [
        f"| {name.replace('_', ' ')} | {_shown(value)} |"
        for name, value in known.items()
    ]
    return "\n".join(["| | |", "| --- | --- |", *lines])


def _shown(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value).replace("|", "\\|").replace("\n", " ")
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
