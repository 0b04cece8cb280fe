"""The quality gate: which new problems may enter the pool."""

from __future__ import annotations

from collections.abc import Iterable

from coevo.decontamination import OWN, EvaluationSets
from environments import Environment, Problem


class Gate:
    """Refuses duplicates, near duplicates and problems of the held-out sets.

    `heldout` are those of the environment, known by its own signatures; `sets`, every registered
    evaluation set, are searched by words.

    Form and answer are checked by the roles: a text that does not parse is `malformed`, a problem
    that the Teacher does not solve twice alike is `unsolved`.
    """

    def __init__(
        self,
        environment: Environment,
        heldout: Iterable[Problem],
        near_duplicates: bool = False,
        sets: EvaluationSets | None = None,
    ):
        self.sets = sets
        self.environment, self.near_duplicates = environment, near_duplicates
        self.ids: set[str] = set()
        self.signatures: set[str] = set()
        self.reserved: set[str] = set()
        for problem in heldout:
            self.reserved |= {problem.id, environment.signature(problem)}

    def screen(self, problems: Iterable[Problem]) -> list[str | None]:
        """Why each problem may not enter, or None; a later one may not repeat an earlier one."""
        ids, signatures = set(self.ids), set(self.signatures)
        refusals: list[str | None] = []
        for problem in problems:
            signature = self.environment.signature(problem)
            if leak := self.leak(problem):
                refusals.append(leak)
            elif problem.id in ids:
                refusals.append("duplicate")
            elif signature in signatures and not self.near_duplicates:
                refusals.append("near_duplicate")
            else:
                refusals.append(None)
                ids.add(problem.id)
                signatures.add(signature)
        return refusals

    def leak(self, problem: Problem) -> str | None:
        """`heldout`, `contaminated:<set>:<how>`, or None if no evaluation set has the problem."""
        signature = self.environment.signature(problem)
        if problem.id in self.reserved or signature in self.reserved:
            return OWN
        match = self.sets.match(problem.statement) if self.sets else None
        return match.status if match else None

    def remember(self, problem: Problem) -> None:
        """Counts a problem as known: it has entered the pool."""
        self.ids.add(problem.id)
        self.signatures.add(self.environment.signature(problem))
