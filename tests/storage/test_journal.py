import random
import resource
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eefcore.errors import StoreError
from eefcore.storage.journal import Journal
from eefcore.types import State


def work(items):
    return [State(str(item), ("a" * (item % 7),)) for item in items]


def never(items):
    raise AssertionError(f"{items} were done before")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 20), st.integers(1, 7))
def test_each_chunk_is_computed_once_and_in_order(tmp_path_factory, n, chunk):
    path = tmp_path_factory.mktemp("journal") / "j.jsonl"
    seen = []

    def noted(items):
        seen.append(list(items))
        return work(items)

    items = list(range(n))
    assert Journal(path, State).run(items, chunk, noted) == work(items)
    assert seen == [items[i : i + chunk] for i in range(0, n, chunk)]
    on_resume = []
    assert Journal(path, State).run(items, chunk, never, on_resume=on_resume.append) == work(items)
    assert on_resume == [n]


def test_a_chunk_may_return_any_number_of_records(tmp_path):
    def odd(items):
        return [State("odd", (str(i),)) for i in items if i % 2 for _ in range(2)]

    journal = Journal(tmp_path / "j.jsonl", State)
    assert journal.run([0, 2, 1, 3, 4], 2, odd) == odd([1, 3])
    assert journal.run([0, 2, 1, 3, 4], 2, never) == odd([1, 3])


class Killed(BaseException):
    pass


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_a_journal_cut_at_any_byte_resumes_with_the_same_records(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("journal") / "j.jsonl"
    items = list(range(9))
    whole = Journal(path, State).run(items, 2, work)
    content = path.read_bytes()
    size = data.draw(st.integers(content.index(b"\n") + 1, len(content)))
    path.write_bytes(content[:size])
    worked = []
    assert Journal(path, State).run(items, 2, lambda c: (worked.extend(c), work(c))[1]) == whole
    assert path.read_bytes() == content
    whole_lines = content[:size].split(b"\n")[:-1]
    assert worked == items[2 * sum(line.startswith(b'{"end_of_chunk":') for line in whole_lines) :]


def test_work_that_raises_loses_only_its_own_chunk(tmp_path):
    path = tmp_path / "j.jsonl"

    def stops(items):
        if 4 in items:
            raise Killed
        return work(items)

    with pytest.raises(Killed):
        Journal(path, State).run(range(8), 2, stops)
    worked = []
    Journal(path, State).run(range(8), 2, lambda items: (worked.extend(items), work(items))[1])
    assert worked == [4, 5, 6, 7]


@pytest.mark.parametrize(
    ("items", "chunk", "fingerprint"),
    [
        (range(9),            2, ""),
        (range(1, 9),         2, ""),
        ([*range(7), 8],      2, ""),
        (range(8),            3, ""),
        (range(8),            2, "another model"),
    ],
)  # fmt: skip
def test_the_journal_of_other_work_is_refused(tmp_path, items, chunk, fingerprint):
    path = tmp_path / "j.jsonl"
    Journal(path, State).run(list(range(8)), 2, work)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"j\.jsonl:1: the journal of other work.*Move it away"):
        Journal(path, State, fingerprint).run(list(items), chunk, never)
    assert path.read_bytes() == before


def test_a_damaged_journal_is_refused_with_the_line(tmp_path):
    path = tmp_path / "j.jsonl"
    Journal(path, State).run([1, 2, 3], 1, work)
    header, first, *rest = path.read_text().splitlines(keepends=True)
    path.write_text("".join([header, '{"task":1}\n', *rest]))
    with pytest.raises(StoreError, match=r"j\.jsonl:2: no record of the expected type"):
        Journal(path, State).run([1, 2, 3], 1, never)
    path.write_text("".join([header, first, first, *rest]))
    with pytest.raises(StoreError, match=r"j\.jsonl:4: expected the end of chunk 0 after 2 records"):
        Journal(path, State).run([1, 2, 3], 1, never)
    path.write_text("")
    with pytest.raises(StoreError, match=r"j\.jsonl:1"):
        Journal(path, State).run([1, 2, 3], 1, never)


def test_a_full_disk_loses_only_the_chunk_at_work(tmp_path):
    path = tmp_path / "j.jsonl"
    journal = Journal(path, State)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(StoreError, match="can't append: File too large; free some space"):
            journal.run(list(range(200)), 10, work)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes().splitlines()[-1].startswith(b'{"end_of_chunk":')
    assert journal.run(list(range(200)), 10, work) == work(range(200))


def test_a_record_that_can_not_be_read_back_is_refused_at_once(tmp_path):
    with pytest.raises(StoreError, match="chunk 0, record 1: this int can't be kept"):
        Journal(tmp_path / "j.jsonl", State).run([1], 1, lambda _: [State("t"), 1])


WORKER = """
import sys, time
from pathlib import Path
from eefcore.storage.journal import Journal
from eefcore.types import State

def work(items):
    with open(sys.argv[2], "a") as log:
        log.write(f"{items[0]}\\n")
    made = []
    for item in items:
        time.sleep(0.001)
        made.append(State(str(item), ("a" * (item % 7),)))
    return made

print("ready", flush=True)
Journal(Path(sys.argv[1]), State).run(list(range(240)), 6, work)
"""


def test_a_process_killed_twenty_times_reaches_the_same_records(tmp_path):
    rng, kills, lives = random.Random(0), 0, 0
    while kills < 20:
        lives += 1
        path, log = tmp_path / f"{lives}.jsonl", tmp_path / f"{lives}.log"
        before, done = kills, False
        while not done:
            worker = subprocess.Popen([sys.executable, "-c", WORKER, path, log], stdout=subprocess.PIPE)
            assert worker.stdout.readline() == b"ready\n"
            if kills < 20:
                time.sleep(rng.uniform(0, 0.05))
                worker.send_signal(signal.SIGKILL)
            done = worker.wait() == 0
            worker.stdout.close()
            kills += not done
        assert Journal(path, State).run(list(range(240)), 6, never) == work(range(240))
        chunks = log.read_text().split()
        assert set(chunks) == {str(i) for i in range(0, 240, 6)}
        assert len(chunks) <= 40 + kills - before
    uninterrupted = tmp_path / "whole.jsonl"
    Journal(uninterrupted, State).run(list(range(240)), 6, work)
    assert path.read_bytes() == uninterrupted.read_bytes()
