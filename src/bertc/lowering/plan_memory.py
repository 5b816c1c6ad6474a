"""Buffer planning: which activations share an arena slot, so that a pass stays small enough for L2.

Greedy by time, as register allocation on straight-line code is: a value takes the smallest free slot
that holds it, or the largest free one grows. A value may also take over the slot of an operand that
dies in the same step, where the kernel reads each element before it writes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bertc.artifact.schema import Step
from bertc.ir.ops import OPS


@dataclass(frozen=True)
class MemoryPlan:
    """The bytes per row of each slot, and the slot of each value."""

    slots: tuple[int, ...]
    slot_of: Mapping[str, int]


def plan_memory(
    steps: Sequence[Step], row_bytes: Mapping[str, int], outputs: Sequence[str], inputs: Sequence[str] = ()
) -> MemoryPlan:
    """Give every value in ``row_bytes`` (value -> bytes per row) a slot.

    ``outputs`` live to the end, and ``inputs`` from the start.
    """
    last_use = _last_uses(steps, outputs)
    slots: list[int] = []
    free: set[int] = set()
    slot_of: dict[str, int] = {value: _take(slots, free, row_bytes[value]) for value in inputs}
    for time, step in enumerate(steps):
        reused = _reusable(step, time, last_use, row_bytes)
        for position, value in enumerate(step.outputs):
            if position == 0 and reused is not None:
                slot_of[value] = slot_of[reused]
            else:
                slot_of[value] = _take(slots, free, row_bytes[value])
        for value in {*step.inputs.values(), *step.outputs} & slot_of.keys():
            if last_use.get(value, time) == time and value != reused:
                free.add(slot_of[value])
    return MemoryPlan(tuple(slots), slot_of)


def _last_uses(steps: Sequence[Step], outputs: Sequence[str]) -> dict[str, int]:
    last_use = {value: time for time, step in enumerate(steps) for value in step.inputs.values()}
    return {**last_use, **dict.fromkeys(outputs, len(steps))}


def _reusable(step: Step, time: int, last_use: Mapping[str, int], row_bytes: Mapping[str, int]) -> str | None:
    value = step.inputs.get(OPS[step.op].in_place, "")
    if value not in row_bytes or last_use[value] != time or list(step.inputs.values()).count(value) > 1:
        return None
    return value if row_bytes[value] == row_bytes[step.outputs[0]] else None


def _take(slots: list[int], free: set[int], size: int) -> int:
    fitting = [slot for slot in free if slots[slot] >= size]
    if fitting:
        slot = min(fitting, key=lambda candidate: (slots[candidate], candidate))
    elif free:
        slot = max(free, key=lambda candidate: (slots[candidate], candidate))
        slots[slot] = size
    else:
        slots.append(size)
        return len(slots) - 1
    free.discard(slot)
    return slot
