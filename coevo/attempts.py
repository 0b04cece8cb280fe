"""The Solver's side of a round: judged rollouts, zones, preference groups, updates."""

from __future__ import annotations

from collections.abc import Sequence

from agents.learners.mismatch import MismatchTooLarge
from agents.records import (
    Attempt,
    Failure,
    Finding,
    Group,
    PreferencePair,
    Refinement,
    Ruling,
    Solution,
)
from agents.roles.solver import solver_prompt
from coevo import failing, mismatch
from coevo.claim import RunError
from coevo.clock import Clock
from coevo.config import Config
from coevo.curriculum import Curriculum, Standing
from coevo.decontamination import EvaluationSets
from coevo.gate import Gate
from coevo.preferences import make_group, make_pairs
from coevo.record import RoundRecord
from coevo.seeding import derive, generator
from coevo.store import Store
from coevo.team import Member, Team
from coevo.tracking import Tracker
from environments import Diagnosis, Environment, Problem


class Attempting:
    """What the steps of a round work with, and those steps that the Solver's attempts are in."""

    def __init__(
        self,
        config: Config,
        environment: Environment,
        heldout: Sequence[Problem],
        sets: EvaluationSets | None,
        team: Team,
        curriculum: Curriculum,
        store: Store,
        clock: Clock,
        tracker: Tracker,
    ):
        self.config, self.environment, self.team = config, environment, team
        self.curriculum, self.store, self.clock, self.tracker = curriculum, store, clock, tracker
        self.heldout = list(heldout)
        self.gate = Gate(environment, heldout, config.curriculum.near_duplicates, sets)
        for problem in curriculum.problems.values():
            self.gate.remember(problem)

    def attempt(self, problems: Sequence[Problem], record: RoundRecord) -> dict[str, list[Attempt]]:
        """k judged rollouts of each problem by the Solver as it is now.

        Those that this same Solver has already made, when it tried out new problems at the end of
        the last round, are taken from the store.
        """
        solver, k, t = self.team.solver, self.config.loop.group_size, record.round
        known = {p.id: self.store.attempts(p.id, solver.version)[:k] for p in problems}
        missing = [problem for problem in problems if len(known[problem.id]) < k]
        known |= {problem.id: [] for problem in missing}  # the same seeds draw the same again
        self.tracker.phase(t, "rollout")
        with self.clock.part("rollout"):
            seeds = [derive(self.config.seed, "rollout", solver.version, p.id) for p in missing]
            drawn = solver.map("attempt", list(zip(missing, seeds, strict=True)), k)
        completions = [c for group in drawn for c in group]
        self.clock.cost("solver", "attempt", completions)
        record.outcomes += failing.of_completions("solver", "solve", completions)
        record.failures += [
            Failure(role="solver", task="solve", kind=c.error) for c in completions if c.error
        ]
        self.tracker.phase(t, "verify")
        with self.clock.part("verify"):
            flat = [(p, c) for p, group in zip(missing, drawn, strict=True) for c in group]
            rulings = self.team.teacher.map("verify", [(p, c.text) for p, c in flat])
        for index, ((problem, completion), ruling) in enumerate(zip(flat, rulings, strict=True)):
            attempt = Attempt(
                problem_id=problem.id,
                round=t,
                sample=index % k,
                completion=completion,
                verdict=ruling.verdict,
            )
            known[problem.id].append(attempt)
            record.rulings.append((attempt, ruling))
        self.book("verify", rulings, record)
        return known

    def place(self, rollouts: dict[str, list[Attempt]], record: RoundRecord) -> None:
        """Estimates the zone of every problem attempted."""
        for problem_id, attempts in rollouts.items():
            correct = sum(attempt.verdict.correct for attempt in attempts)
            standing = Standing(correct, len(attempts), self.team.solver.version)
            self.curriculum.record(problem_id, standing)
            record.standings.append((problem_id, standing))

    def groups(
        self, problems: Sequence[Problem], rollouts: dict[str, list[Attempt]], record: RoundRecord
    ) -> list[Group]:
        """What the Solver learns from: every problem's attempts and preference pairs."""
        template, groups = self.config.agents.solver.template, []
        earlier = {problem.id: self.earlier(problem) for problem in problems}
        diagnoses = self.diagnoses(problems, rollouts, earlier, record)
        for problem in problems:
            rng = generator(self.config.seed, "pairs", record.round, problem.id)
            pairs: list[PreferencePair] = make_pairs(
                problem, rollouts[problem.id], self.config.loop, rng, earlier[problem.id]
            )
            record.pairs += pairs
            prompt = solver_prompt(self.environment, template, problem)
            groups.append(make_group(problem, prompt, rollouts[problem.id], pairs, diagnoses))
        return groups

    def earlier(self, problem: Problem) -> list[Attempt]:
        """Failed attempts of earlier versions of the Solver, if its learner rejects them."""
        if self.config.loop.negatives == "current":
            return []
        before = [a for a in self.store.attempts(problem.id) if not a.verdict.correct]
        return [a for a in before if a.completion.policy_version < self.team.solver.version]

    def diagnoses(
        self,
        problems: Sequence[Problem],
        rollouts: dict[str, list[Attempt]],
        earlier: dict[str, list[Attempt]],
        record: RoundRecord,
    ) -> dict[str, Diagnosis | None]:
        """The Teacher's diagnosis of every failed attempt by its id, if the learner heeds them."""
        if self.config.loop.rejected == "whole":
            return {}
        attempted = [(p, a) for p in problems for a in (*rollouts[p.id], *earlier[p.id])]
        failed = [
            (problem, attempt) for problem, attempt in attempted if not attempt.verdict.correct
        ]
        with self.clock.part("verify"):
            items = [(problem, attempt.completion.text) for problem, attempt in failed]
            found = self.team.teacher.map("diagnose", items)
        self.book("diagnose", found, record)
        return {attempt.id: found[i].diagnosis for i, (_, attempt) in enumerate(failed)}

    def learn(self, member: Member, groups: Sequence[Group], t: int) -> dict[str, float]:
        """One update of a role; afterwards all its workers sample from the new weights.

        Raises `RunError` if the policy did not draw what the learner computes.
        """
        self.tracker.phase(t, "learn")
        with self.clock.part("learn"):
            try:
                metrics = member.learn(groups, derive(self.config.seed, "learn", member.name, t))
            except MismatchTooLarge as error:
                raise RunError(mismatch.told(error, self.config, member.name, t)) from error
        self.clock.detail(f"hand_over/{member.name}", member.hand_over_seconds)
        return metrics

    def attack(self, problems: Sequence[Problem], record: RoundRecord) -> None:
        """Attacks on the Teacher's judge at a few of the round's problems."""
        with self.clock.part("verify"):
            attacked = problems[: self.config.agents.teacher.canaries]
            record.canaries = self.team.teacher.map("attack", attacked)

    def book(
        self,
        task: str,
        results: Sequence[Ruling | Finding | Refinement | Solution],
        record: RoundRecord,
    ) -> None:
        """Books what the Teacher drew for its results, and keeps what of it could not be used."""
        self.clock.cost("teacher", task, [c for result in results for c in result.asked])
        record.outcomes += failing.of_teacher(task, results)
        record.failures += [failure for result in results for failure in result.failures]
