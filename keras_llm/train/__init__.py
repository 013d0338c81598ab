"""Training: losses, optimizer, the step, and `fit`, which resumes exactly."""

from keras_llm.train.callbacks import (
    Checkpoints,
    MetricsFile,
    Samples,
    read_history,
)
from keras_llm.train.checkpoint import prune, restore, save
from keras_llm.train.cluster import Cluster, find_cluster
from keras_llm.train.distribution import (
    Distribution,
    distribution,
    distribution_of,
)
from keras_llm.train.fit import fit
from keras_llm.train.layerwise import layer_rates, unfreezing
from keras_llm.train.losses import TokenLoss, token_loss
from keras_llm.train.measure import Measure, Run
from keras_llm.train.muon import Muon
from keras_llm.train.mup import (
    build_mup,
    coordinate_check,
    plot_coordinate_check,
)
from keras_llm.train.objective import NextToken, Objective
from keras_llm.train.optimizers import AdamW, Lion, optimizer
from keras_llm.train.progress_line import ProgressLine
from keras_llm.train.schedule_free import ScheduleFreeAdamW
from keras_llm.train.schedules import (
    InverseSquareRoot,
    WarmupConstant,
    WarmupCosine,
    WarmupLinear,
    WarmupStableDecay,
    schedule,
)
from keras_llm.train.scoring import score_rows
from keras_llm.train.settings import TrainConfig, TrainReport
from keras_llm.train.sharding import layout_map
from keras_llm.train.speed import (
    choose_precision,
    flops_per_token,
    measured_peak,
    precision_of,
)
from keras_llm.train.state import State, best, checkpoints, latest, read_state
from keras_llm.train.step import TokenTrainer
from keras_llm.train.tensorboard import TensorBoard
from keras_llm.train.updates import decay_groups
from keras_llm.train.watch import StopOnNan
from keras_llm.train.watch_config import WatchConfig

__all__ = [
    "AdamW",
    "Checkpoints",
    "Cluster",
    "Distribution",
    "InverseSquareRoot",
    "Lion",
    "Measure",
    "MetricsFile",
    "Muon",
    "NextToken",
    "Objective",
    "ProgressLine",
    "Run",
    "Samples",
    "ScheduleFreeAdamW",
    "State",
    "StopOnNan",
    "TensorBoard",
    "TokenLoss",
    "TokenTrainer",
    "TrainConfig",
    "TrainReport",
    "WatchConfig",
    "WarmupConstant",
    "WarmupCosine",
    "WarmupLinear",
    "WarmupStableDecay",
    "best",
    "build_mup",
    "checkpoints",
    "choose_precision",
    "coordinate_check",
    "decay_groups",
    "distribution",
    "distribution_of",
    "find_cluster",
    "fit",
    "flops_per_token",
    "latest",
    "layer_rates",
    "layout_map",
    "measured_peak",
    "optimizer",
    "plot_coordinate_check",
    "precision_of",
    "prune",
    "read_history",
    "read_state",
    "restore",
    "save",
    "schedule",
    "score_rows",
    "token_loss",
    "unfreezing",
]
