"""A learner's model: all of its weights, or LoRA adapters beside frozen ones; on disk and as bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from agents import adapters
from agents.learners import targets
from agents.model_files import ModelUnavailable, model_folder
from agents.model_loading import load_model, load_tokenizer

ADAPTER_SEED = 0  # of the adapters' random start: the same in every run, as the base model is
DEFAULT = "default"  # PEFT's name for the only adapters of a model


def load(name: str, config: Any, role: str = DEFAULT, base: Any = None) -> tuple[Any, Any, str]:
    """Model in `eval` mode, tokenizer and device; `config` is a `LearnerConfig`.

    Full training holds float32 weights. With `lora.rank` the base is frozen in `config.dtype` and
    the adapters, called as the role, are float32. With more than one GPU the layers are spread over
    them. `base` is a model with another role's adapters, beside which these are put. Raises
    `ValueError` if the model lacks a layer that `lora.targets` names.
    """
    if base is not None:
        with torch.random.fork_rng():
            torch.manual_seed(ADAPTER_SEED)
            base.add_adapter(role, _lora(config, causal(base)))
        base.peft_config[role].base_model_name_or_path = str(model_folder(name))  # as PEFT's own
        return base.eval(), load_tokenizer(name), device(config.gpus)
    lora = config.lora.rank > 0
    dtype = getattr(torch, config.dtype) if lora else torch.float32
    place = device(config.gpus)
    spread = {"device_map": "auto"} if config.gpus > 1 else {}
    model = load_model(name, dtype=dtype, **spread)
    if not spread:
        model.to(place)
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if lora:
        model = with_adapters(model, _lora(config, model), role)
    return model.eval(), load_tokenizer(name), place


@contextmanager
def before_training(learner: Any) -> Iterator[Any]:
    """The model as it was before any training: without its adapters, or loaded once more, frozen."""
    if has_adapters(learner.model):
        with learner.model.disable_adapter():
            yield learner.model
    else:
        yield _frozen(learner, learner.name)


def teacher(learner: Any) -> Any:
    """The model whose distribution is distilled. Raises `ModelUnavailable` where its tokens are others."""
    name = learner.config.teacher
    if name not in learner.frozen:
        tokenizer = load_tokenizer(name)
        if tokenizer.get_vocab() != learner.tokenizer.get_vocab():
            raise ModelUnavailable(
                f"learner.teacher={name} has another vocabulary than {learner.name}: distillation "
                "compares distributions over the same tokens; write a teacher of the same family"
            )
    return _frozen(learner, name)


def _frozen(learner: Any, name: str) -> Any:
    if name not in learner.frozen:
        dtype = getattr(torch, learner.config.dtype)
        model = load_model(name, dtype=dtype)
        learner.frozen[name] = model.eval().requires_grad_(False).to(learner.device)
    return learner.frozen[name]


def device(gpus: float) -> str:
    """Where tensors go. Raises `RuntimeError` if GPUs were asked for and there are none: nothing
    falls back to the CPU unseen."""
    if gpus > 0 and not torch.cuda.is_available():
        raise RuntimeError(
            f"gpus={gpus:g}, but torch sees no GPU here: write gpus=0 to use the CPU"
        )
    return "cuda" if gpus > 0 else "cpu"


def with_adapters(model: Any, settings: Any, role: str = DEFAULT) -> Any:
    """The model with LoRA adapters that do nothing yet."""
    from peft import get_peft_model

    with torch.random.fork_rng():
        torch.manual_seed(ADAPTER_SEED)
        return get_peft_model(model, settings, adapter_name=role)


def activate(model: Any, role: str) -> None:
    """Of several roles' adapters on one base, those of this role work and are trained."""
    if has_adapters(model) and model.active_adapter != role:
        model.set_adapter(role)


def _lora(config: Any, model: Any) -> Any:
    from peft import LoraConfig
    from transformers.pytorch_utils import Conv1D

    names = targets.chosen(model, config.lora.targets)

    return LoraConfig(
        r=config.lora.rank,
        lora_alpha=config.lora.alpha,
        lora_dropout=config.lora.dropout,
        target_modules=names,
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
        task_type="CAUSAL_LM",
    )


def has_adapters(model: Any) -> bool:
    return hasattr(model, "peft_config")


def causal(model: Any) -> Any:
    """The causal language model itself, which the adapters are inside of."""
    return model.get_base_model() if has_adapters(model) else model


def weights(model: Any, dtype: torch.dtype, role: str = DEFAULT) -> bytes:
    """What a policy takes over, in safetensors format: the adapters alone, or else every weight in
    the dtype given, without tied copies."""
    if has_adapters(model):
        return adapters.pack(_adapter_state(model, role), _adapter_settings(model, role))
    state = model.state_dict()
    tied = set(model._tied_weights_keys or ()) if model.config.tie_word_embeddings else set()
    return safetensors.torch.save(
        {
            name: tensor.detach().to(dtype).contiguous().cpu()
            for name, tensor in state.items()
            if name not in tied
        }
    )


def take_over(model: Any, received: bytes) -> Any:
    """The model with weights that `weights` wrote; adapters are put beside its own.

    Raises `RuntimeError` if a tensor is missing, unexpected or of another shape.
    """
    state = safetensors.torch.load(received)
    settings = adapters.adapter_config(received)
    if settings is not None:
        return _take_over_adapters(model, state, settings)
    missing, unexpected = model.load_state_dict(state, strict=False)
    tied = set(model._tied_weights_keys or ()) if model.config.tie_word_embeddings else set()
    if unexpected or set(missing) - tied:
        raise RuntimeError(f"weights do not fit: missing {missing}, unexpected {unexpected}")
    return model


def _take_over_adapters(model: Any, state: dict[str, Any], settings: dict[str, Any]) -> Any:
    from peft import LoraConfig, set_peft_model_state_dict

    if not has_adapters(model):
        kept = ("r", "lora_alpha", "target_modules", "task_type")
        model = with_adapters(model, LoraConfig(**{key: settings[key] for key in kept}))
        model.eval().requires_grad_(False)
    expected = _adapter_state(model).keys()
    if state.keys() != expected:
        raise RuntimeError(f"adapters do not fit: {sorted(state.keys() ^ expected)[:4]}")
    set_peft_model_state_dict(model, state)
    return model


def _adapter_state(model: Any, role: str = DEFAULT) -> dict[str, torch.Tensor]:
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(model, adapter_name=role, save_embedding_layers=False)
    return {name: tensor.detach().contiguous().cpu() for name, tensor in state.items()}


def _adapter_settings(model: Any, role: str) -> dict[str, Any]:
    settings = model.peft_config[role].to_dict()
    settings["target_modules"] = sorted(settings["target_modules"])
    return {key: value for key, value in settings.items() if _plain(value)}


def _plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_plain, value))
    return value is None or isinstance(value, str | int | float | bool)


# -- checkpoints ----------------------------------------------------------------------------------


def save(model: Any, folder: Path, state: dict[str, Any], role: str = DEFAULT) -> None:
    """Writes what `from_pretrained` loads: every weight, or the role's adapters alone."""
    if not has_adapters(model):
        model.save_pretrained(folder, state_dict=state)
        return
    model.save_pretrained(folder, state_dict=state, selected_adapters=[role])
    if role != DEFAULT:  # PEFT gives those a folder of their own
        for file in (folder / role).iterdir():
            file.rename(folder / file.name)
        (folder / role).rmdir()


def restore(model: Any, folder: Path, role: str = DEFAULT) -> None:
    """Takes over the weights that `save` wrote, bit for bit."""
    if has_adapters(model):
        from peft import set_peft_model_state_dict

        state = safetensors.torch.load_file(folder / "adapter_model.safetensors")
        set_peft_model_state_dict(model, state, adapter_name=role)
        return
    state = safetensors.torch.load_file(folder / "model.safetensors")
    model.load_state_dict(state, strict=not model.config.tie_word_embeddings)


def merge(name: str, checkpoint: Path, to: Path) -> None:
    """Writes the model `name` with a checkpoint's adapters added into its weights, in bfloat16."""
    state = safetensors.torch.load_file(checkpoint / "adapter_model.safetensors")
    settings = json.loads((checkpoint / "adapter_config.json").read_bytes())
    # not by PEFT's from_pretrained: it also does what else a configuration asks for
    model = _take_over_adapters(load_model(name, dtype=torch.float32), state, settings)
    model.merge_and_unload().to(torch.bfloat16).save_pretrained(to)
    load_tokenizer(name).save_pretrained(to)
