"""Which problems are those of an evaluation set, word for word or nearly."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from coevo.config import Config, ConfigError, DecontaminationConfig, nearest
from environments import Problem
from environments.data_files import LeftOut, summary
from environments.printable import printable

How = Literal["exact", "ngrams", "near", "signature"]
OWN = "heldout"  # the run's own held-out set

PERMUTATIONS = 128
LOOSE = 0.6  # of the threshold: what MinHash finds is counted exactly; it misses 1 in 20,000 at it
SHINGLE = 3  # words

# Letters and digits, and each sign of mathematics; marks of punctuation and of LaTeX mean nothing.
_WORD = re.compile(r"[^\W_]+|[^\w\s$\\{},.;:!?'\"~`]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A problem of an evaluation set that a text repeats, and what of it was found (0 to 1).

    `exact`: the same words. `ngrams`: the share of its words within word n-grams of the text.
    `near`: the Jaccard similarity of both sets of word 3-grams. `signature`: what the environment
    calls a near duplicate of a held-out problem of its own.
    """

    benchmark: str
    problem_id: str
    statement: str
    how: How
    score: float

    @property
    def status(self) -> str:
        """What a refused proposal is counted under."""
        return OWN if self.benchmark == OWN else f"contaminated:{self.benchmark}:{self.how}"


class EvaluationSets:
    """Every registered evaluation set, ready to be asked whether a text is in one.

    Three tests, of which the first that holds decides: the same words after NFKC, case folding and removal
    of punctuation; at least `ngram_share` of the evaluation problem's words covered by word
    `ngram`-grams that the text shares (Tülu 3, arXiv 2411.15124, §3.2: 8-grams, 50 %); Jaccard
    similarity of word 3-grams of at least `jaccard`, by MinHash (Broder, 1997) and then counted
    exactly. Problems of the run's own held-out set (`heldout`) come from the same templates as those
    it trains on, so there the last two also ask for the same numbers in the same order; the last
    two never hold for a problem without any, of which the environment's own signature decides.
    """

    def __init__(self, sets: Mapping[str, Iterable[Problem]], config: DecontaminationConfig):
        self.config = config
        self.entries: list[tuple[str, Problem, list[str]]] = []
        self._exact: dict[tuple[str, ...], int] = {}
        self._grams: dict[tuple[str, ...], set[int]] = defaultdict(set)
        for benchmark, problems in sets.items():
            for problem in problems:
                tokens, number = words(problem.statement), len(self.entries)
                self.entries.append((benchmark, problem, tokens))
                self._exact.setdefault(tuple(tokens), number)
                for gram in _grams(tokens, config.ngram):
                    self._grams[gram].add(number)
        self._near = self._index()

    def match(self, text: str) -> Match | None:
        """The evaluation problem that `text` repeats, or None."""
        tokens = words(text)
        if not tokens:
            return None
        if (number := self._exact.get(tuple(tokens))) is not None:
            return self._found(number, "exact", 1.0)
        return self._by_ngrams(tokens) or self._by_similarity(tokens)

    def _by_ngrams(self, tokens: list[str]) -> Match | None:
        shared: dict[int, set[tuple[str, ...]]] = defaultdict(set)
        for gram in _grams(tokens, self.config.ngram):
            for number in self._grams.get(gram, ()):
                shared[number].add(gram)
        ranked = sorted(((self._covered(n, g), -n) for n, g in shared.items()), reverse=True)
        for share, number in ranked:
            if share < self.config.ngram_share:
                return None
            if self._same_task(-number, tokens):
                return self._found(-number, "ngrams", share)
        return None

    def _covered(self, number: int, grams: set[tuple[str, ...]]) -> float:
        """The share of an evaluation problem's words that lie in one of the n-grams."""
        tokens, n = self.entries[number][2], self.config.ngram
        covered = {
            at + offset
            for at, gram in enumerate(_grams(tokens, n))
            if gram in grams
            for offset in range(n)
        }
        return len(covered) / len(tokens)

    def _by_similarity(self, tokens: list[str]) -> Match | None:
        shingles = _shingles(tokens)
        candidates = sorted(self._near.query(_sketch(shingles))) if self.entries else []
        for number in candidates:
            score = _jaccard(shingles, _shingles(self.entries[number][2]))
            if score >= self.config.jaccard and self._same_task(number, tokens):
                return self._found(number, "near", score)
        return None

    def _same_task(self, number: int, tokens: list[str]) -> bool:
        benchmark, _, theirs = self.entries[number]
        return benchmark != OWN or _task(tokens) == _task(theirs)

    def _index(self) -> Any:
        from datasketch import MinHashLSH  # imports scipy: half a second

        index = MinHashLSH(threshold=LOOSE * self.config.jaccard, num_perm=PERMUTATIONS)
        for number, (_, _, tokens) in enumerate(self.entries):
            if tokens:
                index.insert(number, _sketch(_shingles(tokens)))
        return index

    def _found(self, number: int, how: How, score: float) -> Match:
        benchmark, problem, _ = self.entries[number]
        return Match(
            benchmark=benchmark,
            problem_id=problem.id,
            statement=problem.statement,
            how=how,
            score=score,
        )


def registered(config: Config, heldout: Iterable[Problem]) -> EvaluationSets:
    """The run's own held-out set and those of `decontamination.against`: benchmarks of `coevo eval`
    by their names, and under any other name a file that has statements in the same columns.

    A row without a statement has nothing to be compared with: it is left out, and told on stderr.
    Raises `ConfigError` if a set cannot be read.
    """
    sets: dict[str, Iterable[Problem]] = {OWN: heldout}
    for name, path in config.decontamination.against.items():
        where = f"decontamination.against.{name}"
        try:
            sets[name], left_out = _read(name, path)
        except (ValueError, OSError) as error:
            raise ConfigError(f"{where}: {error}") from error
        if left_out:
            told = f"{where}: {len(left_out):,} rows left out: {summary(left_out)}"
            print(printable(told), file=sys.stderr, flush=True)
    return EvaluationSets(sets, config.decontamination)


def _read(name: str, path: Any) -> tuple[list[Problem], list[LeftOut]]:
    from environments.benchmarks import BUILT_IN, all_statements, load, names

    if name == OWN or not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise ValueError(f"{name!r} cannot be the name of a set; {OWN} is always registered")
    if path is not None and not isinstance(path, str):
        raise ValueError(f"{path!r} is no file; write {name}=FILE")
    if path is None and name not in names():
        hint = nearest(name, names())
        raise ValueError(f"it is no benchmark{hint}; write {name}=FILE for a set of your own")
    if path is None and name in BUILT_IN:
        return load(name), []
    found, left_out = all_statements(name, path)
    if not found:
        raise ValueError(f"{path}: no row has a statement ({summary(left_out)})")
    return [Problem(domain=name, family=name, statement=text) for text in found], left_out


def words(text: str) -> list[str]:
    """A text's words and signs, without what spelling and typesetting may change."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def _task(tokens: Sequence[str]) -> list[str]:
    """What a template is filled with: its words with digits, in order; all words if it has none."""
    return [token for token in tokens if re.search(r"\d", token)] or list(tokens)


def _grams(tokens: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    return (tuple(tokens[at : at + n]) for at in range(len(tokens) - n + 1))


def _shingles(tokens: Sequence[str]) -> frozenset[tuple[str, ...]]:
    return frozenset(_grams(tokens, min(SHINGLE, len(tokens))))


def _jaccard(left: frozenset[Any], right: frozenset[Any]) -> float:
    return len(left & right) / len(left | right)


def _sketch(shingles: Iterable[tuple[str, ...]]) -> Any:
    from datasketch import MinHash

    sketch = MinHash(num_perm=PERMUTATIONS)
    sketch.update_batch(" ".join(shingle).encode() for shingle in sorted(shingles))
    return sketch
