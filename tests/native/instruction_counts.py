"""How many instructions the main kernels take, counted by valgrind's callgrind.

``python -m tests.native.instruction_counts`` prints the counts beside those of ``instruction_counts.json``;
``--write`` writes them there: after a kernel became faster, or slower on purpose, or for another compiler.

Each case runs warm, once, on one thread. What a call takes that computes nothing (Python, the session) is
counted, too, and taken off. Valgrind knows no AVX-512.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from bertc import _native
from bertc.ir.graph import Constant, DType, Graph
from bertc.lowering.lower import lower
from bertc.runtime.batching import PackedBatch
from bertc.runtime.session import Session
from tests.parity.op_cases import CASES, Builder, Shape

HERE = Path(__file__).resolve().parent
RECORD = HERE / "instruction_counts.json"
HEADER = Path("/usr/include/valgrind/callgrind.h")
C_COMPILER = shutil.which("cc") or shutil.which("gcc")
MODULE = "tests.native.instruction_counts"

ISAS = ("scalar", "avx2")
SEVEN_BITS = "linear_int8 of 7 bits"
OUTPUTS = {
    "embed": "y",
    "attention": "y",
    "layer_norm": "y",
    "layer_norm_quantize": "q",
    "quantize_rows": "q",
    "linear": "product",
    "linear_bf16": "product",
    "linear_int8": "product",
    SEVEN_BITS: "product",
}
"""A case, named by its row of ``CASES`` -> the output to compute. The ops that lead to it are counted with
it, such as an ``embed`` that gives it rows."""

# Rows for several blocks of a product, sequences for both sizes of attention's blocks. The choice stands for
# GELU, a residual, heads of 32, rows quantized by their range.
SHAPE = Shape(lengths=(150, 30, 20), columns=192, out=160, heads=2, choice=1)


def what_is_missing() -> str | None:
    """What counting needs and this machine lacks, as a sentence; ``None`` if it has all."""
    if shutil.which("valgrind") is None or not HEADER.is_file():
        return "valgrind is not installed"
    if C_COMPILER is None:
        return "there is no C compiler"
    lacking = set(ISAS) - set(_native.supported_isas())
    return f"this processor lacks {', '.join(lacking)}" if lacking else None


def measure() -> dict[str, int]:
    """Count: ``case isa`` -> instructions."""
    with tempfile.TemporaryDirectory() as name:
        library, out = Path(name) / "requests.so", Path(name) / "counts"
        source = HERE / "callgrind_requests.c"
        subprocess.run([str(C_COMPILER), "-O1", "-shared", "-fPIC", "-o", library, source], check=True)
        callgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}"]
        environment = {**os.environ, "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}
        code = f"import sys; from {MODULE} import run_in_valgrind; run_in_valgrind(sys.argv[1])"
        child = subprocess.run(
            [*callgrind, sys.executable, "-c", code, library],
            cwd=HERE.parents[1],
            env=environment,
            capture_output=True,
            text=True,
        )
        if child.returncode != 0:
            raise RuntimeError(child.stderr)
        found = dict(_count(path.read_text("utf-8")) for path in Path(name).glob("counts.*"))
    cases = [f"{case} {isa}" for case in OUTPUTS for isa in ISAS]
    return {case: found[case] - found[f"nothing of {case}"] for case in cases}


def _count(dump: str) -> tuple[str, int]:
    """The name and the count of a file of callgrind's."""
    name = re.search(r"^desc: Trigger: (?:Client Request: )?(.*)$", dump, re.M)
    total = re.search(r"^(?:totals|summary): (\d+)", dump, re.M)
    assert name and total, dump[:1000]
    return name[1], int(total[1])


def run_in_valgrind(library: str) -> None:
    """Run each case, and tell valgrind when."""
    requests = ctypes.CDLL(library)
    bounds = np.cumsum((0, *SHAPE.lengths)).astype(np.int32)
    ids = {"input_ids": np.arange(SHAPE.tokens, dtype=np.int32)}

    def count(session: Session, outputs: list[str], name: str) -> None:
        taken = ids if any(port.name in ids for port in session.inputs) else {}
        _, arguments = session._bind(PackedBatch(taken, bounds), outputs)
        session._native.run(*arguments)
        requests.start_counting()
        session._native.run(*arguments)
        requests.stop_counting(name.encode())

    for case, output in OUTPUTS.items():
        executable = lower(graph_of(case))
        for isa in ISAS:
            session = Session(executable, num_threads=1, isa=isa)
            count(session, [], "warm")
            count(session, [], f"nothing of {case} {isa}")
            count(session, [output], f"{case} {isa}")


def graph_of(case: str) -> Graph:
    """The graph of a case."""
    builder = Builder(SHAPE, np.random.default_rng(0))
    CASES[case.split()[0]](builder)
    if case == SEVEN_BITS:
        weight = builder.constants["weight"].array
        builder.constants["weight"] = Constant(DType.I8, np.clip(weight, -63, 63))
    return builder.graph()


def main() -> None:
    """Print the counts, or write them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help=f"write {RECORD.name}")
    args = parser.parse_args()
    missing = what_is_missing()
    if missing:
        sys.exit(missing)
    record = {"compiler": _native.compiler(), "counts": measure()}
    before = json.loads(RECORD.read_text("utf-8"))["counts"] if RECORD.exists() else {}
    for case, count in record["counts"].items():
        sys.stdout.write(f"{case:30} {count:12,} {before.get(case, 0):12,}\n")
    if args.write:
        RECORD.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
