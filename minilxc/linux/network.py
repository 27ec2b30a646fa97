"""Network interfaces of this network namespace."""

from __future__ import annotations

import _socket
import ctypes

from minilxc.linux.syscalls import check, libc

_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_IFF_UP = 1


class _InterfaceFlags(ctypes.Structure):
    """struct ifreq with its flags. netdevice(7)."""

    _fields_ = [
        ("ifr_name", ctypes.c_char * 16),
        ("ifr_flags", ctypes.c_short),
        ("_rest", ctypes.c_char * 22),
    ]


def set_link_up(name: str) -> None:
    """Set interface `name` up. netdevice(7), SIOCSIFFLAGS."""
    request = _InterfaceFlags(ifr_name=name.encode())
    link = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        check(libc.ioctl(link.fileno(), _SIOCGIFFLAGS, ctypes.addressof(request)), name)
        request.ifr_flags |= _IFF_UP
        check(libc.ioctl(link.fileno(), _SIOCSIFFLAGS, ctypes.addressof(request)), name)
    finally:
        link.close()
