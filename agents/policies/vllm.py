"""Sampling with vLLM, on GPU or CPU: groups by `n`, token ids in and out, weights handed over whole.

vLLM changes torch's threads and more in its process, so its worker must be an actor of its own,
never the process of a learner: coevo refuses it with `runtime: inline`.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from agents import own_code, precision
from agents.adapters import adapter_config
from agents.finite import BrokenModel
from agents.model_files import model_folder
from agents.parity import Report
from agents.policies.base import Prompt, Sampling, failed
from agents.quiet import quiet
from agents.records import Completion
from agents.tokens import read

BLOCK = 32  # tokens of a KV cache block; the 128 that vLLM takes on CPU would share no short prompt
LARGEST_SEED = 2**62  # vLLM adds the sample's number to it, in 64 bits


class VLLMPolicy:
    """Samples from a causal language model in a vLLM engine of this process.

    `config` is a `VLLMConfig`. A prompt that the model cannot read, or that leaves no room for a token
    within `max_model_len`, gets completions with an error (`Tokens.unreadable`). Raises `BrokenModel`
    where log-probabilities are NaN.
    """

    def __init__(
        self,
        model: str,
        config: Any,
        dtype: str = "float32",
        chat: bool = False,
        batch_size: int = 256,
        threads: int = 1,
        lora_rank: int = 0,
        gpus: float = 0.0,
    ):
        quiet()
        torch.set_num_threads(threads)  # before vLLM, which lets nobody change them
        self.name, self.config, self.version = model, config, 0
        self.tokens = read(model, chat)
        folder = model_folder(model)
        vllm = _import_vllm()
        self.vllm = vllm
        self.on_cpu = vllm.platforms.current_platform.is_cpu()
        if self.on_cpu == (gpus > 0):
            built, fit = ("CPU", "gpus=0") if self.on_cpu else ("GPU", "gpus=1, or a fraction")
            raise RuntimeError(
                f"this vLLM is built for the {built}, but gpus={gpus:g}: write {fit}"
            )
        self.dtype = precision.chosen(dtype, "cpu" if self.on_cpu else "cuda")
        self.engine = vllm.LLM(
            model=str(folder),
            dtype=self.dtype,
            seed=0,
            trust_remote_code=False,
            load_format="safetensors",  # no pickle
            max_model_len=config.max_model_len,
            max_num_seqs=batch_size,
            kv_cache_memory_bytes=int(config.kv_cache_gib * 2**30),
            block_size=BLOCK,
            enable_prefix_caching=True,
            # Where only a part of a prompt fits into a step, vLLM rewinds the request's random
            # generator, and a CPU generator cannot be: whole prompts only.
            enable_chunked_prefill=not self.on_cpu,
            max_num_batched_tokens=max(4096, config.max_model_len) if self.on_cpu else None,
            enforce_eager=config.enforce_eager,
            tensor_parallel_size=config.tensor_parallel,
            enable_sleep_mode=config.sleep > 0,
            enable_lora=lora_rank > 0,
            max_lora_rank=_rank_offered(lora_rank),
            logprobs_mode="processed_logprobs",  # after temperature and top-p
            generation_config="vllm",  # nothing from the model's own generation_config.json
        )
        self.adapter: Any = None  # a LoRARequest once an adapter has been handed over

    # -- sampling -----------------------------------------------------------------------------

    def read(self, completions: Sequence[Completion], temperature: float, trained: bool) -> Report:
        """What the model's own code says of completions where no learner asks it: for the check at load."""
        return own_code.beside_engine(self.name, self.dtype, completions, temperature, trained)

    def sample(
        self, prompts: Sequence[Prompt], n: int, sampling: Sampling, seeds: Sequence[int]
    ) -> list[list[Completion]]:
        # The cache of an earlier call would change how prompts are batched, and so the last bits:
        # a resumed run must not be told from one that was never killed.
        self.engine.reset_prefix_cache()
        limit = self.config.max_model_len
        ids = [self.tokens.prompt(prompt.text, prompt.system) for prompt in prompts]
        errors = [self.tokens.unreadable(each, limit) for each in ids]
        room = [self.tokens.room(each, limit) for each in ids]
        fitting = [i for i in range(len(ids)) if not errors[i]]
        draws = n if sampling.temperature > 0 else 1  # greedy completions are all the same
        outputs = self.engine.generate(
            [{"prompt_token_ids": ids[i]} for i in fitting],
            [self._parameters(prompts[i], draws, sampling, seeds[i], room[i]) for i in fitting],
            use_tqdm=False,
            lora_request=self.adapter,
        )
        results = [
            [failed(each, error, self.version)] * n for each, error in zip(ids, errors, strict=True)
        ]
        for i, output in zip(fitting, outputs, strict=True):
            ordered = sorted(output.outputs, key=lambda one: one.index)
            results[i] = [self._completion(ids[i], one) for one in ordered] * (n // draws)
        return results

    def _parameters(self, prompt: Prompt, n: int, sampling: Sampling, seed: int, room: int) -> Any:
        structured = None
        if prompt.schema is not None:
            structured = self.vllm.sampling_params.StructuredOutputsParams(json=dict(prompt.schema))
        return self.vllm.SamplingParams(
            n=n,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=0,
            max_tokens=min(sampling.max_tokens, room),
            seed=seed % LARGEST_SEED,
            stop=list(sampling.stop) or None,
            stop_token_ids=sorted(self.tokens.ending(sampling.stop)),
            logprobs=0,  # of the sampled token alone
            structured_outputs=structured,
        )

    def _completion(self, prompt_ids: list[int], output: Any) -> Completion:
        token_ids = tuple(output.token_ids)
        logprobs = [
            one[token].logprob for one, token in zip(output.logprobs, token_ids, strict=True)
        ]
        if not all(map(math.isfinite, logprobs)):
            raise BrokenModel(
                f"the model {self.name}, version {self.version}, computes log-probabilities that are "
                "NaN or infinite: its weights are, or are too large; take other weights, or go on from "
                "the last checkpoint with a smaller agents.….learner.lr"
            )
        return Completion(
            text=output.text,
            prompt_ids=tuple(prompt_ids),
            token_ids=token_ids,
            logprobs=tuple(logprobs),
            policy_version=self.version,
            finish_reason="stop" if output.finish_reason == "stop" else "length",
        )

    # -- weights ------------------------------------------------------------------------------

    def load_weights(self, weights: bytes, version: int) -> None:
        """Takes over a whole model, by the names of a model's files, or an adapter in safetensors format.

        A whole model goes through a folder in memory; an adapter gets a new name and id, since
        vLLM keeps serving the old weights under an id that it knows.
        """
        settings = adapter_config(weights)
        with tempfile.TemporaryDirectory(
            prefix="coevo-vllm-", dir=_memory_folder(len(weights))
        ) as scratch:
            folder = Path(scratch)
            if settings is None:
                (folder / "model.safetensors").write_bytes(weights)
                self._reload(folder)
            else:
                (folder / "adapter_model.safetensors").write_bytes(weights)
                (folder / "adapter_config.json").write_text(json.dumps(settings))
                self._adopt(folder, version)
        self.engine.reset_prefix_cache()
        self.version = version

    def _reload(self, folder: Path) -> None:
        self.engine.collective_rpc("reload_weights", kwargs={"weights_path": str(folder)})
        if self.on_cpu:
            self.engine.apply_model(_repack_tied_head)

    def _adopt(self, folder: Path, version: int) -> None:
        if self.adapter is not None:
            self.engine.llm_engine.remove_lora(self.adapter.lora_int_id)
        self.adapter = self.vllm.lora.request.LoRARequest(
            lora_name=f"version-{version}", lora_int_id=version + 1, lora_path=str(folder)
        )
        if not self.engine.llm_engine.add_lora(self.adapter):
            raise RuntimeError(f"vLLM did not take the adapter of version {version}")

    # -- one GPU for policy and learner -------------------------------------------------------

    def sleep(self) -> None:
        """Gives the GPU's memory to a learner; does nothing at level 0."""
        if self.config.sleep:
            self.engine.sleep(level=self.config.sleep)

    def wake(self) -> None:
        """Takes the memory back; at level 2 the weights must then be loaded before sampling."""
        if self.config.sleep:
            self.engine.wake_up()


def _import_vllm() -> Any:
    """The module, with the settings that an in-process engine of an actor needs."""
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # starts in seconds; no child to lose
    os.environ["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"  # `auto` can leave one core of two
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    import vllm
    import vllm.lora.request
    import vllm.platforms
    import vllm.sampling_params

    return vllm


def _repack_tied_head(model: Any) -> None:
    """Packs the head anew from the embeddings that it shares.

    On CPU vLLM multiplies with a packed copy of each matrix. A reload renews it for every layer
    whose weights are in the file; those of a tied head are not, and it would keep the old ones.
    """
    from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm

    if not model.config.tie_word_embeddings:
        return
    for module in model.modules():
        if hasattr(module, "lm_head"):  # of Gemma's there is none: its embedding is used as one
            dispatch_cpu_unquantized_gemm(module.lm_head, remove_weight=False)


def _rank_offered(rank: int) -> int:
    """The smallest of vLLM's ranks that holds an adapter of this rank."""
    return next(
        (offered for offered in (8, 16, 32, 64, 128, 256, 320, 512) if offered >= rank), 512
    )


def _memory_folder(size: int, memory: str = "/dev/shm") -> str | None:
    """A folder in memory where there is one with room for `size` bytes (containers often have 64
    MB): a hand-over then touches no disk. None is the system's folder for temporary files."""
    if not os.access(memory, os.W_OK):
        return None
    return memory if shutil.disk_usage(memory).free > size + 2**20 else None
