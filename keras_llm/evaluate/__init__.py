"""Evaluation: is the model good, is it honest, is it fair.

Names are imported on first use: metrics, filters and reports need neither
Keras nor TensorFlow.
"""

from keras_llm.lazy import lazy

_FILES = {
    "harness": (
        "BenchmarkReport",
        "Task",
        "evaluate_tasks",
        "list_tasks",
        "load_task",
    ),
    "answers": ("exact_match", "normalize_answer", "token_f1"),
    "bias": (
        "bbq",
        "corpus_bias",
        "counterfactual",
        "crows_pairs",
        "refusals",
        "template_gaps",
        "toxicity",
    ),
    "bits": (
        "BitsReport",
        "bits_per_byte",
        "unigram_bits",
        "xz_bits",
    ),
    "corpus": (
        "Answers",
        "CorpusDescription",
        "CurationFunnel",
        "WrittenDescription",
        "answers_template",
        "balance_warnings",
        "croissant",
        "datasheet",
        "describe_corpus",
        "load_answers",
        "open_questions",
        "read_funnel",
        "reading_ease",
        "school_grade",
        "write_description",
    ),
    "curves": ("Curves",),
    "diversity": (
        "distinct_n",
        "repetition_rate",
        "repetition_rates",
        "self_bleu",
    ),
    "generation_callback": ("GenerationMetrics",),
    "keras_metrics": (
        "BitsPerByte",
        "ExpectedCalibrationError",
        "MacroF1",
        "MatthewsCorrelation",
        "Perplexity",
    ),
    "keras_subject": ("KerasSubject",),
    "lm_eval_adapter": ("lm_eval_model",),
    "generation": (
        "GenerationReport",
        "Scored",
        "generation_metrics",
        "generation_scores",
    ),
    "overlap": ("Overlap", "bleu", "chrf", "sentence_scores", "ter"),
    "calibration": (
        "Reliability",
        "calibration_error",
        "reliability",
        "reliability_figure",
    ),
    "calibration_report": ("CalibrationReport",),
    "classification": (
        "ClassificationReport",
        "classification_scores",
        "confusion_figure",
    ),
    "label_counts": ("label_scores", "roc_auc"),
    "token_calibration": ("calibrated", "next_token_calibration"),
    "probability_scores": (
        "CalibrationScores",
        "brier_score",
        "calibration_scores",
        "mean_loss",
    ),
    "callback": ("Evaluation",),
    "contaminated": ("ContaminationReport", "contamination"),
    "corrections": ("holm",),
    "experts": ("expert_load",),
    "finding": (
        "Code",
        "Finding",
        "HeatMap",
        "Measure",
        "Picture",
        "Table",
        "Title",
        "Words",
    ),
    "perplexity_step": ("fit_thresholds", "perplexity_filter"),
    "error_report": ("ErrorReport",),
    "group_tests": ("GroupResult", "compare_groups"),
    "grouping": (
        "EvaluatedItem",
        "Group",
        "count_words",
        "embedding_groups",
        "item_groups",
    ),
    "mistakes": ("find_mistakes",),
    "pairs_rule": (
        "encode_pair",
        "fit_prompt",
        "move_spaces",
        "pair_window",
        "rolling_windows",
    ),
    "gate": (
        "Failure",
        "Gate",
        "baseline_gates",
        "check_gates",
        "parse_gate",
    ),
    "harness.sandbox": ("pass_at_k", "run_programs"),
    "proportions": ("half_test", "wilson"),
    "language_model": ("LanguageReport", "language_report"),
    "memorized": ("MemorizationReport", "memorization"),
    "report": ("markdown_table", "plot_loss"),
    "reports": ("EvaluationReport", "write_report"),
    "rouge_scores": ("rouge", "rouge_each"),
    "statistics": (
        "Interval",
        "Paired",
        "bootstrap",
        "paired",
        "standard_error",
        "cohens_d",
        "sign_flip_test",
    ),
    "stored_subject": ("StoredSubject",),
    "tensorboard_report": ("write_summaries",),
    "subject": (
        "Continuation",
        "Likelihood",
        "Prompt",
        "ScoredTokens",
        "Subject",
    ),
    "baselines": ("Yardsticks", "yardsticks"),
}
_NAMES = {name: file for file, names in _FILES.items() for name in names}

__all__ = sorted(_NAMES)
__getattr__ = lazy(__name__, _NAMES)


def __dir__() -> list[str]:
    return __all__
