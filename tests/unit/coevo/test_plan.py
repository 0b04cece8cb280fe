"""The dry run: memory by hand-derived numbers, packing, what does not fit and what would."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from coevo import cli, compose, footprint, plan
from coevo.architecture import KNOWN
from coevo.config import Config, LearnerConfig, LoraConfig, PolicyConfig, RoleConfig, VLLMConfig
from coevo.footprint import GIB, Footprint
from coevo.placement import Actor, fullest, place
from coevo.plan_report import render

ROOT = Path(__file__).resolve().parents[3]
QWEN = KNOWN["Qwen/Qwen3-8B"]
EXPERIMENTS = compose.group_options("experiment")


def actor(role: str, gpus: float, workers: int = 1, learner: bool = False, **sizes: float) -> Actor:
    """An actor of which only what is said here counts: GiB at work, at rest, asleep."""
    working = sizes.get("working", 0.0)
    resting = sizes.get("resting", working)
    size = Footprint(
        parts={"weights": working},
        resting=resting,
        asleep=sizes.get("asleep", resting),
        host=0.0,
    )
    return Actor(role=role, learner=learner, workers=workers, gpus=gpus, threads=1, footprint=size)


def planned(*overrides: str) -> plan.Plan:
    return plan.make(compose.compose(overrides))


def complaint(*overrides: str) -> plan.Misfit:
    """The only misfit."""
    (misfit,) = planned(*overrides).misfits
    return misfit


def one_gpu(**changes: Any) -> RoleConfig:
    learner = LearnerConfig(gpus=1, dtype="bfloat16", gradient_checkpointing=True)
    return RoleConfig(
        model="Qwen/Qwen3-8B", gpus=1, learner=dataclasses.replace(learner, **changes)
    )


# -- memory ---------------------------------------------------------------------------------------


def test_full_fine_tuning_takes_16_bytes_a_parameter_with_adamw() -> None:
    """Weights 4, gradients 4 and two moments 8 bytes for each of 8,190,735,360 parameters; autocast
    keeps 2 more. The step's own copy (4 bytes) is smaller than what the forward took (2 bytes and
    the logits of 8,192 · 1,000 / 1,256 tokens), and adds nothing."""
    size = footprint.learner(one_gpu(), QWEN, sequences=1, prompt=256, completion=1000)
    each = 8_190_735_360 / GIB
    assert size.parts["weights"] == pytest.approx(4 * each)
    assert size.parts["gradients"] == pytest.approx(4 * each)
    assert size.parts["bf16 copies"] == pytest.approx(2 * each)
    assert size.parts["logits"] == pytest.approx(8192 * 1000 / 1256 * 151_936 * 16 / GIB)
    assert size.parts["optimizer"] == pytest.approx(8 * each)
    assert size.resting == pytest.approx(12 * each + footprint.CUDA_CONTEXT_GIB)


def test_models_that_are_only_read_count_too() -> None:
    """Qwen3-8B before training in bfloat16 beside the one that learns; the base of a LoRA is it already."""

    def held(**changes: object) -> float:
        size = footprint.learner(one_gpu(**changes), QWEN, 1, 256, 1000, teacher=QWEN)
        assert size.parts["frozen"] <= size.resting
        return size.parts["frozen"]

    copy = pytest.approx(2 * 8_190_735_360 / GIB)
    assert held() == held(reference="base", lora=LoraConfig(rank=8)) == 0
    assert held(reference="base") == copy
    assert (
        held(reference="base", objective="simpo") == held(reference="base", objective="grpo") == 0
    )
    assert held(reference="base", objective="grpo", kl_weight=0.1) == copy
    assert held(objective="distill") == copy


def test_fused_adamw_takes_nothing_but_its_two_moments() -> None:
    role = one_gpu(tokens_per_micro_batch=16)
    parts = footprint.learner(role, QWEN, sequences=1, prompt=8, completion=8).parts
    assert parts["optimizer"] == pytest.approx(8 * 8_190_735_360 / GIB)


def test_a_step_that_takes_more_than_the_forward_adds_the_difference() -> None:
    """16 tokens a micro-batch leave almost nothing to free when Adafactor copies its largest weight,
    the 151,936 · 4,096 embeddings, in float32: optimizer + activations + logits = states + that."""
    role = one_gpu(tokens_per_micro_batch=16, optimizer="adafactor", dtype="float32")
    parts = footprint.learner(role, QWEN, sequences=1, prompt=8, completion=8).parts
    states = footprint.states(role.learner, list(QWEN.weights()))
    names = ("optimizer", "bf16 copies", "activations", "logits")
    copied = 4 * 151_936 * 4_096 / GIB
    assert sum(parts[name] for name in names) == pytest.approx(states + copied)


def test_adafactor_keeps_a_row_and_a_column() -> None:
    """SmolLM2-135M. A layer: q, o 2 · (576 + 576); k, v 2 · (192 + 576); gate, up, down
    3 · (1,536 + 576); 30 · 10,176 = 305,280. Embedding 49,152 + 576; 61 norms of 576. 4 bytes."""
    weights = list(KNOWN["smollm2"].weights())
    size = footprint.states(LearnerConfig(optimizer="adafactor"), weights)
    assert size * GIB == pytest.approx(4 * (305_280 + 49_728 + 61 * 576))


def test_lora_keeps_a_bfloat16_base_and_float32_adapters() -> None:
    """2 bytes for each parameter of the base; 174,587,904 of rank 64: 4 bytes of weights, 4 of
    gradients, 8 of moments, 2 of copies. The engine reserves rank 64 in bfloat16: 2 bytes."""
    role = one_gpu(lora=LoraConfig(rank=64))
    parts = footprint.learner(role, QWEN, sequences=1, prompt=256, completion=1000).parts
    adapters = 174_587_904 / GIB
    assert parts["weights"] == pytest.approx(2 * 8_190_735_360 / GIB)
    assert parts["adapters"] == pytest.approx(4 * adapters)
    assert parts["gradients"] == pytest.approx(4 * adapters)
    assert parts["optimizer"] == pytest.approx(8 * adapters)
    assert parts["bf16 copies"] == pytest.approx(2 * adapters)
    role.policy = PolicyConfig(name="vllm", dtype="bfloat16")
    engine = footprint.rollouts(role, QWEN, 256, 1000)
    assert engine.parts["adapters"] == pytest.approx(2 * adapters)


def test_activations_of_qwen3_8b() -> None:
    """A token and layer without checkpointing. Linear layers, 2 bytes each: inputs 2 · 4,096,
    attention 4 · 4,096, MLP 4 · 12,288: 147,456. Norms, 4 + 2 bytes: 2 · 4,096 and queries and
    keys 40 · 128: 79,872. With it: a layer's input, 2 · 4,096 bytes, and twice one layer again."""
    config = LearnerConfig(dtype="bfloat16")
    layer = 147_456 + 79_872
    kept, again = footprint.activations(config, QWEN, tokens=1000, stream=2)
    assert (kept * GIB, again) == (pytest.approx(36 * 1000 * layer), 0)
    config.gradient_checkpointing = True
    kept, again = footprint.activations(config, QWEN, tokens=1000, stream=2)
    assert kept * GIB == pytest.approx(36 * 1000 * 2 * 4096)
    assert again * GIB == pytest.approx(2 * 1000 * layer)


def test_layers_are_spread_over_a_learners_gpus() -> None:
    one = footprint.learner(one_gpu(optimizer="adafactor"), QWEN, 9, 256, 1024)
    two = footprint.learner(one_gpu(optimizer="adafactor", gpus=2), QWEN, 9, 256, 1024)
    for part in ("weights", "gradients", "bf16 copies"):
        assert two.parts[part] == pytest.approx(one.parts[part] / 2)
    assert two.parts["logits"] == one.parts["logits"]  # the head is on one of them


def test_the_kv_cache_of_an_engine() -> None:
    """147,456 bytes a token (2 · 36 · 8 · 128 · 2). 12 GiB hold 12 · 2^30 / (147,456 · 2,048) = 42.67
    sequences. Two GPUs hold half of the heads each; sixteen one whole head each, of eight."""
    role = RoleConfig(policy=PolicyConfig(name="vllm", dtype="bfloat16"))
    assert footprint.cache_bytes(role, QWEN) == 147_456
    role.policy.vllm.tensor_parallel = 2
    assert footprint.cache_bytes(role, QWEN) == 73_728
    role.policy.vllm.tensor_parallel = 16
    assert footprint.cache_bytes(role, QWEN) == 18_432
    note = next(n for n in _notes("experiment=qwen3_8b") if n.startswith("solver: the KV cache"))
    assert "holds 42 sequences of 2,048 tokens" in note


def test_plain_rollouts_hold_a_full_cache() -> None:
    """SmolLM2: 2 · 30 · 3 · 64 · 2 bytes = 23,040 a token; 256 sequences of 200 + 16 tokens."""
    role = RoleConfig(policy=PolicyConfig(dtype="bfloat16"))
    parts = footprint.rollouts(role, KNOWN["smollm2"], 200, 16).parts
    assert parts["KV cache"] * GIB == pytest.approx(256 * 216 * 23_040)
    assert parts["weights"] * GIB == pytest.approx(2 * 134_515_008)


@pytest.mark.parametrize(("sleep", "asleep", "host"), [(0, None, 0), (1, 1.6, 15.26), (2, 1.6, 0)])
def test_a_sleeping_engine_keeps_its_overhead(
    sleep: int, asleep: float | None, host: float
) -> None:
    """CUDA context 0.6 and workspace 1.0 GiB; level 1 puts 2 · 8.19e9 bytes into host memory."""
    policy = PolicyConfig(name="vllm", dtype="bfloat16", vllm=VLLMConfig(sleep=sleep))
    size = footprint.rollouts(RoleConfig(gpus=1, policy=policy), QWEN, 256, 512)
    assert size.asleep == pytest.approx(size.working if asleep is None else asleep)
    assert size.host == pytest.approx(footprint.ENGINE_PROCESS_GIB + host, abs=0.01)


# -- packing --------------------------------------------------------------------------------------


def _names(layout: Any) -> dict[str, list[list[str]]]:
    return {name: [[gpu.name for gpu in w] for w in found] for name, found in layout.of.items()}


def test_whole_gpus_of_one_worker_are_on_one_node() -> None:
    """Three of two GPUs on nodes of three: one GPU of each node stays free, and the third waits."""
    layout = place([actor("solver", 2, workers=3)], nodes=2, node_gpus=3)
    assert _names(layout)["solver"] == [
        ["node 1 GPU 0", "node 1 GPU 1"],
        ["node 2 GPU 0", "node 2 GPU 1"],
    ]
    assert [waiting.name for waiting in layout.waiting] == ["solver"]


def test_fractions_share_the_fullest_gpu_that_has_room() -> None:
    """0.5 → GPU 0; 0.75 → GPU 1; 0.25 → GPU 1 (0.25 left, less than GPU 0's 0.5); 0.5 → GPU 0;
    then a whole one waits for none."""
    actors = [
        actor(name, share) for name, share in zip("abcd", (0.5, 0.75, 0.25, 0.5), strict=True)
    ]
    layout = place([*actors, actor("e", 1)], nodes=1, node_gpus=3)
    found = {name: gpus[0][0] for name, gpus in _names(layout).items()}
    assert found == {
        "a": "node 1 GPU 0", "b": "node 1 GPU 1", "c": "node 1 GPU 1", "d": "node 1 GPU 0",
        "e": "node 1 GPU 2",
    }  # fmt: skip


def test_thirds_make_a_whole() -> None:
    layout = place([actor("solver", 1 / 3, workers=3)], nodes=1, node_gpus=1)
    assert not layout.waiting


def test_on_cpu_nothing_is_placed() -> None:
    layout = place([actor("solver", 0, workers=2)], nodes=1, node_gpus=1)
    assert layout.of == {"solver": [[], []]} and layout.gpus[0].free == 1


def test_the_fullest_turn() -> None:
    """Engine awake 30 with the learner resting 18: 48. Learner at work 50 with the engine asleep 3:
    53, or 80 if it does not sleep."""
    engine = actor("solver", 0.5, working=30, asleep=3)
    learner = actor("solver", 0.5, learner=True, working=50, resting=18)
    assert fullest([engine, learner]) == (53, learner)
    assert fullest([actor("solver", 0.5, working=30), learner]) == (80, learner)
    light = dataclasses.replace(learner, footprint=actor("x", 0, working=20, resting=18).footprint)
    assert fullest([engine, light]) == (48, engine)
    assert fullest([]) == (0.0, None)


# -- whole plans ----------------------------------------------------------------------------------


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_shipped_experiment_fits(experiment: str) -> None:
    assert planned(f"experiment={experiment}").misfits == []


def test_qwen3_8b_shares_one_gpu() -> None:
    made = planned("experiment=qwen3_8b")
    assert [gpu.name for gpu in made.layout.gpus] == ["node 1 GPU 0"]
    shared = made.layout.gpus[0].actors
    assert [one.name for one in shared] == [
        "solver", "solver learner", "generator", "generator learner",
    ]  # fmt: skip
    needs, turn = fullest(shared)
    sizes = {one.name: one.footprint for one in shared if one.footprint is not None}
    awake = sizes["solver"].working + sizes["generator"].resting
    assert turn is not None and turn.name == "solver"
    assert needs == pytest.approx(
        awake + sizes["solver learner"].resting + sizes["generator learner"].resting
    )


def test_a_socratic_zero_learner_fits_on_no_single_gpu() -> None:
    """What conf/agents/socratic_zero.yaml says: 10 bytes · 8.19e9 = 76 GiB, and logits."""
    misfits = planned("experiment=socratic_zero_full", "agents.solver.learner.gpus=1").misfits
    assert [m.where for m in misfits] == ["node 1 GPU 1, while solver learner works"]
    state = 10 * KNOWN["Qwen/Qwen3-8B-Base"].parameters / GIB
    assert 76 < state < 77


def test_the_team_of_a_run_is_planned() -> None:
    """The static arm has no Generator; inline has one copy of each role."""
    assert [one.name for one in planned("experiment=static").actors] == [
        "solver", "solver learner", "teacher",
    ]  # fmt: skip
    assert [one.workers for one in planned("runtime=inline").actors] == [1] * 5


# -- what does not fit ----------------------------------------------------------------------------

QWEN_RUN = "experiment=qwen3_8b"
SOLVER = "agents.solver"


@pytest.mark.parametrize(
    ("overrides", "where", "why", "write"),
    [
        ([f"{SOLVER}.policy.vllm.max_model_len=50000"], "max_model_len=50000", "40960", "=40960 or"),
        ([f"{SOLVER}.policy.vllm.kv_cache_gib=0.1"], "kv_cache_gib=0.1", "takes 0.28", "gib=0.3"),
        ([f"{SOLVER}.policy.vllm.max_model_len=1100"], "max_model_len=1100", "take 1", "max_model_len=1"),
        ([f"{SOLVER}.learner.lora.rank=600"], "lora.rank=600", "rank 512 at most", "rank=512"),
        ([f"{SOLVER}.learner.lora.targets=[qkv]"], "lora.targets", "no linear layer qkv", "q_proj"),
        ([f"{SOLVER}.model=some/model"], "model=some/model", "Hugging Face cache", "=FOLDER"),
        (
            [f"{SOLVER}.policy.vllm.tensor_parallel=3", f"{SOLVER}.gpus=3", "runtime.node_gpus=4"],
            "tensor_parallel=3", "32 heads", "tensor_parallel=2",
        ),
        (
            [f"{SOLVER}.policy.vllm.tensor_parallel=2"],
            f"{SOLVER}.gpus=0.25", "needs that many", f"{SOLVER}.gpus=2",
        ),
        (
            [f"{SOLVER}.learner.gpus=1.5", "runtime.node_gpus=4"],
            "learner.gpus=1.5", "share of one GPU", "gpus=1 or",
        ),
        ([f"{SOLVER}.gpus=0"], "sleep=1", "GPUs only", "sleep=0"),
        (["agents.teacher.gpus=1"], "agents.teacher.gpus=1", "holds no model", "gpus=0"),
        (["runtime.nodes=2"], "runtime.nodes=2", "this machine alone", "runtime.address=auto"),
        ([f"{SOLVER}.learner.gpus=3"], "learner.gpus=3", "1 x 1 GPUs", "node_gpus=3"),
        ([f"{SOLVER}.learner.gpus=1"], "learner.gpus=1", "taken by those before", "nodes=2"),
    ],
)  # fmt: skip
def test_a_misfit_names_the_setting_why_and_what_to_write(
    overrides: list[str], where: str, why: str, write: str
) -> None:
    misfits = planned(QWEN_RUN, *overrides).misfits
    assert any(
        where in misfit.where and why in misfit.why and write in misfit.write for misfit in misfits
    ), misfits


def test_a_context_that_is_too_short_without_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny model reads single characters: `S:{prompt}` and 40 more are 50 of 512 tokens. The
    Generator's prompt has the attempt as well, 24 characters of template and 40: 64 + 500."""
    monkeypatch.setattr(plan, "longest_question", lambda config: 40)
    solver, generator = planned(
        "experiment=arithmetic", "agents.solver.sampling.max_tokens=500"
    ).misfits
    assert solver.where == "agents.solver.model=tiny"
    assert "about 50 tokens" in solver.why and "take 550" in solver.why
    assert solver.write == "agents.solver.sampling.max_tokens=462 or less"
    assert generator.where == "agents.generator.model=tiny"
    assert "about 564 tokens" in generator.why
    assert "a shorter agents.generator.template" in generator.write


def test_a_context_of_an_architecture_whose_sizes_are_not_known(tmp_path: Path) -> None:
    """Its config.json says how many positions it has; one without such a limit is never too short. What
    transformers does not know is told by name."""
    words = [f"agents.solver.model={tmp_path}", "agents.solver.sampling.max_tokens=500"]
    told = []
    for config in (
        {"model_type": "gpt2", "n_positions": 64},
        {"model_type": "mamba2", "num_heads": 128, "head_dim": 64},
        {"model_type": "t5"},
        {"model_type": "unheard_of"},
    ):
        (tmp_path / "config.json").write_text(json.dumps(config))
        told.append([misfit.why for misfit in planned(*words).misfits if "solver" in misfit.where])
    assert "its completion (up to 500)" in told[0][0]
    assert len(told[0]) == 1 and told[1] == []
    for reasons in told[2:]:
        assert "transformers makes no causal language model of it" in reasons[0]


def test_a_question_is_expected_to_grow() -> None:
    """The longest held-out string of the main job, `reverse` and 14 digits, is 23 characters with its
    equals sign; the longest held-out sum 29."""
    assert plan.longest_question(compose.compose([])) == 46
    assert plan.longest_question(compose.compose(["experiment=arithmetic"])) == 58


@pytest.mark.parametrize(
    "overrides",
    [
        [QWEN_RUN, "agents.solver.learner.lora.rank=0"],
        [QWEN_RUN, "agents.solver.learner.tokens_per_micro_batch=65536"],
        [QWEN_RUN, "agents.solver.policy.vllm.kv_cache_gib=60"],
        [QWEN_RUN, "agents.solver.policy.vllm.sleep=0", "runtime.gpu_gib=70"],
        ["experiment=socratic_zero_full", "agents.solver.learner.gpus=1"],
        ["experiment=socratic_zero_full", "agents.generator.learner.gradient_checkpointing=false"],
    ],
)
def test_advice_taken_fits(overrides: list[str]) -> None:
    misfit = complaint(*overrides)
    advised = [word for word in shlex.split(misfit.write) if "=" in word]
    assert advised
    assert planned(*overrides, *advised).fits


def test_a_model_that_no_setting_makes_fit() -> None:
    misfits = planned(QWEN_RUN, "agents.solver.model=Qwen/Qwen3-235B-A22B").misfits
    assert any("a smaller agents.solver.model" in misfit.write for misfit in misfits)


def test_the_memory_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """8.19e9 parameters: 4 bytes in each of two workers and 16 in the learner make 183.1 GiB."""
    monkeypatch.setattr(plan, "machine_gib", lambda: 64.0)
    misfit = complaint("agents.solver.model=Qwen/Qwen3-8B")
    assert misfit.where == "the memory of this machine"
    assert "take 183.1 GiB, and it has 64.0" in misfit.why
    monkeypatch.setattr(plan, "machine_gib", lambda: 256.0)
    assert planned("agents.solver.model=Qwen/Qwen3-8B").fits


# -- the command ----------------------------------------------------------------------------------


def _notes(*overrides: str) -> list[str]:
    from coevo.plan_report import notes

    return list(notes(planned(*overrides)))


def _printed(config: Config, width: int) -> list[str]:
    console = Console(width=width, record=True, file=io.StringIO(), force_terminal=True)
    render(plan.make(config), console)
    return console.export_text().splitlines()


@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_terminals_width_is_kept(experiment: str, width: int) -> None:
    lines = _printed(compose.compose([f"experiment={experiment}"]), width)
    assert max(map(len, lines)) <= width
    assert any(line.startswith("at work") for line in lines)
    assert not any("…" in line for line in lines)


def test_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--dry-run"]) == 0
    assert "Everything fits." in capsys.readouterr().out
    assert cli.main(["run", QWEN_RUN, "runtime.gpu_gib=40", "--dry-run"]) == 1
    out = capsys.readouterr().out
    assert "What does not fit:" in out and "node 1 GPU 0" in out and "at work" in out
    assert cli.main(["run", "--dry-run", "rounds=0"]) == 2
    assert cli.main(["run", "--dry-run", "environment.name=arithmetics"]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["curriculum.seed_levels=[3,40]"], "curriculum.seed_levels=[3, 40]: strings has levels 3 to 14"),
        (["evaluation.sampling.max_tokens=14"], "the right completion has up to 15 tokens with its end"),
        (["-m", "agents.generator.sampling.max_tokens=8,24"], "1 of 2 jobs cannot run"),
        (["agents=tiny"], "agents.solver.model=tiny: its tokenizer has no token for 'r'"),
    ],
)  # fmt: skip
def test_what_a_start_would_refuse(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "--dry-run", *words]) == 2
    out, err = capsys.readouterr()
    assert (out, told in err) == ("", True), err


def test_a_sweep_prints_every_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--dry-run", "-m", "experiment=default,qwen3_8b"]) == 0
    out = capsys.readouterr().out
    assert out.index("Plan of experiment default") < out.index("Plan of experiment qwen3_8b")


@pytest.mark.parametrize("experiment", ["default", "socratic_zero_full"])
def test_a_dry_run_loads_nothing_and_writes_nothing(experiment: str, tmp_path: Path) -> None:
    heavy = "{'torch', 'ray', 'transformers', 'vllm', 'peft', 'wandb', 'datasets'}"
    program = (
        "import sys; from coevo.cli import main;"
        f"status = main(['run', 'experiment={experiment}', '--dry-run']);"
        f"print('status', status, sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "status 0 []"
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []
