"""hot_path.py <objdump> <hot_path.cpp.o>: in each function of hot_path.cpp, the jump of the switch can be reached from
the first instruction, and the return from where the switch lands, without a call; a tasklet is made from the first
instruction to the return without a call; and no instruction locks the bus, orders more than its own access, or monitors
memory for other threads. No function keeps anything below the stack pointer.

With --costly the file is one whose functions do: each has to be found out."""

import re
import subprocess
import sys

FUNCTIONS = ["hot_schedule", "hot_send", "hot_receive"]
STRAIGHT_FUNCTIONS = ["hot_spawn"]
KEEPING_FUNCTIONS = ["kept_across_schedule", "kept_across_send", "kept_across_receive"]
COSTLY_FUNCTIONS = ["costly_add", "costly_exchange", "costly_compare", "costly_fence"]
# What only those pay for who share memory with other threads: on x86-64 an exchange with memory locks without saying so,
# and gcc writes a fence as a locked or. AArch64 has exclusive and atomic accesses, and functions that do them.
COSTLY = re.compile(
    r"lock\b|xchg\w*\s.*\(|xchg\w*\s.*\[|[msl]fence"
    r"|ld(?:a)?x[rp]|st(?:l)?x[rp]|cas|ld(?:add|clr|eor|set|[su]max|[su]min)|st(?:add|clr|eor|set)|swp|d[ms]b\b|isb\b"
    r"|.*__aarch64_(?:cas|swp|ld)")
# On AArch64 there is no red zone.
RED_ZONE = re.compile(r".*-(?:0x)?[0-9a-f]+\(%rsp\)")
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
            elif "__aarch64_" in match[2]:
                found[-1][1] += " " + match[2]
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


def listing(code):
    return "\n".join(f"{address:6x}: {text}" for address, text, _ in code)


def main():
    *options, objdump, file = sys.argv[1:]
    text = subprocess.run([objdump, "-dr", "--no-show-raw-insn", file], check=True, capture_output=True, text=True).stdout
    problems = []
    if options == ["--costly"]:
        missed = [f for f in COSTLY_FUNCTIONS if not any(COSTLY.match(text) for _, text, _ in instructions(text, f))]
        in_red_zone = any(RED_ZONE.match(line) for _, line, _ in instructions(text, "kept_in_red_zone"))
        if "elf64-x86-64" in text and not in_red_zone:
            missed.append("kept_in_red_zone")
        if reaches(instructions(text, "calls_in_any_case"), 0, RETURN):
            missed.append("calls_in_any_case")
        sys.exit(f"nothing costly was found in {', '.join(missed)}\n{text}" if missed else 0)
    for function in FUNCTIONS + STRAIGHT_FUNCTIONS + KEEPING_FUNCTIONS:
        problems += [f"{function} keeps something below the stack pointer: {instruction}"
                     for _, instruction, _ in instructions(text, function) if RED_ZONE.match(instruction)]
    for function in STRAIGHT_FUNCTIONS:
        code = instructions(text, function)
        if not reaches(code, 0, RETURN):
            problems.append(f"{function}: no way to the return without a call\n{listing(code)}")
        problems += [f"{function}: {instruction}" for _, instruction, _ in code if COSTLY.match(instruction)]
    for function in FUNCTIONS:
        code = instructions(text, function)
        if not reaches(code, 0, SWITCH):
            problems.append(f"{function}: no way to the jump of the switch without a call")
        switch = next((i for i, (_, text, _) in enumerate(code) if SWITCH.match(text)), len(code))
        landing = next((i for i in range(switch, len(code)) if LANDING.match(code[i][1])), len(code))
        if not reaches(code, landing, RETURN):
            problems.append(f"{function}: no way from the landing pad to the return without a call")
        problems += [f"{function}: {instruction}" for _, instruction, _ in code if COSTLY.match(instruction)]
        if problems:
            problems.append(listing(code))
    if problems:
        sys.exit("\n".join(problems))


main()
