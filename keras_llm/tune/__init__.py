"""Tuning: from files of examples to a model that is adapted to a task.

Readers name the file and line of whatever cannot be used; rows say which
tokens are learned by their weights; every task is `train.fit` with its own
rows, trainable weights and objective.
"""

from keras_llm.tune import rewards
from keras_llm.tune.answers import mean_reward
from keras_llm.tune.best_of import Candidate, best_of_n
from keras_llm.tune.chat_rows import chat_rows, completion_rows
from keras_llm.tune.conversations import ALPACA_JOINT, read_conversations
from keras_llm.tune.distill import Distillation, teacher_answers
from keras_llm.tune.domain import text
from keras_llm.tune.examples import (
    Conversation,
    Labelled,
    Pair,
    Rating,
    Tagged,
    held_out,
)
from keras_llm.tune.group_policy import GroupPolicy, GroupPolicyConfig
from keras_llm.tune.grpo import grpo
from keras_llm.tune.instruct import answers_to, chat
from keras_llm.tune.kept import TuneReport, Tuning
from keras_llm.tune.kto_rows import kto_rows
from keras_llm.tune.labelled import (
    label_ids,
    label_matrix,
    labels_of,
    read_labelled,
    tag_ids,
)
from keras_llm.tune.messages import exchange
from keras_llm.tune.pair_rows import pair_rows, rating_rows
from keras_llm.tune.pairs import ratings_of, read_pairs, read_ratings
from keras_llm.tune.prefer import plot_preference, prefer
from keras_llm.tune.preference import Preference, PreferenceConfig
from keras_llm.tune.questions import Question, read_questions
from keras_llm.tune.reference import with_reference
from keras_llm.tune.reward_model import RewardModel, reward
from keras_llm.tune.run import tune_on
from keras_llm.tune.tagged import read_tagged
from keras_llm.tune.tasks import TASKS, Task, as_instructions, read_answer
from keras_llm.tune.text_rows import mix, text_rows_of
from keras_llm.tune.trainable import Trainable

__all__ = [
    "ALPACA_JOINT",
    "TASKS",
    "Candidate",
    "Conversation",
    "Distillation",
    "GroupPolicy",
    "GroupPolicyConfig",
    "Labelled",
    "Pair",
    "Preference",
    "PreferenceConfig",
    "Question",
    "Rating",
    "RewardModel",
    "Tagged",
    "Task",
    "Trainable",
    "TuneReport",
    "Tuning",
    "answers_to",
    "as_instructions",
    "best_of_n",
    "chat",
    "chat_rows",
    "completion_rows",
    "exchange",
    "grpo",
    "held_out",
    "kto_rows",
    "label_ids",
    "label_matrix",
    "labels_of",
    "mean_reward",
    "mix",
    "pair_rows",
    "plot_preference",
    "prefer",
    "rating_rows",
    "ratings_of",
    "read_answer",
    "read_conversations",
    "read_labelled",
    "read_pairs",
    "read_questions",
    "read_ratings",
    "read_tagged",
    "reward",
    "rewards",
    "tag_ids",
    "teacher_answers",
    "text",
    "text_rows_of",
    "tune_on",
    "with_reference",
]
