"""Pretrains the tiny model: a character-level Llama of 0.9 M parameters, from scratch.

    python -m scripts.pretrain_tiny --to agents/models/tiny

Its corpus is worked solutions in which a stated share of the steps is wrong, as on the web,
at rates that differ by family and grow along the solution (`WRONG_STEP`, `GROWTH`), and new
problems written from failed attempts, a stated share of them malformed (`MALFORMED`). So the
base model has weaknesses that a Teacher can find and a habit that feedback can mend. Nothing of
the held-out benchmark is in the corpus. The same seed on the same machine gives the same weights.
"""

from __future__ import annotations

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import environments
from environments.arithmetic import (
    LARGEST_VALUE,
    LEVELS,
    LOWEST_LEVEL,
    Expression,
    Parser,
    Unreadable,
    parse,
)
from environments.base import Direction
from environments.benchmark import heldout
from scripts.pretraining import batches, main, make_tokenizer, train

ALPHABET = "0123456789+-*()=;#?|>:SG"
WRONG_STEP = {
    "sums": 0.06,
    "differences": 0.10,
    "products": 0.14,
    "mixed": 0.14,
    "bracketed": 0.18,
}
GROWTH = 0.10  # each further step is wrong this much more often, relative to the first
MALFORMED = 0.35
SHARE_PROPOSALS = 0.25
HELDOUT_PER_CELL = 32


class CorpusParser(Parser):
    """Reads what the corpus counts as well formed: nothing below zero, brackets as one likes."""

    def operate(self, left: int, operator: str, right: int) -> int:
        result = super().operate(left, operator, right)
        if result < 0:
            raise Unreadable("range", f"{self.steps[-1]} is below zero")
        return result

    def require_operation(self) -> None:
        pass


class CarelessParser(CorpusParser):
    """Evaluates, but slips at a rate that grows with every step, and carries on."""

    def __init__(self, expression: Expression, rng: np.random.Generator):
        super().__init__(expression.tokens)
        self.rng, self.rate = rng, WRONG_STEP[expression.family]

    def operate(self, left: int, operator: str, right: int) -> int:
        result = super().operate(left, operator, right)
        if self.rng.random() < self.rate * (1 + GROWTH * (len(self.steps) - 1)):
            slips = [result + d for d in (-1, 1, -2, 2, -10, 10, 9, -9, 20, -20, 100)]
            slips = [slip for slip in slips if 0 <= slip <= LARGEST_VALUE]
            result = slips[self.rng.integers(len(slips))]
            self.steps[-1] = type(self.steps[-1])(left, operator, right, result)
        return result


def careless_solution(expression: Expression, rng: np.random.Generator) -> str:
    """A worked solution with slips; a slip that would leave the number range is drawn again."""
    while True:
        parser = CarelessParser(expression, rng)
        try:
            value = parser.sum()
        except Unreadable:
            continue
        return Expression(expression.tokens, tuple(parser.steps), value).solution


def malform(statement: str, rng: np.random.Generator) -> str:
    """The statement after small random edits, until it no longer parses."""
    text = statement
    while not text or isinstance(parse(text, CorpusParser), Expression):
        at = int(rng.integers(len(text) + 1))
        extra = str(rng.choice(list("0+-*()99")))
        text = (text[:at] + text[at + 1 :]) if rng.random() < 0.5 else text[:at] + extra + text[at:]
    return text


class Corpus:
    """An endless stream of (prompt, completion) texts."""

    def __init__(self, seed: int):
        self.environment = environments.make("arithmetic")
        self.rng = np.random.default_rng(seed)
        self.cells = self.environment.cells()
        reserved = heldout(self.environment, HELDOUT_PER_CELL)
        self.reserved = {self.environment.signature(problem) for problem in reserved}

    def problem(self) -> environments.Problem:
        while True:
            family, level = self.cells[self.rng.integers(len(self.cells))]
            problem = self.environment.sample(self.rng, {"level": level}, family)
            if self.environment.signature(problem) not in self.reserved:
                return problem

    def variant(self, problem: environments.Problem, direction: Direction) -> environments.Problem:
        """A new problem of the same family: of the same form, or a level harder or easier."""
        if direction in ("similar", "weakness"):
            return self.environment.vary(problem, self.rng, direction)
        level = problem.level + (1 if direction == "harder" else -1)
        level = min(max(level, LOWEST_LEVEL.get(problem.family, LEVELS[0])), LEVELS[-1])
        return self.environment.sample(self.rng, {"level": level}, problem.family)

    def example(self) -> tuple[str, str]:
        problem = self.problem()
        expression = parse(problem.statement)
        assert isinstance(expression, Expression)
        attempt = careless_solution(expression, self.rng)
        if self.rng.random() >= SHARE_PROPOSALS:
            return f"S:{self.environment.prompt(problem)}", attempt
        correct = self.environment.verify(problem, attempt).correct
        others: list[Direction] = ["similar", "weakness", "easier"]
        direction = "harder" if correct else others[self.rng.integers(3)]
        new = self.variant(problem, direction)
        while self.environment.signature(new) in self.reserved:
            new = self.variant(problem, direction)
        text = new.statement
        if self.rng.random() < MALFORMED:
            text = malform(text, self.rng)
        return f"G:{problem.statement}|{attempt}>", text


def pretrain(
    steps: int, batch_size: int, peak_lr: float, seed: int
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    torch.manual_seed(seed)
    tokenizer = make_tokenizer(ALPHABET)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    model = LlamaForCausalLM(config)
    corpus = Corpus(seed)
    train(model, batches(corpus.example, corpus.rng, tokenizer, batch_size), steps, peak_lr)
    return model, tokenizer


if __name__ == "__main__":
    main(pretrain, __doc__, steps=3000)
