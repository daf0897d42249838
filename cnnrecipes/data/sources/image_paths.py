"""Image files of a folder or of a glob pattern, for `predict`."""

from __future__ import annotations

import glob
from pathlib import Path

from cnnrecipes.data.images.decode import EXTENSIONS
from cnnrecipes.data.sources.folder import image_files
from cnnrecipes.errors import DataError


def image_paths(text: str | Path) -> list[str] | None:
    """Return the sorted images of a folder tree or of a pattern, for example "photos/*.jpg"; None for a single file.

    Raises:
        DataError: the folder or pattern has no image files.
    """
    text = str(text)
    path = Path(text)
    if path.is_dir():
        found = image_files(path)
        if not found:
            raise DataError(f"the folder {text!r} has no images ({', '.join(EXTENSIONS)}); give another folder")
        return found
    if path.exists() or not glob.has_magic(text):
        return None
    matches = sorted(glob.glob(str(path.expanduser()), recursive=True))
    found = []
    for match in matches:
        if Path(match).is_dir():
            found += image_files(match)
        elif match.lower().endswith(EXTENSIONS):
            found.append(match)
    if not found:
        what = f"{len(matches)} entries, none an image" if matches else "nothing"
        raise DataError(f"the pattern {text!r} matches {what} ({', '.join(EXTENSIONS)}); give another pattern")
    return list(dict.fromkeys(found))
