"""Switch an unmounted XFS's feature "exchange-range" on or off: exchange_bit.py on|off DEVICE. Standard library only.

Directories, extended attributes and symlinks are repaired online only with it; mkfs.xfs can make it since 6.10. The
feature changes nothing on disk but the log items of a running exchange, so a filesystem that was unmounted cleanly may
lose it again, for tools that do not know it.
"""

import os
import struct
import sys

INCOMPAT, CRC = 216, 224  # offsets in the superblock, fs/xfs/libxfs/xfs_format.h
EXCHANGE = 1 << 6


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def switch(path, *, on):
    fd = os.open(path, os.O_RDWR | os.O_SYNC)
    first = os.pread(fd, 512, 0)
    (block_bytes,) = struct.unpack_from(">I", first, 4)
    ag_blocks, ag_count = struct.unpack_from(">II", first, 84)
    (sector_bytes,) = struct.unpack_from(">H", first, 102)
    for number in range(ag_count):
        at = number * ag_blocks * block_bytes
        sector = bytearray(os.pread(fd, sector_bytes, at))
        (features,) = struct.unpack_from(">I", sector, INCOMPAT)
        struct.pack_into(">I", sector, INCOMPAT, features | EXCHANGE if on else features & ~EXCHANGE)
        struct.pack_into("<I", sector, CRC, 0)
        struct.pack_into("<I", sector, CRC, crc32c(sector))
        os.pwrite(fd, sector, at)
    os.close(fd)


if __name__ == "__main__":
    switch(sys.argv[2], on=sys.argv[1] == "on")
