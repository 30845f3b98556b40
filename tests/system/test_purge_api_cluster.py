"""The purge API with other nodes: how long it waits for them, and what the commands say of them."""

import http.client
import json
import os
import signal
import time

import pytest

import gossip
import harness
from crew import Crew
from harness import wait_until


@pytest.fixture
def crew(make_node, origin, tmp_path):
    return Crew(make_node, origin, tmp_path)


def purge(node, wait=None, tag="t"):
    """(seconds, answer) of a purge."""
    call = {"type": "tag", "selectors": [tag], **({} if wait is None else {"wait": wait})}
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", node.admin_port, timeout=90)
    try:
        connection.request("POST", "/v1/purge", json.dumps(call))
        got = connection.getresponse()
        answer = harness.AdminAnswer(got.status, got.getheaders(), got.read())
    finally:
        connection.close()
    return time.monotonic() - began, answer


def command(node, *words):
    environment = {**os.environ, "PERIGEE_ADMIN": "http://127.0.0.1:%d" % node.admin_port}
    environment.pop("PERIGEE_TOKEN_FILE", None)
    return harness.program(*words, env=environment, deadline_s=60)


def wait_unreachable(crew, name):
    """Until a purge says that it cannot be asked now."""
    wait_until(lambda: name in purge(crew["n1"], "0")[1].json["nodes"]["unreachable"],
               "%s is unreachable" % name, 60)


def test_wait_while_one_is_frozen(crew):
    # Nobody is out: however long it might wait, it need not.
    took_s, answer = purge(crew["n1"], "60s")
    assert answer.status == 200 and took_s < 10
    assert answer.json["nodes"]["applied"] == ["n1", "n2", "n3"]
    for node in crew:  # each can tell of it
        record, = node.admin("GET", "/v1/purges?since=1h").json["purges"]
        assert record["id"] == answer.json["id"] and record["node"] == "n1"
        same = node.admin("GET", "/v1/purges/" + record["id"]).json
        assert {**same, "nodes": None} == {**record, "nodes": None}  # who, may change meanwhile
    crew.freeze("n3")
    took_s, answer = purge(crew["n1"], "0")
    assert answer.status == 202 and took_s < 0.9
    assert "n3" in answer.json["nodes"]["pending"]
    took_s, answer = purge(crew["n1"], "1s")
    assert answer.status == 202 and 0.95 < took_s < 2.5
    assert answer.json["nodes"] == {"applied": ["n1", "n2"], "pending": ["n3"],
                                    "unreachable": []}
    # Not to the end: until it is taken for failed, and there is nobody to wait for.
    took_s, answer = purge(crew["n1"], "60s", "frozen")
    assert answer.status == 202 and took_s < 45
    assert answer.json["nodes"] == {"applied": ["n1", "n2"], "pending": [],
                                    "unreachable": ["n3"]}
    took_s, again = purge(crew["n1"], "60s")
    assert again.status == 202 and took_s < 2
    crew.thaw("n3")
    wait_until(lambda: crew["n1"].admin("GET", "/v1/purges/" + answer.json["id"]).json["nodes"]
               == {"applied": ["n1", "n2", "n3"], "pending": [], "unreachable": []},
               "the thawed node confirms", 60)


def test_a_key_that_is_used_while_its_call_waits(crew):
    """409 meanwhile; afterwards the same id, and how far it has come since."""
    crew.freeze("n3")
    call, key = {"type": "tag", "selectors": ["k"], "wait": "0"}, {"Idempotency-Key": "once"}
    first = crew["n1"].admin("POST", "/v1/purge", call, key)
    assert first.status == 202
    again = crew["n1"].admin("POST", "/v1/purge", call, key)
    assert again.status == 202 and again.json["id"] == first.json["id"]
    assert crew["n1"].admin("POST", "/v1/purge", {**call, "wait": "1s"}, key).status == 422
    slow, key = {**call, "selectors": ["k2"], "wait": "10s"}, {"Idempotency-Key": "slow"}
    connection = http.client.HTTPConnection("127.0.0.1", crew["n1"].admin_port, timeout=60)
    connection.request("POST", "/v1/purge", json.dumps(slow), key)
    # Its record stands in the log before it is answered.
    wait_until(lambda: "k2" in [record["selector"] for record in crew["n1"].admin(
        "GET", "/v1/purges?since=1h").json["purges"]], "the second call is under way")
    meanwhile = crew["n1"].admin("POST", "/v1/purge", slow, key)
    assert meanwhile.status == 409 and int(meanwhile.get("retry-after")) > 0
    crew.thaw("n3")
    got = connection.getresponse()
    answer = harness.AdminAnswer(got.status, got.getheaders(), got.read())
    connection.close()
    assert answer.status in (200, 202) and answer.json["id"] != first.json["id"]

    def is_confirmed():
        again = crew["n1"].admin("POST", "/v1/purge", slow, key)
        assert again.json["id"] == answer.json["id"]
        return again.status == 200

    wait_until(is_confirmed, "the thawed node confirms", 60)


def test_commands_of_a_cluster(crew):
    """Nodes are listed by id, and a purge that is not confirmed by all is explained."""
    for node in crew:
        assert [n["id"] for n in node.admin("GET", "/v1/nodes").json["nodes"]] == \
            ["n1", "n2", "n3"]
        lines = command(node, "nodes").stdout.splitlines()
        assert [line.split()[0] for line in lines] == ["ID", "n1", "n2", "n3"]
    said = command(crew["n1"], "purge", "--tag", "a", "--wait", "30s")
    assert said.returncode == 0 and "not confirmed" not in said.stdout
    crew["n3"].stop(signal.SIGKILL)
    crew.wait_state("n1", "n3", "failed")
    wait_unreachable(crew, "n3")
    said = command(crew["n1"], "purge", "--tag", "a")
    assert (said.returncode, said.stderr) == (0, "")
    for words in ("applied on:  n1, n2\n", "unreachable: n3\n", "not confirmed by 1 node yet",
                  "applies it before", "perigee nodes forget"):
        assert words in said.stdout, said.stdout
    told = json.loads(command(crew["n1"], "purge", "--tag", "a", "--json").stdout)
    assert told["nodes"]["unreachable"] == ["n3"]
    assert command(crew["n1"], "nodes", "forget", "n3").returncode == 0
    wait_until(lambda: purge(crew["n1"])[1].status == 200, "nobody waits for the forgotten")
    assert gossip.states(crew["n1"])["n2"] == "alive"
