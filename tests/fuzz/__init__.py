"""Bytes that nobody meant: in messages, records, keys and page tokens, and on sockets."""
