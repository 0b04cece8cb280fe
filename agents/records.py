"""What the agents exchange: completions, attempts, preference pairs, proposals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from environments import Diagnosis, Malformed, Problem, Verdict
from environments.base import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a completion of an endpoint took: tokens as the server counts them, and its price.

    `cost` is in the currency of the configured prices. A `cached` completion was paid for earlier:
    its tokens and its price are those of then. What was really spent is in the run's `spending.db`.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    cached: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One sampled text. `logprobs[i]` is that of `token_ids[i]` under the distribution it was
    drawn from (temperature and top-p applied); both end with the end token if it was drawn.
    A reference solution has no token ids: the learner encodes its text. Where an endpoint gave no
    answer, or a model cannot read the prompt, `finish_reason` is `error`, the text is empty and `error`
    is a short name to count by."""

    text: str
    prompt_ids: tuple[int, ...] = ()
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    policy_version: int = 0
    finish_reason: Literal["stop", "length", "reference", "error"] = "stop"
    error: str = ""
    usage: Usage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A Solver's completion on a problem, judged. (problem, policy version, sample) is unique."""

    problem_id: str
    round: int
    sample: int
    completion: Completion
    verdict: Verdict

    @property
    def id(self) -> str:
        return f"{self.problem_id}-v{self.completion.policy_version}-{self.sample}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A reply that could not be used: whose, to what, and a short name to count by."""

    role: str
    task: str
    kind: str
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """The Teacher's verdict on an attempt, and how it came about.

    `exact` is what the environment's verifier says, None where there is no reference to compare
    with; `model` what the language model says, empty where it was not asked or gave no verdict. The
    exact one outranks it. `asked` is what was drawn, `failures` what of it could not be used.
    """

    verdict: Verdict
    exact: Status | None = None
    model: Literal["", "correct", "wrong"] = ""
    reply: str = ""
    failures: tuple[Failure, ...] = ()
    asked: tuple[Completion, ...] = ()

    @property
    def disagrees(self) -> bool:
        """Whether the exact verdict differs from the model's, or from the (noisy) one given."""
        if self.exact is None:
            return False
        right = self.exact == "correct"
        judged = bool(self.model) and (self.model == "correct") != right
        return judged or self.verdict.correct != right


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The Teacher's diagnosis of a failed attempt, None where it has none."""

    diagnosis: Diagnosis | None
    failures: tuple[Failure, ...] = ()
    asked: tuple[Completion, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refinement:
    """A new problem that the Teacher wrote: its text and what it reads as."""

    text: str
    result: Problem | Malformed
    failures: tuple[Failure, ...] = ()
    asked: tuple[Completion, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """A problem with the Teacher's answer and solution; None where it has none to stand by."""

    problem: Problem | None
    failures: tuple[Failure, ...] = ()
    asked: tuple[Completion, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferencePair:
    """One problem, a chosen and a rejected completion; ids of attempts, or `<problem>-ref`."""

    problem_id: str
    chosen_id: str
    rejected_id: str
    chosen: Completion
    rejected: Completion

    @property
    def id(self) -> str:
        return f"{self.chosen_id}>{self.rejected_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What a proposer wrote from (problem, attempt): a problem, or why it is none.

    `status` is `admitted`, or the reason for refusal; `valid` says that it is well formed and
    the Teacher could solve it. `success` and `utility` are known once the Solver has tried it.
    """

    author: Literal["teacher", "generator"]
    round: int
    index: int
    source_id: str
    attempt_id: str
    attempt_text: str
    text: str
    result: Problem | Malformed
    strategy: str = ""
    completion: Completion | None = None
    valid: bool = False
    status: str = "proposed"
    success: float | None = None
    utility: float = 0.0
    asked: tuple[Completion, ...] = ()  # all that was drawn to write and to solve it

    @property
    def problem(self) -> Problem:
        """The problem of a well-formed proposal."""
        assert isinstance(self.result, Problem), f"a proposal with status {self.status}"
        return self.result


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What a learner is fed: completions on one prompt.

    `rewards[i]` belongs to `completions[i]` (the weight, for supervised learning);
    `pairs` are (chosen, rejected) positions in `completions`. `ends[i]`, where given, is the number
    of characters of `completions[i].text` that the learner reads; None is all of it. `task` is what
    was asked: baselines that are relative to tasks are kept by it.
    """

    problem_id: str
    prompt: str
    completions: tuple[Completion, ...]
    rewards: tuple[float, ...] = ()
    pairs: tuple[tuple[int, int], ...] = ()
    ends: tuple[int | None, ...] = ()
    task: str = "solve"
