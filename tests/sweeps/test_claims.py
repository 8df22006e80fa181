"""One process a unit: by locks, by creation where there are none, and after a death."""

import contextlib
import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from jaxvae.sweeps import claims
from jaxvae.sweeps.claims import STALE_SECONDS, LostError, claim, holders
from jaxvae.training.signals import Terminated, clear_pending, terminable
from tests.files.disks import set_age, without_locks

HOLD = """
import errno, fcntl, sys
from pathlib import Path
from jaxvae.sweeps.claims import claim
def without(descriptor, operation):
    raise OSError(errno.ENOSYS, "no locks")
if sys.argv[2] == "created":
    fcntl.flock = without
with claim(Path(sys.argv[1]), "unit"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=["locked", "created"])
def way(request, monkeypatch):
    """How units are held: on a disk with locks, or without."""
    if request.param == "created":
        monkeypatch.setattr(fcntl, "flock", without_locks)
    return request.param


def start(folder, way):
    """Another process that holds the unit."""
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", HOLD, folder, way], stdin=pipe, stdout=pipe)
    assert process.stdout.readline() == b"held\n"
    return process


def kill(process):
    with process:
        process.kill()


def files(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.usefixtures("way")
def test_a_unit_is_held_once_and_free_again_after_it_and_nothing_is_left(tmp_path):
    for _ in range(2):
        with claim(tmp_path, "unit") as tell, claim(tmp_path, "other") as two:
            assert tell is not None
            assert two is not None
            with claim(tmp_path, "unit") as again:
                assert again is None
            assert files(tmp_path) == ["other.claim", "unit.claim"]
    assert files(tmp_path) == []


@pytest.mark.usefixtures("way")
def test_a_unit_is_free_again_after_an_error(tmp_path):
    with pytest.raises(ValueError, match="broken"), claim(tmp_path, "unit"):
        raise ValueError("broken")
    assert files(tmp_path) == []


@pytest.mark.usefixtures("way")
def test_a_termination_at_any_call_until_a_unit_is_held_leaves_no_holder(tmp_path):
    def calls(terminated=None):
        """How many calls are made until a unit is held; at one of them SIGTERM comes."""
        count = 0

        def on_event(frame, event, argument):
            nonlocal count
            # Python looks at signals as it begins a function and as one of C has returned.
            if event in ("call", "c_return"):
                count += 1
                if count == terminated:
                    signal.raise_signal(signal.SIGTERM)

        before = sys.getprofile()
        try:
            sys.setprofile(on_event)
            with claim(tmp_path, "unit"):
                sys.setprofile(before)
        finally:
            sys.setprofile(before)
        return count

    with terminable():
        # What a folder is asked once, the first claim asks.
        calls()
        every = calls()
        assert every > 0
        for terminated in range(1, every + 1):
            # Some are fewer: a thread that has started is not waited for.
            with contextlib.suppress(Terminated):
                calls(terminated)
            clear_pending()
            assert files(tmp_path) == []


def test_a_process_tells_others_how_far_it_is(tmp_path, way):
    process = start(tmp_path, way)
    holder = holders(tmp_path)["unit"]
    assert (holder.host, holder.process) == (socket.gethostname(), process.pid)
    assert (holder.share, holder.status) == (0.0, "beginning")
    with claim(tmp_path, "unit") as tell:
        assert tell is None
    kill(process)


@pytest.mark.usefixtures("way")
def test_what_is_told_is_read_by_others_whole_at_any_time(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "_TOLD_SECONDS", 0.0)
    with claim(tmp_path, "unit") as tell:
        for share, status in ((0.25, "a long status \N{GREEK CAPITAL LETTER DELTA}" * 99), (1, "")):
            tell(share, status)
            found = holders(tmp_path)["unit"]
            assert found.share == share
            assert status.startswith(found.status)


def test_a_lock_is_free_the_moment_its_process_is_killed(tmp_path):
    kill(start(tmp_path, "locked"))
    with claim(tmp_path, "unit") as tell:
        assert tell is not None
    assert files(tmp_path) == []


def test_a_file_that_was_created_is_taken_over_when_nobody_has_renewed_it_for_two_minutes(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(fcntl, "flock", without_locks)
    kill(start(tmp_path, "created"))
    file = tmp_path / "unit.claim"
    for age, is_free in ((0, False), (STALE_SECONDS - 5, False), (STALE_SECONDS + 5, True)):
        set_age(file, age)
        with claim(tmp_path, "unit") as tell:
            assert (tell is not None) == is_free
    assert files(tmp_path) == []


@pytest.mark.usefixtures("way")
def test_a_holder_renews_its_file(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "_RENEWED_SECONDS", 0.01)
    with claim(tmp_path, "unit"):
        file = tmp_path / "unit.claim"
        set_age(file, 2 * STALE_SECONDS)
        end = time.monotonic() + 60
        while time.time() - file.stat().st_mtime > STALE_SECONDS:
            assert time.monotonic() < end
            time.sleep(0.01)
        # Nor is it free for a process that has no locks.
        assert claims._created(file) is None


def test_a_lock_that_other_machines_do_not_see_is_not_trusted_while_they_renew(tmp_path):
    file = tmp_path / "unit.claim"
    for host, age, is_free in (
        ("elsewhere", 0, False),
        ("elsewhere", STALE_SECONDS + 5, True),
        (socket.gethostname(), 0, True),
    ):
        file.write_text(json.dumps([host, 1, 0.5, "training", "another"]))
        set_age(file, age)
        with claim(tmp_path, "unit") as tell:
            assert (tell is not None) == is_free


@pytest.mark.usefixtures("way")
def test_a_process_whose_unit_was_taken_over_is_told_and_leaves_the_file_alone(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(claims, "_TOLD_SECONDS", 0.0)
    file, other = tmp_path / "unit.claim", json.dumps(["elsewhere", 1, 0.5, "training", "another"])
    told = r"unit\.claim to be held by this process"

    def overtaken():
        with claim(tmp_path, "unit") as tell:
            file.unlink()
            file.write_text(other)
            with pytest.raises(LostError, match=told):
                tell(0.5, "training")

    # Also at the end of a block that was too short to tell anything.
    with pytest.raises(LostError, match=told):
        overtaken()
    assert file.read_text() == other


@pytest.mark.usefixtures("way")
def test_what_a_process_that_was_overtaken_is_told_has_no_other_cause(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "_TOLD_SECONDS", 0.0)

    def overtaken():
        with claim(tmp_path, "unit") as tell:
            (tmp_path / "unit.claim").unlink()
            tell(0.5, "training")

    with pytest.raises(LostError) as told:
        overtaken()
    assert told.value.__cause__ is None


def test_a_claim_that_a_full_disk_does_not_hold_is_an_error_of_the_disk_and_leaves_nothing(
    tmp_path,
):
    # The system writes no byte to a file, and says so.
    code = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n" + HOLD
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), "locked"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert "OSError: [Errno 27] File too large" in done.stderr
    assert "held" not in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("way")
def test_an_error_of_a_process_whose_unit_was_taken_over_is_that_it_was(tmp_path):
    def fail(*, lost):
        with claim(tmp_path, "unit"):
            if lost:
                (tmp_path / "unit.claim").unlink()
            raise FileNotFoundError("removed by whoever has it")

    with pytest.raises(LostError, match=r"unit\.claim to be held by this process"):
        fail(lost=True)
    with pytest.raises(FileNotFoundError):
        fail(lost=False)


def test_a_file_that_another_has_just_taken_over_is_given_back(tmp_path):
    # As it is for the second of two that found it stale.
    file = tmp_path / "unit.claim"
    file.write_text("of the first")
    claims._take_away(file)
    assert file.read_text() == "of the first"
    assert files(tmp_path) == ["unit.claim"]


def test_who_was_killed_is_no_holder_after_two_minutes_and_torn_files_are_none(tmp_path):
    (tmp_path / "torn.claim").write_text('["host", 3')
    (tmp_path / "other.claim").write_text("[]")
    kill(start(tmp_path, "locked"))
    assert set(holders(tmp_path)) == {"unit"}
    set_age(tmp_path / "unit.claim", STALE_SECONDS + 5)
    assert holders(tmp_path) == {}
    assert holders(tmp_path / "absent") == {}


def test_who_is_at_work_is_told_by_the_clock_of_the_disk(tmp_path, monkeypatch):
    with claim(tmp_path, "unit"):
        # As on a machine whose own clock is an hour ahead.
        monkeypatch.setattr(time, "time", lambda now=time.time: now() + 3600)
        assert set(holders(tmp_path)) == {"unit"}


def test_an_error_of_the_lock_that_is_no_lack_of_locks_is_raised(tmp_path, monkeypatch):
    def broken(descriptor, operation):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)), claim(tmp_path, "unit"):
        pass


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError), claim(tmp_path / "file" / "claims", "unit"):
        pass
