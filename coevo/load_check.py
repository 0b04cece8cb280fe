"""Before any work: does every role's policy draw what its learner and its model's own code compute?

A few tokens are drawn of each role with a model and compared (`agents/parity.py`). It happens once the
weights are there: before round 0, after a resume has loaded its checkpoint, and before `coevo eval` measures.
Every random choice of a run is derived from its purpose, so this draw moves none.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from agents import parity
from agents.parity import Difference, Reading, Report
from agents.policies import Prompt, Sampling
from agents.prompts import fill
from agents.records import Completion
from agents.remote import RuntimeUnfit, WorkerLost
from agents.roles.generator import generator_prompt
from agents.roles.solver import solver_prompt
from coevo.config import RoleConfig, TeacherConfig
from coevo.seeding import derive
from coevo.team import Member, Team, named
from environments import Environment, Problem
from environments.printable import printable


class CodeDisagrees(RuntimeUnfit):
    """Policy, learner and the model's own code do not compute the same; the message says how far apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What became of one role: the largest difference found, or why there was nothing to compare."""

    role: str
    found: Difference | None
    told: str = ""


def check(team: Team, environment: Environment, problems: Sequence[Problem]) -> list[Compared]:
    """Compares a few tokens of every role with a model of its own.

    Says on the error stream what could not be compared. Raises `CodeDisagrees` at the first role whose
    readings are further apart than rounding explains.
    """
    results = []
    for member in team.members():
        role: RoleConfig = getattr(team.config.agents, member.name)
        if role.policy.name not in ("hf", "vllm"):
            continue
        if role.policy.name == "vllm" and member.learner is not None:
            _hand_over(member, role)
        compared = _compare(member, role, environment, problems)
        if compared.told:
            told = f"agents.{member.name}: not compared with its model's own code: {compared.told}"
            print(printable(told), file=sys.stderr, flush=True)
        results.append(compared)
    return results


def _compare(
    member: Member, role: RoleConfig, environment: Environment, problems: Sequence[Problem]
) -> Compared:
    asked = role.sampling.temperature or 1.0  # 1.0: as the learner reads it
    heat = parity.heat(asked, engine=role.policy.name == "vllm")
    temperature = heat * asked
    sampling = Sampling(temperature=temperature, max_tokens=parity.TOKENS)
    prompts = _prompts(member.name, role, environment, problems)
    seeds = [derive(0, "load check", number) for number in range(len(prompts))]
    with named(member.name):
        rows: list[list[Completion]] = member.workers.call(
            "policy.sample", prompts, parity.SAMPLES, sampling, seeds
        )
    completions = parity.drawn([one for row in rows for one in row])
    if not completions:
        why = next((one.error for row in rows for one in row if one.error), "nothing was drawn")
        return Compared(role=member.name, found=None, told=why)
    reports = [_asked_of_policy(member, role, completions, temperature)]
    engine = Reading(
        by=f"policy {role.policy.name}",
        process="policy",
        lines=tuple(one.logprobs for one in completions),
        precise=reports[0].precise,
    )
    if member.learner is not None:
        reports.append(member.learner.call("read", completions, temperature, heat))
    readings = [engine, *(reading for report in reports for reading in report.readings)]
    _refuse(member.name, role.model, reports[-1].family, readings)
    if (taught := reports[-1].taught) is not None:
        teacher = role.learner.teacher
        _refuse(member.name, teacher, taught.family, taught.readings, "learner.teacher")
    return Compared(role=member.name, found=parity.furthest(readings), told=reports[0].unread)


def _hand_over(member: Member, role: RoleConfig) -> None:
    """What an engine cannot take over from its learner is known before any work."""
    try:
        member.hand_over()
    except WorkerLost:
        raise
    except Exception as error:  # an engine raises what it likes
        where = f"agents.{member.name}"
        adapters = f", or {where}.learner.lora.rank=16, to hand over adapters alone"
        raise CodeDisagrees(
            f"{where}: policy vllm does not take over the weights of {role.model} "
            f"({type(error).__name__}: {error}); write policy@{where}.policy=hf"
            f"{'' if role.learner.lora.rank else adapters}"
        ) from error


def _asked_of_policy(
    member: Member, role: RoleConfig, completions: Sequence[Completion], temperature: float
) -> Report:
    if role.policy.name == "hf":
        return member.workers.call("policy.read", completions, temperature)
    trained = member.learner is not None
    return member.workers.call("policy.read", completions, temperature, trained)


def _refuse(
    role: str, model: str, family: str, readings: Sequence[Reading], where: str = "model"
) -> None:
    found = parity.furthest(readings)
    if found is not None and found.beyond:
        raise CodeDisagrees(parity.refusal(role, where, model, family, found, readings))


def _prompts(
    name: str, role: RoleConfig, environment: Environment, problems: Sequence[Problem]
) -> list[Prompt]:
    """What the role is asked about the shortest and the longest of the problems, so that one is padded."""
    ordered = sorted(problems, key=lambda problem: (len(problem.statement), problem.id))
    chosen = dict.fromkeys((ordered[0].id, ordered[-1].id))
    by_id = {problem.id: problem for problem in ordered}
    return [_prompt(name, role, environment, by_id[problem_id]) for problem_id in chosen]


def _prompt(name: str, role: RoleConfig, environment: Environment, problem: Problem) -> Prompt:
    if isinstance(role, TeacherConfig):
        text = fill(role.prompts.solve, statement=problem.statement)
        return Prompt(text=text, system=role.prompts.system, task="solve", problem=problem)
    if name == "generator":
        text = generator_prompt(role.template, problem, problem.statement)
        return Prompt(text=text, task="propose", problem=problem, attempt=problem.statement)
    return Prompt(
        text=solver_prompt(environment, role.template, problem), task="solve", problem=problem
    )
