"""The worker: polls the daemon, runs the code of workflows, and executes steps."""

from hookd.worker.worker import Worker

__all__ = ["Worker"]
