"""What the purge API promises on paper: doors, limits, strict input, tokens, who listens where."""

import http.client
import json
import ssl

import pytest

import gossip
import harness
from cache_bench import Bench, is_hit
from harness import wait_until

LASTS = [("Cache-Control", "max-age=600")]
SITES = [
    {"name": "www", "hosts": ["www.test"], "purge_from": ["127.0.0.0/8"]},
    {"name": "closed", "hosts": ["closed.test"], "purge_from": ["192.0.2.1"]},
    {"name": "all", "hosts": ["*"]},
]


def make_bench(make_node, origin, **sections):
    return Bench(make_node(harness.config(origin.port, sites=SITES, **sections)), origin)


@pytest.fixture(scope="module")
def bench(make_module_node, make_module_origin):
    return make_bench(make_module_node, make_module_origin())


def rows(*table):
    return [pytest.param(*row[1:], id=row[0].replace(" ", "-")) for row in table]


def post(bench, body, fields=()):
    """POST /v1/purge with the bytes given."""
    connection = http.client.HTTPConnection("127.0.0.1", bench.node.admin_port, timeout=15)
    try:
        connection.putrequest("POST", "/v1/purge")
        for name, value in [("Content-Length", str(len(body))), *fields]:
            connection.putheader(name, value)
        connection.endheaders(body)
        got = connection.getresponse()
        return harness.AdminAnswer(got.status, got.getheaders(), got.read())
    finally:
        connection.close()


def tag_call(tag, **more):
    return json.dumps({"type": "tag", "selectors": [tag], **more}).encode()


class Kept:
    """An object in the cache, with tags of its own and a validator."""

    def __init__(self, bench, tags=2):
        self.bench = bench
        self.path = bench.new_path()
        self.tags = ["%s-%d" % (self.path[1:], i) for i in range(tags)]
        bench.serve([*LASTS, ("ETag", '"e"'), ("Surrogate-Key", " ".join(self.tags))],
                    path=self.path)
        bench.fill(self.path, host="www.test")
        assert self.kept()

    def kept(self):
        return is_hit(self.bench.get(self.path, host="www.test"))

    def purge(self, *fields, path=None):
        """PURGE with these fields."""
        return self.bench.request("PURGE", path or self.path, fields, host="www.test")

    def asked_with(self):
        """The validator of the origin's last request for it."""
        return [r for r in self.bench.origin.seen() if r.target == self.path][-1].all(
            "if-none-match")


# What a PURGE's fields may say

SOFT, MODE = "Fastly-Soft-Purge", "X-Purge-Mode"


@pytest.mark.parametrize("fields, soft", rows(
    ("nothing", [], False), ("one", [(SOFT, "1")], True), ("zero", [(SOFT, "0")], False),
    ("one twice", [(SOFT, "1"), (SOFT, "1")], True),
    ("zero twice", [(SOFT, "0"), (SOFT, "0")], False),
    ("in words", [(MODE, "Soft")], True), ("hard in words", [(MODE, "hard")], False),
    ("both ways", [(SOFT, "1"), (MODE, "soft")], True),
))
def test_mode_of_a_purge(bench, fields, soft):
    kept = Kept(bench)
    answer = kept.purge(*fields)
    assert answer.status == 200
    assert json.loads(answer.body)["mode"] == ("soft" if soft else "hard")
    assert not kept.kept() and bool(kept.asked_with()) == soft


@pytest.mark.parametrize("fields", rows(
    ("garbage", [(SOFT, "yes")]), ("empty", [(SOFT, "")]), ("two", [(SOFT, "2")]),
    ("list", [(SOFT, "1, 1")]), ("long", [(SOFT, "1" * 4000)]), ("minus", [(SOFT, "-1")]),
    ("one and zero", [(SOFT, "1"), (SOFT, "0")]), ("zero and one", [(SOFT, "0"), (SOFT, "1")]),
    ("one and garbage", [(SOFT, "1"), (SOFT, "x")]), ("mode garbage", [(MODE, "medium")]),
    ("one and hard", [(SOFT, "1"), (MODE, "hard")]),
    ("zero and soft", [(MODE, "soft"), (SOFT, "0")]),
))
def test_doubtful_mode_purges_nothing(bench, fields):
    kept = Kept(bench)
    answer = kept.purge(*fields)
    assert answer.status == 400 and "soft" in json.loads(answer.body)["error"], answer.body
    assert kept.kept()


@pytest.mark.parametrize("name", ["Surrogate-Key", "xkey"])
def test_at_most_64_tags_a_purge(bench, name):
    kept = Kept(bench, tags=1)
    others = ["o%d" % i for i in range(64)]
    answer = kept.purge((name, " ".join([*others, *kept.tags])))
    assert answer.status == 400 and "64" in json.loads(answer.body)["error"], answer.body
    assert kept.kept()
    # A tag that is named again counts once.
    answer = kept.purge((name, " ".join([*others[:63], *kept.tags, *others[:63]])))
    assert answer.status == 200 and json.loads(answer.body)["selectors"] == 64
    assert not kept.kept()


def test_tags_of_both_fields_and_all_lines_go(bench):
    kept = [Kept(bench, tags=1) for _ in range(3)]
    untouched = Kept(bench)
    answer = untouched.purge(("Surrogate-Key", kept[0].tags[0]), ("xkey", kept[1].tags[0]),
                             ("xkey", kept[2].tags[0]))
    assert answer.status == 200 and json.loads(answer.body)["selectors"] == 3
    assert [k.kept() for k in kept] == [False] * 3
    assert untouched.kept()  # with tags, the URL is only the way to the site
    assert untouched.purge(("Surrogate-Key", untouched.tags[0]), ("xkey", "")).status == 200
    assert not untouched.kept()


@pytest.mark.parametrize("name", ["Surrogate-Key", "xkey", SOFT])
@pytest.mark.parametrize("value", [b"a\0b", b"a\x01b", b"a\x7fb", b"a\rb", b"a\r\n b"])
def test_control_bytes_in_a_purge(bench, name, value):
    kept = Kept(bench)
    reply = harness.raw(bench.node.http_port, b"PURGE %s HTTP/1.1\r\nHost: www.test\r\n%s: %s\r\n"
                        b"Connection: close\r\n\r\n" % (kept.path.encode(), name.encode(), value))
    assert reply.status == 400, reply
    assert kept.kept()


@pytest.mark.parametrize("name", ["Surrogate-Key", "xkey", SOFT, "X-Other"])
def test_field_over_8_kib_in_a_purge(bench, name):
    kept = Kept(bench)
    reply = harness.raw(bench.node.http_port, b"PURGE %s HTTP/1.1\r\nHost: www.test\r\n%s: %s\r\n"
                        b"\r\n" % (kept.path.encode(), name.encode(), b"x" * 8193))
    assert reply.status == 431, reply
    assert kept.kept()


# The body of a POST, and its Idempotency-Key


@pytest.mark.parametrize("wait", ["0", "0s", "500ms", "1s", "60s", "60000ms", "1m"])
def test_forms_of_wait(bench, wait):
    assert post(bench, tag_call("w", wait=wait)).status == 200


@pytest.mark.parametrize("wait", ["", "1", "60", "s", "-1s", "1.5s", " 1s", "1s ", "1 s", "61s",
                                  "60001ms", "2m", "1h", "1d", "1S", "1x", "0x1s",
                                  "99999999999999999999s", "000000000001s", 0, 1, None, True,
                                  ["1s"], {}])
def test_waits_that_are_none(bench, wait):
    kept = Kept(bench)
    answer = post(bench, tag_call(kept.tags[0], wait=wait))
    assert answer.status == 400 and "wait" in answer.json["error"]
    assert kept.kept()


def test_body_that_is_too_large(bench):
    kept = Kept(bench)
    call = tag_call(kept.tags[0])
    most = 4 << 20
    assert post(bench, call + b" " * (most + 1 - len(call))).status == 413
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    reply = harness.raw(bench.node.admin_port, b"POST /v1/purge HTTP/1.1\r\nHost: localhost\r\n"
                        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%s0\r\n\r\n"
                        % (len(call), call, chunk * 64), finish=True)
    assert reply.status == 413, reply
    assert kept.kept()
    assert post(bench, call + b" " * (most - len(call))).status == 200
    assert not kept.kept()


@pytest.mark.parametrize("depth", [1, 2000, 100000, 1000000])
def test_nesting(bench, depth):
    kept = Kept(bench)
    answer = post(bench, b'{"type":"tag","selectors":' + b"[" * depth + b'"%s"'
                  % kept.tags[0].encode() + b"]" * depth + b"}")
    assert answer.status == (200 if depth == 1 else 400)
    assert kept.kept() == (depth > 1)


@pytest.mark.parametrize("body", rows(
    ("duplicate selectors", b'{"type":"tag","selectors":["%s"],"selectors":["x"]}'),
    ("duplicate in disguise", b'{"type":"tag","selectors":["%s"],"t\\u0079pe":"tag"}'),
    ("unknown member", b'{"type":"tag","selectors":["%s"],"nodes":[]}'),
    ("member in capitals", b'{"Type":"tag","selectors":["%s"]}'),
    ("selectors nested", b'{"type":"tag","selectors":[["%s"]]}'),
    ("selectors null", b'{"type":"all","selectors":null,"site":"www"}'),
    ("site null", b'{"type":"tag","selectors":["%s"],"site":null}'),
    ("site a list", b'{"type":"tag","selectors":["%s"],"site":["www"]}'),
    ("dry_run null", b'{"type":"tag","selectors":["%s"],"dry_run":null}'),
    ("dry_run 1", b'{"type":"tag","selectors":["%s"],"dry_run":1}'),
    ("trailing NUL", b'{"type":"tag","selectors":["%s"]}\0'),
    ("trailing word", b'{"type":"tag","selectors":["%s"]} x'),
))
def test_body_that_is_not_strict(bench, body):
    kept = Kept(bench)
    answer = post(bench, body.replace(b"%s", kept.tags[0].encode()))
    assert answer.status == 400 and answer.json["error"], answer.body
    assert kept.kept()


@pytest.mark.parametrize("keys", rows(
    ("empty", [""]), ("long", ["k" * 256]), ("two", ["k3", "k4"]), ("the same twice", ["k5"] * 2)))
def test_keys_that_are_none(bench, keys):
    kept = Kept(bench)
    answer = post(bench, tag_call(kept.tags[0]), [("Idempotency-Key", key) for key in keys])
    assert answer.status == 400 and "Idempotency-Key" in answer.json["error"]
    assert kept.kept()


# Over the rate


@pytest.fixture
def slow(make_node, origin):
    return make_bench(make_node, origin,
                      admin={"listen": "127.0.0.1:@ADMIN@", "purge_rate": "1/s"})


def test_rate_of_both_doors_is_one(slow):
    """256 may come at once; then nothing is purged, by neither door, until there is room."""
    kept = Kept(slow)
    call = {"type": "tag", "selectors": ["t%d" % i for i in range(255)]}
    assert slow.node.admin("POST", "/v1/purge", call).status == 200
    many = ("Surrogate-Key", " ".join(["x", *(kept.tags)]))
    for _ in range(2):
        answer = kept.purge(many)  # that is two or three too many
        assert answer.status == 429 and 1 <= int(answer.get("retry-after")) <= 3, answer
        assert "purge_rate" in json.loads(answer.body)["error"]
    answer = slow.node.admin("POST", "/v1/purge", {**call, "dry_run": True})
    assert answer.status == 429  # to count is work, too
    answer = slow.node.admin("POST", "/v1/purge", call)
    assert answer.status == 429 and 200 <= int(answer.get("retry-after")) <= 256
    assert kept.kept()
    wait_until(lambda: kept.purge(many).status == 200, "there is room again")
    assert not kept.kept()


def test_each_token_has_a_measure_of_its_own(make_node, origin, tmp_path):
    bench = make_bench(make_node, origin, admin=admin_of("127.0.0.1:@ADMIN@", tmp_path,
                                                         purge_rate="1/s"))
    kept = Kept(bench)
    bearer = ("Authorization", "Bearer token-of-ops-0123456789")
    call = {"type": "tag", "selectors": ["t%d" % i for i in range(256)], "site": "www"}
    assert bench.node.admin("POST", "/v1/purge", call, dict([bearer])).status == 200
    many = ("xkey", " ".join(["x%d" % i for i in range(62)] + kept.tags))
    assert kept.purge(many, bearer).status == 429
    # What was refused is not remembered as done, nor is its key.
    key = {"Idempotency-Key": "refused", **dict([bearer])}
    assert bench.node.admin("POST", "/v1/purge", call, key).status == 429
    assert kept.kept()
    assert kept.purge(many).status == 200  # by its address, and without a token
    assert not kept.kept()
    one = {**call, "selectors": ["other"]}
    wait_until(lambda: bench.node.admin("POST", "/v1/purge", one, key).status == 200,
               "there is room again")


# Where admin may listen


def admin_of(listen, tmp_path=None, tls=False, **more):
    section = {"listen": listen, **more}
    if tmp_path:
        file = tmp_path / "token"
        file.write_text("token-of-ops-0123456789\n")
        section["tokens"] = [{"name": "ops", "file": str(file), "scopes": ["purge"],
                              "sites": ["www"]}]
    if tls:
        section["tls"] = {"cert": "@CERT@", "key": "@KEY@"}
    return section


@pytest.mark.parametrize("listen", ["0.0.0.0:@ADMIN@", "[::]:@ADMIN@", ":@ADMIN@",
                                    "192.0.2.1:@ADMIN@"])
@pytest.mark.parametrize("tokens, tls, needs", [(True, False, ["tls"]), (False, True, ["tokens"]),
                                                (False, False, ["tls", "tokens"])])
def test_off_loopback_needs_tls_and_tokens(make_node, tmp_path, listen, tokens, tls, needs):
    node = make_node(harness.config(1, admin=admin_of(listen, tokens and tmp_path, tls)),
                     start=False)
    node.start(wait=False)
    assert node.wait_exit() == 2
    told = harness.program("check", node.file)
    assert told.returncode == 2
    for text in (node.log, told.stdout + told.stderr):
        for need in ("tls", "tokens"):
            said = '"admin" off loopback needs "%s"' % need in text
            assert said == (need in needs), text


def test_a_reload_does_not_open_it_either(make_node, origin, tmp_path):
    node = make_node(harness.config(origin.port))
    assert not node.reload(harness.config(origin.port, admin=admin_of("0.0.0.0:@ADMIN@")))
    node.wait_log("off loopback needs")
    assert node.reload(harness.config(origin.port))


def test_off_loopback_with_tls_and_tokens(make_node, origin, certs, tmp_path):
    """... it serves, to who has a token, what the token's scopes and sites are for."""
    bench = Bench(make_node(harness.config(
        origin.port, sites=SITES, admin=admin_of("0.0.0.0:@ADMIN@", tmp_path, True)),
        start=False), origin)
    bench.node.start(wait=False)

    def ask(method, path, token=None, body=None):
        context = ssl.create_default_context(cafile=certs.ca)
        connection = http.client.HTTPSConnection("localhost", bench.node.admin_port, timeout=15,
                                                 context=context)
        try:
            connection.request(method, path, body and json.dumps(body),
                               {"Authorization": "Bearer " + token} if token else {})
            return connection.getresponse().status
        finally:
            connection.close()

    def is_up():
        try:
            return ask("GET", "/v1/health") == 200
        except OSError:
            return False

    wait_until(is_up, "it answers over TLS")
    kept = Kept(bench)
    ops = "token-of-ops-0123456789"
    www, others, everything = ({"type": "url", "selectors": ["http://%s%s" % (host, kept.path)]}
                               for host in ("www.test", "closed.test", "any.test"))
    for token in (None, "token-of-nobody-01234567", ops + "0", ops[:-1], ops.upper()):
        assert ask("POST", "/v1/purge", token, www) == 401
    for body in (others, everything, {"type": "all"}, {"type": "tag", "selectors": kept.tags}):
        assert ask("POST", "/v1/purge", ops, body) == 403
    assert ask("GET", "/v1/status", ops) == 403
    assert kept.kept()
    assert ask("POST", "/v1/purge", ops, www) == 200
    assert not kept.kept()
    plain = harness.raw(bench.node.admin_port, b"GET /v1/health HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b" 200 " not in plain


def test_purge_method_outside_a_token_s_sites(make_node, origin, tmp_path):
    bench = make_bench(make_node, origin, admin=admin_of("127.0.0.1:@ADMIN@", tmp_path))
    bearer = [("Authorization", "Bearer token-of-ops-0123456789")]
    for host, fields, status in (("closed.test", [], 403), ("closed.test", bearer, 403),
                                 ("any.test", bearer, 403), ("www.test", bearer, 200),
                                 ("closed.test", [("Authorization", "Bearer x")], 401)):
        for more in ([], [("xkey", "a")]):
            assert bench.request("PURGE", "/p", [*fields, *more], host=host).status == status


# Too many tags to be kept


def not_stored_for_tags(bench):
    return gossip.metric(bench.node, 'perigee_cache_not_stored_total{reason="tags"}')


@pytest.mark.parametrize("lines, stored", rows(
    ("64 tags", [" ".join("a%d" % i for i in range(64))], True),
    ("65 tags", [" ".join("a%d" % i for i in range(65))], False),
    ("65 tags on lines", ["a%d" % i for i in range(65)], False),
    ("64 KiB", ["a%d" % i + "b" * 7000 for i in range(9)], True),
    ("over 64 KiB", ["a%d" % i + "b" * 7000 for i in range(10)], False),
))
def test_what_has_too_many_tags_is_counted(bench, lines, stored):
    before = not_stored_for_tags(bench)
    path = bench.serve([*LASTS, *(("Surrogate-Key", line) for line in lines)])
    for _ in range(2):
        response = bench.get(path, host="www.test")
        assert response.status == 200
    assert is_hit(response) == stored
    # The second request of what is known as not to be kept need not count again.
    assert 0 < not_stored_for_tags(bench) - before <= 2 if not stored else \
        not_stored_for_tags(bench) == before


# Counts, and the log


def test_dry_run_counts_and_leaves_no_record(bench):
    kept = [Kept(bench, tags=1) for _ in range(3)]
    since = bench.node.admin("GET", "/v1/purges?since=0").json["purges"]
    tags = [k.tags[0] for k in kept]
    for selectors, objects in ((tags, 3), (tags[:1] * 2, 1), (["nobody's"], 0)):
        answer = bench.node.admin("POST", "/v1/purge", {"type": "tag", "selectors": selectors,
                                                        "dry_run": True})
        assert answer.status == 200 and answer.json["objects"] == objects
        assert answer.json["selectors"] == len(selectors) and "id" not in answer.json
    assert all(k.kept() for k in kept)
    assert bench.node.admin("GET", "/v1/purges?since=0").json["purges"] == since


def test_the_log_since(bench):
    kept = Kept(bench)
    made = post(bench, tag_call(kept.tags[0])).json

    def listed(query):
        answer = bench.node.admin("GET", "/v1/purges" + query)
        assert answer.status == 200
        return [record["id"] for record in answer.json["purges"]]

    record = bench.node.admin("GET", "/v1/purges/" + made["id"]).json
    at = record["accepted_at"]
    assert made["id"] in listed("") and made["id"] in listed("?since=1h")
    assert made["id"] in listed("?since=%d" % at)
    assert made["id"] not in listed("?since=%d" % (at + 1)) and not listed("?since=%d" % (at + 99))
    assert len(listed("?since=0&limit=1")) == 1
    for query in ("since=", "since=x", "since=-1", "since=1.5h", "since=1h%20", "since=%zz",
                  "limit=0", "limit=x", "limit=99999999"):
        assert bench.node.admin("GET", "/v1/purges?" + query).status == 400, query
