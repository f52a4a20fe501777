"""Crash points, bad disks, clocks that jump, and networks that fail."""
