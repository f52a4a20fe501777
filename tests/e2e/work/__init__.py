"""Handing out work, as a worker that is written by hand sees it."""
