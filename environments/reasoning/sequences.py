"""Exact solvers of the families about words, lists, strings and matrices."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

from environments.reasoning.answers import write_matrix, write_number
from environments.reasoning.reading import Reading

Matrix = list[list[int]]


def _matrix(text: str) -> Matrix:
    rows = [list(map(int, line.split(" "))) for line in text.split("\n")]
    if any(len(row) != len(rows[0]) for row in rows):
        raise ValueError("rows of different lengths")
    return rows


def _square(text: str) -> Matrix:
    rows = _matrix(text)
    if len(rows) != len(rows[0]):
        raise ValueError("the matrix is not square")
    return rows


def letter_counting(letter: str, text: str) -> Reading:
    each = [(word, word.lower().count(letter)) for word in text.split(" ")]
    steps = tuple(f"{word}: {count}" for word, count in each if count)
    return Reading((len(each),), str(sum(count for _, count in each)), steps)


def word_sorting(direction: str, words: str) -> Reading:
    items = words.split(", ")
    ordered = sorted(items, reverse=direction == "descending")
    return Reading((len(items), max(map(len, items))), ", ".join(ordered))


def word_sequence_reversal(words: str) -> Reading:
    items = words.split(", ")
    return Reading((len(items),), ", ".join(reversed(items)))


def spell_backward(word: str) -> Reading:
    return Reading((len(word),), word[::-1])


def number_sorting(direction: str, numbers: str) -> Reading:
    items = numbers.split(", ")
    ordered = sorted(map(Fraction, items), reverse=direction == "descending")
    return Reading(_list_measures(items), _list(ordered))


def number_filtering(action: str, side: str, bound: str, numbers: str) -> Reading:
    items = numbers.strip("'").split("', '")
    larger, keep = side == "larger", action == "Keep"
    limit = Fraction(bound)
    kept = [
        value
        for value in map(Fraction, items)
        if (value > limit if larger else value < limit) == keep
    ]
    return Reading(_list_measures([*items, bound], len(items)), _list(kept))


def _list(values: list[Fraction]) -> str:
    return f"[{', '.join(map(write_number, values))}]"


def _list_measures(items: list[str], count: int | None = None) -> tuple[int, int, int]:
    """How many numbers, the most decimals, and the size of the largest, rounded up."""
    decimals = max(len(item.partition(".")[2]) for item in items)
    return count or len(items), decimals, max(math.ceil(abs(Fraction(item))) for item in items)


def count_bits(number: str) -> Reading:
    binary = f"{int(number):b}"
    return Reading((int(number),), str(binary.count("1")), (f"{number} is {binary} in binary",))


def binary_alternation(string: str) -> Reading:
    """Half of the misplaced characters, for the first character that the counts allow."""
    counts = {character: string.count(character) for character in "01"}
    swaps = [
        sum(character != expected for character, expected in zip(string, pattern, strict=False))
        // 2
        for pattern in ("01" * len(string), "10" * len(string))
        if all(pattern[: len(string)].count(c) == count for c, count in counts.items())
    ]
    return Reading((len(string),), str(min(swaps, default=-1)))


def spiral_matrix(matrix: str) -> Reading:
    rows = _square(matrix)
    size, visited = len(rows), []
    while rows:
        visited += rows[0]
        rows = [list(column) for column in zip(*rows[1:], strict=True)][::-1]
    return Reading((size,), f"[{', '.join(map(str, visited))}]")


def rotate_matrix(degrees: str, matrix: str) -> Reading:
    rows = _square(matrix)
    turns, rest = divmod(int(degrees), 90)
    if rest:
        raise ValueError("the degrees are no multiple of 90")
    for _ in range(turns % 4):
        rows = [list(column) for column in zip(*rows[::-1], strict=True)]
    return Reading((len(rows), turns), write_matrix(rows), (f"{turns} quarter turns",))


def binary_matrix(matrix: str) -> Reading:
    rows = _square(matrix)
    zeros = [(r, c) for r, row in enumerate(rows) for c, cell in enumerate(row) if not cell]
    if not zeros:
        raise ValueError("the matrix has no 0")
    distances = [
        [min(abs(r - row) + abs(c - column) for row, column in zeros) for c in range(len(rows))]
        for r in range(len(rows))
    ]
    return Reading((len(rows),), write_matrix(distances))


def rotten_oranges(matrix: str) -> Reading:
    rows = _square(matrix)
    fresh = {(r, c) for r, row in enumerate(rows) for c, cell in enumerate(row) if cell == 1}
    edge = {(r, c) for r, row in enumerate(rows) for c, cell in enumerate(row) if cell == 2}
    minutes = 0
    while edge := {cell for rotten in edge for cell in _neighbours(rotten)} & fresh:
        fresh -= edge
        minutes += 1
    return Reading((len(rows),), str(-1 if fresh else minutes))


def largest_island(rows: str, columns: str, grid: str) -> Reading:
    cells = _matrix(grid)
    if (len(cells), len(cells[0])) != (int(rows), int(columns)):
        raise ValueError("the grid has another size")
    land = {(r, c) for r, row in enumerate(cells) for c, cell in enumerate(row) if cell}
    areas = [0]
    while land:
        queue, area = deque([land.pop()]), 0
        while queue:
            area += 1
            near = set(_neighbours(queue.popleft())) & land
            land -= near
            queue.extend(near)
        areas.append(area)
    return Reading((int(rows), int(columns)), str(max(areas)))


def _neighbours(cell: tuple[int, int]) -> Iterator[tuple[int, int]]:
    for down, right in pairwise((0, 1, 0, -1, 0)):
        yield cell[0] + down, cell[1] + right
