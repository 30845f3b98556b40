"""Bodies that an origin sends encoded already: as they came, decoded, and when they are bad."""

import gzip
import itertools
import threading

import pytest

import codings
import harness
from cache_bench import is_hit
from form_bench import (BROWSER, LASTS, PROTOCOLS, FormBench, Page, check, check_stored,
                        coding_of, content_of, names_in_vary)

OVER = pytest.mark.parametrize("over", PROTOCOLS)
WANTED = [None, "identity", "gzip", "zstd", "br", BROWSER]
MIB = 1 << 20


@pytest.fixture(scope="module")
def bench(make_module_node, make_module_origin):
    origin = make_module_origin()
    return FormBench(make_module_node(harness.config(origin.port)), origin)


@pytest.fixture
def lone(make_node, make_origin):
    origin = make_origin()
    cache = {"memory": "64MiB", "disk": {"size": "128MiB", "object_max": "8MiB"}}
    return FormBench(make_node(harness.config(origin.port, cache=cache)), origin)


def rows(*table):
    return [pytest.param(*row[1:], id=row[0].replace(" ", "-")) for row in table]


def takes(accept, coding):
    return coding == "identity" or coding in (accept or "")


# All combinations


@pytest.mark.parametrize("sent", ["identity", "gzip", "zstd"])
@OVER
def test_every_stored_for_every_wanted(lone, sent, over):
    """Cold, while encoders work, warm, and after a restart: always right, and asked for once."""
    pages = {accept: lone.page(body=2 * codings.text(40000, accept), coding=sent)
             for accept in WANTED}  # gzip does not see so far back: zstd is worth it

    def round_of(**also):
        for page, accept in itertools.product(pages.values(), WANTED):
            response = lone.ask(page, accept, over=over, **also)
            coding = coding_of(response)
            assert takes(accept, coding), "%s, but %s" % (accept, coding)
            check(response, page, coding, sent)
            assert names_in_vary(response) == ["accept-encoding"]
            if coding == sent:
                assert response.body == codings.encode(sent, page.body), "as it came"
            yield page, accept, coding, response

    for accept, page in pages.items():  # each page's first client is another one
        response = lone.ask(page, accept, over=over)
        assert takes(accept, coding_of(response))
        check(response, page, coding_of(response), sent)
    for _ in round_of():
        pass
    wanted = {"identity", "gzip", "zstd"}
    for page in pages.values():
        lone.wait(lambda: wanted <= set(lone.forms(page)), "all forms of %s" % page.path)
        assert [f["encoding"] for f in lone.forms(page).values() if not f["made"]] == [sent]
    best = {None: "identity", "identity": "identity", "gzip": "gzip", "zstd": "zstd",
            "br": "identity", BROWSER: "zstd"}
    for turn in range(2):
        for _, accept, coding, response in round_of():
            assert coding == best[accept], accept
            assert is_hit(response) and response.get("content-length")
        if turn == 0:
            lone.wait(lambda: lone.node.status()["cache"]["queue_bytes"] == 0, "all on disk")
            assert lone.node.restart() == 0
    assert all(lone.origin.count(page.path) == 1 for page in pages.values())
    for coding in wanted:
        assert lone.figure("perigee_forms_made_total", encoding=coding) == 0, "since the restart"


@pytest.mark.parametrize("sent", ["gzip", "zstd"])
@OVER
def test_as_received(bench, sent, over):
    """The bytes, the tag and the digests of the origin, for those who take them."""
    digest = ("Repr-Digest", "sha-256=:YQ==:")
    page = bench.page(coding=sent, fields=[digest, ("Accept-Ranges", "bytes")])
    coded = codings.encode(sent, page.body)
    for turn in range(2):
        response = bench.ask(page, sent, over=over)
        check(response, page, sent, sent)
        assert response.body == coded and is_hit(response) == (turn > 0)
        assert response.get("content-length") == str(len(coded)), "also at once"
        assert response.all("repr-digest") == [digest[1]]


@pytest.mark.parametrize("sent", ["gzip", "zstd"])
@OVER
def test_decoded(bench, sent, over):
    """For who cannot take it: at once, and later from what was decoded once."""
    page = bench.page(100_000, coding=sent, fields=[("Repr-Digest", "sha-256=:YQ==:")])
    first = bench.ask(page, None, over=over)
    check(first, page, "identity", sent)
    assert first.get("etag") == 'W/"x-identity"' and not first.all("repr-digest")
    assert names_in_vary(first) == ["accept-encoding"]
    bench.wait_made(page, "identity")
    check_stored(bench.ask(page, None, over=over), page, "identity", sent)
    again = bench.ask(page, None, [("If-None-Match", 'W/"x-identity"')], over=over)
    assert again.status == 304 and again.get("etag") == 'W/"x-identity"'
    assert bench.origin.count(page.path) == 1


@pytest.mark.parametrize("sent", ["gzip", "zstd"])
def test_pieces_of_what_came_encoded_are_decoded_at_once(bench, sent):
    path, go_on = bench.new_path(), threading.Event()
    body = codings.text(400_000)
    coded = codings.encode(sent, body)

    @bench.origin.on(path)
    def answer(x):
        x.head(200, [LASTS, ("Content-Type", "text/plain"), ("Content-Encoding", sent),
                     ("Content-Length", len(coded))])
        x.send(coded[:len(coded) // 2])
        x.wait(go_on)
        x.send(coded[len(coded) // 2:])

    with bench.node.http() as client:
        client.send_head("GET", path)
        while len(client.buffer) < 20000:
            client.more()
        go_on.set()
        response = client.response()
    assert coding_of(response) == "identity" and response.body == body


def test_several_members_and_frames(bench):
    """RFC 1952 2.2 and RFC 8878 3: they follow one another."""
    parts = [codings.text(10000, i) for i in range(3)]
    skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip"
    for sent, between in (("gzip", b""), ("zstd", skippable)):
        path = bench.new_path()
        coded = between.join(codings.encode(sent, part) for part in parts)
        bench.origin.reply(path, fields=[LASTS, ("Content-Type", "text/plain"), ("ETag", '"x"'),
                                         ("Content-Encoding", sent)], body=coded)
        page = Page(path, b"".join(parts), '"x"')
        for accept in (None, "gzip", "zstd"):
            response = bench.ask(page, accept)
            check(response, page, coding_of(response), sent)


# What cannot be changed here: br, no-transform


class Obliging:
    """A page whose origin sends `coding` as long as it may, identity when asked for that."""

    def __init__(self, bench, coding, fields=(), vary=True):
        path = bench.new_path()
        self.page = Page(path, codings.text(20000, path), '"x"')
        self.coded = codings.encode(coding, self.page.body)
        fields = [LASTS, ("Content-Type", "text/html"), *fields,
                  *([("Vary", "Accept-Encoding")] if vary else [])]
        first = [True]

        @bench.origin.on(path)
        def answer(x):
            unasked, first[0] = first[0], False
            if unasked or coding in (x.request.get("accept-encoding") or ""):
                x.respond(200, [*fields, ("ETag", '"x"'), ("Content-Encoding", coding)],
                          self.coded)
            else:
                x.respond(200, [*fields, ("ETag", '"plain"')], self.page.body)


@pytest.mark.parametrize("coding, fields, vary", rows(
    ("br", "br", [], True), ("br without Vary", "br", [], False),
    ("gzip and no-transform", "gzip", [("Cache-Control", "no-transform")], True),
))
@OVER
def test_what_is_not_decoded_here_is_fetched_anew(bench, coding, fields, vary, over):
    made = Obliging(bench, coding, fields, vary)
    first = bench.ask(made.page, coding, over=over)
    check(first, made.page, coding, coding)
    assert first.body == made.coded
    hit = bench.ask(made.page, coding, over=over)
    check_stored(hit, made.page, coding, coding)
    assert hit.body == made.coded
    other = "zstd" if coding == "gzip" else "gzip"
    for accept in (None, "identity", other, None):
        response = bench.ask(made.page, accept, over=over)
        assert response.status == 200 and content_of(response) == made.page.body
        assert takes(accept, coding_of(response)), response
        assert coding_of(response) in ("identity", accept)
    for request_ in bench.origin.seen(made.page.path):
        assert request_.all("accept-encoding") == ["identity"]
    for accept in (coding, BROWSER):
        response = bench.ask(made.page, accept, over=over)
        assert content_of(response) == made.page.body
        assert takes(accept, coding_of(response)), response


def test_an_origin_that_insists_on_br(bench):
    """Nothing else can be had: the client gets what there is, told by its name, and counted."""
    page = bench.page(coding="br")
    check(bench.ask(page, "br"), page, "br", "br")
    before = bench.figure("perigee_identity_refused_total")
    for _ in range(3):
        response = bench.ask(page, None)
        assert response.status in (200, 406) and \
            (response.status == 406 or content_of(response) == page.body), response
    assert bench.figure("perigee_identity_refused_total") >= before


def test_ranges_of_what_came_encoded(bench):
    """Of the bytes as received for those who take them, else of the content or the whole."""
    page = bench.page(coding="gzip")
    coded = codings.encode("gzip", page.body)
    bench.ask(page, "gzip")
    for accept in ("gzip", None, "zstd"):
        response = bench.ask(page, accept, [("Range", "bytes=10-19")])
        coding = coding_of(response)
        assert takes(accept, coding), response
        if response.status == 206:
            whole = coded if coding == "gzip" else page.body
            assert coding in ("gzip", "identity") and response.body == whole[10:20]
            assert response.get("content-range") == "bytes 10-19/%d" % len(whole)
        else:
            check(response, page, coding, "gzip")


# Bad input


def wrong_crc(coded):
    return coded[:-8] + bytes(b ^ 0xff for b in coded[-8:-4]) + coded[-4:]


TEXT = codings.text(300_000)
SMALL = codings.text(3000)
BAD = rows(
    ("gzip cut", "gzip", gzip.compress(TEXT)[:-5000]),
    ("gzip cut by its end", "gzip", gzip.compress(TEXT)[:-1]),
    ("gzip cut, small", "gzip", gzip.compress(SMALL)[:-9]),
    ("gzip with a wrong sum", "gzip", wrong_crc(gzip.compress(TEXT))),
    ("small gzip with a wrong sum", "gzip", wrong_crc(gzip.compress(SMALL))),
    ("gzip with rubbish behind", "gzip", gzip.compress(TEXT) + b"rubbish" * 1000),
    ("zstd cut", "zstd", codings.zstd_encode(TEXT)[:-5000]),
    ("zstd broken in the middle", "zstd",
     codings.zstd_encode(TEXT)[:40000] + b"\0" * 100 + codings.zstd_encode(TEXT)[40100:]),
    ("zstd garbage", "zstd", codings.noise(50000)),
    ("a lie of gzip", "gzip", TEXT),
    ("a lie of zstd", "zstd", SMALL),
    ("a lie: zstd in gzip's name", "gzip", codings.zstd_encode(TEXT)),
    ("nothing at all in gzip's name", "gzip", b"\x1f"),
)


def is_honest(bench, page, accept, over, bad):
    """An error that a client notices, or the bytes as they came."""
    try:
        response = bench.ask(page, accept, over=over)
    except harness.Cut:
        return True
    if response.status in (500, 502, 503):
        return True
    return response.status == 200 and coding_of(response) != "identity" and response.body == bad


@pytest.mark.parametrize("coding, bad", BAD)
@OVER
def test_bad_bodies(bench, coding, bad, over):
    path = bench.new_path()
    bench.origin.reply(path, fields=[LASTS, ("Content-Type", "text/html"), ("ETag", '"x"'),
                                     ("Content-Encoding", coding)], body=bad)
    page = Page(path, None, '"x"')
    other = "zstd" if coding == "gzip" else "gzip"
    for turn in range(3):
        taken = bench.ask(page, coding, over=over)
        assert taken.status == 200 and taken.body == bad, taken
        assert coding_of(taken) == coding and taken.get("content-length") == str(len(bad))
        for accept in (None, other):
            assert is_honest(bench, page, accept, over, bad), (turn, accept)
        bench.let_encoders_look()
        assert set(bench.forms(page)) <= {coding}, "nothing is made of it"
    good = bench.page()
    assert content_of(bench.ask(good, None, over=over)) == good.body, "the node lives on"


@pytest.mark.parametrize("coding, bad", BAD[:1] + BAD[9:10])
@OVER
def test_bad_bodies_when_they_are_cold(bench, coding, bad, over):
    """The first client is one that cannot take them."""
    path = bench.new_path()
    bench.origin.reply(path, fields=[LASTS, ("Content-Type", "text/html"), ("ETag", '"x"'),
                                     ("Content-Encoding", coding)], body=bad)
    page = Page(path, None, '"x"')
    for _ in range(3):
        assert is_honest(bench, page, None, over, bad)
    assert bench.ask(page, coding, over=over).body == bad
    assert set(bench.forms(page)) <= {coding}


@pytest.mark.parametrize("coding, bad", BAD[:5])
def test_bad_bodies_in_http_1_0(bench, coding, bad):
    """Where the connection's end is the body's, only a reset tells that it is not whole. Once an
    encoder has found that it is broken, who names no encoding gets it as it came."""
    path = bench.new_path()
    bench.origin.reply(path, fields=[LASTS, ("Content-Type", "text/html"),
                                     ("Content-Encoding", coding)], body=bad)
    head = b"GET %s HTTP/1.0\r\nHost: localhost\r\n" % path.encode()
    for _ in range(2):
        reply = harness.raw(bench.node.http_port, head + b"\r\n")
        as_it_came = (reply.endswith(b"\r\n\r\n" + bad) and
                      b"\r\ncontent-encoding: %s\r\n" % coding.encode() in reply)
        assert reply.reset or reply.status in (500, 502, 503) or as_it_came, reply[:300]
        assert reply.reset or b"content-length" in reply.lower() or as_it_came
        whole = harness.raw(bench.node.http_port, head + b"Accept-Encoding: gzip\r\n\r\n")
        assert whole.closed and not whole.reset and whole.endswith(b"\r\n\r\n" + bad)


def test_broken_bodies_are_decoded_once(lone):
    """It is remembered, as what does not get smaller is, also after a restart."""
    path, bad = lone.new_path(), wrong_crc(gzip.compress(TEXT))
    lone.origin.reply(path, fields=[LASTS, ("Content-Type", "text/html"),
                                    ("Content-Encoding", "gzip")], body=bad)
    page = Page(path, None, None)

    def ask_all():
        assert lone.ask(page, "gzip").body == bad
        for accept in (None, "zstd"):
            assert is_honest(lone, page, accept, "h1", bad)
        lone.let_encoders_look()

    for _ in range(3):
        ask_all()
    assert lone.figure("perigee_encoder_not_made_total", reason="broken") <= 1
    lone.wait(lambda: lone.node.status()["cache"]["queue_bytes"] == 0, "all on disk")
    assert lone.node.restart() == 0
    for _ in range(3):
        ask_all()
    assert lone.figure("perigee_encoder_not_made_total", reason="broken") <= 1
    assert set(lone.forms(page)) == {"gzip"}


BOMBS = {
    "gzip": lambda: gzip.compress(bytes(64 * MIB), 9),
    "gzip of gzip's worst": lambda: gzip.compress(bytes(12 * MIB), 9),
    "zstd": lambda: codings.zstd_encode(bytes(256 * MIB), 19),
}


@pytest.mark.parametrize("kind", BOMBS)
@OVER
def test_bombs(lone, kind, over):
    """Over object_max (8 MiB), or more than a thousand times as large as it came."""
    path, bomb, coding = lone.new_path(), BOMBS[kind](), kind.split()[0]
    lone.origin.reply(path, fields=[LASTS, ("Content-Type", "text/plain"),
                                    ("Content-Encoding", coding)], body=bomb)
    page = Page(path, None, None)
    lone.ask(lone.page())
    before = lone.node.memory()
    other = "zstd" if coding == "gzip" else "gzip"
    for _ in range(3):
        assert lone.ask(page, coding, over=over).body == bomb
        for accept in (None, other):
            assert is_honest(lone, page, accept, over, bomb), accept
    lone.let_encoders_look()
    assert set(lone.forms(page)) <= {coding}
    assert lone.node.memory() - before < 48 * MIB
    assert lone.ask(page, coding, over=over).body == bomb


@OVER
def test_an_origin_that_breaks_off(lone, over):
    """Neither an encoder nor a decoder makes a proper end of what had none."""
    for sent, accept in (("identity", "zstd"), ("gzip", None), ("zstd", "gzip"),
                         ("identity", "gzip")):
        path = lone.new_path()
        coded = codings.encode(sent, TEXT)

        @lone.origin.on(path)
        def answer(x):
            x.head(200, [LASTS, ("Content-Type", "text/plain"),
                         ("Content-Length", len(coded)),
                         *([("Content-Encoding", sent)] if sent != "identity" else [])])
            x.send(coded[:len(coded) // 2])
            x.close()

        for _ in range(2):
            with pytest.raises(harness.Cut) as cut:
                lone.ask(Page(path, TEXT, None), accept, over=over)
            response = cut.value.response
            if response is not None and response.status == 200:
                with_end = response.body
                decoder = codings.Decoder(coding_of(response))
                assert TEXT.startswith(decoder.feed(with_end)[:1000])
        assert lone.forms(Page(path, TEXT, None)) == {}
    assert sum(lone.figure("perigee_forms_made_total", encoding=c)
               for c in ("gzip", "zstd", "identity")) == 0
