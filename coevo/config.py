"""What can be configured: one dataclass a block, each field with its default and its range.

Hydra composes `conf/` over these schemas; `to_config` turns the result into these dataclasses
once, at the entry point, and checks every range. Below it no OmegaConf object travels.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class ConfigError(ValueError):
    """A configuration that cannot be run; the message names the field, the value and what fits."""


def between(low: float, high: float, default: Any = dataclasses.MISSING) -> Any:
    return field(default=default, metadata={"range": (low, high)})


def one_of(*choices: str) -> Any:
    """A string field; the first choice is the default."""
    return field(default=choices[0], metadata={"choices": choices})


@dataclass
class VLLMConfig:
    """Settings of policy `vllm` alone."""

    max_model_len: int = between(16, 10_000_000, 1024)  # tokens of prompt and completion
    kv_cache_gib: float = between(0.01, 100_000.0, 1.0)  # memory of the KV cache, each worker
    enforce_eager: bool = True  # no compilation: starts in seconds, and is the CPU's choice
    tensor_parallel: int = between(1, 64, 1)  # GPUs of one engine
    sleep: int = between(0, 2, 0)  # level at which the engine sleeps while a learner has its GPU


@dataclass
class EndpointConfig:
    """Settings of policy `endpoint` alone: any OpenAI-compatible server."""

    url: str = ""  # such as http://localhost:8000/v1
    key_env: str = ""  # NAME of the environment variable that holds the key; empty: no key
    concurrency: int = between(1, 4096, 8)  # requests under way at once, of each worker
    timeout: float = between(0.1, 86_400.0, 120.0)  # seconds for one request
    retries: int = between(0, 100, 5)  # of a request that failed in passing
    backoff: float = between(0.0, 3600.0, 1.0)  # seconds before the first retry, then doubled
    backoff_max: float = between(0.0, 3600.0, 60.0)  # longest wait, that of Retry-After too
    structured: bool = True  # ask for JSON by schema where a prompt has one
    max_requests: int | None = None  # caps over the whole run; null: none
    max_tokens: int | None = None
    max_cost: float | None = None
    price_prompt: float = between(0.0, 1e6, 0.0)  # of a million tokens
    price_completion: float = between(0.0, 1e6, 0.0)
    cache: str | None = None  # file; null: endpoint-cache.db in runs_dir, shared by its runs
    offline: bool = False  # answer from the cache alone


@dataclass
class PolicyConfig:
    """Where completions come from."""

    name: str = one_of("hf", "rules", "vllm", "endpoint")
    dtype: str = one_of("float32", "bfloat16")  # of the sampling weights
    chat: bool = False  # wrap prompts in the tokenizer's chat template
    threads: int = between(1, 256, 1)  # torch threads of each rollout worker
    batch_size: int = between(1, 65536, 256)  # sequences decoded together
    vllm: VLLMConfig = field(default_factory=VLLMConfig)
    endpoint: EndpointConfig = field(default_factory=EndpointConfig)


@dataclass
class SamplingConfig:
    """How completions are drawn."""

    temperature: float = between(0.0, 10.0, 1.0)
    top_p: float = between(0.001, 1.0, 1.0)
    max_tokens: int = between(1, 100_000, 128)
    stop: list[str] = field(default_factory=list)  # texts that end a completion


@dataclass
class LoraConfig:
    """Low-rank adapters beside frozen weights (Hu et al., arXiv 2106.09685)."""

    rank: int = between(0, 1024, 0)  # of each adapter; 0 trains all weights
    alpha: float = between(0.0, 1e6, 128.0)  # an adapter's output is scaled by alpha / rank
    dropout: float = between(0.0, 0.99, 0.0)
    targets: list[str] = field(  # names of the linear layers that get an adapter
        default_factory=lambda: [
            "q_proj",
            "k_proj",
            "v_proj",
            "o_proj",
            "gate_proj",
            "up_proj",
            "down_proj",
        ]
    )


@dataclass
class LearnerConfig:
    """How weights change. `objective` names a function of agents/learners/losses.py."""

    objective: str = one_of("dpo", "grpo", "sft", "none")
    lr: float = between(0.0, 1.0, 1e-5)
    weight_decay: float = between(0.0, 1.0, 0.0)
    clip: float = between(0.0, 1e6, 1.0)  # largest gradient norm
    epochs: int = between(1, 100, 1)  # passes over a round's groups
    groups_per_step: int = between(1, 65536, 16)  # problems in one optimizer step
    tokens_per_micro_batch: int = between(16, 10_000_000, 8192)
    dtype: str = one_of("float32", "bfloat16")
    threads: int = between(1, 256, 2)  # torch threads of the learner
    gpus: float = between(0.0, 64.0, 0.0)  # above 1, whole: the layers are spread over them
    gradient_checkpointing: bool = False  # recompute activations: less memory, a third more time
    optimizer: str = one_of("adamw", "adafactor")
    lora: LoraConfig = field(default_factory=LoraConfig)
    # dpo
    beta: float = between(0.0, 100.0, 0.1)
    nll_weight: float = between(0.0, 100.0, 0.0)  # length-normalised NLL on the chosen
    # grpo
    clip_low: float = between(0.0, 1.0, 0.2)
    clip_high: float = between(0.0, 10.0, 0.2)
    kl_weight: float = between(0.0, 100.0, 0.0)
    advantage: str = one_of("mean_std", "mean")


@dataclass
class RoleConfig:
    """One role: its model, its prompts, and which policy and learner serve it."""

    model: str = ""  # tiny, smollm2, or a Hugging Face folder or name; empty with policy rules
    template: str = "{prompt}"
    workers: int = between(1, 1024, 1)
    gpus: float = between(0.0, 64.0, 0.0)  # of each rollout worker; fractions share one
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    learner: LearnerConfig = field(default_factory=LearnerConfig)


@dataclass
class PromptsConfig:
    """What a language model is asked as the Teacher; empty: it is never asked.

    Filled in: `{statement}`, `{attempt}` (fenced and cut to `longest_attempt`), `{answer}` (the
    reference) and `{error}` (the diagnosis). Replies are JSON, by the schemas of
    agents/roles/replies.py.
    """

    system: str = ""
    solve: str = ""  # a new problem, unseen
    resolve: str = ""  # the same again in other words: both must agree
    verify: str = ""  # is an attempt right?
    diagnose: str = ""  # where does a failed attempt go wrong?
    weakness: str = ""  # refine a learning problem: aim at the error
    harder: str = ""  # refine a mastered one
    easier: str = ""  # refine a too-hard one
    similar: str = ""


@dataclass
class NoiseConfig:
    """Simulated errors of the Teacher, to ask how good it must be. Evaluation never has any."""

    verdicts: float = between(0.0, 1.0, 0.0)  # share of right/wrong verdicts turned round
    references: float = between(0.0, 1.0, 0.0)  # share of reference answers made wrong
    seed: int = between(0, 2**31 - 1, 0)


@dataclass
class TeacherConfig(RoleConfig):
    """The Teacher: any policy, with prompts where that is a language model."""

    prompts: PromptsConfig = field(default_factory=PromptsConfig)
    judging: SamplingConfig = field(default_factory=SamplingConfig)  # of all but refinement
    judge: str = one_of("never", "undecided", "always")  # when the model is asked for a verdict
    references: str = one_of("exact", "model")  # whose solutions: the environment's if it has any
    longest_attempt: int = between(16, 1_000_000, 4000)  # characters of an attempt it is shown
    canaries: int = between(0, 1000, 0)  # problems a round on which its judge is attacked
    noise: NoiseConfig = field(default_factory=NoiseConfig)


@dataclass
class AgentsConfig:
    solver: RoleConfig = field(default_factory=RoleConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    generator: RoleConfig = field(default_factory=RoleConfig)


@dataclass
class EnvironmentConfig:
    name: str = "arithmetic"  # or package.module:Class
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class LoopConfig:
    """The switches of ALGORITHMS §1; where the paper contradicts itself, its main text is first."""

    group_size: int = between(2, 1024, 8)  # k: rollouts of each problem
    pairs: str = one_of("cartesian", "capped")
    pairs_cap: int = between(1, 100_000, 8)  # pairs of one problem under `capped`
    rejected: str = one_of("whole", "first_error")  # how far the learner reads a failed attempt
    too_hard: str = one_of("reference", "refine", "drop")
    mastered: str = one_of("harden", "leave")
    harden_from: float = between(0.0, 1.0, 1.0)  # success from which a problem is hardened
    refine: str = one_of("every_round", "once")  # once: the static arm
    feed: str = one_of("teacher", "mixed", "generator")
    generator_share: list[float] = field(default_factory=lambda: [0.25, 0.75])  # first, last round
    new_problems: int = between(1, 1_000_000, 64)  # admitted a round, at most
    refinements: int = between(1, 1_000_000, 48)  # that the Teacher writes a round
    proposals: int = between(0, 1_000_000, 48)  # that the Generator writes a round
    imitate: str = one_of("uniform", "utility")  # how its sources are drawn
    train_generator: bool = True
    initial_sft: bool = False
    initial_sft_epochs: int = between(1, 100, 1)


@dataclass
class CurriculumConfig:
    seeds: int = between(1, 1_000_000, 100)
    seed_levels: list[int] = field(default_factory=lambda: [2, 5])  # lowest, highest
    seed_file: str | None = None  # JSONL with `statement` and optionally `answer`, `solution`
    replay_share: float = between(0.0, 1.0, 0.25)  # of a round's batch
    backlog_share: float = between(0.0, 1.0, 0.05)  # of a round's batch: too-hard ones again
    near_duplicates: bool = False  # admit problems that share a signature with another


@dataclass
class UtilityConfig:
    """U of a new problem from its success rate; `name` is a function of coevo/utility.py."""

    name: str = "gaussian"
    mu: float = between(0.0, 1.0, 0.5)
    sigma: float = between(1e-6, 100.0, 0.2)


@dataclass
class EvaluationConfig:
    k: int = between(1, 4096, 8)
    per_cell: int = between(1, 32, 8)  # held-out problems of each (family, level)
    every: int = between(0, 1_000_000, 0)  # rounds between evaluations; 0: first and last only
    sampling: SamplingConfig = field(default_factory=SamplingConfig)


@dataclass
class RuntimeConfig:
    kind: str = one_of("ray", "inline")
    address: str | None = None  # of a Ray cluster; null starts a local one
    restarts: int = between(0, 1000, 3)  # of a dead rollout or teacher actor
    # what a plan (--dry-run) assumes of the machines; a run asks Ray
    nodes: int = between(1, 1024, 1)
    node_gpus: int = between(1, 1024, 8)  # GPUs of one node
    gpu_gib: float = between(1.0, 1024.0, 80.0)  # memory of one GPU


@dataclass
class WandbConfig:
    mode: str = one_of("offline", "online", "disabled")
    project: str = "coevo"
    entity: str | None = None
    tags: list[str] = field(default_factory=list)
    artifacts: bool = True  # log datasets and the last checkpoint


@dataclass
class TrackerConfig:
    console: bool = True
    wandb: WandbConfig = field(default_factory=WandbConfig)


@dataclass
class CheckpointConfig:
    keep: int = between(2, 1_000_000, 2)  # newest checkpoints kept


@dataclass
class Config:
    """A whole run."""

    name: str | None = None  # of the run's folder; null: experiment and seed, numbered if in use
    experiment: str = "default"
    seed: int = between(0, 2**31 - 1, 0)
    rounds: int = between(1, 1_000_000, 12)
    runs_dir: str = "runs"
    environment: EnvironmentConfig = field(default_factory=EnvironmentConfig)
    agents: AgentsConfig = field(default_factory=AgentsConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)
    utility: UtilityConfig = field(default_factory=UtilityConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)


def nearest(word: str, known: list[str] | tuple[str, ...]) -> str:
    """`; did you mean X?` for the known word nearest to `word`, or an empty string."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def fields_of(block: Any, prefix: str = "") -> Iterator[tuple[str, Any, dataclasses.Field]]:
    """Every leaf of a configuration: its dotted path, its value, its field."""
    for entry in dataclasses.fields(block):
        value, path = getattr(block, entry.name), f"{prefix}{entry.name}"
        if dataclasses.is_dataclass(value):
            yield from fields_of(value, f"{path}.")
        else:
            yield path, value, entry


def validate(config: Config) -> None:
    """Raises `ConfigError` on the first value that is out of range or fits no choice."""
    for path, value, entry in fields_of(config):
        if choices := entry.metadata.get("choices"):
            if value not in choices:
                hint = nearest(str(value), choices)
                raise ConfigError(f"{path}={value!r} is not one of {', '.join(choices)}{hint}")
        elif bounds := entry.metadata.get("range"):
            low, high = bounds
            if not low <= value <= high:  # also refuses nan
                raise ConfigError(
                    f"{path}={value} is out of range: write a value from {low} to {high}"
                )
    _validate_relations(config)


def _validate_relations(config: Config) -> None:
    from coevo.utility import UTILITIES

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
    if config.name is not None and (
        config.name in ("", ".", "..") or Path(config.name).name != config.name
    ):
        raise ConfigError(f"name={config.name!r} is not a plain folder name")
    for role in ("solver", "teacher", "generator"):
        block: RoleConfig = getattr(config.agents, role)
        if block.policy.name == "rules" and block.learner.objective != "none":
            raise ConfigError(
                f"agents.{role}: policy rules has no weights to train; "
                f"write learner@agents.{role}.learner=none, or give it policy hf"
            )
        if block.learner.objective == "grpo" and block.sampling.top_p < 1:
            raise ConfigError(
                f"agents.{role}.sampling.top_p={block.sampling.top_p}: learner grpo compares "
                "probabilities with those of the sampling, and needs top_p=1"
            )
        if block.policy.name != "rules" and not block.model:
            raise ConfigError(
                f"agents.{role}.model is empty; write tiny, smollm2 or a model folder"
            )
    _validate_teacher(config.agents.teacher)
    for role in ("solver", "teacher", "generator"):
        _validate_engine(f"agents.{role}", getattr(config.agents, role), config.runtime.kind)
    needs_generator = config.loop.feed != "teacher" or config.loop.train_generator
    if needs_generator and config.loop.proposals == 0 and config.loop.feed != "teacher":
        raise ConfigError(f"loop.feed={config.loop.feed} needs loop.proposals of at least 1")


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
        endpoint = policy.endpoint
        if not endpoint.url.startswith(("http://", "https://")):
            raise ConfigError(
                f"{where}.policy.endpoint.url is no address of a server; write one such as "
                "http://localhost:8000/v1"
            )
        if "@" in endpoint.url.partition("://")[2].partition("/")[0]:
            raise ConfigError(
                f"{where}.policy.endpoint.url has a name or password in it, which a run's files "
                "would show; put the key into an environment variable and its NAME into key_env"
            )
        if endpoint.key_env and not re.fullmatch(r"[A-Z_][A-Z0-9_]{0,63}", endpoint.key_env):
            raise ConfigError(  # without the value: it may be a key
                f"{where}.policy.endpoint.key_env is not the NAME of an environment variable; "
                "write a name in capitals such as OPENAI_API_KEY, and the key into that variable"
            )


def changed_fields(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """`path: old -> new` for every leaf in which two resolved configurations differ."""
    changes = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            changes += changed_fields(before, after, f"{prefix}{key}.")
        elif before != after:
            changes.append(f"{prefix}{key}: {before} -> {after}")
    return changes
