"""The embedded engine: RocksDB through ``rocksdict``, with the token index in Rust."""

from hookd_daemon.store.rocks.store import RocksStore

__all__ = ["RocksStore"]
