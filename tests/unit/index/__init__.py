"""The token index in Rust, from Python."""
