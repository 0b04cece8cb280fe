"""The script that makes the model `nope`: reproducible, its corpus clean of what is measured."""

from __future__ import annotations

import torch

from environments import Malformed, Problem
from environments.benchmark import heldout
from environments.benchmarks import open_benchmark
from environments.strings import Strings
from scripts.pretrain_nope import (
    LENGTHS,
    LONGEST_PROPOSED,
    MALFORMED,
    SHARE_WRONG,
    SHARES,
    Corpus,
    pretrain,
)


def test_the_same_seed_makes_the_same_weights() -> None:
    first, second, other = (pretrain(2, 8, 1e-3, seed)[0].state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_no_held_out_problem_can_be_drawn() -> None:
    """Those of the main job, of experiment=wide and of the benchmark; nor their mirrors."""
    environment, reserved = Strings(), Corpus(0).reserved
    main, wide = (heldout(Strings(["reverse"], [3, last]), 32) for last in (14, 24))
    assert list(open_benchmark("strings").problems) == main
    for problem in (*main, *wide):
        assert problem.level > LONGEST_PROPOSED or environment.signature(problem) in reserved


def test_the_corpus_is_what_it_says() -> None:
    """Of about 1200 proposals 20 % are malformed and 48 % from a wrong attempt (a digit that is changed
    is the same one in a thirtieth of the slips): four standard errors are 0.06."""
    environment, corpus = Strings(tuple(SHARES), (LENGTHS[0], LONGEST_PROPOSED)), Corpus(7)
    proposals, malformed, wrong = 0, 0, 0
    families = dict.fromkeys(SHARES, 0)
    for _ in range(4000):
        prompt, text = corpus.example()
        statement, _, attempt = prompt[2:].rstrip(">").partition("|")
        problem = environment.parse_problem(statement)
        assert isinstance(problem, Problem)
        assert LENGTHS[0] <= problem.level <= LENGTHS[1]
        assert environment.signature(problem) not in corpus.reserved
        families[problem.family] += 1
        if prompt.startswith("S:"):
            assert text == problem.answer
            continue
        proposals += 1
        malformed += isinstance(environment.parse_problem(text), Malformed)
        wrong += attempt != problem.answer
    assert abs(malformed / proposals - MALFORMED) < 0.06
    assert abs(wrong / proposals - SHARE_WRONG * 29 / 30) < 0.06
    for family, share in SHARES.items():
        assert abs(families[family] / 4000 - share) < 0.05
