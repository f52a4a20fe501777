"""What hookctl exits with."""

from __future__ import annotations

from enum import IntEnum

from hookd import errors


class Exit(IntEnum):
    """The exit codes, for scripts."""

    OK = 0
    ERROR = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    NOT_ACTIVE = 5
    UNAVAILABLE = 6
    DEADLINE = 7
    DENIED = 8
    INTERRUPTED = 130


HELP = """\
Exit codes:

- 0: done
- 1: any other error
- 2: wrong usage or a wrong argument
- 3: there is no such run or hook
- 4: the token or the id is taken
- 5: the run has ended
- 6: the daemon cannot be reached, or is too busy
- 7: no answer in time
- 8: the API key is missing, not valid, or for something else
"""

_BY_TYPE: tuple[tuple[type[errors.HookdError], Exit], ...] = (
    (errors.InvalidArgumentError, Exit.USAGE),
    (errors.IdReusedError, Exit.USAGE),
    (errors.HookNotFoundError, Exit.NOT_FOUND),
    (errors.RunNotFoundError, Exit.NOT_FOUND),
    (errors.HookConflictError, Exit.CONFLICT),
    (errors.RunExistsError, Exit.CONFLICT),
    (errors.RunNotActiveError, Exit.NOT_ACTIVE),
    (errors.UnavailableError, Exit.UNAVAILABLE),
    (errors.LimitExceededError, Exit.UNAVAILABLE),
    (errors.DeadlineExceededError, Exit.DEADLINE),
    (errors.UnauthenticatedError, Exit.DENIED),
    (errors.PermissionDeniedError, Exit.DENIED),
)


def exit_code(error: errors.HookdError) -> Exit:
    """Gives the exit code for an error."""
    return next((code for kind, code in _BY_TYPE if isinstance(error, kind)), Exit.ERROR)
