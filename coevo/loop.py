"""One round of co-evolution, from top to bottom.

Socratic-Zero (arXiv 2509.24726), algorithm 1, with the switches of `LoopConfig`: the Solver attempts,
the Teacher judges, the Solver learns from preferences, Teacher and Generator write new problems, the
updated Solver tries them, the Generator learns from their utility, and the pool grows. What each step
does is in `attempts` (the Solver's side) and `proposals` (that of the new problems).
"""

from __future__ import annotations

from coevo import curve
from coevo.admission import admit, share_of_generator
from coevo.evaluate import Score, measure
from coevo.proposals import Proposing
from coevo.record import RoundRecord
from coevo.seeding import generator
from coevo.team import to_sampling
from environments import Problem


class Loop(Proposing):
    """Binds the roles to the curriculum. `round(t)` returns a record and writes nothing down."""

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
            record.versions["solver"] = self.team.solver.version

        # 7, 8: Teacher and Generator write new problems; the gate screens them
        proposals = self.refine(problems, rollouts, record)
        proposals += self.propose(problems, rollouts, record)
        proposals = self.screen(proposals, record)

        # 9, 10: the updated Solver tries them; the Generator learns from what they are worth
        if self.team.generator:
            proposals = self.try_out(proposals, record)
            if self.team.generator.learner:
                lessons = self.lessons(proposals)
                record.updates["generator"] = self.learn(self.team.generator, lessons, t)
                record.versions["generator"] = self.team.generator.version

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

    def feed(self, t: int) -> float:
        """The Generator's share of the problems that enter."""
        return share_of_generator(self.config.loop, t, self.config.rounds)

    def evaluate(self, t: int) -> list[Score]:
        """k completions by the Solver as it is on every held-out problem.

        The seeds are the same in every evaluation of every run with this k.
        """
        return self._evaluate(t, self.heldout, self.config.evaluation.k, "heldout")

    def curve(self, t: int) -> list[Score]:
        """The small evaluation: fewer completions, on the first held-out problems of each cell.

        Its seeds are its own and the same in every round and run, so that points differ by the weights only.
        """
        before, evaluation = self.clock.spent["evaluate"], self.config.evaluation
        chosen = curve.problems(self.heldout, evaluation.curve_per_cell)
        scores = self._evaluate(t, chosen, evaluation.curve_k, curve.NAME)
        self.clock.detail("evaluate/curve", self.clock.spent["evaluate"] - before)
        return scores

    def _evaluate(self, t: int, problems: list[Problem], k: int, benchmark: str) -> list[Score]:
        sampling = to_sampling(self.config.evaluation.sampling)
        self.tracker.phase(t, "evaluate")
        with self.clock.part("evaluate"):
            solver, teacher = self.team.solver, self.team.teacher
            measured = measure(solver, teacher, problems, k, sampling, benchmark)
        drawn = [completion for one in measured for completion in one.completions]
        task = "evaluate" if benchmark == "heldout" else benchmark
        self.clock.cost("solver", task, drawn)
        return [one.score for one in measured]
