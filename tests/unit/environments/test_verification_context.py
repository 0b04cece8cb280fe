"""Boxes that the text around them takes back, and texts around a box that leave it as it is."""

import pytest

from environments.verification import verify
from environments.verification.extract import final_answer

QUESTION = "A jar holds 12 red and 17 blue beads; 11 are taken out. How many beads are left?"
BOX = r"\boxed{18}"

# fmt: off
TAKEN_BACK = [
    "**Answer: 17**\n\n**Final answer:** BOX",
    "Answer: 17\n\nBOX",
    "The answer is 17.\n\nBOX",
    "The answer is $17$. So BOX.",
    "**Answer:** 17 beads\n\nBOX",
    "The final answer is 17 because 11 are gone. BOX",
    "## Answer\n17\n\nBOX",
    "BOX\n\nThe answer is 17.",
    "BOX\n\nFinal answer: 17",
    "The final result is 17.\nBOX",
    "BOX\n\n#### 17",
    "So #### 17\nBOX",
    "```\nBOX\n```\nBut really I get 17. So #### 17",
    "I claim it cannot be BOX; the count must be 17.",
    "It is not BOX.",
    "It isn't BOX.",
    "It isn\u2019t $BOX$.",
    "The answer can't be BOX.",
    "The answer is certainly not BOX",
    "The number of beads is never BOX.",
    "I do not think the answer is BOX.",
    "I don't believe that it is BOX.",
    "I doubt that it is BOX.",
    "Nobody would say that it is BOX.",
    "It would be wrong to say BOX.",
    "The wrong answer is BOX.",
    "Wrong answer: BOX",
    "An incorrect value is BOX",
    "It is false that the count is BOX",
    "Anything but BOX",
    "Anything except BOX.",
    "There is no way that it is BOX.",
    "Nothing supports BOX.",
    "It is a mistake to write BOX.",
    "Final answer: BOX. **Answer: 17**",
    "BOX minus 1",
    "twice BOX",
    "BOX \u2717",
    "BOX. I misread it. She has 17.",
    "The answer differs from BOX.",
    "The answer is other than BOX.",
    "The count is more than BOX.",
    "The count is less than $BOX$.",
    r"$x \neq BOX$",
    r"$x \ne BOX$",
    r"$x < BOX$",
    "If the answer were BOX, we would be done.",
    "Suppose the answer is BOX.",
    "Some students say BOX.",
    "You might think it is BOX.",
    "A friend wrote BOX on the board.",
    "It is tempting to answer BOX.",
    "BOX is wrong.",
    "BOX is not the answer.",
    "BOX is incorrect, sorry.",
    "$BOX$ cannot be right.",
    "BOX? No, that is too many.",
    "Could it be BOX?",
    "BOX (wrong)",
    "BOX, which is false.",
    "BOX is obviously impossible.",
    "BOX. That is wrong.",
    "BOX. No, wait, it is 17.",
    "BOX\n\nActually, it is 17.",
    "BOX\nCorrection: 17",
    "BOX. Scratch that. 17.",
    "BOX\n\nJust kidding.",
    "BOX\n\nI made a mistake above.",
    "BOX\n\nThe above is not correct.",
    "BOX. The boxed value is a placeholder.",
    "BOX\n\nThe real answer is 17",
    "BOX, but it must be 17.",
    "BOX or 17",
    "BOX (or 17)",
    "BOX, or maybe 17",
    "17 or BOX",
    "BOX, possibly 19",
    "BOX to 20",
    "BOX-20",
    "BOX if none are red, otherwise 17",
    "BOX if you count the red ones.",
    "BOX unless some are lost",
    "BOX; BOX17".replace("BOX17", r"\boxed{17}"),
    "-BOX",
    "$-BOX$",
    "$x = -BOX$",
    "BOX + 1",
    r"$BOX \cdot 2$",
    r"$BOX^2$",
    "2BOX",
    r"$2 \times BOX$",
    "BOX0",
    "BOX.5",
    "BOX,000",
    'The prompt says "put BOX at the end".',
    "~~BOX~~",
    r"\cancel{BOX}",
    r"\phantom{BOX}",
    r"\textcolor{white}{BOX}",
    "<!-- BOX -->",
    "<del>BOX</del>",
    r"\renewcommand{\boxed}[1]{17} BOX",
    r"\boxed 17 and so BOX",
    "<answer>17</answer> BOX",
    "</think> BOX is what I thought first, but <answer>17</answer>",
]
KEPT = [
    "BOX",
    "The answer is 18.\n\nBOX",
    "**Answer: 18**\n\n**Final answer:** BOX",
    "The answer is 18 beads. BOX",
    "The answer is BOX.",
    "The answer is $\\boxed{18}$ beads.",
    "Since 11 is not more than 29, the answer is BOX.",
    "They do not all fit, so BOX.",
    "It isn't hard: 29 - 11 = BOX.",
    "There are no more than 29 beads. Hence BOX",
    "If we take 11 out of 29, we get BOX.",
    "12 + 17 = 29 and 29 - 11 = BOX",
    "- BOX",
    "* BOX",
    "1. 12 + 17 = 29\n2. 29 - 11 = BOX",
    "**BOX**",
    "$$BOX$$",
    r"\[BOX\]",
    r"\(BOX\)",
    "BOX beads",
    r"$BOX\text{ beads}$",
    "BOX!",
    "BOX\n\nI hope it is correct.",
    "BOX\n\nLet me know if anything is wrong.",
    "BOX\n\nLet me know if this is not what you need!",
    "BOX\n\nCheck: 18 + 11 = 29.",
    "BOX\n\nThis is because 29 - 11 = 18.",
    "BOX\n\nA common mistake is to forget the red beads.",
    "BOX\n\nIt is wrong to add the 11.",
    "BOX, not 17.",
    "BOX or 18.0",
    "BOX (eighteen)",
    "First I thought 17, but the blue ones count too: BOX",
    "Wait, 12 + 17 is 29, not 28. So BOX",
    "Put the answer in \\boxed{}. BOX",
    "Put the answer in `\\boxed{...}`.\n\nBOX",
    "The answer goes in \\boxed{\\text{answer}}: BOX",
    r"$x = \boxed{\ }$, a blank. BOX",
    r"\boxed{?} = \boxed{18}",
    r"\boxed 18",
    r"$\boxed 18$.",
    "Step 1. 12 + 17 = 29\n#### Step 2\nBOX",
    "We get BOX. To confirm, the value is again BOX.",
    "<answer>BOX</answer>",
    "<think>It is 17? No.</think>\nBOX",
    "```\nBOX\n```",
    r"$\boxed{18} = 29 - 11$",
    r"$11 + \boxed{18} = 29$",
    "The answer is, then, BOX.",
    "The original number of beads was 29. BOX",
    "The answer to the first step is 29. The rest: BOX",
    "At least one bead is blue. BOX",
    "The number of beads that are left is BOX.",
    "So the jar, which does not change, has BOX beads left.",
    "Blue beads are more than red ones; BOX are left.",
    "Hence it must be BOX.",
    'The "beads" left are BOX.',
    "Answer:\n\nBOX",
    "### Final Answer\n\nBOX",
    "He thought about it and took 11. BOX are left.",
    "We can say that BOX beads are left.",
    "No number of beads fits except BOX.",
    "It cannot be anything other than BOX.",
    "All other counts fail; nothing but BOX is left.",
    "Since it is not more than 29 the count is BOX.",
    "The beads that are not taken out are BOX.",
    "The count of beads not taken is BOX.",
]
# fmt: on


@pytest.mark.parametrize("text", TAKEN_BACK)
def test_a_box_that_its_text_takes_back_is_not_paid(text):
    assert not verify("18", text.replace("BOX", BOX), statement=QUESTION).correct


@pytest.mark.parametrize("text", KEPT)
def test_a_text_that_only_surrounds_its_box_leaves_it(text):
    assert verify("18", text.replace("BOX", BOX), statement=QUESTION).correct


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{1}, \boxed{2}", "1, 2"),
        (r"$\boxed{1}$ and $\boxed{2}$", "1, 2"),
        (r"$x=\boxed{1}$ or $x=\boxed{2}$", "1, 2"),
        (r"$x=\boxed{1}$ and $y=\boxed{2}$", "x=1, y=2"),
        (r"\boxed{1}; \boxed{2}; \boxed{3}", "1, 2, 3"),
        (r"\boxed{5} and \boxed{5}", "5"),
        (r"\boxed{1} then \boxed{2}", None),
        ("\\boxed{1}\n\n\\boxed{2}", None),
    ],
)
def test_boxes_side_by_side_are_one_list(text, answer):
    assert final_answer(text) == answer


@pytest.mark.parametrize(
    ("gold", "text", "paid"),
    [
        (r"\frac13", r"The answer is 0.333. \boxed{\frac13}", True),
        (r"\frac13", r"The answer is 0.34. \boxed{\frac13}", False),
        (r"\sqrt2", r"The answer is about 1.41. \boxed{\sqrt2}", True),
        (r"\sqrt2", "Answer: 1.41\n\n\\boxed{\\sqrt2}", True),
        (r"\sqrt2", "Answer: 17\n\n\\boxed{\\sqrt2}", False),
        ("25", r"The answer is 25\%. \boxed{25}", True),
        ("B", r"Answer: (B). \boxed{B}", True),
        ("B", r"Answer: C. \boxed{B}", False),
        ("B", r"\textbf{Answer: (C)} \boxed{\text{B}}", False),
        (r"\text{Monday}", "Answer: Tuesday\n\n\\boxed{\\text{Monday}}", False),
        (r"\text{Monday}", "Answer: Monday\n\n\\boxed{\\text{Monday}}", True),
        ("x^2", r"$\boxed{x^2}'$", True),
        ("1,2", r"The answer is 1 and 2. \boxed{1, 2}", True),
    ],
)
def test_an_answer_in_words_is_compared_with_the_box(gold, text, paid):
    assert verify(gold, text).correct is paid


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"We have $x<5$, so the largest integer is $x = \boxed{4}$.", "4"),
        (r"Since $3$ is not a divisor of $10,$ the only value is $\boxed{5}.$", "5"),
        (r"so the answer is $-\frac{1}{2} + 4 = \boxed{\frac{7}{2}}.$", r"\frac{7}{2}"),
        (r"It is not possible for both to hold, giving $n = \boxed{7}$.", "7"),
        (r"If $x<0$, there is no solution. Therefore, $\boxed{2}$ is the only solution.", "2"),
        (r"Our answer is $2^3 - 1 = \boxed{7}$ (we do not count the empty set).", "7"),
        (r"We see that exactly $\boxed{3}$ of these are not prime.", "3"),
        (r"The number of incorrect answers is $\boxed{4}$.", "4"),
        (r"(Note: it is incorrect to say $0$.) The answer is $\boxed{1}$.", "1"),
        (r"Thus only $\boxed{\text{(C)}}$ is false.", r"\text{(C)}"),
        (r"She has $\boxed{3}$ more than Tom.", "3"),
        (r"He needs $\boxed{25}\%$ of it.", r"25\%"),
        (r"The angle is $\boxed{60}^\circ$.", r"60^\circ"),
    ],
)
def test_the_box_of_a_written_solution_is_found(text, answer):
    assert final_answer(text) == answer


@pytest.mark.parametrize(
    ("statement", "text", "paid"),
    [
        ("How many tables fit at most?", r"At most \boxed{18} fit.", True),
        ("How many tables are there?", r"There are at most \boxed{18}.", False),
        ("How many tables are there?", r"There are \boxed{18} or more.", False),
        ("Find the least such n.", r"So $n \ge \boxed{18}$.", True),
        ("Find n.", r"So $n \ge \boxed{18}$.", False),
    ],
)
def test_a_bound_is_an_answer_only_where_an_extreme_is_asked_for(statement, text, paid):
    assert verify("18", text, statement=statement).correct is paid
