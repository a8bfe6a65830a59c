"""Files as they travel: packed, and named after what is in them, so that a cache can keep them for ever."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path


def packed_into(folder: Path, name: str, content: bytes) -> dict:
    """Write content, packed, as `stem-hash.suffix.gz`, and drop what an earlier build left under that name.

    Returns:
        The file's entry in the manifest: its name, its bytes on the way, its bytes when unpacked.
    """
    packed = gzip.compress(content, 9, mtime=0)
    hashed = hashed_name(name, content) + ".gz"
    write_alone(folder, name, hashed, packed)
    return {"name": hashed, "bytes": len(packed), "unpacked": len(content)}


def copied_into(folder: Path, name: str, content: bytes) -> dict:
    """The same without packing, for what a browser opens itself."""
    hashed = hashed_name(name, content)
    write_alone(folder, name, hashed, content)
    return {"name": hashed, "bytes": len(content), "unpacked": len(content)}


def hashed_name(name: str, content: bytes) -> str:
    stem, _, suffix = name.partition(".")
    return f"{stem}-{hashlib.sha256(content).hexdigest()[:10]}.{suffix}"


def write_alone(folder: Path, name: str, hashed: str, content: bytes) -> None:
    stem, _, suffix = name.partition(".")
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{stem}-??????????.{suffix}*"):
        old.unlink()
    (folder / hashed).write_bytes(content)
