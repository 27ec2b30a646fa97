"""One module for each `minilxc seccomp` command: SUMMARY, options(parser), run(args) -> exit status."""
