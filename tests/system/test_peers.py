"""The port where nodes ask each other: who gets in, what is heard there."""

import os
import socket
import ssl

import pytest

import gossip
import harness
from gossip import Member, nodes, secret
from peer import Peer, Refused

SYNC = "/.perigee/sync"


def listening(make_node, tmp_path, *keys, name="n1"):
    """A member with a port for other nodes, and that port."""
    host, port = gossip.free_host(), harness.free_port()
    node = Member(make_node, name, host=host, secret_file=secret(tmp_path, *keys),
                  peer_listen="%s:%d" % (host, port))
    return node, port


def test_who_has_the_secret_gets_in(make_node, tmp_path):
    key = gossip.new_key()
    node, port = listening(make_node, tmp_path, key)
    with Peer(node.host, port, key, "n2", "n1") as other:
        assert other.ask("GET", "/.perigee/sync")["status"] == 404
        assert other.ask("POST", "/other", b"x")["status"] == 404
        assert other.ask("POST", "/.perigee/other", b"x")["status"] in (404, 503)
        # Many at once over one connection.
        streams = [other.begin("GET", "/%d" % i) for i in range(100)]
        assert all(other.end(s)["status"] == 404 for s in streams)


@pytest.mark.parametrize("what", ["another secret", "another server", "no such hint", "no name",
                                  "a long name"])
def test_others_do_not(make_node, tmp_path, what):
    key = gossip.new_key()
    node, port = listening(make_node, tmp_path, key)
    how = {"secret": key, "client": "n2", "server": "n1", "name": None}
    if what == "another secret":
        how["secret"] = gossip.new_key()
    elif what == "another server":
        how["server"] = "n3"
    elif what == "no such hint":
        how["name"] = "0123456789abcdef/n2/n1"
    elif what == "no name":
        how["name"] = "x"
    else:
        how["name"] = "0123456789abcdef/" + "n" * 200 + "/n1"
    with pytest.raises(Refused):
        Peer(node.host, port, **how)
    with Peer(node.host, port, key, "n2", "n1") as other:  # and nothing is broken by it
        assert other.ask("GET", "/x")["status"] == 404


def test_no_certificate_no_clear_text(make_node, tmp_path):
    key = gossip.new_key()
    node, port = listening(make_node, tmp_path, key)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((node.host, port), timeout=10) as sock:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(sock, server_hostname="n1")
    for bytes_ in (b"GET / HTTP/1.1\r\nHost: n1\r\n\r\n", os.urandom(4096), b"\x16\x03\x01\xff\xff"):
        with socket.create_connection((node.host, port), timeout=10) as sock:
            sock.sendall(bytes_)
            sock.shutdown(socket.SHUT_WR)
            try:
                while (got := sock.recv(65536)):
                    assert not got.startswith(b"HTTP")
            except ConnectionError:
                pass
    with Peer(node.host, port, key, "n2", "n1") as other:
        assert other.ask("GET", "/x")["status"] == 404


def test_both_secrets_of_a_rotation(make_node, tmp_path):
    new, old = gossip.new_key(), gossip.new_key()
    node, port = listening(make_node, tmp_path, new, old)
    for key in (new, old):
        with Peer(node.host, port, key, "n2", "n1") as other:
            assert other.ask("GET", "/x")["status"] == 404


def test_a_body_has_a_limit(make_node, tmp_path):
    key = gossip.new_key()
    node, port = listening(make_node, tmp_path, key)
    with Peer(node.host, port, key, "n2", "n1") as other:
        assert other.ask("POST", SYNC, bytes((4 << 20) + 1))["status"] == 413
        answer = other.ask("POST", SYNC, bytes(1 << 20))  # nonsense
        assert answer["status"] in (200, 400, 503), answer


def test_told_only_where_it_listens(make_node, tmp_path):
    """Without a secret nobody could prove to be a node: nothing listens, nothing is told."""
    port = harness.free_port()
    node = Member(make_node, "n1", peer_listen="127.0.0.1:%d" % port)
    with pytest.raises(OSError):
        socket.create_connection((node.host, port), timeout=2)
    assert not nodes(node)["n1"].get("peer")
