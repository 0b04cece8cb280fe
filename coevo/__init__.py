"""coevo runs, compares and explains self-improving loops of language-model agents."""

__version__ = "0.1.0"
