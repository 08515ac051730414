"""What a GPU's own instructions say of a kernel: its loops, and what they spill."""

import re


def hot_loops(sass: str) -> list[list[str]]:
    """The instructions of each innermost loop with products on tensor cores."""
    lines = sass.splitlines()
    places = {
        found[1]: i for i, line in enumerate(lines) if (found := re.match(r"\s*(LBB\d+):", line))
    }
    loops = []
    for end, line in enumerate(lines):
        jump = re.search(r"BRA.*?(LBB\d+)", line)
        begin = places.get(jump[1], end) if jump else end
        if begin < end and any("MMA" in inside for inside in lines[begin : end + 1]):
            loops.append(range(begin, end + 1))
    innermost = [
        one for one in loops if not any(other != one and set(other) <= set(one) for other in loops)
    ]
    return [[lines[i] for i in loop] for loop in innermost]


def spills(instructions: list[str]) -> list[str]:
    """Those that store registers in, or load them from, a thread's local memory."""
    return [line for line in instructions if re.search(r"\b(STL|LDL)\b", line)]


def registers(sass: str) -> int:
    """How many a thread has, by the highest that an instruction names."""
    return 1 + max(int(number) for number in re.findall(r"\bR(\d+)\b", sass))
