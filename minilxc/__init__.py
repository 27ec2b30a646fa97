"""minilxc: an LXC-like container launcher whose seccomp stage is first class."""
