"""Detection of the stages and blocks of a model from its graph.

A call on every path through the graph is a cut. Between two cuts there is either nothing or a block of branches, which
the second cut merges. Branches are divided recursively.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import keras

from cnnrecipes.analysis.layer_descriptions import opens_line, words
from cnnrecipes.models.cost import cost, multiply_adds
from cnnrecipes.models.graph import Call, calls
from cnnrecipes.models.layer_kinds import is_norm
from cnnrecipes.models.stage_grouping import is_map, stages


class Block(NamedTuple):
    """A box of the diagram: lines of text, and the layers of the skip connection (link) around it, if there is one."""

    lines: tuple[str, ...]  # for example "3x3 conv 64, norm, relu"; the last line of a linked block is the merge
    link: str | None = None  # layers of the link, "" for the identity; None: no link
    repeats: int = 1


class Stage(NamedTuple):
    """A stage of the diagram: consecutive blocks, with output size and cost."""

    name: str
    output: str  # "16x16x32", or "10" after the last feature map
    blocks: tuple[Block, ...]
    parameters: int
    multiply_adds: int


class _Item(NamedTuple):
    """A block, the indices of its calls in `calls(model)`, and the index of its call whose stage counts for all."""

    block: Block
    places: tuple[int, ...]
    key: int


def outline(model: keras.Model) -> list[Stage]:
    """Return the stages of a model with their blocks; consecutive equal blocks are merged.

    Raises:
        ModelError: a model without a graph, or without a fixed input shape.
    """
    found, costs = calls(model), cost(model)
    labels = _labels(found)
    made = []
    for label, items in groupby(_items(found, range(len(found))), key=lambda item: labels[item.key]):
        group = list(items)
        rows = costs.iloc[[place for item in group for place in item.places]]
        blocks = _collapse([item.block for item in group if item.block.lines])
        output = "x".join(map(str, found[group[-1].places[-1]].output_shape[1:]))
        made.append(Stage(label, output, blocks, int(rows["parameters"].sum()), int(rows["multiply_adds"].sum())))
    return made


def _labels(found: Sequence[Call]) -> list[str]:
    """Return the stages, with "input" before the first layer with multiply-adds and "head" after the last map."""
    labels = stages(found)
    last_map = max((i for i, call in enumerate(found) if is_map(call.output_shape)), default=-1)
    first = next((i for i, call in enumerate(found) if multiply_adds(call)), len(found))
    while first and words(found[first - 1]) == "":  # padding before the first layer
        first -= 1
    return ["input" if i < first else "head" if i > last_map else label for i, label in enumerate(labels)]


def _items(found: Sequence[Call], places: Sequence[int]) -> list[_Item]:
    """Return the blocks of a subgraph, the calls at `places`, which ends at the last of these calls."""
    items: list[_Item] = []
    inside = set(places)
    last_user = {source: place for place in places for source in found[place].sources}
    # Last call that uses an input of the subgraph or the output of an earlier call.
    furthest = max(place for place in places if not inside.issuperset(found[place].sources or (-1,)))
    between: list[int] = []
    for place in places:
        if furthest <= place or place == places[-1]:
            _append(items, found, between, place)
            between = []
        else:
            between.append(place)
        furthest = max(furthest, last_user.get(place, -1))
    return items


def _append(items: list[_Item], found: Sequence[Call], between: list[int], place: int) -> None:
    """Add a cut, the call at `place`, to the blocks `items`, with the calls `between` it and the previous cut.

    Branches that the call merges become a block; otherwise the call continues the last block or begins a new one.
    """
    call, text = found[place], words(found[place])
    if between or len(call.sources) > 1:
        items.append(_Item(_branched(found, between, place), (*between, place), place))
        return
    follows = not opens_line(call)
    if items and items[-1].block.link is not None:
        follows &= not is_norm(call)  # a norm after a merge begins the next block (pre-activation)
    if items and follows:
        block, places, key = items[-1]
        *lines, last = block.lines or ("",)
        line = ", ".join(part for part in (last, text) if part)
        items[-1] = _Item(block._replace(lines=(*lines, line) if line else ()), (*places, place), key)
    else:
        items.append(_Item(Block((text,) if text else ()), (place,), place))


def _branched(found: Sequence[Call], between: list[int], merge: int) -> Block:
    """Return the block whose branches, the calls `between`, are merged by the call `merge` (indices into `found`)."""
    branches = [_ancestors(found, set(between), source) for source in found[merge].sources]
    name = {"Concatenate": "concat"}.get(type(found[merge].layer).__name__, words(found[merge]))
    if sum(map(len, branches)) != len(set().union(*branches)):  # the branches share layers, for example in NASNet
        return Block((f"cell of {len(between)} layers", f"{len(branches)} branches, {name}"))
    texts = [_lines(found, branch) for branch in branches]
    link, *others = sorted(texts, key=len)
    if len(others) != 1 or (link and name == "concat"):
        return Block((f"{len(texts)} branches:", *map(_summary, texts), name))
    if name == "multiply" and any(line.startswith("global") for line in others[0]):
        return Block(("squeeze and excite",))
    return Block((*others[0], name), ", ".join(link))


def _summary(lines: tuple[str, ...]) -> str:
    """Return the text of a branch as one line: its layers without norms and activations."""
    text = " > ".join(line.partition(",")[0] for line in lines) or "identity"
    return "- " + text.replace(": > - ", ": ").replace(" > - ", " | ")  # nested branches


def _lines(found: Sequence[Call], branch: set[int]) -> tuple[str, ...]:
    """Return the lines of text of a branch, with the skip connections inside it."""
    lines: list[str] = []
    for item in _items(found, sorted(branch)) if branch else ():
        lines += item.block.lines
        if item.block.link is not None:
            lines[-1] += f" with {item.block.link or 'its input'}"
    return tuple(lines)


def _ancestors(found: Sequence[Call], inside: set[int], place: int) -> set[int]:
    """Return the index `place` and those of its ancestor calls, as far as they are in `inside`."""
    reached, todo = set(), [place]
    while todo:
        here = todo.pop()
        if here in inside and here not in reached:
            reached.add(here)
            todo += found[here].sources
    return reached


def _collapse(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """Merge depthwise convolutions with the following 1x1, then consecutive equal blocks."""
    made: list[Block] = []
    for block in blocks:
        if made and made[-1].link is block.link is None and _continues(made[-1].lines, block.lines[0]):
            made[-1] = Block(made[-1].lines + block.lines)
        else:
            made.append(block)
    return tuple(block._replace(repeats=len(list(group))) for block, group in groupby(made))


def _continues(lines: tuple[str, ...], line: str) -> bool:
    if "depthwise" not in lines[0] or any(part.startswith("1x1") for part in lines):
        return False
    return line.startswith("1x1 conv") or line == "squeeze and excite"
