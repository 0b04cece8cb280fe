"""TRL's trainers, fed with micro-batches that are ready: built on a learner's model and optimizer."""

from __future__ import annotations

import copy
import math
import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from agents.learners import models, modes
from agents.learners.batching import MicroBatch, TokenGroup
from agents.learners.trl_limits import BY_REDUCTION, PAIRS, REWARDS


def build(learner: Any, settings: Any) -> Any:
    """A trainer for these settings on the learner's model, which it cleans of the one before.

    Trainers wrap the model's `forward`, each around what it finds: they would pile up.
    """
    model = learner.model
    _unwrap(model)
    # a folder has to be given: it is made, and never written to
    with _dice_kept(), special_tokens_kept(model), tempfile.TemporaryDirectory() as folder:
        trainer = _make(learner, settings, folder)
    trainer.dropout = settings.dropout
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(StopUnlessFinite(trainer))
    # a full collection of Python's garbage at each call of `train`, which is one optimizer step here
    trainer.accelerator.free_memory = lambda *objects: list(objects)
    if models.has_adapters(model) and "ref" in model.peft_config:
        model.delete_adapter("ref")  # DPOTrainer's reference: rows bring its log-probabilities
    return trainer


def _make(learner: Any, settings: Any, folder: str) -> Any:
    tokenizer = copy.deepcopy(learner.tokenizer)
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(learner.tokens.pad)  # they insist on one
    given = {
        "model": learner.model,
        "processing_class": tokenizer,
        "optimizers": (learner.optimizer, AsItIs(learner.optimizer)),
    }
    common = {
        "output_dir": folder,
        "report_to": "none",
        "disable_tqdm": True,
        "save_strategy": "no",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "num_train_epochs": 1,
        "remove_unused_columns": False,
        "max_grad_norm": settings.clip,
        "bf16": settings.dtype == "bfloat16",
        "use_cpu": learner.device == "cpu",
        "router_aux_loss_coef": 0.0,  # ours balances no experts either
        "gradient_checkpointing": False,  # the model has it already, where it is configured
    }
    if settings.objective in PAIRS:
        normalised = settings.objective == "dpo" and settings.length_normalised
        dpo = DPOConfig(
            **common,
            loss_type=["sigmoid_norm" if normalised else PAIRS[settings.objective]],
            beta=settings.beta,
            label_smoothing=settings.label_smoothing,
            precompute_ref_log_probs=True,  # rows bring them along
            disable_dropout=False,  # it would be for good; see `Fed.compute_loss`
            max_length=None,
        )
        return FedDPOTrainer(args=dpo, train_dataset=_nothing(), **given)
    if settings.objective in REWARDS:
        grpo = GRPOConfig(**common, **_grpo_settings(settings), **_grpo_sampling(learner))
        rewards = {"reward_funcs": lambda **_: [], "train_dataset": _nothing()}
        trainer = FedGRPOTrainer(args=grpo, **rewards, **given)
        trainer.beta = settings.kl_weight  # only now: it would load a reference model of its own
        return trainer
    sft = SFTConfig(**common, max_length=None)
    return FedSFTTrainer(args=sft, train_dataset=_nothing(), **given)


def _grpo_settings(settings: Any) -> dict[str, Any]:
    cispo, gspo = settings.objective == "cispo", settings.objective == "gspo"
    high = settings.clip_high
    return {
        "loss_type": "cispo" if cispo else BY_REDUCTION[settings.reduction],
        "importance_sampling_level": "sequence" if gspo else "token",
        "epsilon": settings.clip_low,
        "epsilon_high": 1 + high if cispo else high,  # of CISPO TRL takes the bound itself
        "beta": 0.0,
        "use_bias_correction_kl": False,  # of GRPO's divergence, not of DeepSeek-V3.2's
    }


def _grpo_sampling(learner: Any) -> dict[str, Any]:
    return {
        "temperature": learner.forward.temperature,
        "max_completion_length": learner.longest,
        "num_generations": 2,  # of a batch that is never drawn here
        "per_device_train_batch_size": 2,
    }


class Fed(Trainer):
    """A trainer that takes its micro-batches as they are, and sends nothing anywhere."""

    batches: Sequence[dict[str, Any]] = ()
    loss_sum = 0.0
    dropout = False

    def get_train_dataloader(self) -> DataLoader:
        return DataLoader(list(self.batches), batch_size=None, collate_fn=lambda batch: batch)  # type: ignore[arg-type]

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> torch.Tensor:
        modes.settle(model, self.dropout)  # a trainer turns dropout on before each micro-batch
        self.model.training = True  # trainers ask which of their two lists of metrics is meant
        share = inputs.pop("share")
        loss = super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch) * share
        divided = 1 if self.loss_is_scaled_for_ga is not False else len(self.batches)
        self.loss_sum += loss.item() / divided
        return loss

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset

    def _precompute_ref_logps(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset

    def _send_telemetry(self) -> None:
        """Nothing."""


class FedDPOTrainer(Fed, DPOTrainer):
    """DPOTrainer on token ids, with the reference's log-probabilities among them."""


class FedSFTTrainer(Fed, SFTTrainer):
    """SFTTrainer on token ids."""


class FedGRPOTrainer(Fed, GRPOTrainer):
    """GRPOTrainer on rollouts that were drawn and judged elsewhere."""

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return Trainer._prepare_inputs(self, inputs)  # to the device; GRPOTrainer's own one draws


class AsItIs:
    """A schedule that leaves the step size to the learner, which sets it before every step."""

    def __init__(self, optimizer: torch.optim.Optimizer):
        self.optimizer = optimizer

    def step(self) -> None:
        """Nothing."""

    def get_last_lr(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]


class NotFiniteError(ArithmeticError):
    """A loss or a gradient that is not a finite number."""


class StopUnlessFinite(TrainerCallback):
    """Raises `NotFiniteError` before an optimizer step that would spoil the weights."""

    def __init__(self, trainer: Fed):
        self.trainer = trainer

    def on_pre_optimizer_step(self, *_: Any, model: Any = None, **__: Any) -> None:
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        if not math.isfinite(self.trainer.loss_sum) or not all(
            torch.isfinite(gradient).all() for gradient in gradients
        ):
            raise NotFiniteError


def _nothing() -> Dataset:
    """A row to build a trainer with: it insists on one, and never sees it again."""
    return Dataset.from_list([{"prompt": "", "input_ids": [0], "labels": [0]}])


def _unwrap(model: Any) -> None:
    """Takes away what trainers and Accelerate put around a model's `forward`."""
    for module in (model, models.causal(model)):
        for name in ("forward", "_original_forward", "_is_accelerate_prepared"):
            module.__dict__.pop(name, None)


@contextmanager
def _dice_kept() -> Iterator[None]:
    """Trainers seed every generator when they are built, which a resumed run does at another step."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        yield
    random.setstate(python)
    np.random.set_state(numpy)


@contextmanager
def special_tokens_kept(model: Any) -> Iterator[None]:
    """Trainers write a tokenizer's special tokens, their own padding among them, into the configuration
    that is saved with the weights."""
    blocks = (model.config.get_text_config(), model.generation_config)
    names = ("pad_token_id", "bos_token_id", "eos_token_id")
    before = [
        (block, name, copy.copy(getattr(block, name, None))) for block in blocks for name in names
    ]
    try:
        yield
    finally:
        for block, name, value in before:
            setattr(block, name, value)


# -- rows -----------------------------------------------------------------------------------------


def each_pair(group: TokenGroup) -> list[TokenGroup]:
    """A group of two for each pair: TRL reads a completion again for every pair that it is in."""
    assert group.ref_logprobs is not None
    return [
        TokenGroup(
            prompt_ids=group.prompt_ids,
            rows=[group.rows[chosen], group.rows[rejected]],
            pairs=[(0, 1)],
            ref_logprobs=[group.ref_logprobs[chosen], group.ref_logprobs[rejected]],
        )
        for chosen, rejected in group.pairs
    ]


def pairs(batch: MicroBatch) -> list[dict[str, Any]]:
    """What DPOTrainer's collator takes, of groups of one pair."""
    rows = []
    for group in batch.groups:
        chosen, rejected = group.rows
        assert group.ref_logprobs is not None
        before_chosen, before_rejected = group.ref_logprobs
        rows.append(
            {
                "prompt_ids": list(group.prompt_ids),
                "chosen_ids": list(chosen.token_ids),
                "rejected_ids": list(rejected.token_ids),
                "ref_chosen_logps": before_chosen.sum().item(),
                "ref_rejected_logps": before_rejected.sum().item(),
            }
        )
    return rows


def lessons(batch: MicroBatch) -> list[dict[str, Any]]:
    """What SFTTrainer's collator takes: -100 is a token that is not learnt."""
    return [
        {
            "input_ids": [*group.prompt_ids, *row.token_ids],
            "labels": [-100] * len(group.prompt_ids) + list(row.token_ids),
        }
        for group in batch.groups
        for row in group.rows
    ]


def rollouts(batch: MicroBatch) -> dict[str, Any]:
    """What GRPOTrainer's loss takes."""
    before = [line for group in batch.groups for line in group.ref_logprobs or ()]
    references = {"ref_per_token_logps": batch.padded(before)} if before else {}
    return references | {
        "prompt_ids": batch.prompt_ids[batch.group_of_row],
        "prompt_mask": batch.prompt_mask[batch.group_of_row],
        "completion_ids": batch.targets,
        "completion_mask": batch.loss_mask.long(),
        "advantages": torch.tensor([row.weight for row in batch.rows]),
        "old_per_token_logps": batch.padded([row.sampling_logprobs for row in batch.rows]),
    }
