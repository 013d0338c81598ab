"""She and he: how often a corpus speaks of women and of men by a pronoun."""

import math
from collections.abc import Mapping

PRONOUNS = {
    "female": ("she", "her", "hers", "herself"),
    "male": ("he", "him", "his", "himself"),
}
CERTAIN = 1.959963984540054  # standard errors of a 95 % interval


class PronounCounts:
    """English pronouns of women and of men, with the error of their share.

    The error takes whole documents as drawn, since the words of a document
    are not independent.

    Source: the ratio estimator, Cochran 1977, "Sampling Techniques",
    equation 6.13.

    Example:

    >>> counts = PronounCounts()
    >>> for _ in range(10):
    ...     counts.add({"she": 1, "he": 3, "rose": 9})
    >>> counts.share, counts.interval()
    (0.25, (0.25, 0.25))
    """

    def __init__(self) -> None:
        self.female = self.male = self.documents = 0
        self._squares = [0, 0, 0]

    def add(self, words: Mapping[str, int]) -> None:
        """Counts the pronouns of one document.

        Args:
            words: Words in lower case, and how often each stands there.
        """
        female, male = (
            sum(words.get(word, 0) for word in some)
            for some in PRONOUNS.values()
        )
        if not female + male:
            return
        both = female + male
        self.female, self.male = self.female + female, self.male + male
        self.documents += 1
        for place, value in enumerate((female**2, female * both, both**2)):
            self._squares[place] += value

    @property
    def share(self) -> float | None:
        """Returns the share of "she" and its forms, None without any."""
        both = self.female + self.male
        return self.female / both if both else None

    @property
    def error(self) -> float | None:
        """Returns the standard error of the share, None below two documents
        with pronouns."""
        share = self.share
        if share is None or self.documents < 2:
            return None
        female, mixed, both = self._squares
        spread = max(0.0, female - 2 * share * mixed + share**2 * both)
        scale = self.documents / (self.documents - 1)
        return math.sqrt(spread * scale) / (self.female + self.male)

    def interval(self) -> tuple[float, float] | None:
        """Returns the 95 % interval of the share, None without an error."""
        if self.share is None or self.error is None:
            return None
        half = CERTAIN * self.error
        return max(0.0, self.share - half), min(1.0, self.share + half)
