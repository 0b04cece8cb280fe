"""How an answer ended and what of it is the answer, in the words of many servers: pure functions."""

from __future__ import annotations

from typing import Any, Literal

Ending = Literal["whole", "cut", "refused", "tools", "failed", "unknown"]

# Reasons in lower case: OpenAI's, and what TGI (eos_token), Together (eos), Anthropic (end_turn),
# Gemini (STOP, MAX_TOKENS, SAFETY), Mistral (model_length), Cohere (COMPLETE, ERROR_TOXIC), Bedrock
# (guardrail_intervened), DeepSeek (insufficient_system_resource), Zhipu (sensitive, network_error),
# OpenRouter (error), vLLM and SGLang (abort) say instead.
WORDS: dict[Ending, str] = {
    "whole": "stop eos eos_token eot end end_turn end_of_turn stop_sequence stop_token "
    "complete completed done finished",
    "cut": "length max_length max_tokens max_output_tokens max_completion_tokens max_new_tokens "
    "model_length token_limit context_length context_length_exceeded "
    "model_context_window_exceeded truncated incomplete pause_turn repetition",
    "refused": "content_filter content_filtered refusal safety recitation language blocked "
    "blocklist prohibited_content spii image_safety guardrail_intervened sensitive error_toxic",
    "tools": "tool_calls tool_call tool_use function_call malformed_function_call "
    "unexpected_tool_call too_many_tool_calls",
    "failed": "error abort aborted cancel cancelled canceled user_cancel timeout server_error "
    "internal_error model_error network_error error_limit insufficient_system_resource "
    "malformed_response overloaded",
}
ENDINGS: dict[str, Ending] = {word: kind for kind, words in WORDS.items() for word in words.split()}

TEXT_PARTS = ("text", "output_text")
THOUGHT_PARTS = ("thinking", "redacted_thinking", "reasoning", "reasoning_content", "thought")


def ending(reason: Any, tokens: int, most: int) -> Ending:
    """How an answer of `tokens` ended whose server says `reason`, with `most` tokens asked for.

    Some servers say nothing (null), others words that are not known here. Then an answer with fewer
    tokens than were asked for was not cut by that bound, and is whole; one that reaches it is cut.
    """
    word = reason.strip().lower().replace("-", "_") if isinstance(reason, str) else ""
    known = ENDINGS.get(word.rpartition(".")[2].removeprefix("finish_reason_"), "unknown")
    if known != "unknown":
        return known
    return "cut" if tokens >= most else "whole"


def content(message: Any) -> tuple[str, str, str] | None:
    """The text of a message, its refusal, and the type of a part that is neither text, thought nor
    refusal, each empty where there is none. None if it is no message of a chat completion.

    The content is a text, null, or a list of parts. Thoughts are no part of the answer.
    """
    if not isinstance(message, dict):
        return None
    refusal, parts = message.get("refusal"), message.get("content")
    texts, refusals, other = [], [refusal if isinstance(refusal, str) else ""], ""
    for part in parts if isinstance(parts, list) else [parts or ""]:
        if isinstance(part, str):
            texts.append(part)
            continue
        if not isinstance(part, dict):
            return None
        kind = part.get("type", "text")
        found = part.get(kind if kind == "refusal" else "text")
        if kind in THOUGHT_PARTS:
            continue
        if kind not in (*TEXT_PARTS, "refusal"):
            other = other or str(kind)
        elif not isinstance(found, str):
            return None
        else:
            (refusals if kind == "refusal" else texts).append(found)
    return "".join(texts), "".join(refusals), other
