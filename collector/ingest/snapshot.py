"""The head's windows in a file: written piece by piece beside other work, whole or not at all, read back at the start.

The engine's thread takes the records out of the head; a thread of our own makes bytes of them and writes.
"""

import logging
import os
import queue
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from collector.head import Decoder, Encoder, Head, Record, RecordError

MAGIC = b"czuwak head 2\n"  # another number: another format, not to be read
EVERY = 300.0
MOST = 512 * 1024 * 1024  # bytes of records; hosts beyond it begin anew after a restart
MOST_RECORD = 64 * 1024 * 1024
SLICE = 0.01  # seconds of the engine's time at once
_AHEAD = 64  # records that wait for the writer
_FRAME = struct.Struct("<IIB")  # size, checksum, whether it is the last
_BETWEEN_FITS = 100  # records
_PATIENCE = 8.0

log = logging.getLogger(__name__)


class Snapshot:
    """Owned by the engine's thread. `most` is the file's bound in bytes before compression."""

    def __init__(self, path: Path, *, every: float = EVERY, most: int = MOST) -> None:
        self._path = path
        self._every = every
        self._most = most
        self._next = 0.0
        self._records: Iterator[Record] | None = None
        self._writer: _Writer | None = None

    def restore(self, head: Head, now: float, fit: Callable[[], None] = lambda: None) -> int:
        """How many records the head took up. A file that is damaged, foreign or not there is told and passed over.

        `fit` looks now and then how long series can be kept: what is taken up for too long has to be moved later.
        """
        self._next = now + self._every
        taken, decoder = 0, Decoder()
        try:
            for data in read(self._path):
                head.restore(decoder.decode(data))
                taken += 1
                if taken % _BETWEEN_FITS == 0:
                    fit()
        except FileNotFoundError:
            return 0
        except (OSError, RecordError) as error:
            log.warning("The snapshot is not whole: %s", error, extra={"action": "snapshot_damaged"})
        head.compact(now)
        log.info("%d records of the snapshot are taken up.", taken, extra={"action": "snapshot_restored"})
        return taken

    def step(self, head: Head, now: float) -> None:
        """Does a slice of the snapshot that is under way, or begins one when it is time."""
        if self._writer is None:
            if now < self._next:
                return
            self._begin(head, now)
        self._pass_on(time.perf_counter() + SLICE)

    def finish(self, head: Head, now: float) -> None:
        """A last whole snapshot, at the end of the process."""
        if self._writer is not None:
            self._writer.abandon()
        self._begin(head, now)
        until = time.perf_counter() + _PATIENCE
        while self._writer is not None and time.perf_counter() < until:
            self._pass_on(until)
            time.sleep(0.001)
        if self._writer is not None:
            self._writer.abandon()

    def _begin(self, head: Head, now: float) -> None:
        self._next = now + self._every
        self._records = head.records()
        self._writer = _Writer(self._path, self._most)
        self._writer.start()

    def _pass_on(self, until: float) -> None:
        writer = self._writer
        while writer is not None and self._records is not None and writer.waiting < _AHEAD:
            record = next(self._records, None)
            if record is None:
                self._records = None
                writer.close()
            else:
                writer.put(record)
            if time.perf_counter() >= until:
                break
        if writer is not None and not writer.is_alive():
            self._records = self._writer = None


class _Writer(threading.Thread):
    """Writes one snapshot beside the old one and puts it in its place."""

    def __init__(self, path: Path, most: int) -> None:
        super().__init__(name="snapshot", daemon=True)
        self._path = path
        self._left = most
        self._inbox: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
        self._abandoned = threading.Event()

    @property
    def waiting(self) -> int:
        """Records not yet written."""
        return self._inbox.qsize()

    def put(self, record: Record) -> None:
        """One more record."""
        self._inbox.put(record)

    def close(self) -> None:
        """That was all."""
        self._inbox.put(None)

    def abandon(self) -> None:
        """The old snapshot stays."""
        self._abandoned.set()
        self.close()
        self.join(_PATIENCE)

    def run(self) -> None:
        """Until the last record; a full disk costs this snapshot and nothing else."""
        fresh = self._path.with_name(self._path.name + ".new")
        encoder = Encoder()
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(MAGIC)
                while (record := self._inbox.get()) is not None:
                    self._write(file.write, encoder.encode(record))
                file.write(_FRAME.pack(0, 0, 1))
                file.flush()
                os.fsync(file.fileno())
            if self._abandoned.is_set():
                fresh.unlink()
            else:
                fresh.replace(self._path)
                _sync(self._path.parent)
        except OSError as error:
            log.warning("The snapshot is not written: %s", error, extra={"action": "snapshot_failed"})

    def _write(self, write: Callable[[bytes], int], data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0 or self._abandoned.is_set():
            return
        packed = zlib.compress(data, 1)
        write(_FRAME.pack(len(packed), zlib.crc32(packed), 0))
        write(packed)


def read(path: Path) -> Iterator[bytes]:
    """The records of a file one by one. Raises FileNotFoundError, OSError, and RecordError where it is damaged."""
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise RecordError(f"{path.name} is not of this version")
        while len(frame := file.read(_FRAME.size)) == _FRAME.size:
            size, checksum, last = _FRAME.unpack(frame)
            if last:
                return
            packed = file.read(min(size, MOST_RECORD))
            if len(packed) != size or zlib.crc32(packed) != checksum:
                raise RecordError(f"{path.name} is damaged before byte {file.tell()}")
            yield _unpacked(packed)
        raise RecordError(f"{path.name} ends too soon")


def _unpacked(packed: bytes) -> bytes:
    stream = zlib.decompressobj()
    try:
        record = stream.decompress(packed, MOST_RECORD)
    except zlib.error as error:
        raise RecordError(str(error)) from None
    if not stream.eof:
        raise RecordError("a record is too long")
    return record


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
