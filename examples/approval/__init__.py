"""A run waits for somebody's decision, and goes on without it when the time is up."""
