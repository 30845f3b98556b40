"""Little room on disk, or none: no client notices, and the node comes back by itself."""

import os
import random
import signal
import subprocess
import threading

import pytest

import harness
from versions import Versions, config, look, wait_stored

SEED = 20


def figure(node, name):
    text = node.admin("GET", "/metrics").body.decode()
    return sum(float(line.split(" ")[1]) for line in text.splitlines()
               if line.startswith((name + " ", name + "{")))


def ask_all(node, versions, keys, threads=4):
    """From several clients at once; every answer whole and right. How many were hits: by what
    the origin was asked for, since who joins a fill says so and is no hit."""
    wrong, served, todo, before = [], [], list(keys)[::-1], versions.origin.count()

    def run():
        with node.http() as client:
            while todo:
                try:
                    key = todo.pop()
                except IndexError:
                    return
                response = client.get(versions.path(key))
                fault = versions.judge(key, response.body, 1) \
                    if response.status == 200 else response
                if fault:
                    wrong.append(fault)
                served.append(key)

    running = [threading.Thread(target=run) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(60)
        assert not thread.is_alive(), "a client hangs"
    assert not wrong and len(served) == len(keys), (len(served), len(wrong), wrong[:5])
    return len(keys) - (versions.origin.count() - before)


def few_errors(node):
    """A batch that a busy machine finds no room for is not stored, and that is all."""
    return (figure(node, "perigee_store_errors_total")
            <= figure(node, "perigee_store_commits_total") / 20)


def test_more_than_the_disk_holds(make_node, origin):
    """Six times the map, three times over: evictions, and no client notices."""
    sizes = [20000, 64000, 100, 150000, 4080, 250000, 1000, 90000]
    versions = Versions(origin, 1200, sizes)
    node = make_node(config(origin.port, size="16MiB", memory="8MiB"))
    for turn in range(3):
        order = list(range(versions.keys))
        random.Random(SEED + turn).shuffle(order)
        ask_all(node, versions, order)
        wait_stored(node)
        # what is asked for again and again stays
        for _ in range(3):
            ask_all(node, versions, list(range(10)))
        assert ask_all(node, versions, list(range(10))) == 10
    wait_stored(node)
    assert figure(node, "perigee_cache_evicted_total") > 1000
    assert few_errors(node)
    used, most = (figure(node, "perigee_cache_disk_%s_bytes" % x) for x in ("used", "max"))
    assert 0.5 * most < used <= most and most <= 16 << 20, (used, most)
    data = sum(f.stat().st_blocks * 512 for f in (node.folder / "data/cache").rglob("*"))
    assert data < 20 << 20, "the file stays within its size: %d" % data
    assert node.restart() == 0
    assert node.status()["cache"]["objects"] > 100


@pytest.fixture
def small_disk(tmp_path):
    """A mounted tmpfs of 48 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", place],
                             stderr=subprocess.PIPE, timeout=20)
    if mounted.returncode:
        pytest.skip("no tmpfs here: %r" % mounted.stderr)
    yield place
    subprocess.run(["umount", "-l", place], check=True, timeout=20)


def stuff(place):
    """Takes all room that is left; the file that holds it."""
    file = place / "stuff"
    with open(file, "wb", buffering=0) as out:
        for size in (1 << 20, 4096, 1):
            try:
                while out.write(b"s" * size) == size:
                    pass
            except OSError:
                pass
    return file


def on_small_disk(port, place):
    node = {"id": "node1", "workers": 2, "data_dir": str(place / "data")}
    return config(port, size="128MiB", memory="16MiB", node=node)


def test_the_disk_is_smaller_than_the_map(small_disk, make_node, origin):
    """The cache makes do with what there is, and leaves a little to others."""
    versions = Versions(origin, 900, [100000, 300000, 4000])
    node = make_node(on_small_disk(origin.port, small_disk))
    for _ in range(2):
        ask_all(node, versions, list(range(versions.keys)))
    wait_stored(node)
    assert few_errors(node)
    assert figure(node, "perigee_cache_evicted_total") > 100
    assert figure(node, "perigee_cache_disk_used_bytes") > 20 << 20
    assert os.statvfs(small_disk).f_bavail * 4096 > 1 << 20
    versions.now[5] = versions.floor[5] = 2
    assert node.admin("POST", "/v1/purge", {"type": "tag", "selectors": ["t5"]}).status == 200
    assert versions.judge(5, node.get(versions.path(5)).body, 2) is None
    assert node.restart() == 0
    assert node.status()["cache"]["objects"] > 200
    newest = list(range(versions.keys - 5, versions.keys))
    assert ask_all(node, versions, newest) > 0, "what was stored last is still there"


def test_disk_gets_full_while_it_runs(small_disk, make_node, origin):
    """By others. Nobody notices, and the disk tier comes back by itself."""
    versions = Versions(origin, 300, [100000, 300000, 4000])
    node = make_node(on_small_disk(origin.port, small_disk))
    ask_all(node, versions, list(range(20)))
    file = stuff(small_disk)
    for _ in range(2):
        ask_all(node, versions, list(range(versions.keys)))
    # a purge is in force, whether or not it could be written
    versions.now[5] = versions.floor[5] = 2
    purge = {"type": "url", "selectors": ["http://localhost" + versions.path(5)]}
    assert node.admin("POST", "/v1/purge", purge).status in (200, 503)
    assert versions.judge(5, node.get(versions.path(5)).body, 2) is None
    assert node.log.count("event=store_commit") < 20, "it does not flood the log"
    file.unlink()
    stored = figure(node, "perigee_store_bytes_total")

    def stores_again():
        ask_all(node, versions, list(range(versions.keys)))
        return figure(node, "perigee_store_bytes_total") > stored + (1 << 20)

    harness.wait_until(stores_again, "the store takes objects", 60)
    assert node.status()["cache"]["disk_on"] is True
    assert node.admin("POST", "/v1/purge", purge).status == 200
    keys = list(range(100))
    ask_all(node, versions, keys)
    wait_stored(node)
    assert node.restart() == 0
    assert ask_all(node, versions, keys) > 50


def test_start_on_a_full_disk(small_disk, make_node, origin):
    """Serving is worth more than storing; a purge is not told to last that would not."""
    versions = Versions(origin, 60, [100000, 4000, 200])
    file = stuff(small_disk)
    node = make_node(on_small_disk(origin.port, small_disk))
    for _ in range(2):
        ask_all(node, versions, list(range(versions.keys)))
    versions.now[5] = versions.floor[5] = 2
    purge = {"type": "url", "selectors": ["http://localhost" + versions.path(5)]}
    assert node.admin("POST", "/v1/purge", purge).status == 503
    assert versions.judge(5, node.get(versions.path(5)).body, 2) is None
    assert "error event=purge_log_off" in node.log
    assert node.status()["purge_log"]["ok"] is False
    assert node.stop() == 0
    # with room, it is a node like any other
    file.unlink()
    node.start()
    look(node, versions)
    assert node.admin("POST", "/v1/purge", purge).status == 200
    look(node, versions)
    wait_stored(node)
    # and a disk that filled up while it was down, or dead, takes no purge away
    stuff(small_disk)
    for end in (signal.SIGTERM, signal.SIGKILL):
        node.stop(end)
        node.start()
        look(node, versions)
