"""Which encoding a client gets, what the answer says then, and what is never encoded."""

import re
import threading

import pytest

import codings
import form_bench
import h2client
import harness
from cache_bench import is_hit
from form_bench import (BROWSER, PROTOCOLS, FormBench, check, check_stored, coding_of, connect,
                        content_of, made, names_in_vary, request)

SITES = [
    {"name": "all", "hosts": ["*"],
     "routes": [{"match": {"path": "/off/*"}, "cache": False}, {"match": {"path": "/*"}}]},
]
OVER = pytest.mark.parametrize("over", PROTOCOLS)
CODING = pytest.mark.parametrize("coding", ["zstd", "gzip"])


@pytest.fixture(scope="module")
def bench(make_module_node, make_module_origin):
    origin = make_module_origin()
    return FormBench(make_module_node(harness.config(origin.port, sites=SITES)), origin)


@pytest.fixture
def lone(make_node, make_origin):
    """A bench of its own, for tests that count."""
    origin = make_origin()
    return FormBench(make_node(harness.config(origin.port, sites=SITES)), origin)


@pytest.fixture(scope="module")
def warm(bench):
    """A page that is stored in all encodings."""
    return bench.warm(bench.page(50000), "zstd", "gzip")


def rows(*table):
    return [pytest.param(*row[1:], id=row[0].replace(" ", "-")) for row in table]


# The choice (RFC 9110 12.5.3)


@pytest.mark.parametrize("accept, coding", rows(
    ("absent", None, "identity"),
    ("empty", "", "identity"),
    ("identity", "identity", "identity"),
    ("gzip", "gzip", "gzip"),
    ("zstd", "zstd", "zstd"),
    ("a browser's", BROWSER, "zstd"),
    ("an older browser's", "gzip, deflate, br", "gzip"),
    ("unknown", "deflate, compress, frob", "identity"),
    ("br alone is not made", "br", "identity"),
    ("gzip refused", "gzip;q=0", "identity"),
    ("refused by 0.000", "zstd;q=0.000, gzip", "gzip"),
    ("a little is enough", "gzip;q=0, zstd;q=0.001", "zstd"),
    ("higher wins", "zstd;q=0.5, gzip;q=0.8", "gzip"),
    ("no q is 1", "zstd;q=0.999, gzip", "gzip"),
    ("1.000", "zstd;q=0.9, gzip;q=1.000", "gzip"),
    ("star", "*", "zstd"),
    ("star below a named one", "*;q=0.5, gzip;q=0.9", "gzip"),
    ("star refuses, one is named", "*;q=0, gzip", "gzip"),
    ("star does not stand for what is named", "zstd;q=0, *", "gzip"),
    ("identity preferred", "gzip;q=0.5, identity", "identity"),
    ("identity named below", "gzip, identity;q=0.5", "gzip"),
    ("spaces", " gzip ; q=0.8 ,\tzstd ; q=0.9 ", "zstd"),
    ("empty members", ", ,gzip,,", "gzip"),
    ("capitals", "GZIP;Q=0.5", "gzip"),
    ("x-gzip", "x-gzip", "gzip"),
    ("lines", ["gzip;q=0.5", "zstd;q=0.4"], "gzip"),
    ("the second line alone", ["", "zstd"], "zstd"),
    ("more than 1", "gzip;q=1.5", "identity"),
    ("four digits", "gzip;q=0.1234", "identity"),
    ("no number", "gzip;q=high", "identity"),
    ("the least of duplicates", "gzip;q=0, gzip", "identity"),
))
@OVER
def test_choice(bench, warm, accept, coding, over):
    response = bench.ask(warm, accept, over=over)
    check_stored(response, warm, coding)
    assert names_in_vary(response) == ["accept-encoding"]
    assert bench.origin.count(warm.path) == 1


@pytest.mark.parametrize("accept, coding, counted", rows(
    ("identity", "identity;q=0", "identity", 1),
    ("everything", "*;q=0", "identity", 1),
    ("identity by the star", "*;q=0, br", "identity", 1),
    ("identity but not others", "identity;q=0, *", "zstd", 0),
    ("identity but not gzip", "identity;q=0, gzip;q=0.1", "gzip", 0),
    ("nothing", "identity;q=0.001", "identity", 0),
))
def test_refused_identity(bench, warm, accept, coding, counted):
    """It is sent all the same when there is nothing else, and that is counted."""
    before = bench.figure("perigee_identity_refused_total")
    check_stored(bench.ask(warm, accept), warm, coding)
    assert bench.figure("perigee_identity_refused_total") - before == counted


# The first answer


@CODING
@OVER
def test_first_answer_is_encoded_as_it_is_sent(bench, coding, over):
    page = bench.page(200_000)
    response = bench.ask(page, coding, over=over)
    check(response, page, coding)
    assert response.get("cache-status") == "perigee; fwd=uri-miss; stored"
    assert not response.all("content-length"), "nobody knows it yet"
    assert names_in_vary(response) == ["accept-encoding"]
    assert len(response.body) < len(page.body) / 2
    bench.wait_made(page, coding)
    for other in PROTOCOLS:
        again = bench.ask(page, coding, over=other)
        check_stored(again, page, coding)
        for name in ("etag", "vary", "content-type", "content-encoding"):
            assert again.all(name) == response.all(name), name
    assert bench.origin.count(page.path) == 1


@pytest.mark.parametrize("accept", [None, "", "identity", "gzip;q=0", "br;q=0.5, deflate"])
@OVER
def test_first_answer_for_who_did_not_ask(bench, accept, over):
    page = bench.page()
    response = bench.ask(page, accept, over=over)
    check(response, page, "identity")
    assert response.all("content-length") == ["20000"]
    assert names_in_vary(response) == ["accept-encoding"]
    check_stored(bench.ask(page, accept, over=over), page, "identity")


def test_later_clients_of_what_arrives(bench):
    """Whatever they are given decodes, and one fetch is enough for all."""
    go_on, path, body = threading.Event(), bench.new_path(), codings.text(300_000)
    page = form_bench.Page(path, body, '"x"')

    @bench.origin.on(path)
    def answer(x):
        x.head(200, [form_bench.LASTS, ("Content-Type", "text/css"), ("ETag", '"x"'),
                     ("Content-Length", len(body))])
        x.send(body[:1000])
        x.wait(go_on)
        x.send(body[1000:])

    with bench.node.https() as first, bench.node.https() as second, \
            h2client.H2(bench.node.https_port) as third:
        first.send_head("GET", path, [("Accept-Encoding", "zstd")])
        bench.origin.wait_for(1, path)
        second.send_head("GET", path, [("Accept-Encoding", BROWSER)])
        stream = third.open("GET", path, [("accept-encoding", "gzip")])
        go_on.set()
        for response in (first.response(), second.response(), third.response(stream)):
            check(response, page, coding_of(response))
    assert bench.origin.count(path) == 1


@CODING
@OVER
def test_each_piece_can_be_read_at_once(bench, coding, over):
    """The origin sends a line when the client has had the one before."""
    path, had = bench.new_path(), threading.Semaphore(0)
    lines = [b"line %d %s\n" % (i, codings.text(100 * i)) for i in range(8)]

    @bench.origin.on(path)
    def answer(x):
        x.head(200, [form_bench.LASTS, ("Content-Type", "text/plain"), ("ETag", '"x"'),
                     ("Transfer-Encoding", "chunked")])
        for line in lines:
            x.chunk(line)
            assert had.acquire(timeout=20), "the client did not get the line"
        x.send(b"0\r\n\r\n")

    decoder, got = codings.Decoder(coding), b""
    with Flow(bench.node, over, path, coding) as flow:
        for i in range(len(lines)):
            wanted = b"".join(lines[:i + 1])
            while len(got) < len(wanted):
                got += decoder.feed(flow.more())
            assert got == wanted
            had.release()
        while not flow.is_over():
            got += decoder.feed(flow.more())
        assert decoder.whole and got == b"".join(lines)
        assert coding_of(flow.head) == coding


class Flow:
    """A response's body as it comes: more() gives bytes once there are some, or the end."""

    def __init__(self, node, over, path, accept):
        self.client = connect(node, over)
        self.over = over
        if over == "h1":
            self.client.send_head("GET", path, [("Accept-Encoding", accept)])
            self.head, self.ended, self.at = harness.Response(), False, 0
            self.client.read_head(self.head)
            assert self.head.get("transfer-encoding") == "chunked", self.head
        else:
            self.stream = self.client.open("GET", path, [("accept-encoding", accept)])
            self.head, self.at = self.client.responses[self.stream], 0

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.client.close()

    def is_over(self):
        return self.ended if self.over == "h1" else \
            self.head.over and self.at == len(self.head.body)

    def more(self):
        if self.over == "h1":
            if self.at:  # the end of a chunk may come with the next one
                assert self.client.line() == b""
            self.at = int(self.client.line(), 16)
            piece = harness.Response()
            self.client.read_exactly(self.at, piece, True)
            self.ended = self.at == 0
            return piece.body
        self.client.wait(lambda: len(self.head.body) > self.at or self.head.over, "a piece")
        piece, self.at = self.head.body[self.at:], len(self.head.body)
        return piece


# Towards the origin


@pytest.mark.parametrize("fetch, sent", [(None, "identity"), (["gzip"], "gzip")])
def test_accept_encoding_of_shared_fetches_is_ours(make_node, origin, fetch, sent):
    variants = {} if fetch is None else {"variants": {"fetch": fetch}}
    node = make_node(harness.config(origin.port, cache={"memory": "16MiB", **variants}))
    bench = FormBench(node, origin)
    for accept in (None, "", "gzip", "br", "identity;q=0", BROWSER):
        for over in PROTOCOLS:
            page = bench.page()
            assert content_of(bench.ask(page, accept, over=over)) == page.body
            assert origin.last(page.path).all("accept-encoding") == [sent]
    page = bench.page(lasts=("Cache-Control", "max-age=0"))
    for _ in range(2):  # also when it validates
        assert content_of(bench.ask(page, BROWSER)) == page.body
        assert origin.last(page.path).all("accept-encoding") == [sent]
    assert origin.last(page.path).get("if-none-match") == '"x"'


@pytest.mark.parametrize("accept", [BROWSER, "identity", "br;q=0.3", None])
def test_accept_encoding_of_others_is_the_clients(bench, accept):
    """Nobody shares these answers, so the client's field counts, and what came goes back."""
    sent = [] if accept is None else [accept]
    private = bench.page(lasts=("Cache-Control", "private"))
    off = bench.page(path="/off" + bench.new_path())
    bench.ask(private, BROWSER)  # it is known from now on
    for page, method in ((private, "GET"), (off, "GET"), (off, "HEAD"), (off, "POST")):
        for over in PROTOCOLS:
            response = bench.ask(page, accept, method=method, over=over)
            assert bench.origin.last(page.path).all("accept-encoding") == sent
            assert response.status == 200 and coding_of(response) == "identity", response
            assert response.get("etag") == page.tag
            assert response.body == (b"" if method == "HEAD" else page.body)


# Made once


def test_made_once_for_all_clients(lone):
    """However many ask before it is there; and once more at the best level, if it is hot."""
    page, failed = lone.page(100_000), []

    def client(accept, over):
        try:
            response = lone.ask(page, accept, over=over)
            check(response, page, coding_of(response))
        except BaseException as error:  # told by the test, not by the thread
            failed.append(error)

    threads = [threading.Thread(target=client, args=(accept, over)) for over in PROTOCOLS
               for accept in ("zstd", "gzip", BROWSER, None) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failed, failed[:3]
    lone.warm(page, "zstd", "gzip")
    assert lone.origin.count(page.path) == 1
    lone.wait_encoders()
    done = made(lone.node)
    assert 1 <= done["zstd"] <= 2 and 1 <= done["gzip"] <= 2 and done["identity"] == 0, done
    forms = lone.forms(page)
    assert list(forms)[0] == "identity" and not forms["identity"]["made"]
    assert forms["identity"]["bytes"] == 100_000
    for coding in ("zstd", "gzip"):
        assert forms[coding]["made"]
        assert forms[coding]["bytes"] == len(lone.ask(page, coding).body)
        before, after = (lone.figure("perigee_encoder_%s_bytes_total" % way, encoding=coding)
                         for way in ("in", "out"))
        assert before >= 100_000 and 0 < after < before / 2
    assert lone.figure("perigee_encoder_cpu_seconds_total") > 0
    command = harness.program("cache", "get", "https://localhost" + page.path,
                              env={**lone.node.environment, "PERIGEE_ADMIN":
                                   "http://127.0.0.1:%d" % lone.node.admin_port})
    assert command.returncode == 0, command
    assert re.search(r"forms: identity .*, (zstd|gzip) .*made.*, (zstd|gzip) .*made",
                     command.stdout), command.stdout


@CODING
def test_made_better_when_it_is_hot(lone, coding):
    """Once, when nothing else waits; not for ever again."""
    page = lone.warm(lone.page(body=codings.phrases(200_000)), coding)
    first = lone.forms(page)[coding]["bytes"]

    def ask(times):
        with lone.node.https() as client:
            for _ in range(times):
                check_stored(request(client, "GET", page.path, coding), page, coding)

    ask(40)
    lone.wait(lambda: made(lone.node)[coding] == 2, "a better one")
    ask(100)
    lone.let_encoders_look()
    assert made(lone.node)[coding] == 3, "2 of this page, and 1 of another"
    assert lone.forms(page)[coding]["bytes"] <= first
    assert lone.forms(page)[coding]["bytes"] == len(lone.ask(page, coding).body)


# Never


@pytest.mark.parametrize("why", rows(
    ("a picture", {"kind": "image/png"}),
    ("no type", {"kind": None}),
    ("tiny", {"size": 511}),
    ("empty", {"size": 0}),
    ("no-transform", {"lasts": ("Cache-Control", "max-age=600, no-transform")}),
    ("events", {"kind": "text/event-stream"}),
    ("private", {"lasts": ("Cache-Control", "private, max-age=600")}),
    ("a cookie", {"fields": [("Set-Cookie", "a=b")]}),
    ("no-store", {"lasts": ("Cache-Control", "no-store")}),
    ("an encoding that we do not know", {"fields": [("Content-Encoding", "frob")]}),
    ("two encodings", {"fields": [("Content-Encoding", "frob, bar")]}),
))
def test_never_encoded(bench, why):
    page = bench.page(**why)
    said = dict(why.get("fields", ())).get("Content-Encoding")
    for turn in range(2):
        for over in PROTOCOLS:
            response = bench.ask(page, BROWSER, over=over)
            assert response.status == 200 and response.body == page.body, response
            assert response.get("content-encoding") == said
            assert response.all("etag") == [page.tag]
            assert response.all("content-length") == [str(len(page.body))]
        if turn == 0:
            bench.let_encoders_look()
    assert set(bench.forms(page)) <= {"identity"} or said
    assert len(bench.forms(page)) <= 1


@pytest.mark.parametrize("kind", ["text/html", "text/html; charset=utf-8", "TEXT/HTML",
                                  "application/json", "application/problem+json",
                                  "image/svg+xml", "text/made-up"])
def test_types_that_are_encoded(bench, kind):
    page = bench.page(kind=kind)
    check(bench.ask(page, "zstd"), page, "zstd")
    bench.wait_made(page, "zstd")


def test_the_smallest_that_is_encoded(bench):
    page = bench.page(512, body=b"a" * 512)
    check(bench.ask(page, "gzip"), page, "gzip")
    bench.warm(page, "gzip")


@pytest.mark.parametrize("status", [404, 410, 301])
def test_other_statuses_are_encoded_too(bench, status):
    page = bench.page(status=status, tag=None)
    for turn in range(2):
        response = bench.ask(page, "zstd")
        assert response.status == status and content_of(response) == page.body
        if turn == 0:
            bench.wait_made(page, "zstd")
    assert is_hit(response) and coding_of(response) == "zstd"


def test_dense_bodies_are_recognised_once(lone):
    """What does not get smaller is not kept, and not tried again, after a restart neither."""
    page = lone.page(body=codings.noise(50000), kind="text/plain")

    def ask_all():
        for accept in ("zstd", "gzip", BROWSER, None):
            for over in PROTOCOLS:
                response = lone.ask(page, accept, over=over)
                assert response.status == 200 and content_of(response) == page.body

    def dense():
        return lone.figure("perigee_encoder_not_made_total", reason="dense")

    for _ in range(3):
        ask_all()
    lone.wait(lambda: dense() > 0, "it is recognised")
    ask_all()
    lone.let_encoders_look()
    assert dense() == 1 and set(lone.forms(page)) == {"identity"}
    check_stored(lone.ask(page, BROWSER), page, "identity")
    harness.wait_until(lambda: lone.node.status()["cache"]["queue_bytes"] == 0, "an empty queue")
    assert lone.node.restart() == 0
    ask_all()
    lone.let_encoders_look()
    assert dense() == 0 and set(lone.forms(page)) == {"identity"}
    assert lone.origin.count(page.path) == 1


def test_what_is_encoded_can_be_chosen(make_node, origin):
    variants = {"types": ["text/plain", "*/special"], "min": "1KiB", "max": "100KiB",
                "encode": ["gzip"]}
    cache = {"memory": "16MiB", "disk": {"size": "64MiB"}, "variants": variants}
    bench = FormBench(make_node(harness.config(origin.port, cache=cache)), origin)
    pages = {(kind, size): bench.page(size, kind=kind)
             for kind in ("text/plain", "text/html", "image/special")
             for size in (1023, 1024, 102_400, 102_401)}
    for turn in range(2):
        for (kind, size), page in pages.items():
            chosen = kind != "text/html" and 1024 <= size <= 102_400
            check(bench.ask(page, BROWSER), page, "gzip" if chosen else "identity")
            check(bench.ask(page, "zstd"), page, "identity")
            if chosen:
                bench.warm(page, "gzip")
        bench.wait_encoders()
    for (kind, size), page in pages.items():
        chosen = kind != "text/html" and 1024 <= size <= 102_400
        assert set(bench.forms(page)) == ({"identity", "gzip"} if chosen else {"identity"})
    assert made(bench.node)["zstd"] == 0


def test_no_new_forms_when_a_reload_ends_it(lone):
    """What is stored already is right in any case; what is not is not made any more."""
    old, new, newer = lone.warm(lone.page(), "zstd", "gzip"), lone.page(), lone.page()
    off = {"memory": "64MiB", "disk": {"size": "64MiB"}, "variants": {"encode": []}}
    assert lone.node.reload(harness.config(lone.origin.port, sites=SITES, cache=off))
    before = made(lone.node)
    for _ in range(3):
        for over in PROTOCOLS:
            response = lone.ask(new, BROWSER, over=over)
            check(response, new, "identity")
            assert not response.all("vary"), "there is no choice any more"
            assert content_of(lone.ask(old, BROWSER, over=over)) == old.body
    assert made(lone.node) == before and set(lone.forms(new)) == {"identity"}
    assert lone.node.reload(harness.config(lone.origin.port, sites=SITES))
    lone.warm(newer, "zstd", "gzip")
    check_stored(lone.ask(old, BROWSER), old, "zstd")
