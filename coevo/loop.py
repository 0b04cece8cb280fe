"""One round of co-evolution, from top to bottom.

Socratic-Zero (arXiv 2509.24726), algorithm 1, with the switches of `LoopConfig`: the Solver attempts,
the Teacher judges, the Solver learns from preferences, Teacher and Generator write new problems, the
updated Solver tries them, the Generator learns from their utility, and the pool grows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from agents.records import (
    Attempt,
    Completion,
    Failure,
    Finding,
    Group,
    PreferencePair,
    Proposal,
    Refinement,
    Ruling,
    Solution,
)
from agents.roles.generator import generator_prompt
from agents.roles.solver import solver_prompt
from coevo.admission import admit, share_of_generator
from coevo.clock import Clock
from coevo.config import Config
from coevo.curriculum import Curriculum, Standing
from coevo.decontamination import EvaluationSets
from coevo.evaluate import Score, measure
from coevo.gate import Gate
from coevo.preferences import make_group, make_pairs
from coevo.record import RoundRecord
from coevo.seeding import derive, generator
from coevo.sources import attempts_to_imitate, attempts_to_refine
from coevo.store import Store
from coevo.team import Member, Team, to_sampling
from coevo.tracking import Tracker
from coevo.utility import UTILITIES
from environments import Diagnosis, Environment, Malformed, Problem


class Loop:
    """Binds the roles to the curriculum. `round(t)` returns a record and writes nothing down."""

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

    def round(self, t: int) -> RoundRecord:
        """Round t: 1, 2, … The numbers are the steps of ALGORITHMS §1."""
        record = RoundRecord(round=t)

        # 2, 3: a batch of new, backlog and replayed problems; k judged rollouts of each
        record.batch = self.curriculum.draw(generator(self.config.seed, "batch", t))
        problems = [problem for problem, _ in record.batch]
        rollouts = self.attempt(problems, record)
        record.rollouts = rollouts

        # 4, 5, 6: zones, preference pairs, the Solver's update (1: its reference is itself before)
        self.place(rollouts, record)
        groups = self.groups(problems, rollouts, record)
        if self.team.solver.learner:
            record.updates["solver"] = self.learn(self.team.solver, groups, t)

        # 7, 8: Teacher and Generator write new problems; the gate screens them
        proposals = self.refine(problems, rollouts, record)
        proposals += self.propose(problems, rollouts, t)
        proposals = self.screen(proposals, record)

        # 9, 10: the updated Solver tries them; the Generator learns from what they are worth
        if self.team.generator:
            proposals = self.try_out(proposals, record)
            if self.team.generator.learner:
                lessons = self.lessons(proposals)
                record.updates["generator"] = self.learn(self.team.generator, lessons, t)

        # not in the paper: is the judge still proof against attempts that only look right?
        if self.config.agents.teacher.canaries:
            self.attack(problems, record)

        # 11: the pool grows
        record.proposals, record.admitted = admit(proposals, self.quota(t), self.feed(t))
        self.curriculum.admit(record.admitted)
        for problem in record.admitted:
            self.gate.remember(problem)
        self.place(
            {p.id: record.probes[p.id] for p in record.admitted if p.id in record.probes}, record
        )
        return record

    # -- the steps ------------------------------------------------------------------------------

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

    def book(
        self,
        task: str,
        results: Sequence[Ruling | Finding | Refinement | Solution],
        record: RoundRecord,
    ) -> None:
        """Books what the Teacher drew for its results, and keeps what of it could not be used."""
        self.clock.cost("teacher", task, [c for result in results for c in result.asked])
        record.failures += [failure for result in results for failure in result.failures]

    def attack(self, problems: Sequence[Problem], record: RoundRecord) -> None:
        """Attacks on the Teacher's judge at a few of the round's problems."""
        with self.clock.part("verify"):
            attacked = problems[: self.config.agents.teacher.canaries]
            record.canaries = self.team.teacher.map("attack", attacked)

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
        """One update of a role; afterwards all its workers sample from the new weights."""
        self.tracker.phase(t, "learn")
        with self.clock.part("learn"):
            metrics = member.learn(groups, derive(self.config.seed, "learn", member.name, t))
        self.clock.detail(f"hand_over/{member.name}", member.hand_over_seconds)
        return metrics

    def refine(
        self, problems: Sequence[Problem], rollouts: dict[str, list[Attempt]], record: RoundRecord
    ) -> list[Proposal]:
        """The Teacher's new problems: aimed at an error, or harder, by zone."""
        count, t = self.config.loop.refinements, record.round
        if self.config.loop.refine == "once":  # the static arm: all at the start
            count = self.quota(t)
        rng = generator(self.config.seed, "refine", t)
        sources = attempts_to_refine(problems, rollouts, self.config.loop, count, rng)
        self.tracker.phase(t, "refine")
        with self.clock.part("verify"):
            items = [
                (
                    s.problem,
                    s.attempt.completion.text,
                    s.direction,
                    derive(self.config.seed, "refine", t, i),
                )
                for i, s in enumerate(sources)
            ]
            written = self.team.teacher.map("refine", items)
        self.book("refine", written, record)
        return [
            Proposal(
                author="teacher",
                round=t,
                index=index,
                source_id=source.problem.id,
                attempt_id=source.attempt.id,
                attempt_text=source.attempt.completion.text,
                text=one.text,
                result=one.result,
                strategy=source.direction,
                asked=one.asked,
            )
            for index, (source, one) in enumerate(zip(sources, written, strict=True))
        ]

    def propose(
        self, problems: Sequence[Problem], rollouts: dict[str, list[Attempt]], t: int
    ) -> list[Proposal]:
        """The Generator's new problems, each from a problem and a failed attempt at it."""
        if not self.team.generator:
            return []
        rng = generator(self.config.seed, "propose", t)
        sources = attempts_to_imitate(
            problems, rollouts, self.config.loop, self.config.utility, rng
        )
        self.tracker.phase(t, "propose")
        with self.clock.part("rollout"):
            items = [
                (s.problem, s.attempt.completion.text, derive(self.config.seed, "propose", t, i))
                for i, s in enumerate(sources)
            ]
            written = self.team.generator.map("propose", items)
        self.clock.cost("generator", "propose", [completion for completion, _ in written])
        return [
            Proposal(
                author="generator",
                round=t,
                index=index,
                source_id=source.problem.id,
                attempt_id=source.attempt.id,
                attempt_text=source.attempt.completion.text,
                text=completion.text,
                result=result,
                strategy="propose",
                completion=completion,
                asked=(completion,),
            )
            for index, (source, (completion, result)) in enumerate(
                zip(sources, written, strict=True)
            )
        ]

    def screen(self, proposals: list[Proposal], record: RoundRecord) -> list[Proposal]:
        """The quality gate: form, an answer that the Teacher reproduces, no duplicate, no leak."""
        formed = [p for p in proposals if not isinstance(p.result, Malformed)]
        with self.clock.part("verify"):
            items = [
                (p.result, derive(self.config.seed, "solve", record.round, p.author, p.index))
                for p in formed
            ]
            solutions = self.team.teacher.map("solve", items)
        self.book("solve", solutions, record)
        solved = dict(zip(map(id, formed), solutions, strict=True))
        screened = []
        for proposal in proposals:
            if isinstance(proposal.result, Malformed):
                reason = f"malformed:{proposal.result.reason}"
                screened.append(dataclasses.replace(proposal, status=reason))
            else:
                screened.append(self._signed(proposal, solved[id(proposal)], record.round))
        valid = [p for p in screened if p.valid]
        refusals = dict(
            zip(map(id, valid), self.gate.screen(p.problem for p in valid), strict=True)
        )
        return [
            dataclasses.replace(p, status=refusal) if (refusal := refusals.get(id(p))) else p
            for p in screened
        ]

    def _signed(self, proposal: Proposal, solution: Solution, t: int) -> Proposal:
        """A valid proposal, its problem signed with where it came from; or an unsolved one."""
        asked = (*proposal.asked, *solution.asked)
        if solution.problem is None:
            return dataclasses.replace(proposal, status="unsolved", asked=asked)
        member = self.team.generator if proposal.author == "generator" else None
        problem = dataclasses.replace(
            solution.problem,
            parent_id=proposal.source_id,
            author=proposal.author,
            author_version=member.version if member else 0,
            round=t,
            strategy=proposal.strategy,
        )
        return dataclasses.replace(proposal, result=problem, valid=True, asked=asked)

    def try_out(self, proposals: list[Proposal], record: RoundRecord) -> list[Proposal]:
        """The updated Solver's success on each new problem, and the utility that follows from it.

        A problem that it never solves is solved again by the Teacher, and dropped if that fails.
        """
        candidates = {p.problem.id: p.problem for p in proposals if p.status == "proposed"}
        probes = self.attempt(list(candidates.values()), record)
        record.probes = probes
        success = {i: sum(a.verdict.correct for a in g) / len(g) for i, g in probes.items()}
        hopeless = [problem for i, problem in candidates.items() if success[i] == 0]
        with self.clock.part("verify"):
            items = [
                (problem, derive(self.config.seed, "re-solve", record.round, problem.id))
                for problem in hopeless
            ]
            again = self.team.teacher.map("solve", items)
        self.book("re-solve", again, record)
        dropped = {p.id for p, one in zip(hopeless, again, strict=True) if one.problem is None}
        utility = UTILITIES[self.config.utility.name]
        tried = []
        for proposal in proposals:
            if proposal.status == "proposed":
                s = success[proposal.problem.id]
                worth = 0.0 if proposal.problem.id in dropped else utility(s, self.config.utility)
                status = "unsolved" if proposal.problem.id in dropped else "proposed"
                proposal = dataclasses.replace(proposal, success=s, utility=worth, status=status)
            tried.append(proposal)
        return tried

    def lessons(self, proposals: Sequence[Proposal]) -> list[Group]:
        """What the Generator learns from: the Teacher's new problems, weighted by utility."""
        template, pool = self.config.agents.generator.template, self.curriculum.problems
        return [
            Group(
                problem_id=p.problem.id,
                prompt=generator_prompt(template, pool[p.source_id], p.attempt_text),
                completions=(Completion(text=p.problem.statement, finish_reason="reference"),),
                rewards=(p.utility,),
                task="propose",
            )
            for p in proposals
            if p.author == "teacher" and p.success is not None
        ]

    def quota(self, t: int) -> int:
        """How many new problems may enter the pool this round."""
        if self.config.loop.refine == "once":
            return self.config.rounds * self.config.loop.new_problems if t == 1 else 0
        return self.config.loop.new_problems

    def feed(self, t: int) -> float:
        """The Generator's share of the problems that enter."""
        return share_of_generator(self.config.loop, t, self.config.rounds)

    def evaluate(self, t: int) -> list[Score]:
        """k completions by the Solver as it is on every held-out problem.

        The seeds are the same in every evaluation of every run with this k.
        """
        k, sampling = self.config.evaluation.k, to_sampling(self.config.evaluation.sampling)
        self.tracker.phase(t, "evaluate")
        with self.clock.part("evaluate"):
            measured = measure(self.team.solver, self.team.teacher, self.heldout, k, sampling)
        drawn = [completion for one in measured for completion in one.completions]
        self.clock.cost("solver", "evaluate", drawn)
        return [one.score for one in measured]
