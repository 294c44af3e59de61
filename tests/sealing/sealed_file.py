"""sealed_file.py <FORMAT.md>: what the document says of sealed files is enough to unseal the one that it shows."""

import hashlib
import pathlib
import re
import struct
import sys

MASK = 0xffffffff
CONSTANTS = struct.unpack("<4I", b"expand 32-byte k")


def rounds(state):
    """The twenty rounds of ChaCha."""
    s = list(state)

    def quarter(a, b, c, d):
        for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[x] = (s[x] + s[y]) & MASK
            mixed = s[z] ^ s[x]
            s[z] = (mixed << turn | mixed >> 32 - turn) & MASK

    for _ in range(10):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return s


def block(key, counter, nonce):
    state = CONSTANTS + struct.unpack("<8I", key) + (counter,) + struct.unpack("<3I", nonce)
    return struct.pack("<16I", *((a + b) & MASK for a, b in zip(state, rounds(state))))


def poly1305(key, message):
    r = int.from_bytes(key[:16], "little") & 0x0ffffffc0ffffffc0ffffffc0fffffff
    total = 0
    for i in range(0, len(message), 16):
        total = (total + int.from_bytes(message[i:i + 16] + b"\1", "little")) * r % ((1 << 130) - 5)
    return ((total + int.from_bytes(key[16:], "little")) % (1 << 128)).to_bytes(16, "little")


def unsealed(file, key):
    magic, version, size, key_id, nonce = struct.unpack("<8sQQ16s24s", file[:64])
    assert magic == bytes.fromhex("8b 53 45 41 0d 0a 1a 0a"), magic
    assert version == 1 and size == len(file) and size >= 80, (version, size)
    assert key_id == hashlib.blake2b(key, digest_size=16, person=b"stackless key id").digest(), key_id.hex()

    state = rounds(CONSTANTS + struct.unpack("<8I", key) + struct.unpack("<4I", nonce[:16]))
    subkey, nonce = struct.pack("<8I", *state[:4], *state[12:]), bytes(4) + nonce[16:]
    ciphertext, tag = file[64:-16], file[-16:]
    padded = b"".join(part + bytes(-len(part) % 16) for part in (file[:64], ciphertext))
    lengths = struct.pack("<QQ", 64, len(ciphertext))
    assert tag == poly1305(block(subkey, 0, nonce)[:32], padded + lengths), tag.hex()
    stream = b"".join(block(subkey, 1 + i // 64, nonce) for i in range(0, len(ciphertext), 64))
    return bytes(a ^ b for a, b in zip(ciphertext, stream))


shown = re.search(r"```sealed hexdump\n(.*?)```", pathlib.Path(sys.argv[1]).read_text(), re.S)[1]
example = bytes.fromhex("".join(re.match(r"[0-9a-f]{4}  ((?:[0-9a-f]{2} ?)+)", line)[1] for line in shown.splitlines()))
content = unsealed(example, bytes(range(32)))
if content != b"hello":
    sys.exit(f"the sealed file of FORMAT.md holds {content}")
