"""System calls and kernel interfaces, one thin function each; imports nothing of minilxc."""
