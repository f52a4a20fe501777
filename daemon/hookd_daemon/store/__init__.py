"""The store: ordered keys, claims of tokens, and atomic commits."""
