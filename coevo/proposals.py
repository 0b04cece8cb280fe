"""New problems: who writes them, which are sound, what they are worth."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from agents.records import Attempt, Completion, Group, Proposal, Solution
from agents.roles.generator import generator_prompt
from coevo import failing
from coevo.attempts import Attempting
from coevo.record import RoundRecord
from coevo.seeding import derive, generator
from coevo.sources import attempts_to_imitate, attempts_to_refine
from coevo.utility import UTILITIES
from environments import Malformed, Problem


class Proposing(Attempting):
    """The steps in which Teacher and Generator write problems, and the gate and the Solver try them."""

    def refine(
        self, problems: Sequence[Problem], rollouts: dict[str, list[Attempt]], record: RoundRecord
    ) -> list[Proposal]:
        """The Teacher's new problems: aimed at an error, or harder, by zone."""
        count, t = self.config.loop.refinements, record.round
        if self.config.loop.refine != "every_round":  # the static arm: all at the start
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
        self, problems: Sequence[Problem], rollouts: dict[str, list[Attempt]], record: RoundRecord
    ) -> list[Proposal]:
        """The Generator's new problems, each from a problem and a failed attempt at it."""
        if not self.team.generator:
            return []
        t = record.round
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
        record.outcomes += failing.of_proposals(written)
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
        loop = self.config.loop
        in_all = {"never": 0, "once": self.config.rounds * loop.new_problems * (t == 1)}
        return in_all.get(loop.refine, loop.new_problems)
