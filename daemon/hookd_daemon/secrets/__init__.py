"""Secrets that senders of requests share with the daemon, by project and name."""
