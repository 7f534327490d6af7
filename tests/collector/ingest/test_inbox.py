import threading
import time

from collector.ingest.inbox import MANY, Inbox


def waited(inbox: Inbox) -> bool:
    began = time.monotonic()
    inbox.wait(0.2)
    return time.monotonic() - began >= 0.2


def nothing() -> None: ...


def test_work_comes_out_in_order_whatever_is_urgent() -> None:
    inbox, heard = Inbox(), list[int]()
    for number in range(4):
        inbox.put(lambda number=number: heard.append(number), urgent=number == 2)  # type: ignore[misc]
    while (work := inbox.take()) is not None:
        work()
    assert heard == [0, 1, 2, 3]
    assert inbox.take() is None


def test_ordinary_work_does_not_wake_and_urgent_work_does() -> None:
    inbox = Inbox()
    inbox.put(nothing)
    assert waited(inbox)
    inbox.put(nothing, urgent=True)
    assert not waited(inbox)
    inbox.take()
    assert waited(inbox)
    threading.Timer(0.02, inbox.put, (nothing,), {"urgent": True}).start()
    assert not waited(inbox)


def test_much_work_wakes_and_what_is_left_does_not_wait() -> None:
    inbox = Inbox()
    for _ in range(MANY + 10):
        inbox.put(nothing)
    assert not waited(inbox)
    assert not waited(inbox)
    for _ in range(20):
        inbox.take()
    assert waited(inbox)
    inbox.hurry()
    assert not waited(inbox)
    assert len(inbox) == MANY - 10
