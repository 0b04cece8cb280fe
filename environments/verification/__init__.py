"""Reading and judging free-text answers: `verify` is the one entry (docs/verification.md).

`extract` finds the final answer in a text, `answers.canonical` reads it as one of the types of
`kinds`, `comparison` compares exactly, `demands` and `units` say what the question wants beside the
value, and `symbolic` asks killable child processes where exact comparison cannot decide.
"""

from environments.verification.verify import compare, verify

__all__ = ["compare", "verify"]
