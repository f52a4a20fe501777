"""What the daemon must do, said a second time, and held against it."""
