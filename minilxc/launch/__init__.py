"""The start of a container: a plan, then steps in the parent and in the child."""
