"""Whether roles have the tokens for what an environment asks of them, as far as that is known.

Where only one completion is right (`Environment.only_completion`), a Solver that is cut off before its
end can never be right, and a Generator that is cut off can never write that level: this is refused.
Where there are several, a Solver that has no token for what it is asked is told of, and so is one that
has not the tokens for what others may write beyond the levels that are drawn. Tokenizers are asked,
weights are not read.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from agents.prompts import fill
from agents.roles.solver import solver_prompt
from agents.tokens import encode
from coevo.architecture import config_file
from coevo.config import Config, ConfigError, RoleConfig
from coevo.means import is_idle
from coevo.token_check import longest
from environments import Environment, Problem
from environments.printable import printable

TRIED = 64  # of the texts with the most characters
FEW = 2**20  # bytes of a tokenizer's file; larger ones have tokens for any text


@dataclass(frozen=True, slots=True)
class Text:
    """What a role reads and has to write at a problem; `more` tokens stand in the prompt besides."""

    problem: Problem
    prompt: str
    completion: str
    more: int = 0


def check_lengths(
    config: Config, environment: Environment, problems: Sequence[Problem], training: bool = True
) -> None:
    """Raises `ConfigError` with all that keeps a role from writing, or reading, the longest problems.

    `problems` are the held-out ones, which are of every family and level; without `training` only the
    Solver's measurement is looked at. What a chat template adds is not counted, and of a model whose
    tokenizer is not on this machine nothing is.
    """
    right = {problem.id: environment.only_completion(problem) for problem in problems}
    asked = [(problem, text) for problem in problems if (text := right[problem.id]) is not None]
    solver, generator = config.agents.solver, config.agents.generator
    if not asked:
        _tell_unread(solver, environment, problems)
        return
    limits = {"evaluation.sampling.max_tokens": config.evaluation.sampling.max_tokens}
    if training:
        own = "agents.solver.sampling.max_tokens"
        limits = {own: solver.sampling.max_tokens, **limits}
    solving = [
        Text(problem, solver_prompt(environment, solver.template, problem), text)
        for problem, text in asked
    ]
    tokens = _Tokens.of(solver)
    faults = [*_faults("solver", solver, tokens, limits, solving, environment)]
    if training and not is_idle(config, "generator"):
        if (generator.model, generator.policy.name) != (solver.model, solver.policy.name):
            tokens = _Tokens.of(generator)
        faults += _of_generator(config, tokens, [problem for problem, _ in asked], environment)
    if faults:
        raise ConfigError("; ".join(faults))
    if training:
        _tell_beyond(config, environment)


def _of_generator(
    config: Config, tokens: _Tokens | None, problems: Sequence[Problem], environment: Environment
) -> Iterator[str]:
    """What keeps a Generator from writing these problems, each from itself and a longest attempt."""
    generator = config.agents.generator
    limits = {"agents.generator.sampling.max_tokens": generator.sampling.max_tokens}
    attempt = config.agents.solver.sampling.max_tokens if "{attempt}" in generator.template else 0
    writing = [
        Text(
            problem,
            fill(generator.template, statement=problem.statement, attempt=""),
            problem.statement,
            attempt,
        )
        for problem in problems
    ]
    return _faults("generator", generator, tokens, limits, writing, environment)


def _faults(
    name: str,
    role: RoleConfig,
    tokens: _Tokens | None,
    limits: dict[str, int],
    texts: Sequence[Text],
    environment: Environment,
) -> Iterator[str]:
    """What keeps a role from its texts, each with what to write instead."""
    if tokens is None:
        return
    tried = _longest(texts, lambda text: len(text.prompt) + len(text.completion))
    for text in (*_one_a_family(texts), *tried):
        if unknown := tokens.unknown(text.prompt + text.completion):
            yield (
                f"agents.{name}.model={role.model}: its tokenizer has no token for {unknown!r}, which "
                f"{environment.name} writes in {text.problem.statement!r}; write a model that reads it"
            )
            return
    what = "its statement" if name == "generator" else "the right completion"
    need, at = _most(_longest(texts, lambda text: len(text.completion)), tokens.completion)
    if short := {key: limit for key, limit in limits.items() if need > limit}:
        yield (
            f"{_listed(short)}: {what} has up to {need} tokens with its end ({at}); write "
            f"{_listed(dict.fromkeys(short, need))} or more"
            f"{_levels(environment, texts, tokens.completion, min(short.values()))}"
        )
    key, positions = _positions(name, role)
    need, at = _most(tried, tokens.sequence)
    if positions is not None and need > positions:
        more = texts[0].more
        attempt = f", an attempt of agents.solver.sampling.max_tokens={more}" * bool(more)
        yield (
            f"{key}: {positions} tokens are read in one sequence, and prompt{attempt} and {what} have up "
            f"to {need} ({at}); write a model with more positions, or a shorter agents.{name}.template"
            f"{_levels(environment, texts, tokens.sequence, positions)}"
        )


def _tell_beyond(config: Config, environment: Environment) -> None:
    """Says on stderr if the Solver has no room for the longest problems that others may write.

    These cost rollouts and teach nothing, which is no reason to refuse a run: they may never come.
    """
    role = config.agents.solver
    if is_idle(config, "generator") and config.agents.teacher.policy.name == "rules":
        return  # nobody but the environment writes problems
    texts = [
        Text(problem, solver_prompt(environment, role.template, problem), text)
        for problem in environment.beyond()
        if (text := environment.only_completion(problem)) is not None
    ]
    tokens = _Tokens.of(role) if texts else None
    if tokens is None:
        return
    limit = role.sampling.max_tokens
    need, at = _most(texts, tokens.completion)
    if need > limit:
        told = (
            f"warning: agents.solver.sampling.max_tokens={limit}: problems up to {at} are accepted from "
            f"those who write them, and the right completion has {need} tokens there: the Solver can never "
            f"solve these; write agents.solver.sampling.max_tokens={need} or more"
        )
        print(printable(told), file=sys.stderr, flush=True)


def _tell_unread(role: RoleConfig, environment: Environment, problems: Sequence[Problem]) -> None:
    """Says on stderr if the Solver has no token for a piece of a question."""
    file = _file(role)
    tokens = _Tokens.of(role) if file and file.stat().st_size < FEW else None
    if tokens is None:
        return
    texts = [
        Text(problem, solver_prompt(environment, role.template, problem), "")
        for problem in problems
    ]
    for text in (*_one_a_family(texts), *_longest(texts, lambda text: len(text.prompt))):
        if unknown := tokens.unknown(text.prompt):
            told = (
                f"warning: agents.solver.model={role.model} has no token for {unknown!r}, which "
                f"{environment.name} asks in {text.problem.statement[:80]!r}: to this model, questions "
                "that differ there are the same"
            )
            print(printable(told), file=sys.stderr, flush=True)
            return


def _listed(limits: dict[str, int]) -> str:
    return " and ".join(f"{key}={limit}" for key, limit in limits.items())


def _one_a_family(texts: Sequence[Text]) -> list[Text]:
    return list({text.problem.family: text for text in texts}.values())


def _longest(texts: Sequence[Text], size: Callable[[Text], int]) -> list[Text]:
    return sorted(texts, key=size)[-TRIED:]


def _most(texts: Sequence[Text], count: Callable[[Text], int]) -> tuple[int, str]:
    """The most tokens that any of the texts needs, and which one that is."""
    text = max(texts, key=count)
    return count(text), f"{text.problem.family} at level {text.problem.level}"


def _levels(
    environment: Environment, texts: Sequence[Text], count: Callable[[Text], int], limit: int
) -> str:
    """The levels up to which every text fits, for an environment that can be given levels."""
    beyond = min(text.problem.level for text in texts if count(text) > limit)
    levels = [level for level in environment.levels if level < beyond]
    if not levels or "levels" not in inspect.signature(type(environment)).parameters:
        return ""
    return f", or environment.options.levels=[{levels[0]},{levels[-1]}]"


def _positions(name: str, role: RoleConfig) -> tuple[str, int | None]:
    """Which setting limits a role's sequences, and to how many tokens."""
    limit, engine = longest(role.model), role.policy.vllm.max_model_len
    if role.policy.name == "vllm" and (limit is None or engine < limit):
        return f"agents.{name}.policy.vllm.max_model_len={engine}", engine
    return f"agents.{name}.model={role.model}", limit


def _file(role: RoleConfig) -> Path | None:
    """The tokenizer's file of a role's model; None where the role has none, or it is not here."""
    if role.policy.name not in ("hf", "vllm"):
        return None
    config = config_file(role.model)
    file = config.with_name("tokenizer.json") if config else None
    return file if file and file.is_file() else None


class _Tokens:
    """A tokenizer read from its file, without the library of its model."""

    def __init__(self, tokenizer: Any):
        self.tokenizer = tokenizer
        mark = getattr(tokenizer.model, "unk_token", None)
        self.unread = None if mark is None else tokenizer.token_to_id(mark)

    @classmethod
    def of(cls, role: RoleConfig) -> _Tokens | None:
        """None where a role has no model of its own here, or no such file."""
        if (file := _file(role)) is None:
            return None
        from tokenizers import Tokenizer

        try:
            return cls(Tokenizer.from_file(str(file)))
        except Exception:  # a file that cannot be read is told of by whoever loads it
            return None

    def __call__(self, text: str, add_special_tokens: bool = True) -> SimpleNamespace:
        ids = self.tokenizer.encode(text, add_special_tokens=add_special_tokens).ids
        return SimpleNamespace(input_ids=ids)

    def unknown(self, text: str) -> str:
        """The first piece of a text that has no token, or nothing."""
        try:
            found = self.tokenizer.encode(text, add_special_tokens=False)
        except Exception:  # one that has no token for the unknown either
            return text
        pairs = zip(found.ids, found.offsets, strict=True)
        return next((text[a:b] for i, (a, b) in pairs if i == self.unread), "")

    def completion(self, text: Text) -> int:
        """Tokens of a completion with its end."""
        return len(self(text.completion, add_special_tokens=False).input_ids) + 1

    def sequence(self, text: Text) -> int:
        """Tokens of prompt and completion."""
        return len(encode(self, text.prompt, chat=False)) + text.more + self.completion(text)
