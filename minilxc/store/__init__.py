"""Containers as folders on disk: made, removed, copied and renamed."""
