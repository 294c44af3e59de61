#!/usr/bin/env python3
"""Shows what a run of stackless-perf has measured, or what has changed since another run.

    stackless-perf --benchmark_out=new.json
    report.py new.json -o new.html                        one page with tables and plots
    report.py new.json --against old.json -o new.html     the same, and a verdict for each row
    report.py new.json --markdown                         the figures of the README

Exit status: 0 done, 2 usage, or a file that is not what it must be."""

import argparse
import collections
import dataclasses
import html
import json
import math
import re
import statistics
import sys

CALL = ("limits", "call and return", "CPU")
F = ("switch", "ping-pong", "fcontext")

# Two runs differ in a row if chance would order their values so seldom, and if the medians are so far apart: where the
# linker has put the code, and what else the machine does, can move a median by some percent.
CHANCE = 0.02
MARGIN = 0.05
# With fewer values nothing is that seldom.
REPETITIONS = 5


class BadInput(Exception):
    """A file is not what it must be; the message says which, and why."""


@dataclasses.dataclass
class Row:
    group: str
    work: str
    who: str
    times: list  # of one operation in nanoseconds, in each repetition or layout
    sizes: list  # in bytes, where that is the point
    layouts: int = 1

    @property
    def name(self):
        return (self.group, self.work, self.who)

    @property
    def ours(self):
        return self.who.startswith("stackless")


@dataclasses.dataclass
class Run:
    context: dict
    rows: list

    def find(self, name):
        return next((row for row in self.rows if row.name == name), None)


# Reading


def load(path):
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise BadInput(f"{path}: not JSON: {error}") from None
    try:
        return run_of(document)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None


def run_of(document):
    if not isinstance(document, dict) or not isinstance(document.get("benchmarks"), list):
        raise BadInput("no output of stackless-perf: it has no list of benchmarks")
    context = document.get("context")
    rows = {}
    for entry in document["benchmarks"]:
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise BadInput("a benchmark has no name")
        # What was computed from repetitions we compute ourselves.
        if entry.get("run_type", "iteration") == "iteration":
            add_repetition(rows, entry)
    if not rows:
        raise BadInput("no repetition of any row")
    return Run(context if isinstance(context, dict) else {}, in_groups(merge_layouts(rows.values())))


def add_repetition(rows, entry):
    name = entry["name"]
    # Google Benchmark adds parts for how it measured.
    parts = tuple(name.split("/")[:3])
    if len(parts) < 3 or not all(parts):
        raise BadInput(f"{name}: not named group/work/who")
    if entry.get("error_occurred"):
        raise BadInput(f"{name}: {entry.get('error_message', 'failed')}")
    unit = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}.get(entry.get("time_unit"))
    if unit is None:
        raise BadInput(f"{name}: time_unit is not ns, us, ms or s")
    # The core may have had other work in between, and only the CPU's time is without it.
    clock = "real_time" if name.endswith(("/real_time", "/manual_time")) else "cpu_time"
    row = rows.setdefault(parts, Row(*parts, times=[], sizes=[]))
    row.times.append(unit * positive(entry, clock) / positive(entry, "ops"))
    if "bytes" in entry:
        row.sizes.append(number(entry, "bytes"))


def number(entry, key):
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BadInput(f"{entry['name']}: {key} is not a number")
    return value


def positive(entry, key):
    value = number(entry, key)
    if value <= 0:
        raise BadInput(f"{entry['name']}: {key} is not positive")
    return value


def merge_layouts(rows):
    """Rows that differ only in where the code lies are one, with the median of each layout for a value."""
    merged = {}
    for row in rows:
        work, is_layout = re.subn(r", layout \d+$", "", row.work)
        if not is_layout:
            merged[row.name] = row
            continue
        whole = merged.setdefault((row.group, work, row.who), Row(row.group, work, row.who, [], [], layouts=0))
        whole.layouts += 1
        whole.times.append(statistics.median(row.times))
    return list(merged.values())


def in_groups(rows):
    """In the order in which groups and works first appear."""
    groups, works = list(dict.fromkeys(row.group for row in rows)), list(dict.fromkeys(row.work for row in rows))
    return sorted(rows, key=lambda row: (groups.index(row.group), works.index(row.work)))


# Comparing


@dataclasses.dataclass
class Verdict:
    row: Row
    unit: str  # what is compared: "ns" or "B"
    old: float  # as it would be on the machine as it was in the new run
    new: float
    word: str

    @property
    def ratio(self):
        if self.new == self.old:
            return 1.0
        return self.new / self.old if self.old else math.inf


def chance(old, new):
    """How often values of one origin would be ordered as one-sidedly as these: the rank test of Mann and Whitney, in
    its normal approximation, with its corrections for ties and continuity."""
    together = collections.Counter(old) + collections.Counter(new)
    count = len(old) + len(new)
    wins = sum((a > b) + (a == b) / 2 for a in new for b in old)
    ties = sum(n**3 - n for n in together.values()) / (count * (count - 1))
    deviation = math.sqrt(len(old) * len(new) / 12 * (count + 1 - ties))
    distance = abs(wins - len(old) * len(new) / 2) - 0.5
    if deviation == 0 or distance <= 0:
        return 1.0
    return math.erfc(distance / deviation / math.sqrt(2))


def verdict(row, unit, old, new):
    lower, higher = ("faster", "slower") if unit == "ns" else ("smaller", "larger")
    result = Verdict(row, unit, statistics.median(old), statistics.median(new), "same")
    if min(len(old), len(new)) < REPETITIONS:
        result.word = "?"
    elif chance(old, new) < CHANCE and not 1 / (1 + MARGIN) <= result.ratio <= 1 + MARGIN:
        result.word = lower if result.new < result.old else higher
    return result


@dataclasses.dataclass
class Comparison:
    old: Run
    machine: float  # how many times as long the new run took for what cannot have changed
    verdicts: list
    added: list
    gone: list

    def summary(self):
        counts = collections.Counter(v.word for v in self.verdicts)
        words = [f"{counts[word]} {word}" for word in ("faster", "slower", "smaller", "larger", "same", "?") if counts[word]]
        return f"{', '.join(words)}; the machine took {self.machine:.2f} times as long, which the ratios are without"


def compare(old, new):
    """Verdicts for the rows of both, and the rows that only one has."""
    both = [(old.find(row.name), row) for row in new.rows if old.find(row.name)]
    machine = drift(both)
    verdicts = []
    for before, row in both:
        verdicts.append(verdict(row, "ns", [machine * time for time in before.times], row.times))
        if row.sizes and before.sizes:
            verdicts.append(verdict(row, "B", before.sizes, row.sizes))
    if all(v.word == "?" for v in verdicts):
        raise BadInput(f"cannot be compared: no row of both runs has {REPETITIONS} repetitions in each")
    return Comparison(old, machine, verdicts, [row for row in new.rows if not old.find(row.name)],
                      [row for row in old.rows if not new.find(row.name)])


def drift(pairs):
    """The rows of the CPU and of other libraries run the same code in both runs; what moves half of them is the machine."""
    ratios = [statistics.median(new.times) / statistics.median(old.times) for old, new in pairs if not new.ours]
    return statistics.median(ratios) if len(ratios) >= 3 else 1.0


# Writing numbers


def digits(value):
    """Three of them, and no exponent."""
    return f"{value:,.{max(0, 2 - math.floor(math.log10(value)))}f}" if 0 < value < 1000 else f"{value:,.0f}"


def quantity(value, unit):
    if unit == "B":
        return f"{value:,.0f} B"
    for name, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if value >= size:
            return f"{digits(value / size)} {name}"
    return f"{digits(value)} ns"


def median_of(run, name):
    row = run.find(name)
    return statistics.median(row.times) if row else None


def multiple(value, unit):
    return digits(value / unit) if unit else "-"


ABOUT = ("date", "commit", "compiler", "cpu", "num_cpus", "pinned to core", "system", "load_avg")


def about(run):
    return [(key, str(run.context[key])) for key in ABOUT if key in run.context]


def by_group(rows):
    groups = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    return groups


# Markdown


def markdown_table(head, lines):
    widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]
    ruled = [head, ["-" * width for width in widths], *lines]
    return "".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |\n" for line in ruled)


def figures(run):
    """Works beside one another, medians; in multiples of F what is about as long as a switch."""
    f, call = median_of(run, F), median_of(run, CALL)
    text = "; ".join(f"{key}: {value}" for key, value in about(run)) + ".\n"
    if f:
        text += f"F is {quantity(f, 'ns')}" + (f", call+ret {quantity(call, 'ns')}" if call else "") + ".\n"
    for group, rows in by_group(run.rows).items():
        in_f = f if group in ("switch", "yield", "channel", "spawn") else None
        works, kinds = dict.fromkeys(row.work for row in rows), list(dict.fromkeys(row.who for row in rows))
        cells = {(row.work, row.who): figure(row, in_f) for row in rows}
        text += "\n" + markdown_table([group, *kinds], [[work, *(cells.get((work, who), "") for who in kinds)] for work in works])
    return text


def figure(row, f):
    def show(value):
        return f"{digits(value / f)} F" if f else quantity(value, "ns")

    text = show(statistics.median(row.times))
    if row.layouts > 1:
        text = f"{show(min(row.times))} to {show(max(row.times))}"
    return text + (f", {quantity(statistics.median(row.sizes), 'B')}" if row.sizes else "")


def verdict_cells(v):
    return ["/".join(v.row.name), quantity(v.old, v.unit), quantity(v.new, v.unit), f"{v.ratio:.2f}", v.word]


VERDICT_HEAD = ["row", "old", "new", "new / old", "verdict"]


def comparison(c):
    lines = [verdict_cells(v) for v in c.verdicts]
    lines += [["/".join(row.name), "", quantity(statistics.median(row.times), "ns"), "", "new"] for row in c.added]
    lines += [["/".join(row.name), quantity(statistics.median(row.times), "ns"), "", "", "gone"] for row in c.gone]
    return markdown_table(VERDICT_HEAD, lines) + "\n" + c.summary() + "\n"


# HTML

STYLE = """
:root { color-scheme: light dark; --ours: #2f6fdb; --others: #9aa3ad; --good: #1a7f37; --bad: #c0362c; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { padding: .15em .8em .15em 0; text-align: right; font-variant-numeric: tabular-nums; }
th { font-weight: 600; border-bottom: 1px solid var(--others); }
th:first-child, td:first-child, td.text { text-align: left; }
dt { float: left; clear: left; width: 9em; font-weight: 600; }
dd { margin-left: 9em; }
.faster, .smaller { color: var(--good); } .slower, .larger { color: var(--bad); }
svg text { font: 12px system-ui, sans-serif; fill: currentColor; }
svg .bar { fill: var(--others); } svg .ours { fill: var(--ours); }
svg .range { stroke: currentColor; } svg .grid { stroke: var(--others); stroke-opacity: .4; }
"""


def html_table(head, lines):
    """Cells are text, or (text, class)."""
    def cell(value):
        text, kind = value if isinstance(value, tuple) else (value, "")
        return f'<td class="{kind}">{html.escape(text)}</td>' if kind else f"<td>{html.escape(text)}</td>"

    text = "<table>\n<tr>" + "".join(f"<th>{html.escape(title)}</th>" for title in head) + "</tr>\n"
    return text + "".join("<tr>" + "".join(map(cell, line)) + "</tr>\n" for line in lines) + "</table>\n"


def plot(rows):
    """Bars up to the medians, on a logarithmic scale, with a line from the least to the most."""
    left, width, height, right = 430, 480, 18, 80
    low = math.floor(math.log10(min(min(row.times) for row in rows)))
    high = max(low + 1, math.ceil(math.log10(max(max(row.times) for row in rows))))

    def x(value):
        return round(left + width * (math.log10(value) - low) / (high - low), 1)

    bottom = height * len(rows)
    parts = [f'<svg viewBox="0 0 {left + width + right} {bottom + 20}" role="img">']
    for power in range(low, high + 1):
        at = x(10.0**power)
        parts.append(f'<line class="grid" x1="{at}" y1="0" x2="{at}" y2="{bottom}"/>')
        parts.append(f'<text x="{at}" y="{bottom + 15}" text-anchor="middle">{quantity(10.0**power, "ns")}</text>')
    for i, row in enumerate(rows):
        y, median = i * height, statistics.median(row.times)
        ours = "bar ours" if row.ours else "bar"
        parts.append(f'<text x="{left - 6}" y="{y + 13}" text-anchor="end">{html.escape(row.work)}, {html.escape(row.who)}</text>')
        parts.append(f'<rect class="{ours}" x="{left}" y="{y + 3}" width="{round(x(median) - left, 1)}" height="{height - 6}"/>')
        parts.append(f'<line class="range" x1="{x(min(row.times))}" y1="{y + 9}" x2="{x(max(row.times))}" y2="{y + 9}"/>')
        parts.append(f'<text x="{x(max(row.times)) + 5}" y="{y + 13}">{quantity(median, "ns")}</text>')
    return "\n".join(parts) + "\n</svg>\n"


def group_section(group, rows, f, call):
    lines = []
    for row in rows:
        median = statistics.median(row.times)
        who = row.who + (f" ({row.layouts} layouts)" if row.layouts > 1 else "")
        lines.append([row.work, (who, "text"), quantity(median, "ns"), quantity(min(row.times), "ns"),
                      quantity(max(row.times), "ns"), multiple(median, f), multiple(median, call),
                      quantity(statistics.median(row.sizes), "B") if row.sizes else ""])
    head = ["work", "", "median", "least", "most", "F", "call+ret", "memory"]
    return f"<h2>{html.escape(group)}</h2>\n" + html_table(head, lines) + plot(rows)


def comparison_section(c):
    lines = [[*cells[:-1], (cells[-1], cells[-1] if cells[-1].isalpha() else "")] for cells in map(verdict_cells, c.verdicts)]
    facts = "; ".join(f"{key}: {value}" for key, value in about(c.old))
    text = f"<h2>Compared</h2>\n<p>{html.escape(c.summary())}. With: {html.escape(facts)}</p>\n" + html_table(VERDICT_HEAD, lines)
    for title, rows in (("New", c.added), ("Gone", c.gone)):
        if rows:
            text += f"<p>{title}: {html.escape('; '.join('/'.join(row.name) for row in rows))}</p>\n"
    return text


def page(run, against):
    """`against` is what compare() says of it and another run, or None."""
    f, call = median_of(run, F), median_of(run, CALL)
    facts = "".join(f"<dt>{html.escape(key)}</dt><dd>{html.escape(value)}</dd>\n" for key, value in about(run))
    sections = [group_section(group, rows, f, call) for group, rows in by_group(run.rows).items()]
    if against:
        sections.insert(0, comparison_section(against))
    return (f'<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n<title>stackless-perf</title>\n<style>{STYLE}</style>\n'
            f"<h1>stackless-perf</h1>\n<dl>\n{facts}</dl>\n"
            "<p>The CPU's time of one operation; of several threads, the time that passed. F: as a multiple of one switch of Boost.Context's fcontext in this run; "
            "call+ret: of a call and its return. Plots are logarithmic.</p>\n" + "".join(sections) + "</html>\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN.json", help="what stackless-perf has written")
    parser.add_argument("--against", metavar="OLD.json", help="an earlier run to compare it with")
    parser.add_argument("--markdown", action="store_true", help="tables for a README instead of a page; with --against, the verdicts")
    parser.add_argument("-o", dest="output", metavar="FILE", help="where to write it (stdout)")
    options = parser.parse_args()
    try:
        run, against = load(options.run), None
        if options.against:
            against = compare(load(options.against), run)
        if not options.markdown:
            text = page(run, against)
        else:
            text = comparison(against) if against else figures(run)
        with open(options.output or sys.stdout.fileno(), "w", encoding="utf-8", closefd=bool(options.output)) as file:
            file.write(text)
    except BadInput as error:
        sys.exit(complain(error))
    except BrokenPipeError:
        sys.exit(0)
    except OSError as error:
        sys.exit(complain(f"{error.filename}: {error.strerror}"))


def complain(error):
    print(f"report.py: error: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
