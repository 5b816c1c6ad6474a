"""Damages a file in many ways and uses each result; run as a child process, since it may crash.

    python -m tests.hostile.attacks KIND ARTIFACT FOLDER

Prints two JSON pairs for each damage: ``[name, ""]`` before, so that a crash has a name, and
``[name, outcome]`` after. An outcome is "fine", or the exception's class and message.
"""

from __future__ import annotations

import copy
import faulthandler
import functools
import json
import random
import resource
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bertc
from bertc.artifact.format import EMPTY_HASH, header_hash, prefix
from tests.support.sanitizers import under_address_sanitizer

SEED = 20
HANG_SECONDS = 60
MEMORY = 4 * 2**30
"""Address space of the child: a size out of a file must not make us allocate without end."""

Damage = Iterator[tuple[str, bytes]]
Place = tuple[str | int, ...]

CERTIFICATE: Place = ("__metadata__", "manifest", "certificate")

TEXTS = ["hello world", "the small dog is playing in london", ""]
METHODS = {"embedding": "encode", "classification": "classify", "token_classification": "tag"}

HOSTILE_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1,
    7,
    255,
    2**31 - 1,
    2**31,
    2**63 - 1,
    2**64,
    10**30,
    0.5,
    -0.0,
    1e308,
    "",
    "x",
    "\ud800",
    "tokens",
    "input_ids",
    [],
    {},
    [[]],
    [-1],
)


class Forger:
    """Makes files whose header has a right hash, whatever it says: only checks of meaning can refuse them."""

    def __init__(self, data: bytes) -> None:
        length = int.from_bytes(data[:8], "little")
        self.weights = data[8 + length :]
        self.header: Any = json.loads(data[8 : 8 + length])
        self.header["__metadata__"]["manifest"] = json.loads(self.header["__metadata__"]["manifest"])

    def file(self, header: Any) -> bytes:
        header = dict(header)
        if isinstance(header.get("__metadata__"), dict):
            metadata = header["__metadata__"] = dict(header["__metadata__"])
            if "manifest" in metadata and not isinstance(metadata["manifest"], str):
                metadata["manifest"] = json.dumps(metadata["manifest"])
            hash_ = metadata.get("header_sha256")
            if isinstance(hash_, str) and len(hash_) == len(EMPTY_HASH):
                metadata["header_sha256"] = EMPTY_HASH
        raw = json.dumps(header).encode()
        raw += b" " * (-(len(raw) + 8) % 64)
        raw = raw.replace(EMPTY_HASH.encode(), header_hash(raw).encode(), 1)
        return prefix(len(raw)) + raw + self.weights

    def places(self) -> Iterator[Place]:
        """The path of everything in the header, containers included.

        Not of what is in the certificate, which loading does not read: tests/artifact has its attacks.
        """
        for place in places(self.header):
            if place[: len(CERTIFICATE)] != CERTIFICATE or len(place) == len(CERTIFICATE):
                yield place

    def at(self, place: Place) -> Any:
        value = self.header
        for key in place:
            value = value[key]
        return value

    def replaced(self, place: Place, value: Any) -> bytes:
        """The file with this value in that place."""
        container, before = self.at(place[:-1]), self.at(place)
        container[place[-1]] = value
        try:
            return self.file(self.header)
        finally:
            container[place[-1]] = before

    def removed(self, place: Place) -> bytes:
        """The file without that place."""
        parent = self.at(place[:-1])
        if isinstance(parent, dict):
            shorter: Any = {key: item for key, item in parent.items() if key != place[-1]}
        else:
            shorter = [item for index, item in enumerate(parent) if index != place[-1]]
        return self.replaced(place[:-1], shorter) if len(place) > 1 else self.file(shorter)


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        yield (*place, key)
        yield from places(item, (*place, key))


def truncated(data: bytes) -> Damage:
    """Cut at every length near the start and the end of header and file, and at random ones."""
    generator = random.Random(SEED)
    header = 8 + int.from_bytes(data[:8], "little")
    lengths = {*range(70), *range(header - 5, header + 70), *range(len(data) - 70, len(data))}
    lengths.update(generator.randrange(len(data)) for _ in range(100))
    for length in sorted(lengths):
        yield f"{length} of {len(data)} bytes", data[:length]


def extended(data: bytes) -> Damage:
    """More bytes than the header tells of."""
    for extra in (1, 63, 64, 4096):
        yield f"{extra} more bytes", data + bytes(extra)


def noise(data: bytes) -> Damage:
    """Files of random bytes, some with a plausible start."""
    generator = random.Random(SEED)
    for size in (0, 1, 7, 8, 9, 64, 4096, len(data)):
        for attempt in range(5):
            random_bytes = generator.randbytes(size)
            yield f"{size} random bytes, {attempt}", random_bytes
            yield f"{size} random bytes after a length, {attempt}", prefix(size) + random_bytes
    for text in (b"{}", b"[]", b"null", b"0", b'{"__metadata__":{}}', b"[" * 100_000, b"\xff\xfe"):
        yield f"header {text[:30]!r}", prefix(len(text)) + text + bytes(64)


def flip(data: bytes, at: int, bit: int) -> bytes:
    return data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]


def header_bits(data: bytes) -> Damage:
    """Single flipped bits: all of the first bytes, one in each of many random others."""
    generator = random.Random(SEED)
    header = 8 + int.from_bytes(data[:8], "little")
    for at in range(40):
        for bit in range(8):
            yield f"bit {bit} of byte {at}", flip(data, at, bit)
    for _ in range(600):
        at, bit = generator.randrange(40, header), generator.randrange(8)
        yield f"bit {bit} of byte {at}", flip(data, at, bit)


def weight_bits(data: bytes) -> Damage:
    """Single flipped bits, and runs of random bytes, in tensor data."""
    generator = random.Random(SEED)
    header = 8 + int.from_bytes(data[:8], "little")
    for _ in range(150):
        at, bit = generator.randrange(header, len(data)), generator.randrange(8)
        yield f"bit {bit} of byte {at}", flip(data, at, bit)
    for _ in range(50):
        at = generator.randrange(header, len(data) - 256)
        yield f"256 random bytes at {at}", data[:at] + generator.randbytes(256) + data[at + 256 :]
    yield "all ones", data[:header] + b"\xff" * (len(data) - header)


def header_fields(data: bytes) -> Damage:
    """Fields removed and replaced by hostile values: those near the top by all of them."""
    generator = random.Random(SEED)
    forger = Forger(data)
    for place in list(forger.places()):
        near_the_top = len(place) <= 4 and place[0] == "__metadata__"
        if near_the_top or generator.random() < 0.3:
            yield f"{place} removed", forger.removed(place)
        for value in HOSTILE_VALUES if near_the_top else generator.sample(HOSTILE_VALUES, 1):
            yield f"{place} = {value!r}", forger.replaced(place, value)


def integers(data: bytes) -> Damage:
    """Every number in the header moved a little or a lot."""
    generator = random.Random(SEED)
    forger = Forger(data)
    for place in list(forger.places()):
        number = forger.at(place)
        if type(number) is not int:
            continue
        variants = (number - 1, number + 1, number + 16, 2 * number, number // 2, -number, number + 2**32)
        for value in generator.sample(variants, 3):
            yield f"{place} = {value}", forger.replaced(place, value)


def wiring(data: bytes) -> Damage:
    """Operands, buffers, steps and tensors exchanged at random."""
    generator = random.Random(SEED)
    forger = Forger(data)
    tensors = [name for name in forger.header if name != "__metadata__"]
    buffers = [buffer["name"] for buffer in forger.at(("__metadata__", "manifest", "program", "buffers"))]
    names = [*tensors, *buffers, "input_ids", "cu_seqlens", "position_ids", "token_type_ids", ""]
    for attempt in range(300):
        changed = copy.deepcopy(forger.header)
        program = changed["__metadata__"]["manifest"]["program"]
        step, other = generator.choice(program["steps"]), generator.choice(program["steps"])
        kind = generator.choice(["input", "operand", "output", "slot", "op", "step", "order", "tensors"])
        if kind == "input":
            step["inputs"][generator.choice(list(step["inputs"]))] = generator.choice(names)
        elif kind == "operand":
            value = step["inputs"].pop(generator.choice(list(step["inputs"])))
            step["inputs"][generator.choice(list(other["inputs"]))] = value
        elif kind == "output":
            step["outputs"][generator.randrange(len(step["outputs"]))] = generator.choice(names)
        elif kind == "slot":
            generator.choice(program["buffers"])["slot"] = generator.randrange(len(program["slots"]))
        elif kind == "op":
            step["op"] = other["op"]
        elif kind == "step":
            step.update(op=other["op"], inputs=other["inputs"], attributes=other["attributes"])
        elif kind == "order":
            generator.shuffle(program["steps"])
        else:
            first, second = generator.sample(tensors, 2)
            changed[first], changed[second] = (
                {**changed[first], "dtype": changed[second]["dtype"], "shape": changed[second]["shape"]},
                {**changed[second], "dtype": changed[first]["dtype"], "shape": changed[first]["shape"]},
            )
        yield f"wiring {attempt}: {kind} of {step['name']}", forger.file(changed)


def tokenizers(data: bytes) -> Damage:
    """Tokenizers that are damaged, or fit another model."""
    generator = random.Random(SEED)
    forger = Forger(data)
    place = ("__metadata__", "tokenizer")
    text = forger.at(place)
    variants = ["", "{}", "null", "[]", "0", "\ud800", text[: len(text) // 2], text + text]
    for _ in range(80):
        at = generator.randrange(len(text))
        variants.append(text[:at] + generator.choice('0{}[],:"\\x') + text[at + 1 :])
    parsed = json.loads(text)
    for word, number in list(parsed["model"]["vocab"].items())[:12]:
        for other in (-1, 10**6, 2**31, 2**32, 2**40):
            parsed["model"]["vocab"][word] = other
            variants.append(json.dumps(parsed))
        parsed["model"]["vocab"][word] = number
    for index, variant in enumerate(variants):
        yield f"tokenizer {index}: {variant[:40]!r}", forger.replaced(place, variant)


def regions(data: bytes) -> Damage:
    """What steps on the host compute: fields removed, replaced by hostile values, numbers moved."""
    generator = random.Random(SEED)
    forger = Forger(data)
    program: Place = ("__metadata__", "manifest", "program")
    for index, step in enumerate(forger.at((*program, "steps"))):
        if "region" not in step["attributes"]:
            continue
        place = (*program, "steps", index, "attributes", "region")
        region = json.loads(step["attributes"]["region"])
        for inner in list(places(region)):
            container = functools.reduce(lambda value, key: value[key], inner[:-1], region)
            before = container[inner[-1]]
            values = generator.sample(HOSTILE_VALUES, 2)
            if type(before) is int:
                values += generator.sample([before - 1, before + 1, 2 * before, 10**6 * before, -before], 2)
            for value in values:
                container[inner[-1]] = value
                yield f"{step['name']} {inner} = {value!r}", forger.replaced(place, json.dumps(region))
            container[inner[-1]] = before
        for text in ("", "{}", "[" * 10**5, "null", step["attributes"]["region"][:-1]):
            yield f"{step['name']} is {text[:20]!r}", forger.replaced(place, text)


ATTACKS: dict[str, Callable[[bytes], Damage]] = {
    attack.__name__: attack
    for attack in (
        truncated,
        extended,
        noise,
        header_bits,
        weight_bits,
        header_fields,
        integers,
        wiring,
        tokenizers,
        regions,
    )
}


def use(path: Path) -> str:
    """Load the file and answer some texts; "fine", or the exception's class and message."""
    try:
        encoder = bertc.load(path, num_threads=1)
        answers = getattr(encoder, METHODS[encoder.info.task])(TEXTS)
        assert len(answers) == len(TEXTS)
    except BaseException as error:  # also what Rust code panics with
        return f"{type(error).__name__}: {error}"
    return "fine"


def limit_memory() -> None:
    """Except where the address space is larger already: under AddressSanitizer it is endless."""
    sizes = Path("/proc/self/statm")
    if sizes.exists() and int(sizes.read_text().split()[0]) * resource.getpagesize() < MEMORY:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def main() -> None:
    kind, artifact, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    if not under_address_sanitizer():  # whose shadow memory is terabytes of address space
        limit_memory()
    warnings.simplefilter("ignore")
    target = folder / "damaged.bertc"
    for name, data in ATTACKS[kind](artifact.read_bytes()):
        target.unlink(missing_ok=True)
        target.write_bytes(data)
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        sys.stdout.write(json.dumps([name, ""]) + "\n")
        sys.stdout.flush()
        sys.stdout.write(json.dumps([name, use(target)]) + "\n")
    faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    faulthandler.enable()
    main()
