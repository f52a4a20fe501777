"""The matching of work with workers, in memory."""
