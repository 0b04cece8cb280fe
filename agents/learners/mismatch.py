"""When the policy draws something else than the learner computes. Imports no torch."""

from __future__ import annotations


class MismatchTooLarge(RuntimeError):
    """`mismatch_kl` is above `mismatch_kl_max`, or no number.

    `untouched`: the update's first step found it, before any weight was changed; else it is the figure
    of a whole update, whose weights are not to be kept.
    """

    def __init__(self, figure: float, limit: float, untouched: bool):
        super().__init__(figure, limit, untouched)  # what pickling gives back
        self.figure, self.limit, self.untouched = figure, limit, untouched

    def __str__(self) -> str:
        when = "in the first step, no weight touched" if self.untouched else "over the update"
        return f"mismatch_kl={self.figure:.3g} {when}, above mismatch_kl_max={self.limit:g}"
