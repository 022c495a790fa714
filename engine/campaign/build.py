"""Gold datasets: the variants of a campaign, built on Ray workers where they are missing, and the index of them.

What stands in the lake is the truth: a variant whose dataset is there is done, whoever built it, so a killed campaign goes on
where it was. Ray is imported inside one function.

Source: interfaces.md, "Campaign YAML".
"""

import fcntl
import json
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final
from zoneinfo import ZoneInfo

from engine.campaign.plan import Campaign, Variant, contract_of, expand_variants
from engine.constants import NS_PER_MS
from engine.dataset.capture import publish_replay, require_whole_book
from engine.dataset.read import Dataset
from engine.errors import ConfigError, DatasetError, EngineError, SourceChangedError, no_room
from engine.files import write_atomic
from engine.lake import Lake
from engine.ray_environment import begin_ray, init_arguments, prepare_ray_environment
from engine.run.replay import SESSION_TZ, first_bin_ns
from engine.source.decoded import decode_once, forget_decoded
from engine.source.records import Source

NOTE_S: Final = 0.5  # between two looks at the workers
SHIPPED: Final = ("engine",)

Say = Callable[[str], None]
Watch = Callable[[float, str], None]


@dataclass
class CampaignReport:
    """How a campaign stands."""

    name: str
    index: str
    variants: list[dict[str, Any]]
    n_built: int = 0
    n_present: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)  # what stands in the file and changes nothing

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return dict(vars(self))


def index_path(lake: Lake, slug: str) -> Path:
    """File of a campaign's index."""
    return lake.root / "research" / "vp_gold_campaigns" / slug / "index.json"


def plan_campaign(lake: Lake, campaign: Campaign, limit: int | None) -> tuple[list[Variant], set[str]]:
    """The variants wanted, and the ids of those that stand in the lake, each verified.

    Raises
    ------
    EngineError
        The campaign cannot be, or a dataset that stands there is damaged.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"--max-variants was {limit}; it must be at least 1")
    variants = expand_variants(campaign, contract_of(lake, campaign))[:limit]
    return variants, {v.dataset_id for v in variants if _standing(lake, v) is not None}


def describe(lake: Lake, variant: Variant, problem: str) -> dict[str, Any]:
    """A variant's line of the index; ``problem`` says why it could not be built."""
    entry: dict[str, Any] = {
        "dataset_id": variant.dataset_id,
        "overrides": variant.overrides,
        "config_version": variant.config.config_version,
        "state": "failed" if problem else "missing",
        "problem": problem,
        "summary": None,
    }
    dataset = None if problem else _standing(lake, variant)
    if dataset is None:
        return entry
    manifest = dataset.manifest
    kept = ("n_bins", "start_ns", "end_ns", "anomalies", "quality", "source_files", "code_version")
    summary = {name: manifest[name] for name in kept} | {"size_bytes": dataset.size_bytes, "checksum": dataset.checksum}
    return entry | {"state": "ready", "summary": summary}


def run_campaign(
    lake: Lake,
    campaign: Campaign,
    *,
    limit: int | None = None,
    address: str = "local",
    allow_cold: bool = False,
    assumes_symbol: bool = False,
    say: Say,
    watch: Watch,
) -> CampaignReport:
    """Build what is missing, one dataset per variant; a variant that fails costs no other.

    Parameters
    ----------
    limit
        Only the first so many variants.
    address
        As ``ray.init`` takes it; ``local`` starts a Ray of our own on loopback and ends it.
    allow_cold, assumes_symbol
        Take a raw file that opens without a snapshot, and one that does not say whose records it holds.
    say, watch
        Called with a line that stays, and with the share done and a note of where the work is.

    Raises
    ------
    EngineError
        Before any worker starts: the campaign, its raw file or the address cannot be used.
    """
    with _only_run(lake, campaign):
        variants, present = plan_campaign(lake, campaign, limit)
        missing = [variant for variant in variants if variant.dataset_id not in present]
        say(f"campaign {campaign.name}: {len(variants)} variants, {len(present)} there already, {len(missing)} to build")
        failures: dict[str, str] = {}
        _write_index(lake, campaign, variants, failures)
        if missing:
            raw = _require_capture(lake, campaign, missing[0], allow_cold, assumes_symbol)
            _require_one_source(lake, campaign, raw, [variant for variant in variants if variant.dataset_id in present])
            _sweep_up(lake, missing)
            done = 0

            def take(variant: Variant, problem: str, seconds: float) -> None:
                nonlocal done
                done += 1
                if problem:
                    failures[variant.dataset_id] = problem
                    say(f"failed {done}/{len(missing)}: {variant.dataset_id} ({variant.described}): {problem}")
                else:
                    say(f"built {done}/{len(missing)}: {variant.dataset_id} in {seconds:.1f} s")
                _write_index(lake, campaign, variants, failures)

            _build_on_ray(lake, missing, address, raw, take, say, watch)
            _sweep_up(lake, missing)
            if not failures:
                forget_decoded(_decoded_dir(lake))
        index = _write_index(lake, campaign, variants, failures)
    return CampaignReport(
        name=campaign.name,
        index=str(index_path(lake, campaign.slug)),
        variants=index["variants"],
        n_built=len(missing) - len(failures),
        n_present=len(present),
        failures=failures,
        notices=campaign.notices,
    )


@dataclass(frozen=True)
class RawInput:
    """The raw files of a campaign in order, the same for each variant, and what of them is taken as it is."""

    paths: tuple[Path, ...]
    sha256: tuple[str, ...]
    allow_cold: bool
    assumes_symbol: bool


def build_variant(lake_root: Path, variant: Variant, raw: RawInput) -> tuple[str, float]:
    """What runs on a worker: one variant's dataset, from the node's one decoded copy of the raw file.

    Returns
    -------
    tuple[str, float]
        What is wrong, empty when the dataset stands; and the seconds it took.
    """
    lake = Lake(lake_root)
    begun = time.monotonic()
    note = _note_path(lake, variant)
    noted = 0.0

    def report(made: int) -> None:
        nonlocal noted
        if time.monotonic() - noted >= NOTE_S:
            noted = time.monotonic()
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(str(made))

    try:
        source = variant.one.open(list(raw.paths), assumes_symbol=raw.assumes_symbol)
        for file, sha256 in zip(source.files, raw.sha256, strict=True):
            if file.sha256 != sha256:
                raise SourceChangedError(
                    f"{file.path} is no longer the file that the campaign began with; its variants are made of one file. "
                    "Run it again"
                )
        end = _end_ns(source, variant)
        publish_replay(
            lake,
            variant.dataset_id,
            decode_once(source, _decoded_dir(lake), end),
            variant.config,
            start_time=variant.start_time,
            n_bins=variant.n_bins,
            needs_all_bins=True,
            overrides=variant.overrides,
            allow_cold=raw.allow_cold,
            progress=report,
        )
    except (EngineError, OSError) as error:
        return no_room(error) or str(error), time.monotonic() - begun
    finally:
        note.unlink(missing_ok=True)
    return "", time.monotonic() - begun


def _build_on_ray(
    lake: Lake,
    missing: Sequence[Variant],
    address: str,
    raw: RawInput,
    take: Callable[[Variant, str, float], None],
    say: Say,
    watch: Watch,
) -> None:
    """A task per variant on one CPU each; results are taken as they come."""
    prepare_ray_environment(is_own=address == "local")
    import ray

    is_ours = not ray.is_initialized()
    if is_ours:
        context = begin_ray(ray.init, init_arguments(address, len(missing), 0, SHIPPED))
        say(f"Ray dashboard: {f'http://{context.dashboard_url}' if context.dashboard_url else 'not running'}")
    try:
        with _ctrl_c() as pressed:
            # Replaced once where its worker dies: a build leaves nothing behind that another one would trip over.
            task = ray.remote(num_cpus=1, max_retries=1)(build_variant)
            running = {task.remote(lake.root, variant, raw): variant for variant in missing}
            while running:
                if pressed.is_set():
                    raise KeyboardInterrupt
                finished, _ = ray.wait(list(running), num_returns=1, timeout=NOTE_S)
                for ref in finished:
                    variant = running.pop(ref)
                    try:
                        problem, seconds = ray.get(ref)
                    except ray.exceptions.RayError as error:  # a worker's death, or a fault of ours
                        problem, seconds = str(error).strip().splitlines()[-1], 0.0
                    take(variant, problem, seconds)
                made = {v.dataset_id: _made_bins(lake, v) for v in running.values()}
                done, total = len(missing) - len(running), len(missing)
                share = (done + sum(made[v.dataset_id] / v.n_bins for v in running.values())) / total
                watch(share, f"{done}/{total} variants, {sum(made.values())} bins under way")
    finally:
        if is_ours:
            ray.shutdown()


@contextmanager
def _ctrl_c() -> Iterator[threading.Event]:
    """Set by Ctrl-C, beside the exception: where that strikes in a callback of Ray's, Python can but print and drop it."""
    pressed = threading.Event()
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield pressed  # nobody to raise it here, or whoever set it up otherwise
        return
    interrupt = before

    def take(number: int, frame: FrameType | None) -> None:
        pressed.set()
        interrupt(number, frame)

    signal.signal(signal.SIGINT, take)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def _require_capture(
    lake: Lake, campaign: Campaign, variant: Variant, allow_cold: bool = False, assumes_symbol: bool = False
) -> RawInput:
    """The raw file; refuse a capture that it cannot give, before any worker starts."""
    paths = variant.one.files(lake)
    source = variant.one.open(paths, assumes_symbol=assumes_symbol)
    end = _end_ns(source, variant)
    capture = campaign.base_capture
    if source.end_ns is not None and source.end_ns < end:
        told = datetime.fromtimestamp(source.end_ns / 1e9, ZoneInfo(SESSION_TZ))
        raise DatasetError(
            f"{source.files[-1].path} ends at {told:%Y-%m-%d %H:%M:%S} in New York, the capture of campaign {campaign.name} at "
            f"{capture.dt} {capture.capture_end_et}; put a longer file in its place or capture less"
        )
    if not allow_cold:
        require_whole_book(source, variant.start_time)
    return RawInput(tuple(paths), tuple(file.sha256 for file in source.files), allow_cold, assumes_symbol)


def _require_one_source(lake: Lake, campaign: Campaign, raw: RawInput, present: Sequence[Variant]) -> None:
    """Refuse to build variants from another file than those that stand were made from: they are there to be compared."""
    for variant in present:
        files = Dataset.open(lake, variant.dataset_id).manifest["source_files"]
        for file, path, sha256 in zip(files, raw.paths, raw.sha256, strict=True):
            if file["sha256"] != sha256:
                raise DatasetError(
                    f"campaign {campaign.name}: dataset {variant.dataset_id} was made from {file['path']} with SHA-256 "
                    f"{file['sha256'][:12]}..., and {path} has {sha256[:12]}... now; put that file back, "
                    "or give the campaign another name"
                )


def _end_ns(source: Source, variant: Variant) -> int:
    return first_bin_ns(source, variant.start_time) + variant.n_bins * variant.config.cell_width_ms * NS_PER_MS


def _standing(lake: Lake, variant: Variant) -> Dataset | None:
    """The variant's dataset, verified, where it is in the lake."""
    if not (lake.datasets / variant.dataset_id).is_dir():
        return None
    return Dataset.open(lake, variant.dataset_id)


def _write_index(
    lake: Lake, campaign: Campaign, variants: Sequence[Variant], failures: Mapping[str, str]
) -> dict[str, list[dict[str, Any]]]:
    """The index as the lake stands now; the file is touched only where that changes it."""
    index: dict[str, Any] = {
        "name": campaign.name,
        "slug": campaign.slug,
        "campaign": campaign.model_dump(mode="json"),
        "variants": [describe(lake, variant, failures.get(variant.dataset_id, "")) for variant in variants],
    }
    path = index_path(lake, campaign.slug)
    content = (json.dumps(index, indent=1) + "\n").encode()
    if not path.is_file() or path.read_bytes() != content:
        write_atomic(path, content)
    return index


def _work_dir(lake: Lake) -> Path:
    return lake.cache / "campaigns"


def _decoded_dir(lake: Lake) -> Path:
    return lake.cache / "records"


def _note_path(lake: Lake, variant: Variant) -> Path:
    return _work_dir(lake) / f"{variant.dataset_id}.bins"


def _made_bins(lake: Lake, variant: Variant) -> int:
    """Bins that a worker says it has made; 0 before it begins."""
    try:
        return int(_note_path(lake, variant).read_text() or 0)
    except FileNotFoundError:
        return 0


def _sweep_up(lake: Lake, variants: Sequence[Variant]) -> None:
    """Remove what killed workers left of these variants' datasets; nobody else builds them now."""
    for variant in variants:
        for folder in lake.datasets.glob(f".{variant.dataset_id}.*.tmp"):
            folder.chmod(0o755)
            shutil.rmtree(folder)
        _note_path(lake, variant).unlink(missing_ok=True)


@contextmanager
def _only_run(lake: Lake, campaign: Campaign) -> Iterator[None]:
    """Hold the campaign's lock; it goes with the process, so that a killed run locks nobody out."""
    path = _work_dir(lake) / f"{campaign.slug}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"campaign {campaign.name} is being built by another process in {lake.root}; wait for it") from None
        yield
