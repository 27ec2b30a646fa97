"""python3 -m minilxc."""

from minilxc.cli import main

main()
