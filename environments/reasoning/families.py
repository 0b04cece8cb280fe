"""The families of reasoning-gym that are exact, as data."""

from __future__ import annotations

from environments.reasoning import numbers, sequences
from environments.reasoning.family import Attribute, Family


def _list(item: str, separator: str = ", ", least: int = 2) -> str:
    return rf"{item}(?:{separator}{item}){{{least - 1},}}"


# fmt: off
_SMALL = r"(?:0|[1-9][0-9]{0,6})"
_INT = r"(?:0|[1-9][0-9]{0,11})"
_POSITIVE = r"[1-9][0-9]{0,6}"
_BIG = r"(?:0|[1-9][0-9]{0,49})"
_DECIMAL = rf"{_INT}\.[0-9]{{1,9}}"
_NUMBER = r"-?(?:0|[1-9][0-9]{0,6})(?:\.[0-9]{1,6})?"
_WORD = r"[A-Za-z0-9]{1,30}"
_COMPLEX = r"(?:-?[0-9]{1,12}\.0(?: [+-] [0-9]{1,12}\.0i)?|-?[0-9]{1,12}\.00i?)"
_ANIMAL = rf"{_POSITIVE} (?:{'|'.join(numbers.LEGS_OF)})s?"
_TERM = rf"(?:{_BIG}\*[a-z]|[a-z]|{_BIG})"


def _rows(cell: str) -> str:
    return _list(rf"{cell}(?: {cell}){{1,}}", r"\n")


FAMILIES: dict[str, Family] = {
    "chain_sum": Family(
        "State the final answer to the following arithmetic problem: {expression} =",
        {"expression": rf"{_INT}(?: [+-] {_INT})+"},
        (Attribute("num_terms", (2, 3, 4, 5, 6)), Attribute("num_digits", (1, 2, 3, 4, 5))),
        numbers.chain_sum,
    ),
    "products": Family(
        "Solve the following multiplication: {factors}.",
        {"factors": _list(_INT, r" \* ")},
        (Attribute("num_terms", (2, 3, 4, 5)), Attribute("num_digits", (2, 3, 4, 5))),
        numbers.products,
        noise=" Give only the result.*",
    ),
    "basic_arithmetic": Family(
        "Calculate {expression}.",
        {"expression": "[-+*() 0-9]{3,200}"},
        (Attribute("num_terms", (2, 3, 4, 5)), Attribute("num_digits", (1, 2, 3, 4))),
        numbers.basic_arithmetic,
        options={"operators": ("+", "-", "*")},
    ),
    "decimal_chain_sum": Family(
        "State the final answer to the following arithmetic problem: {expression} =",
        {"expression": rf"{_DECIMAL}(?: [+-] {_DECIMAL})+"},
        (
            Attribute("num_terms", (2, 5, 8, 10)),
            Attribute("num_digits", (1, 2, 4, 8, 10), interval=True),
            Attribute("decimal_places", (1, 2, 4, 6, 8), interval=True),
        ),
        numbers.decimal_chain_sum,
        "number",
    ),
    "gcd": Family(
        "Find the Greatest Common Divisor (GCD) of these numbers: {numbers}.",
        {"numbers": rf"{_POSITIVE}, {_POSITIVE}"},
        (Attribute("value", (10, 100, 1_000, 10_000, 100_000), interval=True),),
        numbers.gcd_of_two,
        noise=" Give only the GCD.*",
    ),
    "lcm": Family(
        "Find the Least Common Multiple (LCM) of these numbers: {numbers}",
        {"numbers": _list(_POSITIVE)},
        (
            Attribute("numbers", (2, 3, 4, 5)),
            Attribute("value", (10, 100, 1_000, 10_000, 100_000), interval=True),
        ),
        numbers.lcm,
    ),
    "simple_equations": Family(
        "{_ask} {variable}{_that}: {left} = {right}",
        {
            "_ask": "Find the value of|Solve for|Determine the value of",
            "variable": "[a-z]",
            "_that": " in the equation| that satisfies|",
            "left": rf"-?{_TERM}(?: [+-] {_TERM})?",
            "right": rf"-?{_BIG}",
        },
        (
            Attribute("value", (1, 100, 1_000, 10_000), interval=True,
                      sets={"max_value": 1}, low="min_value"),
        ),
        numbers.simple_equations,
    ),
    "prime_factorization": Family(
        "Find the prime factorization of {number}.",
        {"number": _POSITIVE},
        (Attribute("value", (10, 1_000, 5_000, 10_000), interval=True),),
        numbers.prime_factorization,
        "factors",
        noise=" Write the factors.*",
    ),
    "fraction_simplification": Family(
        "Simplify the fraction {top}/{bottom} to its lowest terms.",
        {"top": _INT, "bottom": _INT},
        (
            Attribute("value", (1, 100, 1_000, 10_000), interval=True),
            Attribute("factor", (1, 10, 100, 1_000), interval=True),
        ),
        numbers.fraction_simplification,
        "fraction",
        noise=" Give only the simplified.*",
        options={"styles": ("plain",)},
    ),
    "complex_arithmetic": Family(
        "{verb} the complex numbers: ({first}) {operator} ({second})",
        {"verb": "Add|Subtract|Multiply|Divide", "operator": "[-+×÷]",
         "first": _COMPLEX, "second": _COMPLEX},
        (
            Attribute("value", (10, 100, 1_000, 10_000),
                      sets={"min_real": -1, "max_real": 1, "min_imag": -1, "max_imag": 1}),
        ),
        numbers.complex_arithmetic,
        "complex",
    ),
    "dice": Family(
        "I have these dice: {dice}. What are the odds of rolling {target} or higher? (Assume that "
        "all dice are rolled at once, and that '1d6' represents one roll of a 6-sided dice.) Please "
        "respond with a reduced fraction representing the probability.",
        {"dice": "1d[1-9][0-9]?(?:, 1d[1-9][0-9]?){1,7}", "target": "[1-9][0-9]{0,2}"},
        (Attribute("num_dice", (3, 4, 5, 6)), Attribute("max_dice_size", (8, 12, 16, 20))),
        numbers.dice,
        "fraction",
        noise=r" \[ex\., 1/60\]",
    ),
    "count_primes": Family(
        "Count how many prime numbers there are between {start} and {end} (inclusive) ?",
        {"start": "[1-9][0-9]{0,4}", "end": "[1-9][0-9]{0,4}"},
        (Attribute("n", (10, 100, 1_000, 10_000), interval=True),),
        numbers.count_primes,
    ),
    "base_conversion": Family(
        "If the target base is > 10, use lowercase letters a-z for digits above 9.\n\n"
        "Now, convert the {source} number {number} to {target}",
        {"source": r"binary|hexadecimal|base-[1-9][0-9]?", "number": "[0-9a-z]{1,20}",
         "target": r"binary|hexadecimal|base-[1-9][0-9]?"},
        (
            Attribute("base", (2, 9, 18, 27, 36), interval=True),
            Attribute("value", (100, 1_000, 10_000, 100_000, 1_000_000), interval=True),
        ),
        numbers.base_conversion,
        "digits",
        noise="^Your task.*?bases\\.\n\n",
    ),
    "leg_counting": Family(
        "Now, how many legs are there in total if you have {animals}?",
        {"animals": _list(_ANIMAL)},
        (
            Attribute("num_animals", (2, 3, 4, 5, 6)),
            Attribute("num_instances", (2, 4, 8, 16, 32, 64), interval=True),
        ),
        numbers.leg_counting,
        noise="^Your task.*?animals\\.\n\n",
        hint="A starfish has 5 legs here, a crab, lobster or shrimp 10, a woodlouse 14. ",
    ),
    "bitwise_arithmetic": Family(
        "Please solve this problem. Assume there is arbitrary bit depth and that there are signed "
        "integers. If the answer is negative, reply as a negative value (ex., -0x3), not the "
        "two's-compliment form.\n{expression}",
        {"expression": r"\([-+*<>() 0-9a-fx]{3,900}\)"},
        (Attribute("difficulty", (1, 2, 3, 4)),),
        numbers.bitwise_arithmetic,
        "hexadecimal",
        noise=" Reply only with the final hexidecimal value\\.",
    ),
    "letter_counting": Family(
        'How many times does the letter "{letter}" appear in the text: "{text}"?',
        {"letter": "[a-z0-9]", "text": _list(_WORD, " ")},
        (Attribute("words", (9, 12, 16, 20, 25), interval=True),),
        sequences.letter_counting,
        hint="Capital letters count as well. ",
    ),
    "word_sorting": Family(
        "Now, sort these words in {direction} order (using ASCII/Unicode ordering) and return them "
        "as a comma-separated list: {words}",
        {"direction": "ascending|descending", "words": _list(_WORD)},
        (
            Attribute("num_words", (3, 5, 10, 15), interval=True),
            Attribute("word_length", (3, 5, 10, 15), interval=True),
        ),
        sequences.word_sorting,
        "words",
        noise="^Your task.*?word_3\n\n",
    ),
    "number_sorting": Family(
        "Sort these numbers in {direction} order: {numbers}",
        {"direction": "ascending|descending", "numbers": _list(_NUMBER)},
        (
            Attribute("numbers", (3, 5, 10, 15), interval=True),
            Attribute("decimals", (0, 1, 2, 3), interval=True),
            Attribute("value", (100, 500, 1_000), sets={"min_value": -1, "max_value": 1}),
        ),
        sequences.number_sorting,
        "numbers",
        noise="\nPlease follow.*",
    ),
    "number_filtering": Family(
        "{action} all numbers {side} than {bound} in this list: [{numbers}]",
        {"action": "Keep|Remove", "side": "larger|smaller", "bound": _NUMBER,
         "numbers": _list(f"'{_NUMBER}'")},
        (
            Attribute("numbers", (3, 5, 10, 15), interval=True),
            Attribute("decimals", (0, 2, 4, 6), interval=True),
            Attribute("value", (100, 500, 1_000), sets={"min_value": -1, "max_value": 1}),
        ),
        sequences.number_filtering,
        "numbers",
        noise="\nReturn the new list.*",
    ),
    "spell_backward": Family(
        "Spell this word backward (example: sun -> nus): {word}",
        {"word": "[A-Za-z0-9]{2,30}"},
        (Attribute("word_len", (3, 5, 7, 9)),),
        sequences.spell_backward,
        "words",
    ),
    "count_bits": Family(
        "How many 1 bits are there in the binary representation of the number {number}?",
        {"number": "[1-9][0-9]{0,9}"},
        (Attribute("n", (10, 1_000, 1_000_000, 100_000_000, 2**31 - 1), interval=True),),
        sequences.count_bits,
    ),
    "binary_alternation": Family(
        "Given a binary string, return the minimum number of character swaps to make it "
        "alternating, or -1 if it is impossible.\n\nThe string is called alternating if no two "
        'adjacent characters are equal. For example, the strings "010" and "1010" are alternating, '
        'while the string "0100" is not.\n\nAny two characters may be swapped, even if they are '
        "not adjacent.\n\nNow, determine the minimum number of swaps to make the following binary "
        "string alternating: {string}",
        {"string": "[01]{2,200}"},
        (Attribute("n", (6, 12, 20, 30, 50), interval=True),),
        sequences.binary_alternation,
    ),
    "word_sequence_reversal": Family(
        "Reverse this list of words: {words}",
        {"words": _list(_WORD)},
        (Attribute("words", (3, 5, 10, 15, 25), interval=True),),
        sequences.word_sequence_reversal,
        "words",
        noise="^Solve the following.*?comma\\.\n\n",
    ),
    "spiral_matrix": Family(
        "Given a matrix, your job is to generate a list of elements in spiral order, starting from "
        "the top-left element.\n\nThe spiral order is clockwise, starting from the top-left corner."
        "\n\nFor the matrix below, what is the list of elements in spiral order?\n{matrix}",
        {"matrix": _rows(_SMALL)},
        (Attribute("n", (2, 3, 4, 5, 6)),),
        sequences.spiral_matrix,
        "numbers",
        noise=" More precisely:.*?4 5 6(?=\n\n)",
    ),
    "rotate_matrix": Family(
        "Given a square matrix, your job is to rotate it clockwise.\n\n"
        "Rotate the matrix below by {degrees} degrees clockwise:\n{matrix}",
        {"degrees": "[1-9][0-9]{0,3}", "matrix": _rows(_SMALL)},
        (
            Attribute("n", (2, 3, 4, 5)),
            Attribute("num_rotations", (1, 5, 10, 15, 20), interval=True),
        ),
        sequences.rotate_matrix,
        "matrix",
        noise="Your output should.*?input\\.\n\n",
    ),
    "binary_matrix": Family(
        "Given a square matrix, your job is to find the taxicab (Manhattan) distance of the nearest "
        "0 for each cell.\n\nThe output should be a matrix of the same size as the input matrix, "
        "where each cell contains the distance to the nearest 0.\n\nFind the distance to the "
        "nearest 0 for each cell in the matrix below:\n{matrix}",
        {"matrix": _rows("[01]")},
        (Attribute("n", (3, 4, 5, 6)),),
        sequences.binary_matrix,
        "matrix",
        constants={"p_zero": 0.1},
    ),
    "rotten_oranges": Family(
        "You are given an n x n grid where each cell can have one of three values:\n- 0 "
        "representing an empty cell\n- 1 representing a fresh orange\n- 2 representing a rotten "
        "orange\n\nEvery minute, any fresh orange that is 4-directionally adjacent to a rotten "
        "orange becomes rotten.\n\nYour task is determine the minimum number of minutes that must "
        "elapse until no cell has a fresh orange.\nIf this is impossible, return -1.\n\nNow, "
        "determine the minimum number of minutes that must elapse until no cell in the grid below "
        "has a fresh orange:\n{matrix}",
        {"matrix": _rows("[012]")},
        (Attribute("n", (4, 6, 8, 10)),),
        sequences.rotten_oranges,
    ),
    "largest_island": Family(
        "You are given the following {rows} x {columns} binary matrix grid:\n{grid}\n\nAn island "
        "is a group of 1's (representing land) connected 4-directionally (horizontal or vertical)."
        "\nYou may assume all four edges of the grid are surrounded by water.\n\nThe area of an "
        "island is the number of cells with a value 1 in the island.\n\nReturn the maximum area of "
        "an island in grid. If there is no island, return 0.",
        {"rows": "[1-9][0-9]?", "columns": "[1-9][0-9]?", "grid": _rows("[01]")},
        (Attribute("rows", (4, 6, 8, 10)), Attribute("cols", (4, 6, 8, 10))),
        sequences.largest_island,
        constants={"num_islands": [1, 4], "island_size": [1, 8]},
    ),
}
# fmt: on
