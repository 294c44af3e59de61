"""Snapshot files put together by hand, right or wrong, with digests that are right."""

import struct

import reader


def assembled(header, sections):
    """A file of sections (type, flags, payload), with its digests right."""
    body = b""
    for type_, flags, payload in sections:
        content = struct.pack("<IIQ", type_, flags, len(payload)) + payload
        body += reader.digest(content) + content
        body += bytes(-len(body) % 8)
    return with_header(*header, 40 + len(body), body)


def with_header(written_by, min_reader, size, body):
    content = struct.pack("<IIQ", written_by, min_reader, size) + body
    return reader.MAGIC + reader.digest(content) + content


def taken_apart(file):
    sections, at = [], 40
    while at != len(file):
        type_, flags, length = struct.unpack_from("<IIQ", file, at + 16)
        sections.append((type_, flags, file[at + 32:at + 32 + length]))
        at += (32 + length + 7) // 8 * 8
    return sections


def flipped(data, offset, bit):
    return data[:offset] + bytes([data[offset] ^ 1 << bit]) + data[offset + 1:]


def varint(number):
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def signed(number):
    """Of the number modulo 2^64."""
    number = (number + 2**63) % 2**64 - 2**63
    return varint(2 * number if number >= 0 else -2 * number - 1)


NOTHING = b"\0\0"  # data 0
GLOBAL = b"\1\0\0"  # module 0 + 0
FAILURE = b"\0\1"
FIRST_RECORD, FIRST_SLOT = 0x1200_0000_0000, 0x1300_0000_0000


def tasklet(state=reader.PAUSED, flags=0, value=b"\0", wakes=b"\0", home=FIRST_RECORD // 64, slot_size=0x1_0000,
            pc=GLOBAL, slot=FIRST_SLOT, live=0xFFF0, stack_size=16, sp=0):
    """Paused unless told, with 16 bytes of stack at the end of its slot."""
    fields = signed(home) + bytes([state, 0, flags]) + varint(slot_size) + 3 * NOTHING + value
    if state in reader.PARKED:
        fields += pc + 3 * NOTHING + b"\0" + wakes + signed(slot) + varint(live) + varint(stack_size) + varint(sp)
    return fields


def minimal(*tasklets, **other):
    """A snapshot of these tasklets, which have one frame and nothing else unless told."""
    payloads = {"MACHINE": b"\1\0", "MODULES": b"\1\0\1i\1",
                "TASKLETS": varint(len(tasklets)) + b"\1" + b"".join(tasklets),
                "FRAMES": len(tasklets) * b"\1\0\0\x10\0", "CHANNELS": b"\0", "STACKS": bytes(16 * len(tasklets)),
                "SPANS": b"\0", "HEAP": b"", "WORDS": b"\0\0", "END": b"", **other}
    return assembled((1, 1), [(type_, 1, payloads[name]) for type_, name in reader.SECTIONS.items()])
