"""Search: which settings train best, and what a larger model would reach."""

from keras_llm.search.power_law import PowerLaw, fit_power_law
from keras_llm.search.space import Space
from keras_llm.search.sweep import SweepConfig, sweep

__all__ = ["PowerLaw", "Space", "SweepConfig", "fit_power_law", "sweep"]
