"""Purges: what they name, by which door, who may, and that nothing undoes them (docs/purge.md)."""

import http.client
import json
import os
import subprocess

import pytest

import h2client
import harness
from cache_bench import Bench, cache_status, is_hit

CC = "Cache-Control"
LASTS = [(CC, "max-age=600")]
SITES = [
    {"name": "www", "hosts": ["www.test"], "purge_from": ["127.0.0.0/8"]},
    {"name": "other", "hosts": ["other.test"], "purge_from": ["192.0.2.1"]},
    {"name": "sort", "hosts": ["sort.test"], "purge_from": ["127.0.0.0/8"],
     "cache_key": {"query": {"sort": True, "drop": ["utm_*"]}}},
    {"name": "all", "hosts": ["*"]},
]


def make_bench(make_node, origin, **sections):
    return Bench(make_node(harness.config(origin.port, sites=SITES, **sections)), origin)


@pytest.fixture(scope="module")
def bench(make_module_node, make_module_origin):
    return make_bench(make_module_node, make_module_origin())


def rows(*table):
    return [pytest.param(*row[1:], id=row[0].replace(" ", "-")) for row in table]


def purge(bench, kind, *selectors, status=200, **more):
    """POST /v1/purge; its answer as JSON."""
    call = {"type": kind, **more}
    if selectors:
        call["selectors"] = list(selectors)
    answer = bench.node.admin("POST", "/v1/purge", call)
    assert answer.status == status, answer.body
    return answer.json


class Stock:
    """Some objects, each with a name, under a folder and tags of their own."""

    NAMES = ["b", "b?x", "bc", "d", "ob", "od"]

    def __init__(self, bench, validators=True):
        self.bench = bench
        self.base = bench.new_path()
        self.versions = 0
        tags = {"b": "1 2", "bc": "2", "d": "10", "ob": "1"}
        self.where = {"b": ("www.test", "/a/b"), "b?x": ("www.test", "/a/b?x=1"),
                      "bc": ("www.test", "/a/bc"), "d": ("www.test", "/c/d"),
                      "ob": ("other.test", "/a/b"), "od": ("other.test", "/c/d")}
        self.tags = {name: " ".join(self.tag(t) for t in tags.get(name, "").split())
                     for name in self.NAMES}
        for path in {path.partition("?")[0] for _, path in self.where.values()}:
            bench.origin.on(self.base + path)(self.answer(validators))

    def tag(self, name):
        return "%s-%s" % (self.base[1:], name)

    def answer(self, validators):
        def answer(x):
            self.versions += 1
            host = x.request.get("host")
            name = next(n for n, (h, p) in self.where.items()
                        if (h, self.base + p) == (host, x.request.target))
            fields = [*LASTS, ("Surrogate-Key", self.tags[name])]
            if validators:
                fields.append(("ETag", '"%d"' % self.versions))
            x.respond(200, fields, b"%s %d" % (name.encode(), self.versions))
        return answer

    def get(self, name, fields=(), **how):
        host, path = self.where[name]
        return self.bench.get(self.base + path, fields, host=host, **how)

    def fill(self):
        for name in self.NAMES:
            self.get(name)
            assert is_hit(self.get(name)), name

    def gone(self):
        """The names of what is not served from the store any more (and is fetched again)."""
        return {name for name in self.NAMES if not is_hit(self.get(name))}

    def asked(self):
        """The origin's last request for each object, by name."""
        return {name: r for r in self.bench.origin.seen() for name, (host, path)
                in self.where.items() if (r.get("host"), r.target) == (host, self.base + path)}

    def selectors(self, texts):
        return [text.format(base=self.base, tag=self.tag(""), TAG=self.tag("").upper())
                for text in texts]


WWW, ALL = {"b", "b?x", "bc", "d"}, set(Stock.NAMES)
KINDS = rows(
    ("url", "url", ["http://www.test{base}/a/b"], {}, {"b"}),
    ("url of the other scheme", "url", ["https://www.test{base}/a/b"], {}, {"b"}),
    ("url with a port", "url", ["http://www.test:8080{base}/a/b"], {}, {"b"}),
    ("url with a query", "url", ["http://www.test{base}/a/b?x=1"], {}, {"b?x"}),
    ("url with another query", "url", ["http://www.test{base}/a/b?x=2"], {}, set()),
    ("url in another writing", "url", ["HTTP://WWW.Test:80{base}/a/x/.././%62"], {}, {"b"}),
    ("several urls", "url", ["http://www.test{base}/a/b", "http://other.test{base}/c/d"], {},
     {"b", "od"}),
    ("path", "path", ["{base}/a/b"], {}, {"b", "ob"}),
    ("path of a site", "path", ["{base}/a/b"], {"site": "other"}, {"ob"}),
    ("path of a folder", "path", ["{base}/a/"], {}, set()),
    ("tag", "tag", ["{tag}1"], {}, {"b", "ob"}),
    ("second tag", "tag", ["{tag}2"], {}, {"b", "bc"}),
    ("tag of a site", "tag", ["{tag}1"], {"site": "www"}, {"b"}),
    ("tag in another case", "tag", ["{TAG}1"], {}, set()),
    ("tags", "tag", ["{tag}1", "{tag}10"], {}, {"b", "ob", "d"}),
    ("prefix", "prefix", ["http://www.test{base}/a/"], {}, {"b", "b?x", "bc"}),
    ("prefix without scheme", "prefix", ["www.test{base}/a/"], {}, {"b", "b?x", "bc"}),
    ("prefix that is no folder", "prefix", ["www.test{base}/a/b"], {}, {"b", "b?x", "bc"}),
    ("prefix that is no folder either", "prefix", ["www.test{base}/a/bc"], {}, {"bc"}),
    ("prefix of another host", "prefix", ["other.test{base}/"], {}, {"ob", "od"}),
    ("host", "host", ["www.test"], {}, WWW),
    ("host in capitals", "host", ["WWW.TEST"], {}, WWW),
    ("host of nobody", "host", ["test"], {}, set()),
    ("all", "all", [], {}, ALL),
    ("all of a site", "all", [], {"site": "other"}, {"ob", "od"}),
)


@pytest.mark.parametrize("kind, selectors, more, gone", KINDS)
def test_hard(bench, kind, selectors, more, gone):
    stock = Stock(bench)
    stock.fill()
    purge(bench, kind, *stock.selectors(selectors), **more)
    assert stock.gone() == gone
    for name in gone:  # not even to ask whether it is still the same
        assert not stock.asked()[name].all("if-none-match")
    assert stock.gone() == set()


@pytest.mark.parametrize("kind, selectors, more, gone", KINDS)
def test_soft(bench, kind, selectors, more, gone):
    stock = Stock(bench)
    stock.fill()
    purge(bench, kind, *stock.selectors(selectors), mode="soft", **more)
    assert stock.gone() == gone
    for name in gone:
        assert stock.asked()[name].all("if-none-match")
    assert stock.gone() == set()


@pytest.mark.parametrize("kind, selectors, more, gone", KINDS)
def test_dry_run(bench, kind, selectors, more, gone):
    purge(bench, "all")
    stock = Stock(bench)
    stock.fill()
    said = purge(bench, kind, *stock.selectors(selectors), dry_run=True, **more)
    assert said["dry_run"] is True and said["objects"] == len(gone) and "id" not in said
    assert stock.gone() == set()


def test_answer_and_record(bench):
    stock = Stock(bench)
    said = purge(bench, "tag", stock.tag("1"), site="www", mode="soft", wait="1s")
    assert said["mode"] == "soft"
    assert said["nodes"] == {"applied": ["node1"], "pending": [], "unreachable": []}
    answer = bench.node.admin("GET", "/v1/purges/" + said["id"])
    assert answer.status == 200
    record = answer.json
    assert record["id"] == said["id"] and record["nodes"] == said["nodes"]
    assert (record["type"], record["selector"], record["mode"], record["site"]) == \
        ("tag", stock.tag("1"), "soft", "www")
    listed = bench.node.admin("GET", "/v1/purges?since=1h").json["purges"]
    assert record in listed
    for unknown in ("0000000000000001:1", said["id"].split(":")[0] + ":999999"):
        assert bench.node.admin("GET", "/v1/purges/" + unknown).status == 404
    assert bench.node.admin("GET", "/v1/purges/rubbish").status == 400


def test_both_schemes_and_every_port_go(bench):
    path = bench.serve(LASTS)

    def get_all():
        with bench.node.https() as client:
            return [is_hit(client.get(path, host="www.test")),
                    is_hit(bench.get(path, host="www.test")),
                    is_hit(bench.get(path, host="www.test:8080"))]

    assert get_all() == [False] * 3 and get_all() == [True] * 3
    purge(bench, "url", "http://www.test" + path)
    assert get_all() == [False] * 3


def test_every_variant_goes(bench):
    path = bench.serve([*LASTS, ("Vary", "X-Kind")])
    for kind in "abc":
        bench.fill(path, [("X-Kind", kind)], host="www.test")
    purge(bench, "url", "http://www.test" + path)
    assert not any(is_hit(bench.get(path, [("X-Kind", kind)], host="www.test"))
                   for kind in "abc")


def test_a_site_s_key_rules_count_for_purges(bench):
    path = bench.serve(LASTS)
    bench.fill(path + "?b=2&a=1", host="sort.test")
    purge(bench, "url", "http://sort.test%s?utm_x=1&a=1&b=2" % path)
    assert not is_hit(bench.get(path + "?a=1&b=2", host="sort.test"))


def test_negative_and_private_answers_go_too(bench):
    path = bench.serve(LASTS, 404)
    bench.fill(path, host="www.test")
    purge(bench, "host", "www.test")
    assert not is_hit(bench.get(path, host="www.test"))


@pytest.mark.parametrize("field, value", [
    ("Surrogate-Key", "zero {tag} two"), ("Cache-Tag", "zero, {tag},two"), ("xkey", "{tag} two"),
    ("X-Magento-Tags", "zero,{tag}"), ("Cache-Groups", '"zero", "{tag}"')])
def test_tags_of_every_field(bench, field, value):
    path = bench.new_path()
    bench.serve([*LASTS, (field, value.format(tag="g" + path[1:]))], path=path)
    bench.fill(path, host="www.test")
    purge(bench, "tag", "g" + path[1:-1], "g", "zer")
    assert is_hit(bench.get(path, host="www.test"))
    purge(bench, "tag", "g" + path[1:])
    assert not is_hit(bench.get(path, host="www.test"))


def test_head_and_ranges_see_the_purge(bench):
    path = bench.serve([*LASTS, ("ETag", '"a"')])
    for method, fields in (("HEAD", []), ("GET", [("Range", "bytes=0-0")]),
                           ("GET", [("If-None-Match", '"a"')])):
        bench.get(path, host="www.test")
        assert is_hit(bench.request(method, path, fields, host="www.test"))
        purge(bench, "url", "http://www.test" + path)
        assert not is_hit(bench.request(method, path, fields, host="www.test"))


def test_only_if_cached_does_not_bring_it_back(bench):
    path = bench.serve(LASTS)
    bench.fill(path, host="www.test")
    purge(bench, "url", "http://www.test" + path)
    asked = [(CC, "only-if-cached, max-stale")]
    assert bench.get(path, asked, host="www.test").status == 504
    bench.fill(path, host="www.test")
    purge(bench, "url", "http://www.test" + path, mode="soft")
    assert bench.get(path, asked, host="www.test").status == 504


# Soft


def soft_purged(bench, control, *answers):
    path, left = bench.new_path(), [(200, [(CC, control), ("ETag", '"a"')], b"old"), *answers]

    @bench.origin.on(path)
    def answer(x):
        x.respond(*(left.pop(0) if len(left) > 1 else left[0]))

    bench.fill(path, host="www.test")
    purge(bench, "url", "http://www.test" + path, mode="soft")
    return path


def test_soft_purge_makes_it_ask_and_304_ends_that(bench):
    path = soft_purged(bench, "max-age=600", (304, [(CC, "max-age=600"), ("ETag", '"a"')], b""))
    response = bench.get(path, host="www.test")
    assert cache_status(response)["fwd-status"] == "304" and response.body == b"old"
    assert is_hit(bench.get(path, host="www.test"))


@pytest.mark.parametrize("control, served", [
    ("max-age=600, stale-while-revalidate=60", True),
    ("max-age=600, stale-while-revalidate=60, must-revalidate", False),
    ("max-age=600", False)])
def test_soft_purge_and_stale_while_revalidate(bench, control, served):
    path = soft_purged(bench, control, (200, LASTS, b"new"))
    assert (bench.get(path, host="www.test").body == b"old") == served
    bench.wait(lambda: bench.get(path, host="www.test").body == b"new", "the new one")
    assert bench.origin.count(path) == 2


@pytest.mark.parametrize("control, status", [("max-age=600, stale-if-error=60", 200),
                                             ("max-age=600", 503)])
def test_soft_purge_and_stale_if_error(bench, control, status):
    path = soft_purged(bench, control, (503, [], b"broken"))
    assert bench.get(path, host="www.test").status == status


# PURGE on a data listener


def test_purge_method(bench):
    stock = Stock(bench)
    stock.fill()
    response = bench.request("PURGE", stock.base + "/a/b", host="www.test")
    assert response.status == 200 and json.loads(response.body)["mode"] == "hard"
    assert "no-store" in response.get(CC)
    assert stock.gone() == {"b"} and not stock.asked()["b"].all("if-none-match")


@pytest.mark.parametrize("field", ["Fastly-Soft-Purge: 1", "X-Purge-Mode: soft"])
def test_purge_method_soft(bench, field):
    stock = Stock(bench)
    stock.fill()
    name, value = field.split(": ")
    assert bench.request("PURGE", stock.base + "/a/b", [(name, value)],
                         host="www.test").status == 200
    assert stock.gone() == {"b"} and stock.asked()["b"].all("if-none-match")


@pytest.mark.parametrize("field", ["Surrogate-Key", "xkey"])
def test_purge_method_by_tags_is_for_its_site(bench, field):
    stock = Stock(bench)
    stock.fill()
    tags = "%s %s" % (stock.tag("1"), stock.tag("10"))
    response = bench.request("PURGE", "/any", [(field, tags)], host="www.test")
    assert response.status == 200
    assert stock.gone() == {"b", "d"}


@pytest.mark.parametrize("field", ["Surrogate-Key", "xkey"])
@pytest.mark.parametrize("value", ["", " ", "\t"])
def test_purge_method_by_no_tag_purges_nothing(bench, field, value):
    """Somebody's empty variable is no purge of the URL."""
    stock = Stock(bench)
    stock.fill()
    response = bench.request("PURGE", stock.base + "/a/b", [(field, value)], host="www.test")
    assert response.status == 400
    assert stock.gone() == set()


def test_purge_method_over_http2(bench):
    path = bench.serve(LASTS)
    bench.fill(path, host="www.test")
    with h2client.H2(bench.node.https_port) as client:
        assert client.request("PURGE", path, authority="www.test").status == 200
    assert not is_hit(bench.get(path, host="www.test"))


def test_purge_method_is_refused_to_others(bench):
    stock = Stock(bench)
    stock.fill()
    for host in ("other.test", "any.test"):  # purge_from: somebody else, nobody
        response = bench.request("PURGE", stock.base + "/a/b", host=host)
        assert response.status == 403
    assert stock.gone() == set() and not [r for r in bench.origin.seen()
                                          if r.method == "PURGE"]


def test_purge_method_over_the_rate_has_no_effect(make_node, origin):
    bench = make_bench(make_node, origin,
                       admin={"listen": "127.0.0.1:@ADMIN@", "purge_rate": "1/s"})
    path = bench.serve(LASTS)
    bench.fill(path, host="www.test")
    answers = [bench.request("PURGE", "/none", host="www.test") for _ in range(300)]
    assert answers[0].status == 200 and answers[-1].status == 429
    assert int(answers[-1].get("retry-after")) > 0
    assert bench.request("PURGE", path, host="www.test").status == 429
    assert is_hit(bench.get(path, host="www.test"))


def test_purge_method_believes_no_forwarded_address(bench):
    path = bench.serve(LASTS)
    bench.fill(path, host="other.test")
    for field in (("X-Forwarded-For", "192.0.2.1"), ("Forwarded", "for=192.0.2.1")):
        assert bench.request("PURGE", path, [field], host="other.test").status == 403
    assert is_hit(bench.get(path, host="other.test"))


# GET /v1/cache, and the sub-commands


def variants(bench, url):
    answer = bench.node.admin("GET", "/v1/cache?url=" + url)
    assert answer.status == 200
    return answer.json["variants"]


def test_cache_info(bench):
    path = bench.serve([*LASTS, ("ETag", '"a"'), ("Cache-Tag", "x,y"), ("Age", "100")])
    url = "http://www.test" + path
    assert variants(bench, url) == []
    body = bench.fill(path, host="www.test").body
    bench.get(path, host="www.test")
    (info,) = variants(bench, url)
    assert info["state"] == "fresh" and info["tier"] == "memory" and info["status"] == 200
    assert info["etag"] == '"a"' and info["tags"] == 2 and info["hits"] == 1
    assert info["body_bytes"] == len(body) and 100 <= info["age_s"] < 160
    assert info["age_s"] + info["fresh_left_s"] == 600
    assert info["forms"][0] == {
        "encoding": "identity", "bytes": len(body), "made": False, "tier": "memory"}
    purge(bench, "url", url, mode="soft")
    assert [v["state"] for v in variants(bench, url)] == ["stale"]
    purge(bench, "url", url)
    assert [v["state"] for v in variants(bench, url)] in ([], ["purged"])


def test_cache_info_tells_variants_apart(bench):
    path = bench.serve([*LASTS, ("Vary", "X-Kind")])
    for kind in "ab":
        bench.fill(path, [("X-Kind", kind)], host="www.test")
    assert len(variants(bench, "http://www.test" + path)) == 2


@pytest.mark.parametrize("url", ["", "/x", "ftp://x/", "http://", "x"])
def test_cache_info_of_no_url(bench, url):
    assert bench.node.admin("GET", "/v1/cache?url=" + url).status == 400


def command(bench, *words, token=None, port=None):
    """A sub-command: (exit code, standard output, standard error)."""
    environment = {**os.environ,
                   "PERIGEE_ADMIN": "http://127.0.0.1:%d" % (port or bench.node.admin_port)}
    environment.pop("PERIGEE_TOKEN_FILE", None)
    if token:
        environment["PERIGEE_TOKEN_FILE"] = str(token)
    done = subprocess.run([harness.binary(), *words], env=environment, timeout=60, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("words, gone", rows(
    ("url", ["--url", "http://www.test{base}/a/b"], {"b"}),
    ("urls", ["--url", "http://www.test{base}/a/b", "http://other.test{base}/c/d"],
     {"b", "od"}),
    ("path", ["--path", "{base}/a/b"], {"b", "ob"}),
    ("tags", ["--tag", "{tag}1", "{tag}10"], {"b", "ob", "d"}),
    ("tag of a site", ["--tag={tag}1", "--site", "www"], {"b"}),
    ("prefix", ["--prefix", "www.test{base}/a/", "--wait", "5s"], {"b", "b?x", "bc"}),
    ("host", ["--host", "www.test"], WWW),
    ("all", ["--all"], ALL),
    ("dry run", ["--all", "--dry-run"], set()),
))
def test_purge_command(bench, words, gone):
    stock = Stock(bench)
    stock.fill()
    code, out, err = command(bench, "purge", *stock.selectors(words))
    assert (code, err) == (0, "") and out
    assert stock.gone() == gone


def test_purge_command_soft_in_json(bench):
    stock = Stock(bench)
    stock.fill()
    code, out, _ = command(bench, "purge", "--tag", stock.tag("2"), "--soft", "--json")
    said = json.loads(out)
    assert code == 0 and said["mode"] == "soft" and said["nodes"]["applied"] == ["node1"]
    assert stock.gone() == {"b", "bc"} and stock.asked()["b"].all("if-none-match")


@pytest.mark.parametrize("words, code", [
    (["purge"], 2), (["purge", "--url"], 2), (["purge", "--all", "x"], 2),
    (["purge", "--tag", "a", "--host", "b"], 2), (["purge", "--frob"], 2),
    (["purge", "--url", "no url"], 1), (["purge", "--tag", "a", "--site", "nobody"], 1),
    (["cache"], 2), (["cache", "get"], 2), (["cache", "get", "no url"], 1)])
def test_command_that_fails(bench, words, code):
    got, out, err = command(bench, *words)
    assert got == code and err and not out


def test_command_without_a_node(bench):
    code, _, err = command(bench, "purge", "--all", port=harness.free_port())
    assert code == 1 and err


def test_cache_commands(bench):
    path = bench.serve([*LASTS, ("ETag", '"e"')])
    url = "http://www.test" + path
    assert "not stored" in command(bench, "cache", "get", url)[1]
    bench.fill(path, host="www.test")
    code, out, _ = command(bench, "cache", "get", url)
    assert code == 0 and "fresh" in out and '"e"' in out
    code, out, _ = command(bench, "cache", "get", url, "--json")
    assert code == 0 and json.loads(out)["variants"][0]["etag"] == '"e"'
    code, out, _ = command(bench, "cache", "stat")
    assert code == 0 and "objects" in out


# What a call may be


def post(bench, body, fields=()):
    """POST /v1/purge with the bytes given."""
    connection = http.client.HTTPConnection("127.0.0.1", bench.node.admin_port, timeout=15)
    try:
        connection.request("POST", "/v1/purge", body, dict(fields))
        got = connection.getresponse()
        return harness.AdminAnswer(got.status, got.getheaders(), got.read())
    finally:
        connection.close()


TAG = b'"type":"tag","selectors":["x"]'


@pytest.mark.parametrize("body", rows(
    ("empty", b""), ("no JSON", b"x"), ("null", b"null"), ("list", b"[]"), ("text", b'"all"'),
    ("nothing", b"{}"), ("no selectors", b'{"type":"tag"}'),
    ("selectors empty", b'{"type":"tag","selectors":[]}'),
    ("selectors a text", b'{"type":"tag","selectors":"x"}'),
    ("selector a number", b'{"type":"tag","selectors":["x",1]}'),
    ("selector empty", b'{"type":"tag","selectors":["x",""]}'),
    ("selector NUL", b'{"type":"tag","selectors":["x\\u0000y"]}'),
    ("selector line end", b'{"type":"tag","selectors":["x\\ny"]}'),
    ("selector too long", b'{"type":"tag","selectors":["%s"]}' % (b"x" * 8193)),
    ("url relative", b'{"type":"url","selectors":["/x"]}'),
    ("url without host", b'{"type":"url","selectors":["http:///x"]}'),
    ("url of another scheme", b'{"type":"url","selectors":["ftp://www.test/x"]}'),
    ("path relative", b'{"type":"path","selectors":["x"]}'),
    ("host with a path", b'{"type":"host","selectors":["www.test/x"]}'),
    ("one of two is wrong", b'{"type":"url","selectors":["http://www.test/%s","/x"]}'),
    ("all with selectors", b'{"type":"all","selectors":["x"]}'),
    ("too many", b'{"type":"tag","selectors":[%s]}' % b",".join([b'"x"'] * 257)),
    ("type unknown", b'{"type":"tags","selectors":["x"]}'),
    ("type a number", b'{"type":1,"selectors":["x"]}'),
    ("mode unknown", b"{" + TAG + b',"mode":"medium"}'),
    ("mode null", b"{" + TAG + b',"mode":null}'),
    ("site unknown", b"{" + TAG + b',"site":"nobody"}'),
    ("dry_run a text", b"{" + TAG + b',"dry_run":"true"}'),
    ("wait without unit", b"{" + TAG + b',"wait":"2"}'),
    ("wait a number", b"{" + TAG + b',"wait":2}'),
    ("wait too long", b"{" + TAG + b',"wait":"1d"}'),
    ("unknown member", b"{" + TAG + b',"softly":true}'),
    ("duplicate key", b"{" + TAG + b',"type":"all"}'),
    ("trailing bytes", b"{" + TAG + b"}}"),
    ("two values", b"{" + TAG + b"}{}"),
    ("trailing comma", b"{" + TAG + b",}"),
    ("comment", b"{" + TAG + b"/**/}"),
    ("single quotes", b"{'type':'all'}"),
    ("bad UTF-8", b'{"type":"tag","selectors":["\xff"]}'),
    ("lone surrogate", b'{"type":"tag","selectors":["\\ud800"]}'),
    ("BOM", b"\xef\xbb\xbf{" + TAG + b"}"),
    ("cut", b"{" + TAG),
    ("deep", b'{"type":' + b"[" * 100000 + b"]" * 100000 + b"}"),
))
def test_malformed_call(bench, body):
    path = bench.serve([*LASTS, ("Surrogate-Key", "x")])
    bench.fill(path, host="www.test")
    answer = post(bench, body.replace(b"%s", path[1:].encode()))
    assert answer.status == 400 and answer.json["error"], answer.body
    assert is_hit(bench.get(path, host="www.test"))


def test_as_many_selectors_as_allowed(bench):
    path = bench.serve([*LASTS, ("Surrogate-Key", "many255")])
    bench.fill(path, host="www.test")
    assert purge(bench, "tag", *("many%d" % i for i in range(256)))["selectors"] == 256
    assert not is_hit(bench.get(path, host="www.test"))
    path = bench.serve([*LASTS, ("Surrogate-Key", "y" * 8000)])
    bench.fill(path, host="www.test")
    purge(bench, "tag", "y" * 8000)
    assert not is_hit(bench.get(path, host="www.test"))


def test_wrong_methods_and_pages_are_refused(bench):
    assert bench.node.admin("GET", "/v1/purge").status == 405
    assert bench.node.admin("PUT", "/v1/purge", {"type": "all"}).status == 405
    assert bench.node.admin("POST", "/v1/nothing", {}).status == 404
    page = post(bench, b'{"type":"all"}', {"Origin": "http://evil.test"})
    assert page.status == 403
    assert post(bench, b'{"type":"all"}', {"Host": "evil.test"}).status == 403


def test_idempotency_key(bench):
    path = bench.serve([*LASTS, ("Surrogate-Key", "again")])
    body, key = b'{"type":"tag","selectors":["again"]}', {"Idempotency-Key": "k1"}
    first = post(bench, body, key)
    bench.fill(path, host="www.test")
    second = post(bench, body, key)
    assert (first.status, second.status) == (200, 200)
    assert first.json["id"] == second.json["id"]
    assert is_hit(bench.get(path, host="www.test"))  # it was not done again
    assert post(bench, b'{"type":"all"}', key).status == 422
    assert post(bench, body, {"Idempotency-Key": "k2"}).json["id"] != first.json["id"]
    assert not is_hit(bench.get(path, host="www.test"))


# Who may

TOKENS = {"purger": ["purge"], "reader": ["read"], "boss": ["admin"], "www-only": ["purge"]}


@pytest.fixture
def guarded(make_node, origin, tmp_path):
    tokens = []
    for name, scopes in TOKENS.items():
        file = tmp_path / name
        file.write_text("token-of-%s-0123456789\n" % name)
        tokens.append({"name": name, "file": str(file), "scopes": scopes})
    tokens[-1]["sites"] = ["www"]
    return make_bench(make_node, origin, admin={"listen": "127.0.0.1:@ADMIN@", "tokens": tokens,
                                                "purge_rate": "10/s"})


def bearer(name):
    return {"Authorization": "Bearer token-of-%s-0123456789" % name} if name else {}


def test_tokens_and_scopes(guarded):
    node = guarded.node
    assert node.admin("GET", "/v1/health").status == 200

    def status(name, method, path, value=None):
        return node.admin(method, path, value, bearer(name)).status

    everything, info = {"type": "all"}, "/v1/cache?url=http://www.test/"
    for wrong in (None, "nobody"):
        assert status(wrong, "POST", "/v1/purge", everything) == 401
        assert status(wrong, "GET", "/v1/status") == status(wrong, "GET", info) == 401
        assert status(wrong, "GET", "/metrics") == 401
    refused = node.admin("GET", "/v1/status")
    assert refused.get("www-authenticate").startswith("Bearer")
    basic = {"Authorization": "Basic token-of-boss-0123456789"}
    assert node.admin("GET", "/v1/status", None, basic).status == 401
    assert status("purger", "POST", "/v1/purge", everything) == 200
    assert status("purger", "GET", "/v1/status") == status("purger", "GET", info) == 403
    assert status("reader", "POST", "/v1/purge", everything) == 403
    assert status("reader", "GET", "/v1/status") == status("reader", "GET", info) == 200
    assert status("reader", "POST", "/v1/reload") == 403
    assert status("boss", "POST", "/v1/purge", everything) == 200
    assert status("boss", "GET", "/v1/status") == 200


def test_token_of_one_site(guarded):
    stock = Stock(guarded)
    stock.fill()

    def status(kind, *texts, **more):
        call = {"type": kind, **more}
        if texts:
            call["selectors"] = stock.selectors(texts)
        return guarded.node.admin("POST", "/v1/purge", call, bearer("www-only")).status

    for call in (["url", "http://other.test{base}/a/b"], ["host", "other.test"],
                 ["prefix", "other.test{base}/"], ["tag", "{tag}1"], ["path", "{base}/a/b"],
                 ["all"], ["url", "http://www.test{base}/a/b", "http://other.test{base}/a/b"]):
        assert status(*call) == 403, call
    assert status("tag", "{tag}1", site="other") == 403
    assert stock.gone() == set()
    assert status("tag", "{tag}1", site="www") == 200
    assert status("url", "http://www.test{base}/c/d") == 200
    assert stock.gone() == {"b", "d"}
    assert status("all", site="www") == 200
    assert stock.gone() == WWW


def test_purge_method_with_a_token(guarded):
    stock = Stock(guarded)
    stock.fill()

    def status(host, name):
        return guarded.request("PURGE", stock.base + "/a/b", list(bearer(name).items()),
                               host=host).status

    assert status("other.test", None) in (401, 403)
    assert status("other.test", "nobody") == 401
    assert status("other.test", "reader") == status("other.test", "www-only") == 403
    assert stock.gone() == set()
    assert status("other.test", "purger") == 200
    assert stock.gone() == {"ob"}


def test_commands_with_a_token(guarded, tmp_path):
    assert command(guarded, "purge", "--all")[0] == 1
    assert command(guarded, "purge", "--all", token=tmp_path / "reader")[0] == 1
    assert command(guarded, "purge", "--all", token=tmp_path / "purger")[0] == 0
    assert command(guarded, "cache", "stat", "--token-file", str(tmp_path / "reader"))[0] == 0


def test_purge_rate(guarded):
    call = {"type": "tag", "selectors": ["t%d" % i for i in range(200)]}
    answers = [guarded.node.admin("POST", "/v1/purge", call, bearer("purger"))
               for _ in range(3)]
    assert answers[0].status == 200 and answers[-1].status == 429
    assert int(answers[-1].get("retry-after")) > 0
    # Others have a measure of their own.
    assert guarded.node.admin("POST", "/v1/purge", call, bearer("boss")).status == 200
