"""How deep the objects of a pickle lie in each other, told by reading its instructions.

A tuple of a hundred thousand tuples, as a key, crashes the interpreter when it is hashed: no loader,
however careful about names, is protected from that.
"""

from __future__ import annotations

import pickletools
from typing import Any

IN_PLACE = ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD")  # their first object grows
PUTS = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")
GETS = ("GET", "BINGET", "LONG_BINGET")


def deepest(pickled: bytes) -> int:
    """The depth of the deepest object. ValueError or LookupError when the instructions make no sense."""
    stack: list[int | None] = []  # depths; None is a mark
    memo: dict[int, int | None] = {}
    most = 0
    argument: Any
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name in PUTS:
            memo[len(memo) if argument is None else int(argument)] = stack[-1]
        elif opcode.name in GETS:
            stack.append(memo[int(argument)])
        elif opcode.name == "MARK":
            stack.append(None)
        elif opcode.name == "DUP":
            stack.append(stack[-1])
        else:
            taken = _taken(opcode, stack)
            if opcode.stack_after:
                stack.append(_depth(opcode.name, taken))
                most = max(most, stack[-1] or 0)
    return most


def _taken(opcode: Any, stack: list[int | None]) -> list[int]:
    """What an instruction takes from the stack, the lowest first."""
    before = list(opcode.stack_before)
    taken: list[int | None] = []
    if pickletools.markobject in before:
        while stack[-1] is not None:
            taken.insert(0, stack.pop())
        stack.pop()
        before = before[: before.index(pickletools.markobject)]
    for _ in before:
        taken.insert(0, stack.pop())
    return [depth or 0 for depth in taken]


def _depth(name: str, taken: list[int]) -> int:
    if not taken:
        return 0
    if name in IN_PLACE:
        return max(taken[0], 1 + max(taken[1:], default=0))
    return 1 + max(taken)
