"""Warnings that one thread ignores, while others show theirs and keep the filters of the process."""

from __future__ import annotations

import io
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from cnnrecipes._support.warning_filter_per_thread import ignored_in_this_thread
from cnnrecipes.data.images import decode


def test_warnings_are_ignored_in_the_block_and_shown_after_it():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with ignored_in_this_thread():
            with ignored_in_this_thread():
                warnings.warn("inner", stacklevel=1)
            warnings.warn("outer", stacklevel=1)
        with pytest.raises(UserWarning, match="after"):
            warnings.warn("after", stacklevel=1)


def test_another_thread_still_warns():
    entered, warned = threading.Event(), threading.Event()

    def ignore():
        with ignored_in_this_thread():
            entered.set()
            assert warned.wait(10)

    with ThreadPoolExecutor() as pool:
        done = pool.submit(ignore)
        assert entered.wait(10)
        with pytest.warns(UserWarning, match="of this thread"):
            warnings.warn("of this thread", stacklevel=1)
        warned.set()
        done.result()


def test_parallel_decoding_keeps_the_filters_of_the_process():
    """Pillow decodes in TensorFlow's threads; afterwards our warnings must still be shown."""
    written = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(written, "WEBP")
    with warnings.catch_warnings(), ThreadPoolExecutor(8) as pool:
        before = list(warnings.filters)
        for _ in range(8):  # another order of the threads each time
            images = list(pool.map(lambda _: decode._pillow(written.getvalue(), 3), range(100)))
            assert len(images) == 100
            assert all(one[2] is not UserWarning for one in warnings.filters if one not in before)
