"""Network interfaces of this network namespace."""

from __future__ import annotations

import _socket
import _struct
import fcntl

_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_IFF_UP = 1


_REQUEST = "16sh22x"  # struct ifreq with its flags; netdevice(7)


def set_link_up(name: str) -> None:
    """Set interface `name` up. netdevice(7), SIOCSIFFLAGS."""
    link = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        asked = fcntl.ioctl(link.fileno(), _SIOCGIFFLAGS, _struct.pack(_REQUEST, name.encode(), 0))
        flags = _struct.unpack(_REQUEST, asked)[1]
        fcntl.ioctl(link.fileno(), _SIOCSIFFLAGS, _struct.pack(_REQUEST, name.encode(), flags | _IFF_UP))
    except OSError as error:
        raise OSError(error.errno, error.strerror, name) from None
    finally:
        link.close()
