"""Types of the native core (native/python/module.cc)."""

from typing import Any

import numpy as np

_Array = np.ndarray[Any, Any]

def supported_isas() -> list[str]: ...
def op_names() -> list[str]: ...
def compiler() -> str: ...
def run_peak(isa: str, dtype: str, iterations: int) -> int: ...
def read_memory(bytes: _Array) -> int: ...  # noqa: A002

class Program:
    def __init__(self, isa: str = "") -> None: ...
    def add_slot(self, bytes_per_row: int) -> None: ...
    def add_tensor(self, name: str, dtype: str, shape: list[int], bytes: _Array) -> None: ...  # noqa: A002
    def add_buffer(self, name: str, dtype: str, rows: str, columns: int, slot: int) -> None: ...
    def add_step(
        self,
        op: str,
        name: str,
        inputs: dict[str, str],
        outputs: list[str],
        attributes: dict[str, bool | int | float | str],
    ) -> None: ...
    def add_output(self, name: str, buffer: str) -> None: ...
    def finish(self) -> None: ...

class Session:
    def __init__(self, program: Program, num_threads: int) -> None: ...
    @property
    def isa(self) -> str: ...
    @property
    def num_threads(self) -> int: ...
    @property
    def outputs(self) -> list[tuple[str, str, str, int]]: ...
    def run(
        self,
        input_ids: _Array,
        cu_seqlens: _Array,
        token_type_ids: _Array | None,
        position_ids: _Array | None,
        outputs: list[_Array | None],
    ) -> None: ...
    def profile(
        self,
        inside_attention: bool,
        input_ids: _Array,
        cu_seqlens: _Array,
        token_type_ids: _Array | None,
        position_ids: _Array | None,
        outputs: list[_Array | None],
    ) -> tuple[int, bool, int, list[int], list[int]]: ...
