"""TRL as an oracle: the same data, start and optimizer give the same losses and the same weights.

Both take three steps of one batch, in float32, by AdamW with weight decay and gradients clipped at 1.
Each of TRL's trainers runs as a user runs it: `train()` on text that it tokenizes itself, and with its own
reference model; GRPOTrainer is handed its rollouts by `rollout_func`. Only RLOOTrainer, which has
no such door, gets its sampling replaced.

ε of AdamW is 1e-5: with the usual 1e-8 a few weights in 100,000, whose gradient is nothing but rounding
noise, move in a direction that rounding decides.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
from trl import (
    DPOConfig,
    DPOTrainer,
    GRPOConfig,
    GRPOTrainer,
    KTOConfig,
    KTOTrainer,
    RLOOConfig,
    RLOOTrainer,
    SFTConfig,
    SFTTrainer,
)

from agents.learners.learner import Learner
from agents.model_files import TINY
from agents.records import Completion, Group
from coevo.config import LearnerConfig

STEPS, LONGEST = 3, 24
ADAMW = {"lr": 1e-4, "betas": (0.9, 0.999), "eps": 1e-5, "weight_decay": 0.01}
LOSS = {"rel": 1e-5, "abs": 1e-6}
WEIGHT = {"rtol": 1e-5, "atol": 1e-6}  # the steps move weights by up to 3e-4
PROMPTS = ("S:7+5?", "S:12+30-2?", "S:(3+4)*2?")
TEXTS = (
    ("7+5=12#12", "7+5=13#13", "7+5=12;12+5=17#17", "12#12"),
    ("12+30=42;42-2=40#40", "12+30=42;42-2=44#44", "30-2=28;28+12=40#40", "30-2=28#28"),
    ("3+4=7;7*2=14#14", "4*2=8;3+8=11#11", "3+4=7;7*2=15#15", "3*2=6;4*2=8;6+8=14#14"),
)
REWARDS = ((1.0, 0.0, 0.0, 1.0), (1.0, 0.0, 1.0, 0.0), (1.0, 0.0, 0.0, 0.5))
LABELS = (1.0, 0.0, 1.0)


@pytest.fixture(autouse=True)
def no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    """TRL's trainers report to the hub that they were built."""
    monkeypatch.setenv("CI", "1")


@pytest.fixture
def folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as name:
        yield name


def model() -> Any:
    return AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float32)


def own(objective: str, groups: list[Group], **changes: object) -> tuple[list[float], Any]:
    """The losses of our learner's steps, and its model after them."""
    config = LearnerConfig(
        objective=objective,
        lr=ADAMW["lr"],  # type: ignore[arg-type]
        weight_decay=ADAMW["weight_decay"],  # type: ignore[arg-type]
        epochs=STEPS,
        groups_per_step=len(groups),
        **changes,  # type: ignore[arg-type]
    )
    learner = Learner("tiny", config, longest=LONGEST)
    learner.optimizer.param_groups[0]["eps"] = ADAMW["eps"]
    losses: list[float] = []
    step = learner._step

    def noting(*given: Any) -> Any:
        metrics = step(*given)
        losses.append(metrics["loss"])
        return metrics

    learner._step = noting  # type: ignore[method-assign]
    learner.update(groups, seed=1, version=1)
    return losses, learner.model


def arguments(folder: str, rows: int) -> dict[str, Any]:
    """What all of TRL's configurations are given: a step is the whole batch."""
    return {
        "output_dir": folder,
        "per_device_train_batch_size": rows,
        "max_steps": STEPS,
        "lr_scheduler_type": "constant",
        "max_grad_norm": 1.0,
        "bf16": False,
        "use_cpu": True,
        "gradient_checkpointing": False,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
    }


def theirs(trainer_type: Any, rows: list[dict[str, Any]], **given: Any) -> tuple[list[float], Any]:
    """The losses of TRL's steps, and its model after them."""
    trained = model()
    optimizer = torch.optim.AdamW(trained.parameters(), **ADAMW)  # type: ignore[arg-type]
    trainer = trainer_type(
        model=trained,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(TINY),
        optimizers=(optimizer, None),
        **given,
    )
    trainer.remove_callback(PrinterCallback)
    losses: list[float] = []
    compute = trainer.compute_loss

    def noting(*given: Any, **named: Any) -> torch.Tensor:
        loss = compute(*given, **named)
        losses.append(loss.item())
        return loss

    trainer.compute_loss = noting
    trainer.train()
    return losses, trained


def agree(ours: tuple[list[float], Any], trl: tuple[list[float], Any]) -> None:
    """The same loss at every step, and the same weights after the last, which have moved."""
    assert len(ours[0]) == len(trl[0]) == STEPS
    assert ours[0] == pytest.approx(trl[0], **LOSS)
    start, mine, other = model().state_dict(), ours[1].state_dict(), trl[1].state_dict()
    assert max((mine[name] - start[name]).abs().max().item() for name in start) > 1e-4
    for name, tensor in mine.items():
        torch.testing.assert_close(tensor, other[name], **WEIGHT)


def text(text: str) -> Completion:
    return Completion(text=text, finish_reason="reference")


# -- preferences ----------------------------------------------------------------------------------


def pairs() -> list[Group]:
    return [
        Group(
            problem_id=prompt,
            prompt=prompt,
            completions=(text(texts[0]), text(texts[1])),
            rewards=(1.0, 0.0),
            pairs=((0, 1),),
        )
        for prompt, texts in zip(PROMPTS, TEXTS, strict=True)
    ]


def preferences() -> list[dict[str, Any]]:
    return [
        {"prompt": prompt, "chosen": texts[0], "rejected": texts[1]}
        for prompt, texts in zip(PROMPTS, TEXTS, strict=True)
    ]


@pytest.mark.parametrize(
    ("objective", "loss_type", "ours", "trl"),
    [
        ("dpo", "sigmoid", {}, {}),
        ("dpo", "sigmoid_norm", {"length_normalised": True}, {}),
        ("hinge", "hinge", {}, {}),
        ("ipo", "ipo", {}, {}),
        ("robust", "robust", {"label_smoothing": 0.2}, {"label_smoothing": 0.2}),
        ("apo_zero", "apo_zero", {}, {}),
    ],
)
def test_preferences(
    objective: str, loss_type: str, ours: dict[str, Any], trl: dict[str, Any], folder: str
) -> None:
    config = DPOConfig(**arguments(folder, 3), loss_type=[loss_type], beta=0.3, **trl)
    agree(
        own(objective, pairs(), beta=0.3, **ours),
        theirs(DPOTrainer, preferences(), ref_model=model(), args=config),
    )


def test_simpo(folder: str) -> None:
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    settings = {"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 1.4, "cpo_alpha": 0.0}
    config = CPOConfig(**arguments(folder, 3), **settings)
    agree(
        own("simpo", pairs(), beta=2.0, target_margin=1.4),
        theirs(CPOTrainer, preferences(), args=config),
    )


def test_kto(folder: str) -> None:
    """One completion a prompt and one batch: both put the completion before on each prompt for z."""
    groups = [
        Group(
            problem_id=prompt,
            prompt=prompt,
            completions=(Completion(text=texts[int(label)]),),
            rewards=(label,),
        )
        for prompt, texts, label in zip(PROMPTS, TEXTS, LABELS, strict=True)
    ]
    rows = [
        {"prompt": group.prompt, "completion": group.completions[0].text, "label": label > 0}
        for group, label in zip(groups, LABELS, strict=True)
    ]
    weights = {"desirable_weight": 1.2, "undesirable_weight": 0.9}
    config = KTOConfig(**arguments(folder, 3), beta=0.3, **weights)
    agree(
        own("kto", groups, beta=0.3, **weights),
        theirs(KTOTrainer, rows, ref_model=model(), args=config),
    )


# -- rewards --------------------------------------------------------------------------------------


def rollouts() -> list[Group]:
    """The texts as if the tiny model had drawn them, with its log-probabilities."""
    policy, tokenizer = model(), AutoTokenizer.from_pretrained(TINY)
    groups = []
    for prompt, texts, rewards in zip(PROMPTS, TEXTS, REWARDS, strict=True):
        start = tuple(tokenizer(prompt, add_special_tokens=False).input_ids)
        completions = []
        for line in texts:
            ids = (*tokenizer(line, add_special_tokens=False).input_ids, tokenizer.eos_token_id)
            with torch.no_grad():
                table = policy(torch.tensor([[*start, *ids]])).logits[0].log_softmax(-1)
            drawn = tuple(table[len(start) - 1 + i, token].item() for i, token in enumerate(ids))
            completions.append(
                Completion(text=line, prompt_ids=start, token_ids=ids, logprobs=drawn)
            )
        groups.append(
            Group(problem_id=prompt, prompt=prompt, completions=tuple(completions), rewards=rewards)
        )
    return groups


def handed_out(groups: list[Group]) -> Callable[[list[str]], list[Completion]]:
    """The next completion on each prompt: TRL asks for a prompt as often as it wants completions."""

    def draw(prompts: list[str]) -> list[Completion]:
        left = {group.prompt: iter(group.completions) for group in groups}
        return [next(left[prompt]) for prompt in prompts]

    return draw


def judge(groups: list[Group]) -> Callable[..., list[float]]:
    known = {
        (group.prompt, completion.token_ids): reward
        for group in groups
        for completion, reward in zip(group.completions, group.rewards, strict=True)
    }

    def rewards(prompts: list[str], completion_ids: list[list[int]], **_: Any) -> list[float]:
        return [known[p, tuple(ids)] for p, ids in zip(prompts, completion_ids, strict=True)]

    return rewards


def grpo(folder: str, **settings: Any) -> tuple[list[float], Any]:
    """GRPOTrainer draws once and takes all its steps on that: ratios leave 1, and are clipped."""
    groups = rollouts()
    draw = handed_out(groups)

    def rollout(prompts: list[str], _: Any) -> dict[str, Any]:
        drawn = draw(prompts)
        return {
            "prompt_ids": [list(completion.prompt_ids) for completion in drawn],
            "completion_ids": [list(completion.token_ids) for completion in drawn],
            "logprobs": [list(completion.logprobs) for completion in drawn],
        }

    config = GRPOConfig(
        **arguments(folder, 12),
        num_generations=4,
        num_iterations=STEPS,
        max_completion_length=LONGEST,
        use_bias_correction_kl=False,  # TRL's default is DeepSeek-V3.2's divergence, not GRPO's
        **settings,
    )
    rows = [{"prompt": prompt} for prompt in PROMPTS]
    given = {"args": config, "reward_funcs": judge(groups), "rollout_func": rollout}
    return theirs(GRPOTrainer, rows, **given)


@pytest.mark.parametrize("kl_weight", [0.0, 0.2])
@pytest.mark.parametrize(
    ("objective", "ours", "trl"),
    [
        ("grpo", {"clip_high": 0.3}, {"loss_type": "grpo", "epsilon_high": 0.3}),
        ("dr_grpo", {}, {"loss_type": "dr_grpo", "scale_rewards": "none"}),
        ("dapo", {"clip_high": 0.28}, {"loss_type": "dapo", "epsilon_high": 0.28}),
        (  # of CISPO TRL takes the bound itself, and no lower one
            "cispo",
            {"clip_low": 1.0, "clip_high": 0.05},
            {"loss_type": "cispo", "epsilon_high": 1.05},
        ),
        (
            "gspo",
            {"clip_low": 0.03, "clip_high": 0.04},
            {
                "loss_type": "grpo",
                "importance_sampling_level": "sequence",
                "epsilon": 0.03,
                "epsilon_high": 0.04,
            },
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:You are using 'rollout_func'")
def test_rewards(
    objective: str, ours: dict[str, Any], trl: dict[str, Any], kl_weight: float, folder: str
) -> None:
    agree(
        own(objective, rollouts(), kl_weight=kl_weight, **ours),
        grpo(folder, beta=kl_weight, **trl),
    )


def test_rloo(folder: str) -> None:
    """Without a divergence, which TRL takes off the reward and we add to the loss."""
    groups = rollouts()
    draw, tokenizer = handed_out(groups), AutoTokenizer.from_pretrained(TINY)

    class Handed(RLOOTrainer):
        def _generate_single_turn(self, prompt_ids: Any, *_: Any) -> list[list[int]]:
            return [list(c.token_ids) for c in draw(tokenizer.batch_decode(prompt_ids))]

    config = RLOOConfig(
        **arguments(folder, 12),
        num_generations=4,
        num_iterations=STEPS,
        max_completion_length=LONGEST,
        beta=0.0,
    )
    rows = [{"prompt": prompt} for prompt in PROMPTS]
    agree(own("rloo", groups), theirs(Handed, rows, args=config, reward_funcs=judge(groups)))


# -- imitation ------------------------------------------------------------------------------------


def test_sft(folder: str) -> None:
    """The mean over all tokens of the batch, the end token among them."""
    rows = [
        {"prompt": prompt, "completion": texts[1]}
        for prompt, texts in zip(PROMPTS, TEXTS, strict=True)
    ]
    lessons = [
        dataclasses.replace(group, completions=group.completions[1:], rewards=(1.0,), pairs=())
        for group in pairs()
    ]
    config = SFTConfig(**arguments(folder, 3))
    agree(own("sft", lessons, reduction="token"), theirs(SFTTrainer, rows, args=config))
