"""Hands work out to workers: which turn and which step goes to whom, and for how long.

The queues are durable and kept by ``core``: an entry stays in its queue until
its turn is completed or its step has ended. Who works on what is known here
alone, in memory. After a restart everything is ready again. That does no harm:
a turn counts only if no other was completed since the worker read the log, and
an attempt at a step only if no other has begun.

    api/worker.py ──▶ Dispatcher ──▶ Board ──▶ Queue, Lane, Session
                          │             └────▶ Work, Affinity
                          └──▶ core: lease, complete, lose

- ``work`` is an entry as it is here: it waits, is picked, leased or parked.
- ``queues`` and ``sessions`` are the two sides that have to be matched.
- ``board`` matches them. It does nothing but change what is in memory, at
  once, and so never has to be locked.
- ``dispatcher`` reads the queues, makes leases durable, and sees to those that
  lapse. It alone runs in a task of its own.
- ``reports`` takes what workers report, ``heartbeats`` what they still do.
- ``survey`` tells people, ``unserved`` fails what nobody serves.

``core`` knows nothing of this package.
"""
