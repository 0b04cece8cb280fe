"""A learner's checkpoint: its weights as transformers or PEFT writes them, and its optimizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from agents.learners import models, ranks

OPTIMIZER = "optimizer.safetensors"


class CheckpointDiffers(RuntimeError):
    """A checkpoint from which a run would go on as another; the message names the first tensor."""


def save(learner: Any, folder: Path) -> None:
    """Writes weights (the adapters alone, if there are any), tokenizer and optimizer. Every rank must take
    part; the first one writes."""
    weights = learner.model.state_dict()
    state = {
        f"{index}.{name}": learner.world.whole(torch.as_tensor(value)).contiguous()
        for index, slots in learner.optimizer.state_dict()["state"].items()
        for name, value in slots.items()
    }
    kept = {
        "version": str(learner.version),
        "steps": str(learner.steps),
        "baselines": json.dumps(learner.baselines),
    }
    if learner.world.rank > 0:
        return
    folder.mkdir(parents=True, exist_ok=True)
    models.save(learner.model, folder, weights, learner.role)
    learner.tokenizer.save_pretrained(folder)
    safetensors.torch.save_file(state, folder / OPTIMIZER, metadata=kept)


def load(learner: Any, folder: Path, version: int) -> None:
    """Takes over weights and optimizer that `save` wrote, bit for bit."""
    models.restore(learner.model, folder, learner.role)
    slots: dict[int, dict[str, torch.Tensor]] = {}
    trained = learner.optimizer.param_groups[0]["params"]
    with safetensors.safe_open(folder / OPTIMIZER, "pt") as file:
        kept = file.metadata()
        for key in file.keys():  # noqa: SIM118
            index, name = key.split(".", 1)
            value = learner.world.part(file.get_tensor(key), trained[int(index)])
            slots.setdefault(int(index), {})[name] = value
    groups = learner.optimizer.state_dict()["param_groups"]
    learner.optimizer.load_state_dict({"state": slots, "param_groups": groups})
    learner.version, learner.steps = version, int(kept["steps"])
    learner.baselines = json.loads(kept["baselines"])


def read_back(learner: Any, folder: Path) -> None:
    """Goes on from the checkpoint that `save` has just written, as a resumed run would.

    Raises `CheckpointDiffers` if a tensor is not bit for bit what it was, and whatever `load` raises.
    """
    before = _checksums(learner)
    load(learner, folder, learner.version)
    after = _checksums(learner)
    if before != after:
        changed = (name for name in {**before, **after} if before.get(name) != after.get(name))
        family = models.causal(learner.model).config.model_type
        raise CheckpointDiffers(
            f"{folder} does not hold what its learner has (model {learner.name}, family {family}): "
            f"{next(changed)} is read back as another tensor"
        )


def _checksums(learner: Any) -> dict[str, bytes]:
    """Of every trained weight, buffer and optimizer state that this rank has."""
    tensors = {
        **{name: one for name, one in learner.model.named_parameters() if one.requires_grad},
        **dict(learner.model.named_buffers()),
    }
    for index, slots in learner.optimizer.state_dict()["state"].items():
        tensors |= {f"{name} of parameter {index}": value for name, value in slots.items()}
    return {name: ranks.checksum(torch.as_tensor(one)) for name, one in tensors.items()}
