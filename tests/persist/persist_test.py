"""Programs that write a tasklet in one process and finish it in others."""

import argparse
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import unittest

FRESH_PROCESSES = 200 if os.environ.get("STACKLESS_LONG") else 20


def indented(word, level):
    return f"{word} level {' ' * (2 * level)}{level}\n"


def name(level):
    return f"level {level}, with a name too long for the small buffer"


class PersistTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def output_of(self, program, *args):
        done = subprocess.run([*emulator, programs / program, *args], cwd=self.folder, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def finishes_in_fresh_processes(self, program, snapshot, before, after):
        self.assertEqual(self.output_of(program), before + after)
        written = pathlib.Path(self.folder, snapshot).read_bytes()
        for _ in range(FRESH_PROCESSES):
            self.assertEqual(self.output_of(program, snapshot), after)
        self.assertEqual(pathlib.Path(self.folder, snapshot).read_bytes(), written)

    def test_the_talks_recursion(self):
        self.finishes_in_fresh_processes(
            "persistence_demo",
            "tasklet.pickle",
            "".join(indented("enter", level) for level in range(1, 10)) + "hi\n",
            "".join(indented("leave", level) for level in range(9, 0, -1)),
        )

    def test_frames_with_containers_and_a_catch_block(self):
        weight = lambda level, n: 100 * n + level * (level - 1) // 2
        collected, up = 0, ""
        for level in range(4, 0, -1):
            collected += level * level + weight(level, level)
            up += f"up: {name(level)}, below, {collected}\n"
        self.finishes_in_fresh_processes(
            "rich_frames",
            "rich_frames.snap",
            "".join(f"down: {name(level)}\n" for level in range(1, 10)) + "at level 9\n",
            f"rescued: nothing at {name(9)}\n" + up,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--emulator", default="")
    parser.add_argument("--programs", type=pathlib.Path, required=True)
    options, rest = parser.parse_known_args()
    emulator, programs = shlex.split(options.emulator), options.programs.resolve()
    unittest.main(argv=[sys.argv[0], *rest])
