"""Nodes that find each other: joining, failing, leaving, keys, what is told of whom."""

import pathlib
import re
import signal
import socket

import pytest

import gossip
import harness
from gossip import Member, metric, nodes, secret, states, wait_states
from harness import wait_until


@pytest.fixture
def key_file(tmp_path):
    return secret(tmp_path, gossip.new_key())


def pair(make_node, **how):
    """Two members that know each other."""
    first = Member(make_node, "n1", **how)
    second = Member(make_node, "n2", join=[first.address], **how)
    for one in (first, second):
        wait_states(one, {"n1": "alive", "n2": "alive"})
    return first, second


def test_two_nodes_see_each_other(make_node, key_file):
    told = {"region": "eu", "place": [50.11, -8.68], "addresses": ["203.0.113.1", "2001:db8::1"],
            "capacity": 3}
    port = harness.free_port()
    first = Member(make_node, "n1", node=told, secret_file=key_file, peer_listen=":%d" % port)
    second = Member(make_node, "n2", join=[first.address], secret_file=key_file)
    for one in (first, second):
        wait_states(one, {"n1": "alive", "n2": "alive"})
    seen = nodes(second)["n1"]
    assert seen["region"] == "eu" and seen["place"] == [50.11, -8.68], seen
    assert seen["addresses"] == ["203.0.113.1", "2001:db8::1"] and seen["capacity"] == 3, seen
    assert seen["address"] == first.address and not seen["me"] and seen["perigee"], seen
    assert seen["peer"] == "%s:%d" % (first.host, port) and not seen["drain"], seen
    assert nodes(second)["n2"]["me"] and "peer" not in nodes(second)["n2"]
    wait_until(lambda: nodes(second)["n1"].get("rtt_us", 0) > 0, "a round trip is known")
    wait_until(lambda: "load" in nodes(second)["n1"], "its load is known")
    assert "event=joined seed=%s" % first.host in second.log
    wait_until(lambda: second.status()["cluster"] == {
        "on": True, "alive": 2, "failed": 0, "seeds_left": 0, "keys": "secret_file",
        "id_taken": False, "log_behind": False, "purge_members": 2, "purge_unreachable": 0,
        "purges_waiting": 0}, "it is well")


def test_nodes_for_people_and_programs(make_node, key_file):
    first, second = pair(make_node, secret_file=key_file)
    admin = ["--admin", "http://127.0.0.1:%d" % first.admin_port]
    got = harness.program("nodes", *admin)
    assert got.returncode == 0, got
    lines = got.stdout.splitlines()
    assert lines[0].split() == ["ID", "REGION", "ADDRESS", "STATE", "RTT", "LOAD", "VERSION"]
    assert any(re.match(r"n1 .*%s.* alive .*\*$" % first.address, x) for x in lines), got
    assert any(re.match(r"n2 .*%s.* alive .*\d$" % second.address, x) for x in lines), got
    got = harness.program("nodes", "--json", *admin)
    assert got.returncode == 0 and '"cluster":true' in got.stdout, got
    assert "cluster  2 alive, 0 failed" in harness.program("status", *admin).stdout
    assert metric(first, 'perigee_cluster_members{state="alive"}') == 2
    wait_until(lambda: metric(first, "perigee_cluster_packets_in_total") > 0 and
               metric(first, "perigee_cluster_packet_bytes_out_total") > 0, "packets count")
    assert metric(first, "perigee_cluster_streams_in_total") >= 1


def test_a_node_alone_lists_itself(make_node):
    node = make_node(harness.config(1))
    got = node.admin("GET", "/v1/nodes").json
    assert not got["cluster"] and [one["id"] for one in got["nodes"]] == ["node1"], got
    assert node.admin("DELETE", "/v1/nodes/n2").status == 404
    assert node.status()["cluster"] == {"on": False}
    assert b"perigee_cluster_" not in node.admin("GET", "/metrics").body
    got = harness.program("nodes", "--admin", "http://127.0.0.1:%d" % node.admin_port)
    assert got.returncode == 0 and got.stdout.startswith("no cluster"), got


def test_killed_forgotten_and_back(make_node, key_file):
    first, second = pair(make_node, secret_file=key_file)
    third = Member(make_node, "n3", join=[first.address, second.address], secret_file=key_file)
    alive = {"n1": "alive", "n2": "alive", "n3": "alive"}
    for one in (first, second, third):
        wait_states(one, alive)
    assert first.admin("DELETE", "/v1/nodes/n3").status == 409
    third.kill()
    for one in (first, second):
        wait_states(one, {**alive, "n3": "failed"}, gossip.FAILED_S)
    assert metric(first, 'perigee_cluster_members{state="failed"}') == 1
    got = harness.program("nodes", "forget", "n3", "--admin",
                          "http://127.0.0.1:%d" % first.admin_port)
    assert got.returncode == 0 and got.stdout == "forgotten n3\n", got
    for one in (first, second):
        wait_until(lambda one=one: states(one).get("n3") != "failed", "n3 is forgotten")
    third.start()
    for one in (first, second, third):
        wait_until(lambda one=one: states(one).get("n3") == "alive", "n3 is back",
                   gossip.FAILED_S)


def test_leaves_when_told_to_stop(make_node, key_file):
    first, second = pair(make_node, secret_file=key_file)
    assert second.stop(signal.SIGTERM) == 0
    wait_states(first, {"n1": "alive", "n2": "left"}, 10)
    log = second.log
    assert log.index("step=cutting") < log.index("event=cluster_leave") < log.index("step=over")
    second.start()
    for one in (first, second):
        wait_states(one, {"n1": "alive", "n2": "alive"}, gossip.FAILED_S)


def test_drains_before_it_leaves(make_node, key_file):
    first = Member(make_node, "n1", secret_file=key_file)
    host, port = gossip.free_host(), gossip.free_port()
    made = {**harness.config(1), "limits": {"drain": "1m"}}
    made["cluster"] = gossip.member("n2", host, port, [first.address],
                                    secret_file=key_file)["cluster"]
    made["node"]["id"] = "n2"
    second = make_node(made)
    wait_states(first, {"n1": "alive", "n2": "alive"})
    second.send_signal(signal.SIGTERM)
    wait_until(lambda: nodes(first)["n2"]["drain"], "others know that it drains", 10)
    assert states(first)["n2"] == "alive"
    second.send_signal(signal.SIGTERM)
    assert second.wait_exit() == 0
    wait_states(first, {"n1": "alive", "n2": "left"}, 10)


def test_members_that_serve_drain_by_default(make_node, key_file):
    made = harness.config(1)
    made["cluster"] = {"listen": "%s:%d" % (gossip.free_host(), gossip.free_port()),
                       "secret_file": key_file}
    node = make_node(made)
    node.send_signal(signal.SIGTERM)
    node.wait_log("step=announced")
    assert "step=finishing" not in node.log
    node.send_signal(signal.SIGTERM)
    assert node.wait_exit() == 0


@pytest.mark.parametrize("other", ["key", "clear"])
def test_wrong_key_is_refused_and_counted(make_node, tmp_path, key_file, other):
    first = Member(make_node, "n1", secret_file=key_file)
    how = {} if other == "clear" else {
        "secret_file": secret(tmp_path, gossip.new_key(), name="other")}
    second = Member(make_node, "n2", join=[first.address], **how)
    second.wait_log("event=join_failed seed=%s" % first.host)
    reason = {"key": "decrypt", "clear": "plain_refused"}[other]
    counted = re.compile(r'perigee_cluster_dropped_total\{reason="%s"\} [1-9]'
                         % reason)
    wait_until(lambda: counted.search(first.admin("GET", "/metrics").body.decode()),
               "what is wrongly sealed is counted")
    assert states(first) == {"n1": "alive"} and states(second) == {"n2": "alive"}


def test_secret_rotation_by_lines(make_node, tmp_path):
    old, new = gossip.new_key(), gossip.new_key()
    first = Member(make_node, "n1", secret_file=secret(tmp_path, old, new, name="both"))
    second = Member(make_node, "n2", join=[first.address],
                    secret_file=secret(tmp_path, new, old, name="turned"))
    for one in (first, second):
        wait_states(one, {"n1": "alive", "n2": "alive"})


def test_keygen_and_gossip_key(make_node, tmp_path):
    made = [harness.program("cluster", "keygen").stdout for _ in range(2)]
    assert made[0] != made[1] and re.fullmatch(r"[A-Za-z0-9+/]{43}=\n", made[0]), made
    first = Member(make_node, "n1", secret_file=secret(tmp_path, made[0].strip()))
    got = harness.program("cluster", "gossip-key", "-c", first.file)
    assert got.returncode == 0 and re.fullmatch(r"[A-Za-z0-9+/]{43}=\n", got.stdout), got
    assert got.stdout != made[0], "the secret itself is not given away"
    # Whoever has only that key is a member, too.
    second = Member(make_node, "n2", join=[first.address],
                    gossip_key_file=secret(tmp_path, got.stdout.strip(), name="gossip"))
    for one in (first, second):
        wait_states(one, {"n1": "alive", "n2": "alive"})
    again = harness.program("cluster", "gossip-key", "-c", second.file)
    assert again.stdout == got.stdout
    clear = make_node(gossip.member("n3", "127.0.0.1", gossip.free_port()), start=False)
    got = harness.program("cluster", "gossip-key", "-c", clear.file)
    assert got.returncode == 1 and "in the clear" in got.stderr and not got.stdout, got
    for arguments in ([], ["keygen", "x"], ["gossip-key"], ["gossip-key", "-c"]):
        assert harness.program("cluster", *arguments).returncode == 2


@pytest.mark.parametrize("text, why", [
    ("AAAA\n", "line 1 is no base64 of 32 bytes"),
    (gossip.new_key(16) + "\n", "line 1 is no base64 of 32 bytes"),
    (gossip.new_key() + "\nhunter2\n", "line 2 is no base64 of 32 bytes"),
    ("", "holds no key"),
    (None, "No such file"),
])
def test_bad_secret_is_refused(make_node, tmp_path, text, why):
    file = tmp_path / "secret"
    if text is not None:
        file.write_text(text)
    node = make_node(gossip.member("n1", "127.0.0.1", gossip.free_port(),
                                   secret_file=str(file)), start=False)
    got = harness.program("check", node.file)
    place = r"%s:\d+:\d+: secret_file: %s.*%s" % (node.file, file, why)
    assert got.returncode == 2 and re.search(place, got.stderr), got
    assert "hunter2" not in got.stderr
    node.start(wait=False)
    assert node.wait_exit() not in (0, None)
    assert re.search(place, node.log), node.log


def test_busy_port_is_told(make_node, key_file):
    host, port = gossip.free_host(), gossip.free_port()
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        node = make_node(gossip.member("n1", host, port, secret_file=key_file), start=False)
        with socket.socket(socket.AF_INET, kind) as taken:
            taken.bind((host, port))
            if kind == socket.SOCK_STREAM:
                taken.listen()
            node.start(wait=False)
            assert node.wait_exit() not in (0, None)
        assert re.search(r":\d+:\d+: cluster: .*%s:%d.*ddress already in use" % (host, port),
                         node.log), node.log


def test_joins_who_comes_later_by_name(make_node, key_file):
    port = gossip.free_port()
    late = Member(make_node, "n1", host="127.0.0.1", port=port, start=False,
                  secret_file=key_file)
    early = Member(make_node, "n2", join=["localhost:%d" % port], secret_file=key_file)
    early.wait_log("event=join_failed seed=localhost")
    assert early.status()["cluster"]["seeds_left"] == 1
    late.start()
    for one in (early, late):
        wait_states(one, {"n1": "alive", "n2": "alive"}, 30)
    assert early.status()["cluster"]["seeds_left"] == 0


@pytest.mark.parametrize("every", ["0.0.0.0", "[::]"])
def test_advertised_address_is_dialled(make_node, key_file, every):
    """As behind NAT: what others see is not what is bound."""
    port, outside = gossip.free_port(), gossip.free_host()
    first = Member(make_node, "n1", host=every, port=port, secret_file=key_file,
                   advertise="%s:%d" % (outside, port))
    second = Member(make_node, "n2", join=["%s:%d" % (outside, port)], secret_file=key_file)
    for one in (first, second):
        wait_states(one, {"n1": "alive", "n2": "alive"})
    assert nodes(second)["n1"]["address"] == "%s:%d" % (outside, port)
    for one, other in ((first, "n2"), (second, "n1")):
        wait_until(lambda one=one, other=other: nodes(one)[other].get("rtt_us", 0) > 0,
                   "both answer there")
    # By default an address of its own, and not all of them.
    third = Member(make_node, "n3", host=every, secret_file=key_file)
    assert re.match(r"[1-9]\d*\.\d+\.\d+\.\d+:%d$" % third.port,
                    nodes(third)["n3"]["address"])


@pytest.mark.skipif(not gossip.has_ipv6(), reason="there is no IPv6 here")
def test_ipv6(make_node, key_file):
    first, second = pair(make_node, host="[::1]", secret_file=key_file)
    assert nodes(second)["n1"]["address"] == first.address
    wait_until(lambda: nodes(second)["n1"].get("rtt_us", 0) > 0, "it answers")
    first.kill()
    wait_states(second, {"n1": "failed", "n2": "alive"}, gossip.FAILED_S)


def test_back_at_another_address_after_a_crash(make_node, key_file):
    first, second = pair(make_node, secret_file=key_file)
    second.kill()
    wait_states(first, {"n1": "alive", "n2": "failed"}, gossip.FAILED_S)
    moved = Member(make_node, "n2", join=[first.address], secret_file=key_file)
    wait_until(lambda: nodes(first)["n2"]["state"] == "alive" and
               nodes(first)["n2"]["address"] == moved.address, "n2 is taken at its new address",
               gossip.FAILED_S)


def test_reload_tells_anew(make_node, key_file):
    first, second = pair(make_node, secret_file=key_file)
    other = gossip.member("n2", second.host, second.port, [first.address],
                          node={"region": "moon", "capacity": 7}, secret_file=key_file)
    assert second.reload(other)
    wait_until(lambda: nodes(first)["n2"]["region"] == "moon" and
               nodes(first)["n2"]["capacity"] == 7, "the others hear of it")
    other["cluster"]["profile"] = "wan"
    assert not second.reload(other)
    assert "cluster.profile: cannot be changed by a reload" in second.log
    assert states(first) == {"n1": "alive", "n2": "alive"}


def test_flood_of_nonsense(make_node, key_file):
    """What no key opens is counted; members stay alive, and the admin API answers."""
    first, second = pair(make_node, secret_file=key_file)
    sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        while metric(first, 'perigee_cluster_dropped_total{reason="decrypt"}') < 20000:
            assert sent < 2000000, "most of it is not even read"
            for _ in range(1000):
                stranger.sendto(b"\x01" * 600, (first.host, first.port))
            sent += 1000
    assert first.is_healthy()
    assert states(first) == states(second) == {"n1": "alive", "n2": "alive"}
    assert metric(first, 'perigee_cluster_members{state="failed"}') == 0


def ended(stranger):
    """Until the node ends this conversation, whatever it says before."""
    stranger.settimeout(30)
    try:
        while stranger.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


def test_idle_conversations_end(make_node, key_file):
    """Strangers that connect and say nothing: bounded, timed out, and in nobody's way."""
    first = Member(make_node, "n1", secret_file=key_file)
    before = first.open_files()
    strangers = [socket.create_connection((first.host, first.port)) for _ in range(300)]
    try:
        wait_until(lambda: first.open_files() <= before + 40, "too many are turned away")
        assert first.is_healthy()
        assert all(ended(one) for one in strangers)
    finally:
        for one in strangers:
            one.close()
    second = Member(make_node, "n2", join=[first.address], secret_file=key_file)
    wait_states(second, {"n1": "alive", "n2": "alive"})


def test_large_conversations_of_strangers(make_node, key_file):
    """Who has no key shows it only at the end of what it sends: all together is bounded."""
    first = Member(make_node, "n1", secret_file=key_file)
    piece = bytes(1 << 20)
    head = b"\x0a" + (20 << 20).to_bytes(4, "big") + b"\x01"
    strangers = [socket.create_connection((first.host, first.port)) for _ in range(16)]
    cut = 0
    try:
        for i in range(19):  # all but the end of a frame each
            for one in strangers:
                try:
                    one.sendall(piece if i else head + piece)
                except ConnectionError:
                    cut += 1
        assert cut > 0
        if b"__asan_init" not in pathlib.Path(harness.binary()).read_bytes():  # keeps what is freed
            assert first.memory() < 250 << 20, first.memory()
        assert first.is_healthy()
        assert all(ended(one) for one in strangers)
    finally:
        for one in strangers:
            one.close()


def test_seed_that_has_no_address_is_a_warning(make_node, key_file):
    node = make_node(gossip.member("n1", "127.0.0.1", gossip.free_port(),
                                   ["no-such-name.invalid"], secret_file=key_file), start=False)
    got = harness.program("check", node.file)
    assert got.returncode == 0, got
    assert re.search(r":\d+:\d+: warning: \"no-such-name.invalid\" does not resolve", got.stderr)


def test_same_id_twice(make_node, key_file):
    """The others vote; whoever loses says so loudly and is out of service."""
    first, second = pair(make_node, secret_file=key_file)
    third = Member(make_node, "n3", join=[first.address], secret_file=key_file)
    wait_states(third, {"n1": "alive", "n2": "alive", "n3": "alive"})
    twin = make_node(gossip.member("n3", gossip.free_host(), gossip.free_port(),
                                   [first.address], secret_file=key_file), start=False)
    twin.start(wait=False)
    twin.wait_log("event=name_conflict .*out of service", 60)
    assert twin.admin("GET", "/v1/health").status == 503
    assert twin.status()["cluster"]["id_taken"]
    assert third.is_healthy() and states(first)["n3"] == "alive"
    assert nodes(first)["n3"]["address"] == third.address
