"""Sizes of language models from their `config.json`, without loading one and without network.

Architectures listed in `KINDS` (decoders with gated MLPs, grouped-query attention and RMSNorm, dense or
with a mixture of experts) are counted by formula, without importing transformers; others by their own code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from agents.learners.targets import ALL

ENDLESS = 2**31  # positions of a model without a limit
KINDS = ("llama", "mistral", "qwen2", "qwen3", "qwen3_moe")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """`copies` tensors of one shape; a linear layer's is (output, input)."""

    name: str  # of the layer, such as q_proj
    shape: tuple[int, ...]
    copies: int = 1
    linear: bool = False  # a linear layer of a block, which can have a LoRA adapter

    @property
    def size(self) -> int:
        """Parameters of one copy."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """What a model's memory depends on; sizes in elements, `positions` in tokens."""

    kind: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int  # of a dense MLP, or of one expert
    vocabulary: int
    positions: int  # longest context
    tied: bool  # the head is the embedding
    experts: int = 0  # of each layer; 0: dense
    experts_per_token: int = 0
    attention_bias: bool = False  # on the attention's four projections
    mlp_bias: bool = False
    counted: tuple[Weight, ...] = ()  # where the model's own code was asked
    cached: int | None = None  # layers that keep keys and values; None: all

    @property
    def qk_norm(self) -> bool:
        """Whether queries and keys are normalised head by head."""
        return self.kind.startswith("qwen3")

    @property
    def active_intermediate(self) -> int:
        """MLP features that one token runs through in a layer."""
        return self.intermediate * max(1, self.experts_per_token)

    def weights(self) -> Iterator[Weight]:
        """Every parameter of the model."""
        if self.counted:
            yield from self.counted
            return
        yield Weight(name="embed_tokens", shape=(self.vocabulary, self.hidden))
        if not self.tied:
            yield Weight(name="lm_head", shape=(self.vocabulary, self.hidden))
        yield from self._attention()
        yield from self._mlp()
        yield Weight(name="layernorm", shape=(self.hidden,), copies=2 * self.layers + 1)

    def _attention(self) -> Iterator[Weight]:
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        outputs = {"q_proj": queries, "k_proj": keys, "v_proj": keys, "o_proj": self.hidden}
        biased = set(outputs) if self.attention_bias else set()
        if self.kind == "qwen2":
            biased = {"q_proj", "k_proj", "v_proj"}
        for name, output in outputs.items():
            source = queries if name == "o_proj" else self.hidden
            yield Weight(name=name, shape=(output, source), copies=self.layers, linear=True)
            if name in biased:
                yield Weight(name=f"{name}.bias", shape=(output,), copies=self.layers)
        if self.qk_norm:
            yield Weight(name="qk_norm", shape=(self.head_dim,), copies=2 * self.layers)

    def _mlp(self) -> Iterator[Weight]:
        wide, copies = self.intermediate, self.layers * max(1, self.experts)
        shapes = {
            "gate_proj": (wide, self.hidden),
            "up_proj": (wide, self.hidden),
            "down_proj": (self.hidden, wide),
        }
        for name, shape in shapes.items():
            # all experts of a layer are one tensor, which is no linear layer
            yield Weight(name=name, shape=shape, copies=copies, linear=not self.experts)
            if self.mlp_bias:
                yield Weight(name=f"{name}.bias", shape=shape[:1], copies=copies)
        if self.experts:
            yield Weight(name="gate", shape=(self.experts, self.hidden), copies=self.layers)

    @property
    def parameters(self) -> int:
        """Parameters of the whole model; a tied head counts once."""
        return sum(weight.copies * weight.size for weight in self.weights())

    def adapters(self, rank: int, targets: Sequence[str]) -> list[Weight]:
        """LoRA's A (rank, input) and B (output, rank) of every targeted layer (arXiv 2106.09685)."""
        return [
            Weight(name=weight.name, shape=shape, copies=weight.copies)
            for weight in self.weights()
            if rank and weight.linear and (weight.name in targets or ALL in targets)
            for shape in ((rank, weight.shape[1]), (weight.shape[0], rank))
        ]

    def cache_elements(self) -> int:
        """Elements of the KV cache for one token: keys and values of every layer."""
        layers = self.layers if self.cached is None else self.cached
        return 2 * layers * self.kv_heads * self.head_dim


def parse(config: Mapping[str, Any]) -> Architecture:
    """The architecture that a `config.json` describes.

    Raises `ValueError` for another kind than `KINDS`, or if a size is missing.
    """
    kind = config.get("model_type")
    if kind not in KINDS:
        raise ValueError(f"architectures of type {kind!r} are not known, only {', '.join(KINDS)}")
    if kind == "qwen3_moe" and (
        config.get("decoder_sparse_step", 1) != 1 or config.get("mlp_only_layers")
    ):
        raise ValueError("some of its layers are dense and some are mixtures of experts")
    # transformers 5 writes the second name, and the hub has the first
    experts = config.get("num_experts") or config.get("num_local_experts", 0)
    experts = experts if kind == "qwen3_moe" else 0
    heads = config.get("num_attention_heads", 0)
    try:
        return Architecture(
            kind=kind,
            hidden=config["hidden_size"],
            layers=config["num_hidden_layers"],
            heads=heads,
            kv_heads=config.get("num_key_value_heads") or heads,
            head_dim=config.get("head_dim") or config["hidden_size"] // heads,
            intermediate=config["moe_intermediate_size" if experts else "intermediate_size"],
            vocabulary=config["vocab_size"],
            positions=config["max_position_embeddings"],
            tied=config.get("tie_word_embeddings", False),
            experts=experts,
            experts_per_token=config["num_experts_per_tok"] if experts else 0,
            attention_bias=config.get("attention_bias", False),
            mlp_bias=config.get("mlp_bias", False),
        )
    except (KeyError, ZeroDivisionError) as error:
        raise ValueError(f"its config.json lacks {error}") from error


def counted(folder: Path) -> Architecture:
    """Of any other causal language model that transformers has, by its own code, without its weights.

    Raises `ValueError` if it has none.
    """
    from agents import skeleton
    from agents.tokens import positions

    found = skeleton.of_folder(folder)
    limit = positions(json.loads((folder / "config.json").read_text()))
    return Architecture(
        kind=found.kind,
        hidden=found.hidden,
        layers=found.layers,
        heads=found.heads,
        kv_heads=found.kv_heads,
        head_dim=found.head_dim,
        intermediate=found.intermediate,
        vocabulary=found.vocabulary,
        positions=ENDLESS if limit is None else limit,
        tied=found.tied,
        counted=tuple(
            Weight(name=one.name, shape=one.shape, copies=one.copies, linear=one.linear)
            for one in found.tensors
        ),
        cached=found.attention,
    )


def find(model: str) -> Architecture | None:
    """The architecture of the model called `model`, None if its sizes are not at hand.

    Looks at a local folder, then the Hugging Face cache, then the table below. Raises `ValueError`
    if its `config.json` is there but cannot be used.
    """
    if (file := config_file(model)) is not None:
        try:
            config = json.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise ValueError(f"{file} cannot be read ({error})") from error
        return parse(config) if config.get("model_type") in KINDS else counted(file.parent)
    return KNOWN.get(model)


def config_file(model: str) -> Path | None:
    """The model's `config.json` on this machine; nothing is fetched."""
    from agents import model_files

    folders = {
        **model_files.PACKAGED,
        "smollm2": model_files.cache_folder() / model_files.SMOLLM2,
    }
    file = folders.get(model, Path(model).expanduser()) / "config.json"
    if file.is_file():
        return file
    if model in folders or model.count("/") != 1:
        return None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(model, "config.json")
    except HFValidationError:  # no name of a model
        return None
    return Path(cached) if isinstance(cached, str) else None


def _llama(layers: int, hidden: int, heads: int, kv_heads: int, wide: int) -> Architecture:
    """SmolLM2 (arXiv 2502.02737), by the published config.json."""
    return Architecture(
        kind="llama", layers=layers, hidden=hidden, heads=heads, kv_heads=kv_heads, head_dim=64,
        intermediate=wide, vocabulary=49_152, positions=8192, tied=True,
    )  # fmt: skip


def _qwen3(
    layers: int, hidden: int, heads: int, wide: int, tied: bool, positions: int = 40_960
) -> Architecture:
    """Qwen3's dense models (arXiv 2505.09388, table 1), by the published config.json."""
    return Architecture(
        kind="qwen3", layers=layers, hidden=hidden, heads=heads, kv_heads=8, head_dim=128,
        intermediate=wide, vocabulary=151_936, positions=positions, tied=tied,
    )  # fmt: skip


def _qwen3_moe(
    layers: int, hidden: int, heads: int, wide: int, positions: int = 40_960
) -> Architecture:
    """Qwen3's mixtures of experts (arXiv 2505.09388, table 2), by the published config.json."""
    return Architecture(
        kind="qwen3_moe", layers=layers, hidden=hidden, heads=heads, kv_heads=4, head_dim=128,
        intermediate=wide, vocabulary=151_936, positions=positions, tied=False, experts=128,
        experts_per_token=8,
    )  # fmt: skip


_SMOLLM2 = {
    "135M": _llama(30, 576, 9, 3, 1536),
    "360M": _llama(32, 960, 15, 5, 2560),
    "1.7B": _llama(24, 2048, 32, 32, 8192),
}
_QWEN3 = {
    "0.6B": (28, 1024, 16, 3072, True),
    "1.7B": (28, 2048, 16, 6144, True),
    "4B": (36, 2560, 32, 9728, True),
    "8B": (36, 4096, 32, 12_288, False),
    "14B": (40, 5120, 40, 17_408, False),
}
KNOWN: dict[str, Architecture] = {
    "smollm2": _SMOLLM2["135M"],
    **{f"HuggingFaceTB/SmolLM2-{size}": one for size, one in _SMOLLM2.items()},
    **{f"HuggingFaceTB/SmolLM2-{size}-Instruct": one for size, one in _SMOLLM2.items()},
    **{f"Qwen/Qwen3-{size}": _qwen3(*shape) for size, shape in _QWEN3.items()},
    **{
        f"Qwen/Qwen3-{size}-Base": _qwen3(*shape, positions=32_768)
        for size, shape in _QWEN3.items()
    },
    "Qwen/Qwen3-32B": _qwen3(64, 5120, 64, 25_600, False),
    "Qwen/Qwen3-30B-A3B": _qwen3_moe(48, 2048, 32, 768),
    "Qwen/Qwen3-235B-A22B": _qwen3_moe(94, 4096, 64, 1536),
    "Qwen/Qwen3-235B-A22B-Instruct-2507": _qwen3_moe(94, 4096, 64, 1536, positions=262_144),
}
