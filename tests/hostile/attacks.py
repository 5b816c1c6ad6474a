"""Damages a file in many ways and uses each result; run as a child process, since it may crash.

    python -m tests.hostile.attacks KIND ARTIFACT FOLDER

Prints two JSON pairs for each damage: ``[name, ""]`` before, so that a crash has a name, and
``[name, outcome]`` after. An outcome is "fine", or the exception's class and message.
"""

from __future__ import annotations

import copy
import faulthandler
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

SEED = 20
HANG_SECONDS = 60
MEMORY = 4 * 2**30
"""Address space of the child: a size out of a file must not make us allocate without end."""

Damage = Iterator[tuple[str, bytes]]
Place = tuple[str | int, ...]

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


def split(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The header, its manifest parsed in place, and the tensor data."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"]["manifest"] = json.loads(header["__metadata__"]["manifest"])
    return header, data[8 + length :]


def is_hash(value: Any) -> bool:
    return isinstance(value, str) and len(value) == len(EMPTY_HASH)


def join(header: dict[str, Any], weights: bytes) -> bytes:
    """A file with a header whose hash is right, whatever it says: only checks of meaning can catch it."""
    header = copy.deepcopy(header)
    metadata = header.get("__metadata__")
    if isinstance(metadata, dict):
        if "manifest" in metadata and not isinstance(metadata["manifest"], str):
            metadata["manifest"] = json.dumps(metadata["manifest"])
        if is_hash(metadata.get("header_sha256")):
            metadata["header_sha256"] = EMPTY_HASH
    raw = json.dumps(header).encode()
    raw += b" " * (-(len(raw) + 8) % 64)
    raw = raw.replace(EMPTY_HASH.encode(), header_hash(raw).encode(), 1)
    return prefix(len(raw)) + raw + weights


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


def leaves(value: Any, path: Place = ()) -> Iterator[Place]:
    """The path of everything in nested dicts and lists, containers included."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from leaves(item, (*path, key))


def edited(header: dict[str, Any], path: Place, edit: Callable[[Any, Any], None]) -> dict[str, Any]:
    """A copy of the header where ``edit(container, key)`` was applied to the place at the path."""
    header = copy.deepcopy(header)
    place: Any = header
    for key in path[:-1]:
        place = place[key]
    edit(place, path[-1])
    return header


def header_fields(data: bytes) -> Damage:
    """Every field of the header removed, and replaced by hostile values, under a correct hash."""
    generator = random.Random(SEED)
    header, weights = split(data)
    for path in leaves(header):

        def remove(place: Any, key: Any) -> None:
            del place[key]

        yield f"{path} removed", join(edited(header, path, remove), weights)
        near_the_top = len(path) <= 2
        for value in HOSTILE_VALUES if near_the_top else generator.sample(HOSTILE_VALUES, 3):

            def put(place: Any, key: Any, value: Any = value) -> None:
                place[key] = value

            yield f"{path} = {value!r}", join(edited(header, path, put), weights)


def integers(data: bytes) -> Damage:
    """Every number in the header moved a little and a lot, under a correct hash."""
    header, weights = split(data)
    for path in leaves(header):
        place: Any = header
        for key in path:
            place = place[key]
        if type(place) is not int:
            continue
        for value in (place - 1, place + 1, place + 16, 2 * place, place // 2, -place, place + 2**32):

            def put(container: Any, key: Any, value: Any = value) -> None:
                container[key] = value

            yield f"{path} = {value}", join(edited(header, path, put), weights)


def wiring(data: bytes) -> Damage:
    """Operands, buffers and steps exchanged at random, under a correct hash."""
    generator = random.Random(SEED)
    header, weights = split(data)
    program = header["__metadata__"]["manifest"]["program"]
    names = [name for name in header if name != "__metadata__"]
    names += [buffer["name"] for buffer in program["buffers"]]
    names += ["input_ids", "cu_seqlens", "position_ids", "token_type_ids", ""]
    for attempt in range(400):
        changed = copy.deepcopy(header)
        program = changed["__metadata__"]["manifest"]["program"]
        step = generator.choice(program["steps"])
        kind = generator.randrange(6)
        if kind == 0:
            step["inputs"][generator.randrange(len(step["inputs"]))] = generator.choice(names)
        elif kind == 1:
            step["outputs"][generator.randrange(len(step["outputs"]))] = generator.choice(names)
        elif kind == 2:
            generator.choice(program["buffers"])["slot"] = generator.randrange(len(program["slots"]))
        elif kind == 3:
            step["op"] = generator.choice(program["steps"])["op"]
        elif kind == 4:
            generator.shuffle(program["steps"])
        else:
            first, second = generator.choices([name for name in changed if name != "__metadata__"], k=2)
            for key in ("dtype", "shape"):
                changed[first][key], changed[second][key] = changed[second][key], changed[first][key]
        yield f"wiring {attempt}, kind {kind}, {step['name']}", join(changed, weights)


def tokenizers(data: bytes) -> Damage:
    """Tokenizers that are damaged, or fit another model, under a correct hash."""
    generator = random.Random(SEED)
    header, weights = split(data)
    text = header["__metadata__"]["tokenizer"]
    variants = ["", "{}", "null", "[]", "0", "\ud800", text[: len(text) // 2], text + text]
    for _ in range(100):
        at = generator.randrange(len(text))
        variants.append(text[:at] + generator.choice('0{}[],:"\\x') + text[at + 1 :])
    parsed = json.loads(text)
    for word in list(parsed["model"]["vocab"])[:20]:
        for number in (-1, 10**6, 2**31, 2**32, 2**40):
            changed = copy.deepcopy(parsed)
            changed["model"]["vocab"][word] = number
            variants.append(json.dumps(changed))
    for index, variant in enumerate(variants):
        changed = copy.deepcopy(header)
        changed["__metadata__"]["tokenizer"] = variant
        yield f"tokenizer {index}: {variant[:40]!r}", join(changed, weights)


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


def main() -> None:
    kind, artifact, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
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
