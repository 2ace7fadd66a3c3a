"""A host's cores are not all ours: Slurm gives a program some, a container has a quota."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from m2v.files.checkout import CHECKOUT

COUNT = [sys.executable, "-c", "from m2v.programs.cores import n_cores; print(n_cores())"]


def test_cores_that_a_scheduler_gave_are_counted() -> None:
    some = {min(os.sched_getaffinity(0))}
    done = subprocess.check_output(COUNT, cwd=CHECKOUT, preexec_fn=lambda: os.sched_setaffinity(0, some))
    assert done == b"1\n"


@pytest.mark.parametrize(("quota", "expected"), [("50000 100000", 1), ("max 100000", None)])
def test_a_containers_quota_is_a_number_of_cores(tmp_path: Path, quota: str, expected: int | None) -> None:
    (tmp_path / "cpu.max").write_text(quota, encoding="utf-8")
    there = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /sys/fs/cgroup; exec "$@"', str(tmp_path)]
    done = subprocess.check_output([*there, *COUNT], cwd=CHECKOUT)
    assert int(done) == (expected or len(os.sched_getaffinity(0)))
