"""Detection of the layout of an image folder: split folders and class folders."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from cnnrecipes._support import file_systems
from cnnrecipes.data.audit.checks import DataFinding
from cnnrecipes.data.sources.contents import SPLITS, Kind
from cnnrecipes.data.sources.folder_tree import Tree
from cnnrecipes.data.sources.split_names import is_wrapper, split_of, split_within
from cnnrecipes.errors import DataError, listed

_IMAGES = frozenset(("image", "images", "img", "imgs", "jpegimages"))
_ANNOTATIONS = frozenset(
    ("mask", "masks", "label", "labels", "annotation", "annotations", "segmentation", "ground_truth")
)
_WRAPPERS = 3  # maximum depth of wrapping folders


@dataclass(frozen=True)
class Roots:
    """The folders whose sub-folders are classes, by split."""

    root: str
    folders: Mapping[str, str] = field(default_factory=dict)  # split -> name in root; {}: the root has the classes
    left_out: tuple[DataFinding, ...] = ()


def find_roots(tree: Tree, kind: Kind = "auto", training: bool = True) -> Roots:
    """Find the split folders, or the folder that contains the class folders.

    Folders with a usual name of a split ("train", "val2017", "test_images") are splits if they contain folders of
    images. If they contain images directly, beside other such folders, they are classes.

    Args:
        kind: "auto", or "splits" or "classes" if the user has stated what the folders are.
        training: require a training split.

    Raises:
        DataError: the layout is ambiguous; the message states how to resolve it.
    """
    root = _within_wrappers(tree, tree.root)
    full = tree.full(root)
    named = {name: split for name in tree.subfolders(root) if (split := split_of(name))}
    labeled = [name for name in full if tree.full(unwrapped(tree, file_systems.join(root, name)))]
    if kind == "classes":
        return Roots(root)
    if kind == "splits":
        return _splits(tree, root, named or _mentioned(full), full, training)
    if not named:
        return _without_names(tree, root, full, labeled, training)
    if not any(name in full for name in named):
        return Roots(root)
    others = [name for name in full if name not in named]
    if not any(name in labeled for name in named):
        return _loose(root, {name: split for name, split in named.items() if name in full}, others)
    several = len({named[name] for name in full if name in named}) > 1
    if others and not several and not _are_leftovers(named, labeled, others):
        raise DataError(
            f"{root!r} has {listed(named)} beside {listed(others)}: are these splits or classes? {_answers(root)}"
        )
    return _splits(tree, root, named, full, training)


def unwrapped(tree: Tree, folder: str, known: frozenset[str] = frozenset()) -> str:
    """Return the innermost folder of nested wrapping folders, for example train/train/; `known` are class names."""
    for _ in range(_WRAPPERS):
        level, full = tree.level(folder), tree.full(folder)
        if len(full) != 1 or level.images or level.other_images or full[0] in known:
            break
        if not is_wrapper(full[0]) and full[0] != os.path.basename(folder):
            break
        folder = file_systems.join(folder, full[0])
    return folder


def _within_wrappers(tree: Tree, root: str) -> str:
    """Return the innermost wrapping folder, which contains the whole data set; `root` if there is none."""
    for _ in range(_WRAPPERS):
        level, full = tree.level(root), tree.full(root)
        if len(full) != 1 or split_of(full[0]):
            break
        inner = file_systems.join(root, full[0])
        inside = tree.level(inner)
        alone = not (level.images or level.other_images) and len(tree.subfolders(root)) == 1
        of_splits = any(split_of(name) == "train" for name in tree.full(inner))
        if not tree.full(inner) or inside.images or inside.other_images or not (alone or of_splits):
            break
        root = inner
    return root


def _without_names(tree: Tree, root: str, full: list[str], labeled: list[str], training: bool) -> Roots:
    """Return the layout of a folder without sub-folders named as splits. Raises DataError if it is ambiguous."""
    inside = {name: set(tree.full(unwrapped(tree, file_systems.join(root, name)))) for name in labeled}
    counts = Counter(child for children in inside.values() for child in children)
    common = {child for child, n in counts.items() if n > 1}
    alike = [name for name, children in inside.items() if len(children & common) >= max(2, len(children) / 2)]
    _check_annotated(root, full)
    for name, children in inside.items():
        if len(children & set(full)) >= max(2, len(children) / 2):
            raise DataError(
                f"{file_systems.join(root, name)!r} holds the folders that are beside it ({listed(sorted(children))}), "
                "like a second copy of the data set; give one of the two, or set data.layout=classes (check-data: "
                "--layout classes) if it is a class"
            )
    mentioned = _mentioned(full)
    different = len(full) == len(mentioned) == len(set(mentioned.values())) > 1
    if different and any(mentioned[name] == "train" for name in labeled):
        return _splits(tree, root, mentioned, full, training)
    if len(alike) < 2:
        _check_stems(root, full)
        return Roots(root)
    if len({split for child in common if (split := split_of(child))}) > 1:
        raise DataError(
            f"each of {listed(alike)} in {root!r} holds {listed(sorted(common))}: the splits stand inside of the "
            f"classes; put the classes into the splits (train/{alike[0]}/...), or give a table with a column `split`"
        )
    mentioned = _mentioned(alike)
    if "train" in mentioned.values() and len(set(mentioned.values())) == len(alike):
        return _splits(tree, root, mentioned, full, training)
    raise DataError(
        f"{listed(alike)} in {root!r} hold the same sub-folders ({listed(sorted(common))}): are they splits, or "
        f"classes? {_answers(root)}"
    )


def _check_annotated(root: str, full: list[str]) -> None:
    """Raise DataError if a folder has sub-folders of images and of annotations, as for segmentation and detection."""
    lowered = {name.lower(): name for name in full}
    images, annotations = _IMAGES & lowered.keys(), _ANNOTATIONS & lowered.keys()
    if images and annotations:
        names = listed(lowered[name] for name in sorted(images | annotations))
        raise DataError(
            f"{root!r} has {names}, like a data set for segmentation or detection; for classification sort the images "
            "into a folder for each class, or give a table of paths and labels"
        )


def _mentioned(names: list[str]) -> dict[str, str]:
    """Return name -> split, for names that contain a split beside other words, for example "seg_train"."""
    return {name: split for name in names if (split := split_within(name)[0])}


def _check_stems(root: str, names: list[str]) -> None:
    """Raise DataError if folders are named as the splits of one class: cats_train and cats_test."""
    stems: dict[str, set[str]] = {}
    for name in names:
        split, stem = split_within(name)
        if split and stem:
            stems.setdefault(stem, set()).add(split)
    parted = [stem for stem, splits in stems.items() if len(splits) > 1]
    if parted:
        folders = [name for name in names if split_within(name)[0] and split_within(name)[1] == parted[0]]
        raise DataError(
            f"{root!r} has {listed(sorted(folders))}, each named by a class, {parted[0]!r}, and a split: are these "
            f"splits or classes? {_answers(root)}"
        )


def _loose(root: str, named: Mapping[str, str], others: list[str]) -> Roots:
    """Return `root` as the folder of the classes, since its folder with a split name holds images as the others do.

    Args:
        named: name -> split, of the folders with a split name; all hold images.
        others: names of the other folders.

    Raises:
        DataError: `named` has several splits, or there are no other folders.
    """
    if len(set(named.values())) > 1 or not others:
        raise DataError(
            f"{listed(named)} in {root!r} hold images, and no sub-folder for each class; sort the images into "
            f"{next(iter(named))}/CLASS/, or give a table of paths and labels. {_answers(root)}"
        )
    (name,) = list(named)[:1]
    message = f"the folder {name!r} is taken as a class, since images lie in it as in {listed(others)}"
    return Roots(root, left_out=(DataFinding("warning", "class called as a split", message),))


def _are_leftovers(named: Mapping[str, str], labeled: list[str], others: list[str]) -> bool:
    """Return True if "train" has class folders, and the `others` are unlabeled folders named after a split."""
    of_train = any(named[name] == "train" for name in labeled if name in named)
    return of_train and not any(name in labeled or not split_within(name)[0] for name in others)


def _splits(tree: Tree, root: str, named: Mapping[str, str], full: list[str], training: bool = True) -> Roots:
    """Return the split folders; of two for one split, the one with class folders. Others are reported as left out."""
    found: dict[str, str] = {}
    for split in SPLITS:
        names = [name for name, of in named.items() if of == split]
        useful = [name for name in names if tree.full(unwrapped(tree, file_systems.join(root, name)))] or names[:1]
        if len(useful) > 1:
            raise DataError(f"{root!r} has {listed(useful)} for {split}; leave one, or put their images together")
        if useful:
            found[split] = useful[0]
    if training and "train" not in found:
        raise DataError(
            f"{root!r} has {listed(full)}, and no folder that is called train; rename one of them, or give the folder "
            "whose sub-folders are the classes"
        )
    others = [name for name in full if name not in found.values()]
    if not others:
        return Roots(root, found)
    message = f"beside {listed(found.values())} there are images in {listed(others)}; left out"
    files = tuple(file_systems.join(root, name) for name in others)
    return Roots(root, found, (DataFinding("warning", "not a split", message, files),))


def _answers(root: str) -> str:
    return (
        f"Name them train, val and test if they are splits; set data.layout=classes (check-data: --layout classes) if "
        f"they are the classes; or give one of them, for example {file_systems.join(root, 'NAME')!r}, if it "
        "holds the classes"
    )
