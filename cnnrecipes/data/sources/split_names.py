"""Recognition of split names: `train`, `Training Set`, `val2017`, `test_images`, `dev`."""

from __future__ import annotations

import re

_WORDS = {
    "train": ("train", "training", "trn", "trainval"),
    "validation": ("val", "valid", "validation", "validate", "dev"),
    "test": ("test", "testing", "tst"),
}
# Words without meaning beside a split name.
_FILLERS = frozenset(
    (
        *("set", "sets", "split", "splits", "data", "dataset", "datasets", "folder", "folders", "dir", "file", "files"),
        *("image", "images", "img", "imgs", "photo", "photos", "picture", "pictures", "pic", "pics", "jpg", "jpeg"),
        *("png", "class", "classes"),
    )
)
# Folders of unlabeled images: test/unknown/*.jpg, for loaders that require a sub-folder.
_UNLABELED = frozenset(("unknown", "unlabelled", "unlabeled", "unsorted", "none", "all"))
_SPLIT_OF = {word: split for split, words in _WORDS.items() for word in words}
# "trainset", "testimages": the longest word first, so that "training" does not match as "train".
_GLUED = re.compile(rf"({'|'.join(sorted(_SPLIT_OF, key=len, reverse=True))})({'|'.join(sorted(_FILLERS))})")


def split_of(name: str) -> str | None:
    """Return "train", "validation" or "test" if a name means only that split, in any letter case; otherwise None."""
    words = _words(name)
    found = {_SPLIT_OF[word] for word in words if word in _SPLIT_OF}
    others = [word for word in words if word not in _SPLIT_OF and word not in _FILLERS]
    return found.pop() if len(found) == 1 and not others else None


def split_within(name: str) -> tuple[str | None, str]:
    """Return the one split that a name contains (else None) and the other words: "train", "seg" for "seg_train"."""
    words = _words(name)
    found = {_SPLIT_OF[word] for word in words if word in _SPLIT_OF}
    rest = " ".join(word for word in words if word not in _SPLIT_OF and word not in _FILLERS)
    return (found.pop() if len(found) == 1 else None), rest


def is_wrapper(name: str) -> bool:
    """Return True for a generic name, for example "images", "data", "train" (inside train/) or "unknown"."""
    words = set(_words(name))
    return split_of(name) is not None or (bool(words) and words <= _FILLERS | _UNLABELED)


def _words(name: str) -> list[str]:
    """Return the lower-case words of a name without numbers: "training" and "set" for "Training_Set-2"."""
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    words = re.findall(r"[^\W\d_]+", spaced.lower())
    glued = [_GLUED.fullmatch(word) for word in words]
    return [part for word, found in zip(words, glued, strict=True) for part in (found.groups() if found else (word,))]
