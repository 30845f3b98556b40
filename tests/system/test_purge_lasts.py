"""A purge that was answered with 200 outlives whatever ends the process (purge.md)."""

import signal

import pytest

import harness
from cache_bench import Bench, is_hit

LASTS = [("Cache-Control", "max-age=6000")]
SITES = [{"name": "www", "hosts": ["www.test"]}, {"name": "all", "hosts": ["*"]}]


@pytest.fixture
def bench(make_node, make_origin):
    """A node that a test may stop and kill."""
    origin = make_origin()
    return Bench(make_node(harness.config(origin.port, sites=SITES)), origin)


def purge(bench, kind, *selectors, **more):
    call = {"type": kind, **more}
    if selectors:
        call["selectors"] = list(selectors)
    answer = bench.node.admin("POST", "/v1/purge", call)
    assert answer.status == 200, answer.body
    return answer.json


class Stored:
    """Two objects that lie on disk alone: one that purges name, one that they do not."""

    def __init__(self, bench):
        self.bench = bench
        self.victim = bench.serve([*LASTS, ("Surrogate-Key", "victim"), ("ETag", '"a"')])
        self.other = bench.serve([*LASTS, ("Surrogate-Key", "other")])
        self.get_all()
        assert self.get_all() == (True, True)
        assert bench.node.restart() == 0
        for host, path in (("www.test", self.victim), ("kept.test", self.other)):
            info = bench.node.admin("GET", "/v1/cache?url=http://%s%s" % (host, path)).json
            assert [v["tier"] for v in info["variants"]] == ["disk"]

    def get_victim(self, fields=()):
        return self.bench.get(self.victim, fields, host="www.test")

    def get_all(self):
        """Are they served from the store: (victim, other)."""
        return is_hit(self.get_victim()), is_hit(self.bench.get(self.other, host="kept.test"))

    def purge(self, kind, mode):
        selectors = {"url": ["http://www.test" + self.victim], "path": [self.victim],
                     "tag": ["victim"], "prefix": ["www.test/"], "host": ["www.test"],
                     "all": []}[kind]
        more = {"site": "www"} if kind == "all" else {}
        return purge(self.bench, kind, *selectors, mode=mode, **more)


END = pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=["stop", "kill"])
KIND = pytest.mark.parametrize("kind", ["url", "path", "tag", "prefix", "host", "all"])
MODE = pytest.mark.parametrize("mode", ["hard", "soft"])


@END
@MODE
@KIND
def test_purge_outlives_two_restarts(bench, kind, mode, end):
    stored = Stored(bench)
    said = stored.purge(kind, mode)
    for _ in range(2):
        bench.node.restart(end)
    assert bench.node.admin("GET", "/v1/purges/" + said["id"]).json["id"] == said["id"]
    bench.origin.clear()
    assert stored.get_all() == (False, True)
    asked = bench.origin.last(stored.victim)
    assert bool(asked.all("if-none-match")) == (mode == "soft")
    # What came after the purge is not touched by it, not after one more start either.
    assert stored.get_all() == (True, True)
    assert bench.node.restart() == 0
    assert stored.get_all() == (True, True)


@END
def test_many_purges_outlive_a_restart(bench, end):
    paths = [bench.serve(LASTS) for _ in range(200)]
    for path in paths:
        bench.fill(path, host="www.test")
    assert bench.node.restart() == 0
    for path in paths[::2]:
        purge(bench, "url", "http://www.test" + path)
    bench.node.restart(end)
    hits = [is_hit(bench.get(path, host="www.test")) for path in paths]
    assert hits == [False, True] * 100
    status = bench.node.status()["purge_log"]
    assert status["ok"] is True and status["records"] >= 100


def test_invalidation_by_a_method_takes_the_object_from_the_disk(bench):
    """RFC 9111 4.4: not logged, so the object itself has to go (purge.md)."""
    stored = Stored(bench)
    served = bench.origin.handlers[stored.victim]
    bench.origin.reply(stored.victim, 204)
    assert bench.request("DELETE", stored.victim, host="www.test").status == 204
    bench.origin.handlers[stored.victim] = served
    bench.origin.clear()
    assert bench.node.restart() == 0
    assert not is_hit(stored.get_victim())


def test_without_its_log_the_cache_is_not_trusted(bench):
    """Another log, or none: purges may have been missed, so everything is asked for again."""
    stored = Stored(bench)
    stored.purge("url", "hard")
    assert bench.node.stop() == 0
    data = bench.node.folder / "data"
    logs = [f for f in data.iterdir() if f.is_dir() and f.name != "cache"]
    assert logs, list(data.iterdir())
    for folder in logs:
        for file in folder.iterdir():
            file.unlink()
    bench.node.start()
    assert stored.get_all() == (False, False)
    assert stored.get_all() == (True, True)


def test_an_emptied_cache_forgets_no_purge_number(bench):
    """The cache's folder gone, the log kept: what is stored then is above all old purges."""
    stored = Stored(bench)
    stored.purge("all", "hard")
    assert bench.node.stop() == 0
    for file in (bench.node.folder / "data" / "cache").iterdir():
        file.unlink()
    bench.node.start()
    assert stored.get_all() == (False, False)
    assert stored.get_all() == (True, True)
    bench.node.restart(signal.SIGKILL)
    stored.purge("url", "hard")
    assert stored.get_all()[0] is False


def test_purge_while_the_store_is_scanned(bench):
    """After a kill there is no snapshot: the index grows from the disk while purges come."""
    count = 2000
    for number in range(count):
        bench.origin.reply("/s%d" % number, fields=[
            *LASTS, ("Surrogate-Key", "mod%d" % (number % 10))], body=b"old")
    with bench.node.http() as client:
        for number in range(count):
            assert client.get("/s%d" % number, host="www.test").status == 200
    assert bench.node.restart() == 0  # all on disk
    bench.node.kill()
    for number in range(count):
        bench.origin.reply("/s%d" % number, fields=LASTS, body=b"new")
    bench.node.start()
    for tag in range(5):
        purge(bench, "tag", "mod%d" % tag)
    bodies = []
    with bench.node.http() as client:
        for number in range(count):
            bodies.append(client.get("/s%d" % number, host="www.test").body)
    assert bodies == [b"new" if n % 10 < 5 else b"old" for n in range(count)]
    bench.wait(lambda: not bench.node.status()["cache"]["scanning"], "the scan's end")
    with bench.node.http() as client:
        for number in range(0, count, 10):
            assert client.get("/s%d" % number, host="www.test").body == b"new"
