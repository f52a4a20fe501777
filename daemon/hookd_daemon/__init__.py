"""The daemon of hookd."""
