"""Requests to the URLs of hooks.

``ingress`` takes one from its first byte to its answer: ``address`` says which
token it is for, ``body`` reads it, ``schemes`` sees whether it is signed, and
``answers`` has what is answered.
"""
