"""What a configuration must fulfil before anything starts: ranges, choices, and what fits together."""

from __future__ import annotations

from dataclasses import replace

from agents.learners import limits, trl_limits
from coevo import places
from coevo.config import (
    POLICY_GRADIENT,
    PREFERENCE,
    Config,
    ConfigError,
    RoleConfig,
    TeacherConfig,
    fields_of,
    nearest,
)
from coevo.curve import check_curve
from coevo.endpoint_check import check_endpoint
from coevo.prompt_check import refuse_unknown
from coevo.unused import check_unused
from coevo.utility import UTILITIES

PAIRED = tuple(name for name in PREFERENCE if name != "kto")


def validate(config: Config) -> None:
    """Raises `ConfigError` on the first value that is out of range or fits no choice."""
    for path, value, entry in fields_of(config):
        if choices := entry.metadata.get("choices"):
            if value not in choices and not (value is None and entry.default is None):
                hint = nearest(str(value), choices)
                raise ConfigError(f"{path}={value!r} is not one of {', '.join(choices)}{hint}")
        elif bounds := entry.metadata.get("range"):
            low, high = bounds
            if value is None and str(entry.type).endswith("| None"):
                continue
            if not low <= value <= high:  # also refuses nan
                raise ConfigError(
                    f"{path}={value} is out of range: write a value from {low} to {high}"
                )
    _validate_relations(config)


def _validate_relations(config: Config) -> None:
    if config.utility.name not in UTILITIES:
        hint = nearest(config.utility.name, list(UTILITIES))
        raise ConfigError(
            f"utility.name={config.utility.name!r} is not one of {', '.join(UTILITIES)}{hint}"
        )
    if len(config.loop.generator_share) != 2 or not all(
        0 <= share <= 1 for share in config.loop.generator_share
    ):
        raise ConfigError(
            f"loop.generator_share={config.loop.generator_share} is not two shares from 0 to 1 "
            "(of the first and the last round), such as [0.25,0.75]"
        )
    levels = config.curriculum.seed_levels
    if len(levels) != 2 or levels[0] > levels[1]:
        raise ConfigError(
            f"curriculum.seed_levels={levels} is not a lowest and a highest level, such as [2,5]"
        )
    if config.curriculum.replay_share + config.curriculum.backlog_share >= 1:
        raise ConfigError(
            "curriculum.replay_share + curriculum.backlog_share must leave room for new problems: "
            f"{config.curriculum.replay_share} + {config.curriculum.backlog_share} is not below 1"
        )
    _validate_places(config)
    for role in ("solver", "teacher", "generator"):
        block: RoleConfig = getattr(config.agents, role)
        if block.policy.name == "rules" and block.learner.objective != "none":
            raise ConfigError(
                f"agents.{role}: policy rules has no weights to train; "
                f"write learner@agents.{role}.learner=none, or give it policy hf"
            )
        _validate_learner(f"agents.{role}", block)
        if block.policy.name != "rules" and not block.model:
            raise ConfigError(
                f"agents.{role}.model is empty; write nope, tiny, smollm2 or a model folder"
            )
        _validate_limits(f"agents.{role}", block)
        _validate_ranks(f"agents.{role}", block, config.runtime.kind)
        _validate_backend(f"agents.{role}", block, config)
    _validate_teacher(config.agents.teacher)
    refuse_unknown(config)
    if config.agents.share_base:
        _validate_sharing(config)
    if config.loop.negatives != "current" and config.agents.solver.learner.objective not in PAIRED:
        raise ConfigError(
            f"loop.negatives={config.loop.negatives} is of preference pairs, which objective "
            f"{config.agents.solver.learner.objective} does not learn from; write loop.negatives="
            "current, or learner@agents.solver.learner=dpo"
        )
    for role in ("solver", "teacher", "generator"):
        _validate_engine(f"agents.{role}", getattr(config.agents, role), config.runtime.kind)
    _validate_temperatures(config)
    check_curve(config)
    needs_generator = config.loop.feed != "teacher" or config.loop.train_generator
    if needs_generator and config.loop.proposals == 0 and config.loop.feed != "teacher":
        raise ConfigError(f"loop.feed={config.loop.feed} needs loop.proposals of at least 1")
    check_unused(config)


def _validate_places(config: Config) -> None:
    """What names a folder, a file or a machine; no value may be such that no file can hold it."""
    for path, value, _ in fields_of(config):
        if not _writable(value):
            raise ConfigError(f"{path}={value!a} is not UTF-8: write it in other letters")
    if config.name is not None and (reason := places.folder_name(config.name)):
        raise ConfigError(f"name={config.name!r}: {reason}")
    try:
        places.expanded(config.runs_dir)
    except ValueError as error:
        raise ConfigError(f"runs_dir={config.runs_dir!r}: {error}") from error
    address = config.runtime.address
    if address is not None and (reason := places.cluster(address)):
        raise ConfigError(f"runtime.address={address!r} {reason}")
    for name, file in config.decontamination.against.items():
        if file is not None and not isinstance(file, str):
            raise ConfigError(
                f"decontamination.against.{name}={file}: write the path of a file, or null for the "
                "set on the Hugging Face hub"
            )


def _writable(value: object) -> bool:
    if isinstance(value, dict):
        return all(_writable(key) and _writable(own) for key, own in value.items())
    if isinstance(value, list):
        return all(map(_writable, value))
    if not isinstance(value, str):
        return True
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _validate_learner(where: str, block: RoleConfig) -> None:
    learner = block.learner
    if learner.objective in POLICY_GRADIENT and block.sampling.top_p < 1:
        raise ConfigError(
            f"{where}.sampling.top_p={block.sampling.top_p}: learner {learner.objective} compares "
            "probabilities with those of the sampling, and needs top_p=1"
        )
    if learner.objective in POLICY_GRADIENT and block.sampling.temperature == 0:
        raise ConfigError(
            f"{where}.sampling.temperature=0: all completions of a problem are the same, so that learner "
            f"{learner.objective} finds no advantage in any; write a temperature above 0"
        )
    if learner.objective == "distill" and not learner.teacher:
        raise ConfigError(
            f"{where}.learner.teacher is empty; objective distill needs a model to learn from"
        )
    if not learner.schedule_rounds:
        for name, unused in (("schedule", "constant"), ("beta_final", None)):
            if getattr(learner, name) != unused:
                raise ConfigError(
                    f"{where}.learner.{name}={getattr(learner, name)} needs "
                    f"{where}.learner.schedule_rounds, the rounds until its end"
                )


def _validate_limits(where: str, block: RoleConfig) -> None:
    if found := limits.refusal(block.learner, f"{where}."):
        raise ConfigError(found)


def _validate_backend(where: str, block: RoleConfig, config: Config) -> None:
    """What the trainers of backend `trl` can do of all that this run asks of them."""
    learner = block.learner
    if learner.backend != "trl" or learner.objective == "none":
        return
    asked = [learner]
    if where == "agents.solver" and config.loop.initial_sft:
        asked.append(replace(learner, objective="sft"))
    for settings in asked:
        if found := trl_limits.refusal(settings, block.sampling.temperature, f"{where}."):
            raise ConfigError(found)
    alike = config.utility.name == "constant"
    if where == "agents.generator" and learner.objective == "sft" and not alike:
        raise ConfigError(
            f"{where}.learner.backend=trl: SFTTrainer weighs completions alike, and "
            f"utility.name={config.utility.name} does not; write utility.name=constant, or "
            f"{where}.learner.backend=own"
        )


def _validate_sharing(config: Config) -> None:
    """What two roles' adapters on one base must have in common."""
    solver, generator = config.agents.solver, config.agents.generator
    for where, block in (("solver", solver), ("generator", generator)):
        learner = block.learner
        if learner.objective == "none" or not learner.lora.rank or learner.backend != "own":
            raise ConfigError(
                f"agents.share_base needs adapters of the own backend on both roles; write "
                f"agents.{where}.learner.lora.rank=16, or agents.share_base=false"
            )
        if learner.ranks > 1:
            raise ConfigError(
                f"agents.share_base keeps both learners in one process; write "
                f"agents.{where}.learner.ranks=1"
            )
    if not config.loop.train_generator:
        raise ConfigError("agents.share_base needs loop.train_generator=true, or write it false")
    if solver.model != generator.model:
        raise ConfigError(
            f"agents.share_base: agents.solver.model={solver.model} and agents.generator.model="
            f"{generator.model} are not one base; write the same model for both"
        )
    for name in ("dtype", "gpus", "threads", "gradient_checkpointing"):
        own, other = getattr(solver.learner, name), getattr(generator.learner, name)
        if own != other:
            raise ConfigError(
                f"agents.share_base: agents.solver.learner.{name}={own} and agents.generator."
                f"learner.{name}={other} differ; one base needs one value"
            )


def _validate_ranks(where: str, block: RoleConfig, runtime: str) -> None:
    """What a learner of several processes asks for."""
    learner = block.learner
    path = f"{where}.learner"
    if learner.ranks == 1:
        return
    if runtime == "inline":
        raise ConfigError(
            f"{path}.ranks={learner.ranks} needs a process for each rank; write runtime=ray, or "
            f"{path}.ranks=1"
        )
    if learner.gpus not in (0, 1):
        raise ConfigError(
            f"{path}.gpus={learner.gpus:g} is of each of {learner.ranks} ranks, which need a whole "
            f"GPU of their own: write {path}.gpus=1, or 0 for the CPU"
        )
    if learner.optimizer == "adafactor":
        raise ConfigError(
            f"{path}.optimizer=adafactor needs whole rows and columns, and torch's does not work on "
            f"{learner.ranks} ranks; write {path}.optimizer=adamw"
        )
    if learner.backend != "own":
        raise ConfigError(
            f"{path}.backend={learner.backend} trains in one process; write {path}.backend=own, or "
            f"{path}.ranks=1"
        )


def _validate_teacher(teacher: TeacherConfig) -> None:
    speaks, prompts = teacher.policy.name != "rules", teacher.prompts
    if speaks and not (prompts.solve and prompts.resolve and prompts.weakness):
        raise ConfigError(
            f"agents.teacher: policy {teacher.policy.name} needs prompts; write "
            "prompts@agents.teacher.prompts=math, or give it policy rules"
        )
    if speaks and teacher.judge != "never" and not prompts.verify:
        raise ConfigError(
            f"agents.teacher.judge={teacher.judge} needs agents.teacher.prompts.verify"
        )
    if teacher.reasoning == "strip" and not speaks:
        raise ConfigError(
            "agents.teacher.reasoning=strip is of a language model, and this Teacher has policy "
            "rules; write agents.teacher.reasoning=keep, or give it policy endpoint, hf or vllm"
        )


def _validate_temperatures(config: Config) -> None:
    """What each engine samples at."""
    from agents.parity import HOTTEST_ENGINE  # imports numpy

    agents = config.agents
    for role, where, sampling in (
        (agents.solver, "agents.solver.sampling", agents.solver.sampling),
        (agents.solver, "evaluation.sampling", config.evaluation.sampling),
        (agents.teacher, "agents.teacher.sampling", agents.teacher.sampling),
        (agents.teacher, "agents.teacher.judging", agents.teacher.judging),
        (agents.generator, "agents.generator.sampling", agents.generator.sampling),
    ):
        if role.policy.name == "vllm" and sampling.temperature > HOTTEST_ENGINE:
            raise ConfigError(
                f"{where}.temperature={sampling.temperature:g}: vLLM samples at temperatures up to "
                f"{HOTTEST_ENGINE:g}; write that or less, or use policy hf"
            )


def _validate_engine(where: str, block: RoleConfig, runtime: str) -> None:
    """What the policies `vllm` and `endpoint` ask of a role."""
    policy, trained = block.policy, block.learner.objective != "none"
    if policy.name == "vllm":
        if runtime == "inline":
            raise ConfigError(
                f"{where}: policy vllm changes torch's threads in its process and needs an actor of "
                "its own; write runtime=ray, or policy hf"
            )
        if trained and block.learner.lora.rank > 0 and policy.vllm.sleep == 2:
            raise ConfigError(
                f"{where}.policy.vllm.sleep=2 drops the base weights, which adapters do not bring "
                "back; write sleep=1"
            )
        if block.sampling.max_tokens >= policy.vllm.max_model_len:
            raise ConfigError(
                f"{where}.sampling.max_tokens={block.sampling.max_tokens} leaves no room for a "
                f"prompt within {where}.policy.vllm.max_model_len={policy.vllm.max_model_len}"
            )
    if policy.name == "endpoint":
        if trained:
            raise ConfigError(
                f"{where}: policy endpoint has no weights to train; write "
                f"learner@{where}.learner=none, or give it policy hf or vllm"
            )
        check_endpoint(where, block)
