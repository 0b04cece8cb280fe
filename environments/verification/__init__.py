"""Reading and judging free-text answers: extraction, exact comparison, a sandboxed symbolic judge.

`verify.verify` is the one entry. `extract.final_answer` finds the answer in a text,
`answers.canonical` reads it, `answers.equal` compares exactly, `units` says which unit may be
written beside a number, and `symbolic.judge` asks a judge in a killable child process, only
where exact comparison cannot decide.
"""

from environments.verification.verify import compare, verify

__all__ = ["compare", "verify"]
