"""A hundred steps at once, on two workers."""
