"""What one round did: everything that its transaction writes, and the numbers shown for it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from agents.records import Attempt, Failure, PreferencePair, Proposal, Ruling
from coevo.clock import Cost
from coevo.curriculum import Curriculum, Standing
from coevo.curve import NAME as CURVE
from coevo.damage import seal
from coevo.evaluate import Score, flat
from coevo.failing import Outcome, alarms
from coevo.frontier import NAME as FRONTIER
from coevo.frontier import frontier
from coevo.store import Store
from coevo.trainable import without_step
from environments import Problem


@dataclass(slots=True, kw_only=True)
class RoundRecord:
    """Round 0 is the set-up: seeds, initial SFT, the base evaluation."""

    round: int
    batch: Sequence[tuple[Problem, str]] = field(default_factory=list)
    rollouts: dict[str, list[Attempt]] = field(default_factory=dict)
    probes: dict[str, list[Attempt]] = field(default_factory=dict)
    standings: list[tuple[str, Standing]] = field(default_factory=list)
    pairs: list[PreferencePair] = field(default_factory=list)
    proposals: list[Proposal] = field(default_factory=list)
    admitted: list[Problem] = field(default_factory=list)
    updates: dict[str, dict[str, float]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)  # of the weights that each update made
    scores: list[Score] | None = None  # of the full evaluation
    curve: list[Score] | None = None  # of the small one
    rulings: list[tuple[Attempt, Ruling]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    canaries: list[tuple[str, bool]] = field(default_factory=list)

    # -- the numbers ----------------------------------------------------------------------------

    def metrics(self, curriculum: Curriculum) -> dict[str, float]:
        """Flat numbers by role; a number that this round has no data for is left out."""
        values: dict[str, float] = {"curriculum/problems": len(curriculum.problems)}
        values |= {f"zones/{zone}": count for zone, count in curriculum.zone_counts().items()}
        if self.rollouts:
            values |= self._solver()
        values |= self._proposals("generator") | self._proposals("teacher")
        new = [a.verdict.correct for p in self.admitted for a in self.probes.get(p.id, [])]
        if new:
            values["curriculum/new_success"] = statistics.fmean(new)
        if self.admitted:
            values["curriculum/admitted"] = len(self.admitted)
            values["curriculum/new_level"] = statistics.fmean(p.level for p in self.admitted)
            own = sum(problem.author == "generator" for problem in self.admitted)
            values["curriculum/generator_share"] = own / len(self.admitted)
        if (reached := frontier(self._tried(curriculum))) is not None:
            values[FRONTIER] = reached
        values |= self._judging() | self._spending()
        for role, update in self.updates.items():
            values |= {f"{role}/{name}": value for name, value in update.items()}
        if self.curve:
            values |= flat(self.curve, CURVE)
        if self.scores:
            values |= flat(self.scores)
        return values

    def _tried(self, curriculum: Curriculum) -> Iterator[tuple[int, int, int]]:
        """(level, right, attempts) of the batch's problems and of the new ones that were tried out."""
        new = {p.problem.id: p.problem for p in self.proposals if p.success is not None}
        for problem_id, group in {**self.rollouts, **self.probes}.items():
            problem = new.get(problem_id) or curriculum.problems[problem_id]
            yield problem.level, sum(a.verdict.correct for a in group), len(group)

    def _solver(self) -> dict[str, float]:
        attempts = [attempt for group in self.rollouts.values() for attempt in group]
        values = {"solver/success": statistics.fmean(a.verdict.correct for a in attempts)}
        for status in ("wrong", "unparseable", "timeout", "crash"):
            share = statistics.fmean(a.verdict.status == status for a in attempts)
            values[f"solver/{status}"] = share
        mixed = [len({a.verdict.correct for a in group}) > 1 for group in self.rollouts.values()]
        values["solver/groups_with_gradient"] = statistics.fmean(mixed)
        values["solver/pairs"] = len(self.pairs)
        return values

    def _proposals(self, author: str) -> dict[str, float]:
        own = [p for p in self.proposals if p.author == author]
        if not own:
            return {}
        values = {
            f"{author}/proposals": len(own),
            f"{author}/valid_rate": statistics.fmean(p.valid for p in own),
            f"{author}/admitted_rate": statistics.fmean(p.status == "admitted" for p in own),
            f"{author}/duplicate_rate": statistics.fmean(
                p.status in ("duplicate", "near_duplicate") for p in own
            ),
        }
        tried = [p for p in own if p.success is not None]
        if tried:
            # an invalid proposal is worth 0; a duplicate was not tried and counts in neither
            counted = [p.utility for p in own if p.success is not None or not p.valid]
            values[f"{author}/mean_utility"] = statistics.fmean(counted)
            values[f"{author}/mean_utility_of_valid"] = statistics.fmean(p.utility for p in tried)
            values[f"{author}/success"] = statistics.fmean(p.success or 0.0 for p in tried)
        return values

    def _judging(self) -> dict[str, float]:
        """Of a Teacher that a language model or simulated errors speak for."""
        values: dict[str, float] = {}
        judged = [r for _, r in self.rulings if r.exact and (r.model or r.disagrees)]
        if judged:
            known = [r for _, r in self.rulings if r.exact]
            wrong = sum(ruling.disagrees for ruling in judged)
            values["teacher/disagreement"] = wrong / len(known)
        if self.failures:
            for role in {failure.role for failure in self.failures}:
                count = sum(failure.role == role for failure in self.failures)
                values[f"{role}/failures"] = count
        if self.canaries:
            values["teacher/canaries_paid"] = statistics.fmean(paid for _, paid in self.canaries)
        return values

    def _spending(self) -> dict[str, float]:
        """What one admitted problem took: tokens and price of all that was written and solved."""
        asked = [completion for p in self.proposals for completion in p.asked]
        if not asked or not self.admitted:
            return {}
        total = Cost.of("", "", asked)
        values = {"curriculum/tokens_per_admitted": total.tokens / len(self.admitted)}
        if total.cost:
            values["curriculum/cost_per_admitted"] = total.cost / len(self.admitted)
        return values

    def success_map(self, curriculum: Curriculum) -> dict[tuple[str, int], tuple[float, int]]:
        """(family, level) -> (success rate, attempts) of this round's rollouts."""
        cells: dict[tuple[str, int], list[bool]] = {}
        for problem_id, group in self.rollouts.items():
            problem = curriculum.problems[problem_id]
            cell = cells.setdefault((problem.family, problem.level), [])
            cell += [attempt.verdict.correct for attempt in group]
        return {cell: (statistics.fmean(hits), len(hits)) for cell, hits in sorted(cells.items())}

    def table(self, curriculum: Curriculum) -> list[dict[str, Any]]:
        """A row for every problem that was placed in a zone this round."""
        utility = {p.problem.id: p.utility for p in self.proposals if p.success is not None}
        rows = []
        for problem_id, standing in self.standings:
            problem = curriculum.problems[problem_id]
            rows.append(
                {
                    "problem": problem.id,
                    "statement": problem.statement,
                    "parent": problem.parent_id,
                    "author": problem.author,
                    "family": problem.family,
                    "level": problem.level,
                    "zone": standing.zone,
                    "success": standing.success,
                    "utility": utility.get(problem_id),
                }
            )
        return rows

    def alarms(self, metrics: dict[str, float]) -> list[tuple[str, str]]:
        """Signs of collapse, in words: (kind, message)."""
        limits = [
            ("no_gradient", "solver/groups_with_gradient", 0.2, -1, "problems give a gradient"),
            ("invalid", "generator/valid_rate", 0.5, -1, "of the Generator's proposals are valid"),
            ("duplicates", "generator/duplicate_rate", 0.5, 1, "of its proposals are duplicates"),
            ("judge_fooled", "teacher/canaries_paid", 0.0, 1, "of attacks on the judge were paid"),
            ("too_easy", "curriculum/new_success", 0.9, 1, "is the success on new problems"),
            ("too_hard", "curriculum/new_success", 0.1, -1, "is the success on new problems"),
        ]
        return [
            (kind, f"{metrics[name]:.0%} {words}")
            for kind, name, limit, side, words in limits
            if name in metrics and (metrics[name] - limit) * side > 0
        ]

    # -- the transaction ------------------------------------------------------------------------

    def write(
        self,
        store: Store,
        metrics: dict[str, float],
        seconds: dict[str, float],
        costs: Sequence[Cost],
        heldout: Sequence[Problem],
    ) -> None:
        """Writes the whole round, or nothing."""
        t = self.round
        with store.transaction():
            store.add_batch(t, self.batch)
            for group in [*self.rollouts.values(), *self.probes.values()]:
                store.add_attempts(group)
            store.add_problems(self.admitted)
            store.add_zones(
                (t, i, s.policy_version, s.correct, s.attempts, s.zone) for i, s in self.standings
            )
            store.add_pairs(t, self.pairs)
            store.add_proposals(self.proposals)
            for role, update in self.updates.items():
                store.add_update(t, role, self.versions[role], update)
            store.add_costs(t, costs)
            store.add_judgements(self.rulings)
            store.add_failures(t, self.failures)
            told = [*self.alarms(metrics), *alarms(self.outcomes), *without_step(self.updates)]
            store.add_alarms(t, told)
            by_id = {problem.id: problem for problem in heldout}
            for benchmark, scores in (("heldout", self.scores), (CURVE, self.curve)):
                if scores is not None:
                    rows = [(by_id[s.problem_id], s.correct, s.answers) for s in scores]
                    store.add_evaluation(t, benchmark, rows)
            store.add_round(t, metrics, seconds)
            seal(store, t)
