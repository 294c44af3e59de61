"""Both readers of snapshot files, the library's and tests/reader.py, say the same about the same file."""

import argparse
import json
import os
import pathlib
import random
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

TESTS = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = TESTS / "golden"
sys.dont_write_bytecode = True
sys.path.insert(0, str(TESTS))
import reader  # noqa: E402
from crafted import (FAILURE, FIRST_RECORD, FIRST_SLOT, GLOBAL, NOTHING, assembled, flipped, minimal,  # noqa: E402
                     taken_apart, tasklet, varint, with_header)

parser = argparse.ArgumentParser()
parser.add_argument("--emulator", default="", help="what runs programs of the CPU that they are built for")
parser.add_argument("--stackless", required=True, help="the command")
parser.add_argument("--programs", nargs="+", type=pathlib.Path, required=True, help="folders of programs that save")
parser.add_argument("--sliced-programs", type=pathlib.Path, required=True,
                    help="folder of such programs on sliced stacks")
options = parser.parse_args()


def without_names(value):
    if isinstance(value, dict):
        return {key: without_names(inner) for key, inner in value.items() if key != "name"}
    return [without_names(inner) for inner in value] if isinstance(value, list) else value


def verdict(file):
    try:
        reader.Snapshot(file)
    except reader.Refused as refused:
        return "too new" if refused.status == reader.TOO_NEW else "damaged"
    return "accepted"


class ReadersTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def run_here(self, command, **how):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("STACKLESS_")}
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, timeout=120, **how)

    def run_program(self, name, *arguments, folders=options.programs, **how):
        [program] = [folder / name for folder in folders if (folder / name).exists()]
        done = self.run_here([*shlex.split(options.emulator), program, *arguments], **how)
        self.assertEqual((done.returncode, done.stderr), (0, b""), name)
        return done.stdout.decode()

    def read(self, name):
        return pathlib.Path(self.folder, name).read_bytes()

    def inspected(self, path):
        done = self.run_here([*shlex.split(options.emulator), options.stackless, "inspect", "--json", path])
        self.assertEqual(done.returncode, 0, done.stderr)
        return without_names(json.loads(done.stdout))

    def agree(self, name):
        """What both say."""
        by_library = self.inspected(name)
        by_document = reader.Snapshot(self.read(name)).document(name)
        self.assertEqual(by_document, by_library, name)
        return by_document

    def compare_verdicts(self, files):
        """How often both accepted."""
        stream = b"".join(struct.pack("<Q", len(file)) + file for file in files)
        by_library = self.run_program("sample_files", "judge", input=stream).splitlines()
        self.assertEqual(len(by_library), len(files))
        for i, (file, expected) in enumerate(zip(files, by_library)):
            self.assertEqual(verdict(file), expected, f"file {i}: {file.hex()}")
        return by_library.count("accepted")

    def samples(self):
        self.run_program("sample_files", "write")
        return [self.read("small.snap"), self.read("full.snap")]


class Agreement(ReadersTest):
    def test_samples(self):
        self.samples()
        self.assertEqual(self.agree("small.snap")["machine"], "x86-64")
        full = self.agree("full.snap")
        self.assertEqual({t["state"] for t in full["tasklets"]}, set(reader.STATES.values()))
        self.assertEqual(full["left_behind"], {"foreign": 1, "strangers": 1})

    def test_own_stack(self):
        self.run_program("persistence_demo")
        self.assertFalse(self.agree("tasklet.pickle")["tasklets"][0]["sliced"])
        self.run_program("rich_frames")
        self.assertNotEqual(self.agree("rich_frames.snap")["heap"]["blocks"], 0)

    def test_sliced_stack(self):
        for program, file in (("persistence_demo", "tasklet.pickle"), ("rich_frames", "rich_frames.snap")):
            self.run_program(program, folders=[options.sliced_programs])
            self.assertTrue(self.agree(file)["tasklets"][0]["sliced"])

    def test_each_state(self):
        self.run_program("states")
        for name, state in (("not_started", "not started"), ("receiving", "receiving"), ("sending", "sending"),
                            ("failing", "sending"), ("reaching", "paused")):
            self.assertEqual(self.agree(name + ".snap")["tasklets"][0]["state"], state)

    def test_a_queue_shared_with_a_stranger(self):
        self.run_program("waiting", "w.snap")
        self.assertEqual(self.agree("w.snap")["channels"][0]["waiting"], [0])


class CommandLine(ReadersTest):
    def reader(self, *arguments):
        done = self.run_here([sys.executable, TESTS / "reader.py", *arguments])
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def test_prints_the_document(self):
        self.samples()
        status, printed, errors = self.reader("full.snap")
        self.assertEqual((status, errors), (0, ""))
        self.assertEqual(json.loads(printed), json.loads((GOLDEN / "full.json").read_text()))

    def test_refuses_by_section_and_rule(self):
        small, full = self.samples()
        for name, data, status, message in (
                ("text", b"no snapshot", 3, "header: magic: not a snapshot"),
                ("short", small[:-8], 3, "header: truncated: 8 bytes are missing"),
                ("new", assembled((9, 2), taken_apart(small)), 5,
                 "header: written in format 9 for readers of 2, this one reads 1"),
                ("flipped", flipped(full, 100, 0), 3, "section MODULES: digest")):
            pathlib.Path(self.folder, name).write_bytes(data)
            self.assertEqual(self.reader(name), (status, "", f"reader.py: error: {name}: {message}\n"))
        self.assertEqual(self.reader("none"), (1, "", "reader.py: error: none: No such file or directory\n"))
        self.assertEqual(self.reader(), (2, "", "usage: reader.py FILE\n"))


class Golden(ReadersTest):
    def test_are_still_read(self):
        """By both readers, and they say what is kept beside the file."""
        files = sorted(GOLDEN.rglob("*.snap"))
        self.assertEqual({file.parent.name for file in files}, {"golden", "x86_64", "aarch64"})
        for file in files:
            shutil.copy(file, self.folder)
            self.assertEqual(self.agree(file.name), json.loads(file.with_suffix(".json").read_text()), file)
        self.assertEqual(sorted(GOLDEN.rglob("*.json")), [file.with_suffix(".json") for file in files])

    def test_are_still_written(self):
        _, full = self.samples()
        self.assertEqual(full, (GOLDEN / "full.snap").read_bytes())


class Damage(ReadersTest):
    def test_cut_at_every_length(self):
        small, _ = self.samples()
        files = [small[:length] for length in range(len(small))]
        self.assertEqual(self.compare_verdicts(files), 0)

    def test_every_bit_flipped(self):
        small, _ = self.samples()
        files = [flipped(small, i, bit) for i in range(len(small)) for bit in range(8)]
        self.assertEqual(self.compare_verdicts(files), 0)

    def test_damage_behind_right_digests(self):
        """Digests hide every rule but themselves."""
        files = []
        for sample in self.samples():
            sections = taken_apart(sample)
            for which, (type_, flags, payload) in enumerate(sections):
                # Of contents any bytes will do, but where a word is.
                step = 29 if reader.SECTIONS[type_] in ("STACKS", "HEAP") else 1
                for i in range(0, len(payload), step):
                    for bit in range(8):
                        changed = (type_, flags, flipped(payload, i, bit))
                        files.append(assembled((1, 1), [*sections[:which], changed, *sections[which + 1:]]))
        self.assertGreater(self.compare_verdicts(files), 1000)

    def test_random_damage_behind_right_digests(self):
        chance = random.Random(20)
        samples = [taken_apart(sample) for sample in self.samples()]
        files = []
        for round_ in range(4000):
            sections = [[*section] for section in samples[round_ % 2]]
            for _ in range(chance.randint(1, 3)):
                section = chance.choice(sections)
                payload = bytearray(section[2])
                at = chance.randrange(len(payload) + 1)
                change = chance.randrange(4)
                if change == 0:
                    payload[at:at + 1] = bytes([chance.randrange(256)])
                elif change == 1:
                    payload[at:at + 1] = b""
                elif change == 2:
                    payload[at:at] = bytes([chance.randrange(256)])
                else:
                    payload[at:at] = chance.choice((b"\x80", b"\xff" * 9 + b"\x01", b"\x80" * 9 + b"\x01"))
                section[2] = bytes(payload)
            files.append(assembled((1, 1), sections))
        self.assertGreater(self.compare_verdicts(files), 100)

    def test_rules_broken_once(self):
        """Those that a changed byte does not break alone."""
        no_stack = {"FRAMES": b"", "STACKS": b""}
        queue = {"CHANNELS": b"\1" + GLOBAL + b"\1\0"}
        value = b"\1" + 4 * NOTHING
        sliced = {"flags": reader.SLICED}
        intact = [
            minimal(tasklet()),
            minimal(tasklet(reader.DEAD, slot_size=0), **no_stack),
            minimal(tasklet(value=value)),
            minimal(tasklet(reader.NOT_STARTED, value=value), **no_stack),
            minimal(tasklet(reader.SENDING, value=value), **queue),
            minimal(tasklet(reader.SENDING, flags=4, wakes=b"\0" + FAILURE), **queue),
            minimal(tasklet(reader.RECEIVING), **queue),
            minimal(tasklet(wakes=b"\1" + FAILURE)),
            minimal(tasklet(wakes=b"\2")),
            minimal(tasklet(sp=8), FRAMES=b"\1\0\0\x08\0"),
            minimal(tasklet(**sliced), tasklet(**sliced, home=1, slot=0)),
            minimal(tasklet(), tasklet(home=-1, slot=0x1_0000)),
            minimal(tasklet(), FRAMES=b"\2\0\0\0\1\0\0\x10\0"),
            minimal(tasklet(reader.RECEIVING), CHANNELS=b"\1\0" + varint(FIRST_SLOT + 0xFFF8) + b"\1\0"),
        ]
        self.assertEqual(self.compare_verdicts(intact), len(intact))
        broken = [
            minimal(tasklet(reader.DEAD, slot_size=0), MODULES=b"\0", **no_stack),
            minimal(tasklet(), MODULES=b"\1\0\1i\0"),
            minimal(tasklet(), MODULES=b"\1\0\0\1"),
            minimal(tasklet(), MODULES=b"\1\1\0\1i\1"),
            minimal(tasklet(home=FIRST_RECORD // 64 + 2**58)),
            minimal(tasklet(home=(reader.REGION.start - 64) // 64)),
            minimal(tasklet(home=reader.REGION.stop // 64)),
            minimal(tasklet(reader.DEAD, value=value), **no_stack),
            minimal(tasklet(reader.DEAD, slot_size=8), **no_stack),
            minimal(tasklet(reader.SENDING), **queue),
            minimal(tasklet(reader.SENDING, flags=4, value=value, wakes=b"\0" + FAILURE), **queue),
            minimal(tasklet(reader.SENDING, value=value, wakes=b"\2"), **queue),
            minimal(tasklet(reader.RECEIVING, value=value), **queue),
            minimal(tasklet(reader.RECEIVING, wakes=b"\2"), **queue),
            minimal(tasklet(flags=4, wakes=b"\0" + FAILURE)),
            minimal(tasklet(flags=16)),
            minimal(tasklet(wakes=b"\3")),
            minimal(tasklet(pc=NOTHING)),
            minimal(tasklet(pc=b"\1\0\2"), FRAMES=b"\1\0\2\x10\0"),
            minimal(tasklet(slot=0)),
            minimal(tasklet(slot=reader.REGION.stop)),
            minimal(tasklet(slot=FIRST_SLOT + 8)),
            minimal(tasklet(slot_size=0)),
            minimal(tasklet(slot_size=2**64 - 2**16)),
            minimal(tasklet(slot_size=0x1_0008)),
            minimal(tasklet(live=0xFFF8)),
            minimal(tasklet(live=2**64 - 8)),
            minimal(tasklet(live=4)),
            minimal(tasklet(stack_size=0), FRAMES=b"\1\0\0\0\0", STACKS=b""),
            minimal(tasklet(stack_size=12), FRAMES=b"\1\0\0\x0c\0", STACKS=bytes(12)),
            minimal(tasklet(sp=16), FRAMES=b"\1\0\0\0\0"),
            minimal(tasklet(sp=4), FRAMES=b"\1\0\0\x0c\0"),
            minimal(tasklet(sp=8, **sliced), FRAMES=b"\1\0\0\x08\0"),
            minimal(tasklet(**sliced), tasklet(home=1, slot=0)),
            minimal(tasklet(), tasklet(home=1, slot=0)),
            minimal(tasklet(**sliced), tasklet(**sliced, home=1, slot=0, slot_size=0x2_0000)),
            minimal(tasklet(), tasklet(home=0, slot=0x1_0000)),
            minimal(tasklet(home=FIRST_SLOT // 64)),
            minimal(tasklet(), FRAMES=b"\0"),
            minimal(tasklet(), FRAMES=b"\1\0\1\x10\0"),
            minimal(tasklet(), FRAMES=b"\1\1\0\x10\0"),
            minimal(tasklet(), FRAMES=b"\1\0\0\x10\4"),
            minimal(tasklet(), FRAMES=b"\1\0\0\x10\1"),
            minimal(tasklet(), FRAMES=b"\2\0\0\0\0\0\0\x10\0"),
            minimal(tasklet(), FRAMES=b"\2\0\0\4\1\0\0\x0c\0"),
            minimal(tasklet(), FRAMES=b"\2\0\0" + varint(2**64 - 8) + b"\1\0\0\x18\0"),
            minimal(tasklet(reader.RECEIVING)),
            minimal(tasklet(), **queue),
            minimal(tasklet(reader.RECEIVING), CHANNELS=b"\1" + GLOBAL + b"\0"),
            minimal(tasklet(reader.RECEIVING), CHANNELS=b"\1" + GLOBAL + b"\1\1"),
            minimal(tasklet(reader.RECEIVING), CHANNELS=b"\1" + GLOBAL + b"\2\0\0"),
            minimal(tasklet(reader.RECEIVING), CHANNELS=b"\1\3\0\1\0"),
            minimal(tasklet(reader.RECEIVING), CHANNELS=b"\1\0" + varint(FIRST_SLOT + 0xFFF4) + b"\1\0"),
            minimal(tasklet(reader.RECEIVING), CHANNELS=b"\1\0" + varint(FIRST_SLOT) + b"\1\0"),
            minimal(tasklet(reader.RECEIVING, **sliced),
                    CHANNELS=b"\1\0" + varint(FIRST_SLOT + 0xFFF8) + b"\1\0"),
            minimal(tasklet(reader.RECEIVING), tasklet(reader.RECEIVING, home=1, slot=0x1_0000),
                    CHANNELS=b"\2" + GLOBAL + b"\1\0" + GLOBAL + b"\1\1"),
            minimal(tasklet(reader.RECEIVING), tasklet(reader.SENDING, home=1, slot=0x1_0000, value=value),
                    CHANNELS=b"\1" + GLOBAL + b"\2\0\1"),
            minimal(tasklet(), WORDS=b"\1\2\4\0"),
            minimal(tasklet(), WORDS=b"\0\1\0\4"),
            minimal(tasklet(), WORDS=b"\1\0\7\0"),
            minimal(tasklet(), WORDS=b"\1\0\4\0", STACKS=b"\1" + bytes(15)),
            minimal(tasklet(), END=b"\0"),
        ]
        self.assertEqual(self.compare_verdicts(broken), 0)

    def test_spans_broken_once(self):
        def spans(begin=0x1200_0100_0000, size=0x1_0000, cell_size=32, skipped=(0,), more=b""):
            fields = varint(begin) + varint(size) + varint(cell_size) + varint(len(skipped))
            fields += b"".join(map(varint, skipped))
            return minimal(tasklet(), SPANS=bytes([1 + bool(more)]) + fields + more,
                           HEAP=bytes(len(skipped) * cell_size))

        another = b"\0" + varint(0x1_0000) + b"\x10\0"
        intact = [spans(), spans(skipped=(2047,)), spans(skipped=()), spans(cell_size=0x1_0000), spans(more=another)]
        self.assertEqual(self.compare_verdicts(intact), len(intact))
        broken = [spans(size=0), spans(size=0x8000), spans(size=2**64 - 2**16), spans(begin=0x1200_0100_0008),
                  spans(begin=0x1000_0000_0000), spans(begin=reader.REGION.stop), spans(begin=FIRST_SLOT),
                  spans(begin=FIRST_RECORD), spans(cell_size=0, skipped=()), spans(cell_size=8), spans(cell_size=24),
                  spans(cell_size=0x2_0000, skipped=()), spans(skipped=(2048,)), spans(skipped=(2047, 0)),
                  spans(skipped=(1, 2**64 - 2)), spans(more=varint(2**64 - 2**16) + another[1:]),
                  spans(more=b"\0\0\x10\0")]
        self.assertEqual(self.compare_verdicts(broken), 0)

    def test_bytes_that_no_section_covers(self):
        """Padding: only its own rule and the digest of the file see it."""
        files = []
        for sample in self.samples():
            at = 40
            while at != len(sample):
                [length] = struct.unpack_from("<Q", sample, at + 24)
                end, at = at + 32 + length, (at + 32 + length + 7) // 8 * 8
                for i in range(end, at):
                    files += [flipped(sample, i, 0), with_header(1, 1, len(sample), flipped(sample, i, 0)[40:])]
        self.assertGreater(len(files), 10)
        self.assertEqual(self.compare_verdicts(files), 0)

    def test_frame_of_the_file(self):
        files = []
        for sample in self.samples():
            sections = taken_apart(sample)
            files += [assembled(header, sections) for header in ((0, 0), (1, 0), (1, 2), (2, 1), (2, 2), (9, 2))]
            files += [assembled((1, 1), sections[:i] + sections[i + 1:]) for i in range(len(sections))]
            files += [assembled((1, 1), sections[:i] + [sections[i]] + sections[i:]) for i in range(len(sections))]
            files += [assembled((1, 1), sections[:-1] + [(type_, flags, b"new")] + sections[-1:])
                      for type_ in (0, 5, 10, 0xffff_fffe) for flags in range(4)]
            for i, (type_, flags, payload) in enumerate(sections):
                files.append(assembled((1, 1), [*sections[:i], (type_, 0, payload), *sections[i + 1:]]))
                files.append(assembled((1, 1), [*sections[:i], (type_, 3, payload), *sections[i + 1:]]))
            files.append(assembled((1, 1), [*sections, (0xffff_ffff, 1, b"")]))
            body = sample[40:]
            files += [with_header(1, 1, len(sample) + more, body) for more in (-8, -1, 1, 8, 1 << 63)]
            files += [with_header(1, 1, len(sample) + more, body + bytes(more)) for more in (1, 8, 32)]
            files += [with_header(1, 1, len(sample) - less, body[:-less]) for less in (1, 8, 32)]
            # A section that claims more than there is, with the digest of what there is.
            content = struct.pack("<IIQ", 0xffff_ffff, 1, 8)
            files.append(with_header(1, 1, len(sample), body[:-32] + reader.digest(content) + content))
        self.assertGreater(self.compare_verdicts(files), 2)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
