"""Pretrains the model `nope`: a Llama of 165 thousand parameters without position encoding.

    python -m scripts.pretrain_nope --to agents/models/nope

Its corpus is right solutions of `strings` for strings of 1 to 5 digits (`S:`), and new problems
written from solutions that are right or wrong (`G:`), a stated share of them malformed (`MALFORMED`).
Without position encoding what it learns reaches a little beyond the lengths that it saw (arXiv
2502.01612), so its success falls by degrees to zero. Nothing of the held-out benchmark is in the
corpus. The same seed on the same kind of processor gives the same bytes.
"""

from __future__ import annotations

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from environments import Malformed
from environments.benchmark import heldout
from environments.strings import OPERATIONS, Strings
from scripts.pretraining import Example, batches, main, make_tokenizer, train

PATTERN = "[a-z]+|."
TOKENS = [*"0123456789", *"SG:=| >", *OPERATIONS]
SHARES = {"reverse": 0.55, "rotate": 0.15, "sort": 0.15, "negate": 0.15}  # of the families
LENGTHS = (1, 5)
LONGEST_PROPOSED = 6
SHARE_PROPOSALS = 0.3
SHARE_WRONG = 0.5  # of the attempts that a new problem is written from
MALFORMED = 0.2
HELDOUT_PER_CELL = 32


class Corpus:
    """An endless stream of (prompt, completion) texts."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)
        self.environment = Strings(tuple(SHARES), (LENGTHS[0], LONGEST_PROPOSED))
        measured = [Strings(own, (3, LONGEST_PROPOSED)) for own in (*zip(SHARES), tuple(SHARES))]
        self.reserved = {
            self.environment.signature(problem)
            for known in measured
            for problem in heldout(known, HELDOUT_PER_CELL)
        }

    def example(self) -> Example:
        env, rng = self.environment, self.rng
        while True:
            family = str(rng.choice(list(SHARES), p=list(SHARES.values())))
            level = int(rng.integers(LENGTHS[0], LENGTHS[1] + 1))
            problem = env.sample(rng, {"level": level}, family)
            new = env.vary(problem, rng, ("easier", "similar", "harder")[rng.integers(3)])
            if not {env.signature(problem), env.signature(new)} & self.reserved:
                break
        assert problem.answer is not None
        if rng.random() >= SHARE_PROPOSALS:
            return f"S:{env.prompt(problem)}", problem.answer
        attempt = self.slip(problem.answer) if rng.random() < SHARE_WRONG else problem.answer
        text = self.malform(new.statement) if rng.random() < MALFORMED else new.statement
        return f"G:{problem.statement}|{attempt}>", text

    def slip(self, answer: str) -> str:
        """An answer with one digit wrong, missing or too many."""
        at, digit = self.rng.integers(len(answer)), str(self.rng.integers(10))
        return (
            answer[:at] + ("", digit, digit + answer[at])[self.rng.integers(3)] + answer[at + 1 :]
        )

    def malform(self, statement: str) -> str:
        """A statement after random edits, until it can no longer be read."""
        text, tokens = statement, [*"0123456789= ", *OPERATIONS]
        while not isinstance(self.environment.parse_problem(text), Malformed) or not text.strip():
            at = int(self.rng.integers(len(text) + 1))
            extra = tokens[self.rng.integers(len(tokens))]
            family, _, digits = text.rpartition(" ")
            text = (family + digits, f"{family} {digits[:at]}{extra}{digits[at:]}")[
                self.rng.integers(2)
            ]
        return text


def pretrain(
    steps: int, batch_size: int, peak_lr: float, seed: int
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    tokenizer = make_tokenizer(TOKENS, PATTERN)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=256,
        # positions divided by a million: rotations too small for any effect, without code of our own
        rope_parameters={"rope_type": "linear", "factor": 1e6, "rope_theta": 1e4},
        tie_word_embeddings=False,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    model = LlamaForCausalLM(config)
    corpus = Corpus(seed)
    stream = batches(corpus.example, corpus.rng, tokenizer, batch_size, pattern=PATTERN)
    train(model, stream, steps, peak_lr)
    return model, tokenizer


if __name__ == "__main__":
    main(pretrain, __doc__, steps=1400)
