"""The command ``hookctl``."""

import os

# Core writes lines of its own to the standard error; what matters of them is in
# the error of a call. Read when gRPC is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from hookd.cli.app import main

__all__ = ["main"]
