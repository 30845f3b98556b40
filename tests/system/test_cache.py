"""What is stored, and what is used again: RFC 9111 2 to 4, RFC 9213, and a site's own rules."""

import os
import pathlib
import signal

import pytest

import h2client
import harness
from cache_bench import Bench, cache_status, is_hit

SITES = [
    {"name": "all", "hosts": ["*"], "purge_from": ["127.0.0.0/8"]},
    {"name": "negative", "hosts": ["negative.test"], "ttl": {"negative": "60s"}},
    {"name": "default", "hosts": ["default.test"], "ttl": {"default": "60s"}},
    {"name": "force", "hosts": ["force.test"], "ttl": {"force": "60s"}},
    {"name": "store", "hosts": ["store.test"], "set_cookie": "store"},
    {"name": "refuse", "hosts": ["refuse.test"], "set_cookie": "refuse"},
    {"name": "strip", "hosts": ["strip.test"], "set_cookie": "strip"},
    {"name": "sort", "hosts": ["sort.test"],
     "cache_key": {"query": {"sort": True, "drop": ["utm_*", "fbclid"]}}},
    {"name": "keep", "hosts": ["keep.test"], "cache_key": {"query": {"keep": ["id"]}}},
    {"name": "extra", "hosts": ["extra.test"],
     "cache_key": {"cookies": ["lang"], "headers": ["X-Country"]}},
    {"name": "tags", "hosts": ["tags.test"], "send_tags": True},
    {"name": "off", "hosts": ["off.test"], "routes": [{"cache": False}]},
]


@pytest.fixture(scope="module")
def bench(make_module_node, make_module_origin):
    origin = make_module_origin()
    return Bench(make_module_node(harness.config(origin.port, sites=SITES)), origin)


def rows(*table):
    """(why, ...): a parameter set each, named by its reason."""
    return [pytest.param(*row[1:], id=row[0].replace(" ", "-")) for row in table]


CC, CDN, SURROGATE = "Cache-Control", "CDN-Cache-Control", "Surrogate-Control"
OLD = ("Last-Modified", "<-864000>")


def test_hit_and_miss_say_so(bench):
    path = bench.serve([(CC, "max-age=60"), ("Date", "<+0>"), ("X-Any", "kept")])
    miss = bench.get(path)
    assert miss.get("cache-status") == "perigee; fwd=uri-miss; stored"
    assert miss.get("age") in (None, "0") and miss.body == b"1 of " + path.encode()
    hit = bench.get(path)
    assert hit.get("cache-status") == "perigee; hit" and hit.body == miss.body
    assert hit.all("age") and int(hit.get("age")) < 30
    for name in ("date", "x-any", "content-length", "cache-control"):
        assert hit.all(name) == miss.all(name) and len(hit.all(name)) == 1
    assert bench.origin.count(path) == 1


def test_a_missing_date_is_added(bench):
    path = bench.serve([(CC, "max-age=60")])
    first = bench.fill(path).all("date")
    assert len(first) == 1 and first == bench.get(path).all("date")


@pytest.mark.parametrize("fields, reused", rows(
    ("max-age", [(CC, "max-age=60")], True),
    ("max-age 0", [(CC, "max-age=0")], False),
    ("s-maxage wins", [(CC, "max-age=0, s-maxage=60")], True),
    ("s-maxage 0 wins", [(CC, "s-maxage=0, max-age=60")], False),
    ("any case", [(CC, "MAX-age=60")], True),
    ("quoted", [(CC, 'max-age="60"')], True),
    ("second line", [(CC, "foo"), (CC, "max-age=60")], True),
    ("unknown ones", [(CC, 'frob, max-age=60, x=1, y="z"')], True),
    ("text in quotes is no directive", [(CC, 'x="no-store, private", max-age=60')], True),
    ("first of duplicates", [(CC, "max-age=0, max-age=60")], False),
    ("negative", [(CC, "max-age=-1")], False),
    ("fraction", [(CC, "max-age=60.5")], False),
    ("unit", [(CC, "max-age=60s")], False),
    ("empty", [(CC, "max-age=")], False),
    ("no value", [(CC, "max-age")], False),
    ("invalid outranks Expires", [(CC, "max-age=x"), ("Expires", "<+60>")], False),
    ("saturates", [(CC, "max-age=99999999999999999999999")], True),
    ("Expires", [("Expires", "<+60>"), ("Date", "<+0>")], True),
    ("Expires without Date", [("Expires", "<+60>")], True),
    ("Expires rfc850", [("Expires", "<+60 rfc850>")], True),
    ("Expires asctime", [("Expires", "<+60 asctime>")], True),
    ("Expires past", [("Expires", "<-1>")], False),
    ("Expires is relative to Date", [("Expires", "<+60>"), ("Date", "<+60>")], False),
    ("Expires counts Date's age", [("Expires", "<-20>"), ("Date", "<-80>")], False),
    ("Expires 0", [("Expires", "0")], False),
    ("Expires -1", [("Expires", "-1")], False),
    ("Expires garbage", [("Expires", "tomorrow")], False),
    ("Expires empty", [("Expires", "")], False),
    ("Expires twice", [("Expires", "<+60>"), ("Expires", "<+60>")], False),
    ("Expires in UTC by another name", [("Expires", "Fri, 01 Jan 2038 00:00:00 UTC")], False),
    ("Expires with an offset", [("Expires", "Fri, 01 Jan 2038 00:00:00 +0000")], False),
    ("Expires without the weekday", [("Expires", "01 Jan 2038 00:00:00 GMT")], False),
    ("Expires with one digit", [("Expires", "Fri, 1 Jan 2038 00:00:00 GMT")], False),
    ("Expires month in capitals", [("Expires", "Fri, 01 JAN 2038 00:00:00 GMT")], True),
    ("Expires garbage outranks a guess", [("Expires", "x"), OLD], False),
    ("max-age outranks Expires", [(CC, "max-age=60"), ("Expires", "0")], True),
    ("max-age 0 outranks Expires", [(CC, "max-age=0"), ("Expires", "<+60>")], False),
    ("Age below", [(CC, "max-age=60"), ("Age", "20")], True),
    ("Age at the end", [(CC, "max-age=60"), ("Age", "60")], False),
    ("Age over", [(CC, "max-age=60"), ("Age", "3600")], False),
    ("Age saturates", [(CC, "max-age=60"), ("Age", "9999999999999999999")], False),
    ("Age of letters", [(CC, "max-age=60"), ("Age", "abc")], True),
    ("Age negative", [(CC, "max-age=60"), ("Age", "-7200")], True),
    ("Age with a fraction", [(CC, "max-age=60"), ("Age", "7200.5")], True),
    ("Age list, the first", [(CC, "max-age=60"), ("Age", "0, 3600")], True),
    ("Age list, the first is over", [(CC, "max-age=60"), ("Age", "3600, 0")], False),
    ("Age lines, the first", [(CC, "max-age=60"), ("Age", "3600"), ("Age", "0")], False),
    ("Date long ago", [(CC, "max-age=60"), ("Date", "<-3600>")], False),
    ("Date ahead", [(CC, "max-age=60"), ("Date", "<+3600>")], True),
    ("a guess", [OLD], True),
    ("a guess with Date", [OLD, ("Date", "<+0>")], True),
    ("a guess of nothing", [("Last-Modified", "<+0>")], False),
    ("a guess, but ETag only", [("ETag", '"a"')], False),
    ("nothing said", [], False),
    ("public alone", [(CC, "public")], False),
    ("no-store", [(CC, "no-store, max-age=60")], False),
    ("No-Store", [(CC, "max-age=60, No-Store")], False),
    ("private", [(CC, "private, max-age=60")], False),
    ("private empty", [(CC, 'private="", max-age=60')], False),
    ("no-cache", [(CC, "no-cache, max-age=60")], False),
    ("no-cache empty", [(CC, 'no-cache="", max-age=60')], False),
    ("Pragma says nothing", [("Pragma", "no-cache"), (CC, "max-age=60")], True),
    ("must-revalidate while fresh", [(CC, "max-age=60, must-revalidate")], True),
    ("must-understand over no-store", [(CC, "must-understand, no-store, max-age=60")], True),
    ("Content-Range", [(CC, "max-age=60"), ("Content-Range", "bytes 0-3/9")], False),
    ("CDN", [(CDN, "max-age=60"), (CC, "no-store")], True),
    ("CDN over Expires", [(CDN, "max-age=60"), ("Expires", "0")], True),
    ("CDN 0 over Expires", [(CDN, "max-age=0"), ("Expires", "<+60>")], False),
    ("CDN no-store", [(CDN, "no-store"), (CC, "max-age=60")], False),
    ("CDN private", [(CDN, "private"), (CC, "max-age=60")], False),
    ("CDN no-cache", [(CDN, "max-age=60, no-cache"), (CC, "max-age=60")], False),
    ("CDN replaces as a whole", [(CDN, "foo"), (CC, "max-age=60")], False),
    ("CDN with a parameter", [(CDN, "max-age=60;x=y"), (CC, "no-store")], True),
    ("CDN unknown ones", [(CDN, 'max-age=60, a="b", c'), (CC, "no-store")], True),
    ("CDN last of duplicates", [(CDN, "max-age=0"), (CDN, "max-age=60"), (CC, "no-store")], True),
    ("CDN flag off", [(CDN, "max-age=60, no-store=?0"), (CC, "no-store")], True),
    ("CDN string", [(CDN, 'max-age="60"'), (CC, "no-store")], False),
    ("CDN string ignored", [(CDN, 'max-age="0"'), (CC, "max-age=60")], True),
    ("CDN decimal ignored", [(CDN, "max-age=0.0"), (CC, "max-age=60")], True),
    ("CDN token flag ignored", [(CDN, "no-store=yes"), (CC, "max-age=60")], True),
    ("CDN capitals ignored", [(CDN, "Max-Age=0"), (CC, "max-age=60")], True),
    ("CDN broken ignored", [(CDN, "no-store, &"), (CC, "max-age=60")], True),
    ("CDN empty ignored", [(CDN, ""), (CC, "max-age=60")], True),
    ("Surrogate", [(SURROGATE, "max-age=60"), (CC, "no-store")], True),
    ("Surrogate no-store", [(SURROGATE, "no-store"), (CC, "max-age=60")], False),
    ("CDN before Surrogate", [(CDN, "no-store"), (SURROGATE, "max-age=60")], False),
    ("Surrogate when CDN is broken", [(CDN, "&"), (SURROGATE, "max-age=60"),
                                      (CC, "no-store")], True),
))
def test_freshness(bench, fields, reused):
    assert bench.is_reused(bench.serve(fields)) == reused


@pytest.mark.parametrize("status", [200, 203, 204, 299, 300, 301, 302, 303, 307, 308, 400, 401,
                                    403, 404, 405, 410, 414, 451, 499, 500, 501, 502, 503, 504,
                                    599])
def test_any_status_is_stored_with_a_lifetime(bench, status):
    assert bench.is_reused(bench.serve([(CC, "max-age=60")], status))


HEURISTIC = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501]


@pytest.mark.parametrize("status", HEURISTIC + [201, 302, 303, 307, 400, 403, 500, 502, 503])
def test_guesses_are_for_some_statuses(bench, status):
    assert bench.is_reused(bench.serve([OLD], status)) == (status in HEURISTIC)


def test_public_allows_a_guess_for_other_statuses(bench):
    assert bench.is_reused(bench.serve([OLD, (CC, "public")], 302))


def test_206_and_unknown_status_under_must_understand_are_not_stored(bench):
    part = bench.serve([(CC, "max-age=60"), ("Content-Range", "bytes 0-4/9")], 206)
    assert not bench.is_reused(part)
    assert not bench.is_reused(bench.serve([(CC, "must-understand, max-age=60")], 299))


def test_age_grows_and_ends_the_freshness(bench):
    path = bench.serve([(CC, "max-age=2"), ("Age", "1"), ("Date", "<+0>")])
    assert bench.fill(path).get("age") == "1"

    def is_over():
        response = bench.get(path)
        if is_hit(response):
            assert 1 <= int(response.get("age")) < 2 and response.body.startswith(b"1 ")
            return None
        return response

    fresh = bench.wait(is_over, "the object is stale")
    assert fresh.body.startswith(b"2 ")


def test_first_answer_passes_the_age_on(bench):
    path = bench.serve([(CC, "max-age=600"), ("Age", "100")])
    assert 100 <= int(bench.fill(path).get("age")) < 130
    hit = bench.get(path)
    assert len(hit.all("age")) == 1 and 100 <= int(hit.get("age")) < 130


@pytest.mark.parametrize("directive", ["no-cache", "private"])
def test_qualified_directive_takes_the_field_out(bench, directive):
    path = bench.serve([(CC, 'max-age=60, %s="X-One, x-two"' % directive), ("X-One", "1"),
                        ("X-Two", "2"), ("X-Three", "3")])
    bench.fill(path)
    hit = bench.get(path)
    assert is_hit(hit) and hit.get("x-three") == "3"
    assert not hit.all("x-one") and not hit.all("x-two")


def test_hop_by_hop_fields_are_neither_stored_nor_passed(bench):
    path = bench.serve([(CC, "max-age=60"), ("Connection", "X-Hop, close"), ("X-Hop", "1"),
                        ("Keep-Alive", "timeout=9"), ("Proxy-Connection", "close"),
                        ("Proxy-Authenticate", "Basic"), ("X-End", "1")])
    for response in (bench.get(path), bench.get(path)):
        assert response.get("x-end") == "1"
        for name in ("x-hop", "keep-alive", "proxy-connection", "proxy-authenticate"):
            assert not response.all(name)


@pytest.mark.parametrize("fields", [[(CC, "max-age=60")], [(CC, "no-store")],
                                    [(CC, "private")]], ids=["shared", "no-store", "private"])
def test_what_is_for_us_is_not_passed_on(bench, fields):
    path = bench.serve([*fields, (CDN, "max-age=60"), (SURROGATE, "x"), ("Surrogate-Key", "a b"),
                        ("Cache-Tag", "a"), ("xkey", "a"), ("X-Magento-Tags", "a"),
                        ("Cache-Groups", '"a"'), ("X-End", "1")])
    for response in (bench.get(path), bench.get(path)):
        assert response.get("x-end") == "1" and response.all("cache-control")
        for name in ("cdn-cache-control", "surrogate-control", "surrogate-key", "cache-tag",
                     "xkey", "x-magento-tags", "cache-groups"):
            assert not response.all(name), name


def test_a_site_may_send_its_tags(bench):
    path = bench.serve([(CC, "max-age=60"), ("Surrogate-Key", "a b")])
    assert bench.get(path, host="tags.test").get("surrogate-key") == "a b"
    hit = bench.get(path, host="tags.test")
    assert is_hit(hit) and hit.get("surrogate-key") == "a b"


TAG_FIELDS = [("Surrogate-Key", "a"), ("Cache-Tag", "a"), ("xkey", "a"), ("X-Magento-Tags", "a"),
              ("Cache-Groups", '"a"')]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("host, more", [("www.test", []), ("tags.test", TAG_FIELDS)])
@pytest.mark.parametrize("cc", ["max-age=60", "no-store"])
def test_tag_fields_beside_the_final_head(bench, cc, host, more, version):
    """Interim responses and trailers show clients the tag fields only where heads do."""
    path = bench.new_path()

    @bench.origin.on(path)
    def _(x):
        x.head(103, [*TAG_FIELDS, ("Link", "</a>; rel=preload")])
        x.chunks([b"abc"], 200, [(CC, cc)], [*TAG_FIELDS, ("X-Fine", "1")])

    if version == 1:
        answer = bench.get(path, [("TE", "trailers")], host=host)
    else:
        with h2client.H2(bench.node.https_port) as client:
            answer = client.get(path, [("te", "trailers")], authority=host)
    lower = sorted((name.lower(), value) for name, value in more)
    (status, fields), = answer.interim
    assert status == 103
    assert sorted((n.lower(), v) for n, v in fields if n.lower() not in ("via", "date")) == \
        sorted([*lower, ("link", "</a>; rel=preload")])
    assert sorted((n.lower(), v) for n, v in answer.trailers) == sorted([*lower, ("x-fine", "1")])


@pytest.mark.parametrize("count, reused", [(64, True), (65, False)])
def test_too_many_tags_are_not_stored(bench, count, reused):
    tags = " ".join("tag%d" % i for i in range(count))
    assert bench.is_reused(bench.serve([(CC, "max-age=60"), ("Surrogate-Key", tags)])) == reused


@pytest.mark.parametrize("lines, length, reused", [(1, 62_000, True), (2, 40_000, False)])
def test_too_many_bytes_of_tags_are_not_stored(bench, lines, length, reused):
    fields = [("Surrogate-Key", " ".join("%01000d" % i for i in range(length // 1001)))] * lines
    assert bench.is_reused(bench.serve([(CC, "max-age=60"), *fields])) == reused


# Authorization, Set-Cookie


@pytest.mark.parametrize("control, reused", [
    ("max-age=60", False), ("max-age=60, public", True), ("s-maxage=60", True),
    ("max-age=60, must-revalidate", True), ("max-age=60, private", False)])
def test_answer_to_an_authorized_request(bench, control, reused):
    path = bench.serve([(CC, control)])
    assert bench.is_reused(path, first=[("Authorization", "Basic Zm9v")]) == reused


def test_authorized_request_may_use_a_shared_answer(bench):
    path = bench.serve([(CC, "max-age=60")])
    assert bench.is_reused(path, second=[("Authorization", "Basic Zm9v")])


@pytest.mark.parametrize("host, fields, reused, cookie", rows(
    ("default refuses", "localhost", [(CC, "max-age=60")], False, True),
    ("default takes public", "localhost", [(CC, "max-age=60, public")], True, True),
    ("default takes s-maxage", "localhost", [(CC, "s-maxage=60")], True, True),
    ("default takes targeted", "localhost", [(CDN, "max-age=60")], True, True),
    ("private by name", "localhost", [(CC, 'max-age=60, private="set-cookie"')], True, False),
    ("store", "store.test", [(CC, "max-age=60")], True, True),
    ("refuse", "refuse.test", [(CC, "max-age=60, public")], False, True),
    ("strip", "strip.test", [(CC, "max-age=60")], True, False),
))
def test_set_cookie(bench, host, fields, reused, cookie):
    path = bench.serve([*fields, ("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2")])
    assert bench.is_reused(path, host=host) == reused
    assert bench.get(path, host=host).all("set-cookie") == (["a=1; Path=/", "b=2"] if cookie
                                                            else [])


def test_request_with_no_store_leaves_nothing(bench):
    path = bench.serve([(CC, "max-age=60")])
    assert not bench.is_reused(path, first=[(CC, "no-store")])
    assert is_hit(bench.get(path))


# Vary


def test_variants_live_side_by_side(bench):
    path = bench.new_path()

    @bench.origin.on(path)
    def answer(x):
        x.respond(fields=[(CC, "max-age=60"), ("Vary", "X-Kind")],
                  body=b"for %s" % (x.request.get("x-kind") or "none").encode())

    kinds = ["a", "b", None]
    for round_number in range(2):
        for kind in kinds:
            response = bench.get(path, [("X-Kind", kind)] if kind else [])
            assert response.body == b"for %s" % (kind or "none").encode()
            assert response.get("vary") == "X-Kind"
            assert is_hit(response) == (round_number == 1)
    assert bench.origin.count(path) == len(kinds)
    other = bench.get(path, [("X-Kind", "c")])
    assert cache_status(other)["fwd"] == "vary-miss" and other.body == b"for c"


@pytest.mark.parametrize("vary, first, second, reused", rows(
    ("star", ["*"], [], [], False),
    ("star among others", ["X-Kind, *"], [], [], False),
    ("star in another line", ["X-Kind", "*"], [], [], False),
    ("equal", ["X-Kind"], [("X-Kind", "a")], [("X-Kind", "a")], True),
    ("differs", ["X-Kind"], [("X-Kind", "a")], [("X-Kind", "b")], False),
    ("absent", ["X-Kind"], [("X-Kind", "a")], [], False),
    ("empty is not absent", ["X-Kind"], [("X-Kind", "")], [], False),
    ("name in another case", ["x-KIND"], [("X-Kind", "a")], [("x-kind", "a")], True),
    ("second of two names", ["A, X-Kind"], [("X-Kind", "a")], [("X-Kind", "b")], False),
    ("second of two lines", ["A", "X-Kind"], [("X-Kind", "a")], [("X-Kind", "b")], False),
    ("empty members", [", ,X-Kind,"], [("X-Kind", "a")], [("X-Kind", "a")], True),
    ("nothing named", [""], [("X-Kind", "a")], [("X-Kind", "b")], True),
    ("others do not count", ["X-Kind"], [("X-Other", "a")], [("X-Other", "b")], True),
    ("spaces around commas", ["X-Kind"], [("X-Kind", "a, b")], [("X-Kind", "a ,  b")], True),
    ("one line or two", ["X-Kind"], [("X-Kind", "a, b")], [("X-Kind", "a"), ("X-Kind", "b")],
     True),
    ("languages in another order", ["Accept-Language"], [("Accept-Language", "de, en")],
     [("Accept-Language", "EN,de")], True),
    ("languages by quality", ["Accept-Language"], [("Accept-Language", "de, en;q=0.5")],
     [("Accept-Language", "en, de;q=0.5")], False),
    ("codings make no variants", ["Accept-Encoding"], [("Accept-Encoding", "gzip")],
     [("Accept-Encoding", "br")], True),
    ("a name beside them does", ["Accept-Encoding, X-Kind"], [("X-Kind", "a")],
     [("X-Kind", "b")], False),
))
def test_vary(bench, vary, first, second, reused):
    path = bench.serve([(CC, "max-age=60"), *(("Vary", v) for v in vary)])
    assert bench.is_reused(path, first, second) == reused


def test_variants_without_end_are_all_answered_right(bench):
    path = bench.new_path()

    @bench.origin.on(path)
    def answer(x):
        x.respond(fields=[(CC, "max-age=60"), ("Vary", "X-Kind")],
                  body=x.request.get("x-kind").encode())

    for _ in range(2):
        with bench.node.http() as client:
            for kind in range(100):
                response = client.get(path, [("X-Kind", kind)])
                assert response.body == b"%d" % kind


# A site's own ttl


@pytest.mark.parametrize("host, status, fields, reused", rows(
    ("negative", "negative.test", 404, [], True),
    ("negative gone", "negative.test", 410, [], True),
    ("negative, but no-store", "negative.test", 404, [(CC, "no-store")], False),
    ("negative, but 0", "negative.test", 404, [(CC, "max-age=0")], False),
    ("negative is not for 200", "negative.test", 200, [], False),
    ("negative is not for 500", "negative.test", 500, [], False),
    ("no negative", "localhost", 404, [], False),
    ("default", "default.test", 200, [], True),
    ("default, but no-store", "default.test", 200, [(CC, "no-store")], False),
    ("default, but 0", "default.test", 200, [(CC, "max-age=0")], False),
    ("default is not for 404", "default.test", 404, [], False),
    ("default is not for 500", "default.test", 500, [], False),
    ("force", "force.test", 200, [], True),
    ("force over 0", "force.test", 200, [(CC, "max-age=0")], True),
    ("force over no-store", "force.test", 200, [(CC, "no-store")], True),
    ("force over private", "force.test", 200, [(CC, "private")], True),
    ("force over Age", "force.test", 200, [(CC, "max-age=60"), ("Age", "999")], True),
    ("force is not for 500", "force.test", 500, [], False),
    ("force and cookies", "force.test", 200, [("Set-Cookie", "a=1")], False),
    ("cache off", "off.test", 200, [(CC, "max-age=60")], False),
))
def test_ttl_of_a_site(bench, host, status, fields, reused):
    assert bench.is_reused(bench.serve(fields, status), host=host) == reused


def test_cache_off_says_bypass(bench):
    path = bench.serve([(CC, "max-age=60")])
    assert bench.get(path, host="off.test").get("cache-status") == "perigee; fwd=bypass"


# The key


@pytest.mark.parametrize("one, two, same", rows(
    ("query", ("localhost", "?a=1"), ("localhost", "?a=2"), False),
    ("query order", ("localhost", "?a=1&b=2"), ("localhost", "?b=2&a=1"), False),
    ("empty query", ("localhost", ""), ("localhost", "?"), False),
    ("path is case sensitive", ("localhost", "/x"), ("localhost", "/X"), False),
    ("slash at the end", ("localhost", "/x"), ("localhost", "/x/"), False),
    ("path parameter", ("localhost", "/x"), ("localhost", "/x;y"), False),
    ("extension", ("localhost", "/x"), ("localhost", "/x/a.css"), False),
    ("encoded slash", ("localhost", "/x/y"), ("localhost", "/x%2Fy"), False),
    ("unreserved, encoded", ("localhost", "/~x"), ("localhost", "/%7Ex"), True),
    ("hex case", ("localhost", "/a%2fb"), ("localhost", "/a%2Fb"), True),
    ("dot segments", ("localhost", "/y/z"), ("localhost", "/q/../y/./z"), True),
    ("host", ("a.test", ""), ("b.test", ""), False),
    ("host case", ("a.test", ""), ("A.Test", ""), True),
    ("port", ("a.test", ""), ("a.test:8080", ""), False),
    ("default port", ("a.test", ""), ("a.test:80", ""), True),
    ("sorted", ("sort.test", "?b=2&a=1"), ("sort.test", "?a=1&b=2"), True),
    ("sorted, equal names keep order", ("sort.test", "?a=1&a=2"), ("sort.test", "?a=2&a=1"),
     False),
    ("dropped", ("sort.test", "?a=1"), ("sort.test", "?utm_source=x&a=1&fbclid=3"), True),
    ("all dropped", ("sort.test", ""), ("sort.test", "?utm_source=x"), True),
    ("not dropped", ("sort.test", "?a=1"), ("sort.test", "?a=1&xutm_y=1"), False),
    ("kept", ("keep.test", "?id=1"), ("keep.test", "?x=2&id=1&y=3"), True),
    ("kept differs", ("keep.test", "?id=1"), ("keep.test", "?id=2"), False),
))
def test_key_by_target(bench, one, two, same):
    base = bench.new_path()
    saved = bench.origin.handlers["*"]
    bench.origin.on("*")(lambda x: x.respond(fields=[(CC, "max-age=60")],
                                             body=x.request.target.encode()))
    try:
        first = bench.get(base + one[1], host=one[0])
        second = bench.get(base + two[1], host=two[0])
    finally:
        bench.origin.handlers["*"] = saved
    assert not is_hit(first) and is_hit(second) == same
    assert not same or first.body == second.body


@pytest.mark.parametrize("one, two, same", rows(
    ("cookie", [("Cookie", "lang=de")], [("Cookie", "lang=en")], False),
    ("cookie beside others", [("Cookie", "lang=de")], [("Cookie", "x=1; lang=de")], True),
    ("no cookie", [("Cookie", "lang=de")], [], False),
    ("field", [("X-Country", "DE")], [("X-Country", "FR")], False),
    ("other field", [("X-Other", "DE")], [("X-Other", "FR")], True),
))
def test_key_by_cookies_and_fields(bench, one, two, same):
    path = bench.serve([(CC, "max-age=60")])
    assert bench.is_reused(path, one, two, host="extra.test") == same


def test_schemes_are_apart_and_protocols_are_not(bench):
    path = bench.new_path()
    bench.origin.on(path)(lambda x: x.respond(
        fields=[(CC, "max-age=60")], body=x.request.get("x-forwarded-proto").encode()))
    assert bench.fill(path).body == b"http"
    with bench.node.https() as client:
        first, second = client.get(path), client.get(path)
    assert not is_hit(first) and is_hit(second) and first.body == second.body == b"https"
    # The port in Host is the connection's own default for neither: only the scheme differs.
    with h2client.H2(bench.node.https_port) as client:
        third = client.get(path)
    assert is_hit(third) and third.body == b"https"
    assert bench.origin.count(path) == 2


POISON = ["X-Forwarded-Host", "X-Forwarded-Scheme", "X-Forwarded-Port", "X-Original-URL",
          "X-Rewrite-URL", "X-HTTP-Method-Override", "X-Host", "X-Forwarded-Server", "Forwarded",
          "X-Forwarded-Prefix"]


@pytest.mark.parametrize("name", POISON)
def test_unkeyed_fields_do_not_poison(bench, name):
    path = bench.new_path()

    @bench.origin.on(path)
    def answer(x):
        x.respond(fields=[(CC, "max-age=60")], body=repr(x.request.fields).encode())

    poisoned = bench.get(path, [(name, "evil.test")])
    assert b"evil.test" not in poisoned.body
    assert is_hit(bench.get(path))


def test_fat_get_is_neither_stored_nor_answered_from_the_store(bench):
    path = bench.serve([(CC, "max-age=60")])
    fat = bench.request("GET", path, body=b"a=1")
    assert cache_status(fat)["fwd"] == "bypass" and "stored" not in cache_status(fat)
    assert bench.origin.last(path).body == b"a=1"
    assert not is_hit(bench.get(path)) and is_hit(bench.get(path))
    again = bench.request("GET", path, body=b"a=1")
    assert not is_hit(again) and bench.origin.count(path) == 3


# Unsafe methods


@pytest.mark.parametrize("method, status, goes", [
    ("POST", 200, True), ("POST", 201, True), ("POST", 204, True), ("POST", 302, True),
    ("PUT", 200, True), ("DELETE", 204, True), ("PATCH", 200, True), ("FROBNICATE", 200, True),
    ("POST", 400, False), ("POST", 404, False), ("PUT", 412, False), ("DELETE", 500, False),
    ("OPTIONS", 200, False)])
def test_unsafe_method_invalidates(bench, method, status, goes):
    path = bench.serve([(CC, "max-age=60")])
    bench.fill(path)
    served = bench.origin.handlers[path]
    bench.origin.reply(path, status)
    response = bench.request(method, path, body=b"")
    assert response.status == status
    assert cache_status(response)["fwd"] == "method"
    bench.origin.handlers[path] = served
    assert is_hit(bench.get(path)) != goes


@pytest.mark.parametrize("name", ["Location", "Content-Location"])
@pytest.mark.parametrize("value, goes", [
    ("%s", True), ("http://localhost%s", True), ("http://LOCALHOST:80%s", True),
    ("http://other.test%s", False), ("http://localhost:81%s", False),
    ("https://localhost%s", False)])
def test_unsafe_method_invalidates_what_it_names(bench, name, value, goes):
    named = bench.serve([(CC, "max-age=60")])
    bench.fill(named)
    target = bench.serve([(name, value % named)], 201)
    assert bench.request("POST", target, body=b"x").status == 201
    assert is_hit(bench.get(named)) != goes


@pytest.mark.parametrize("host, fields, goes", rows(
    ("of the group", "one.test", [("Cache-Groups", '"news"')], True),
    ("of many, and a tag", "one.test", [("Cache-Groups", '"a", "news"'), ("xkey", "news")], True),
    ("of another group", "one.test", [("Cache-Groups", '"new"')], False),
    ("of none", "one.test", [], False),
    ("a tag is no group", "one.test", [("Surrogate-Key", "news")], False),
    ("another host of the site", "two.test", [("Cache-Groups", '"news"')], False),
))
def test_group_invalidation_takes_its_group(bench, host, fields, goes):
    path = bench.serve([(CC, "max-age=60"), *fields])
    bench.fill(path, host=host)
    does = bench.serve([("Cache-Group-Invalidation", '"x", "news"')])
    assert bench.request("POST", does, body=b"x", host="one.test").status == 200
    assert is_hit(bench.get(path, host=host)) != goes
    if goes:  # what was fetched afterwards is not older
        assert is_hit(bench.get(path, host=host))


def test_groups_stay_with_a_304_that_names_others(bench):
    path, version = bench.new_path(), ['"a", "b"']

    @bench.origin.on(path)
    def answer(x):
        fields = [(CC, "max-age=0, must-revalidate"), ("ETag", '"e"'),
                  ("Cache-Groups", version[0])]
        if x.request.get("if-none-match"):
            x.respond(304, [(CC, "max-age=60"), ("ETag", '"e"'), ("Surrogate-Key", "a")])
        else:
            x.respond(200, fields, b"body")

    bench.fill(path)
    assert cache_status(bench.get(path))["fwd"] == "stale"
    assert is_hit(bench.get(path))
    does = bench.serve([("Cache-Group-Invalidation", '"a"')])
    assert bench.request("POST", does, body=b"x").status == 200
    assert not is_hit(bench.get(path))


def test_answers_to_post_are_not_stored(bench):
    path = bench.serve([(CC, "max-age=60")])
    for _ in range(2):
        assert not is_hit(bench.request("POST", path, body=b"x"))
    assert bench.origin.count(path) == 2
    assert not is_hit(bench.get(path))


# Restarts


def chunked_of(pieces):
    def answer(x):
        x.chunks(pieces, fields=[(CC, "max-age=600"), ("ETag", '"c"'), ("X-Any", "kept")])
    return answer


@pytest.fixture
def stored(make_node, make_origin):
    """A node that has many kinds of objects: (bench, {path: (fields, body)})."""
    origin = make_origin()
    bench = Bench(make_node(harness.config(origin.port)), origin)
    objects = {}
    for size in (0, 1, 4096, 70_000, 1_000_000):
        body = os.urandom(size)
        path = bench.serve([(CC, "max-age=600"), ("X-Any", "kept")], body=body)
        objects[path] = ([], body)
    for size in (100, 2_000_000):
        pieces = [os.urandom(size // 4) for _ in range(4)]
        path = bench.new_path()
        origin.on(path)(chunked_of(pieces))
        objects[path] = ([], b"".join(pieces))
    path = bench.serve([(CC, "max-age=600"), ("Vary", "X-Kind")], body=b"variant")
    objects[path] = ([("X-Kind", "a")], b"variant")
    path = bench.serve([(CC, "max-age=600")], 404, b"not here")
    objects[path] = ([], b"not here")
    for path, (fields, body) in objects.items():
        assert bench.fill(path, fields).body == body
    return bench, objects


def test_objects_outlive_a_stop(stored):
    bench, objects = stored
    before = {path: bench.get(path, fields) for path, (fields, _) in objects.items()}
    bench.origin.clear()
    assert bench.node.restart() == 0
    for path, (fields, body) in objects.items():
        hit = bench.get(path, fields)
        assert hit.get("cache-status") == "perigee; hit" and hit.body == body, path
        assert int(hit.get("age")) >= int(before[path].get("age"))
        assert hit.status == before[path].status
        for name in ("date", "x-any", "etag", "vary"):
            assert hit.all(name) == before[path].all(name)
        part = bench.get(path, [*fields, ("Range", "bytes=1-10")])
        if len(body) > 10:
            assert (part.status == 206 and part.body == body[1:11]) or part.status == 404
    assert bench.origin.count() == 0


def test_objects_outlive_a_kill_or_are_fetched_again(stored):
    bench, objects = stored
    bench.node.restart(signal.SIGKILL)
    for path, (fields, body) in objects.items():
        assert bench.get(path, fields).body == body


def test_damage_on_disk_reaches_no_client(stored):
    bench, objects = stored
    assert bench.node.stop() == 0
    file = next(pathlib.Path(bench.node.folder, "data", "cache").rglob("data.mdb"))
    content = bytearray(file.read_bytes())
    large = {path: what for path, what in objects.items() if len(what[1]) >= 4096}
    for _, body in large.values():
        at = content.find(body[-100:-50])
        assert at > 0, "the body is on disk"
        content[at] ^= 1
    file.write_bytes(content)
    bench.node.start()
    for path, (fields, body) in large.items():
        try:
            assert bench.get(path, fields).body == body, path
        except harness.Cut as cut:  # its first bytes were on their way already
            assert body.startswith(cut.response.body) and len(cut.response.body) < len(body)
        assert bench.get(path, fields).body == body, path
