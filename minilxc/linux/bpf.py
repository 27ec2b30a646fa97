"""Device rules of cgroup version 2: a small program that the kernel asks about each device that is opened.

Assembled here, instruction by instruction: bpf(2), Documentation/bpf/standardization/instruction-set.rst,
and `struct bpf_cgroup_dev_ctx` of linux/bpf.h.
"""

from __future__ import annotations

import _struct
import sys

from minilxc.linux.native import bytes_address
from minilxc.linux.syscalls import MACHINE, call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_NR_BPF = {
    "x86_64": 321,
    "i386": 357,
    "arm": 386,
    "aarch64": 280,
    "ppc": 361,
    "s390": 351,
    "riscv64": 280,
    "loongarch64": 280,
}[MACHINE]

_PROG_LOAD, _PROG_ATTACH = 5, 8
_PROG_TYPE_CGROUP_DEVICE = 15
_CGROUP_DEVICE = 6  # enum bpf_attach_type
_ALLOW_MULTI = 2  # programs of the groups above, and others of this one, are asked as well

BLOCK, CHAR = 1, 2
MKNOD, READ, WRITE = 1, 2, 4
ALL = MKNOD | READ | WRITE

_R0, _CONTEXT, _KIND, _ACCESS, _MAJOR, _MINOR = range(6)
# class | size or operation | source
_LOAD_WORD = 0x61  # BPF_LDX | BPF_MEM | BPF_W
_MOVE, _MOVE_REGISTER, _AND, _SHIFT_RIGHT = 0xB4, 0xBC, 0x54, 0x74  # BPF_ALU | BPF_K, 32 bits
_JUMP, _JUMP_SAME, _JUMP_OTHER, _JUMP_BITS = 0x05, 0x15, 0x55, 0x45  # BPF_JMP | BPF_K
_EXIT = 0x95


class DeviceRule:
    """Whether some devices may be made, read or written. Immutable.

    `kind` is BLOCK, CHAR or None for both, `major` and `minor` are None for all, `access` is of MKNOD,
    READ and WRITE.
    """

    __slots__ = ("access", "allow", "kind", "major", "minor")

    def __init__(
        self, allow: bool, kind: int | None, major: int | None, minor: int | None, access: int
    ) -> None:
        self.allow = allow
        self.kind = kind
        self.major = major
        self.minor = minor
        self.access = access

    @property
    def is_all(self) -> bool:
        """Whether it speaks of everything, so that no rule before it matters."""
        return (self.kind, self.major, self.minor, self.access) == (None, None, None, ALL)


def device_program(rules: Sequence[DeviceRule], otherwise: bool) -> bytes:
    """The program for `rules`, of which the last that speaks of a device and an access counts.

    `otherwise` is the answer where none does. What is asked for in one go is allowed when all of it is.
    """
    program = [
        _instruction(_LOAD_WORD, _ACCESS, _CONTEXT, 0),  # access << 16 | kind
        _instruction(_MOVE_REGISTER, _KIND, _ACCESS),
        _instruction(_AND, _KIND, immediate=0xFFFF),
        _instruction(_SHIFT_RIGHT, _ACCESS, immediate=16),
        _instruction(_LOAD_WORD, _MAJOR, _CONTEXT, 4),
        _instruction(_LOAD_WORD, _MINOR, _CONTEXT, 8),
    ]
    for rule in reversed(rules):
        if rule.is_all:
            otherwise = rule.allow
            break
        program += _rule(rule)
    program += _answer(otherwise)
    return b"".join(program)


def _rule(rule: DeviceRule) -> list[bytes]:
    """Answers what `rule` decides, and takes what it allows away from what is asked; else goes on below."""
    end = _answer(rule.allow)
    if rule.access != ALL:
        if rule.allow:
            rest = ~rule.access & ALL
            end = [
                _instruction(_AND, _ACCESS, immediate=rest),
                _instruction(_JUMP_OTHER, _ACCESS, offset=len(end)),
                *end,
            ]
        else:
            end = [
                _instruction(_JUMP_BITS, _ACCESS, offset=1, immediate=rule.access),
                _instruction(_JUMP, offset=len(end)),
                *end,
            ]
    tests = [
        (register, value)
        for register, value in ((_KIND, rule.kind), (_MAJOR, rule.major), (_MINOR, rule.minor))
        if value is not None
    ]
    jumps = [
        _instruction(_JUMP_OTHER, register, offset=len(tests) - number + len(end), immediate=value)
        for number, (register, value) in enumerate(tests, 1)
    ]
    return jumps + end


def _answer(allow: bool) -> list[bytes]:
    return [_instruction(_MOVE, _R0, immediate=int(allow)), _instruction(_EXIT)]


def _instruction(code: int, target: int = 0, source: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    registers = source << 4 | target if sys.byteorder == "little" else target << 4 | source
    return _struct.pack("=BBhi", code, registers, offset, immediate)


def load_device_program(program: bytes) -> int:
    """Have the kernel check and translate `program`; a descriptor of it. Raises OSError. bpf(2), BPF_PROG_LOAD."""
    terms = b"GPL\0"
    # prog_type, insn_cnt, insns, license, log_level, log_size, log_buf, kern_version, prog_flags,
    # prog_name, prog_ifindex, expected_attach_type
    attributes = _struct.pack(
        "=IIQQIIQII16sII",
        _PROG_TYPE_CGROUP_DEVICE,
        len(program) // 8,
        bytes_address(program),
        bytes_address(terms),
        *(0,) * 5,
        b"minilxc",
        0,
        _CGROUP_DEVICE,
    )
    return call("BPF program", _NR_BPF, _PROG_LOAD, attributes, len(attributes))


def attach_device_program(program: int, group: int) -> None:
    """Let the kernel ask `program` about the devices that processes of `group` use; both are descriptors.

    It stays for the life of the group. Raises OSError. bpf(2), BPF_PROG_ATTACH.
    """
    attributes = _struct.pack("=IIII", group, program, _CGROUP_DEVICE, _ALLOW_MULTI)
    call("BPF program", _NR_BPF, _PROG_ATTACH, attributes, len(attributes))
