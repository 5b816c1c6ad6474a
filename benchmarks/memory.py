"""Resident memory of a process that loads a file and embeds with it, step by step (Linux).

``python benchmarks/memory.py FILE.bertc [--data sts-test.csv] [--long 1000] [--json]``

The figures are those of ``/proc/self/status`` in a fresh process: VmHWM is the highest so far,
RssAnon what the process has for itself, RssFile mapped files (the model, libraries), which processes
share. The last line is another fresh process, which runs 32 sequences of 128 tokens: what it takes
beyond the mapped weights is what ``bertc bench`` reports as well.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bertc.bench.memory import FIELDS, measure_memory, resident_mb
from bertc.runtime.environment import default_num_threads

Row = dict[str, float]


def memory() -> Row:
    """Tell the megabytes (10^6 bytes) of this process."""
    row = resident_mb()
    assert row is not None  # main() has looked
    return row


def child(path: str, data: Path | None, long: int) -> dict[str, Row]:
    """Take the steps of a program that embeds, and look after each."""
    rows = {"python": memory()}
    import numpy
    import tokenizers

    del numpy, tokenizers
    rows["numpy and tokenizers"] = memory()
    import bertc

    encoder = bertc.load(path)
    rows["load"] = memory()
    encoder.encode("a text")
    rows["one text"] = memory()
    from bertc.data import sample_texts

    texts = sample_texts()
    if data is not None:
        lines = data.read_text("utf-8").splitlines()
        texts = [text for line in lines for text in line.split("\t")[5:7]]
    encoder.encode(texts)
    rows[f"{len(texts)} texts"] = memory()
    longest = encoder.info.max_seq_length
    encoder.encode(["word " * (longest - 2)] * long)
    rows[f"{long} texts of {longest} tokens"] = memory()
    return rows


def measure(path: Path, data: Path | None, long: int) -> dict[str, Row]:
    """Measure the rows of a fresh process."""
    command = [sys.executable, __file__, "--child", str(path), "--long", str(long)]
    if data is not None:
        command += ["--data", str(data)]
    rows: dict[str, Row] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path, help="a .bertc file that embeds")
    parser.add_argument("--data", type=Path, help="embed the sentences of this STS file, not our sample")
    parser.add_argument("--long", type=int, default=1000, help="texts of full length (default 1000)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if resident_mb() is None:
        sys.exit("this system has no /proc/self/status: measure on Linux")
    if given.child:
        print(json.dumps(child(str(given.file), given.data, given.long)))
        return
    rows = measure(given.file, given.data, given.long)
    judged = measure_memory(given.file, default_num_threads())
    assert judged is not None
    if given.json:
        print(json.dumps({"file": given.file.name, "megabytes": rows, "judged": judged}))
        return
    from targets import ALLOWANCE_MB  # not at the top: the child's memory is measured

    print(f"{'MB (10^6 bytes) after':32}" + "".join(f"{field:>10}" for field in FIELDS))
    for name, row in rows.items():
        print(f"{name:32}" + "".join(f"{row[field]:10.1f}" for field in FIELDS))
    print(
        f"{judged['batch']}x{judged['length']} in a process of its own: peak {judged['peak_mb']:.1f} MB, "
        f"mapped weights {judged['weights_mb']:.1f} MB, beyond them {judged['beyond_mb']:.1f} MB "
        f"(target: at most {ALLOWANCE_MB})"
    )


if __name__ == "__main__":
    main()
