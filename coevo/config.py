"""What can be configured: one dataclass a block, each field with its default and its range.

Hydra composes `conf/` over these schemas; `coevo/compose.py` turns the result into these dataclasses
once, at the entry point, and `coevo/validate.py` checks them. Below it no OmegaConf object travels.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


class ConfigError(ValueError):
    """A configuration that cannot be run; the message names the field, the value and what fits."""


def between(low: float, high: float, default: Any = dataclasses.MISSING) -> Any:
    return field(default=default, metadata={"range": (low, high)})


def one_of(*choices: str) -> Any:
    """A string field; the first choice is the default."""
    return field(default=choices[0], metadata={"choices": choices})


def maybe_one_of(*choices: str) -> Any:
    """As `one_of`, but null by default: nothing is said."""
    return field(default=None, metadata={"choices": choices})


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
    # the server's names for fields of a request, such as {max_tokens: max_completion_tokens}; null
    # leaves a field out, such as {seed: null}
    fields: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)  # added, such as {reasoning_effort: low}
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
    dtype: str = one_of("float32", "bfloat16", "auto")  # auto: bfloat16 if the device multiplies it
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
    dropout: float = between(0.0, 0.99, 0.0)  # of adapters' inputs, with learner.dropout=true
    # linear layers that get an adapter, by name such as q_proj; all-linear: every one but the head,
    # and what docs/learners.md says (experts that are one tensor, …)
    targets: list[str] = field(default_factory=lambda: ["all-linear"])


# The objectives of agents/learners/objectives.py, by what they learn from.
PREFERENCE = (
    "dpo", "cdpo", "robust", "ipo", "hinge", "apo_zero", "contrastive", "simpo", "redi", "kto",
)  # fmt: skip
POLICY_GRADIENT = (
    "grpo", "dr_grpo", "dapo", "gspo", "cispo", "rloo", "reinforce_pp", "oreal",
)  # fmt: skip
SUPERVISED = ("sft", "rft", "distill")


@dataclass
class LearnerConfig:
    """How weights change. `objective` names one of agents/learners/objectives.py."""

    objective: str = one_of(*PREFERENCE, *POLICY_GRADIENT, *SUPERVISED, "none")
    backend: str = one_of("own", "trl")  # trl: TRL's trainers, for dpo, grpo and sft
    lr: float = between(0.0, 1.0, 1e-5)
    schedule: str = one_of("constant", "linear", "cosine")  # of the step size, over rounds
    schedule_rounds: int = between(0, 1_000_000, 0)  # rounds until lr_final and beta_final
    lr_final: float = between(0.0, 1.0, 0.0)  # share of lr at the end of the schedule
    warmup_steps: int = between(0, 1_000_000, 0)  # optimizer steps until the whole step size
    weight_decay: float = between(0.0, 1.0, 0.0)
    clip: float = between(0.0, 1e6, 1.0)  # largest gradient norm
    epochs: int = between(1, 100, 1)  # passes over a round's groups
    groups_per_step: int = between(1, 65536, 16)  # problems in one optimizer step
    tokens_per_micro_batch: int = between(16, 10_000_000, 8192)
    dtype: str = one_of("float32", "bfloat16", "auto")  # auto: bfloat16 if the device multiplies it
    threads: int = between(1, 256, 2)  # torch threads of the learner
    gpus: float = between(0.0, 64.0, 0.0)  # above 1, whole: the layers are spread over them
    ranks: int = between(1, 1024, 1)  # processes that share one model (FSDP2)
    gradient_checkpointing: bool = False  # recompute activations: less memory, a third more time
    optimizer: str = one_of("adamw", "adafactor")
    dropout: bool = False  # sft, rft, distill: train with the model's own and the adapters' dropout
    lora: LoraConfig = field(default_factory=LoraConfig)
    reference: str = one_of("round", "base")  # weights at a round's start, or before all training
    reduction: str = one_of("default", "sum", "mean", "token", "constant")  # over tokens
    # of preferences and rewards: plus so much times the mean of -log π(y)/|y| over right completions,
    # also of problems that are mastered, from which the objective itself learns nothing
    rft_weight: float = between(0.0, 100.0, 0.0)
    # preferences
    beta: float = between(0.0, 100.0, 0.1)
    beta_final: float | None = None  # reached after schedule_rounds in a straight line
    nll_weight: float = between(0.0, 100.0, 0.0)  # length-normalised NLL on the chosen
    length_normalised: bool = False  # log ratios a token
    label_smoothing: float = between(0.0, 0.49, 0.0)  # cdpo, robust: share of flipped pairs
    target_margin: float = between(0.0, 100.0, 1.0)  # simpo: γ
    desirable_weight: float = between(0.0, 100.0, 1.0)  # kto: λ_D
    undesirable_weight: float = between(0.0, 100.0, 1.0)  # kto: λ_U
    rejected_weight: float = between(0.0, 1.0, 0.8)  # redi: α
    # rewards
    advantage: str = one_of(
        "default",
        "mean_std",
        "mean",
        "leave_one_out",
        "none",
        "batch",
        "group_batch",
        "task",
        "ema",
    )
    baseline_decay: float = between(0.0, 1.0, 0.95)  # ema
    clip_low: float = between(0.0, 1.0, 0.2)
    clip_high: float = between(0.0, 10.0, 0.2)
    kl_weight: float = between(0.0, 100.0, 0.0)
    kl_estimator: str = one_of("k3", "k2", "k1")
    correction: str = one_of("none", "truncate", "mask")  # of engine against learner, and of age
    correction_level: str = one_of("token", "sequence")
    correction_cap: float = between(1.0, 1e6, 2.0)
    mismatch_kl_max: float | None = between(0.0, 1e6, 0.1)  # nats: above, a run stops; null: never
    negative_weight: float = between(0.0, 100.0, 1.0)  # oreal: η
    # distillation
    teacher: str = ""  # a model with the same vocabulary
    divergence: str = one_of("forward", "reverse", "js")
    divergence_mix: float = between(0.001, 0.999, 0.5)  # js: the teacher's share of the mixture


@dataclass
class RoleConfig:
    """One role: its model, its prompts, and which policy and learner serve it."""

    # nope, tiny, smollm2, or a Hugging Face folder or name; empty with policy rules
    model: str = ""
    template: str = "{prompt}"  # the Solver's; the Generator's has {statement} and {attempt}
    workers: int = between(1, 1024, 1)
    gpus: float = between(0.0, 64.0, 0.0)  # of each rollout worker; fractions share one
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    learner: LearnerConfig = field(default_factory=LearnerConfig)


@dataclass
class PromptsConfig:
    """What a language model is asked as the Teacher; empty: it is never asked.

    Filled in, where agents/prompts.py says so: `{statement}`, `{attempt}` (fenced and cut to
    `longest_attempt`), `{answer}` (the reference) and `{error}` (the diagnosis). `{{name}}` is sent as
    `{name}`, other braces as they are. Replies are JSON, by the schemas of agents/roles/replies.py.
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
    reasoning: str = one_of("keep", "strip")  # strip: a reply is what follows <think>…</think>
    longest_attempt: int = between(16, 1_000_000, 4000)  # characters of an attempt it is shown
    canaries: int = between(0, 1000, 0)  # problems a round on which its judge is attacked
    noise: NoiseConfig = field(default_factory=NoiseConfig)


@dataclass
class AgentsConfig:
    solver: RoleConfig = field(default_factory=RoleConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    generator: RoleConfig = field(default_factory=RoleConfig)
    share_base: bool = False  # Solver's and Generator's adapters on one base, in one process


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
    negatives: str = one_of("current", "earlier", "both")  # whose failed attempts are rejected
    too_hard: str = one_of("reference", "refine", "drop")
    mastered: str = one_of("harden", "leave")
    harden_from: float = between(0.0, 1.0, 1.0)  # success from which a problem is hardened
    # once: the static arm; never: the pool is its seeds
    refine: str = one_of("every_round", "once", "never")
    feed: str = one_of("teacher", "mixed", "generator")
    generator_share: list[float] = field(default_factory=lambda: [0.25, 0.75])  # first, last round
    new_problems: int = between(1, 1_000_000, 64)  # admitted a round, at most
    refinements: int = between(1, 1_000_000, 48)  # that the Teacher writes a round
    proposals: int = between(0, 1_000_000, 48)  # that the Generator writes a round
    # of refinement and imitation; frontier: at or above the highest level that is half solved
    sources: str = one_of("all", "frontier")
    imitate: str = one_of("uniform", "utility")  # how the Generator's sources are drawn from these
    train_generator: bool = True
    initial_sft: bool = False
    initial_sft_epochs: int = between(1, 100, 1)


@dataclass
class CurriculumConfig:
    seeds: int = between(1, 1_000_000, 100)
    seed_levels: list[int] = field(default_factory=lambda: [2, 5])  # lowest, highest
    seed_file: str | None = None  # JSONL, JSON or parquet: statement, if known answer and solution
    seed_rows: str = one_of("all", "any")  # any: rows of it that cannot be used are left out
    replay_share: float = between(0.0, 1.0, 0.25)  # of a round's batch
    backlog_share: float = between(0.0, 1.0, 0.05)  # of a round's batch: too-hard ones again
    # levels: every (family, level) alike; utility: by that of its mean success
    replay: str = one_of("uniform", "levels", "utility")
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
    curve_every: int = between(0, 1_000_000, 0)  # rounds between points of the curve; 0: none
    curve_per_cell: int = between(1, 32, 2)  # the first held-out problems of each (family, level)
    curve_k: int = between(1, 4096, 4)  # completions of each
    sampling: SamplingConfig = field(default_factory=SamplingConfig)


@dataclass
class DecontaminationConfig:
    """Evaluation sets whose problems may not enter the pool, beside the run's own held-out set."""

    against: dict[str, Any] = field(default_factory=dict)  # benchmark: file, or null for the hub
    ngram: int = between(3, 64, 8)  # words
    ngram_share: float = between(0.05, 1.0, 0.5)  # of an evaluation problem's words
    jaccard: float = between(0.3, 1.0, 0.8)  # of word 3-grams


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
    """Weights & Biases. null: as W&B's variable says (WANDB_MODE, WANDB_PROJECT, …), else the default.

    `coevo/wandb_variables.py` replaces what is null, so a run's own configuration has what it used.
    """

    mode: str | None = maybe_one_of("offline", "online", "disabled")  # default: offline
    project: str | None = None  # default: coevo
    entity: str | None = None  # default: that of the key
    name: str | None = None  # default: the run's
    group: str | None = None  # WANDB_RUN_GROUP; default: the experiment, so seeds are together
    tags: list[str] | None = None
    notes: str | None = None
    dir: str | None = None  # where the folder wandb is; default: the run's folder
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
    decontamination: DecontaminationConfig = field(default_factory=DecontaminationConfig)
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


def changed_fields(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """`path: old -> new` for every leaf in which two resolved configurations differ.

    A key of an open block that is null is not one that is not there: that is `nothing`.
    """
    changes = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            changes += changed_fields(before, after, f"{prefix}{key}.")
        elif before != after or (key in old) != (key in new):
            before, after = (one.get(key, "nothing") for one in (old, new))
            changes.append(f"{prefix}{key}: {before} -> {after}")
    return changes
