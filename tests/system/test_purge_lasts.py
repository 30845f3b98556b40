"""A purge that was answered with 200 outlives whatever ends the process (docs/purge.md)."""

import signal

import pytest

import gossip
import harness
from cache_bench import Bench, is_hit

LASTS = [("Cache-Control", "max-age=6000")]
SITES = [{"name": "www", "hosts": ["www.test", "all.test"]}, {"name": "all", "hosts": ["*"]}]
KINDS = ["url", "path", "tag", "prefix", "host", "all"]


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
    """Objects that lie on disk alone: one for each kind of purge, one that none names."""

    def __init__(self, bench):
        self.bench = bench
        self.paths = {kind: bench.serve([*LASTS, ("Surrogate-Key", "of-" + kind), ("ETag", '"a"')])
                      for kind in [*KINDS, "kept"]}
        assert not any(self.hits().values()) and all(self.hits().values())
        assert bench.node.restart() == 0
        for kind, path in self.paths.items():
            info = bench.node.admin("GET", "/v1/cache?url=http://%s.test%s" % (kind, path)).json
            assert [v["tier"] for v in info["variants"]] == ["disk"]

    def get(self, kind):
        return self.bench.get(self.paths[kind], host=kind + ".test")

    def hits(self):
        """Is each one served from the store?"""
        return {kind: is_hit(self.get(kind)) for kind in self.paths}

    def purge(self, kind, mode="hard"):
        selectors = {"url": ["http://url.test" + self.paths["url"]], "path": [self.paths["path"]],
                     "tag": ["of-tag"], "prefix": ["prefix.test/"], "host": ["host.test"],
                     "all": []}[kind]
        more = {"site": "www"} if kind == "all" else {}
        return purge(self.bench, kind, *selectors, mode=mode, **more)


END = pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=["stop", "kill"])
MODE = pytest.mark.parametrize("mode", ["hard", "soft"])


@END
@MODE
def test_purges_outlive_two_restarts(bench, mode, end):
    stored = Stored(bench)
    ids = [stored.purge(kind, mode)["id"] for kind in KINDS]
    for _ in range(2):
        bench.node.restart(end)
    for number in ids:
        assert bench.node.admin("GET", "/v1/purges/" + number).json["id"] == number
    bench.origin.clear()
    assert stored.hits() == {kind: kind == "kept" for kind in stored.paths}
    for kind in KINDS:
        asked = bench.origin.last(stored.paths[kind])
        assert bool(asked.all("if-none-match")) == (mode == "soft"), kind
    # What came after the purge is not touched by it, not after one more start either.
    assert all(stored.hits().values())
    assert bench.node.restart() == 0
    assert all(stored.hits().values())


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
    """RFC 9111 4.4: not logged, so the object itself has to go (docs/purge.md)."""
    stored = Stored(bench)
    path = stored.paths["url"]
    served = bench.origin.handlers[path]
    bench.origin.reply(path, 204)
    assert bench.request("DELETE", path, host="url.test").status == 204
    bench.origin.handlers[path] = served
    assert bench.node.restart() == 0
    assert stored.hits() == {kind: kind != "url" for kind in stored.paths}


def test_without_its_log_the_cache_is_not_trusted(bench):
    """Another log, or none: purges may have been missed, so everything is asked for again."""
    stored = Stored(bench)
    stored.purge("url")
    assert bench.node.stop() == 0
    data = bench.node.folder / "data"
    logs = [f for f in data.iterdir() if f.is_dir() and f.name != "cache"]
    assert logs, list(data.iterdir())
    assert "event=cache_distrusted" not in bench.node.log
    for folder in logs:
        for file in folder.iterdir():
            file.unlink()
    bench.node.start()
    assert "event=cache_distrusted" in bench.node.log
    assert not any(stored.hits().values())
    assert all(stored.hits().values())


def test_an_emptied_cache_forgets_no_purge_number(bench):
    """The cache's folder gone, the log kept: what is stored then is above all old purges."""
    stored = Stored(bench)
    purge(bench, "all")
    assert bench.node.stop() == 0
    for file in (bench.node.folder / "data" / "cache").iterdir():
        file.unlink()
    bench.node.start()
    assert not any(stored.hits().values())
    assert all(stored.hits().values())
    bench.node.restart(signal.SIGKILL)
    stored.purge("url")
    assert not is_hit(stored.get("url"))


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


def test_names_for_one_site_are_swept(bench):
    """They leave the table with what they name, and come back with the log, and no more than that."""
    def names():
        return gossip.metric(bench.node, "perigee_purge_names")

    def variants():
        return bench.node.admin(
            "GET", "/v1/cache?url=http://www.test" + path).json["variants"]

    path = bench.serve([*LASTS, ("Surrogate-Key", "t")])
    bench.fill(path, host="www.test")
    purge(bench, "tag", "t", site="all")  # another site's
    purge(bench, "tag", "t", site="www")
    harness.wait_until(lambda: names() == 0, "they are swept", 120)  # by a thread that may starve
    assert not variants()
    assert not is_hit(bench.get(path, host="www.test")) and is_hit(bench.get(path, host="www.test"))
    assert bench.node.restart() == 0
    assert names() == 2 and is_hit(bench.get(path, host="www.test"))
    purge(bench, "tag", "t", site="www")
    assert not is_hit(bench.get(path, host="www.test"))


def test_a_host_that_goes_to_another_site(bench):
    """What was purged for the site that it was of is purged, also after a kill and a start."""
    def sites(all_hosts, other):
        return [{"name": "all", "hosts": all_hosts}, {"name": "other", "hosts": other}]

    first = sites(["*", "www.test", "api.test"], ["other.test"])
    second = sites(["*", "api.test"], ["other.test", "www.test"])
    third = sites(["*"], ["other.test", "www.test", "api.test"])
    assert bench.node.reload(harness.config(bench.origin.port, sites=first))
    path = bench.serve([*LASTS, ("Surrogate-Key", "t")])
    for host in ("www.test", "api.test"):
        bench.fill(path, host=host)
    purge(bench, "tag", "t", site="all")
    assert bench.node.reload(harness.config(bench.origin.port, sites=second))
    assert not is_hit(bench.get(path, host="www.test"))
    assert is_hit(bench.get(path, host="www.test"))
    bench.node.write(harness.config(bench.origin.port, sites=third))
    bench.node.kill()
    bench.node.start()
    assert not is_hit(bench.get(path, host="api.test"))
    assert is_hit(bench.get(path, host="api.test"))


def test_a_host_that_goes_to_another_site_and_back(bench):
    """Purged for its site, it is not usable again: what is swept between says nothing of it."""
    def names():
        return gossip.metric(bench.node, "perigee_purge_names")

    def serve_by(site):
        hosts = {"www": ["all.test"], "all": ["*"], "other": ["other.test"]}
        hosts[site] = hosts[site] + ["www.test"]
        sites = [{"name": name, "hosts": hosts[name]} for name in hosts]
        assert bench.node.reload(harness.config(bench.origin.port, sites=sites))

    path = bench.serve([*LASTS, ("Surrogate-Key", "t")])
    serve_by("www")
    bench.fill(path, host="www.test")
    purge(bench, "tag", "t", site="www")
    serve_by("other")
    purge(bench, "url", "http://other.test/gone")  # which the next sweep takes away
    harness.wait_until(lambda: names() <= 1, "a sweep", 120)
    serve_by("www")
    assert not is_hit(bench.get(path, host="www.test")) and is_hit(bench.get(path, host="www.test"))
