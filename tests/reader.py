"""A second reader of snapshot files, written from serialize/FORMAT.md and not from the C++ code, so that what the
document leaves open shows. It checks every rule that is stated there, refuses with the section and the rule, and
says the same as `stackless inspect --json`, but for the names, which are in the modules and not in the file.

    reader.py FILE

Exit status: 0 done, 1 failed, 2 usage, 3 damaged file, 5 file too new. Needs the Debian package python3-xxhash.
"""

import collections
import json
import os
import struct
import sys

import xxhash

DAMAGED, TOO_NEW = 3, 5

VERSION = 1
MAGIC = bytes.fromhex("8b 53 4c 43 0d 0a 1a 0a")
REGION = range(0x1000_8000_0000, 0x1500_0000_0000)
GRANULE = 65_536
RECORD = 64

SECTIONS = {1: "MACHINE", 2: "MODULES", 3: "TASKLETS", 4: "FRAMES", 5: "CHANNELS", 6: "STACKS", 7: "SPANS", 8: "HEAP",
            9: "WORDS", 0xFFFF_FFFF: "END"}
MACHINES = {1: "x86-64", 2: "AArch64"}
NOT_STARTED, PAUSED, SENDING, RECEIVING, DEAD = range(1, 6)
STATES = {NOT_STARTED: "not started", PAUSED: "paused", SENDING: "sending", RECEIVING: "receiving", DEAD: "dead"}
PARKED = (PAUSED, SENDING, RECEIVING)
SENDS_FAILURE, SLICED, ALL_FLAGS = 4, 8, 15
DATA, MODULE, THREAD_LOCAL, THREAD_POINTER, CANARY, FOREIGN, STRANGER = range(7)
TRAMPOLINE = 0

Value = collections.namedtuple("Value", "meaning module number", defaults=(None, None))
Module = collections.namedtuple("Module", "path build_id size")
Channel = collections.namedtuple("Channel", "where waiting")
Span = collections.namedtuple("Span", "begin size cell_size indices")


class Refused(Exception):
    """The file breaks a rule of the document."""

    def __init__(self, section, rule, status=DAMAGED):
        super().__init__(f"section {section}: {rule}" if section else rule)
        self.section, self.rule, self.status = section, rule, status


def require(holds, section, rule):
    if not holds:
        raise Refused(section, rule)


def digest(data):
    return xxhash.xxh3_128_digest(data)  # canonical form


class Payload:
    """What is left to read of a section."""

    def __init__(self, section, data):
        self.section, self.data, self.at = section, data, 0

    def require(self, holds, rule):
        require(holds, self.section, rule)

    def left(self):
        return len(self.data) - self.at

    def raw(self, length):
        self.require(length <= self.left(), "ends early")
        self.at += length
        return self.data[self.at - length:self.at]

    def u8(self):
        return self.raw(1)[0]

    def varint(self, bits=64):
        number = 0
        for position in range(10):
            byte = self.u8()
            number |= (byte & 0x7F) << 7 * position
            if byte < 0x80:
                self.require(position == 0 or byte != 0, "a varint has its shortest form")
                self.require(number < 1 << bits, f"a number has {bits} bits")
                return number
        raise Refused(self.section, "a varint has at most ten bytes")

    def signed(self):
        number = self.varint()
        return number >> 1 ^ -(number & 1)

    def count(self, least):
        number = self.varint()
        self.require(number <= self.left() // least, "there is room for what is counted")
        return number

    def string(self):
        return self.raw(self.varint())

    def one_of(self, known, what):
        number = self.u8()
        self.require(number in known, f"{what} {number} exists")
        return number

    def finish(self):
        self.require(self.left() == 0, "no bytes are left over")


class Tasklet:
    """Fields as in the document; of one that is not parked, those that only the parked have are not there."""

    failure = None
    frames = ()
    stack_size = 0

    def parked(self):
        return self.state in PARKED

    def sliced(self):
        return self.flags & SLICED != 0


class Snapshot:
    def __init__(self, data):
        """Throws Refused."""
        self.data = data
        self.header()
        self.sections = self.find_sections()
        # The digest of the file covers what no section's does: padding, and the header.
        require(digest(data[24:]) == data[8:24], "", "header: digest of the file")
        self.sections["END"].finish()
        self.read_machine()
        self.read_modules()
        self.read_tasklets()
        self.read_frames()
        self.read_spans()
        self.check_places()
        self.read_channels()
        words = self.sections["WORDS"]
        self.stack_words = self.read_words(self.sections["STACKS"].data)
        self.heap_words = self.read_words(self.sections["HEAP"].data)
        words.finish()

    def header(self):
        data = self.data
        require(data and data[:8] == MAGIC[:len(data)], "", "header: magic: not a snapshot")
        require(len(data) >= 40, "", f"header: truncated: at least {40 - len(data)} bytes are missing")
        self.written_by, self.min_reader, self.size = struct.unpack_from("<IIQ", data, 24)
        require(1 <= self.min_reader <= self.written_by, "", "header: 1 <= min_reader <= written_by")
        if self.min_reader > VERSION:
            raise Refused("", f"header: written in format {self.written_by} for readers of {self.min_reader}, "
                              f"this one reads {VERSION}", TOO_NEW)
        require(self.size <= len(data), "", f"header: truncated: {self.size - len(data)} bytes are missing")
        require(self.size == len(data), "", f"header: {len(data) - self.size} bytes follow the end")

    def find_sections(self):
        data, at, previous, found = self.data, 40, 0, {}
        while "END" not in found:
            require(len(data) - at >= 32, "", "sections: all are present")
            type_, flags, length = struct.unpack_from("<IIQ", data, at + 16)
            name = SECTIONS.get(type_, str(type_))
            end = at + 32 + length
            require(end <= len(data), name, "length is not beyond the end of the file")
            require(digest(data[at + 16:end]) == data[at:at + 16], name, "digest")
            padded = (end + 7) // 8 * 8
            require(padded <= len(data), name, "padding is there")
            require(not any(data[end:padded]), name, "padding is zero")
            require(type_ > previous, name, "types ascend")
            require(flags in (0, 1), name, "flags but critical are zero")
            if type_ in SECTIONS:
                require(flags == 1, name, "it is critical")
                found[name] = Payload(name, data[at + 32:end])
            elif flags == 1:
                raise Refused(name, "a critical section that is not known", TOO_NEW)
            previous, at = type_, padded
        require(at == len(data), "END", "the file ends with it")
        for name in SECTIONS.values():
            require(name in found, name, "it is present")
        return found

    def read_value(self, payload):
        meaning = payload.one_of(range(7), "meaning")
        module = number = None
        if meaning in (MODULE, THREAD_LOCAL):
            module = payload.varint(32)
            payload.require(module < len(self.modules), "module < number of modules")
        if meaning in (DATA, MODULE, THREAD_LOCAL):
            number = payload.varint()
        elif meaning == THREAD_POINTER:
            number = payload.signed()
        if meaning == MODULE:
            payload.require(number <= self.modules[module].size, "a module word: number <= size")
        return Value(meaning, module, number)

    def read_machine(self):
        payload = self.sections["MACHINE"]
        self.machine = payload.one_of(MACHINES, "machine")
        self.library = payload.string()
        payload.finish()

    def read_modules(self):
        payload = self.sections["MODULES"]
        self.modules = []
        for _ in range(payload.count(4)):
            m = Module(payload.string(), payload.string(), payload.varint())
            payload.require(b"\0" not in m.path, "path is without zero bytes")
            payload.require(m.build_id, "build_id is not empty")
            payload.require(m.size != 0, "size is not 0")
            self.modules.append(m)
        payload.require(self.modules, "there is at least one")
        payload.finish()

    def read_tasklets(self):
        payload, stacks = self.sections["TASKLETS"], self.sections["STACKS"]
        count = payload.count(9)
        self.roots = payload.varint(32)
        payload.require(1 <= self.roots <= count, "roots is 1 to count")
        self.tasklets = []
        home = slot = 0
        for _ in range(count):
            t = Tasklet()
            self.tasklets.append(t)
            home = (home + payload.signed()) % 2**64
            t.home = home * RECORD
            payload.require(in_region(t.home, RECORD), "home is in the region")
            t.state = payload.one_of(STATES, "state")
            t.handles = payload.varint(32)
            t.flags = payload.u8()
            payload.require(t.flags <= ALL_FLAGS, "flags are known")
            payload.require(not t.flags & SENDS_FAILURE or t.state == SENDING, "flag 4 only when sending")
            t.slot_size = payload.varint()
            payload.require(t.slot_size % GRANULE == 0, "slot_size is a multiple of 65,536")
            t.body, t.closure, t.extras = (self.read_value(payload) for _ in range(3))
            has_value = payload.one_of((0, 1), "has_value")
            t.transfer = [self.read_value(payload) for _ in range(4)] if has_value else []
            if t.state == SENDING:
                payload.require(has_value != bool(t.flags & SENDS_FAILURE), "has_value is 1 when sending a value")
            else:
                payload.require(not has_value or t.state in (PAUSED, NOT_STARTED), "has_value is 0 otherwise")
            if t.parked():
                slot = self.read_parked(t, payload, slot)
                stacks.raw(t.stack_size)
        payload.finish()
        stacks.finish()

    def read_parked(self, t, payload, slot):
        t.pc, t.fp, t.base, t.caught = (self.read_value(payload) for _ in range(4))
        payload.require(t.pc.meaning == MODULE, "pc is a module word")
        payload.varint(32)  # uncaught
        wakes = payload.one_of((0, 1, 2), "wakes")
        payload.require(wakes == 0 or t.state == PAUSED, "wakes is 0 unless paused")
        if wakes == 1 or t.flags & SENDS_FAILURE:
            t.failure = self.read_value(payload)
        t.slot = (slot + payload.signed()) % 2**64
        live, t.stack_size, sp = (payload.varint() for _ in range(3))
        payload.require(t.slot % GRANULE == 0, "slot is a multiple of 65,536")
        payload.require(in_region(t.slot, t.slot_size), "the slot is in the region")
        payload.require(t.stack_size != 0, "stack_size is not 0")
        payload.require(live + t.stack_size <= t.slot_size, "slot + live + stack_size <= slot + slot_size")
        payload.require(sp < t.stack_size, "sp is less than stack_size")
        payload.require(sp == 0 or not t.sliced(), "sp is 0 if it is sliced")
        payload.require(live % 8 == t.stack_size % 8 == sp % 8 == 0, "live, stack_size and sp are multiples of 8")
        t.live = t.slot + live
        t.above_sp = t.stack_size - sp
        return t.slot

    def read_frames(self):
        payload = self.sections["FRAMES"]
        for t in filter(Tasklet.parked, self.tasklets):
            count = payload.count(4)
            payload.require(count != 0, "there is at least one frame")
            t.frames = []
            total = 0
            for i in range(count):
                pc = Value(MODULE, payload.varint(32), payload.varint())
                payload.require(pc.module < len(self.modules), "module < number of modules")
                payload.require(pc.number <= self.modules[pc.module].size, "a module word: number <= size")
                size, found = payload.varint(), payload.one_of(range(4), "found")
                payload.require(size % 8 == 0, "size is a multiple of 8")
                payload.require((found == TRAMPOLINE) == (i + 1 == count), "the trampoline is the last frame")
                total += size
                t.frames.append(pc)
            payload.require(t.frames[0] == t.pc, "the first frame goes on at pc")
            payload.require(total == t.above_sp, "sum of size = stack_size - sp")
        payload.finish()

    def read_spans(self):
        payload, heap = self.sections["SPANS"], self.sections["HEAP"]
        self.spans = []
        end = 0
        for _ in range(payload.count(4)):
            begin = end + payload.varint()
            size, cell_size = payload.varint(), payload.varint()
            payload.require(size != 0 and size % GRANULE == 0, "size is a multiple of 65,536, not 0")
            payload.require(begin % GRANULE == 0, "a span begins at a multiple of 65,536")
            payload.require(in_region(begin, size), "the span is in the region")
            payload.require(cell_size != 0 and cell_size % 16 == 0, "cell_size is a multiple of 16, not 0")
            payload.require(cell_size <= size, "cell_size is at most size")
            indices, next_ = [], 0
            for _ in range(payload.count(1)):
                index = next_ + payload.varint()
                payload.require(index < size // cell_size, "index < floor(size / cell_size)")
                heap.raw(cell_size)
                indices.append(index)
                next_ = index + 1
            self.spans.append(Span(begin, size, cell_size, indices))
            end = begin + size
        payload.finish()
        heap.finish()

    def check_places(self):
        places = [(t.home, t.home + RECORD) for t in self.tasklets]
        places += [(s.begin, s.begin + s.size) for s in self.spans]
        slots = [(t.slot, t.slot + t.slot_size, t.sliced()) for t in self.tasklets if t.parked()]
        places += [slot[:2] for slot in slots if not slot[2]]
        places += {slot[:2] for slot in slots if slot[2]}
        places.sort()
        for a, b in zip(places, places[1:]):
            require(a[1] <= b[0], "TASKLETS", f"no two slots, spans and records share an address: {b[0]:#x}")

    def read_channels(self):
        payload = self.sections["CHANNELS"]
        self.channels = []
        queued = set()
        for _ in range(payload.count(4)):
            c = Channel(self.read_value(payload), [])
            if c.where.meaning == DATA:
                payload.require(c.where.number % 8 == 0, "where is a multiple of 8")
                payload.require(self.carries(c.where.number), "where is in a block or a stack that is not sliced")
            else:
                payload.require(c.where.meaning == MODULE, "where is a module word or data")
            for _ in range(payload.count(1)):
                index = payload.varint(32)
                payload.require(index < len(self.tasklets), "index < number of tasklets")
                state = self.tasklets[index].state
                payload.require(state in (SENDING, RECEIVING), "no other tasklet is in any queue")
                payload.require(index not in queued, "a tasklet is in exactly one queue, exactly once")
                queued.add(index)
                c.waiting.append(index)
            payload.require(c.waiting, "at least one waits")
            payload.require(len({self.tasklets[i].state for i in c.waiting}) == 1, "all are sending or all receiving")
            self.channels.append(c)
        payload.require(len({c.where for c in self.channels}) == len(self.channels), "no two are equal")
        waiting = {i for i, t in enumerate(self.tasklets) if t.state in (SENDING, RECEIVING)}
        payload.require(waiting == queued, "a sending or receiving tasklet is in a queue")
        payload.finish()

    def carries(self, address):
        if any(t.parked() and not t.sliced() and t.live <= address < t.live + t.stack_size for t in self.tasklets):
            return True
        return any(s.begin <= address < s.begin + s.size and (address - s.begin) // s.cell_size in s.indices
                   for s in self.spans)

    def read_words(self, data):
        payload = self.sections["WORDS"]
        words = []
        next_ = 0
        for _ in range(payload.count(2)):
            offset = next_ + 8 * payload.varint()
            payload.require(offset < len(data), "offset[k] < length of the payload")
            words.append(self.read_value(payload))
            payload.require(not any(data[offset:offset + 8]), "the bytes of a word are zero")
            next_ = offset + 8
        return words

    def values(self):
        yield from self.stack_words
        yield from self.heap_words
        for t in self.tasklets:
            yield from (t.body, t.closure, t.extras, *t.transfer)
            if t.parked():
                yield from (t.fp, t.base, t.caught)
            if t.failure:
                yield t.failure

    def document(self, file):
        """What `stackless help inspect` describes, without names."""
        cells = collections.Counter()
        for s in self.spans:
            if s.indices:
                cells[s.cell_size] += len(s.indices)
        meanings = collections.Counter(v.meaning for v in self.values())
        return {
            "file": file,
            "format": self.written_by,
            "min_reader": self.min_reader,
            "library": text(self.library),
            "machine": MACHINES[self.machine],
            "size": self.size,
            "modules": [{"build_id": m.build_id.hex(), "path": text(m.path)} for m in self.modules],
            "tasklets": [{
                "root": i < self.roots,
                "state": STATES[t.state],
                "sliced": t.sliced(),
                "home": hex(t.home),
                "slot": hex(t.slot) if t.parked() else None,
                "slot_bytes": t.slot_size,
                "stack_bytes": t.stack_size,
                "handles": t.handles,
                "frames": [place(pc) for pc in t.frames],
            } for i, t in enumerate(self.tasklets)],
            "channels": [{
                "where": place(c.where) if c.where.meaning == MODULE else hex(c.where.number),
                "state": STATES[self.tasklets[c.waiting[0]].state],
                "waiting": c.waiting,
            } for c in self.channels],
            "heap": {
                "cells": [{"cell_bytes": size, "blocks": n, "bytes": size * n} for size, n in sorted(cells.items())],
                "blocks": sum(cells.values()),
                "bytes": len(self.sections["HEAP"].data),
            },
            "left_behind": {"foreign": meanings[FOREIGN], "strangers": meanings[STRANGER]},
        }


def in_region(begin, size):
    return REGION.start <= begin and begin + size <= REGION.stop


def place(value):
    return {"module": value.module, "offset": hex(value.number)}


def text(data):
    return data.decode(errors="replace")


def main(arguments):
    if len(arguments) != 1:
        print("usage: reader.py FILE", file=sys.stderr)
        return 2
    [file] = arguments
    try:
        with open(file, "rb") as stream:
            snapshot = Snapshot(stream.read())
    except OSError as error:
        print(f"reader.py: error: {file}: {error.strerror}", file=sys.stderr)
        return 1
    except Refused as refused:
        print(f"reader.py: error: {file}: {refused}", file=sys.stderr)
        return refused.status
    print(json.dumps(snapshot.document(text(os.fsencode(file))), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
