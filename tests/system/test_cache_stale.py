"""Stale objects: asking "still the same?", and who may have them without (RFC 9111 4.2.4, 4.3,
RFC 5861). An object is made stale by the Age it arrives with, so that nothing waits."""

import threading

import pytest

import harness
from cache_bench import Bench, cache_status, is_hit

CC = "Cache-Control"
SITES = [{"name": "all", "hosts": ["*"]},
         {"name": "grace", "hosts": ["grace.test"], "ttl": {"grace": "100s"}}]


@pytest.fixture(scope="module")
def bench(make_module_node, make_module_origin):
    origin = make_module_origin()
    return Bench(make_module_node(harness.config(origin.port, sites=SITES)), origin)


def rows(*table):
    return [pytest.param(*row[1:], id=row[0].replace(" ", "-")) for row in table]


def script(bench, *answers):
    """A path with one answer after the other, the last one for ever: (status, fields, body)
    or a function of the exchange."""
    path, left = bench.new_path(), list(answers)

    @bench.origin.on(path)
    def answer(x):
        what = left.pop(0) if len(left) > 1 else left[0]
        if callable(what):
            what(x)
        else:
            x.respond(*what)

    return path


def stale(control="max-age=100", *fields):
    """An answer that is 10 s too old as it comes, unless it lives longer than 100 s."""
    return (200, [(CC, control), ("Age", "110"), *fields], b"old")


FRESH = (200, [(CC, "max-age=100")], b"new")
SAME = (304, [(CC, "max-age=100"), ("ETag", '"a"')], b"")


# Validation


def test_validation_by_tag(bench):
    path = script(bench, stale("max-age=100", ("ETag", '"a"'), ("X-Old", "1"), ("X-Any", "1"),
                               ("X-Any", "2"), ("Content-Type", "x/y")),
                  (304, [(CC, "max-age=200"), ("ETag", '"a"'), ("X-Any", "3"), ("X-New", "4"),
                         ("Content-Encoding", "gzip"), ("Content-Range", "bytes 0-1/2"),
                         ("Date", "Thu, 01 Jan 2026 00:00:00 GMT"), ("Age", "0")], b""))
    bench.fill(path)
    response = bench.get(path)
    said = cache_status(response)
    assert said["fwd"] == "stale" and said["fwd-status"] == "304" and "stored" in said
    asked = bench.origin.last(path)
    assert asked.get("if-none-match") == '"a"' and not asked.all("if-modified-since")
    for got in (response, bench.get(path)):
        assert got.status == 200 and got.body == b"old" and got.get("content-length") == "3"
        assert got.get(CC) == "max-age=200" and got.get("etag") == '"a"'
        assert got.get("x-old") == "1" and got.all("x-any") == ["3"] and got.get("x-new") == "4"
        assert got.get("content-type") == "x/y"
        assert not got.all("content-encoding") and not got.all("content-range")
        assert got.all("date") == ["Thu, 01 Jan 2026 00:00:00 GMT"]


def test_validated_object_is_fresh_again(bench):
    path = script(bench, stale("max-age=100", ("ETag", '"a"')), SAME)
    bench.fill(path)
    bench.get(path)
    hit = bench.get(path)
    assert is_hit(hit) and hit.body == b"old" and int(hit.get("age")) < 60
    assert bench.origin.count(path) == 2


def test_validation_by_date(bench):
    date = "Thu, 01 Jan 2026 00:00:00 GMT"
    path = script(bench, stale("max-age=100", ("Last-Modified", date)),
                  (304, [(CC, "max-age=100"), ("Last-Modified", date)], b""))
    bench.fill(path)
    assert bench.get(path).body == b"old"
    asked = bench.origin.last(path)
    assert asked.get("if-modified-since") == date and not asked.all("if-none-match")
    assert is_hit(bench.get(path))


def test_validation_finds_another_version(bench):
    path = script(bench, stale("max-age=100", ("ETag", '"a"')),
                  (200, [(CC, "max-age=100"), ("ETag", '"b"')], b"new"))
    bench.fill(path)
    assert bench.get(path).body == b"new"
    hit = bench.get(path)
    assert is_hit(hit) and hit.body == b"new" and hit.get("etag") == '"b"'


def test_no_validator_no_question(bench):
    path = script(bench, stale("max-age=100, stale-if-error=1000"), FRESH)
    bench.fill(path)
    assert bench.get(path).body == b"new"
    asked = bench.origin.last(path)
    assert not asked.all("if-none-match") and not asked.all("if-modified-since")


def test_304_about_something_else_is_not_believed(bench):
    path = script(bench, stale("max-age=100", ("ETag", '"a"')),
                  (304, [(CC, "max-age=100"), ("ETag", '"z"')], b""),
                  (200, [(CC, "max-age=100"), ("ETag", '"z"')], b"new"))
    bench.fill(path)
    response = bench.get(path)
    assert response.status == 200 and response.body == b"new"
    assert is_hit(bench.get(path)) and bench.get(path).body == b"new"


def test_304_that_nobody_asked_for_is_an_error(bench):
    path = script(bench, SAME)
    response = bench.get(path)
    assert response.status == 502 and response.all("proxy-status")


def test_no_cache_asks_every_time(bench):
    path = script(bench, (200, [(CC, "no-cache, max-age=100"), ("ETag", '"a"')], b"old"),
                  (304, [(CC, "no-cache, max-age=100"), ("ETag", '"a"')], b""))
    bench.fill(path)
    for count in (2, 3, 4):
        response = bench.get(path)
        assert response.status == 200 and response.body == b"old" and not is_hit(response)
        assert bench.origin.count(path) == count
        assert bench.origin.last(path).get("if-none-match") == '"a"'


def test_304_may_take_the_right_to_store_away(bench):
    path = script(bench, stale("max-age=100", ("ETag", '"a"')),
                  (304, [(CC, "no-store"), ("ETag", '"a"')], b""), FRESH)
    bench.fill(path)
    assert bench.get(path).body == b"old"
    assert not is_hit(bench.get(path))


def test_clients_own_condition_is_answered_after_ours(bench):
    path = script(bench, stale("max-age=100", ("ETag", '"a"')), SAME)
    bench.fill(path)
    response = bench.get(path, [("If-None-Match", '"a"')])
    assert response.status == 304 and response.get("etag") == '"a"'
    other = script(bench, stale("max-age=100", ("ETag", '"a"')), SAME)
    bench.fill(other)
    response = bench.get(other, [("If-None-Match", '"mine"')])
    assert response.status == 200 and response.body == b"old"
    assert bench.origin.last(other).get("if-none-match") == '"a"'


def test_many_who_find_it_stale_ask_once(bench):
    go_on = threading.Event()

    def held(x):
        x.wait(go_on)
        x.respond(*SAME)

    path = script(bench, stale("max-age=100", ("ETag", '"a"')), held)
    bench.fill(path)
    clients = [bench.node.http() for _ in range(20)]
    for client in clients:
        client.send_head("GET", path)
    bench.origin.wait_for(2, path)
    go_on.set()
    for client in clients:
        response = client.response()
        assert response.status == 200 and response.body == b"old"
        client.close()
    assert bench.origin.count(path) == 2


# stale-while-revalidate


def test_stale_is_served_at_once_and_renewed_behind(bench):
    go_on = threading.Event()

    def held(x):
        x.wait(go_on)
        x.respond(*FRESH)

    path = script(bench, stale("max-age=100, stale-while-revalidate=600"), held)
    bench.fill(path)
    for _ in range(5):
        response = bench.get(path)  # the origin says nothing yet
        assert is_hit(response) and response.body == b"old"
        assert int(response.get("age")) >= 110 and int(cache_status(response)["ttl"]) <= -10
    bench.origin.wait_for(2, path)
    go_on.set()
    bench.wait(lambda: bench.get(path).body == b"new", "the new answer")
    assert bench.origin.count(path) == 2
    assert bench.get(path).get("cache-status") == "perigee; hit"


def test_refresh_behind_asks_with_the_validator(bench):
    path = script(bench, stale("max-age=100, stale-while-revalidate=600", ("ETag", '"a"')), SAME)
    bench.fill(path)
    assert bench.get(path).body == b"old"
    assert bench.origin.wait_for(2, path)[1].get("if-none-match") == '"a"'
    bench.wait(lambda: bench.get(path).get("cache-status") == "perigee; hit", "fresh again")
    assert bench.origin.count(path) == 2


def test_refresh_behind_that_fails_leaves_the_stale_one(bench):
    path = script(bench, stale("max-age=100, stale-while-revalidate=600"), (503, [], b"no"),
                  lambda x: x.close(), FRESH)
    bench.fill(path)

    def is_new():
        response = bench.get(path)
        assert response.status == 200 and response.body in (b"old", b"new")
        return response.body == b"new"

    bench.wait(is_new, "a refresh that succeeds")


@pytest.mark.parametrize("control", [
    "max-age=100, stale-while-revalidate=5",  # 10 s too old
    "max-age=100, stale-while-revalidate=600, must-revalidate",
    "max-age=100, stale-while-revalidate=600, proxy-revalidate",
    "max-age=100, stale-while-revalidate=600, no-cache",
    "max-age=100, stale-while-revalidate=x"])
def test_stale_while_revalidate_is_refused(bench, control):
    path = script(bench, stale(control, ("ETag", '"a"')), FRESH)
    bench.fill(path)
    response = bench.get(path)
    assert response.body == b"new" and cache_status(response)["fwd"] == "stale"


def test_s_maxage_with_its_window_may_be_served_stale(bench):
    path = script(bench, stale("s-maxage=100, stale-while-revalidate=600"), FRESH)
    bench.fill(path)
    assert bench.get(path).body == b"old"


# stale-if-error


def answer_of(status):
    return (status, [(CC, "max-age=100")], b"broken")


FAILURES = rows(("500", answer_of(500)), ("502", answer_of(502)), ("503", answer_of(503)),
                ("504", answer_of(504)), ("closed", lambda x: x.close()),
                ("reset", lambda x: x.reset()),
                ("cut in the head", lambda x: (x.send(b"HTTP/1.1 200 OK\r\nX-"), x.close())),
                ("garbage", lambda x: (x.send(b"no HTTP\r\n\r\n"), x.close())))


@pytest.mark.parametrize("failure", FAILURES)
def test_stale_if_error(bench, failure):
    path = script(bench, stale("max-age=100, stale-if-error=600"), failure)
    bench.fill(path)
    response = bench.get(path)
    assert response.status == 200 and response.body == b"old"
    assert cache_status(response)["fwd"] == "stale" and int(response.get("age")) >= 110
    assert bench.get(path).body == b"old"  # and it stays


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("control", [
    "max-age=100",
    "max-age=100, stale-if-error=5",
    "max-age=100, stale-if-error=600, must-revalidate",
    "max-age=100, stale-if-error=600, proxy-revalidate",
    "max-age=100, stale-if-error=600, no-cache",
    "s-maxage=100"])
def test_stale_if_error_is_refused(bench, control, failure):
    path = script(bench, stale(control, ("ETag", '"a"')), failure)
    bench.fill(path)
    response = bench.get(path)
    if callable(failure):
        assert response.status in (502, 504) and response.all("proxy-status")
    else:
        assert response.status == failure[0] and response.body == b"broken"


@pytest.mark.parametrize("status", [400, 403, 404, 410, 429, 501, 505])
def test_other_errors_are_the_origins_word(bench, status):
    path = script(bench, stale("max-age=100, stale-if-error=600"), (status, [], b"said"))
    bench.fill(path)
    response = bench.get(path)
    assert response.status == status and response.body == b"said"


def test_client_may_ask_for_stale_if_error(bench):
    path = script(bench, stale("max-age=100", ("ETag", '"a"')), answer_of(503))
    bench.fill(path)
    assert bench.get(path, [(CC, "stale-if-error=600")]).body == b"old"
    assert bench.get(path, [(CC, "stale-if-error=5")]).status == 503


def test_recovered_origin_is_believed_again(bench):
    path = script(bench, stale("max-age=100, stale-if-error=600"), answer_of(503), FRESH)
    bench.fill(path)
    assert bench.get(path).body == b"old"
    assert bench.get(path).body == b"new"


@pytest.mark.parametrize("control, age, served", rows(
    ("within", "max-age=100", 150, True), ("beyond", "max-age=100", 250, False),
    ("forbidden", "max-age=100, must-revalidate", 150, False),
    ("s-maxage", "s-maxage=100", 150, False),
    ("s-maxage with a window", "s-maxage=100, stale-if-error=10", 150, False),
    ("no-cache", "no-cache, max-age=200", 150, False)))
def test_grace_of_a_site(bench, control, age, served):
    path = script(bench, (200, [(CC, control), ("Age", age), ("ETag", '"a"')], b"old"),
                  answer_of(503))
    bench.fill(path, host="grace.test")
    response = bench.get(path, host="grace.test")
    assert response.status == (200 if served else 503)


@pytest.mark.parametrize("control, status", [("max-age=100, stale-if-error=600", 200),
                                             ("max-age=100", 504)])
def test_silent_origin(make_node, make_origin, control, status):
    origin = make_origin()
    bench = Bench(make_node(harness.config(
        origin.port, limits={"timeouts": {"origin_first_byte": "300ms"}})), origin)
    go_on = threading.Event()
    path = script(bench, stale(control, ("ETag", '"a"')), lambda x: x.wait(go_on))
    bench.fill(path)
    response = bench.get(path)
    go_on.set()
    assert response.status == status
    if status == 504:
        assert response.all("proxy-status") and response.body != b"old"


@pytest.mark.parametrize("control, status", [("max-age=100, stale-if-error=600", 200),
                                             ("max-age=100", 502)])
def test_origin_that_is_gone(make_node, make_origin, control, status):
    origin = make_origin()
    bench = Bench(make_node(harness.config(origin.port)), origin)
    path = script(bench, stale(control, ("ETag", '"a"')), FRESH)
    bench.fill(path)
    origin.close()
    for _ in range(2):
        assert bench.get(path).status == status


def test_own_errors_are_not_stored(make_node, make_origin):
    origin = make_origin()
    bench = Bench(make_node(harness.config(origin.port, sites=[
        {"hosts": ["*"], "ttl": {"default": "60s", "negative": "60s", "force": "60s"}}])), origin)
    path = script(bench, lambda x: x.close(), lambda x: x.close(), FRESH)
    assert bench.get(path).status == 502
    assert bench.wait(lambda: bench.get(path).status == 200, "an answer")
