"""What hookd means: transaction functions over runs, hooks, payloads and streams.

A pure state machine: no gRPC, no clock, no input or output of its own. What
happens outside comes in as a ``Moment``.
"""
