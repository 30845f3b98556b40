"""Damaged files and folders: it starts, serves what is right, and soon all is as before."""

import os
import random
import re
import shutil

import pytest

import harness
from versions import Versions, config, look, wait_stored

SEED = 20


def garbage(file, chance, part):
    """Overwrites that part of a file's pages in place."""
    pages = file.stat().st_size // 4096
    with open(file, "r+b") as out:
        for page in range(pages):
            if chance.random() < part:
                out.seek(page * 4096)
                out.write(chance.randbytes(4096))


def cut(file, part):
    os.truncate(file, int(file.stat().st_size * part) // 4096 * 4096)


def fill_with(file, data):
    file.write_bytes(data)


def replace_by_folder(file):
    file.unlink()
    file.mkdir()


DAMAGES = {
    "all noise": lambda f, c: garbage(f, c, 1),
    "half of it noise": lambda f, c: garbage(f, c, 0.5),
    "noise here and there": lambda f, c: garbage(f, c, 0.02),
    "cut to half": lambda f, c: cut(f, 0.5),
    "cut to one page": lambda f, c: os.truncate(f, 4096),
    "cut inside a page": lambda f, c: os.truncate(f, 10000),
    "empty": lambda f, c: fill_with(f, b""),
    "text": lambda f, c: fill_with(f, b"no database\n" * 10000),
    "zeros": lambda f, c: fill_with(f, bytes(f.stat().st_size)),
    "gone": lambda f, c: f.unlink(),
    "a folder": lambda f, c: replace_by_folder(f),
}


NOISE = ("all noise", "half of it noise", "noise here and there")


@pytest.mark.parametrize("which", ["cache", "purge-log"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files(make_node, origin, which, damage):
    """It serves what is right, and soon all works again as if nothing had been."""
    chance = random.Random(SEED)
    versions = Versions(origin, 40)
    node = make_node(config(origin.port, size="64MiB", memory="8MiB"))
    look(node, versions)
    versions.now[7] = versions.floor[7] = 2
    assert node.admin("POST", "/v1/purge", {"type": "tag", "selectors": ["t7"]}).status == 200
    assert node.stop() == 0
    file = next((node.folder / "data" / which).rglob("data.mdb"))
    DAMAGES[damage](file, chance)
    if damage == "a folder":  # which nobody deletes for us
        node.start()
        look(node, versions)
        status = node.admin("POST", "/v1/purge", {"type": "all"}).status
        assert status == (200 if which == "cache" else 503)
        look(node, versions)
        return
    died = 0
    while not works(node, versions):
        died += 1
        # pages of noise may end the process inside the library: not for ever
        assert died <= (4 if damage in NOISE else 0), node.log_tail()


def works(node, versions):
    """Everything, through a restart; False: the process died of it."""
    try:
        node.start()
        look(node, versions)
        assert node.admin("POST", "/v1/purge", {"type": "all"}).status == 200
        look(node, versions)
        wait_stored(node)
        if node.stop() != 0:
            return False
        node.start()
        assert look(node, versions) > 1.9 * versions.keys
        return True
    except (AssertionError, OSError, harness.Cut) as error:
        if node.process is None:
            raise
        try:
            node.wait_exit(5)
        except AssertionError:
            raise error from None
        return False


def test_file_cut_while_it_runs(make_node, origin):
    """A read beyond the end of a mapped file is a signal; the next start is empty and well."""
    versions = Versions(origin, 60, [300000, 4000])
    node = make_node(config(origin.port, size="64MiB", memory="8MiB"))
    look(node, versions)
    wait_stored(node)
    os.truncate(next((node.folder / "data/cache").rglob("data.mdb")), 8192)
    with pytest.raises((harness.Cut, OSError, AssertionError)):
        for _ in range(5):
            look(node, versions)
    assert node.wait_exit() != 0
    assert "store_bus" in node.log, node.log_tail()
    node.start()
    look(node, versions)
    assert look(node, versions) > 1.9 * versions.keys


@pytest.mark.parametrize("which", ["cache", "purge-log"])
def test_folder_replaced_by_a_file(make_node, origin, which):
    versions = Versions(origin, 40)
    node = make_node(config(origin.port, size="64MiB"))
    look(node, versions)
    assert node.stop() == 0
    place = node.folder / "data" / which
    shutil.rmtree(place)
    place.write_text("a file")
    node.start()
    for _ in range(2):
        look(node, versions)
    status = node.status()
    assert status["cache"]["disk_on"] is (which != "cache")
    assert status["purge_log"]["ok"] is (which == "cache")
    assert re.search("error event=.*/data/" + which, node.log), node.log
    assert node.stop() == 0
    assert place.read_text() == "a file", "nothing of others is deleted"
