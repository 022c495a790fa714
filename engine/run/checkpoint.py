"""The book at the start of the warm-up, kept, so that a second start skips the fast-forward through the day.

A checkpoint is bound to its input files and to all that shaped the book; a damaged one is made anew, with a notice.

Source: engine.md section 4.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from engine.errors import ConfigError
from engine.files import write_kept
from engine.jit import source_hash
from engine.run.runner import Runner
from engine.run.snapshot import restore_book
from engine.schema import pack, unpack
from engine.source.decoded import DecodedSource
from engine.source.id_changes import IdChanges
from engine.source.records import START, Place, Source

KIND = "book checkpoint, with its place in the source"


class Checkpoint:
    """One place for one book: files, contract and warm-up start decide which.

    Parameters
    ----------
    folder
        Where checkpoints lie; made when one is saved.
    source, runner
        A source and a fresh runner over it.
    """

    def __init__(self, folder: Path, source: Source, runner: Runner) -> None:
        self._source = source
        run = runner.engine.run[0]
        files = [(str(f.path.resolve()), *f.held.mark.state) for f in source.files]
        config = runner.config
        identity = [files, config.symbol, config.tick_int, config.n_absolute_ticks, config.grid_radius_ticks]
        identity += [int(run[name]) for name in ("warm_start", "day_start", "day_end")]
        identity.append(isinstance(source, DecodedSource))  # a place among decoded records is none in the files
        if source.watch is not None:
            identity.append(asdict(source.watch))
        identity.append(source_hash())  # a book made by other code is another book
        self._key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
        self.path = folder / f"{config.symbol}_{source.dt:%Y%m%d}_{self._key[:16]}.book"

    def load(self, runner: Runner) -> tuple[Place, int, str]:
        """Put the kept book into a fresh runner.

        Returns
        -------
        tuple[Place, int, str]
            Where to go on reading, how many records of the source are in the book already (0: none was kept), and a notice,
            empty where all is well. The files before that place say again what was found wrong with them.
        """
        try:
            arrays = unpack(KIND, self._key, self.path.read_bytes())
        except FileNotFoundError:
            return START, 0, ""
        except (ConfigError, OSError) as error:
            return START, 0, f"{self.path.name} could not be used and is made anew: {error}"
        for name in ("first_bin", "max_bins"):  # these are this run's own
            arrays["run"][name] = runner.engine.run[name]
        runner.engine = restore_book(runner.engine, arrays)
        told = json.loads(arrays["told"].tobytes())
        for file, (notices, remarks) in zip(self._source.files, told["files"], strict=False):
            file.notices, file.remarks = notices, remarks
        file_number, first, n_before, instrument_id = arrays["place"].tolist()
        place = Place(file_number, first, n_before, instrument_id, IdChanges(**told["id_changes"]))
        return place, int(arrays["n_records"][0]), ""

    def save(self, runner: Runner, place: Place, n_records: int) -> None:
        """Keep the runner's book, which the source's first ``n_records`` have made; ``place`` is at or before the next one."""
        book = runner.engine.book
        *numbers, id_changes = place
        # What reading has told of all that lies before the place: who starts there does not read it again.
        files = [(file.notices, file.remarks) for file in self._source.files[: place.file]]
        told = {"files": files, "id_changes": asdict(id_changes)}
        data = pack(
            KIND,
            self._key,
            {
                "run": runner.engine.run,
                "counts": runner.engine.counts,
                "book": book.scalars,
                "orders": book.orders[book.orders["side"] != 0],
                "place": np.array(numbers, np.int64),
                "told": np.frombuffer(json.dumps(told).encode(), np.uint8),
                "n_records": np.array([n_records], np.int64),
            },
        )
        write_kept(self.path, data)
