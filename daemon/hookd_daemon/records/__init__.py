"""The records of the store, generated from the protos."""
