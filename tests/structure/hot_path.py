"""hot_path.py <objdump> <hot_path.cpp.o>: in each function of hot_path.cpp, the jump of the switch can be reached from
the first instruction, and the return from where the switch lands, without a call."""

import re
import subprocess
import sys

FUNCTIONS = ["hot_schedule", "hot_send", "hot_receive"]
CALL = re.compile(r"callq?\b|blr?\s")
SWITCH = re.compile(r"jmpq?\s+\*|br\s+x")
LANDING = re.compile(r"endbr64|bti\s+j|hint\s+#0x24")
RETURN = re.compile(r"retq?\b")
GOES_ON = re.compile(r"(?!jmp|b\s|ud2|udf|ret)")
BRANCH = re.compile(r"(?:j\w+|b(?:\.\w+)?|cbn?z|tbn?z)\s.*?([0-9a-f]+) <")


def instructions(text, function):
    """[(address, text, leaves the function)] in the order of addresses."""
    body = re.search(rf"<{function}>:\n(.*?)(?:\n\n|\Z)", text, re.S)
    if not body:
        sys.exit(f"no {function} in\n{text}")
    found = []
    for line in body[1].splitlines():
        if re.search(r"R_(X86_64|AARCH64)_(PLT32|JUMP26)", line):
            found[-1][2] = True
        elif match := re.match(r"\s*([0-9a-f]+):\s+(.*)", line):
            if "R_" not in match[2]:
                found.append([int(match[1], 16), match[2], False])
    return found


def reaches(code, start, goal):
    """Whether `goal` can be reached from the instruction with index `start` without a call."""
    index_of = {address: i for i, (address, _, _) in enumerate(code)}
    waiting, seen = [start], set()
    while waiting:
        i = waiting.pop()
        if i in seen or i >= len(code):
            continue
        seen.add(i)
        _, text, leaves = code[i]
        if goal.match(text):
            return True
        if CALL.match(text) or SWITCH.match(text):
            continue
        if (target := BRANCH.match(text)) and not leaves and int(target[1], 16) in index_of:
            waiting.append(index_of[int(target[1], 16)])
        if GOES_ON.match(text):
            waiting.append(i + 1)
    return False


def main():
    objdump, file = sys.argv[1:]
    text = subprocess.run([objdump, "-dr", "--no-show-raw-insn", file], check=True, capture_output=True, text=True).stdout
    problems = []
    for function in FUNCTIONS:
        code = instructions(text, function)
        if not reaches(code, 0, SWITCH):
            problems.append(f"{function}: no way to the jump of the switch without a call")
        switch = next((i for i, (_, text, _) in enumerate(code) if SWITCH.match(text)), len(code))
        landing = next((i for i in range(switch, len(code)) if LANDING.match(code[i][1])), len(code))
        if not reaches(code, landing, RETURN):
            problems.append(f"{function}: no way from the landing pad to the return without a call")
        if problems:
            listing = "\n".join(f"{address:6x}: {text}" for address, text, _ in code)
            problems.append(listing)
    if problems:
        sys.exit("\n".join(problems))


main()
