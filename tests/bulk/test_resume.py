"""A job that stops in the middle, for whatever reason, goes on with what is left and gives the same files."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pyarrow import parquet

import bertc
from bertc.bulk import work
from bertc.bulk.output import MANIFEST, SUCCESS, Finished, OutputFolder
from bertc.bulk.results import Question
from tests.bulk.conftest import TEXTS, RunJob, files_of, read_rows, write_rows
from tests.conftest import MakeArtifact

JOB = """
import sys, pathlib, bertc
from bertc.bulk.job import JobSettings, run_job
from bertc.bulk.results import Question
source, folder, model, instances = sys.argv[1:]
settings = JobSettings(source, pathlib.Path(folder), Question("encode"), shard_rows=50, resume=True,
                       instances=int(instances))
if __name__ == "__main__":
    run_job(bertc.load(model, num_threads=1), settings)
"""


@pytest.mark.parametrize(("instances", "kills"), [(1, (0, 5, 10)), (2, (3,))])
def test_a_killed_job_resumes_to_the_same_bytes(
    job: RunJob, artifact: MakeArtifact, tmp_path: Path, instances: int, kills: tuple[int, ...]
) -> None:
    rows, out = write_rows(tmp_path / "rows.parquet", TEXTS * 4), tmp_path / "out"
    job(rows, "whole")
    script = tmp_path / "job.py"
    script.write_text(JOB)
    snapshots = []
    for finished in kills:
        child = subprocess.Popen([sys.executable, script, rows, out, artifact(), str(instances)])
        manifest = out / MANIFEST
        while child.poll() is None and (
            not manifest.exists() or manifest.read_bytes().count(b"\n") <= finished
        ):
            time.sleep(0.002)
        child.send_signal(signal.SIGKILL)
        child.wait()
        snapshots.append({path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet")})
        assert not (out / SUCCESS).exists() and len(snapshots[-1]) >= finished
    assert job(rows, resume=True)["resumed_shards"] >= max(kills) and (out / SUCCESS).exists()
    assert files_of(out) == files_of(tmp_path / "whole")
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    for before in snapshots:
        # The manifest may lack the shards whose files had just appeared: one for each instance.
        assert sum(after[name] != stamp for name, stamp in before.items()) <= instances
    assert not list(out.glob(".*.tmp"))


def test_instances_give_the_same_files(job: RunJob, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.csv")
    job(rows, "one")
    assert job(rows, "two", instances=2)["rows"] == len(TEXTS)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def test_a_torn_line_of_the_manifest_is_done_again(job: RunJob, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.parquet")
    job(rows)
    whole = files_of(tmp_path / "out")
    manifest = tmp_path / "out" / MANIFEST
    manifest.write_bytes(manifest.read_bytes()[:-40])
    assert job(rows, resume=True)["resumed_shards"] == 4
    assert files_of(tmp_path / "out") == whole
    assert len([json.loads(line) for line in manifest.read_text().splitlines()]) == 6


def test_a_damaged_row_group_keeps_finished_shards(job: RunJob, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.parquet")
    column = parquet.ParquetFile(rows).metadata.row_group(2).column(1)
    damaged = bytearray(rows.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    damaged[start : start + 40] = bytes(40)
    rows.write_bytes(damaged)
    with pytest.raises(bertc.InputError, match=r"row group 2 cannot be read .*1 finished shards are kept"):
        job(rows)
    assert len(files_of(tmp_path / "out")) == 1 and not (tmp_path / "out" / SUCCESS).exists()


def test_a_file_that_changes_meanwhile_stops_the_job(
    job: RunJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = write_rows(tmp_path / "rows.parquet")
    facts = work.file_facts

    def change(path: Path) -> tuple[int, str]:
        os.utime(rows)
        return facts(path)

    monkeypatch.setattr(work, "file_facts", change)
    with pytest.raises(
        bertc.InputError,
        match=r"has changed since the job began.*new folder.*1 finished shards are kept in \S+$",
    ):
        job(rows)
    monkeypatch.undo()
    with pytest.raises(bertc.InputError, match=r"rows\.parquet has changed, or is gone, since"):
        job(rows, resume=True)


def test_a_disk_that_is_full_keeps_finished_shards(
    job: RunJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = write_rows(tmp_path / "rows.parquet")
    opened = work.shard_file
    left = [None] * 2

    def full(path: Path, fields: list[object]) -> object:
        if not left:
            raise bertc.InputError(f"cannot write {path}: No space left on device")
        left.pop()
        return opened(path, fields)

    monkeypatch.setattr(work, "shard_file", full)
    with pytest.raises(bertc.InputError, match=r"No space left.*2 finished shards are kept.*--resume"):
        job(rows)
    monkeypatch.undo()
    assert job(rows, resume=True)["resumed_shards"] == 2
    assert len(read_rows(tmp_path / "out")) == len(TEXTS)


def test_a_disk_that_has_no_room_for_the_manifest_keeps_what_it_says(tmp_path: Path) -> None:
    shard = Finished("1", "rows.csv", "1.parquet", 1, 0, 0, 3, 0.1, 0, "")
    with OutputFolder(tmp_path, {}, resume=True) as output:
        (tmp_path / shard.file).touch()
        output.add(shard)
    size = (tmp_path / MANIFEST).stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, limits[1]))
    try:
        with (
            pytest.raises(bertc.InputError, match=r"cannot write .*_manifest\.jsonl: File too large"),
            OutputFolder(tmp_path, {}, resume=True) as output,
        ):
            output.add(dataclasses.replace(shard, shard="2"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / MANIFEST).stat().st_size == size + 20
    with OutputFolder(tmp_path, {}, resume=True) as output:
        assert output.finished == {"1": shard}


def test_results_that_are_gone_are_made_again(job: RunJob, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.parquet")
    job(rows)
    whole = files_of(tmp_path / "out")
    gone, cut, *_ = sorted((tmp_path / "out").glob("*.parquet"))
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:-1])
    assert job(rows, resume=True)["resumed_shards"] == 3
    assert files_of(tmp_path / "out") == whole


def test_a_finished_job_that_has_more_to_do_is_not_finished(
    job: RunJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(tmp_path / "in" / "1.parquet", TEXTS[:50])
    job(tmp_path / "in")
    write_rows(tmp_path / "in" / "2.parquet", TEXTS[:50], ids=range(50, 100))
    states: list[bool] = []
    facts = work.file_facts

    def look(path: Path) -> tuple[int, str]:
        states.append((tmp_path / "out" / SUCCESS).exists())
        return facts(path)

    monkeypatch.setattr(work, "file_facts", look)
    assert job(tmp_path / "in", resume=True)["resumed_shards"] == 1
    assert states == [False] and (tmp_path / "out" / SUCCESS).exists()


def test_a_folder_below_its_source_is_no_part_of_it(job: RunJob, tmp_path: Path) -> None:
    write_rows(tmp_path / "in" / "rows.parquet")
    for source in (tmp_path / "in", tmp_path / "in" / "**" / "*.parquet"):
        for state in (0, 5):
            assert job(source, "in/out", resume=True)["resumed_shards"] == state
        shutil.rmtree(tmp_path / "in" / "out")
    with pytest.raises(
        bertc.InputError, match=r"its files are in .*, the folder of results: name a new folder"
    ):
        job(tmp_path / "in", "in")


def test_a_folder_is_not_taken_for_another_job(job: RunJob, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.parquet")
    job(rows)
    with pytest.raises(bertc.InputError, match=r"has a finished job: go on with --resume"):
        job(rows)
    with pytest.raises(bertc.InputError, match=r"another options \(\{\}, now .*normalize"):
        job(rows, resume=True, question=Question("encode", {"normalize_embeddings": True}))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(bertc.InputError, match="has files that are of no job"):
        job(rows, "mine")
    (tmp_path / "out" / MANIFEST).write_text('{"kind": "bertc bulk job"}\n')
    with pytest.raises(bertc.InputError, match="another version of bertc"):
        job(rows, resume=True)


def test_two_jobs_cannot_write_one_folder(
    job: RunJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = write_rows(tmp_path / "rows.parquet")
    refused: list[str] = []
    check = work.file_facts

    def again(path: Path) -> tuple[int, str]:
        monkeypatch.undo()
        with pytest.raises(bertc.InputError, match="another process writes") as caught:
            job(rows, resume=True)
        refused.append(str(caught.value))
        return check(path)

    monkeypatch.setattr(work, "file_facts", again)
    job(rows)
    assert len(refused) == 1
