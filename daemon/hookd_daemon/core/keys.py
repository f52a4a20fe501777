"""The layout of the keys: the one place that knows it.

One byte names the table; ``store.keys`` has two more. Numbers are 8 bytes, big
endian; ``~`` marks one that is subtracted from 2^64 - 1, so that the newest
comes first. A run's ``uid`` names its records: a run with the same id that is
started after this one was removed shares none of them.

    R project NUL run_id                 RunRecord
    L project NUL ~created ~uid          run_id: all runs, newest first
    S status project NUL ~created ~uid   run_id: the same, by status
    E uid seq                            hookd.v1.Event: the log
    H uid hook_id                        HookRecord
    P uid len(hook_id) hook_id seq       PayloadRecord: the payloads of a hook
    D project NUL len(token) token id    ReceiptRecord: payload ids that were accepted
    N uid namespace                      StreamRecord
    C uid len(namespace) namespace index ChunkRecord
    X due number                         TimerRecord
    Q project NUL kind len(name) name number  QueueRecord: a turn or a step that is ready
    W uid step_id                        StepRecord
    I uid timer_id                       RunTimerRecord
    K uid run_id                         ChildRecord: the runs that a run has started
    G uid                                GarbageRecord: a run whose records are to go
    U project NUL what                   a number that counts what a project has; see ``usage``
"""

from __future__ import annotations

from typing import cast

from hookd.v1.common_pb2 import RunStatus
from hookd.v1.worker_service_pb2 import QueueKind

RUN = b"R"
BY_TIME = b"L"
BY_STATUS = b"S"
EVENT = b"E"
HOOK = b"H"
PAYLOAD = b"P"
RECEIPT = b"D"
STREAM = b"N"
CHUNK = b"C"
TIMER = b"X"
QUEUE = b"Q"
STEP = b"W"
RUN_TIMER = b"I"
CHILD = b"K"
GARBAGE = b"G"
USAGE = b"U"

_MAX = (1 << 64) - 1


def number(value: int) -> bytes:
    """A number as keys hold it."""
    return value.to_bytes(8, "big")


def newest_first(value: int) -> bytes:
    """A number as keys hold it so that the greatest comes first."""
    return (_MAX - value).to_bytes(8, "big")


def _sized(text: str) -> bytes:
    raw = text.encode()
    return len(raw).to_bytes(2, "big") + raw


def run(project: str, run_id: str) -> bytes:
    """The key of a run."""
    return RUN + project.encode() + b"\0" + run_id.encode()


def runs_by_time(project: str) -> bytes:
    """What the keys of a project's runs by their time begin with."""
    return BY_TIME + project.encode() + b"\0"


def runs_with_status(status: RunStatus.ValueType) -> bytes:
    """What the keys of all runs with one status begin with."""
    return BY_STATUS + bytes([status])


def runs_by_status(project: str, status: RunStatus.ValueType) -> bytes:
    """What the keys of a project's runs with one status begin with."""
    return runs_with_status(status) + project.encode() + b"\0"


def age(created_ms: int, uid: int) -> bytes:
    """The end of a key in the lists of runs."""
    return newest_first(created_ms) + newest_first(uid)


def created_of(age: bytes) -> int:
    """When a run was created, in milliseconds since 1970, from what ``age`` gave."""
    return _MAX - int.from_bytes(age[:8], "big")


def events(uid: int) -> bytes:
    """What the keys of a run's log begin with."""
    return EVENT + number(uid)


def hooks(uid: int) -> bytes:
    """What the keys of a run's hooks begin with; the hook id follows."""
    return HOOK + number(uid)


def payloads(uid: int, hook_id: str) -> bytes:
    """What the keys of a hook's payloads begin with."""
    return PAYLOAD + number(uid) + _sized(hook_id)


def receipt(project: str, token: str, payload_id: str) -> bytes:
    """The key of a payload id that was accepted for a token."""
    return RECEIPT + project.encode() + b"\0" + _sized(token) + payload_id.encode()


def streams(uid: int) -> bytes:
    """What the keys of a run's streams begin with; the namespace follows."""
    return STREAM + number(uid)


def stream(uid: int, namespace: str) -> bytes:
    """The key of a stream."""
    return STREAM + number(uid) + namespace.encode()


def chunks(uid: int, namespace: str) -> bytes:
    """What the keys of a stream's chunks begin with."""
    return CHUNK + number(uid) + _sized(namespace)


def timer(due_ms: int, unique: int) -> bytes:
    """The key of a timer."""
    return TIMER + number(due_ms) + number(unique)


def due_of(timer_key: bytes) -> int:
    """The time, in milliseconds since 1970, of a timer's key."""
    return int.from_bytes(timer_key[1:9], "big")


def queues_of(project: str) -> bytes:
    """What the keys of all queues of a project begin with."""
    return QUEUE + project.encode() + b"\0"


def queue(project: str, kind: QueueKind.ValueType, name: str) -> bytes:
    """What the keys of a queue's entries begin with; their number follows."""
    return queues_of(project) + bytes([kind]) + _sized(name)


def split_queue_key(key: bytes) -> tuple[str, QueueKind.ValueType, str, int]:
    """The project, the kind, the name and the number in the key of an entry."""
    project, _, rest = key[1:].partition(b"\0")
    size = int.from_bytes(rest[1:3], "big")
    name, at = rest[3 : 3 + size].decode(), rest[3 + size :]
    return project.decode(), cast("QueueKind.ValueType", rest[0]), name, int.from_bytes(at, "big")


def steps(uid: int) -> bytes:
    """What the keys of a run's steps begin with; the step id follows."""
    return STEP + number(uid)


def step(uid: int, step_id: str) -> bytes:
    """The key of a step."""
    return STEP + number(uid) + step_id.encode()


def run_timers(uid: int) -> bytes:
    """What the keys of a run's timers begin with; the timer id follows."""
    return RUN_TIMER + number(uid)


def run_timer(uid: int, timer_id: str) -> bytes:
    """The key of a run's timer."""
    return RUN_TIMER + number(uid) + timer_id.encode()


def children(uid: int) -> bytes:
    """What the keys of a run's children begin with; the child's run id follows."""
    return CHILD + number(uid)


def child(uid: int, run_id: str) -> bytes:
    """The key of a child."""
    return CHILD + number(uid) + run_id.encode()


def garbage(uid: int) -> bytes:
    """The key of a note that a run's records are to be removed."""
    return GARBAGE + number(uid)


def uid_of(garbage_key: bytes) -> int:
    """The run's uid in such a key."""
    return int.from_bytes(garbage_key[1:9], "big")


def usage(project: str, what: bytes) -> bytes:
    """The key of a number that counts what a project has."""
    return USAGE + project.encode() + b"\0" + what


def split_status_key(key: bytes) -> str:
    """The project in a key of the lists of runs by status."""
    return key[2:].partition(b"\0")[0].decode()


def split_usage_key(key: bytes) -> tuple[str, bytes]:
    """The project, and what is counted, in the key of a number."""
    project, _, what = key[1:].partition(b"\0")
    return project.decode(), what
