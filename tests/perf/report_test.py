"""The report of a run: what it computes, by hand; what it writes; and what it says of files that are not runs."""

import argparse
import html.parser
import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree


def entry(name, time, ops=1, **more):
    return {"name": name, "run_type": "iteration", "cpu_time": time, "real_time": 10 * time, "time_unit": "ns", "ops": ops, **more}


def run(**times):
    """A run of rows group/<name>/stackless."""
    return document([entry(f"group/{name}/stackless", time) for name, values in times.items() for time in values])


def document(entries, **context):
    return {"context": context, "benchmarks": entries}


def row_of(entries):
    (row,) = report.run_of(document(entries)).rows
    return row


class ReadingTest(unittest.TestCase):
    def test_times_are_of_one_operation_in_nanoseconds(self):
        row = row_of([entry("a/b/c", 30, ops=10), entry("a/b/c", 2, ops=500, time_unit="us")])
        self.assertEqual((row.name, row.times, row.sizes), (("a", "b", "c"), [3, 4], []))

    def test_how_it_was_measured_is_no_part_of_the_name(self):
        self.assertEqual(row_of([entry("a/b/c/iterations:1/real_time", 1)]).name, ("a", "b", "c"))

    def test_time_is_the_cpus_unless_the_name_says_other(self):
        for suffix, time in [("", 1), ("/iterations:1", 1), ("/real_time", 10), ("/iterations:1/manual_time", 10)]:
            self.assertEqual(row_of([entry("a/b/c" + suffix, 1)]).times, [time])

    def test_sizes_are_kept(self):
        self.assertEqual(row_of([entry("a/b/c", 1, bytes=n) for n in (320, 0)]).sizes, [320, 0])

    def test_aggregates_are_left_out(self):
        row = row_of([entry("a/b/c", 1), {**entry("a/b/c", 99), "run_type": "aggregate"}])
        self.assertEqual(row.times, [1])

    def test_layouts_become_one_row_of_their_medians(self):
        times = {1: [4, 1, 2], 2: [9, 7, 8]}
        row = row_of([entry(f"a/b, layout {n}/c", time) for n, each in times.items() for time in each])
        self.assertEqual((row.name, row.times, row.layouts), (("a", "b", "c"), [2, 8], 2))

    def test_groups_and_works_stay_together_in_the_order_in_which_they_begin(self):
        names = ["b/y/1", "a/x/1", "b/z/1", "b/y/2"]
        rows = report.run_of(document([entry(name, 1) for name in names])).rows
        self.assertEqual(["/".join(row.name) for row in rows], ["b/y/1", "b/y/2", "b/z/1", "a/x/1"])

    def test_wrong_rows(self):
        good = entry("a/b/c", 1)
        for bad, complaint in [
            (7, "a benchmark has no name"),
            ({"run_type": "iteration"}, "a benchmark has no name"),
            ({**good, "name": "a/b"}, "a/b: not named group/work/who"),
            ({**good, "name": "a//c"}, "a//c: not named group/work/who"),
            ({**good, "error_occurred": True, "error_message": "wrong result"}, "a/b/c: wrong result"),
            ({**good, "time_unit": "days"}, "a/b/c: time_unit is not ns, us, ms or s"),
            ({**good, "cpu_time": 0}, "a/b/c: cpu_time is not positive"),
            ({**good, "cpu_time": float("nan")}, "a/b/c: cpu_time is not a number"),
            ({**good, "ops": "many"}, "a/b/c: ops is not a number"),
            ({**good, "bytes": None}, "a/b/c: bytes is not a number"),
        ]:
            with self.subTest(complaint):
                with self.assertRaises(report.BadInput) as refused:
                    report.run_of(document([good, bad]))
                self.assertEqual(str(refused.exception), complaint)

    def test_other_json(self):
        for content in ([], {"benchmarks": 1}, 7):
            with self.assertRaisesRegex(report.BadInput, "no list of benchmarks"):
                report.run_of(content)


class ChanceTest(unittest.TestCase):
    def test_five_below_five(self):
        # All 25 pairs won, 12.5 expected, standard deviation sqrt(25 / 12 * 11) = 4.787: 12 / 4.787 = 2.507 of them.
        self.assertAlmostEqual(report.chance([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]), 0.01219, places=5)

    def test_direction_does_not_matter(self):
        self.assertEqual(report.chance([1, 2, 3], [4, 5, 6]), report.chance([4, 5, 6], [1, 2, 3]))

    def test_ties_count_half(self):
        # 1.5 + 2.5 + 3.5 + 4.5 + 5 = 17 pairs won; four ties of two: 4 * (8 - 2) / 90 = 0.267;
        # sqrt(25 / 12 * (11 - 0.267)) = 4.729: 4 / 4.729 = 0.846 of them.
        self.assertAlmostEqual(report.chance([1, 2, 3, 4, 5], [2, 3, 4, 5, 6]), 0.3976, places=4)

    def test_all_equal(self):
        self.assertEqual(report.chance([7] * 5, [7] * 9), 1)


class VerdictTest(unittest.TestCase):
    def verdict(self, old, new, unit="ns"):
        v = report.verdict(row_of([entry("a/b/c", 1)]), unit, old, new)
        return v.word, round(v.ratio, 3)

    def test_slower(self):
        self.assertEqual(self.verdict([100, 101, 102, 103, 104], [106, 107, 108, 109, 110]), ("slower", 1.059))

    def test_faster(self):
        self.assertEqual(self.verdict([106, 107, 108, 109, 110], [100, 101, 102, 103, 104]), ("faster", 0.944))

    def test_sure_but_too_little(self):
        self.assertEqual(self.verdict([100, 101, 102, 103, 104], [105, 106, 107, 108, 109]), ("same", 1.049))

    def test_much_but_within_the_noise(self):
        self.assertEqual(self.verdict([1, 2, 3, 4, 5], [2, 3, 4, 5, 6]), ("same", 1.333))

    def test_too_few_to_tell(self):
        self.assertEqual(self.verdict([1, 1, 1, 1], [9, 9, 9, 9, 9]), ("?", 9))

    def test_memory(self):
        self.assertEqual(self.verdict([400] * 5, [320] * 5, "B"), ("smaller", 0.8))
        self.assertEqual(self.verdict([320] * 5, [400] * 5, "B"), ("larger", 1.25))
        self.assertEqual(self.verdict([0] * 5, [400] * 5, "B"), ("larger", float("inf")))
        self.assertEqual(self.verdict([0] * 5, [0] * 5, "B"), ("same", 1))

    def test_rows_of_one_run_only(self):
        old, new = report.run_of(run(both=[1] * 5, gone=[1])), report.run_of(run(both=[1] * 5, added=[1]))
        c = report.compare(old, new)
        self.assertEqual([[row.work for row in rows] for rows in (c.added, c.gone)], [["added"], ["gone"]])
        self.assertEqual([v.word for v in c.verdicts], ["same"])

    def test_what_moves_the_others_is_the_machine(self):
        # The others took 2, 2 and 8 times as long, so the machine took twice.
        def rows(**times):
            names = {"ours": "g/w/stackless, sliced", "cpu": "limits/w/CPU", "one": "g/w/one", "two": "g/w/two"}
            return report.run_of(document([entry(names[key], time) for key, time in times.items()] * 5))

        c = report.compare(rows(ours=10, cpu=1, one=1, two=1), rows(ours=30, cpu=2, one=2, two=8))
        self.assertEqual(c.machine, 2)
        self.assertEqual({"/".join(v.row.name): (v.old, v.new, v.word) for v in c.verdicts}, {
            "g/w/stackless, sliced": (20, 30, "slower"), "limits/w/CPU": (2, 2, "same"),
            "g/w/one": (2, 2, "same"), "g/w/two": (2, 8, "slower")})

    def test_two_others_are_too_few_to_know_the_machine(self):
        old, new = (document([entry("g/w/stackless", 1), entry("g/w/a", n), entry("g/w/b", n)] * 5) for n in (1, 2))
        self.assertEqual(report.compare(report.run_of(old), report.run_of(new)).machine, 1)


class WritingTest(unittest.TestCase):
    def test_quantities(self):
        for value, unit, text in [(0.5, "ns", "0.500 ns"), (1.078, "ns", "1.08 ns"), (45.2, "ns", "45.2 ns"),
                                  (999.9, "ns", "1,000 ns"), (1500, "ns", "1.50 µs"), (2.5e7, "ns", "25.0 ms"),
                                  (6e9, "ns", "6.00 s"), (4441.4, "B", "4,441 B")]:
            self.assertEqual(report.quantity(value, unit), text)

    def test_figures(self):
        entries = [entry("switch/ping-pong/fcontext", 10, ops=2), entry("limits/call and return/CPU", 1),
                   entry("yield/x, layout 1/stackless", 2), entry("yield/x, layout 2/stackless", 4),
                   entry("memory/y/stackless", 3000, bytes=320)]
        self.assertEqual(report.figures(report.run_of(document(entries, compiler="gcc", host_name="secret"))), """\
compiler: gcc.
F is 5.00 ns, call+ret 1.00 ns.

| switch    | fcontext |
| --------- | -------- |
| ping-pong | 1.00 F   |

| limits          | CPU     |
| --------------- | ------- |
| call and return | 1.00 ns |

| yield | stackless          |
| ----- | ------------------ |
| x     | 0.400 F to 0.800 F |

| memory | stackless      |
| ------ | -------------- |
| y      | 3.00 µs, 320 B |
""")

    def test_comparison(self):
        old, new = report.run_of(run(a=[10] * 5, b=[1] * 5, c=[1])), report.run_of(run(a=[20] * 5, b=[1] * 5, d=[2]))
        self.assertEqual(report.comparison(report.compare(old, new)), """\
| row               | old     | new     | new / old | verdict |
| ----------------- | ------- | ------- | --------- | ------- |
| group/a/stackless | 10.0 ns | 20.0 ns | 2.00      | slower  |
| group/b/stackless | 1.00 ns | 1.00 ns | 1.00      | same    |
| group/d/stackless |         | 2.00 ns |           | new     |
| group/c/stackless | 1.00 ns |         |           | gone    |

1 slower, 1 same; the machine took 1.00 times as long, which the ratios are without
""")


class ProgramTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)

    def file(self, name, content):
        text = content if isinstance(content, str) else json.dumps(content)
        (self.folder / name).write_text(text)
        return name

    def report(self, *arguments):
        return subprocess.run([sys.executable, program, *arguments], cwd=self.folder, capture_output=True, text=True,
                              timeout=60)

    def refuses(self, complaint, *arguments):
        done = self.report(*arguments)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (2, "", f"report.py: error: {complaint}\n"))

    def test_page_is_whole_and_needs_nothing_else(self):
        new = self.file("new.json", document([entry("a/<b>/stackless", n, bytes=9) for n in range(1, 6)], cpu="1 & 2"))
        old = self.file("old.json", document([entry("a/<b>/stackless", n + 9, bytes=9) for n in range(1, 6)]))
        done = self.report(new, "--against", old, "-o", "page.html")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        text = (self.folder / "page.html").read_text()
        checker = TagsMatch()
        checker.feed(text)
        self.assertEqual(checker.open, [])
        self.assertNotRegex(text, r"https?://|src=|href=")
        self.assertIn("1 &amp; 2", text)
        self.assertIn('<td class="faster">faster</td>', text)
        plot = xml.etree.ElementTree.fromstring(text[text.index("<svg"):text.index("</svg>") + 6])
        self.assertEqual(plot.find("text[@text-anchor='end']").text, "<b>, stackless")

    def test_markdown_goes_to_stdout(self):
        done = self.report(self.file("run.json", run(a=[1])), "--markdown")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("| a     | 1.00 ns   |", done.stdout)

    def test_missing_file(self):
        self.refuses("none.json: No such file or directory", "none.json")

    def test_output_that_cannot_be_written(self):
        self.refuses("none/page.html: No such file or directory", self.file("a.json", run(a=[1])), "-o", "none/page.html")

    def test_not_json(self):
        self.refuses("a.json: not JSON: Expecting value: line 1 column 1 (char 0)", self.file("a.json", "nonsense"))

    def test_no_repetition(self):
        self.refuses("a.json: no repetition of any row", self.file("a.json", document([])))

    def test_wrong_row(self):
        self.refuses("a.json: a/b: not named group/work/who", self.file("a.json", document([entry("a/b", 1)])))

    def test_too_little_to_compare(self):
        self.refuses("cannot be compared: no row of both runs has 5 repetitions in each",
                     self.file("a.json", run(a=[1])), "--against", self.file("b.json", run(a=[1])))

    def test_usage(self):
        done = self.report()
        self.assertEqual(done.returncode, 2)
        self.assertIn("usage: report.py", done.stderr)


class TagsMatch(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attributes):
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            raise AssertionError(f"</{tag}> ends nothing")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--report", type=pathlib.Path, required=True)
    options, rest = parser.parse_known_args()
    program = options.report.resolve()
    sys.dont_write_bytecode = True  # it lies among the sources
    specification = importlib.util.spec_from_file_location("report", program)
    report = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(report)
    unittest.main(argv=[sys.argv[0], *rest])
