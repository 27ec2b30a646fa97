"""Tests with real containers. They need root."""
