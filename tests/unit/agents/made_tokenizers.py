"""Small tokenizers, one character a token, that put tokens around a text as those of families do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from tests.families import save_family

SPECIAL = ("<s>", "</s>", "<pad>", "<user>", "<model>", "<end>", "<system>")
BOS, EOS, PAD, USER, MODEL, END, SYSTEM = range(len(SPECIAL))
CHARACTERS = "abcdefghijS0123456789 +-=?:.\nXY"
VOCABULARY = {one: i for i, one in enumerate((*SPECIAL, *CHARACTERS))}
SIZE = len(VOCABULARY)

TURN = (
    "{% for m in messages %}<{{ 'model' if m.role == 'assistant' else m.role }}>{{ m.content }}<end>\n"
    "{% endfor %}"
)
ASK = "{% if add_generation_prompt %}<model>{% endif %}"
PLAIN = TURN + ASK
WITH_BOS = "{{ bos_token }}" + PLAIN
NO_SYSTEM = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}" + PLAIN
)
DROPS_SYSTEM = PLAIN.replace(
    "{% for m in messages %}", "{% for m in messages if m.role != 'system' %}"
)


def tokenizer(before: str = "", behind: str = "", **settings: Any) -> PreTrainedTokenizerFast:
    """One character a token; `before` and `behind` is what its post-processor adds."""
    made = tokenizers.Tokenizer(models.WordLevel(VOCABULARY, unk_token="X"))
    made.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(r"[\s\S]"), "isolated")
    made.decoder = tokenizers.decoders.Fuse()
    made.add_special_tokens(list(SPECIAL))
    template = " ".join(one for one in (before, "$A", behind) if one)
    pairs = [(one, VOCABULARY[one]) for one in (before, behind) if one]
    made.post_processor = processors.TemplateProcessing(single=template, special_tokens=pairs)
    named = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    return PreTrainedTokenizerFast(tokenizer_object=made, **(named | settings))


def ids(text: str) -> list[int]:
    return [VOCABULARY[one] for one in text]


def with_bos() -> PreTrainedTokenizerFast:
    """BOS in front, a chat template that writes it too, and a pad token beyond the embedding."""
    return tokenizer("<s>", pad_token="[PAD]", chat_template=WITH_BOS)


LLAMA, EAGER, GPT2 = tokenizer("<s>"), tokenizer("<s>", "</s>"), tokenizer()
BERT = tokenizer("<user>", "<model>")  # as [CLS] and [SEP]


def folder_of(
    path: Path, family: str = "llama", made: Any = LLAMA, ends: Any = None, **changes: Any
) -> str:
    """A family's model with this tokenizer; `ends` go into generation_config.json."""
    own = {"vocab_size": SIZE, "eos_token_id": EOS, "pad_token_id": None}
    folder = save_family(family, path, **(own | changes))
    for file in folder.glob("tokenizer*"):
        file.unlink()
    made.save_pretrained(folder)
    if ends is not None:
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    return str(folder)
