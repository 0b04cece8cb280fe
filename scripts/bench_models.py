"""Learner and policy hf with models of real sizes: tokens a second, MFU, memory, weight hand-over.

    .venv/bin/python scripts/bench_models.py --model smollm2 --gpus 1
    .venv/bin/python scripts/bench_models.py --model Qwen/Qwen3-8B --lora 64 --gpus 1
    .venv/bin/python scripts/bench_models.py --model tiny                      # on the CPU

Nothing is downloaded but `smollm2`: a Qwen3 is built by its published sizes with random weights
(and SmolLM2's tokenizer), which take as long to multiply as trained ones. One line of a Markdown
table is printed. MFU is 6 floating-point operations a trained parameter and token (2 where it is
frozen: 4 in all with LoRA) over the rate of a square matrix product of the same machine and dtype,
measured in the same process; attention itself is left out of the count.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from agents.learners.learner import Learner
from agents.model_files import model_folder
from agents.policies import Prompt, Sampling
from agents.policies.hf import HFPolicy
from agents.records import Completion, Group
from coevo.architecture import find
from coevo.config import LearnerConfig, LoraConfig
from environments.sums_in_words import SumsInWords


def random_model(name: str, folder: Path) -> str:
    """A folder with a model of that name's sizes and random weights."""
    from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

    sizes = find(name)
    if sizes is None or sizes.kind != "qwen3":
        raise SystemExit(
            f"--model {name}: write tiny, smollm2, or a dense Qwen3 such as Qwen/Qwen3-8B"
        )
    config = Qwen3Config(
        hidden_size=sizes.hidden,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.kv_heads,
        head_dim=sizes.head_dim,
        intermediate_size=sizes.intermediate,
        vocab_size=sizes.vocabulary,
        tie_word_embeddings=sizes.tied,
        max_position_embeddings=sizes.positions,
        dtype="bfloat16",
    )
    torch.manual_seed(0)
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    Qwen3ForCausalLM(config).save_pretrained(folder)
    torch.set_default_dtype(default)
    AutoTokenizer.from_pretrained(model_folder("smollm2")).save_pretrained(folder)
    return str(folder)


def matmul_rate(device: str, dtype: torch.dtype) -> float:
    """Floating-point operations a second of a square product, the best of five."""
    size = 8192 if device == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    seconds = []
    for _ in range(6):
        start = clock(device)
        a @ b
        seconds.append(clock(device) - start)
    return 2 * size**3 / min(seconds[1:])


def clock(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def groups(learner: Learner, count: int, k: int, length: int) -> list[Group]:
    """`count` prompts with `k` completions of `length` random tokens, half of them chosen."""
    generator = torch.Generator().manual_seed(0)
    vocabulary = len(learner.tokenizer)
    result = []
    for index in range(count):
        draw = torch.randint(5, vocabulary, (k + 1, length), generator=generator).tolist()
        completions = tuple(
            Completion(text="", prompt_ids=tuple(draw[0]), token_ids=tuple(row)) for row in draw[1:]
        )
        pairs = tuple((i, k // 2 + i) for i in range(k // 2))
        result.append(Group(problem_id=str(index), prompt="", completions=completions, pairs=pairs))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--gpus", type=float, default=0.0)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--lora", type=int, default=0, metavar="RANK")
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--groups", type=int, default=16)
    parser.add_argument("--k", type=int, default=8)
    parser.add_argument("--length", type=int, default=64, help="tokens of prompts and completions")
    parser.add_argument("--tokens", type=int, default=8192, help="of a micro-batch")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        name = arguments.model
        if name not in ("tiny", "smollm2") and not Path(name).is_dir():
            name = random_model(name, Path(scratch) / "model")
        print(row(name, arguments))


def row(name: str, arguments: argparse.Namespace) -> str:
    """The table's line of one model."""
    config = LearnerConfig(
        objective="dpo",
        dtype=arguments.dtype,
        gpus=arguments.gpus,
        lora=LoraConfig(rank=arguments.lora),
        gradient_checkpointing=arguments.checkpointing,
        groups_per_step=arguments.groups,
        tokens_per_micro_batch=arguments.tokens,
    )
    learner = Learner(name, config)
    device = learner.device
    work = groups(learner, arguments.groups, arguments.k, arguments.length)
    learner.update(work, seed=0, version=1)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    start = clock(device)
    metrics = learner.update(work, seed=1, version=2)
    learned = metrics["tokens"] / (clock(device) - start)
    peak = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else float("nan")
    parameters = list(learner.model.parameters())
    total = sum(p.numel() for p in parameters)
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    operations = (2 + 2 + 2 + 2 * trained / total) * total  # reference, forward, backward
    mfu = operations * learned / matmul_rate(device, getattr(torch, arguments.dtype))

    weights = learner.weights()
    version = learner.version
    del learner
    if device == "cuda":
        torch.cuda.empty_cache()
    policy = HFPolicy(name, dtype=arguments.dtype, gpus=arguments.gpus)
    start = clock(device)
    policy.load_weights(weights, version)
    handed = clock(device) - start
    problem = SumsInWords().parse_problem("What is 23 plus 8?")
    prompt: Any = Prompt(text="What is 23 plus 8?", task="solve", problem=problem)  # type: ignore[arg-type]
    asked, sampling = [prompt] * arguments.groups, Sampling(max_tokens=arguments.length)
    policy.sample(asked[:1], arguments.k, sampling, [0])
    start = clock(device)
    drawn = policy.sample(asked, arguments.k, sampling, list(range(arguments.groups)))
    sampled = sum(len(c.token_ids) for g in drawn for c in g) / (clock(device) - start)
    cells = (
        arguments.model, f"{total / 1e9:.2f} B", f"LoRA r{arguments.lora}" if arguments.lora else "full",
        arguments.dtype, f"{learned:.0f}", f"{mfu:.0%}", f"{peak:.1f} GiB", f"{sampled:.0f}",
        f"{handed:.2f} s",
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
