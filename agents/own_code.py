"""A model's own `forward` of one sequence at a time: what policies and learners must agree with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from agents.model_files import model_folder
from agents.model_loading import load_model
from agents.parity import Reading, Report
from agents.records import Completion

OWN = "the model's own code"
LARGEST_COPY = (
    2**30
)  # bytes of weights that are loaded once more beside an engine, to be compared with


def reading(
    model: Any,
    completions: Sequence[Completion],
    temperature: float,
    device: str,
    by: str,
    process: str,
    autocast: bool = False,
) -> Reading:
    """Log-probabilities at a temperature: each sequence alone, unpadded, without cache, in `eval` mode.

    With `autocast` the pass runs in bfloat16 as a learner's does. Leaves the mode as it was.
    """
    training, lines = model.training, []
    model.eval()
    try:
        with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=autocast):
            for one in completions:
                ids = torch.tensor([[*one.prompt_ids, *one.token_ids]], device=device)
                found = model(input_ids=ids, use_cache=False).logits[
                    0, len(one.prompt_ids) - 1 : -1
                ]
                logits = found.float() / temperature
                targets = torch.tensor(one.token_ids, device=logits.device)[:, None]
                lines.append(tuple(logits.log_softmax(-1).gather(-1, targets)[:, 0].tolist()))
    finally:
        model.train(training)
    wide = all(parameter.dtype == torch.float32 for parameter in model.parameters())
    precise = wide and not autocast
    return Reading(by=by, process=process, lines=tuple(lines), precise=precise)


def of_policy(
    model: Any, completions: Sequence[Completion], temperature: float, device: str
) -> Report:
    """What policy `hf` tells of its model."""
    own = reading(model, completions, temperature, device, OWN, "policy")
    return Report(family=model.config.model_type, precise=own.precise, readings=(own,))


def beside_engine(
    name: str, dtype: str, completions: Sequence[Completion], temperature: float, trained: bool
) -> Report:
    """What policy `vllm` tells: by a copy of the model on the CPU where no learner has one, if it is small
    enough."""
    from transformers import AutoConfig

    folder = model_folder(name)
    family = AutoConfig.from_pretrained(folder, trust_remote_code=False).model_type
    precise = dtype == "float32"
    if trained:
        return Report(family=family, precise=precise)
    size = _bytes(folder)
    if size is None or size > LARGEST_COPY:
        told = "not found in a folder" if size is None else f"{size / 2**30:.1f} GiB"
        why = (
            f"its weights are {told}, and up to {LARGEST_COPY / 2**30:.0f} GiB are loaded once more"
        )
        return Report(family=family, precise=precise, unread=why)
    model = load_model(name, dtype=torch.float32).eval().requires_grad_(False)
    own = reading(model, completions, temperature, "cpu", OWN, "copy")
    return Report(family=family, precise=precise, readings=(own,))


def _bytes(folder: Path | str) -> int | None:
    """Of all weights in a folder; None if it is none."""
    files = list(folder.glob("*.safetensors")) if isinstance(folder, Path) else []
    return sum(file.stat().st_size for file in files) if files else None
