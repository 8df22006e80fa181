"""SIGTERM as an exception in the main thread, and what waits for the end of a block."""

import gc
import os
import signal
import threading
import time
from contextlib import ExitStack

import pytest

from jaxvae.training.signals import (
    Terminated,
    clear_pending,
    name_and_status,
    postponed,
    raise_pending,
    terminable,
)


def test_sigterm_is_raised_within_the_block_and_what_heeds_ctrl_c_heeds_it():
    with pytest.raises(KeyboardInterrupt) as caught, terminable():
        os.kill(os.getpid(), signal.SIGTERM)
    assert caught.type is Terminated


@pytest.mark.parametrize("ends", [True, False], ids=["well", "with an error"])
def test_the_earlier_handler_is_put_back(ends):
    def handler(number, frame):
        pass

    before = signal.signal(signal.SIGTERM, handler)
    try:
        if ends:
            with terminable():
                pass
        else:
            with pytest.raises(ValueError, match="no"), terminable():
                raise ValueError("no")
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_another_thread_can_use_it_and_changes_nothing():
    seen = []

    def work():
        with terminable():
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def number(request):
    # A shell that runs the tests in the background has them ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield request.param
    signal.signal(signal.SIGINT, before)


def test_a_postponed_signal_is_raised_at_the_end_of_the_block(number):
    done = []

    def work():
        with postponed(), postponed():
            os.kill(os.getpid(), number)
            done.append("all of it")

    with pytest.raises(KeyboardInterrupt), terminable():
        work()
    assert done == ["all of it"]


@pytest.mark.parametrize("blocks", [1, 2])
def test_a_second_signal_is_not_postponed(number, blocks):
    done = []

    def work():
        with ExitStack() as stack:
            for _ in range(blocks):
                stack.enter_context(postponed())
            os.kill(os.getpid(), number)
            done.append("a part")
            os.kill(os.getpid(), number)
            done.append("all of it")

    with pytest.raises(KeyboardInterrupt), terminable():
        work()
    assert done == ["a part"]


def test_without_a_signal_the_handlers_are_put_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with postponed():
        pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_each_interruption_has_its_name_and_status():
    assert name_and_status(KeyboardInterrupt()) == ("Interrupted", 130)
    assert name_and_status(Terminated()) == ("Terminated", 143)


# --- what is dropped on the way -------------------------------------------------------


@pytest.fixture
def in_collection():
    """Sends this process a signal within a callback of the garbage collection, so many times."""

    def collect(number, times):
        def callback(phase, info):
            if phase == "start" and times > len(sent):
                sent.append(number)
                os.kill(os.getpid(), number)
                for _ in range(1000):  # here the exception comes up, and is dropped
                    pass

        sent = []
        gc.callbacks.append(callback)
        callbacks.append(callback)
        for _ in range(times):
            gc.collect(0)  # the callbacks of any other
        assert len(sent) == times

    callbacks = []
    yield collect
    for callback in callbacks:
        gc.callbacks.remove(callback)


@pytest.mark.parametrize("times", [1, 3])
def test_a_signal_that_a_garbage_collection_drops_is_raised_again(in_collection, number, times):
    def work():
        in_collection(number, times)
        time.sleep(30)

    with pytest.raises(KeyboardInterrupt), terminable():
        work()


def test_a_signal_that_is_dropped_waits_for_the_end_of_a_block_that_postpones(in_collection):
    done = []

    def work():
        in_collection(signal.SIGTERM, 1)
        with postponed():
            time.sleep(0.2)
            done.append("all of it")
        time.sleep(30)

    with pytest.raises(Terminated), terminable():
        work()
    assert done == ["all of it"]


def swallow(number):
    try:
        os.kill(os.getpid(), number)
        time.sleep(1)
    except:  # noqa: E722
        pass


def test_what_was_swallowed_is_raised_by_the_next_loop_that_looks(number):
    def work():
        swallow(number)
        raise_pending()
        time.sleep(30)

    with pytest.raises(KeyboardInterrupt), terminable():
        work()


def test_what_was_swallowed_is_raised_at_the_end_at_the_latest(number):
    with pytest.raises(KeyboardInterrupt), terminable():
        swallow(number)


def test_what_was_heard_is_not_raised_again(number):
    with terminable():
        swallow(number)
        clear_pending()
        raise_pending()


def test_without_a_signal_a_loop_that_looks_goes_on():
    with terminable():
        raise_pending()
    raise_pending()
