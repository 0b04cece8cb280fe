"""What a model reads and ends with: prompts as token ids, end tokens, padding, positions.

Policies hf and vllm and the learners ask here, so that all of them read the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agents.model_loading import ModelUnavailable, load_settings, load_tokenizer

LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len")  # of configurations
STRETCHED = ("linear", "dynamic")  # kinds of RoPE whose factor is not in the length yet
MARK = "coevo0turn"  # a text of an assistant that no template writes itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """A model's tokenizer, and what is known of its tokens.

    `ends`: after each of these a completion is over. `end`: what a text is ended with that no policy
    drew. `pad`: what fills up a batch, where it is masked. `rows`: ids that the model's embedding has.
    `positions`: of prompt and completion together; None where the model has no limit.
    """

    tokenizer: Any
    chat: bool
    ends: frozenset[int]
    end: int
    pad: int
    rows: int
    positions: int | None

    def prompt(self, text: str, system: str = "") -> list[int]:
        """Token ids of a prompt."""
        return encode(self.tokenizer, text, self.chat, system)

    def completion(self, text: str) -> list[int]:
        """Token ids of a text that follows a prompt, with the end token."""
        return [*self.tokenizer(text, add_special_tokens=False).input_ids, self.end]

    def room(self, prompt_ids: Sequence[int], limit: int | None = None) -> int:
        """How many tokens may follow a prompt; `limit` is on both together, where it is lower."""
        limits = [own for own in (self.positions, limit) if own is not None]
        return min(limits) - len(prompt_ids) if limits else 2**31

    def unreadable(self, prompt_ids: Sequence[int], limit: int | None = None) -> str:
        """Why nothing can be drawn after a prompt, as a `Completion.error`; empty if it can."""
        if not prompt_ids:
            return "empty_prompt"
        if max(prompt_ids) >= self.rows:
            return "unknown_token"
        return "" if self.room(prompt_ids, limit) > 0 else "prompt_too_long"

    def ending(self, stop: Sequence[str]) -> frozenset[int]:
        """The ids after which a completion is over, given its stop texts: a special token is one by
        its id, for it is not in the text."""
        added = self.tokenizer.added_tokens_decoder
        return self.ends | {i for i, one in added.items() if one.special and one.content in stop}


def read(model: str, chat: bool, tokenizer: Any = None) -> Tokens:
    """The tokens of the model called `model`; its tokenizer is loaded where none is given.

    Raises `ModelUnavailable` if it has no end token, if its tokenizer writes ids that its embedding
    does not have, and under `chat` if it has no chat template.
    """
    tokenizer = tokenizer or load_tokenizer(model)
    config, generation = load_settings(model)
    own = config.get_text_config()
    rows = own.vocab_size
    if chat:
        _check_template(tokenizer, model)
    stated = generation.eos_token_id
    listed = list(stated) if isinstance(stated, list | tuple) else [stated]
    turn = turn_end(tokenizer, listed) if chat else None
    found = [one for one in (turn, tokenizer.eos_token_id, *listed) if one is not None]
    ends = [one for one in found if 0 <= one < rows]
    _check_rows(tokenizer, rows, {turn, tokenizer.eos_token_id}, chat, model)
    if not ends:
        raise ModelUnavailable(
            f"the model {model} has no end token: write eos_token into its tokenizer_config.json, or "
            "eos_token_id into its generation_config.json"
        )
    pad = tokenizer.pad_token_id
    return Tokens(
        tokenizer=tokenizer,
        chat=chat,
        ends=frozenset(ends),
        end=ends[0],
        pad=pad if pad is not None and 0 <= pad < rows else ends[0],
        rows=rows,
        positions=positions(own.to_dict()),
    )


def within(tokens: Tokens, other: str) -> Tokens:
    """The tokens of a model that is read beside the model called `other`, which may have fewer
    positions."""
    config, _ = load_settings(other)
    found = (tokens.positions, positions(config.get_text_config().to_dict()))
    limits = [limit for limit in found if limit is not None]
    return replace(tokens, positions=min(limits, default=None))


# -- prompts --------------------------------------------------------------------------------------


def encode(tokenizer: Any, text: str, chat: bool, system: str = "") -> list[int]:
    """Token ids of a prompt: its characters as they are, or one user turn of the chat template.

    In front stands once what the tokenizer puts there (a BOS token, or nothing), behind nothing. Without
    a chat template, and where that has no place for it, a system text stands before the prompt.
    """
    written = _rendered(tokenizer, text, system) if chat else _joined(system, text)
    ids = list(tokenizer(written, add_special_tokens=False).input_ids)
    front = _front(tokenizer, written, ids)
    return ids if ids[: len(front)] == front else front + ids


def _front(tokenizer: Any, text: str, ids: list[int]) -> list[int]:
    """What the tokenizer puts before a text with these ids."""
    full = list(tokenizer(text).input_ids)
    places = range(len(full) - len(ids) + 1)
    return full[: next((i for i in places if full[i : i + len(ids)] == ids), 0)]


def _joined(system: str, text: str) -> str:
    return f"{system}\n\n{text}" if system else text


def _rendered(tokenizer: Any, text: str, system: str) -> str:
    """The prompt as the chat template writes it.

    A template without a system role refuses a system text (Gemma), or drops it.
    """
    if system:
        turns = [{"role": "system", "content": system}, {"role": "user", "content": text}]
        written = _chat(tokenizer, turns, add_generation_prompt=True)
        if written is not None and system.strip() in written:
            return written
    turns = [{"role": "user", "content": _joined(system, text)}]
    return tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)


def _chat(tokenizer: Any, turns: list[dict[str, str]], **options: Any) -> str | None:
    """What the template writes, None where it refuses the turns."""
    from jinja2 import TemplateError

    try:
        return tokenizer.apply_chat_template(turns, tokenize=False, **options)
    except TemplateError:
        return None


# -- ends -----------------------------------------------------------------------------------------


def turn_end(tokenizer: Any, listed: Sequence[int | None] = ()) -> int | None:
    """The token that the chat template writes after an assistant's turn: the first special one, or
    of those `listed`. None where it writes none.

    Where a turn is the last and has none, that which begins the next turn counts if it is listed
    (GLM ends so).
    """
    ends = {*listed, tokenizer.eos_token_id}
    turns = [{"role": "user", "content": "1"}, {"role": "assistant", "content": MARK}]
    for seen, wanted in ((turns, ends | _special(tokenizer)), ([*turns, turns[0]], ends)):
        _, _, after = (_chat(tokenizer, seen) or "").partition(MARK)
        for token in tokenizer(after, add_special_tokens=False).input_ids:
            if token in wanted:
                return token
    return None


def _special(tokenizer: Any) -> set[int]:
    """Ids that are not in a text: decoding leaves them out."""
    added = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    return added | set(tokenizer.all_special_ids)


# -- positions ------------------------------------------------------------------------------------


def positions(config: Mapping[str, Any]) -> int | None:
    """Tokens that a model of this `config.json` reads in one sequence; None where it has no limit
    (states, ALiBi)."""
    config = config.get("text_config") or config
    if config.get("alibi") or (config.get("attn_config") or {}).get("alibi"):
        return None
    length = next((config[name] for name in LENGTHS if config.get(name)), None)
    if length is None or str(config.get("model_type")).startswith("gemma3"):  # stretched already
        return length
    return int(length * max((_stretch(rope) for rope in _ropes(config)), default=1))


def _ropes(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The settings of RoPE, one set or one for each type of layer."""
    found = config.get("rope_parameters") or config.get("rope_scaling") or {}
    for one in (found, *found.values()):
        if isinstance(one, Mapping):
            yield one


def _stretch(rope: Mapping[str, Any]) -> float:
    kind = rope.get("rope_type", rope.get("type"))
    return float(rope.get("factor") or 1) if kind in STRETCHED else 1.0


# -- what cannot work -----------------------------------------------------------------------------


def _check_template(tokenizer: Any, model: str) -> None:
    """Raises `ModelUnavailable` if there is no template, or one that cannot write a user's turn."""
    try:
        tokenizer.get_chat_template()
    except ValueError as error:
        raise ModelUnavailable(no_template(model)) from error
    turn = [{"role": "user", "content": MARK}]
    try:
        written = tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
        if MARK in written:
            return
        why = f"leaves out what the user says: it wrote {written[:80]!r} for {MARK!r}"
    except Exception as error:  # a template is a program
        why = f"fails with {type(error).__name__}: {error}"
    raise ModelUnavailable(
        f"the chat template of the model {model} {why}; mend it, or write agents.….policy.chat=false"
    )


def no_template(model: str, path: str = "agents.….policy.chat") -> str:
    """What a user is told who wants a template that is not there."""
    return (
        f"{path}=true, but the model {model} has no chat template: write {path}=false, or take a "
        "model that was trained to chat"
    )


def _check_rows(
    tokenizer: Any, rows: int, ends: Iterable[int | None], chat: bool, model: str
) -> None:
    """Raises `ModelUnavailable` if text, or what stands around it, can have ids beyond the embedding.

    Special tokens that nothing writes may be there: padding, or the image token of a family that has
    images.
    """
    vocabulary = tokenizer.get_vocab()
    unwritten = _special(tokenizer) - {*ends, *encode(tokenizer, "1", chat)}
    beyond = {token: i for token, i in vocabulary.items() if i >= rows and i not in unwritten}
    if beyond:
        token, first = min(beyond.items(), key=lambda one: one[1])
        raise ModelUnavailable(
            f"the tokenizer of {model} writes ids up to {max(vocabulary.values())}, and its embedding "
            f"has {rows} rows: {len(beyond)} tokens such as {token!r} ({first}) cannot be read; save "
            f"the model after resize_token_embeddings({max(vocabulary.values()) + 1}), or with the "
            "tokenizer that it was trained with"
        )
