"""The exact families of reasoning-gym, without the package: statements, solvers, answers.

`families.FAMILIES` is the table, `family.Family` what a row says, `refused.REFUSED` what is wrong
with others. A solver (`numbers`, `sequences`) takes the parts of a statement to a `Reading`: what
the family's attributes measure, the answer, and the steps to it. It raises `ValueError` on parts
that make no problem of the family, such as an equation without a whole solution. `answers` reads
what a completion answers, `source` alone asks the package for questions.
"""
