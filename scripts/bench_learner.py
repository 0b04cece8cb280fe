"""Our learner against TRL's trainers on the same work.

    OMP_WAIT_POLICY=PASSIVE .venv/bin/python scripts/bench_learner.py --model smollm2 --objective dpo
    OMP_WAIT_POLICY=PASSIVE .venv/bin/python scripts/bench_learner.py --model tiny --objective grpo

Work of a round: `--pairs` prompts with a chosen and a rejected completion of ragged lengths; with
`--right 4` four right and four wrong ones, in all 16 pairs, as a round of the loop has them (grpo:
half as many prompts with four completions; sft: the chosen alone). `--step` prompts an optimizer step,
AdamW at 1e-6. Both sides read the same token ids, which is checked. Tokens are counted as TRL reads
them, a prompt once for each completion and a completion once for each pair, for both sides.

TRL is given what it runs fastest with: the data sorted by length and read in that order (less padding than
its own length grouping), `--micro` sequences a micro-batch, fused AdamW, an explicit reference model, no
gradient checkpointing, logging, saving or loader processes, disable_dropout; with `--dtype
bfloat16` its `bf16=True` on float32 weights, which is also what ours does. GRPO gets its completions by
`rollout_func`, so that neither side generates. Ours runs with the defaults of `LearnerConfig` but for the
numbers above. Both keep model and optimizer from round to round, and each round is one call of
`train` or `update`; with `--model tiny` TRL's trainer is built anew each round, as one that is fed new
data has to be, and that counts.

One round of each to warm up, then `--repeats` rounds in turns; medians. Processor time, of all threads,
tells what a machine shared with others would have shown alone. "Of matmul" is the rate of the
operations that the model needs (2 a weight and token forward, 4 backward, every distinct token once, the head
on completion tokens only, attention scores left out, nothing for what is computed twice) over the
best square matrix product of this process in the same dtype.
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from agents.learners.learner import Learner
from agents.records import Completion, Group
from coevo.config import LearnerConfig
from scripts.bench_models import matmul_rate

K = 4  # completions of a prompt, for grpo
LR = 1e-6
WORDS = ("the", "of", "and", "to", "in", "is", "that", "for", "it", "as", "was", "with", "be", "by")


@dataclass(frozen=True, kw_only=True)
class Item:
    """A prompt and its completions, as text and as token ids; the first half are the better ones."""

    prompt: str
    prompt_ids: tuple[int, ...]
    texts: tuple[str, ...]
    ids: tuple[tuple[int, ...], ...]


def work(tokenizer: Any, arguments: argparse.Namespace) -> list[Item]:
    """Prompts and completions of log-normal lengths, sorted by length."""
    random = np.random.default_rng(0)
    tiny = arguments.model == "tiny"
    k = {"dpo": 2 * arguments.right, "sft": 1, "grpo": K}[arguments.objective]
    count = arguments.pairs // 2 if arguments.objective == "grpo" else arguments.pairs

    def text(median: float, most: int) -> str:
        length = int(np.clip(random.lognormal(np.log(median), 0.5), 4, most))
        if tiny:
            return "".join(random.choice(list("0123456789+-=;"), length))
        return "".join(f" {word}" for word in random.choice(WORDS, length))

    def ids(text: str) -> tuple[int, ...]:
        return tuple(tokenizer(text, add_special_tokens=False).input_ids)

    items = []
    for _ in range(count):
        prompt = text(16, 48) if tiny else text(44, 160)
        texts = tuple(text(40, 120) if tiny else text(57, 220) for _ in range(k))
        ended = tuple((*ids(each), tokenizer.eos_token_id) for each in texts)
        items.append(Item(prompt=prompt, prompt_ids=ids(prompt), texts=texts, ids=ended))
    return sorted(items, key=lambda item: len(item.prompt_ids) + max(map(len, item.ids)))


# -- ours -----------------------------------------------------------------------------------------


def pairs_of(item: Item) -> list[tuple[int, int]]:
    """Each of the right completions with each of the wrong ones: what Socratic-Zero's rounds have."""
    half = len(item.ids) // 2
    return [(right, half + wrong) for right in range(half) for wrong in range(half)]


def our_round(learner: Learner, items: list[Item]) -> Callable[[], None]:
    """A round of our learner."""
    k = len(items[0].ids)
    objective = learner.config.objective
    groups = [
        Group(
            problem_id=str(index),
            prompt=item.prompt,
            completions=tuple(
                Completion(
                    text="",
                    prompt_ids=item.prompt_ids,
                    token_ids=ids,
                    logprobs=(-1.0,) * len(ids) if objective == "grpo" else (),
                )
                for ids in item.ids
            ),
            rewards=tuple(float(i < max(1, k // 2)) for i in range(k)),
            pairs=tuple(pairs_of(item)) if objective == "dpo" else (),
        )
        for index, item in enumerate(items)
    ]

    def run() -> None:
        metrics = learner.update(groups, seed=1, version=learner.version + 1)
        assert metrics["groups"] == len(items) and not metrics["skipped_steps"], metrics

    return run


# -- TRL's ----------------------------------------------------------------------------------------


def trl_trainer(
    model: Any, reference: Any, tokenizer: Any, items: list[Item], arguments: argparse.Namespace
) -> Any:
    """TRL's trainer of the objective, with the data in it."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

    objective = arguments.objective
    k = len(items[0].ids)
    sequences = arguments.micro // (2 if objective == "dpo" else 1)  # a pair is two
    step = arguments.step * {"grpo": K, "dpo": arguments.right**2, "sft": 1}[objective]
    common: dict[str, Any] = dict(
        output_dir=os.path.join(tempfile.gettempdir(), "bench_learner"),
        per_device_train_batch_size=min(sequences, step),
        gradient_accumulation_steps=max(1, step // sequences),
        num_train_epochs=1,
        learning_rate=LR,
        lr_scheduler_type="constant",
        max_grad_norm=1.0,
        bf16=arguments.dtype == "bfloat16",
        use_cpu=True,
        gradient_checkpointing=False,
        report_to="none",
        logging_strategy="no",
        save_strategy="no",
        disable_tqdm=True,
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
    )
    if objective == "grpo":
        answers = {item.prompt: item for item in items}
        rewards = {ids: float(i < k // 2) for item in items for i, ids in enumerate(item.ids)}

        def rollout(prompts: list[str], trainer: Any) -> dict[str, Any]:
            drawn = [answers[p].ids[i % k] for i, p in enumerate(prompts)]
            return {
                "prompt_ids": [list(answers[p].prompt_ids) for p in prompts],
                "completion_ids": [list(ids) for ids in drawn],
                "logprobs": [[-1.0] * len(ids) for ids in drawn],
            }

        def reward(completion_ids: list[list[int]], **_: Any) -> list[float]:
            return [rewards[tuple(ids)] for ids in completion_ids]

        config = GRPOConfig(
            **common, num_generations=k, beta=0.0, max_completion_length=512, shuffle_dataset=False
        )
        return GRPOTrainer(
            model=model,
            reward_funcs=reward,
            args=config,
            train_dataset=Dataset.from_list([{"prompt": item.prompt} for item in items]),
            processing_class=tokenizer,
            rollout_func=rollout,
        )
    common["train_sampling_strategy"] = "sequential"
    if objective == "sft":
        rows = [{"prompt": item.prompt, "completion": item.texts[0]} for item in items]
        return SFTTrainer(
            model=model,
            args=SFTConfig(**common, completion_only_loss=True),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
        )
    rows = [
        {"prompt": item.prompt, "chosen": item.texts[right], "rejected": item.texts[wrong]}
        for item in items
        for right, wrong in pairs_of(item)
    ]
    return DPOTrainer(
        model=model,
        ref_model=reference,
        args=DPOConfig(**common, beta=0.1, disable_dropout=True),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )


def check_same_tokens(trainer: Any, items: list[Item], objective: str) -> None:
    """TRL tokenizes text itself (but for grpo): its ids must be those that ours reads."""
    if objective == "grpo":
        return
    if objective == "sft":
        for row, item in zip(trainer.train_dataset, items, strict=True):
            assert tuple(row["input_ids"]) == item.prompt_ids + item.ids[0], (row, item)
        return
    expected = [(item, pair) for item in items for pair in pairs_of(item)]
    for row, (item, pair) in zip(trainer.train_dataset, expected, strict=True):
        assert tuple(row["prompt_ids"]) == item.prompt_ids, (row, item)
        read = (tuple(row["chosen_ids"]), tuple(row["rejected_ids"]))
        assert read == tuple(item.ids[i] for i in pair), (row, item)


# -- measuring ------------------------------------------------------------------------------------


def operations(learner: Learner, items: list[Item], objective: str) -> float:
    """Floating-point operations that a round needs; a reference costs a forward more."""
    head = learner.model.get_output_embeddings().weight.numel()
    total = sum(p.numel() for p in learner.model.parameters())
    tied = learner.model.config.tie_word_embeddings
    body = total - head - (0 if tied else learner.model.get_input_embeddings().weight.numel())
    tokens = sum(len(item.prompt_ids) + sum(map(len, item.ids)) for item in items)
    predicted = sum(len(ids) for item in items for ids in item.ids)
    forward = 2.0 * (body * tokens + head * predicted)
    first = learner.config.groups_per_step / len(
        items
    )  # of the round: its own forward is the reference's
    return forward * (3 + (1 - min(1.0, first) if objective == "dpo" else 0))


def timed(run: Callable[[], None]) -> tuple[float, float]:
    """Seconds by the clock, and of all threads on the processor."""
    start, busy = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - start, time.process_time() - busy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=["tiny", "smollm2"], default="smollm2")
    parser.add_argument("--objective", choices=["dpo", "grpo", "sft"], default="dpo")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--pairs", type=int, default=64, help="prompts")
    parser.add_argument("--right", type=int, default=1, help="dpo: right and wrong ones a prompt")
    parser.add_argument("--step", type=int, default=16, help="prompts in an optimizer step")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--micro", type=int, default=16, help="sequences a micro-batch, TRL's")
    parser.add_argument("--tokens", type=int, default=None, help="a micro-batch, ours")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    budget = {"tokens_per_micro_batch": arguments.tokens} if arguments.tokens else {}
    config = LearnerConfig(
        objective=arguments.objective,
        dtype=arguments.dtype,
        lr=LR,
        groups_per_step=arguments.step,
        threads=arguments.threads,
        **budget,
    )
    learner = Learner(arguments.model, config)
    tokenizer = learner.tokenizer
    items = work(tokenizer, arguments)
    ours = our_round(learner, items)
    theirs = trl_round(learner, items, arguments)

    seconds: dict[str, list[tuple[float, float]]] = {"ours": [], "TRL": []}
    ours()
    theirs()
    for _ in range(arguments.repeats):
        seconds["ours"].append(timed(ours))
        seconds["TRL"].append(timed(theirs))
        print({name: found[-1] for name, found in seconds.items()}, file=sys.stderr)
    report(seconds, learner, items, arguments)


def trl_round(
    learner: Learner, items: list[Item], arguments: argparse.Namespace
) -> Callable[[], None]:
    """A round of TRL's trainer, which the tiny model's rounds build anew."""
    model = copy.deepcopy(learner.model)
    reference = copy.deepcopy(learner.model).eval().requires_grad_(False)
    tokenizer = learner.tokenizer

    def build() -> Any:
        # a fresh copy: a trainer that is built on a model twice wraps its forward twice
        trained = copy.deepcopy(model) if arguments.model == "tiny" else model
        fixed = copy.deepcopy(reference) if arguments.model == "tiny" else reference
        return trl_trainer(trained, fixed, tokenizer, items, arguments)

    trainer = build()
    check_same_tokens(trainer, items, arguments.objective)
    if arguments.model == "tiny":
        return lambda: build().train()
    return lambda: trainer.train()


def report(
    seconds: dict[str, list[tuple[float, float]]],
    learner: Learner,
    items: list[Item],
    arguments: argparse.Namespace,
) -> None:
    """Prints the Markdown table."""
    read = {
        "dpo": [(item, item.ids[i]) for item in items for pair in pairs_of(item) for i in pair],
    }.get(arguments.objective, [(item, ids) for item in items for ids in item.ids])
    tokens = sum(len(item.prompt_ids) + len(ids) for item, ids in read)
    rate = matmul_rate("cpu", getattr(torch, arguments.dtype))
    needed = operations(learner, items, arguments.objective)
    pairs = list(zip(seconds["ours"], seconds["TRL"], strict=True))
    ratio, busy = (
        statistics.median(theirs[clock] / ours[clock] for ours, theirs in pairs) for clock in (0, 1)
    )
    print(f"`{' '.join([os.path.relpath(sys.argv[0]), *sys.argv[1:]])}`\n")
    print(
        f"{tokens} tokens, {arguments.repeats} rounds in turns, {arguments.threads} threads, load "
        f"{os.getloadavg()[0]:.1f}; matmul {rate / 1e9:.0f} GFLOP/s in {arguments.dtype}. Ours is "
        f"{ratio:.2f} times as fast as TRL by the clock, {busy:.2f} times by processor time.\n"
    )
    print("| | s a round | processor s | tokens/s | of matmul |\n| --- | --- | --- | --- | --- |")
    for name, found in seconds.items():
        median, processor = (statistics.median(each) for each in zip(*found, strict=True))
        share = needed / median / rate
        print(f"| {name} | {median:.2f} | {processor:.2f} | {tokens / median:.0f} | {share:.0%} |")


if __name__ == "__main__":
    main()
