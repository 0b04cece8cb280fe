"""Command lines that `coevo COMMAND --help` shows."""

from __future__ import annotations

RUN_EXAMPLES = """
an override is key=value, in any position:
  coevo run rounds=5 seed=3 name=trial      single values
  coevo run loop.group_size=16              a key inside a block
  coevo run experiment=static               another choice of a group
  coevo run learner@agents.solver.learner=grpo
                                            another learner (or policy) for one role
  coevo run agents.solver.learner.lr=1e-5   a value of that learner
  coevo run -m seed=0,1,2                   one run for each value, one after the other
  coevo run --cfg job rounds=5              print the configuration and stop
  coevo run experiment=qwen3_8b --dry-run   print where it would run, in what memory, and stop

groups and their choices:
"""
EVAL_EXAMPLES = """
key=value is one of benchmark, limit, k, per_cell, temperature, top_p, max_tokens, seed, or a key of
the configuration; by default a run is measured as it measured itself.

  coevo eval trial k=32 temperature=0.7     base and final weights, and their difference
  coevo eval tiny                           a model alone
  coevo eval ./my-model --like trial        a model folder, with that run's environment
  coevo eval tiny benchmark=arithmetic --limit 50
                                            50 of the benchmark's problems, always the same
  coevo eval org/model benchmark=gsm8k path=test.jsonl
                                            a published set, from your copy or from the hub

benchmarks: heldout (the run's own environment); built in, without a network: arithmetic,
sums_in_words, math_seeds, reasoning_gym; published: gsm8k, math500, amc23, aime24, aime25, minerva,
olympiadbench, with path=FILE, sha256=…, rows=any and tolerance=… for them (docs/benchmarks.md).
"""
LEAKS_EXAMPLES = """
The exit status is 1 if a problem of an evaluation set has entered the pool.

  coevo leaks trial                         the run's own held-out set, and those it registered
  coevo leaks trial gsm8k=test.jsonl        another set from a file
  coevo leaks trial math500                 another set from the Hugging Face hub
"""


def run_examples() -> str:
    """`RUN_EXAMPLES` with every group and its choices."""
    from coevo.compose import group_options, groups

    lines = [f"  {group:<12} {', '.join(group_options(group))}" for group in groups()]
    return RUN_EXAMPLES + "\n".join(lines)
