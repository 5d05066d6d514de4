"""CRC-32C (Castagnoli, RFC 3720 appendix B.4) at a useful speed in pure Python.

A table loop costs tens of nanoseconds for each two bytes. Most of a record is folded away before that loop with a few
shifts and exclusive ors of Python integers, which run at the speed of memory: a CRC is a remainder modulo P, so a
message may first be reduced modulo any multiple of P, and P has a multiple with six terms only::

    Q = x^290 + x^136 + x^113 + x^107 + x^32 + 1

Squaring over GF(2) keeps the number of terms, so Q, Q^2, Q^4 … fold ever larger messages with the same few operations.
CRC-32C is bit-reflected: read as a little-endian integer, bit 0 of a message is its highest power of x.
"""

from array import array
from struct import unpack_from

_POLYNOMIAL_REFLECTED = 0x82F63B78
_ALL_ONES = 0xFFFFFFFF
# The widest fold of whole bytes: no more than the gap between Q's first two exponents, 290 - 136 bits.
_FOLD_BITS = 152
# How far up, after the fold's shift down, each of Q's lower terms puts the folded bits.
_MOVES = tuple(290 - exponent - _FOLD_BITS for exponent in (136, 113, 107, 32, 0))
_FITS_BITS = 290 + _FOLD_BITS


def _remainder(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (_POLYNOMIAL_REFLECTED if value & 1 else 0)
    return value


def _table_of_words() -> "array[int]":
    """Return the remainders of all 65,536 two-byte messages (256 KiB)."""
    table = [_remainder(byte) for byte in range(256)]
    words = array("I")
    for word in range(65536):  # one by one: a list of them all would leave 2 MiB behind
        words.append(table[(word >> 8) ^ (table[word & 255] & 255)] ^ (table[word & 255] >> 8))
    return words


_WORDS = _table_of_words()


def _fold(message: int, size_bits: int) -> tuple[int, int]:
    """Return a shorter message, and its size in bits, with the same remainder."""
    level = max((size_bits // _FITS_BITS).bit_length() - 1, 0)
    for power in range(level, -1, -1):
        width = _FOLD_BITS << power
        mask = (1 << width) - 1
        one, two, three, four, five = (move << power for move in _MOVES)
        while size_bits >= _FITS_BITS << power:
            high = message & mask
            message >>= width
            message ^= (high << one) ^ (high << two) ^ (high << three) ^ (high << four) ^ (high << five)
            size_bits -= width
    return message, size_bits


def crc32c(data: bytes | bytearray | memoryview, seed: int = 0) -> int:
    """Return the CRC-32C of `data`.

    Args:
        data: any number of bytes.
        seed: the CRC of what went before, to go on from there; 0 at the start.
    """
    size_bytes = len(data)
    state = seed ^ _ALL_ONES
    if size_bytes * 8 >= _FITS_BITS:
        # The state is added to the first four bytes; from there on it is part of the message.
        message, size_bits = _fold(int.from_bytes(data, "little") ^ state, size_bytes * 8)
        size_bytes = size_bits // 8
        data = message.to_bytes(size_bytes, "little")
        state = 0
    words = _WORDS
    for word in unpack_from(f"<{size_bytes // 2}H", data):
        state = words[(state ^ word) & 0xFFFF] ^ (state >> 16)
    if size_bytes & 1:
        state = words[((state ^ data[-1]) & 0xFF) << 8] ^ (state >> 8)
    return state ^ _ALL_ONES
