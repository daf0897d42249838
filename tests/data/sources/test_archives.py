"""Archives as data: unpacked once and atomically, safe against path traversal, and downloads."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import os
import stat
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from encoding import encoded
from PIL import Image

import cnnrecipes as cr
from cnnrecipes._support import user_cache
from cnnrecipes.data.sources import registry, unpack, unpack_cache
from cnnrecipes.data.sources.archive import unpack_archive
from cnnrecipes.data.sources.opening import open_source, recorded_name
from cnnrecipes.errors import DataError
from cnnrecipes.recipe.schema import Data

SPEC = Data(name="x", image_size=8, validation=0.0)
PHOTO = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)
FILES = {
    f"dataset/{split}/{cls}/{i}.png": encoded(Image.fromarray(np.roll(PHOTO, k + 5 * i, 0)), "PNG")
    for split in ("training_set", "test_set")
    for k, cls in enumerate(("cats", "dogs"))
    for i in range(2)
} | {"__MACOSX/dataset/._cats": b"x", "dataset/.DS_Store": b"x"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CNNRECIPES_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "archives"


def pack(path, files=FILES, links=()):
    """Write an archive of these files; links are (name, target, kind), where kind is "symlink" or "hardlink"."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
            for name, target, _ in links:
                info = zipfile.ZipInfo(name)
                info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
                archive.writestr(info, target)
        return path
    with tarfile.open(path, f"w:{path.suffix[1:].replace('tgz', 'gz').replace('tar', '')}") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o777
            archive.addfile(info, io.BytesIO(content))
        for name, target, kind in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = (tarfile.SYMTYPE if kind == "symlink" else tarfile.LNKTYPE), target
            archive.addfile(info)
    return path


def entries(home):
    return sorted(name for name in os.listdir(home) if not name.endswith(".lock"))


@pytest.mark.parametrize(
    "name", ["photos.zip", "photos.tar", "photos.tar.gz", "PHOTOS.TGZ", "photos.tar.xz", "photos.tar.bz2"]
)
def test_archive_is_read_like_its_folder(tmp_path, name, own_cache):
    path = pack(tmp_path / name.lower())
    path = path.rename(tmp_path / name)
    source = open_source(path, SPEC)
    assert source.class_names == ("cats", "dogs")
    assert {split: some.labels.tolist() for split, some in source.splits.items()} == {
        "train": [0, 0, 1, 1],
        "test": [0, 0, 1, 1],
    }
    assert source.split("train").read(3)[0] == FILES["dataset/training_set/dogs/1.png"]
    assert source.layout.folders == {"train": "training_set", "test": "test_set"}
    assert [finding.kind for finding in source.layout.left_out] == ["system files"]
    assert recorded_name(path) == str(path)
    files = [file for file in own_cache.rglob("*") if file.is_file()]
    assert not any(file.stat().st_mode & 0o111 for file in files)


def test_archive_is_unpacked_once_and_again_if_a_file_is_missing(tmp_path, own_cache, monkeypatch):
    path = pack(tmp_path / "a.zip")
    folder = unpack_archive(str(path))
    assert len(entries(own_cache)) == 1
    with monkeypatch.context() as patch:
        patch.setattr(unpack_cache, "unpack", lambda *args, **kwargs: pytest.fail("unpacked again"))
        assert unpack_archive(str(path)) == folder
        assert unpack_archive(str(path.rename(tmp_path / "other.zip"))) == folder  # identified by its content
    os.unlink(os.path.join(folder, "dataset/training_set/cats/1.png"))
    assert unpack_archive(str(tmp_path / "other.zip")) == folder
    assert os.path.isfile(os.path.join(folder, "dataset/training_set/cats/1.png"))
    pack(tmp_path / "other.zip", {"a/1.png": b"1"})
    assert unpack_archive(str(tmp_path / "other.zip")) != folder


def test_partial_unpacking_of_a_killed_process_is_not_used(tmp_path, own_cache):
    path = pack(tmp_path / "a.zip", {f"a/{i}.png": os.urandom(1000) for i in range(5000)})
    program = f"import cnnrecipes.data.sources.archive as a; print(1, flush=True); a.unpack_archive({str(path)!r})"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    process.stdout.readline()
    deadline = time.monotonic() + 60
    while not list(own_cache.glob("*.partial-*/whole/files/a/*")) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.kill()
    process.wait()
    (half,) = entries(own_cache)
    assert ".partial-" in half
    folder = unpack_archive(str(path))
    assert len(os.listdir(os.path.join(folder, "a"))) == 5000
    assert len(entries(own_cache)) == 1
    assert half not in entries(own_cache)


@pytest.mark.parametrize("kind", ["a.zip", "a.tar"])
@pytest.mark.parametrize(
    "name", ["../out.png", "a/../../out.png", "/tmp/out.png", "..\\out.png", "C:\\out.png", "C:/out.png"]
)
def test_member_path_outside_the_folder_is_refused(tmp_path, own_cache, kind, name):
    path = pack(tmp_path / kind, {"a/1.png": b"1", name: b"2"})
    with pytest.raises(DataError, match="which leads out of its folder; the archive is not unpacked"):
        open_source(path, SPEC)
    assert entries(own_cache) == []
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(("kind", "link"), [("a.zip", "symlink"), ("a.tar", "symlink"), ("a.tar", "hardlink")])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../../etc/passwd"])
def test_link_target_outside_the_folder_is_refused(tmp_path, own_cache, kind, link, target):
    path = pack(tmp_path / kind, {"a/1.png": b"1"}, [("a/2.png", target, link)])
    with pytest.raises(DataError, match="which leads out of its folder"):
        open_source(path, SPEC)
    assert entries(own_cache) == []


@pytest.mark.parametrize(("kind", "link"), [("a.zip", "symlink"), ("a.tar", "symlink"), ("a.tar", "hardlink")])
def test_link_inside_the_archive_becomes_a_copy(tmp_path, kind, link):
    target = "1.png" if link == "symlink" else "a/1.png"
    folder = unpack_archive(str(pack(tmp_path / kind, {"a/1.png": b"1"}, [("a/2.png", target, link)])))
    copy = os.path.join(folder, "a", "2.png")
    assert not os.path.islink(copy)
    with open(copy, "rb") as file:
        assert file.read() == b"1"


def test_device_files_are_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("a/1.png")
        info.type, info.devmajor, info.devminor = tarfile.CHRTYPE, 1, 5
        archive.addfile(info)
    with pytest.raises(DataError, match="which is not a regular file"):
        open_source(tmp_path / "a.tar", SPEC)


@pytest.mark.parametrize("kind", ["a.zip", "a.tar.gz"])
def test_zip_bomb_is_refused_before_it_fills_the_disk(tmp_path, own_cache, monkeypatch, kind):
    monkeypatch.setattr(unpack, "ALWAYS_ALLOWED", 2**20)
    path = pack(tmp_path / kind, {f"a/{i}.png": bytes(2**20) for i in range(20)})
    assert path.stat().st_size * unpack.MAX_GROWTH < 20 * 2**20
    with pytest.raises(DataError, match="more than 100 times its size.*zip bomb"):
        open_source(path, SPEC)
    assert entries(own_cache) == []


def test_archive_larger_than_the_free_disk_space_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(unpack.shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
    with pytest.raises(DataError, match="more than is free.*CNNRECIPES_CACHE"):
        open_source(pack(tmp_path / "a.zip"), SPEC)


def truncate(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = b""
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.zip", b"", "is not a zip or tar file"),
        ("a.zip", b"<!DOCTYPE html><html>Sign in</html>", "is a web page, not an archive"),
        ("a.tar.gz", b"\x1f\x8bnothing", "is not a zip or tar file"),
        ("a.zip", b"PK\3\4nothing", "is damaged"),
    ],
)
def test_invalid_archive_is_named(tmp_path, own_cache, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name}.*{words}"):
        open_source(tmp_path / name, SPEC)
    assert entries(own_cache) == []


@pytest.mark.parametrize("kind", ["a.zip", "a.tar.gz", "a.tar"])
def test_truncated_archive_raises_and_leaves_no_files(tmp_path, own_cache, kind):
    path = truncate(pack(tmp_path / kind, {f"a/{i}.png": os.urandom(5000) for i in range(20)}))
    with pytest.raises(DataError, match="is damaged|is not a zip"):
        open_source(path, SPEC)
    assert entries(own_cache) == []


def test_mistyped_archive_suggests_the_nearest(tmp_path):
    pack(tmp_path / "photos.zip")
    with pytest.raises(DataError, match="does not exist.*did you mean '.*/photos.zip'"):
        open_source(str(tmp_path / "photo.zip"), SPEC)


def test_unwritable_cache_folder_raises(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CNNRECIPES_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="cannot unpack.*CNNRECIPES_CACHE"):
        open_source(pack(tmp_path / "a.zip"), SPEC)


@pytest.fixture
def server(tmp_path):
    """A local web server of a folder: (address, folder, requested paths)."""
    folder, asked = tmp_path / "served", []
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            if self.path.startswith("/away"):
                self.send_response(302)
                self.send_header("Location", "/a.zip")
                self.end_headers()
            elif self.path.startswith("/cut"):
                self.send_response(200)
                self.send_header("Content-Length", "1000000")
                self.end_headers()
                self.wfile.write(b"PK\3\4" + bytes(1000))
            else:
                super().do_GET()

        def log_message(self, *args):
            pass

    serving = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{serving.server_port}", folder, asked
    serving.shutdown()
    serving.server_close()


def test_url_is_downloaded_once(server, own_cache, capsys):
    address, folder, asked = server
    pack(folder / "a.zip")
    for way in ("/a.zip", "/away?id=3"):
        source = open_source(address + way, SPEC, progress=True)
        assert source.name == address + way
        assert source.class_names == ("cats", "dogs")
        assert f"downloading {address}{way}" in capsys.readouterr().out
        open_source(address + way, SPEC)
    assert asked == ["/a.zip", "/away?id=3", "/a.zip"]
    assert len(entries(own_cache)) == 2


def test_checksum_of_a_download_is_verified(server, own_cache):
    address, folder, _ = server
    digest = hashlib.sha256(pack(folder / "a.zip").read_bytes()).hexdigest()
    assert open_source(f"{address}/a.zip#sha256={digest}", SPEC).class_names == ("cats", "dogs")
    before = entries(own_cache)
    with pytest.raises(DataError, match=f"has the SHA-256 {digest}, not the expected {'0' * 64}"):
        open_source(f"{address}/a.zip#sha256={'0' * 64}", SPEC)
    assert entries(own_cache) == before


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("/absent.zip", "404.*check the address"),
        ("/cut.zip", "cannot download.*check the address and the network|ended after"),
        ("/a.zip#md5=1", "a checksum is written #sha256="),
        ("/page.zip", "is a web page, not an archive"),
    ],
)
def test_failed_download_leaves_no_files(server, own_cache, way, words):
    address, folder, _ = server
    (folder / "page.zip").write_text("<html>Sign in</html>")
    with pytest.raises(DataError, match=words):
        open_source(address + way, SPEC)
    assert not own_cache.exists() or entries(own_cache) == []


def test_unreachable_address_raises(tmp_path):
    with pytest.raises(DataError, match="cannot download 'http://127.0.0.1:9/a.zip': Connection refused"):
        open_source("http://127.0.0.1:9/a.zip", SPEC)


def test_unencrypted_url_requires_a_checksum():
    with pytest.raises(DataError, match="'http://example.org/a.zip' is not encrypted.*https://.*#sha256="):
        open_source("http://example.org/a.zip", SPEC)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("x/cats.tar.gz", "cats"),
        ("https://a.org/x/cats.zip?v=1#sha256=00", "cats"),
        ("https://a.org", "a.org"),
        ("cats.ZIP", "cats"),
    ],
)
def test_folder_name_is_the_archive_name_without_extensions(text, name):
    assert registry.find(text).folder_name(text) == name


def test_archive_that_a_process_reads_is_not_cleared(tmp_path, own_cache):
    archive = pack(tmp_path / "cats.zip")
    code = "import sys; from cnnrecipes.data.sources.archive import unpack_archive; "
    code += "print(unpack_archive(sys.argv[1]), flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code, str(archive)], **pipes) as reader:
        folder = Path(reader.stdout.readline().strip()).parent
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        assert [(one.items, one.size) for one in cr.cache_contents(["archives"])] == [(1, size)]
        assert list(cr.clear_cache(["archives"]).kept) == [folder]
        assert len(list(folder.rglob("*.png"))) == 8
        reader.kill()
    assert not cr.clear_cache(["archives"]).kept
    assert not folder.exists()


def test_archive_that_is_read_again_counts_as_used(tmp_path):
    archive = str(pack(tmp_path / "cats.zip"))
    manifest = Path(unpack_archive(archive)).with_name("manifest.json")
    os.utime(manifest, (0, 0))
    assert cr.cache_contents(["archives"], unused_days=1)[0].items == 1
    unpack_archive(archive)
    assert cr.cache_contents(["archives"], unused_days=1)[0].items == 0
    assert list(cr.clear_cache(["archives"]).kept) == [manifest.parent]


def test_unpack_cache_is_in_the_cache_folder(own_cache):
    assert own_cache.parent == user_cache.folder()
