"""Shared fixtures: data sets and trained runs. Tests that need ../shared are skipped where it is absent."""

from __future__ import annotations

import gc
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import cnnrecipes as cr  # before any test imports TensorFlow, as it asks for

SHARED = Path(__file__).parents[2] / "shared" / "data"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if (SHARED / "tfds").is_dir():
    os.environ.setdefault("TFDS_DATA_DIR", str(SHARED / "tfds"))


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory) -> Path:
    """Point the package's cache at a temporary folder, apart from the user's."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["CNNRECIPES_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def _frozen_garbage_collector() -> Iterator[None]:
    """Exempt what outlives a module, packages and TensorFlow's graphs, from collections: `fit` makes many of them."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real test data beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"no real data at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def flowers(shared, tmp_path_factory) -> Path:
    """600 photos in five class folders."""
    return _unpacked(shared / "photos" / "flowers.tar", tmp_path_factory)


@pytest.fixture(scope="session")
def hymenoptera(shared, tmp_path_factory) -> Path:
    """Ants and bees, in train/ and val/."""
    return _unpacked(shared / "photos" / "hymenoptera.tar", tmp_path_factory)


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory):
    """A short training of resnet8_digits; read-only for tests."""
    return cr.fit(
        "resnet8_digits",
        workdir=tmp_path_factory.mktemp("runs"),
        progress=False,
        **{"train.epochs": 6, "optimizer.warmup": "1 epoch"},
    )


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory):
    """A narrow backbone with a head of two classes, which `adaptation.adapt` starts from; read-only for tests."""
    from adaptation import pretrain

    return pretrain(tmp_path_factory.mktemp("pretrained"))


@pytest.fixture
def run_cli(capsys, monkeypatch, tmp_path):
    """Run the command line in an empty folder, with its arguments; returns exit status, stdout and stderr."""
    from cnnrecipes.cli import app

    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["cnnrecipes", *arguments])
        with pytest.raises(SystemExit) as stopped:
            app.main()
        return stopped.value.code or 0, *capsys.readouterr()

    return run


def _unpacked(archive: Path, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp(archive.stem)
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return next(path for path in folder.iterdir() if path.is_dir())
