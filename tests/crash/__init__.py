"""Client processes, and a daemon that is killed under them."""
