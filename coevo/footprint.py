"""Memory of one rollout worker or learner, part by part: formulas and named estimates.

Weights, gradients, optimizer and KV cache are exact for what the code keeps. Activations follow
Korthikanti et al. (arXiv 2205.05198), and overheads are constants below: both are estimates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coevo.architecture import Architecture, Weight
from coevo.config import POLICY_GRADIENT, PREFERENCE, LearnerConfig, RoleConfig

GIB = 2**30

LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM 0.32 offers; it reserves the next one

CUDA_CONTEXT_GIB = 0.6  # kernels and libraries of one process on a GPU
ENGINE_WORKSPACE_GIB = 1.0  # vLLM: attention and sampling buffers, fragments
CUDA_GRAPHS_GIB = 1.0  # vLLM: with enforce_eager=false
PROCESS_GIB = 0.4  # host memory of a worker: Python, torch and transformers, before any model
ENGINE_PROCESS_GIB = 1.5  # host memory of a worker with vLLM, before any model
BATCHED_TOKENS = 16_384  # positions that vLLM computes at once, at most, on a GPU of 70 GiB or more
SAMPLE_BYTES = 16  # for each logit sampled from: float32 logits, softmax, sorted or summed copies
LOGIT_BYTES = 16  # for each logit of a learner: float32, its copy over T, two more for backward
CHARACTERS_PER_TOKEN = 3  # of mathematics in words; assumed
CHARACTER_VOCABULARY = 1000  # a vocabulary below this has a token for each character


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """GiB of one worker on each of its GPUs, or in host memory where it has none.

    `parts` is what it takes at most while it works, `resting` what it keeps between its turns,
    `asleep` what it keeps while a learner works, and `host` its host memory.
    """

    parts: dict[str, float]
    resting: float
    asleep: float
    host: float

    @property
    def working(self) -> float:
        return sum(self.parts.values())


def element_bytes(dtype: str, gpus: float) -> int:
    """Bytes of a number; `auto` is bfloat16 on a GPU, and float32 where a CPU may have to do."""
    return {"float32": 4, "bfloat16": 2, "auto": 2 if gpus else 4}[dtype]


def tokens(characters: int, model: Architecture | None) -> int:
    """About how many tokens a text of that many characters is."""
    spelt = model is not None and model.vocabulary < CHARACTER_VOCABULARY
    return -(-characters // (1 if spelt else CHARACTERS_PER_TOKEN))


def of_parameters(weights: Sequence[Weight], bytes_each: float) -> float:
    """GiB of tensors at `bytes_each` for each element."""
    return sum(weight.copies * weight.size for weight in weights) * bytes_each / GIB


def rank_offered(rank: int) -> int:
    """The rank that a vLLM engine reserves for adapters of `rank`; 0 for none."""
    return next((offered for offered in LORA_RANKS if offered >= rank), rank) if rank else 0


# -- rollouts -------------------------------------------------------------------------------------


def rollouts(role: RoleConfig, model: Architecture, prompt: int, completion: int) -> Footprint:
    """A worker that samples: policy hf or vllm; lengths of one sequence in tokens."""
    if role.policy.name == "vllm":
        return _engine(role, model)
    return _plain(role, model, prompt, completion)


def cache_bytes(role: RoleConfig, model: Architecture) -> int:
    """Bytes of KV cache for one token on one GPU: 2 · layers · KV heads · head size · bytes.

    Tensor parallelism splits the heads; with fewer KV heads than GPUs each holds a whole one.
    """
    split = min(role.policy.vllm.tensor_parallel, model.kv_heads)
    return model.cache_elements() * element_bytes(role.policy.dtype, role.gpus) // split


def _engine(role: RoleConfig, model: Architecture) -> Footprint:
    """vLLM, one of `tensor_parallel` GPUs: `kv_cache_gib` is of each."""
    settings, each = role.policy.vllm, element_bytes(role.policy.dtype, role.gpus)
    split, lora = settings.tensor_parallel, role.learner.lora
    tokens = min(BATCHED_TOKENS, role.policy.batch_size * settings.max_model_len)
    sampling = role.policy.batch_size * model.vocabulary * SAMPLE_BYTES / GIB
    graphs = 0.0 if settings.enforce_eager else CUDA_GRAPHS_GIB
    fixed = ENGINE_WORKSPACE_GIB + CUDA_CONTEXT_GIB + graphs if role.gpus else 0.0
    parts = {
        "weights": of_parameters(list(model.weights()), each) / split,
        "adapters": of_parameters(model.adapters(rank_offered(lora.rank), lora.targets), each)
        / split,
        "KV cache": settings.kv_cache_gib,
        "activations": _forward(model, tokens, each) / split + sampling,
        "overhead": fixed or ENGINE_PROCESS_GIB,
    }
    whole = sum(parts.values())
    kept = parts["weights"] * split if settings.sleep == 1 else 0.0  # level 1: in host memory
    return Footprint(
        parts=parts,
        resting=whole,
        asleep=fixed if settings.sleep and role.gpus else whole,
        host=ENGINE_PROCESS_GIB + kept if role.gpus else whole,
    )


def _plain(role: RoleConfig, model: Architecture, prompt: int, completion: int) -> Footprint:
    """`batch_size` sequences decoded together by transformers, their caches full."""
    each, batch, lora = (
        element_bytes(role.policy.dtype, role.gpus),
        role.policy.batch_size,
        role.learner.lora,
    )
    length = min(prompt + completion, model.positions)
    overhead = CUDA_CONTEXT_GIB if role.gpus else PROCESS_GIB
    parts = {
        "weights": of_parameters(list(model.weights()), each),
        "adapters": of_parameters(model.adapters(lora.rank, lora.targets), each),
        "KV cache": batch * length * model.cache_elements() * each / GIB,
        "activations": _forward(model, batch, each) + batch * model.vocabulary * SAMPLE_BYTES / GIB,
        "overhead": overhead,
    }
    resting = parts["weights"] + parts["adapters"] + overhead
    host = PROCESS_GIB if role.gpus else sum(parts.values())
    return Footprint(parts=parts, resting=resting, asleep=resting, host=host)


def _forward(model: Architecture, tokens: int, each: int) -> float:
    """GiB that a forward without gradient takes: the widest layer's tensors, at their peak."""
    features = 4 * model.hidden + 3 * model.heads * model.head_dim + 3 * model.active_intermediate
    return tokens * features * each / GIB


# -- learners -------------------------------------------------------------------------------------


def learner(
    role: RoleConfig,
    model: Architecture,
    sequences: int,
    prompt: int,
    completion: int,
    teacher: Architecture | None = None,
) -> Footprint:
    """A learner, on each of its GPUs, over which its layers are spread; or one of its ranks, each with a
    share of every tensor that lasts and micro-batches of its own.

    A micro-batch holds whole groups: one of `sequences` of `prompt` and `completion` tokens, or
    as many as `tokens_per_micro_batch` allows. `teacher` is the model that is distilled.
    """
    config, each = role.learner, element_bytes(role.learner.dtype, role.learner.gpus)
    adapters = model.adapters(config.lora.rank, config.lora.targets)
    base = list(model.weights())
    trained = adapters or base
    low = 2.0 if each == 2 else 0.0  # autocast keeps a bfloat16 copy of float32 weights
    tokens = micro_batch_tokens(config, sequences, prompt + completion)
    predicted = tokens * completion / (prompt + completion)
    kept, again = activations(config, model, tokens, each if adapters else 4)
    logits = predicted * model.vocabulary * LOGIT_BYTES / GIB
    spread = max(1.0, config.gpus)
    share = spread * config.ranks
    parts = {
        "weights": of_parameters(base, each if adapters else 4) / share,
        "adapters": of_parameters(adapters, 4) / share,
        "gradients": of_parameters(trained, 4) / share,
        "optimizer": states(config, trained) / share,
        "gathered": gathered(config, model, each),
        "bf16 copies": of_parameters(trained, low) / spread,
        "activations": kept / spread + max(0.0, again - logits),  # not both at once
        "frozen": frozen(config, model, teacher, each) / spread,
        "logits": logits,  # of the completions; the last GPU has the head
        "overhead": CUDA_CONTEXT_GIB if config.gpus else PROCESS_GIB,
    }
    # These are gone when the optimizer steps; what it needs beyond them adds.
    passing = parts["bf16 copies"] + parts["activations"] + parts["logits"] + parts["gathered"]
    parts["optimizer"] += max(0.0, temporary(config, trained) / share - passing)
    rest = parts["weights"] + parts["adapters"] + states(config, trained) / share
    rest += parts["frozen"] + parts["overhead"]  # without gradients; a learner stays on its GPU
    # tensors on the host, and the bytes sent; by the first of the ranks
    hand_over = 2 * of_parameters(trained, each) / config.ranks
    return Footprint(
        parts=parts,
        resting=rest,
        asleep=rest,
        host=hand_over + (PROCESS_GIB if config.gpus else sum(parts.values())),
    )


def frozen(
    config: LearnerConfig, model: Architecture, teacher: Architecture | None, each: int
) -> float:
    """GiB of models that are only read, whole on each rank: the model before training as reference,
    which under LoRA is its base, and a distilled teacher."""
    held: list[Weight] = []
    compares = config.objective in PREFERENCE and config.objective not in ("simpo", "redi")
    compares = compares or (config.objective in POLICY_GRADIENT and config.kl_weight > 0)
    if config.reference == "base" and compares and not config.lora.rank:
        held += model.weights()
    if config.objective == "distill" and teacher is not None:
        held += teacher.weights()
    return of_parameters(held, each)


def gathered(config: LearnerConfig, model: Architecture, each: int) -> float:
    """GiB that a rank holds whole during a pass: embedding and head, the layer at work and the next, and
    under full training as much for their gradients."""
    if config.ranks == 1:
        return 0.0
    root = [weight for weight in model.weights() if weight.name in ("embed_tokens", "lm_head")]
    layers = [weight for weight in model.weights() if weight not in root]
    size = each if config.lora.rank else 2 * 4
    return of_parameters(root, size) + 2 * of_parameters(layers, size) / model.layers


def micro_batch_tokens(config: LearnerConfig, sequences: int, length: int) -> int:
    """Positions of the largest micro-batch: a group is never split."""
    return max(config.tokens_per_micro_batch, sequences * length)


def activations(
    config: LearnerConfig, model: Architecture, tokens: int, stream: int
) -> tuple[float, float]:
    """GiB kept from forward to backward, and GiB of a layer that is computed again (or 0).

    Kept for each token and layer, counted as in arXiv 2205.05198 §4.1 but for a gated MLP, float32
    RMSNorms, no dropout and no attention matrix (scaled_dot_product_attention keeps none): inputs
    of the linear layers, queries, keys, values (repeated for each head) and outputs of the
    attention, four MLP features; inputs and outputs of the norms. With checkpointing only each
    layer's input is kept (§5), `stream` bytes an element; a layer computed again takes its
    activations and as much for their gradients.
    """
    each, heads = element_bytes(config.dtype, config.gpus), model.heads * model.head_dim
    normed = 2 * model.hidden
    if model.qk_norm:
        normed += (model.heads + model.kv_heads) * model.head_dim
    linear = 2 * model.hidden + 4 * heads + 4 * model.active_intermediate
    layer = tokens * (each * linear + (4 + each) * normed) / GIB
    if config.gradient_checkpointing:
        return model.layers * tokens * stream * model.hidden / GIB, 2 * layer
    return model.layers * layer, 0.0


def states(config: LearnerConfig, trained: Sequence[Weight]) -> float:
    """GiB of the optimizer's float32 state.

    AdamW: two moments. Adafactor (arXiv 1804.04235): of a matrix one row and one column, of a
    vector one moment.
    """
    if config.optimizer == "adamw":
        return of_parameters(trained, 8)
    factors = (w.copies * (sum(w.shape) if len(w.shape) > 1 else w.size) for w in trained)
    return sum(factors) * 4 / GIB


def temporary(config: LearnerConfig, trained: Sequence[Weight]) -> float:
    """GiB that torch's optimizers take during a step.

    Fused AdamW works in place; Adafactor goes tensor by tensor.
    """
    if config.optimizer == "adamw":
        return 0.0
    return max(weight.size for weight in trained) * 4 / GIB
