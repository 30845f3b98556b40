"""A stored object as the answer to HEAD, to conditions, to ranges, to what Cache-Control asks."""

import email
import email.policy
import os
import threading

import pytest

import harness
from cache_bench import Bench, cache_status, is_hit

BODY = os.urandom(1000)
CC = "Cache-Control"


@pytest.fixture(scope="module")
def bench(make_module_node, make_module_origin):
    origin = make_module_origin()
    return Bench(make_module_node(harness.config(origin.port)), origin)


@pytest.fixture(scope="module")
def stored(bench):
    """A path whose object has both validators; asked for before."""
    path = bench.serve([(CC, "max-age=600"), ("ETag", '"a1"'), ("Date", "<+0>"),
                        ("Last-Modified", "<-1000>"), ("Content-Type", "x/y"),
                        ("Content-Location", "/there"), ("Vary", "X-Kind")], body=BODY)
    bench.fill(path)
    return path


def rows(*table):
    return [pytest.param(*row[1:], id=row[0].replace(" ", "-")) for row in table]


# HEAD


def test_head_uses_what_get_stored(bench):
    path = bench.serve([(CC, "max-age=60"), ("X-Any", "1")])
    whole = bench.fill(path)
    head = bench.head(path)
    assert is_hit(head) and head.status == 200 and head.body == b"" and head.get("x-any") == "1"
    assert head.get("content-length") == whole.get("content-length")
    assert bench.origin.count(path) == 1


def test_head_knows_the_length_of_what_came_in_chunks(bench):
    path = bench.new_path()
    bench.origin.on(path)(lambda x: x.chunks([b"123", b"4567"], fields=[(CC, "max-age=60")]))
    bench.fill(path)
    assert bench.head(path).get("content-length") == "7"


def test_head_that_misses_is_fetched_with_get(bench):
    """So that the next one hits, and a GET has its body."""
    path = bench.serve([(CC, "max-age=60"), ("ETag", '"a"')])
    head = bench.head(path)
    assert head.status == 200 and head.body == b"" and int(head.get("content-length")) > 0
    assert bench.origin.last(path).method == "GET"
    response = bench.get(path)
    assert len(response.body) == int(head.get("content-length"))
    assert is_hit(bench.head(path)) and bench.origin.count(path) == 1


def test_head_of_what_is_not_stored_stays_a_head(bench):
    """Once it is known: the first one is a GET, whose body nobody takes."""
    path = bench.serve([(CC, "private, max-age=60")])
    for method in ("GET", "HEAD", "HEAD"):
        head = bench.head(path)
        assert head.status == 200 and head.body == b"" and not is_hit(head)
        assert bench.origin.last(path).method == method


@pytest.mark.parametrize("etag, length, hit", [('"a"', "5", True), ('"b"', "5", False),
                                               ('"a"', "6", False)])
def test_head_renews_or_outdates_what_is_stored(bench, etag, length, hit):
    """RFC 9111 4.3.5."""
    path = bench.new_path()

    @bench.origin.on(path)
    def answer(x):
        if x.request.method == "HEAD":
            x.head(200, [(CC, "max-age=60"), ("ETag", etag), ("Content-Length", length),
                         ("X-Any", "new")])
        else:
            x.respond(fields=[(CC, "max-age=60"), ("ETag", '"a"'), ("X-Any", "old")],
                      body=b"12345")

    bench.fill(path)
    head = bench.head(path, [(CC, "no-cache")])
    assert not is_hit(head) and head.get("x-any") == "new"
    assert bench.origin.last(path).method == "HEAD"
    response = bench.get(path)
    assert is_hit(response) == hit and response.body == b"12345"
    assert response.get("x-any") == ("new" if hit else "old")


def test_head_does_not_fetch_a_large_body(bench):
    path, sent = bench.new_path(), []

    @bench.origin.on(path)
    def answer(x):
        x.head(200, [(CC, "max-age=60"), ("Content-Length", 1 << 30)])
        before = x.sent_bytes
        try:
            x.stream(1 << 30)
        finally:
            sent.append(x.sent_bytes - before)

    head = bench.head(path)
    assert head.status == 200 and head.get("content-length") == str(1 << 30)
    harness.wait_until(lambda: sent, "the fetch is over")
    assert sent[0] < 1 << 26


# Conditions


@pytest.mark.parametrize("fields, status", rows(
    ("If-None-Match", [("If-None-Match", '"a1"')], 304),
    ("weak comparison", [("If-None-Match", 'W/"a1"')], 304),
    ("list", [("If-None-Match", '"x", "a,b" , "a1"')], 304),
    ("lines", [("If-None-Match", '"x"'), ("If-None-Match", '"a1"')], 304),
    ("any", [("If-None-Match", "*")], 304),
    ("none of them", [("If-None-Match", '"a2", "a"')], 200),
    ("no quotes", [("If-None-Match", "a1")], 200),
    ("other case", [("If-None-Match", '"A1"')], 200),
    ("not modified", [("If-Modified-Since", "<-1000>")], 304),
    ("not modified since later", [("If-Modified-Since", "<-10>")], 304),
    ("not modified, rfc850", [("If-Modified-Since", "<-10 rfc850>")], 304),
    ("not modified, asctime", [("If-Modified-Since", "<-10 asctime>")], 304),
    ("modified", [("If-Modified-Since", "<-2000>")], 200),
    ("no date", [("If-Modified-Since", "yesterday")], 200),
    ("tag before date, differs", [("If-None-Match", '"x"'), ("If-Modified-Since", "<-10>")], 200),
    ("tag before date, same", [("If-None-Match", '"a1"'), ("If-Modified-Since", "<-2000>")],
     304),
    ("If-Match", [("If-Match", '"a1"')], 200),
    ("If-Match any", [("If-Match", "*")], 200),
    ("If-Match differs", [("If-Match", '"x"')], 412),
    ("If-Match is strong", [("If-Match", 'W/"a1"')], 412),
    ("unmodified", [("If-Unmodified-Since", "<-10>")], 200),
    ("If-Unmodified-Since fails", [("If-Unmodified-Since", "<-2000>")], 412),
))
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_condition(bench, stored, method, fields, status):
    response = bench.request(method, stored, fields)
    assert response.status == status and is_hit(response)
    if status == 200:
        assert response.body == (BODY if method == "GET" else b"")
        assert response.get("content-length") == "1000"
    elif status == 304:
        assert response.body == b"" and not response.all("content-type")
        assert response.get("content-length") in (None, "1000")
        for name in ("date", "etag", "vary", "cache-control", "content-location"):
            assert len(response.all(name)) == 1, name
    assert bench.origin.count(stored) == 1


def test_condition_on_date_when_there_is_no_last_modified(bench):
    path = bench.serve([(CC, "max-age=600"), ("Date", "<-100>"), ("Expires", "<+600>")])
    date = bench.fill(path).get("date")
    assert bench.get(path, [("If-Modified-Since", date)]).status == 304
    assert bench.get(path, [("If-Modified-Since", "<-200>")]).status == 200


def test_conditions_are_for_success_alone(bench):
    path = bench.serve([(CC, "max-age=60"), ("ETag", '"a"')], 404)
    bench.fill(path)
    response = bench.get(path, [("If-None-Match", '"a"')])
    assert response.status == 404 and is_hit(response)


def test_condition_on_a_miss_is_answered_by_us(bench):
    path = bench.serve([(CC, "max-age=60"), ("ETag", '"a"')])
    response = bench.get(path, [("If-None-Match", '"a"'), ("If-Modified-Since", "<+0>")])
    assert response.status == 304 and response.body == b"" and not is_hit(response)
    asked = bench.origin.last(path)
    assert not asked.all("if-none-match") and not asked.all("if-modified-since")
    hit = bench.get(path)
    assert is_hit(hit) and hit.status == 200 and hit.body


def test_conditions_pass_where_nothing_is_stored(bench):
    path = bench.new_path()

    @bench.origin.on(path)
    def answer(x):
        x.respond(304 if x.request.get("if-none-match") else 200,
                  [(CC, "private"), ("ETag", '"a"')], b"mine")

    assert bench.get(path).body == b"mine"  # and it is remembered that it is private
    assert bench.get(path, [("If-None-Match", '"a"')]).status == 304


# Ranges

WHOLE = (0, 1000)


@pytest.mark.parametrize("value, spans", rows(
    ("first", "bytes=0-99", [(0, 100)]),
    ("one byte", "bytes=0-0", [(0, 1)]),
    ("middle", "bytes=100-199", [(100, 200)]),
    ("open", "bytes=500-", [(500, 1000)]),
    ("suffix", "bytes=-100", [(900, 1000)]),
    ("suffix longer than all", "bytes=-2000", [WHOLE]),
    ("past the end", "bytes=990-2000", [(990, 1000)]),
    ("last byte", "bytes=999-999", [(999, 1000)]),
    ("unit in capitals", "BYTES=0-9", [(0, 10)]),
    ("several", "bytes=0-9,20-29", [(0, 10), (20, 30)]),
    ("several with spaces", "bytes=0-9 , 20-29", [(0, 10), (20, 30)]),
    ("several and a suffix", "bytes=0-9,-10", [(0, 10), (990, 1000)]),
    ("one of several is beyond", "bytes=0-9,1000-", [(0, 10)]),
    ("touching", "bytes=0-9,10-19", [(0, 20)]),
    ("overlapping", "bytes=0-99,50-149", [(0, 150)]),
    ("backwards", "bytes=5-2", None),
    ("letters", "bytes=a-b", None),
    ("nothing", "bytes=", None),
    ("dash", "bytes=-", None),
    ("negative", "bytes=--5", None),
    ("other unit", "items=0-9", None),
    ("sign", "bytes=+0-9", None),
    ("too many", "bytes=" + ",".join("%d-%d" % (i * 20, i * 20 + 1) for i in range(40)), None),
))
def test_range(bench, stored, value, spans):
    response = bench.get(stored, [("Range", value)])
    assert is_hit(response)
    check_ranges(response, spans)


def check_ranges(response, spans):
    if spans is None:
        assert response.status == 200 and response.body == BODY
    elif len(spans) == 1:
        start, end = spans[0]
        assert response.status == 206 and response.body == BODY[start:end]
        assert response.get("content-range") == "bytes %d-%d/1000" % (start, end - 1)
        assert response.get("content-length") == str(end - start)
        assert response.get("content-type") == "x/y" and response.get("etag") == '"a1"'
    else:
        assert response.status == 206 and not response.all("content-range")
        assert parts_of(response) == [("bytes %d-%d/1000" % (a, b - 1), "x/y", BODY[a:b])
                                      for a, b in spans]


def parts_of(response):
    """(Content-Range, Content-Type, bytes) of each part of a multipart/byteranges body."""
    kind = response.get("content-type")
    assert kind.startswith("multipart/byteranges; boundary=")
    mark = kind.partition("boundary=")[2].encode()
    begin, *parts, end = response.body.split(b"--" + mark)
    assert end.startswith(b"--") and begin in (b"", b"\r\n")
    found = []
    for part in parts:
        head, _, body = part.partition(b"\r\n\r\n")
        assert head.startswith(b"\r\n") and body.endswith(b"\r\n")
        fields = email.message_from_bytes(head[2:] + b"\r\n\r\n", policy=email.policy.HTTP)
        found.append((fields["content-range"], fields["content-type"], body[:-2]))
    return found


@pytest.mark.parametrize("value", ["bytes=1000-", "bytes=5000-6000", "bytes=-0",
                                   "bytes=1000-1001,2000-"])
def test_unsatisfiable_range(bench, stored, value):
    response = bench.get(stored, [("Range", value)])
    assert response.status == 416 and response.get("content-range") == "bytes */1000"
    assert BODY[:20] not in response.body


@pytest.mark.parametrize("value, holds", rows(
    ("same tag", '"a1"', True), ("other tag", '"a2"', False), ("weak tag", 'W/"a1"', False),
    ("same date", "<-1000>", None), ("later date", "<-10>", False),
    ("earlier date", "<-2000>", False), ("no date", "now", False),
))
def test_if_range(bench, stored, value, holds):
    if holds is None:  # the stored date itself
        value, holds = bench.head(stored).get("last-modified"), True
    response = bench.get(stored, [("Range", "bytes=10-19"), ("If-Range", value)])
    check_ranges(response, [(10, 20)] if holds else None)


def test_range_is_for_get_alone(bench, stored):
    head = bench.head(stored, [("Range", "bytes=0-9")])
    assert head.status == 200 and head.get("content-length") == "1000"


def test_range_of_an_error_is_the_whole(bench):
    path = bench.serve([(CC, "max-age=60")], 404, BODY)
    bench.fill(path)
    assert bench.get(path, [("Range", "bytes=0-9")]).status == 404


def test_range_that_misses_fetches_the_whole(bench):
    path = bench.serve([(CC, "max-age=60"), ("ETag", '"a1"'), ("Content-Type", "x/y")],
                       body=BODY)
    check_ranges(bench.get(path, [("Range", "bytes=10-19"), ("If-Range", '"a1"')]), [(10, 20)])
    asked = bench.origin.last(path)
    assert not asked.all("range") and not asked.all("if-range")
    assert bench.get(path).body == BODY and bench.origin.count(path) == 1


def test_range_while_the_object_arrives(bench):
    path, go_on = bench.new_path(), threading.Event()
    big = os.urandom(600_000)

    @bench.origin.on(path)
    def answer(x):
        x.head(200, [(CC, "max-age=60"), ("Content-Length", len(big)), ("ETag", '"b"')])
        x.send(big[:300_000])
        x.wait(go_on)
        x.send(big[300_000:])

    with bench.node.http() as first, bench.node.http() as near, bench.node.http() as far:
        first.send_head("GET", path)
        bench.origin.wait_for(1, path)
        part = near.get(path, [("Range", "bytes=1000-1999")])
        assert part.status == 206 and part.body == big[1000:2000]
        far.send_head("GET", path, [("Range", "bytes=299990-300009")])
        suffix = near.get(path, [("Range", "bytes=10-10"), ("If-Range", '"b"')])
        assert suffix.status == 206 and suffix.body == big[10:11]
        go_on.set()
        part = far.response()
        assert part.status == 206 and part.body == big[299_990:300_010]
        assert first.response().body == big
    assert bench.origin.count(path) == 1


def test_parts_from_the_origin_pass_and_are_not_stored(bench):
    path = bench.new_path()

    @bench.origin.on(path)
    def answer(x):
        if x.request.get("range"):
            x.respond(206, [(CC, "private"), ("Content-Range", "bytes 0-3/9")], b"0123")
        else:
            x.respond(200, [(CC, "private")], b"012345678")

    assert bench.get(path).body == b"012345678"
    part = bench.get(path, [("Range", "bytes=0-3")])
    assert part.status == 206 and part.body == b"0123"
    assert part.get("content-range") == "bytes 0-3/9"
    assert bench.get(path).body == b"012345678"


# What the client's Cache-Control asks (RFC 9111 5.2.1); the object is fresh until Age 100


@pytest.mark.parametrize("age, asked, served", rows(
    ("nothing", 50, "", "hit"),
    ("no-cache", 50, "no-cache", "request"),
    ("NO-CACHE", 50, "NO-CACHE", "request"),
    ("max-age 0", 50, "max-age=0", "request"),
    ("max-age below its age", 50, "max-age=20", "request"),
    ("max-age above its age", 50, "max-age=90", "hit"),
    ("max-age broken", 50, "max-age=x", "request"),
    ("min-fresh that it has", 50, "min-fresh=20", "hit"),
    ("min-fresh that it has not", 50, "min-fresh=80", "request"),
    ("no-store does not forbid a hit", 50, "no-store", "hit"),
    ("only-if-cached", 50, "only-if-cached", "hit"),
    ("only-if-cached and no-cache", 50, "only-if-cached, no-cache", "504"),
    ("stale", 150, "", "stale"),
    ("max-stale", 150, "max-stale", "hit"),
    ("max-stale enough", 150, "max-stale=80", "hit"),
    ("max-stale too little", 150, "max-stale=20", "stale"),
    ("max-stale broken", 150, "max-stale=x", "stale"),
    ("max-stale and max-age", 150, "max-stale=80, max-age=120", "stale"),
    ("only-if-cached, stale", 150, "only-if-cached", "504"),
))
def test_request_directives(bench, age, asked, served):
    path = bench.serve([(CC, "max-age=100"), ("Age", age), ("ETag", '"a"')])
    bench.fill(path)
    response = bench.get(path, [(CC, asked)] if asked else [])
    if served == "hit":
        assert is_hit(response) and response.body.startswith(b"1 ")
    elif served == "504":
        assert response.status == 504 and bench.origin.count(path) == 1
    else:
        assert cache_status(response)["fwd"] == served and response.body.startswith(b"2 ")
    assert bench.origin.count(path) == (2 if served in ("stale", "request") else 1)


@pytest.mark.parametrize("control, forward", [
    ("max-age=100, must-revalidate", "stale"), ("max-age=100, proxy-revalidate", "stale"),
    ("s-maxage=100", "stale"), ("no-cache, max-age=200", "stale")])
def test_max_stale_is_outranked_by_the_origin(bench, control, forward):
    path = bench.serve([(CC, control), ("Age", "150"), ("ETag", '"a"')])
    bench.fill(path)
    response = bench.get(path, [(CC, "max-stale")])
    assert cache_status(response)["fwd"] == forward and response.body.startswith(b"2 ")


def test_pragma_counts_when_there_is_no_cache_control(bench):
    path = bench.serve([(CC, "max-age=60")])
    bench.fill(path)
    assert is_hit(bench.get(path, [("Pragma", "no-cache"), (CC, "max-age=50")]))
    assert cache_status(bench.get(path, [("Pragma", "no-cache")]))["fwd"] == "request"


def test_reload_puts_the_new_answer_into_the_cache(bench):
    path = bench.serve([(CC, "max-age=60")])
    bench.fill(path)
    assert bench.get(path, [(CC, "no-cache")]).body.startswith(b"2 ")
    hit = bench.get(path)
    assert is_hit(hit) and hit.body.startswith(b"2 ")


def test_only_if_cached_asks_nobody(bench):
    path = bench.serve([(CC, "max-age=60")])
    response = bench.get(path, [(CC, "only-if-cached")])
    assert response.status == 504 and bench.origin.count(path) == 0
