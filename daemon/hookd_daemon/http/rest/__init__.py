"""``RunService`` and ``HookService`` as JSON over HTTP.

``routes`` is the table of what there is; ``reading`` and ``writing`` are the
two ways between JSON and messages; ``endpoint`` answers, ``events`` where the
answer is a stream; ``openapi`` describes it all from the table and the protos.
"""
