"""File downloads over HTTP(S), verified by length and SHA-256 checksum."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import requests

from cnnrecipes._support.progress import watch
from cnnrecipes.errors import DataError

_BLOCK = 2**20
_SECONDS = (10, 60)  # to connect, and between two blocks


def download(address: str, folder: Path, checksum: str, *, progress: bool = False) -> Path:
    """Download a file into a folder and return its path.

    Args:
        address: http or https URL.
        folder: existing folder; the file is named "download".
        checksum: expected SHA-256, in lower-case hexadecimal digits; "": not checked.
        progress: show a progress bar.

    Raises:
        DataError: the server is unreachable or returns an HTTP error, the download is truncated or has another
            checksum, an https address redirects to http without a checksum, or free disk space is insufficient.
        OSError: the file cannot be written.
    """
    path, digest, received = folder / "download", hashlib.sha256(), 0
    try:
        # As stored: with a compression of the way the length would be another one.
        with requests.get(address, stream=True, timeout=_SECONDS, headers={"Accept-Encoding": "identity"}) as answer:
            _check(answer, address, checksum, folder)
            length = int(answer.headers.get("Content-Length", 0))
            what = f"downloading {address} ({length / 2**20:,.0f} MiB)" if length else f"downloading {address}"
            with open(path, "wb") as file:
                blocks = answer.iter_content(_BLOCK)
                for block in watch(blocks, what, -(-length // _BLOCK) or None, progress, always=True):
                    digest.update(block)
                    received += file.write(block)
    except requests.RequestException as error:
        raise DataError(f"cannot download {address!r}: {_reason(error)}; check the address and the network") from None
    if received < length:
        raise DataError(f"the download of {address!r} ended after {received:,} of {length:,} bytes; try again")
    if checksum and digest.hexdigest() != checksum:
        raise DataError(
            f"{address!r} has the SHA-256 {digest.hexdigest()}, not the expected {checksum}; it is not used. Correct "
            "the checksum, or find out who changed the file"
        )
    return path


def _check(answer: requests.Response, address: str, checksum: str, folder: Path) -> None:
    """Raise DataError for an HTTP error, an unencrypted redirect, or a file larger than the free disk space."""
    if not answer.ok:
        raise DataError(f"cannot download {address!r}: {answer.status_code} {answer.reason}; check the address")
    unencrypted = [one.url for one in (*answer.history, answer) if not one.url.lower().startswith("https://")]
    if address.lower().startswith("https://") and unencrypted and not checksum:
        raise DataError(
            f"{address!r} redirects to {unencrypted[0]!r}, which is not encrypted; add the checksum as #sha256=..."
        )
    length, room = int(answer.headers.get("Content-Length", 0)), shutil.disk_usage(folder).free
    if length > room:
        raise DataError(
            f"{address!r} has {length / 2**30:.1f} GiB, and {room / 2**30:.1f} GiB are free in {str(folder.parent)!r}; "
            "set CNNRECIPES_CACHE to a folder with more free space"
        )


def _reason(error: BaseException) -> str:
    """Return the message of the root cause, without urllib3's object representations."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
