"""Seccomp: policy text to a verified, cached BPF program, for every architecture libseccomp knows.

The flow, one module a step: `policy` (text to lines), `rules` (lines to rules per ABI), `compiler`
(rules to a `program`), `verify` (the program is run against its rules). `prepare` is what a start
calls, `cache` what makes its second call quick, `loader` what hands a program to the kernel.
`arch` is the table of architectures, `calls` the tables of system calls, `actions` the answers.
On top of these: `explain` (which line decides), `disassemble`, `trace`, `diff` and `stats`, with
`symbolic`, which runs programs on calls that are known in part, and `inputs`, which tells policies,
programs and profiles apart. `api` is `minilxc.Policy`. `profile` reads the profiles of Docker and OCI,
`oci` is what they mean, `convert` what the two conversions share. `check` runs the `checks`.
`tools` has one module for each `minilxc seccomp` command. Importing this package loads none of them.
"""
