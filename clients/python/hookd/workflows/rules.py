"""What workflow code must not do, and what to do instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_ANOTHER = "gives something else in a replay of the workflow"
_OUTSIDE = "reaches out of the workflow, and would do so again in each replay"
_BLOCKS = "blocks the worker, and is lost when the worker dies"

_NOW = "use hookd.now()"
_RANDOM = "use hookd.random()"
_STEP = "put it into a step"


@dataclass(frozen=True, slots=True)
class Rule:
    """Why something must not be called, and what to do instead."""

    why: str
    hint: str


TIME: Final = Rule(_ANOTHER, _NOW)
RANDOM: Final = Rule(_ANOTHER, _RANDOM)
UUID: Final = Rule(_ANOTHER, "use hookd.uuid4()")
SECRET: Final = Rule(_ANOTHER, f"{_RANDOM}, or {_STEP}")
SLEEP: Final = Rule(_BLOCKS, "use `await hookd.sleep(…)`")
THREAD: Final = Rule("runs outside of the workflow", f"{_STEP}, or start a task of asyncio")
OUTSIDE: Final = Rule(_OUTSIDE, _STEP)
PLACE: Final = Rule("is something else on another worker", f"read it in a step, or {_STEP}")
ENVIRONMENT: Final = Rule(
    "may be something else on another worker", "read it in a step, or take it as an argument"
)

CLOCKS: Final = ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns")
RANDOM_FUNCTIONS: Final = (
    "betavariate", "binomialvariate", "choice", "choices", "expovariate", "gammavariate", "gauss",
    "getrandbits", "lognormvariate", "normalvariate", "paretovariate", "randbytes", "randint",
    "random", "randrange", "sample", "seed", "shuffle", "triangular", "uniform",
    "vonmisesvariate", "weibullvariate",
)  # fmt: skip

FUNCTIONS: Final[dict[tuple[str, str], Rule]] = {
    **{("time", name): TIME for name in CLOCKS},
    **{("random", name): RANDOM for name in RANDOM_FUNCTIONS},
    **{("uuid", name): UUID for name in ("uuid1", "uuid4", "uuid6", "uuid7")},
    **{
        ("secrets", name): SECRET
        for name in ("choice", "randbelow", "randbits", "token_bytes", "token_hex", "token_urlsafe")
    },
    ("os", "urandom"): SECRET,
    ("os", "getrandom"): SECRET,
    ("time", "sleep"): SLEEP,
}
"""What is found in these modules under these names; some are not in every Python."""

EVENTS: Final[dict[str, tuple[str, Rule]]] = {
    "builtins.input": ("input()", OUTSIDE),
    "open": ("open()", OUTSIDE),
    "socket.bind": ("socket.bind()", OUTSIDE),
    "socket.connect": ("socket.connect()", OUTSIDE),
    "socket.getaddrinfo": ("socket.getaddrinfo()", OUTSIDE),
    "socket.gethostbyaddr": ("socket.gethostbyaddr()", OUTSIDE),
    "socket.gethostbyname": ("socket.gethostbyname()", OUTSIDE),
    "socket.gethostname": ("socket.gethostname()", PLACE),
    "socket.getnameinfo": ("socket.getnameinfo()", OUTSIDE),
    "socket.sendmsg": ("socket.sendmsg()", OUTSIDE),
    "socket.sendto": ("socket.sendto()", OUTSIDE),
    "sqlite3.connect": ("sqlite3.connect()", OUTSIDE),
    "subprocess.Popen": ("subprocess.Popen()", OUTSIDE),
    "time.sleep": ("time.sleep()", SLEEP),
    **{
        f"os.{name}": (f"os.{name}()", OUTSIDE)
        for name in (
            "chdir", "chmod", "chown", "exec", "fork", "forkpty", "kill", "link", "listdir",
            "mkdir", "posix_spawn", "putenv", "remove", "rename", "rmdir", "scandir", "spawn",
            "startfile", "symlink", "system", "truncate", "unsetenv", "utime",
        )
    },
}  # fmt: skip
"""What the interpreter tells its audit hooks, and what its users know it as."""

TRUSTED: Final = frozenset(
    (
        # What they do on behalf of code is no part of what the code does.
        "importlib", "_frozen_importlib", "_frozen_importlib_external", "zipimport", "encodings",
        "inspect", "linecache", "traceback", "tokenize", "warnings", "weakref",
        # Lines of logs, and spans: they have times, and nobody decides by them.
        "logging", "structlog", "loguru", "opentelemetry",
        # Values on their way.
        "google", "pydantic", "pydantic_core",
        # Those who look on.
        "bdb", "cmd", "coverage", "debugpy", "pdb", "_pydevd_bundle", "_pydev_bundle", "pydevd",
    )
)  # fmt: skip
"""Packages that may do anything, and whatever they call."""
