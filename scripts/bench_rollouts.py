"""Tokens per second of SmolLM2's rollouts: policy hf, policy vllm, and vLLM called directly.

    .venv-vllm/bin/python scripts/bench_rollouts.py [--work sums|math] [--problems 96] [--group 8]

Work `sums` is that of `experiment=smollm2`: prompts of about 110 tokens (two thirds of them shared by
all), completions of about 12. Work `math` is word problems by the chat template with completions of
up to 128 tokens. Every engine runs in a process of its
own (vLLM changes torch's threads), with the same threads, one after the other, several times in
turn; medians are printed with their ratios. Direct is `LLM.generate` on the same token ids with
the same parameters and nothing else. Also measured: handing new weights over to the policy.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import Any

ENGINES = ("hf", "vllm", "direct")


WORK = {
    "sums": ["experiment=smollm2"],
    "math": [
        "experiment=smollm2",
        "environment=math_text",
        "agents.solver.template='{prompt}'",
        "agents.solver.policy.chat=true",
        "agents.solver.sampling.max_tokens=128",
    ],
}


def prompts(work: str, count: int) -> tuple[list[Any], Any]:
    """`count` of the Solver's prompts, and its configuration."""
    from agents.policies import Prompt
    from agents.roles.solver import solver_prompt
    from coevo.compose import compose
    from coevo.gate import Gate
    from coevo.run_folder import make_environment
    from coevo.seeds import sample_seeds

    config = compose([*WORK[work], f"curriculum.seeds={count}"])
    environment = make_environment(config.environment)
    problems = sample_seeds(environment, config.curriculum, 0, Gate(environment, []))
    template = config.agents.solver.template
    return [
        Prompt(text=solver_prompt(environment, template, p), task="solve", problem=p)
        for p in problems
    ], config


def measure(
    engine: str, work: str, count: int, group: int, repeats: int, threads: int
) -> dict[str, Any]:
    """Tokens and seconds of each repeat; the first call of all is not counted."""
    import os

    os.environ["OMP_NUM_THREADS"] = str(threads)
    from agents.policies import make_policy
    from coevo.team import to_sampling

    asked, config = prompts(work, count)
    role = config.agents.solver
    sampling = to_sampling(role.sampling)
    name = "hf" if engine == "hf" else "vllm"
    options: dict[str, Any] = {
        "dtype": "auto",
        "batch_size": role.policy.batch_size,
        "chat": role.policy.chat,
    }
    if name == "vllm":
        options |= {"config": role.policy.vllm, "threads": threads}
    policy: Any = make_policy(name, None, role.model, **options)  # type: ignore[arg-type]
    if name == "hf":
        import torch

        torch.set_num_threads(threads)
    seeds = list(range(count))

    def drawn() -> int:
        if engine != "direct":
            completions = policy.sample(asked, group, sampling, seeds)
            return sum(len(c.token_ids) for one in completions for c in one)
        policy.engine.reset_prefix_cache()
        outputs = policy.engine.generate(requests, parameters, use_tqdm=False)
        return sum(len(one.token_ids) for output in outputs for one in output.outputs)

    if engine == "direct":
        requests = [{"prompt_token_ids": policy.tokens.prompt(prompt.text)} for prompt in asked]
        parameters = [
            policy._parameters(prompt, group, sampling, seed, sampling.max_tokens)
            for prompt, seed in zip(asked, seeds, strict=True)
        ]
    drawn()
    runs = []
    for _ in range(repeats):
        start = time.perf_counter()
        tokens = drawn()
        runs.append((tokens, time.perf_counter() - start))
    return {"runs": runs, "hand_over": hand_over(policy) if engine != "direct" else []}


def hand_over(policy: Any) -> list[float]:
    """Seconds of `load_weights`, three times."""
    from agents.model_files import model_folder

    weights = (model_folder("smollm2") / "model.safetensors").read_bytes()  # type: ignore[operator]
    seconds = []
    for version in (1, 2, 3):
        start = time.perf_counter()
        policy.load_weights(weights, version)
        seconds.append(time.perf_counter() - start)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", choices=list(WORK), default="sums")
    parser.add_argument("--problems", type=int, default=96)
    parser.add_argument("--group", type=int, default=8, help="completions of each prompt")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2, help="processes of each engine, in turn")
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    words = (
        arguments.work,
        arguments.problems,
        arguments.group,
        arguments.repeats,
        arguments.threads,
    )
    if arguments.engine:
        print(json.dumps(measure(arguments.engine, *words)))
        return
    speeds: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    handed: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    for _ in range(arguments.rounds):
        for engine in ENGINES:
            done = subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--engine", engine],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            result = json.loads(done.stdout.splitlines()[-1])
            speeds[engine] += [tokens / seconds for tokens, seconds in result["runs"]]
            handed[engine] += result["hand_over"]
    median = {engine: statistics.median(values) for engine, values in speeds.items()}
    for engine, values in speeds.items():
        low, high = min(values), max(values)
        print(f"{engine:<7} {median[engine]:7.0f} tokens/s  (from {low:.0f} to {high:.0f})")
    print(f"vllm over hf: {median['vllm'] / median['hf']:.2f}")
    print(f"vllm over direct: {median['vllm'] / median['direct']:.2f}")
    for engine in ("hf", "vllm"):
        print(f"{engine} hand-over of weights: {statistics.median(handed[engine]):.2f} s (median)")


if __name__ == "__main__":
    main()
