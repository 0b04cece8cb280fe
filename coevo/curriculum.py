"""The curriculum: which problems there are, how well the Solver does on each, what comes next.

Zones (Socratic-Zero, arXiv 2509.24726, §3.1): a problem with success rate s is mastered (s = 1),
in the learning zone (0 < s < 1) or too hard (s = 0). A zone is estimated anew whenever the problem is
attempted. Too-hard problems form the backlog, which is tried again later.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from coevo.config import CurriculumConfig, UtilityConfig
from coevo.utility import UTILITIES
from environments import Problem

Zone = Literal["mastered", "learning", "too_hard"]
Kind = Literal["new", "replay", "backlog"]
ZONES: tuple[Zone, ...] = ("mastered", "learning", "too_hard")


def zone_of(correct: int, attempts: int) -> Zone:
    """The zone of a problem with `correct` of `attempts` rollouts right."""
    if not 0 <= correct <= attempts or attempts == 0:
        raise ValueError(f"{correct} correct of {attempts} attempts is not a success rate")
    if correct == attempts:
        return "mastered"
    return "learning" if correct else "too_hard"


@dataclass(frozen=True, slots=True)
class Standing:
    """How the Solver did when it last attempted a problem."""

    correct: int
    attempts: int
    policy_version: int

    @property
    def success(self) -> float:
        return self.correct / self.attempts

    @property
    def zone(self) -> Zone:
        return zone_of(self.correct, self.attempts)


class Curriculum:
    """The pool of problems with their standings, and the queue of those not yet trained on."""

    def __init__(
        self, config: CurriculumConfig, new_problems: int, utility: UtilityConfig | None = None
    ):
        self.config, self.new_problems = config, new_problems
        self.utility = utility or UtilityConfig()
        self.problems: dict[str, Problem] = {}
        self.standings: dict[str, Standing] = {}
        self.queue: dict[str, None] = {}  # an ordered set of ids

    @property
    def batch_size(self) -> int:
        """Problems of a round's batch: `new_problems` are what replay and backlog leave of it."""
        share = self.config.replay_share + self.config.backlog_share
        return round(self.new_problems / (1 - share))

    def admit(self, problems: Iterable[Problem]) -> None:
        """Adds problems to the pool and to the queue."""
        for problem in problems:
            self.problems[problem.id] = problem
            self.queue[problem.id] = None

    def record(self, problem_id: str, standing: Standing) -> None:
        """A new estimate. A new problem that proves too hard leaves the queue for the backlog."""
        self.standings[problem_id] = standing
        if standing.zone == "too_hard":
            self.queue.pop(problem_id, None)

    def draw(self, rng: np.random.Generator) -> list[tuple[Problem, Kind]]:
        """The next batch: new problems in order of admission, then backlog, then replay.

        Replay fills what the others leave from what was attempted and not too hard: uniformly, from
        all levels alike (`replay: levels`, against forgetting), or steered to the cells where the
        Solver learns most (`replay: utility`). A batch is smaller only while the pool is.
        """
        new = list(self.queue)[: self.new_problems]
        for problem_id in new:
            del self.queue[problem_id]
        taken = set(new)
        seen = [i for i in self.standings if i not in self.queue and i not in taken]
        backlog = [i for i in seen if self.standings[i].zone == "too_hard"]
        others = [i for i in seen if self.standings[i].zone != "too_hard"]
        retried = _choose(rng, backlog, round(self.batch_size * self.config.backlog_share))
        share = self.config.replay_share > 0
        left = (self.batch_size - len(new) - len(retried)) * share
        replayed = _choose(rng, others, left, self._worth(others))
        kinds: list[tuple[list[str], Kind]] = [
            (new, "new"),
            (retried, "backlog"),
            (replayed, "replay"),
        ]
        return [(self.problems[i], kind) for ids, kind in kinds for i in ids]

    def _worth(self, ids: list[str]) -> list[float] | None:
        """The chance of each problem to be replayed, or None where all have the same.

        Each (family, level), which in a mixture is (environment, family, level), is worth 1 or, under
        `replay: utility`, the utility of its mean success (`coevo.utility`), and shares it among
        its problems.
        """
        if self.config.replay == "uniform":
            return None
        cells: dict[tuple[str, int], list[float]] = defaultdict(list)
        cell_of = {i: (self.problems[i].family, self.problems[i].level) for i in ids}
        for i in ids:
            cells[cell_of[i]].append(self.standings[i].success)
        levels = self.config.replay == "levels"
        utility = UTILITIES["constant" if levels else self.utility.name]
        worth = {
            cell: utility(sum(success) / len(success), self.utility) / len(success)
            for cell, success in cells.items()
        }
        return [worth[cell_of[i]] for i in ids]

    def zone_counts(self) -> dict[str, int]:
        """How many problems stand in each zone."""
        counts = Counter(standing.zone for standing in self.standings.values())
        return {zone: counts[zone] for zone in ZONES}


def _choose(
    rng: np.random.Generator, ids: list[str], count: int, worth: list[float] | None = None
) -> list[str]:
    """`count` of the ids, or all; uniformly where too few of them are worth anything."""
    count = min(count, len(ids))
    if count <= 0:
        return []
    if worth is None or sum(weight > 0 for weight in worth) < count:
        return [ids[i] for i in rng.choice(len(ids), size=count, replace=False)]
    shares = np.array(worth) / sum(worth)
    return [ids[i] for i in rng.choice(len(ids), size=count, replace=False, p=shares)]
