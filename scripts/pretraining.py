"""What the scripts that make the shipped base models share: tokenizer, batches, the training loop."""

from __future__ import annotations

import argparse
import json
import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedModel, PreTrainedTokenizerFast

Example = tuple[str, str]  # prompt, completion
Batch = tuple[torch.Tensor, torch.Tensor]
Pretrained = tuple[PreTrainedModel, PreTrainedTokenizerFast]


class Pretrain(Protocol):
    def __call__(self, steps: int, batch_size: int, peak_lr: float, seed: int) -> Pretrained: ...


def make_tokenizer(tokens: Sequence[str], pattern: str = ".") -> PreTrainedTokenizerFast:
    """One token for each match of `pattern`; loads with `AutoTokenizer`."""
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<eos>", "<unk>", *tokens])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )


def batches(
    example: Callable[[], Example],
    rng: np.random.Generator,
    tokenizer: PreTrainedTokenizerFast,
    size: int,
    pool: int = 16,
    pattern: str = ".",
) -> Iterator[Batch]:
    """Padded batches of similar lengths: `ids` and `labels`, both (size, longest)."""
    ids_of, split = tokenizer.get_vocab(), re.compile(pattern).findall
    while True:
        examples = [example() for _ in range(size * pool)]
        rows = [
            (
                [ids_of[token] for token in split(prompt)],
                [ids_of[token] for token in split(text)] + [tokenizer.eos_token_id],
            )
            for prompt, text in examples
        ]
        rows.sort(key=lambda row: len(row[0]) + len(row[1]))
        for start in rng.permutation(pool) * size:
            chunk = rows[start : start + size]
            longest = max(len(a) + len(b) for a, b in chunk)
            ids = torch.full((size, longest), tokenizer.pad_token_id)
            labels = torch.full((size, longest), -100)
            for row, (prompt, text) in enumerate(chunk):
                ids[row, : len(prompt) + len(text)] = torch.tensor(prompt + text)
                labels[row, len(prompt) : len(prompt) + len(text)] = torch.tensor(text)
            yield ids, labels


def train(model: PreTrainedModel, stream: Iterator[Batch], steps: int, peak_lr: float) -> None:
    """AdamW with a warm-up of 100 steps and a cosine to zero: by steps alone, never by the clock."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=peak_lr, betas=(0.9, 0.98), weight_decay=0.01
    )
    started, tokens = time.time(), 0
    for step in range(steps):
        warm = min(1.0, (step + 1) / 100)
        optimizer.param_groups[0]["lr"] = (
            peak_lr * warm * 0.5 * (1 + math.cos(math.pi * step / steps))
        )
        ids, labels = next(stream)
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        tokens += ids.numel()
        if step % 100 == 0 or step == steps - 1:
            rate = tokens / (time.time() - started)
            print(f"step {step:5d}  loss {loss.item():.4f}  {rate:,.0f} tokens/s", flush=True)
    model.eval()


def main(pretrain: Pretrain, description: str, steps: int) -> None:
    """The command line of a script: writes the folder of the model that `pretrain` makes."""
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("--to", type=Path, required=True, help="folder to write")
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    model, tokenizer = pretrain(arguments.steps, arguments.batch_size, arguments.lr, arguments.seed)
    model.save_pretrained(arguments.to)
    tokenizer.save_pretrained(arguments.to)
    settings = {k: str(v) for k, v in vars(arguments).items() if k != "to"}
    print(json.dumps({"parameters": model.num_parameters(), **settings}))
