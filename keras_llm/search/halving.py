"""Which points to try, and for how long: Keras Tuner's oracles, made safe.

An oracle knows the space, proposes points and drops the worst half early.
Ours keeps what it knows in one file that a kill cannot leave half written,
and runs nothing itself: `sweep` does.
"""

import contextlib
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from keras_llm.errors import InputError, check_choice
from keras_llm.files import read_json, write_text
from keras_llm.search.space import Space

METHODS = ("halving", "random", "grid")
OBJECTIVE = "validation_loss"
SHARE = "tuner/epochs"  # how Keras Tuner calls the length of a trial


class Trial(NamedTuple):
    """A point to try.

    Args:
        name: Of its folder.
        point: Value of each searched name.
        share: Part of the full number of steps, above 0 and at most 1.
    """

    name: str
    point: dict[str, Any]
    share: float


class Halving:
    """Proposes trials and hears what they came to.

    "halving" is Hyperband: many short trials of which the best third (with
    `factor` 3) go on for three times as long, and again, in brackets that
    begin with fewer and longer trials. "random" and "grid" give every trial
    the full length.

    Args:
        file: Where its state is kept; read if it is there.
        space: What to search.
        method: "halving", "random" or "grid".
        rounds: "halving": lengths of trials, each `factor` times the one
            before. Default: 3.
        factor: Of lengths, and of how many go on. Default: 3.
        trials: Most trials; None for as many as the method has.
        seed: Of the random points.

    Raises:
        InputError: No such method, Keras Tuner is not installed, or "random"
            without `trials`.

    Source: Li et al. 2018, https://arxiv.org/abs/1603.06560.
    """

    def __init__(
        self,
        file: Path,
        space: Space,
        method: str = "halving",
        rounds: int = 3,
        factor: int = 3,
        trials: int | None = None,
        seed: int = 0,
    ):
        check_choice("method", method, METHODS)
        if method == "random" and trials is None:
            raise InputError(
                'Expected trials with method="random". Received: none.'
            )
        self._file, self._space = file, space
        self._longest = factor ** (rounds - 1) if method == "halving" else 1
        with _quiet():
            self._oracle = _oracle(
                space, method, self._longest, factor, trials, seed
            )
        # It would write several files after each change, one by one, which
        # a kill may cut; ours is one file.
        self._oracle.save = lambda: None
        self._oracle._save_trial = lambda trial: None
        if file.is_file():
            self._load()

    def running(self) -> list[Trial]:
        """Returns the trials that were begun and have no result yet."""
        return [self._trial(t) for t in self._oracle.ongoing_trials.values()]

    def next(self) -> Trial | None:
        """Returns a trial to run, or None if there is none now."""
        taken = set(self._oracle.ongoing_trials)
        worker = next(str(n) for n in range(10**6) if str(n) not in taken)
        with _quiet():
            found = self._oracle.create_trial(worker)
        if found.status != "RUNNING":
            return None
        self._save()
        return self._trial(found)

    def finish(self, name: str, loss: float | None) -> None:
        """Takes the loss of a trial; None if it failed."""
        found = self._oracle.trials[name]
        with _quiet():
            if loss is not None:
                self._oracle.update_trial(name, {OBJECTIVE: loss}, step=1)
            found.status = "FAILED" if loss is None else "COMPLETED"
            self._oracle.end_trial(found)
        self._save()

    def _trial(self, found: Any) -> Trial:
        values = found.hyperparameters.values
        return Trial(
            name=found.trial_id,
            point={name: values[name] for name in self._space.names},
            share=values.get(SHARE, self._longest) / self._longest,
        )

    def _save(self) -> None:
        trials = {k: t.get_state() for k, t in self._oracle.trials.items()}
        state = {"oracle": self._oracle.get_state(), "trials": trials}
        write_text(self._file, json.dumps(state))

    def _load(self) -> None:
        from keras_tuner.engine.trial import Trial as TunerTrial

        state = read_json(self._file)
        self._oracle.trials = {
            name: TunerTrial.from_state(values)
            for name, values in state["trials"].items()
        }
        self._oracle.set_state(state["oracle"])


def _oracle(
    space: Space,
    method: str,
    longest: int,
    factor: int,
    trials: int | None,
    seed: int,
) -> Any:
    """One of Keras Tuner's oracles over the space."""
    try:
        import keras_tuner
    except ModuleNotFoundError as error:
        raise InputError(
            "Expected the package keras-tuner, which sweeps need. Received: "
            "it is not installed. Run: pip install 'keras_llm[sweep]'"
        ) from error
    values = keras_tuner.HyperParameters()
    if space.learning_rate:
        low, high = space.learning_rate
        values.Float("learning_rate", low, high, sampling="log")
    for name in ("batch_size", "width", "depth"):
        if choices := getattr(space, name):
            values.Choice(name, list(choices))
    given: dict[str, Any] = {
        "objective": keras_tuner.Objective(OBJECTIVE, "min"),
        "hyperparameters": values,
        "seed": seed + 1,  # it takes 0 for none
        "max_consecutive_failed_trials": 10,
    }
    if method == "halving":
        given |= {"max_epochs": longest, "factor": factor}
        oracle = keras_tuner.oracles.HyperbandOracle(**given)
        oracle.max_trials = trials
    elif method == "random":
        oracle = keras_tuner.oracles.RandomSearchOracle(
            max_trials=trials, **given
        )
    else:
        oracle = keras_tuner.oracles.GridSearchOracle(
            max_trials=trials, **given
        )
    oracle.verbose = 0
    return oracle


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keras Tuner 1.4 calls functions that Python is about to drop."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
