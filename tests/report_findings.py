"""A finding with every kind of block, as hostile as a model may write."""

import math

from keras_llm.evaluate import (
    Code,
    HeatMap,
    Measure,
    Picture,
    Table,
    Title,
    Words,
)
from keras_llm.figures import new_figure

HOSTILE = '<script>alert("x")</script> & <img src=x onerror=alert(1)> `*_|~'


def curve(title: str = "loss") -> object:
    figure = new_figure(8, 4)
    axes = figure.subplots()
    axes.plot([1, 2, 4, 8, 16], [7.1, 5.2, 4.4, 4.1, 3.9], "o-", label=title)
    axes.set(xlabel="position", ylabel="nats per token", xscale="log")
    axes.legend()
    return figure


class Everything:
    """One of each kind of block."""

    def __init__(self, title: str = "Language modelling", part: str = "lm"):
        self.title, self.part = title, part

    def measures(self):
        return {
            f"{self.part}/bits_per_byte": Measure(1.2345, 0.0123, 200, False),
            f"{self.part}/acc": Measure(0.51, 0.05, 100),
            f"{self.part}/tokens": Measure(12_345.0, None, None, None),
            f"{self.part}/nothing": Measure(math.nan),
        }

    def blocks(self):
        rose = [" rose", " is", "\n", " a", " ros", "e", " is a rose", HOSTILE]
        rows = [
            {
                "domain": f"books/{name}.txt",
                "documents": count,
                "bits per byte": Measure(1.2 + count / 9e3, 0.02),
                "share": count / 1700,
                "p-value": 10.0 ** -(count % 9),
                "worst passage": f"It was {HOSTILE} and so on, " * 2,
            }
            for name, count in (("moby", 1200), ("alice", 73), ("x|y", 411))
        ]
        return [
            Words(f"Lower is better.\nNot a tag: {HOSTILE}"),
            Table(rows, "Bits per byte by domain."),
            Title("By position"),
            Picture(curve(), "Loss against the position in the context."),
            Title("Worst passages"),
            HeatMap(
                ["A", *rose * 6],
                [math.nan, *[0.1, 0.7, 3.2, 1.5, 9.1, 0.2, 5.5, 12.0] * 6],
                "Loss of each token in nats.",
            ),
            Title("A prompt"),
            Code("Question: what is ```1 + 1```?\n\n    Answer: 3" + "!" * 200),
            Table([], "Nothing was skipped."),
        ]

    def to_dict(self):
        return {"domains": {"moby": math.inf}, "text": HOSTILE}
