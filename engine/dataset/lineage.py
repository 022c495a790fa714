"""What a dataset's bins were made of: its records where its manifest knows them, and the files they came in."""

from collections.abc import Mapping
from typing import Any, Final

CONTENT: Final = "content"  # key of the manifest; those of schema 2.0 and before have none
_PREFIX: Final = "records:"


def content_id(manifest: Mapping[str, Any]) -> str:
    """Name of the records that a dataset's bins were made of; empty where the manifest does not know them."""
    found = manifest.get(CONTENT, {}).get("id", "")
    return f"{_PREFIX}{found}" if found else ""


def chunks_of(manifest: Mapping[str, Any]) -> frozenset[str]:
    """Hashes of the whole minutes of records in it; two datasets that share one were made of the same data."""
    return frozenset(manifest.get(CONTENT, {}).get("chunks", ()))


def sources_of(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Names by which trials on a dataset count together: its records, and the SHA-256 of each file, as older manifests have them."""
    records = content_id(manifest)
    return (*([records] if records else []), *(str(file["sha256"]) for file in manifest["source_files"]))
