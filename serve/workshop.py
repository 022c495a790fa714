"""What the replays of one replica are made with: threads, a clock, limits, signals, and the desk of the paper trades."""

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor

from serve.champion import Serving
from serve.figures import Figures
from serve.live_session import LiveSession
from serve.pacing import Clock
from serve.paper import PaperDesk
from serve.request import StreamRequest
from serve.session import Session
from serve.settings import Limits
from serve.spoken import SpokenDesk


class Workshop:
    """Threads stand apart by what must not wait for what.

    A shared session has a thread of its own. Private replays share some to start on and some to compute on, so that neither a
    long fast-forward nor a reader in a hurry delays the bins of another client; and signals for shared sessions are warmed apart
    from those for private ones.

    Parameters
    ----------
    limits : callable
        The limits that hold now.
    clock : Clock
        What bins are paced by.
    serving_of : callable
        What tells a replay what it scores with.
    desk : PaperDesk
        Keeps the record of the champion's paper trades.
    spoken : SpokenDesk
        Keeps the record of which model spoke at which bin.
    figures : Figures
        Counts.
    is_closing : callable
        Whether the replica is going away.
    """

    def __init__(
        self,
        limits: Callable[[], Limits],
        clock: Clock,
        serving_of: Callable[[str | int], Callable[[], Serving]],
        desk: PaperDesk,
        spoken: SpokenDesk,
        figures: Figures,
        is_closing: Callable[[], bool],
    ) -> None:
        self._limits = limits
        self._serving_of = serving_of
        self._desk, self._spoken = desk, spoken
        self.clock = clock
        self.figures = figures
        self.is_closing = is_closing
        self._workers = limits().start_workers, limits().bin_workers
        self.start_pool, self.bin_pool = _pools(*self._workers)
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="signal-warm")
        self._private_aside = ThreadPoolExecutor(1, thread_name_prefix="private-warm")
        # Where a client leaves with paper trades open, the rest of the way is computed, and nobody waits for it.
        self._settle = ThreadPoolExecutor(1, thread_name_prefix="paper-settle")

    @property
    def limits(self) -> Limits:
        """Those that hold now."""
        return self._limits()

    def take_limits(self) -> None:
        """Change the number of threads where other limits hold now; what runs goes on where it is."""
        workers = self.limits.start_workers, self.limits.bin_workers
        if workers != self._workers:
            before, self._workers = (self.start_pool, self.bin_pool), workers
            self.start_pool, self.bin_pool = _pools(*workers)
            for pool in before:
                pool.shutdown(wait=False)

    def session(self, request: StreamRequest, *, shared: bool) -> Session:
        """A replay that is not open yet.

        Raises
        ------
        EngineError
            What is to score is unknown, damaged, or does not fit.
        """
        aside: Executor = self._aside if shared else self._private_aside
        given = request, self._serving_of(request.model), aside, self.limits, self._desk, self._spoken
        if request.live is not None:
            return LiveSession(*given, at_edge=shared, is_closing=self.is_closing)
        return Session(*given)

    def release(self, session: Session) -> None:
        """Let go of a replay that nobody watches any more; paper trades that are open are followed to their end."""
        if session.n_paper_open and not self.is_closing() and not isinstance(session, LiveSession):
            self._settle.submit(session.settle, self.is_closing)
        else:
            session.close()

    def stop(self) -> None:
        """End the threads, once each has finished what it is at."""
        for pool in (self.start_pool, self.bin_pool, self._aside, self._private_aside, self._settle):
            pool.shutdown(wait=False, cancel_futures=True)


def _pools(start_workers: int, bin_workers: int) -> tuple[ThreadPoolExecutor, ThreadPoolExecutor]:
    """What private replays start on, and what they compute on."""
    return (
        ThreadPoolExecutor(start_workers, thread_name_prefix="stream-start"),
        ThreadPoolExecutor(bin_workers, thread_name_prefix="stream-bins"),
    )
