"""The garbage collector is off during large imports, and as before afterwards."""

from __future__ import annotations

import gc

import pytest

from cnnrecipes._support.garbage_collection import collect_garbage_afterwards, without_garbage_collection


@pytest.mark.parametrize("enabled", [True, False])
def test_collector_is_off_inside_and_as_before_after_an_error(enabled):
    if not enabled:
        gc.disable()

    @without_garbage_collection()
    def fail():
        assert not gc.isenabled()
        raise ImportError("the module is missing")

    try:
        with pytest.raises(ImportError, match="missing"):
            fail()
        assert gc.isenabled() == enabled
    finally:
        gc.enable()


def test_cycles_are_released_when_a_function_ends():
    class Node:
        released = False

        def __del__(self):
            Node.released = True

    @collect_garbage_afterwards
    def work():
        node = Node()
        node.itself = node

    gc.disable()
    try:
        work()
        assert Node.released
    finally:
        gc.enable()
