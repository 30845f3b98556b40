"""Session tickets: of TLS 1.3 they resume on every node of the cluster, of TLS 1.2 on none."""

import re
import subprocess

import pytest

import gossip
import harness


def make(make_node, origin, folder, name, secret, tickets=None, listener="tls"):
    cluster = {"listen": "%s:%d" % (gossip.free_host(), gossip.free_port()),
               "purge_log": {"max": "16MiB"}, **({"secret_file": secret} if secret else {})}
    tls = {"certificates": [{"cert": "@CERT@", "key": "@KEY@"}],
           **({"tickets": tickets} if tickets else {})}
    return make_node(harness.config(
        origin.port, node={"id": name, "workers": 2, "data_dir": "@FOLDER@/data"},
        listeners=[{"name": "web", "address": "127.0.0.1:@HTTP@"},
                   {"name": listener, "address": "127.0.0.1:@HTTPS@", "tls": tls}],
        cluster=cluster, limits={"drain": "100ms"}))


def visit(node, version, *arguments, name="localhost"):
    """One GET by `openssl s_client`; True: the session was resumed."""
    got = subprocess.run(
        ["openssl", "s_client", "-connect", "127.0.0.1:%d" % node.https_port, "-servername", name,
         "-alpn", "http/1.1", version, "-ign_eof", *arguments],
        input=b"GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30, check=False)
    text = got.stdout.decode(errors="replace")
    assert "200 OK" in text, text
    found = re.search(r"^(New|Reused), TLS", text, re.M)
    assert found, text
    return found.group(1) == "Reused"


def session(node, folder, version, **how):
    file = str(folder / "session.pem")
    assert not visit(node, version, "-sess_out", file, **how)
    return file


@pytest.fixture
def key(tmp_path):
    return gossip.secret(tmp_path, gossip.new_key())


def test_resumes_on_every_node(make_node, origin, tmp_path, key):
    first, second = (make(make_node, origin, tmp_path, name, key) for name in ("n1", "n2"))
    file = session(first, tmp_path, "-tls1_3")
    assert visit(second, "-tls1_3", "-sess_in", file)
    file = session(second, tmp_path, "-tls1_3")
    assert visit(first, "-tls1_3", "-sess_in", file)
    assert first.restart() == 0  # and after a restart
    assert visit(first, "-tls1_3", "-sess_in", session(second, tmp_path, "-tls1_3"))


def test_not_of_tls_1_2(make_node, origin, tmp_path, key):
    first, second = (make(make_node, origin, tmp_path, name, key) for name in ("n1", "n2"))
    file = session(first, tmp_path, "-tls1_2")
    assert visit(first, "-tls1_2", "-sess_in", file)
    assert not visit(second, "-tls1_2", "-sess_in", file)


@pytest.mark.parametrize("what", ["another secret", "no secret", "tickets: node", "listener"])
def test_not_where_they_do_not_count(make_node, origin, tmp_path, key, what):
    first = make(make_node, origin, tmp_path, "n1", key)
    other = {"another secret": {"secret": gossip.secret(tmp_path, gossip.new_key(), name="b")},
             "no secret": {"secret": None},
             "tickets: node": {"secret": key, "tickets": "node"},
             "listener": {"secret": key, "listener": "another"}}[what]
    second = make(make_node, origin, tmp_path, "n2", **other)
    assert not visit(second, "-tls1_3", "-sess_in", session(first, tmp_path, "-tls1_3"))
    file = session(second, tmp_path, "-tls1_3")
    assert not visit(first, "-tls1_3", "-sess_in", file)
    assert visit(second, "-tls1_3", "-sess_in", file)  # its own always


def test_not_for_another_name(make_node, origin, tmp_path, key):
    first, second = (make(make_node, origin, tmp_path, name, key) for name in ("n1", "n2"))
    file = session(first, tmp_path, "-tls1_3")
    assert not visit(second, "-tls1_3", "-sess_in", file, name="other.test")


def test_rotation_of_secrets(make_node, origin, tmp_path):
    new, old = gossip.new_key(), gossip.new_key()
    before = make(make_node, origin, tmp_path, "n1", gossip.secret(tmp_path, old, name="a"))
    between = make(make_node, origin, tmp_path, "n2", gossip.secret(tmp_path, new, old, name="b"))
    after = make(make_node, origin, tmp_path, "n3", gossip.secret(tmp_path, new, name="c"))
    file = session(before, tmp_path, "-tls1_3")
    assert visit(between, "-tls1_3", "-sess_in", file)
    assert not visit(after, "-tls1_3", "-sess_in", file)
    file = session(between, tmp_path, "-tls1_3")
    assert visit(after, "-tls1_3", "-sess_in", file)
    assert not visit(before, "-tls1_3", "-sess_in", file)
