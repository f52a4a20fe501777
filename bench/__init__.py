"""The benchmark suite of hookd: ``python -m bench``."""
