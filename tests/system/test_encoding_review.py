"""Corners of encoded forms: who takes none of them, what a 304 or a HEAD says, what is mixed up."""

import pytest

import codings
import harness
from cache_bench import is_hit
from form_bench import (LASTS, PROTOCOLS, FormBench, Page, coding_of, content_of,
                        names_in_vary)

MODIFIED = ("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
OVER = pytest.mark.parametrize("over", PROTOCOLS)


def bench_of(make_node, origin, **variants):
    cache = {"memory": "64MiB", "disk": {"size": "128MiB"}, "variants": variants}
    return FormBench(make_node(harness.config(origin.port, cache=cache)), origin)


@pytest.fixture
def lone(make_node, origin):
    return bench_of(make_node, origin)


class Served:
    """A page whose origin has it in `coding`, too, for those who ask for that."""

    def __init__(self, bench, coding, fields, tags=False):
        self.path, self.body = bench.new_path(), codings.text(20000)
        coded = codings.encode(coding, self.body)

        def answer(x):
            takes = coding in (x.request.get("accept-encoding") or "")
            tag = '"x-%s"' % (coding if takes else "identity")
            own = [*fields, ("Content-Type", "text/plain"), *([("ETag", tag)] if tags else [])]
            if x.request.get("if-modified-since") or tag in (x.request.get("if-none-match") or ""):
                x.respond(304, own)
            elif takes:
                x.respond(200, [*own, ("Content-Encoding", coding)], coded)
            else:
                x.respond(200, own, self.body)

        bench.origin.on(self.path)(answer)


# A client that does not take what there is


@OVER
def test_the_first_client_of_what_may_not_be_decoded(make_node, origin, over):
    """It is not the one whom the origin's encoding was asked for."""
    bench = bench_of(make_node, origin, fetch=["gzip"])
    for accepts in ((None, "zstd", "gzip", None), ("gzip", None)):
        page = Served(bench, "gzip", [("Cache-Control", "max-age=600, no-transform")])
        for accept in accepts:
            response = bench.ask(page, accept, over=over)
            assert coding_of(response) in ("identity", accept), response
            assert content_of(response) == page.body


@OVER
def test_the_first_client_of_what_nobody_asked_for(make_node, origin, over):
    """gzip was: then one more fetch, for identity, brings something else."""
    bench = bench_of(make_node, origin, fetch=["gzip"])
    path, body = bench.new_path(), codings.text(20000)

    @origin.on(path)
    def answer(x):
        fields = [("Cache-Control", "max-age=600, no-transform")]
        if x.request.get("accept-encoding") == "identity":
            x.respond(200, fields, body)
        else:
            x.respond(200, [*fields, ("Content-Encoding", "zstd")], codings.encode("zstd", body))

    response = bench.ask(Page(path, body, None), None, over=over)
    assert coding_of(response) == "identity" and response.body == body


def test_slow_clients_are_not_in_the_way_of_others(make_node, origin):
    """They hold all that may be decoded at once: others have the origin asked for identity."""
    cache = {"memory": "64MiB", "variants": {"fetch": ["gzip"]}}
    bench = FormBench(make_node(harness.config(origin.port, cache=cache)), origin)
    path, body = bench.new_path(), codings.text(1 << 20) * 12
    coded = codings.encode("gzip", body)

    @origin.on(path)
    def answer(x):
        if "gzip" in x.request.get("accept-encoding"):
            x.respond(200, [LASTS, ("Content-Encoding", "gzip")], coded)
        else:
            x.respond(200, [LASTS], b"identity")

    slow = [bench.node.http(receive_bytes=4096) for _ in range(64)]
    try:
        for number, client in enumerate(slow):
            client.send_head("GET", "%s?%d" % (path, number))
            client.more()
        for over in PROTOCOLS:
            response = bench.ask(Page(path, body, None), None, over=over)
            assert response.status == 200 and coding_of(response) == "identity"
            assert response.body == b"identity"
    finally:
        for client in slow:
            client.close()


def test_br_that_a_304_renews_for_another_client(make_node, origin):
    bench = bench_of(make_node, origin, fetch=["br"])
    page = Served(bench, "br", [("Cache-Control", "max-age=0"), MODIFIED])
    for accept in ("br", None, "br", "gzip"):
        response = bench.ask(page, accept)
        assert coding_of(response) in ("identity", accept), response
        assert content_of(response) == page.body


@pytest.mark.parametrize("wish", [[], [("Cache-Control", "no-cache")]])
def test_a_head_of_another_encoding_says_nothing(make_node, origin, wish):
    """Else anybody could make fresh objects stale."""
    bench = bench_of(make_node, origin, fetch=["br"])
    page = Served(bench, "br", [LASTS], tags=True)
    assert coding_of(bench.ask(page, "br")) == "br"
    assert coding_of(bench.ask(page, None, wish, method="HEAD")) == "identity"
    response = bench.ask(page, "br")
    assert is_hit(response) and coding_of(response) == "br"


def test_refused_identity_is_counted_once(lone):
    page = lone.page(kind="image/png")
    for count in (1, 2):
        lone.ask(page, "identity;q=0")
        assert lone.figure("perigee_identity_refused_total") == count


def test_no_transform_of_a_request(lone):
    """RFC 9111 5.2.1.6."""
    page = lone.warm(lone.page(), "zstd")
    wish = [("Cache-Control", "no-transform")]
    assert coding_of(lone.ask(page, "zstd", wish)) == "identity"
    assert coding_of(lone.ask(page, "zstd")) == "zstd"


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@OVER
def test_an_empty_body_is_no_broken_one(lone, coding, over):
    """Servers name a coding of those, too: of redirects, for example."""
    for status in (200, 404, 301):
        page = lone.page(body=b"", coding="identity", status=status,
                         fields=[("Content-Encoding", coding), ("Location", "/")])
        for accept in (None, coding, None, "br"):
            response = lone.ask(page, accept, over=over)
            assert response.status == status and response.body == b""
            assert coding_of(response) in ("identity", accept)


# What would be mixed up


@OVER
def test_no_trailers_behind_other_bytes(lone, over):
    """They may be digests of what the origin sent."""
    path, body = lone.new_path(), codings.text(20000)
    trailers = [("Repr-Digest", "sha-256=:YQ==:"), ("Digest", "a=b")]

    @lone.origin.on(path)
    def answer(x):
        x.chunks([body], fields=[("Cache-Control", "no-store" if "private" in x.request.target
                                  else "max-age=600"), ("Content-Type", "text/plain")],
                 trailers=trailers)

    for query, coding in (("?private", "identity"), ("", "zstd")):
        page = Page(path + query, body, None)
        response = lone.ask(page, "zstd", over=over)
        assert coding_of(response) == coding and content_of(response) == body
        got = [(name.lower(), value) for name, value in response.trailers]
        assert got == ([] if coding == "zstd"
                       else [(name.lower(), value) for name, value in trailers])


def test_a_date_in_if_range_is_all_forms(lone):
    """A client that has part of an encoded form must not get the rest of the identity."""
    page = lone.warm(lone.page(tag=None, fields=[MODIFIED]), "zstd")
    part = [("Range", "bytes=10-19")]
    response = lone.ask(page, "zstd", [*part, ("If-Range", MODIFIED[1])])
    assert response.status == 200 and content_of(response) == page.body
    assert lone.ask(page, "zstd", part).status == 206, "asked for in so many words"
    image = lone.page(tag=None, fields=[MODIFIED], kind="image/png")
    assert lone.ask(image, "zstd").status == 200
    assert lone.ask(image, "zstd", [*part, ("If-Range", MODIFIED[1])]).status == 206


@pytest.mark.parametrize("kind", ["text/html", "image/png"])
def test_vary_stays_when_a_304_has_its_own(lone, kind):
    """Also of a type that would not be encoded now: its forms are there."""
    path, body, kinds = lone.new_path(), codings.text(20000), ["text/html"]

    @lone.origin.on(path)
    def answer(x):
        fields = [LASTS, ("Content-Type", kinds[-1]), ("ETag", '"x"'), ("Vary", "X-A")]
        if x.request.get("if-none-match"):
            x.respond(304, fields)
        else:
            x.respond(200, fields, body)

    page = Page(path, body, '"x"')
    lone.warm(page, "zstd")
    kinds.append(kind)
    for wish in ([("Cache-Control", "no-cache")], []):
        response = lone.ask(page, "zstd", wish)
        assert content_of(response) == body and response.get("content-type") == kind
        assert names_in_vary(response) == ["accept-encoding", "x-a"]
