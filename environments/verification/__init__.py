"""Reading and judging free-text answers: `verify` is the one entry (docs/verification.md).

`extract` finds the final answer in a text: `boxes` reads its boxes, `context`, `denials`,
`polarity`, `rejections` and `claims` what the text says of them. `answers.canonical` reads it as
one of the types of `kinds` (`numerals`, `grouped`, `intervals`, `ratios`, `bases`, `wording`,
`chains`), `comparison` and `relations` compare exactly, `demands` and `shapes` say what form the
question wants beside the value, `units`, `money`, `labels` and `options` what its words mean, and
`symbolic` asks killable child processes where exact comparison cannot decide.
"""

from environments.verification.verify import compare, verify

__all__ = ["compare", "verify"]
