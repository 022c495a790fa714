"""A recorder before a gateway, as a process that says what it needs on its command line and stops when it is told to.

``python -m tests.test_serve.recording_process LAKE SYMBOL PORT KEY_FILE RATE``
"""
import signal
import sys
import threading
from pathlib import Path

from engine.feed.download.key import read_key
from engine.feed.live.feed import LiveFeed
from engine.feed.live.settings import LiveSettings
from engine.feed.record.recorder import Options, Recorder
from engine.lake import Lake


def main() -> None:
    lake, symbol, port, key_file, rate = sys.argv[1:6]
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    settings = LiveSettings(symbol, host="127.0.0.1", port=int(port), heartbeat_s=1.0, clock_rate=float(rate))
    recorder = Recorder(Lake.open(lake), symbol, Options(), lambda line: print(line, flush=True))
    tail = recorder.resume if len(recorder.resume) else None
    feed = LiveFeed(settings, read_key(Path(key_file)), recorder, tail, lambda line: print(line, flush=True))
    feed.start()
    ended.wait()
    feed.stop()
    recorder.end()


if __name__ == "__main__":
    main()
