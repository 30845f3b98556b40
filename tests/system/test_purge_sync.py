"""Purges across nodes: what 200 and 202 mean with real nodes (docs/purge.md)."""

import signal

import pytest

import gossip
import harness
from cache_bench import is_hit
from crew import Crew
from harness import wait_until

FRESH = [("Cache-Control", "max-age=3600")]


class Page:
    """An object whose every answer of the origin is another version."""

    def __init__(self, crew, path="/page", fields=()):
        self.crew, self.path, self.version = crew, path, 1
        crew.origin.on(path)(self.answer)
        self.fields = [*FRESH, *fields]

    def answer(self, x):
        x.respond(200, self.fields, b"version %d" % self.version)

    def get(self, name):
        response = self.crew[name].get(self.path)
        assert response.status == 200, response
        return int(response.body.split()[1]), is_hit(response)

    def fill(self):
        for name in self.crew.running:
            self.get(name)
            assert self.get(name) == (self.version, True), name


def purge(node, kind="url", selector="http://localhost/page", wait=None, **more):
    call = {"type": kind, "selectors": [selector], **more}
    if wait is not None:
        call["wait"] = wait
    return node.admin("POST", "/v1/purge", call)


def confirmations(node, answer):
    return node.admin("GET", "/v1/purges/%s" % answer.json["id"]).json["nodes"]


def named(answer):
    """Whom a 202 names."""
    return answer.json["nodes"]["unreachable"] + answer.json["nodes"]["pending"]


@pytest.fixture
def crew(make_node, origin, tmp_path):
    return Crew(make_node, origin, tmp_path)


@pytest.mark.parametrize("at", ["n1", "n3"])
def test_200_is_gone_everywhere(crew, at):
    pages = [Page(crew, "/a"), Page(crew, "/b", [("Surrogate-Key", "news")]), Page(crew, "/c/d")]
    calls = [("path", "/a"), ("tag", "news"), ("all", None)]
    for page, (kind, selector) in zip(pages, calls):
        page.fill()
        page.version = 2
        call = {"type": kind, **({"selectors": [selector]} if selector else {})}
        answer = crew[at].admin("POST", "/v1/purge", call)
        assert answer.status == 200, answer.body
        for name in crew.nodes:
            assert page.get(name)[0] == 2, (kind, name)
        told = confirmations(crew[at], answer)
        assert sorted(told["applied"]) == ["n1", "n2", "n3"], told
        # Others know it, too, by the same id.
        for node in crew:
            assert confirmations(node, answer)["applied"], node.name


def test_one_that_died_is_named_and_catches_up(crew):
    page = Page(crew, "/page")
    page.fill()
    crew["n3"].kill()
    page.version = 2
    answer = purge(crew["n1"], "path", "/page", wait="5s")
    assert answer.status == 202, answer.body
    assert named(answer) == ["n3"], answer.json
    assert page.get("n2")[0] == 2
    crew.wait_state("n1", "n3", "failed")
    assert confirmations(crew["n1"], answer)["unreachable"] == ["n3"]
    crew["n3"].start()
    assert page.get("n3")[0] == 2  # from its disk at the earliest once it knows all
    wait_until(lambda: sorted(confirmations(crew["n1"], answer)["applied"])
               == ["n1", "n2", "n3"], "n3 confirms")
    crew.wait_together()
    page.version = 3
    assert purge(crew["n2"], "path", "/page").status == 200
    assert [page.get(name)[0] for name in crew.nodes] == [3, 3, 3]


def test_forgotten_is_not_waited_for(crew):
    page = Page(crew, "/page")
    page.fill()
    crew["n3"].kill()
    crew.wait_state("n1", "n3", "failed")
    crew.wait_state("n2", "n3", "failed")
    page.version = 2
    assert purge(crew["n1"], "path", "/page").status == 202
    assert crew["n1"].admin("DELETE", "/v1/nodes/n1").status == 409
    assert crew["n1"].admin("DELETE", "/v1/nodes/n9").status == 404
    assert crew["n1"].admin("DELETE", "/v1/nodes/n3").status == 200
    for at in ("n1", "n2"):  # the word goes round
        wait_until(lambda at=at: purge(crew[at], "path", "/other").status == 200,
                   "%s does not wait for n3" % at)
    crew["n3"].start()  # with its cache: nothing of it is used
    assert page.get("n3")[0] == 2
    crew.wait_together()
    page.version = 3
    wait_until(lambda: purge(crew["n1"], "path", "/page").status == 200, "n3 counts again")
    assert [page.get(name)[0] for name in crew.nodes] == [3, 3, 3]


def test_one_that_left_is_not_waited_for(crew):
    assert crew["n3"].stop() == 0
    crew.wait_state("n1", "n3", "left")
    assert purge(crew["n1"], "path", "/page").status == 200
    page = Page(crew, "/page")
    crew["n3"].start()
    page.get("n3")
    crew.wait_together()
    assert purge(crew["n1"], "path", "/page").status == 200


def test_frozen_and_thawed_serves_nothing_old(crew):
    page = Page(crew, "/page")
    page.fill()
    crew.freeze("n3")
    try:
        page.version = 2
        answer = purge(crew["n1"], "path", "/page", wait="3s")
        assert answer.status == 202, answer.body
        crew.wait_state("n1", "n3", "suspect", "failed")
        wait_until(lambda: True, "a moment")
    finally:
        crew.thaw("n3")
    assert page.get("n3")[0] == 2
    wait_until(lambda: sorted(confirmations(crew["n1"], answer)["applied"])
               == ["n1", "n2", "n3"], "n3 confirms")
    assert "event=stalled" in crew["n3"].log


def test_restart_of_all_keeps_what_was_promised(crew):
    page = Page(crew, "/page")
    page.fill()
    page.version = 2
    assert purge(crew["n1"], "path", "/page").status == 200
    for node in crew:
        node.kill()
    for node in crew:
        node.start()
    crew.wait_together()
    assert [page.get(name)[0] for name in crew.nodes] == [2, 2, 2]


def test_alone_it_trusts_its_cache_after_a_while(crew):
    page = Page(crew, "/page")
    page.fill()
    for node in crew:
        node.kill()
    crew["n1"].start()
    wait_until(lambda: not crew["n1"].status()["cluster"]["log_behind"], "n1 gives up asking")
    assert page.get("n1")[0] == 1


@pytest.mark.skipif(not gossip.has_serf(), reason="needs serf")
@pytest.mark.parametrize("accepts", [True, False])
def test_typed_event(make_node, origin, tmp_path, accepts):
    """`serf event purge /path` by a stock agent; serf_events: refuse switches the door off."""
    key = gossip.new_key()
    how = {"gossip_key_file": gossip.secret(tmp_path, key, name="gossip-key")}
    crew = Crew(make_node, origin, tmp_path, how=how,
                **({} if accepts else {"serf_events": "refuse"}))
    agent = gossip.Agent(tmp_path, "agent", key=key, join=["%s:%d" % crew.places["n1"][:2]])
    agent.start()
    try:
        wait_until(lambda: all(gossip.states(node).get("agent") == "alive" for node in crew),
                   "the agent is known")
        page = Page(crew, "/page")
        page.fill()
        page.version = 2
        got = agent.serf("event", "-coalesce=false", "purge", "/page")
        assert got.returncode == 0, got.stdout
        if not accepts:
            crew["n2"].wait_log("event=serf_event_refused")
            assert [page.get(name) for name in crew.nodes] == [(1, True)] * 3
            return
        wait_until(lambda: all(page.get(name)[0] == 2 for name in crew.nodes), "all have it")
        # One of them made a record of it, which outlives them.
        wait_until(lambda: sum(gossip.metric(node, "perigee_purge_sync_adopted_total")
                               for node in crew) == 1, "one adopts it")
        wait_until(lambda: all(len(node.admin("GET", "/v1/purges").json["purges"]) == 1
                               for node in crew), "all have its record")
    finally:
        agent.close()


# Unsafe methods and groups


def unsafe(node, path="/page", fields=()):
    with node.http() as client:
        return client.request("POST", path, list(fields), body=b"x")


def test_unsafe_method_invalidates_everywhere(crew):
    page = Page(crew, "/page")
    page.fill()
    page.version = 2
    page.fields = []  # the POST's own answer is not stored
    assert unsafe(crew["n2"]).status == 200
    page.fields = FRESH
    assert page.get("n2")[0] == 2  # at once, whatever other nodes still hold
    wait_until(lambda: [page.get(name)[0] for name in crew.nodes] == [2, 2, 2], "all heard it")
    assert not crew["n1"].admin("GET", "/v1/purges").json["purges"]  # nothing is logged


def test_groups_are_invalidated_everywhere(crew):
    pages = [Page(crew, "/g/%d" % i, [("Cache-Groups", '"a%d", "b"' % i)]) for i in range(2)]
    for page in pages:
        page.fill()
        page.version = 2
    crew.origin.on("/do")(lambda x: x.respond(
        200, [("Cache-Group-Invalidation", '"a0", "no such"')], b"done"))
    crew.origin.on("/bad")(lambda x: x.respond(
        500, [("Cache-Group-Invalidation", '"b"')], b"failed"))
    with crew["n3"].http() as client:  # a safe method's answer says nothing
        assert client.get("/do").status == 200
    assert unsafe(crew["n3"], "/bad").status == 500
    assert [page.get("n3")[0] for page in pages] == [1, 1]
    assert unsafe(crew["n3"], "/do").status == 200
    assert [page.get("n3")[0] for page in pages] == [2, 1]
    wait_until(lambda: [pages[0].get(name)[0] for name in crew.nodes] == [2, 2, 2],
               "all heard it")
    assert [pages[1].get(name)[0] for name in crew.nodes] == [1, 1, 1]
