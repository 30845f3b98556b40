"""Answers in each encoding: validators, 304, ranges, HEAD, Vary, digests, HTTP/1.0."""

import base64
import hashlib

import pytest

import codings
import harness
from cache_bench import cache_status, is_hit
from form_bench import (BROWSER, PROTOCOLS, FormBench, check, check_stored, coding_of,
                        content_of, names_in_vary, request)

SITES = [
    {"name": "all", "hosts": ["*"],
     "routes": [{"match": {"path": "/off/*"}, "cache": False}, {"match": {"path": "/*"}}]},
]
OVER = pytest.mark.parametrize("over", PROTOCOLS)
CODING = pytest.mark.parametrize("coding", ["zstd", "gzip"])
ALL = pytest.mark.parametrize("coding", ["identity", "zstd", "gzip"])
SHARED = {"date", "content-type", "cache-control", "x-any", "last-modified", "expires"}


@pytest.fixture(scope="module")
def bench(make_module_node, make_module_origin):
    origin = make_module_origin()
    return FormBench(make_module_node(harness.config(origin.port, sites=SITES)), origin)


@pytest.fixture(scope="module")
def warm(bench):
    """A page that is stored in all encodings."""
    page = bench.page(50000, [("Last-Modified", "<-1000>"), ("X-Any", "kept"),
                              ("Expires", "<+600>"), ("Accept-Ranges", "bytes")])
    return bench.warm(page, "zstd", "gzip")


def rows(*table):
    return [pytest.param(*row[1:], id=row[0].replace(" ", "-")) for row in table]


def names(response):
    return sorted({name.lower() for name, _ in response.fields})


# Vary


@pytest.mark.parametrize("origin, wanted", rows(
    ("none", [], ["accept-encoding"]),
    ("another name", ["Origin"], ["accept-encoding", "origin"]),
    ("two names", ["Origin, X-Kind"], ["accept-encoding", "origin", "x-kind"]),
    ("two lines", ["Origin", "X-Kind"], ["accept-encoding", "origin", "x-kind"]),
    ("named already", ["Accept-Encoding"], ["accept-encoding"]),
    ("named in other letters", ["origin,ACCEPT-encoding"], ["accept-encoding", "origin"]),
))
@OVER
def test_vary_is_merged(bench, origin, wanted, over):
    page = bench.page(fields=[("Vary", value) for value in origin])
    cold = bench.ask(page, "zstd", over=over)
    check(cold, page, "zstd")
    assert names_in_vary(cold) == wanted
    bench.warm(page, "zstd")
    for accept in ("zstd", "gzip", None):
        response = bench.ask(page, accept, over=over)
        check(response, page, coding_of(response))
        assert is_hit(response), "Accept-Encoding makes no variant of its own"
        assert names_in_vary(response) == wanted
    assert bench.origin.count(page.path) == 1


def test_vary_star_stays(bench):
    page = bench.page(fields=[("Vary", "*")])
    for _ in range(2):
        response = bench.ask(page, BROWSER)
        assert response.all("vary") == ["*"] and content_of(response) == page.body
        assert not is_hit(response)


def test_nothing_is_said_where_there_is_no_choice(bench):
    for fields, vary in (([], []), ([("Vary", "Origin")], ["Origin"])):
        page = bench.page(kind="image/png", fields=fields)
        for _ in range(2):
            assert bench.ask(page, BROWSER).all("vary") == vary


def test_variants_have_forms_of_their_own(bench):
    """By another field of the request: one fetch each, and no mixing."""
    path, bodies = bench.new_path(), {kind: codings.text(30000, kind) for kind in "ab"}

    @bench.origin.on(path)
    def answer(x):
        kind = x.request.get("x-kind")
        x.respond(200, [("Cache-Control", "max-age=600"), ("Content-Type", "text/plain"),
                        ("Vary", "X-Kind"), ("ETag", '"%s"' % kind)], bodies[kind])

    def ask(kind, accept):
        with bench.node.https() as client:
            response = request(client, "GET", path, accept, [("X-Kind", kind)])
        assert content_of(response) == bodies[kind]
        return response

    for kind in "ab":
        for coding in ("zstd", "gzip"):
            ask(kind, coding)
            bench.wait(lambda: ask(kind, coding).get("content-length") and
                       coding_of(ask(kind, coding)) == coding, "the form")
            assert ask(kind, coding).get("etag") == 'W/"%s-%s"' % (kind, coding)
    assert bench.origin.count(path) == 2


# Fields of a form


@CODING
@OVER
def test_what_a_made_form_says(bench, warm, coding, over):
    plain, made = bench.ask(warm, None, over=over), bench.ask(warm, coding, over=over)
    check_stored(plain, warm, "identity")
    check_stored(made, warm, coding)
    assert plain.all("accept-ranges") == ["bytes"] and not made.all("accept-ranges")
    for name in SHARED:
        assert made.all(name) == plain.all(name) and len(made.all(name)) == 1, name
    assert set(names(made)) - set(names(plain)) == {"content-encoding"}
    assert set(names(plain)) - set(names(made)) == {"accept-ranges"}


@pytest.mark.parametrize("tag, coding, wanted", rows(
    ("strong", '"x"', "zstd", 'W/"x-zstd"'), ("weak", 'W/"x"', "gzip", 'W/"x-gzip"'),
    ("empty", '""', "zstd", 'W/"-zstd"'), ("like ours", '"x-zstd"', "zstd", 'W/"x-zstd-zstd"'),
    ("none", None, "zstd", None),
))
def test_tag(bench, tag, coding, wanted):
    page = bench.page(tag=tag)
    assert bench.ask(page, coding).all("etag") == ([wanted] if wanted else [])
    bench.wait_made(page, coding)
    for accept, said in ((coding, wanted), (None, tag)):
        response = bench.ask(page, accept)
        assert coding_of(response) == (accept or "identity") and is_hit(response)
        assert response.all("etag") == ([said] if said else [])


@OVER
def test_digests_are_of_identity_alone(bench, over):
    body = codings.text(30000)
    whole = base64.b64encode(hashlib.sha256(body).digest()).decode()
    fields = [("Content-MD5", base64.b64encode(hashlib.md5(body).digest()).decode()),
              ("Digest", "sha-256=" + whole), ("Content-Digest", "sha-256=:%s:" % whole),
              ("Repr-Digest", "sha-256=:%s:" % whole)]
    page = bench.page(body=body, fields=fields)
    cold = bench.ask(page, "gzip", over=over)
    bench.warm(page, "zstd", "gzip")
    for response in (cold, bench.ask(page, "gzip", over=over),
                     bench.ask(page, "zstd", over=over)):
        check(response, page, coding_of(response))
        assert coding_of(response) != "identity"
        assert not [n for n, _ in fields if response.all(n)], response
    response = bench.ask(page, None, over=over)
    check_stored(response, page, "identity")
    for name, value in fields:
        assert response.all(name) == [value], name


@ALL
@OVER
def test_head_equals_get(bench, warm, coding, over):
    get = bench.ask(warm, coding, over=over)
    for _ in range(2):  # what is used often is made anew, smaller, once: perhaps between these
        before, head, get = get, *(bench.ask(warm, coding, method=method, over=over)
                                   for method in ("HEAD", "GET"))
        if before.body == get.body:
            break
    assert head.body == b"" and is_hit(head)
    assert fields_of(head) == fields_of(get)
    assert head.get("content-length") == str(len(get.body))


@ALL
def test_head_equals_get_when_it_is_cold(bench, coding):
    """HEAD brings the object, whose whole is then there for all."""
    page, twin = bench.page(), bench.page(body=codings.text(20000, "twin"))
    get, head = bench.ask(twin, coding), bench.ask(page, coding, method="HEAD")
    without = {"content-length"}  # HEAD may leave out what costs a body (RFC 9110 9.3.2)
    assert fields_of(head, without) == fields_of(get, without)
    assert head.all("content-length") in ([], get.all("content-length"))
    bench.warm(page, *({coding} - {"identity"}))
    check_stored(bench.ask(page, coding), page, coding)
    assert bench.origin.count(page.path) == 1


def fields_of(response, without=()):
    return sorted((n.lower(), v) for n, v in response.fields
                  if n.lower() not in {"date", "age", "connection", "transfer-encoding",
                                       *without})


@pytest.mark.parametrize("accept, coding", [("gzip", "gzip"), ("zstd", "zstd"),
                                            (None, "identity"), ("identity", "identity")])
def test_http_1_0(bench, warm, accept, coding):
    with bench.node.https() as client:
        client.send_head("GET", warm.path, [("Accept-Encoding", accept)] if accept else [],
                         version="HTTP/1.0")
        response = client.response()
        check_stored(response, warm, coding)
        assert not response.chunked and not response.until_close
        assert client.is_closed()


@CODING
def test_http_1_0_cold(bench, coding):
    """Nothing tells the end of an encoded body but the connection's."""
    page = bench.page()
    with bench.node.https() as client:
        client.send_head("GET", page.path, [("Accept-Encoding", coding)], version="HTTP/1.0")
        response = client.response()
    assert not response.chunked
    check(response, page, coding_of(response))


# Conditions


@pytest.mark.parametrize("accept, tag, status, said", rows(
    ("its own", "zstd", 'W/"x-zstd"', 304, 'W/"x-zstd"'),
    ("gzip's own", "gzip", 'W/"x-gzip"', 304, 'W/"x-gzip"'),
    ("in a list", "zstd", '"y", W/"x-zstd"', 304, 'W/"x-zstd"'),
    ("the browser's", BROWSER, 'W/"x-zstd"', 304, 'W/"x-zstd"'),
    ("weak comparison", "zstd", '"x-zstd"', 304, 'W/"x-zstd"'),
    ("identity's", None, '"x"', 304, '"x"'),
    ("zstd is not taken any more", None, 'W/"x-zstd"', 200, '"x"'),
    ("gzip instead", "gzip", 'W/"x-zstd"', 200, 'W/"x-gzip"'),
    ("older version", "zstd", 'W/"y-zstd"', 200, 'W/"x-zstd"'),
    ("older version of identity", "zstd", '"y"', 200, 'W/"x-zstd"'),
    ("no suffix of ours", "zstd", 'W/"x-zst"', 200, 'W/"x-zstd"'),
))
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@OVER
def test_if_none_match(bench, warm, accept, tag, status, said, method, over):
    response = bench.ask(warm, accept, [("If-None-Match", tag)], method, over)
    assert response.status == status and is_hit(response)
    assert response.all("etag") == [said]
    assert names_in_vary(response) == ["accept-encoding"]
    if status == 304:
        assert response.body == b"" and not response.all("content-encoding")
    elif method == "GET":
        check_stored(response, warm, accept or "identity")


@pytest.mark.parametrize("accept", ["zstd", "gzip", None])
@OVER
def test_if_none_match_of_the_origins_tag(bench, warm, accept, over):
    """Who has the identity form has the content, whatever he would get now."""
    response = bench.ask(warm, accept, [("If-None-Match", '"x"')], over=over)
    assert response.status == 304 and response.body == b""


@ALL
def test_if_modified_since(bench, warm, coding):
    for since, status in (("<-10>", 304), ("<-5000>", 200)):
        response = bench.ask(warm, coding, [("If-Modified-Since", since)])
        assert response.status == status
        assert response.all("etag") == ['"x"' if coding == "identity" else warm.tag_in(coding)]


@CODING
def test_if_match_is_strong(bench, warm, coding):
    """RFC 9110 13.1.1: a weak tag never matches."""
    assert bench.ask(warm, coding, [("If-Match", warm.tag_in(coding))]).status == 412
    assert bench.ask(warm, None, [("If-Match", '"x"')]).status == 200


@CODING
@OVER
def test_validation_at_the_origin(bench, coding, over):
    """The origin is asked by the tag that it gave; the client hears of its own."""
    page = bench.page(lasts=("Cache-Control", "max-age=0"))
    check(bench.ask(page, coding, over=over), page, coding)
    bench.wait_made(page, coding)
    response = bench.ask(page, coding, over=over)
    check(response, page, coding)
    assert cache_status(response)["fwd"] == "stale"
    assert response.get("content-length"), "it is not encoded again"
    response = bench.ask(page, coding, [("If-None-Match", page.tag_in(coding))], over=over)
    assert response.status == 304 and response.get("etag") == page.tag_in(coding)
    asked = bench.origin.seen(page.path)
    assert [x.get("if-none-match") for x in asked] == [None, '"x"', '"x"']


@pytest.mark.parametrize("accept, given, sent, status, said", rows(
    ("a made one", "zstd", 'W/"x-zstd"', ['W/"x"', 'W/"x-zstd"'], 304, 'W/"x-zstd"'),
    ("of gzip", "gzip", 'W/"x-gzip"', ['W/"x"', 'W/"x-gzip"'], 304, 'W/"x-gzip"'),
    ("its own", "zstd", '"x"', ['"x"'], 304, '"x"'),
    ("both", "zstd", '"x", W/"x-zstd"', ['"x"', 'W/"x"', 'W/"x-zstd"'], 304, '"x"'),
    ("another's", "zstd", 'W/"y-zstd"', ['W/"y"', 'W/"y-zstd"'], 200, '"x"'),
    ("any", "zstd", "*", ["*"], 200, '"x"'),
))
@OVER
def test_tags_on_their_way_through(bench, accept, given, sent, status, said, over):
    """Where nothing is stored: a client may have its tag from when something was."""
    page = bench.page(path="/off" + bench.new_path())
    response = bench.ask(page, accept, [("If-None-Match", given)], over=over)
    asked = bench.origin.last(page.path).get("if-none-match")
    assert sorted(t.strip() for t in asked.split(",")) == sorted(sent)
    assert response.status == status and response.all("etag") == [said]


# Ranges


@OVER
def test_ranges_are_of_identity(bench, warm, over):
    for accept in (BROWSER, "gzip", "zstd;q=1, identity;q=0.1", None):
        part = bench.ask(warm, accept, [("Range", "bytes=100-199")], over=over)
        assert part.status == 206 and part.body == warm.body[100:200] and is_hit(part)
        assert part.get("content-range") == "bytes 100-199/%d" % len(warm.body)
        assert coding_of(part) == "identity" and part.all("etag") == ['"x"']
        assert names_in_vary(part) == ["accept-encoding"]
    beyond = bench.ask(warm, "zstd", [("Range", "bytes=99999-")], over=over)
    assert beyond.status == 416
    assert beyond.get("content-range") == "bytes */%d" % len(warm.body)


@pytest.mark.parametrize("tag, status", [('"x"', 206), ('W/"x-zstd"', 200), ('"y"', 200),
                                         ('"x-zstd"', 200)])
def test_if_range(bench, warm, tag, status):
    fields = [("Range", "bytes=0-9"), ("If-Range", tag)]
    response = bench.ask(warm, "zstd", fields)
    assert response.status == status
    if status == 206:
        assert response.body == warm.body[:10] and coding_of(response) == "identity"
    else:
        check(response, warm, coding_of(response))


def test_cold_range(bench):
    """The whole is fetched, and all forms can be made of it."""
    page = bench.page()
    part = bench.ask(page, "zstd", [("Range", "bytes=5-9")])
    assert part.status == 206 and part.body == page.body[5:10]
    assert coding_of(part) == "identity" and part.get("etag") == '"x"'
    asked = bench.origin.last(page.path)
    assert not asked.all("range")
    bench.warm(page, "zstd")
    assert bench.origin.count(page.path) == 1


@CODING
def test_head_with_range(bench, warm, coding):
    """A range is for GET alone (RFC 9110 14.2)."""
    before = str(bench.forms(warm)[coding]["bytes"])
    head = bench.ask(warm, coding, [("Range", "bytes=0-9")], "HEAD")
    assert head.status == 200
    assert head.get("content-length") in (str(len(warm.body)), before,
                                          str(bench.forms(warm)[coding]["bytes"]))
