"""Loop devices: a file as a block device. loop(4)."""

from __future__ import annotations

import ctypes
import os

from minilxc.linux.syscalls import EBUSY, check, ioctl

_LOOP_CTL_GET_FREE = 0x4C82
_LOOP_CONFIGURE = 0x4C0A
_LO_FLAGS_READ_ONLY, _LO_FLAGS_AUTOCLEAR = 1, 4
_ATTEMPTS = 16


class LoopInfo64(ctypes.Structure):
    """struct loop_info64 of <linux/loop.h>, 232 bytes."""

    _fields_ = [
        *(
            (field, ctypes.c_uint64)
            for field in ("lo_device", "lo_inode", "lo_rdevice", "lo_offset", "lo_sizelimit")
        ),
        *(
            (field, ctypes.c_uint32)
            for field in ("lo_number", "lo_encrypt_type", "lo_encrypt_key_size", "lo_flags")
        ),
        ("lo_file_name", ctypes.c_uint8 * 64),
        ("lo_crypt_name", ctypes.c_uint8 * 64),
        ("lo_encrypt_key", ctypes.c_uint8 * 32),
        ("lo_init", ctypes.c_uint64 * 2),
    ]


class LoopConfig(ctypes.Structure):
    """struct loop_config of <linux/loop.h>, 304 bytes."""

    _fields_ = [
        ("fd", ctypes.c_uint32),
        ("block_size", ctypes.c_uint32),
        ("info", LoopInfo64),
        ("__reserved", ctypes.c_uint64 * 8),
    ]


def attach(path: str, *, read_only: bool) -> tuple[int, str]:
    """Attach the file `path` to a free loop device: (descriptor, path of the device). LOOP_CONFIGURE, Linux 5.8.

    The device lets go of the file by itself when its last user, a mount or a descriptor, is gone.
    Raises OSError.
    """
    mode = os.O_RDONLY if read_only else os.O_RDWR
    file = os.open(path, mode | os.O_CLOEXEC)
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for attempt in range(_ATTEMPTS):
            device = f"/dev/loop{check(ioctl(control, _LOOP_CTL_GET_FREE, None), 'loop device')}"
            loop = os.open(device, mode | os.O_CLOEXEC)
            config = LoopConfig(fd=file)
            config.info.lo_flags = _LO_FLAGS_AUTOCLEAR | (_LO_FLAGS_READ_ONLY if read_only else 0)
            try:
                check(ioctl(loop, _LOOP_CONFIGURE, ctypes.addressof(config)), path)
            except OSError as error:
                os.close(loop)
                if error.errno != EBUSY or attempt + 1 == _ATTEMPTS:
                    raise
                continue  # somebody else was quicker with this device
            return loop, device
        raise AssertionError("the last attempt returns or raises")
    finally:
        os.close(control)
        os.close(file)
