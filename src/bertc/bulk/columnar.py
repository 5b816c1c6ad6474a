"""Parquet and Arrow IPC files, row group by row group (record batch by record batch)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bertc.bulk.parts import PART_CHARACTERS, PART_ROWS, Part, Rejected
from bertc.bulk.storage import InputFile
from bertc.errors import InputError, MissingExtraError

Columns = tuple[str, ...]


def pyarrow(purpose: str) -> Any:
    """Return the package. Raises ``MissingExtraError``."""
    try:
        import pyarrow
    except ImportError:
        raise MissingExtraError("pyarrow", "parquet", purpose) from None
    return pyarrow


def parquet_columns(file: InputFile) -> list[tuple[str, Any]]:
    """Return the names of the columns of a parquet file and their types. Raises ``InputError``."""
    with _open_parquet(file) as opened:
        return [(each.name, each.type) for each in opened.schema_arrow]


def plan_parquet(file: InputFile, shard_rows: int) -> Iterator[tuple[int, int, int]]:
    """Yield row ranges of whole row groups; groups that are larger than a shard are cut."""
    with _open_parquet(file) as opened:
        metadata = opened.metadata
        groups = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
    yield from cut(groups, shard_rows)


def read_parquet(
    file: InputFile, begin: int, end: int, first_row: int, columns: Columns, id_column: str | None
) -> Iterator[Part]:
    """Yield the rows of a range. Raises ``InputError`` that names the row group that cannot be read."""
    del first_row
    wanted = [*columns, *([] if id_column is None or id_column in columns else [id_column])]
    with _open_parquet(file) as opened:
        start = 0
        for group in range(opened.metadata.num_row_groups):
            facts = opened.metadata.row_group(group)
            stop = start + facts.num_rows
            if start < end and stop > begin:
                with _blame(file, f"row group {group}"):
                    batches = opened.iter_batches(_batch_rows(facts), row_groups=[group], columns=wanted)
                    yield from _parts(batches, start, begin, end, columns, id_column)
            start = stop


def arrow_columns(file: InputFile) -> list[tuple[str, Any]]:
    """Return the names of the columns of an Arrow IPC file and their types. Raises ``InputError``."""
    with _open_arrow(file) as opened:
        return [(each.name, each.type) for each in opened.schema]


def plan_arrow(file: InputFile, shard_rows: int) -> Iterator[tuple[int, int, int]]:
    """Yield row ranges of whole record batches; larger ones are cut."""
    with _open_arrow(file) as opened:
        sizes = []
        for index in range(opened.num_record_batches):
            with _blame(file, f"record batch {index}"):
                sizes.append(opened.get_batch(index).num_rows)
    yield from cut(sizes, shard_rows)


def read_arrow(
    file: InputFile, begin: int, end: int, first_row: int, columns: Columns, id_column: str | None
) -> Iterator[Part]:
    """Yield the rows of a range. Raises ``InputError`` that names the record batch that cannot be read."""
    del first_row
    with _open_arrow(file) as opened:
        start = 0
        for index in range(opened.num_record_batches):
            if start >= end:
                return
            with _blame(file, f"record batch {index}"):
                batch = opened.get_batch(index)
                rows = max(1, min(PART_ROWS, PART_CHARACTERS * batch.num_rows // max(batch.nbytes, 1)))
                pieces = (batch.slice(at, rows) for at in range(0, batch.num_rows, rows))
                yield from _parts(pieces, start, begin, end, columns, id_column)
                start += batch.num_rows


def cut(groups: Sequence[int], shard_rows: int) -> Iterator[tuple[int, int, int]]:
    """Yield (begin, end, rows) of runs of groups with at most ``shard_rows`` rows.

    A larger group is cut into parts of about the same size.
    """
    begin = end = 0
    for rows in groups:
        if end > begin and end + rows - begin > shard_rows:
            yield begin, end, end - begin
            begin = end
        end += rows
        while end - begin > shard_rows:
            size = -(-(end - begin) // -(-(end - begin) // shard_rows))
            yield begin, begin + size, size
            begin += size
    if end > begin:
        yield begin, end, end - begin


def _batch_rows(facts: Any) -> int:
    """Return how many rows of a row group to read at once."""
    size = facts.total_byte_size
    return int(max(1, min(PART_ROWS, PART_CHARACTERS * facts.num_rows // max(size, 1))))


def _parts(
    batches: Iterator[Any], start: int, begin: int, end: int, columns: Columns, id_column: str | None
) -> Iterator[Part]:
    """Yield what batches have of a range; the first row of the first batch is the file's row ``start``."""
    for batch in batches:
        lower, upper = max(begin - start, 0), min(end - start, batch.num_rows)
        if lower < upper:
            piece = batch.slice(lower, upper - lower)
            ids = None if id_column is None else _without_view(piece.column(id_column))
            yield _part(start + lower, [piece.column(name) for name in columns], ids)
        start += batch.num_rows


def _part(first: int, columns: Sequence[Any], ids: Any) -> Part:
    lists, bad = [], {}
    for column in columns:
        values, wrong = _strings(column)
        lists.append(values)
        bad.update(wrong)
    numbers = range(len(lists[0]))
    if not bad:
        return Part([first + index for index in numbers], list(zip(*lists, strict=True)), ids)
    good = [index for index in numbers if index not in bad]
    texts = [tuple(values[index] for values in lists) for index in good]
    rejected = [Rejected(first + index, reason) for index, reason in sorted(bad.items())]
    return Part([first + index for index in good], texts, None if ids is None else ids.take(good), rejected)


def _strings(column: Any) -> tuple[list[str | None], dict[int, str]]:
    """Return the strings of an Arrow array, and by index why one cannot be read."""
    try:
        return column.to_pylist(), {}
    except UnicodeDecodeError:
        values: list[str | None] = []
        bad = {}
        for index, scalar in enumerate(column):
            try:
                values.append(scalar.as_py())
            except UnicodeDecodeError as error:
                values.append(None)
                bad[index] = f"not UTF-8 ({error.reason})"
        return values, bad


def is_text(kind: Any) -> bool:
    """Tell whether an Arrow type is one of strings, in a dictionary or not."""
    types = pyarrow("reading texts").types
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _without_view(ids: Any) -> Any:
    """Return an Arrow array in another form if rows cannot be taken from it."""
    arrow = pyarrow("reading ids")
    plain = {arrow.string_view(): arrow.string(), arrow.binary_view(): arrow.binary()}
    return ids.cast(plain[ids.type]) if ids.type in plain else ids


@contextmanager
def _open_parquet(file: InputFile) -> Iterator[Any]:
    pyarrow(f"reading {file.path}")
    from pyarrow import parquet

    with _blame(file, "the file"), file.open() as raw, parquet.ParquetFile(raw) as opened:
        yield opened


@contextmanager
def _open_arrow(file: InputFile) -> Iterator[Any]:
    pyarrow(f"reading {file.path}")
    from pyarrow import ipc

    with _blame(file, "the file"), file.open() as raw, ipc.open_file(raw) as opened:
        yield opened


@contextmanager
def _blame(file: InputFile, what: str) -> Iterator[None]:
    """Raise ``InputError`` that says where, for what Arrow raises."""
    arrow = pyarrow(f"reading {file.path}")
    try:
        yield
    except (arrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{file.path}: {what} cannot be read ({reason}): write the file again, or leave it out"
        ) from None
