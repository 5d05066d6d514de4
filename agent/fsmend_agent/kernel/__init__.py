"""The kernel room: the only place with cffi, ioctl numbers and struct layouts.

Decoders are pure: bytes in, frozen records out, `DecodeError` for what does not fit. System calls raise OSError with
errno and path through `syscall`. No cffi object leaves the function that made it.
"""
