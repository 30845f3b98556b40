"""All forms of an object have one life: a purge, a 304, a new body, an end meet them together."""

import contextlib
import random
import threading

import pytest

import codings
import harness
from cache_bench import cache_status, is_hit
from form_bench import (BROWSER, PROTOCOLS, FormBench, Page, check, check_stored, coding_of,
                        connect, content_of, made, request)

WANTED = [None, "gzip", "zstd", BROWSER]
MIB = 1 << 20
SITES = [{"name": "all", "hosts": ["*"]}]


@pytest.fixture(scope="module")
def bench(make_module_node, make_module_origin):
    origin = make_module_origin()
    return FormBench(make_module_node(harness.config(
        origin.port, cache={"memory": "128MiB", "disk": {"size": "256MiB"}})), origin)


class Changing:
    """A page of which the origin has had several versions; each is told by its tag, too."""

    def __init__(self, bench, size=30000, lasts="max-age=600"):
        self.bench, self.path, self.size = bench, bench.new_path(), size
        self.texts = codings.text(size + 4096, self.path)
        self.version, self.any = 1, "first"

        @bench.origin.on(self.path)
        def answer(x):
            version = self.version
            tag = '"%d"' % version
            fields = [("Cache-Control", lasts), ("ETag", tag), ("Content-Type", "text/html"),
                      ("Surrogate-Key", "t" + self.path), ("X-Any", self.any)]
            if x.request.get("if-none-match") == tag:
                x.respond(304, fields)
            else:
                x.respond(200, fields, self.body(version))

    def body(self, version):
        at = version % 4096
        return b"%d %s" % (version, self.texts[at:at + self.size])

    @property
    def page(self):
        """As it is now."""
        return Page(self.path, self.body(self.version), '"%d"' % self.version)

    def purge(self, kind, mode):
        call = {"type": kind, "mode": mode}
        if kind != "all":
            call["selectors"] = ["https://localhost" + self.path if kind == "url"
                                 else "t" + self.path]
        answer = self.bench.node.admin("POST", "/v1/purge", call)
        assert answer.status == 200, answer.body


def ask_all(bench, page):
    """Every encoding over both protocols; the answers, which are all of that version."""
    got = []
    for over in PROTOCOLS:
        for accept in WANTED:
            response = bench.ask(page, accept, over=over)
            check(response, page, coding_of(response))
            got.append((accept, response))
    return got


@pytest.mark.parametrize("kind", ["url", "tag", "all"])
@pytest.mark.parametrize("mode", ["hard", "soft"])
def test_a_purge_meets_every_form(bench, kind, mode):
    changing = Changing(bench)
    bench.warm(changing.page, "zstd", "gzip")
    changing.version = 2
    changing.purge(kind, mode)
    ask_all(bench, changing.page)
    assert bench.origin.count(changing.path) == 2
    bench.wait_made(changing.page, "zstd", "gzip")
    for accept in ("zstd", "gzip"):
        check_stored(bench.ask(changing.page, accept), changing.page, accept)


@pytest.mark.parametrize("first", WANTED)
def test_a_304_refreshes_every_form(bench, first):
    """Its fields are those of all of them; nothing is made anew."""
    changing = Changing(bench)
    bench.warm(changing.page, "zstd", "gzip")
    before = made(bench.node)
    changing.any = "second"
    changing.purge("url", "soft")
    response = bench.ask(changing.page, first)
    assert cache_status(response)["fwd-status"] == "304", response
    for accept, response in [(first, response), *ask_all(bench, changing.page)]:
        assert coding_of(response) == {None: "identity", BROWSER: "zstd"}.get(accept, accept)
        assert response.all("x-any") == ["second"] and response.get("content-length")
    asked = bench.origin.seen(changing.path)
    assert [x.get("if-none-match") for x in asked] == [None, '"1"']
    bench.wait_encoders()
    for coding, count in made(bench.node).items():  # at a better level, as it is hot by now
        assert count - before[coding] <= 1
    assert set(bench.forms(changing.page)) == {"identity", "zstd", "gzip"}


@pytest.mark.parametrize("first", WANTED)
def test_a_new_body_replaces_every_form(bench, first):
    changing = Changing(bench)
    bench.warm(changing.page, "zstd", "gzip")
    changing.version = 2
    response = bench.ask(changing.page, first, [("Cache-Control", "no-cache")])
    check(response, changing.page, coding_of(response))
    for _, response in ask_all(bench, changing.page):
        assert is_hit(response)
    bench.warm(changing.page, "zstd", "gzip")
    assert bench.origin.count(changing.path) == 2


def test_stale_forms_when_the_origin_fails(bench):
    path, broken = bench.new_path(), threading.Event()
    page = Page(path, codings.text(30000, path), '"x"')

    @bench.origin.on(path)
    def answer(x):
        fields = [("Cache-Control", "max-age=50, stale-if-error=600"), ("Age", "100"),
                  ("ETag", '"x"'), ("Content-Type", "text/css")]
        status = 304 if x.request.get("if-none-match") else 200
        x.respond(*((503,) if broken.is_set() else (status, fields, page.body)))

    bench.warm(page, "zstd", "gzip")
    broken.set()
    for accept, coding in ((None, "identity"), ("gzip", "gzip"), ("zstd", "zstd")):
        response = bench.ask(page, accept)
        check(response, page, coding)
        assert response.get("content-length"), "as it is stored"


@pytest.mark.parametrize("size", [3000, 400_000])
@pytest.mark.parametrize("mode", ["hard", "soft"])
def test_purges_while_encoders_work(bench, size, mode):
    """Versions follow one another as fast as they can; whoever asks afterwards gets the new."""
    pages = [Changing(bench, size) for _ in range(3)]
    chance = random.Random(size)
    with connect(bench.node, "h1") as h1, connect(bench.node, "h2") as h2:
        for _ in range(40):
            for changing in pages:
                changing.version += 1
                changing.purge("url", mode)
                for _ in range(chance.randrange(1, 6)):
                    client, accept = chance.choice((h1, h2)), chance.choice(WANTED)
                    response = request(client, "GET", changing.path, accept)
                    check(response, changing.page, coding_of(response))
    for changing in pages:
        assert bench.origin.count(changing.path) == changing.version - 1
        bench.warm(changing.page, "zstd", "gzip")


class Readers:
    """Threads that ask for a page in all encodings until they are told to stop."""

    def __init__(self, bench, pages):
        self.bench, self.pages = bench, pages
        self.floor = [changing.version for changing in pages]
        self.stop, self.wrong, self.right = threading.Event(), [], 0
        self.threads = [threading.Thread(target=self.run, args=(over, accept))
                        for over in PROTOCOLS for accept in WANTED]
        for thread in self.threads:
            thread.start()

    def run(self, over, accept):
        try:
            with connect(self.bench.node, over) as client:
                while not self.stop.is_set():
                    for i, changing in enumerate(self.pages):
                        floor = self.floor[i]
                        response = request(client, "GET", changing.path, accept)
                        self.judge(changing, floor, response)
        except BaseException as error:  # told by the test, not by the thread
            self.wrong.append(error)

    def judge(self, changing, floor, response):
        content = content_of(response)
        version = int(content.partition(b" ")[0])
        tag = response.get("etag")
        suffix = "" if coding_of(response) == "identity" else "-" + coding_of(response)
        assert response.status == 200 and content == changing.body(version)
        assert version >= floor, "version %d, purged below %d" % (version, floor)
        assert tag.removeprefix("W/") == '"%d%s"' % (version, suffix), (version, tag)
        self.right += 1

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive(), "a client hangs"
        assert not self.wrong, (len(self.wrong), self.wrong[:3])


def test_purges_while_others_read(bench):
    """Body, tag and encoding belong together, whatever happens meanwhile."""
    pages = [Changing(bench, size) for size in (2000, 60000, 700_000)]
    readers = Readers(bench, pages)
    try:
        for turn in range(120):
            i = turn % len(pages)
            pages[i].version += 1
            wanted = pages[i].version
            pages[i].purge(("url", "tag")[turn % 2], ("hard", "soft")[turn // 2 % 2])
            readers.floor[i] = wanted
            seen = readers.right
            harness.wait_until(lambda: readers.right > seen + 5 or readers.wrong, "readers")
    finally:
        readers.end()


# Large ones


def test_a_large_text(make_node, origin):
    """Twenty cold clients of all kinds; afterwards its forms come from the disk."""
    node = make_node(harness.config(
        origin.port, cache={"memory": "8MiB", "disk": {"size": "128MiB"}}))
    bench = FormBench(node, origin)
    page = bench.page(5 * MIB)
    failed, threads = [], []

    def client(i):
        try:
            response = bench.ask(page, WANTED[i % 4], over=PROTOCOLS[i // 4 % 2])
            check(response, page, coding_of(response))
        except BaseException as error:  # told by the test, not by the thread
            failed.append(error)

    for i in range(20):
        threads.append(threading.Thread(target=client, args=(i,)))
        threads[-1].start()
    for thread in threads:
        thread.join(60)
    assert not failed, failed[:3]
    assert origin.count(page.path) == 1
    for coding in ("zstd", "gzip"):
        bench.warm(page, coding)
        assert bench.forms(page)[coding]["tier"] == "disk"
        for over in PROTOCOLS:
            check_stored(bench.ask(page, coding, over=over), page, coding)
    assert made(node)["zstd"] == made(node)["gzip"] == 1


def test_a_slow_client_of_an_answer_that_is_encoded(make_node, origin):
    """It is encoded at the pace at which it is read; others are not held up."""
    node = make_node(harness.config(
        origin.port, cache={"memory": "16MiB", "disk": {"size": "128MiB"}}))
    bench = FormBench(node, origin)
    page = bench.page(8 * MIB)
    with harness.Http1(node.https_port, tls=True, receive_bytes=65536) as slow:
        slow.send_head("GET", page.path, [("Accept-Encoding", "zstd")])
        origin.wait_for(1, page.path)
        for accept in WANTED:
            response = bench.ask(page, accept)
            check(response, page, coding_of(response))
        response = slow.response()
    check(response, page, coding_of(response))
    assert origin.count(page.path) == 1


def ask_many(bench, pages, accept):
    """A client for each page, none of which ends before all have begun; the answers' heads."""
    streams = []
    with contextlib.ExitStack() as stack:
        for page in pages:
            client = stack.enter_context(bench.node.https())
            client.send_head("GET", page.path, [("Accept-Encoding", accept)])
            response = harness.Response()
            client.read_head(response)
            streams.append((client, response))
        bench.go_on.set()
        for client, response in streams:
            client.read_body(response, "GET")
    return [response for _, response in streams]


@pytest.mark.parametrize("sent, accept", [("identity", "zstd"), ("gzip", "identity")])
def test_how_many_are_encoded_at_once(bench, sent, accept):
    """64; over that, what is stored, or 503 for who does not take it. Later it is as before."""
    bench.go_on, pages = threading.Event(), []
    for _ in range(70):
        page = bench.page(200_000, coding=sent)
        coded = codings.encode(sent, page.body)
        pages.append(page)

        @bench.origin.on(page.path)
        def answer(x, coded=coded):
            x.head(200, [("Cache-Control", "max-age=600"), ("Content-Type", "text/html"),
                         ("ETag", '"x"'), ("Content-Length", len(coded)),
                         *([("Content-Encoding", sent)] if sent != "identity" else [])])
            x.send(coded[:40000])
            x.wait(bench.go_on)
            x.send(coded[40000:])

    wanted = "zstd" if accept == "zstd" else "identity"
    for turn in range(2):
        got = ask_many(bench, pages, accept)
        given = [(page, r) for page, r in zip(pages, got) if r.status == 200]
        refused = [r for r in got if r.status != 200]
        for page, response in given:
            check(response, page, coding_of(response), sent)
        changed = [r for _, r in given if coding_of(r) == wanted]
        if turn == 0:
            assert len(changed) == 64, len(changed)
            assert all(r.status == 503 for r in refused)
            assert len(refused) == (6 if sent == "gzip" else 0)
        else:
            assert not refused
    for page in pages[-2:]:
        bench.warm(page, wanted)


def test_clients_that_go_away(bench):
    """In the middle of what is encoded or decoded for them: nobody else notices."""
    for coding, other in (("identity", "zstd"), ("gzip", "identity")):
        page = bench.page(4 * MIB, coding=coding)
        for accept in ("zstd", None, "gzip"):
            with bench.node.https() as client:
                client.send_head("GET", page.path, [("Accept-Encoding", accept or "identity")])
                client.more()
        for accept in WANTED:
            response = bench.ask(page, accept)
            check(response, page, coding_of(response), coding)
        bench.warm(page, other)
