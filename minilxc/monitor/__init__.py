"""The parent's life after a start."""
