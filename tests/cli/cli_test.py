"""The command as its users see it: output, messages and exit status."""

import argparse
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import unittest

parser = argparse.ArgumentParser()
parser.add_argument("--emulator", default="", help="what runs programs of the CPU that they are built for")
parser.add_argument("--stackless", required=True, help="the command")
parser.add_argument("--programs", required=True, help="folder of the programs of tools/programs")
parser.add_argument("--helpers", required=True, help="folder of the programs of this test")
options = parser.parse_args()

PROGRAM_CANNOT_START = 125
USAGE, DAMAGED, WRONG_PROGRAM, TOO_NEW = 2, 3, 4, 5


def program(name):
    return os.path.join(options.programs, name)


def helper(name):
    return os.path.join(options.helpers, name)


def changed(data, offset, xor=0x40):
    return data[:offset] + bytes([data[offset] ^ xor]) + data[offset + 1:]


class CommandTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def command(self, *arguments, env=None, **how):
        """Runs the command in the test's folder; stdout and stderr are captured unless said otherwise."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("STACKLESS_")}
        emulator = [options.emulator] if options.emulator else []
        if emulator:
            environment["STACKLESS_EMULATOR"] = options.emulator
        how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
        return subprocess.run([*emulator, options.stackless, *arguments], text=True, timeout=60,
                              cwd=self.folder, env={**environment, **(env or {})}, **how)

    def expect(self, arguments, status=0, stdout="", stderr="", **how):
        """Exact, but for patterns that were compiled."""
        done = self.command(*arguments, **how)
        for name, expected, actual in (("stderr", stderr, done.stderr), ("stdout", stdout, done.stdout)):
            if isinstance(expected, re.Pattern):
                self.assertTrue(expected.fullmatch(actual), f"{arguments}: {name} does not match:\n{actual}")
            else:
                self.assertEqual(actual, expected, f"{arguments}: {name}")
        self.assertEqual(done.returncode, status, f"{arguments}: status")
        return done

    def path(self, name):
        return os.path.join(self.folder, name)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def write(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data)

    def save_counting(self, name="c.snap"):
        self.expect(["run", program("counting"), "4", name], stdout="1\n1 2\n1 2 3\n1 2 3 4\n")
        return self.read(name)


class Help(CommandTest):
    def test_version(self):
        self.expect(["--version"], stdout=re.compile(r"stackless \d+\.\d+\.\d+\n"))

    def test_help_equals_option(self):
        overview = self.expect(["help"], stdout=re.compile(r"usage: stackless COMMAND .*", re.S)).stdout
        self.expect(["--help"], stdout=overview)
        self.expect(["-h"], stdout=overview)
        for command in ("run", "resume", "inspect", "help"):
            usage = re.compile(rf"usage: stackless {command} .*", re.S)
            text = self.expect(["help", command], stdout=usage).stdout
            self.expect([command, "--help"], stdout=text)
            self.assertIn(f"\n  {command} ", overview)

    def test_every_help_has_example_and_statuses(self):
        for command in ([], ["run"], ["resume"], ["inspect"], ["help"]):
            text = self.command("help", *command).stdout
            self.assertIn("\nExample:\n  stackless ", text)
            self.assertIn("\nExit status: ", text)
            self.assertLessEqual(max(map(len, text.splitlines())), 84)
            if command in ([], ["run"], ["resume"]):
                self.assertIn("\nEnvironment:\n  STACKLESS_EMULATOR ", text)

    def test_usage_errors(self):
        for arguments, named, see in (
            ([], "COMMAND", "help"),
            (["frobnicate"], "frobnicate", "help"),
            (["--frobnicate"], "frobnicate", "help"),
            (["help", "frobnicate"], "frobnicate", "help help"),
            (["run"], "PROGRAM", "help run"),
            (["run", "--frobnicate", "program"], "--frobnicate", "help run"),
            (["resume"], "FILE", "help resume"),
            (["resume", "a", "b"], "b", "help resume"),
            (["resume", "a", "--frobnicate"], "--frobnicate", "help resume"),
            (["resume", "a", "--program"], "--program", "help resume"),
            (["inspect"], "FILE", "help inspect"),
            (["inspect", "--json"], "FILE", "help inspect"),
            (["inspect", "a", "--json=b"], "--json", "help inspect"),
            (["inspect", "a", "--program", "b"], "--program", "help inspect"),
        ):
            message = rf"stackless: error: .*{named}.* \(see `stackless {see}`\)\n"
            self.expect(arguments, status=USAGE, stderr=re.compile(message))


class Output(CommandTest):
    def test_full_device(self):
        self.save_counting()
        for arguments in (["help"], ["--version"], ["inspect", "c.snap"], ["inspect", "--json", "c.snap"]):
            with open("/dev/full", "w") as full:
                done = self.command(*arguments, stdout=full)
            self.assertEqual(done.stderr, "stackless: error: cannot write to the standard output: "
                                          "No space left on device\n")
            self.assertEqual(done.returncode, 1)

    def test_reader_is_gone(self):
        reading, writing = os.pipe()
        os.close(reading)
        with open(writing, "w") as pipe:
            done = self.command("help", stdout=pipe)
            self.assertEqual((done.returncode, done.stderr), (-signal.SIGPIPE, ""))
            done = self.command("help", stdout=pipe, restore_signals=False)
            self.assertEqual(done.stderr, "stackless: error: cannot write to the standard output: "
                                          "Broken pipe\n")
            self.assertEqual(done.returncode, 1)


class Run(CommandTest):
    def test_status_passes_through(self):
        for status in (0, 7, 125):
            self.expect(["run", helper("ending"), "status", str(status)], status=status)

    def test_killed_by_signal(self):
        for number in (signal.SIGTERM, signal.SIGKILL):
            self.expect(["run", helper("ending"), "signal", str(int(number))], status=-number)

    def test_arguments_are_the_programs(self):
        arguments = ["--help", "-x", "--", "inspect", "--program=a", "", "a b"]
        self.expect(["run", helper("ending"), *arguments], stdout="".join(f"<{a}>\n" for a in arguments))

    def test_found_in_path(self):
        # The emulator itself has to be found too.
        path = {"PATH": options.helpers + ":" + os.environ["PATH"]}
        self.expect(["run", "ending", "a"], stdout="<a>\n", env=path)

    def test_program_named_like_a_command(self):
        shutil.copy(helper("ending"), self.path("inspect"))
        path = {"PATH": self.folder + ":" + os.environ["PATH"]}
        self.expect(["run", "inspect", "run"], stdout="<run>\n", env=path)

    def test_missing_program(self):
        for name in ("there-is-none", "./there-is-none"):
            self.expect(["run", name], status=PROGRAM_CANNOT_START,
                        stderr=f"stackless: error: {name}: cannot start: No such file or directory\n")

    def test_not_executable(self):
        self.write("plain", b"text")
        self.expect(["run", "./plain"], status=PROGRAM_CANNOT_START,
                    stderr="stackless: error: ./plain: cannot start: Permission denied\n")

    def test_demo(self):
        self.expect(["run", program("channel_demo")], stdout="Receiving tasklet started\n"
                    "Sending tasklet started\nsend from sending_tasklet\nReceiving tasklet finished\n"
                    "Just another tasklet in the scheduler\nsending tasklet finished\n")


class Resume(CommandTest):
    def test_again_and_again(self):
        self.save_counting()
        for _ in range(2):
            self.expect(["resume", "c.snap"], stdout="1 2 3\n1 2 3 4\n")

    def test_sliced(self):
        self.expect(["run", helper("sliced_counting"), "4", "s.snap"], stdout="1\n1 2\n1 2 3\n1 2 3 4\n")
        self.assertRegex(self.command("inspect", "s.snap").stdout, r"(?m)^  0  root       paused       sliced  0x")
        for _ in range(2):
            self.expect(["resume", "s.snap"], stdout="1 2 3\n1 2 3 4\n")

    def test_entry_is_part_of_the_snapshot(self):
        arguments = ["e.snap", "7", "a longer argument, for the heap"]
        printed = "".join(f"<{a}>\n" for a in arguments)
        self.expect(["run", helper("saving_entry"), *arguments], status=7, stdout=printed)
        self.expect(["resume", "e.snap"], status=7, stdout=printed)

    def test_program_has_moved(self):
        moved = self.path("moved")
        shutil.copy(program("counting"), moved)
        self.expect(["run", moved, "2", "c.snap"], stdout="1\n1 2\n")
        os.rename(moved, moved + "-again")
        self.expect(["resume", "c.snap"], status=WRONG_PROGRAM,
                    stderr=f"stackless: error: c.snap: {moved} cannot be opened: No such file or directory\n")
        self.expect(["resume", "c.snap", "--program", "moved-again"], stdout="1 2\n")
        self.expect(["resume", "--program=moved-again", "c.snap"], stdout="1 2\n")

    def test_another_build(self):
        self.save_counting()
        other = helper("counting")
        self.expect(["resume", "c.snap", "--program", other], status=WRONG_PROGRAM, stderr=re.compile(
            rf"stackless: error: c\.snap: {re.escape(other)} is another build of the program "
            r"\(expected build-id [0-9a-f]{16,}, found 0123456789abcdef\)\n"))

    def test_program_without_start(self):
        demo = program("persistence_demo")
        self.assertEqual(self.command("run", demo).returncode, 0)
        self.expect(["resume", "tasklet.pickle"], status=WRONG_PROGRAM,
                    stderr=f"stackless: error: tasklet.pickle: {demo} does not call stackless::start, "
                           "so only itself can load its snapshots\n")

    def test_hostile_program_paths(self):
        self.save_counting()
        self.write("text", b"#!/bin/sh\ntouch executed\n")
        os.chmod(self.path("text"), stat.S_IRWXU)
        os.mkfifo(self.path("pipe"))
        os.mkdir(self.path("folder"))
        for path, reason in (("text", "is not a 64-bit ELF file"), ("pipe", "is not a regular file"),
                             ("folder", "is not a regular file"), ("/dev/null", "is not a regular file"),
                             ("none", "cannot be opened: No such file or directory")):
            self.expect(["resume", "c.snap", "--program", path], status=WRONG_PROGRAM,
                        stderr=f"stackless: error: c.snap: {path} {reason}\n")
        self.assertFalse(os.path.exists(self.path("executed")))

    def test_program_of_another_cpu(self):
        self.save_counting()
        with open(program("counting"), "rb") as file:
            image = file.read()
        machine = image[18:20]
        self.write("other", image[:18] + (b"\x3e\0" if machine != b"\x3e\0" else b"\xb7\0") + image[20:])
        self.expect(["resume", "c.snap", "--program", "other"], status=WRONG_PROGRAM, stderr=re.compile(
            r"stackless: error: c\.snap: other is not a program for (x86-64|AArch64)\n"))

    def test_home_is_taken(self):
        arena = {"STACKLESS_ARENA": "120040000000"}
        self.expect(["run", helper("saving_entry"), "e.snap", "0"], stdout="<e.snap>\n<0>\n", env=arena)
        self.expect(["resume", "e.snap"], stdout="<e.snap>\n<0>\n", env=arena)
        self.expect(["resume", "e.snap"], status=1, env={**arena, "OCCUPY": "1"},
                    stderr=re.compile(r"stackless: error: e\.snap: home is taken: .*\n"))


class BadFiles(CommandTest):
    def both(self, file, status, stderr):
        for command in (["inspect"], ["inspect", "--json"], ["resume"]):
            self.expect([*command, file], status=status, stderr=stderr)

    def test_missing(self):
        self.both("none.snap", 1, "stackless: error: none.snap: cannot open: No such file or directory\n")

    def test_folder(self):
        self.both(self.folder, 1, f"stackless: error: {self.folder}: cannot read: Is a directory\n")

    def test_not_a_snapshot(self):
        self.write("text", b"not a snapshot at all, and long enough to hold a header\n")
        self.both("text", DAMAGED, "stackless: error: text: not a snapshot\n")

    def test_sealed(self):
        self.write("sealed", b"\x8bSEA\r\n\x1a\n and a header and more")
        self.both("sealed", 1, "stackless: error: sealed: sealed: give the key to read it\n")

    def test_too_new(self):
        data = bytearray(self.save_counting())
        data[24] = data[28] = 99
        self.write("new.snap", data)
        self.both("new.snap", TOO_NEW, "stackless: error: new.snap: written in format 99 for readers of "
                                       "format 99 and newer; this one reads format 1\n")

    def test_truncated(self):
        data = self.save_counting()
        self.write("empty", b"")
        self.both("empty", DAMAGED, "stackless: error: empty: not a snapshot\n")
        for length in (1, 8, 39, 40, len(data) // 2, len(data) - 1):
            self.write("short", data[:length])
            missing = f"{len(data) - length}" if length >= 40 else f"at least {40 - length}"
            self.both("short", DAMAGED, f"stackless: error: short: truncated: {missing} bytes are missing\n")

    def test_longer(self):
        self.write("long", self.save_counting() + b"\0")
        self.both("long", DAMAGED, "stackless: error: long: 1 bytes follow the end of the snapshot\n")

    def test_one_byte_changed(self):
        data = self.save_counting()
        for offset in range(0, len(data), 29):
            self.write("damaged", changed(data, offset))
            self.expect(["resume", "damaged"], status=DAMAGED,
                        stderr=re.compile(r"stackless: error: damaged: .*\n"))


class Inspect(CommandTest):
    def test_counting(self):
        size = len(self.save_counting())
        self.expect(["inspect", "c.snap"], stdout=re.compile(
            rf"""file     c\.snap
format   1, for readers of 1 and newer
library  \d+\.\d+\.\d+
machine  (x86-64|AArch64)
size     {size} bytes

modules
  0  [0-9a-f]{{32,}}  {re.escape(program("counting"))}
(  \d  [0-9a-f]{{32,}}  /.*
)*
tasklets
     is         state        stack   home            slot             slot bytes  stack bytes  handles
  0  root       paused       own     0x[0-9a-f]{{12}}  0x[0-9a-f]{{12}}  +\d+  +\d+        0
     #0 +0x[0-9a-f]+ +count\(int\)\+0x[0-9a-f]+ \(counting\)
(     #\d+ +0x[0-9a-f]+ +.*\+0x[0-9a-f]+ \(counting\)
)*     #\d+ +0x[0-9a-f]+ +stackless_trampoline\+0x[0-9a-f]+ \(counting\)

heap
  cell bytes  blocks       bytes
( +\d+ +\d+ +\d+
)*         all +\d+ +\d+

pointers left behind
 +\d+  to memory that no snapshot carries
 +\d+  to tasklets that are not in this one
"""))

    def test_channel(self):
        self.assertEqual(self.command("run", helper("waiting"), "w.snap").returncode, 0)
        text = self.command("inspect", "w.snap").stdout
        self.assertRegex(text, r"(?m)^  0  root       receiving    own     0x")
        self.assertRegex(text, r"\nchannels\n  0  numbers \(waiting\)  receiving: 0\n\n")

    def test_without_the_program(self):
        moved = self.path("moved")
        shutil.copy(program("counting"), moved)
        self.command("run", moved, "2", "c.snap")
        named = self.command("inspect", "c.snap").stdout
        os.remove(moved)
        note = f"stackless: note: no names for addresses: {moved}"
        done = self.command("inspect", "c.snap")
        self.assertEqual(done.stderr, f"{note} cannot be opened: No such file or directory\n")
        self.assertEqual(done.returncode, 0)
        nameless = re.sub(r"(?m)^(     #\d+ +)(0x[0-9a-f]+)( +).*$", r"\1\2\3moved+\2", named)
        self.assertEqual(done.stdout, nameless)
        shutil.copy(helper("counting"), moved)
        done = self.command("inspect", "c.snap")
        self.assertEqual((done.returncode, done.stderr), (0, f"{note} is another build\n"))

    def test_hostile_names(self):
        name = "a\nb\x1b[31m"
        self.write(name, self.save_counting())
        text = self.expect(["inspect", name], stdout=re.compile(r"file     a\?b\?\[31m\n.*", re.S)).stdout
        self.assertNotIn("\x1b", text)
        self.expect(["inspect", name + "c"], status=1,
                    stderr="stackless: error: a?b?[31mc: cannot open: No such file or directory\n")

    def test_nine_frames(self):
        self.assertEqual(self.command("run", program("persistence_demo")).returncode, 0)
        done = self.command("inspect", "tasklet.pickle")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        frames = re.findall(r"(?m)^     #(\d+) +0x[0-9a-f]+ +(.*) \(persistence_demo\)$", done.stdout)
        self.assertEqual([int(number) for number, _ in frames], list(range(len(frames))))
        names = [name for _, name in frames]
        self.assertEqual(sum(name.startswith("recurs(int, int)") for name in names), 9, done.stdout)
        self.assertRegex(names[-1], r"\Astackless_trampoline\+0x[0-9a-f]+\Z")


def as_text(document):
    """The text of `inspect` from what `inspect --json` prints."""
    d = document
    lines = [f"file     {d['file']}", f"format   {d['format']}, for readers of {d['min_reader']} and newer",
             f"library  {d['library']}", f"machine  {d['machine']}", f"size     {d['size']} bytes", "", "modules"]
    lines += [f"{i:3}  {m['build_id']:40}  {m['path']}" for i, m in enumerate(d["modules"])]
    lines += ["", "tasklets", f"     {'is':9}  {'state':11}  {'stack':6}  {'home':14}  {'slot':14}  "
                              f"{'slot bytes':>11}  {'stack bytes':>11}  handles"]
    for i, t in enumerate(d["tasklets"]):
        lines.append(f"{i:3}  {'root' if t['root'] else 'reachable':9}  {t['state']:11}  "
                     f"{'sliced' if t['sliced'] else 'own':6}  {t['home']:14}  {t['slot'] or '-':14}  "
                     f"{t['slot_bytes']:11}  {t['stack_bytes']:11}  {t['handles']:7}")
        digits = len(str(len(t["frames"])))
        widest = max((len(f["offset"]) for f in t["frames"]), default=0)
        lines += [f"     #{j:<{digits}}  {f['offset']:{widest}}  {f['name']}" for j, f in enumerate(t["frames"])]
    if d["channels"]:
        lines += ["", "channels"]
    for i, c in enumerate(d["channels"]):
        where = c["where"] if isinstance(c["where"], str) else c["where"]["name"]
        lines.append(f"{i:3}  {where}  {c['state']}: {' '.join(map(str, c['waiting']))}")
    lines += ["", "heap", "  cell bytes  blocks       bytes"]
    lines += [f"  {c['cell_bytes']:10}  {c['blocks']:6}  {c['bytes']:10}" for c in d["heap"]["cells"]]
    lines += [f"  {'all':>10}  {d['heap']['blocks']:6}  {d['heap']['bytes']:10}", "", "pointers left behind",
              f"  {d['left_behind']['foreign']:6}  to memory that no snapshot carries",
              f"  {d['left_behind']['strangers']:6}  to tasklets that are not in this one", ""]
    return "\n".join(lines)


class Json(CommandTest):
    def document(self, file):
        done = self.command("inspect", "--json", file)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        document = json.loads(done.stdout)
        self.assertEqual(done.stdout, json.dumps(document, indent=2) + "\n")
        return document

    def test_says_what_the_text_says(self):
        for arguments, file in (([program("counting"), "4", "c.snap"], "c.snap"),
                                ([helper("sliced_counting"), "4", "s.snap"], "s.snap"),
                                ([helper("waiting"), "w.snap"], "w.snap"),
                                ([program("persistence_demo")], "tasklet.pickle")):
            self.assertEqual(self.command("run", *arguments).returncode, 0)
            self.assertEqual(as_text(self.document(file)), self.command("inspect", file).stdout)

    def test_keys_and_types(self):
        self.command("run", helper("waiting"), "w.snap")
        document = self.document("w.snap")
        self.assertEqual(list(document), ["file", "format", "min_reader", "library", "machine", "size", "modules",
                                          "tasklets", "channels", "heap", "left_behind"])
        [tasklet], [channel] = document["tasklets"], document["channels"]
        self.assertEqual(list(document["modules"][0]), ["build_id", "path"])  # a sanitizer's library can be another
        self.assertEqual(list(tasklet), ["root", "state", "sliced", "home", "slot", "slot_bytes", "stack_bytes",
                                         "handles", "frames"])
        self.assertEqual((tasklet["root"], tasklet["state"], tasklet["sliced"], tasklet["handles"]),
                         (True, "receiving", False, 0))
        self.assertEqual(list(tasklet["frames"][0]), ["module", "offset", "name"])
        self.assertRegex(tasklet["home"], r"\A0x[0-9a-f]{12}\Z")
        self.assertRegex(tasklet["slot"], r"\A0x[0-9a-f]{8}0000\Z")
        self.assertRegex(channel["where"].pop("offset"), r"\A0x[0-9a-f]+\Z")
        self.assertEqual(channel, {"where": {"module": 0, "name": "numbers (waiting)"}, "state": "receiving",
                                   "waiting": [0]})
        self.assertEqual(list(document["heap"]), ["cells", "blocks", "bytes"])
        self.assertEqual(list(document["left_behind"]), ["foreign", "strangers"])

    def test_help_names_every_key(self):
        self.command("run", helper("waiting"), "w.snap")
        text = self.command("help", "inspect").stdout

        def check(value):
            for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
                if isinstance(key, str):
                    self.assertRegex(text, rf"\b{key}\b")
                if isinstance(inner, (dict, list)):
                    check(inner)
        check(self.document("w.snap"))

    def test_hostile_names(self):
        name = os.fsdecode(b"a\n\x1b[31m\x7f\xc3\xa9\xff")
        self.write(name, self.save_counting())
        text = self.command("inspect", "--json", name).stdout
        self.assertTrue(text.isascii() and not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text), text)
        self.assertEqual(json.loads(text)["file"], "a\n\x1b[31m\x7f\xe9\ufffd")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
