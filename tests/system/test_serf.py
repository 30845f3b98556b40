"""The same cluster with Debian's own serf agents: what they do with us, and we with them."""

import json
import re
import signal

import pytest

import gossip
import harness
from gossip import Agent, Member, nodes, secret, states, wait_states
from harness import wait_until

pytestmark = pytest.mark.skipif(not gossip.has_serf(), reason="serf is not installed")


@pytest.fixture
def make_agent(tmp_path):
    agents = []

    def make(name, start=True, **how):
        agent = Agent(tmp_path, name, **how)
        agents.append(agent)
        return agent.start() if start else agent

    yield make
    for agent in agents:
        agent.close()


class Keys:
    """The key of a cluster as nodes and as agents want it; none: in the clear."""

    def __init__(self, folder, key):
        self.key = key
        self.node = {"gossip_key_file": secret(folder, key, name="gossip")} if key else {}


@pytest.fixture(params=["clear", "sealed"])
def keys(request, tmp_path):
    return Keys(tmp_path, gossip.new_key() if request.param == "sealed" else None)


@pytest.fixture
def sealed(tmp_path):
    return Keys(tmp_path, gossip.new_key())


def mixed(make_node, make_agent, keys, agent_count=2, node_count=2):
    """Agents a1.. and nodes n1..; each joins the one before it. All know all."""
    members, seed = [], []
    for i in range(max(agent_count, node_count)):
        if i < agent_count:
            members.append(make_agent("a%d" % (i + 1), join=seed, key=keys.key))
            seed = [members[-1].address]
        if i < node_count:
            members.append(Member(make_node, "n%d" % (i + 1), join=seed, **keys.node))
            seed = [members[-1].address]
    agents = [one for one in members if isinstance(one, Agent)]
    ours = [one for one in members if isinstance(one, Member)]
    all_alive(agents, ours)
    return agents, ours


def names_of(agents, ours):
    return [one.name for one in agents] + [one.id for one in ours]


def all_alive(agents, ours, deadline_s=harness.DEADLINE_S):
    wanted = {name: "alive" for name in names_of(agents, ours)}
    for agent in agents:
        agent.wait_states(wanted, deadline_s)
    for node in ours:
        wait_states(node, wanted, deadline_s)


def test_node_joins_an_agent(make_node, make_agent, keys):
    agent = make_agent("a1", key=keys.key)
    node = Member(make_node, "n1", join=[agent.address], node={"region": "eu"}, **keys.node)
    all_alive([agent], [node])
    seen = agent.members()["n1"]
    assert seen["addr"] == node.address, seen
    assert seen["tags"]["id"] == "n1" and seen["tags"]["region"] == "eu", seen
    assert seen["protocol"]["max"] >= 4, seen
    told = nodes(node)["a1"]
    assert not told["perigee"] and told["address"] == agent.address, told


def test_agent_joins_a_node(make_node, make_agent, keys):
    node = Member(make_node, "n1", **keys.node)
    agent = make_agent("a1", join=[node.address], key=keys.key)
    all_alive([agent], [node])
    late = make_agent("a2", key=keys.key)
    got = late.serf("join", node.address)
    assert got.returncode == 0 and "Successfully joined cluster by contacting 1 nodes" in got.stdout
    all_alive([agent, late], [node])


def test_agent_with_another_key_is_kept_out(make_node, make_agent, sealed):
    node = Member(make_node, "n1", **sealed.node)
    stranger = make_agent("a1", key=gossip.new_key())
    assert stranger.serf("join", node.address).returncode != 0
    clear = make_agent("a2")
    assert clear.serf("join", node.address).returncode != 0
    assert states(node) == {"n1": "alive"}
    assert stranger.states() == {"a1": "alive"} and clear.states() == {"a2": "alive"}


def test_three_agents_and_two_nodes_agree(make_node, make_agent, sealed):
    agents, ours = mixed(make_node, make_agent, sealed, agent_count=3)
    wanted = {one.name: one.address for one in agents} | {one.id: one.address for one in ours}
    for agent in agents:
        assert {name: one["addr"] for name, one in agent.members().items()} == wanted
    for node in ours:
        assert {name: one["address"] for name, one in nodes(node).items()} == wanted


def test_events_each_way(make_node, make_agent, keys):
    agents, ours = mixed(make_node, make_agent, keys)
    for i in range(20):
        got = agents[0].serf("event", "-coalesce=false", "deploy", "number-%d" % i)
        assert got.returncode == 0, got
    for node in ours:
        for i in range(20):
            node.wait_log(r'event=serf_event name="?deploy"? payload="?number-%d"? ' % i)
        assert node.log.count("payload=number-7 ") + node.log.count('payload="number-7"') == 1
    wait_until(lambda: sum("user deploy" in line for line in agents[1].events()) >= 20,
               "the other agent hears all of them, too")


def test_event_of_a_node_reaches_the_agents(make_node, make_agent, sealed):
    """What a node tells of its health is a user event."""
    agents, ours = mixed(make_node, make_agent, sealed, node_count=1)
    host, port = gossip.free_host(), gossip.free_port()
    made = {**harness.config(1), "limits": {"drain": "1m"}}
    made["cluster"] = gossip.member("n9", host, port, [ours[0].address], **sealed.node)["cluster"]
    made["node"]["id"] = "n9"
    node = make_node(made)
    wait_until(lambda: agents[0].states().get("n9") == "alive", "n9 is known")
    node.send_signal(signal.SIGTERM)
    for agent in agents:
        wait_until(lambda agent=agent: any("user perigee/health" in line and "n9" in line
                                           and "drain=1" in line for line in agent.events()),
                   "%s hears that n9 drains" % agent.name)
        wait_until(lambda agent=agent: agent.members()["n9"]["tags"].get("drain") == "1",
                   "its tags say so, too")
    node.send_signal(signal.SIGTERM)
    assert node.wait_exit() == 0


def test_old_event_by_push_pull(make_node, make_agent, sealed):
    """An agent that comes later and wants to know gets it from a node alone."""
    first = make_agent("a1", key=sealed.key)
    node = Member(make_node, "n1", join=[first.address], **sealed.node)
    all_alive([first], [node])
    assert first.serf("event", "-coalesce=false", "deploy", "old").returncode == 0
    node.wait_log("event=serf_event .*old")
    assert first.stop(signal.SIGINT) == 0
    wait_states(node, {"n1": "alive", "a1": "left"})
    late = make_agent("a2", join=[node.address], key=sealed.key, arguments=["-replay"])
    wait_until(lambda: "user deploy old" in late.events(), "it hears of it")


def test_refused_events(make_node, make_agent, sealed):
    agent = make_agent("a1", key=sealed.key)
    node = Member(make_node, "n1", join=[agent.address], serf_events="refuse", **sealed.node)
    all_alive([agent], [node])
    assert agent.serf("event", "deploy", "x").returncode == 0
    node.wait_log("event=serf_event_refused .*deploy")


@pytest.mark.parametrize("relays", [0, 2])
def test_query(make_node, make_agent, keys, relays):
    agents, ours = mixed(make_node, make_agent, keys)
    got = agents[0].serf("query", "-format=json", "-timeout=5s", "-relay-factor=%d" % relays,
                         "perigee/status")
    assert got.returncode == 0, got
    told = json.loads(got.stdout)
    assert sorted(told["Acks"]) == ["a1", "a2", "n1", "n2"], told
    for node in ours:
        assert told["Responses"][node.id].startswith("node=%s version=" % node.id), told
    assert "seen" in told["Responses"]["a2"], told
    # To one of them alone, and to those with a tag.
    got = agents[0].serf("query", "-format=json", "-timeout=3s", "-node=n2", "perigee/status")
    assert list(json.loads(got.stdout)["Responses"]) == ["n2"], got
    got = agents[0].serf("query", "-format=json", "-timeout=3s", "-tag=id=n1", "perigee/status")
    assert list(json.loads(got.stdout)["Responses"]) == ["n1"], got
    got = agents[0].serf("query", "-format=json", "-timeout=1s", "no/such/query")
    told = json.loads(got.stdout)
    assert sorted(told["Acks"]) == ["a1", "a2", "n1", "n2"] and "n1" not in told["Responses"]


def test_reachability(make_node, make_agent, keys):
    agents, _ = mixed(make_node, make_agent, keys)
    got = agents[0].serf("reachability")
    assert got.returncode == 0 and "Successfully contacted all live nodes" in got.stdout, got


def test_rtt(make_node, make_agent, keys):
    agents, ours = mixed(make_node, make_agent, keys)

    def told(*names):
        got = agents[0].serf("rtt", *names)
        return got.returncode == 0 and re.search(r"rtt: [\d.]+ ms", got.stdout)

    wait_until(lambda: told("n1", "a2") and told("n1", "n2") and told("n2"),
               "round trips are estimated")
    wait_until(lambda: nodes(ours[0])["a1"].get("rtt_us", 0) > 0, "here as well")


def say(agents, i):
    assert agents[0].serf("event", "-coalesce=false", "traffic", "t%d" % i).returncode == 0


def test_key_rotation_under_traffic(make_node, make_agent, tmp_path):
    """Installed, used, the old one removed: nobody is lost, and a restart keeps it."""
    old, new = gossip.new_key(), gossip.new_key()
    keys = Keys(tmp_path, old)
    agents, ours = mixed(make_node, make_agent, keys)
    for i, step in enumerate([("-install", new), ("-use", new), ("-remove", old)]):
        got = agents[0].serf("keys", "=".join(step))
        assert got.returncode == 0, (step, got)
        say(agents, i)
    got = agents[0].serf("keys", "-list")
    assert re.findall(r"^(\S+) +\[(\d)/4\]", got.stdout, re.M) == [(new, "4")], got
    for node in ours:
        for i in range(3):
            node.wait_log("event=serf_event .*t%d" % i)
        kept = node.folder / "data/gossip.keyring"
        wait_until(lambda kept=kept: kept.exists() and new in kept.read_text()
                   and old not in kept.read_text(), "the new key is kept")
        assert kept.stat().st_mode & 0o7777 == 0o600
        assert old not in node.log and new not in node.log, "keys are not told"
    all_alive(agents, ours)
    # A restart uses what is kept, and the files when they say something else.
    node = ours[1]
    assert node.restart() == 0
    node.wait_log("event=gossip_keys source=gossip.keyring keys=1")
    all_alive(agents, ours, gossip.FAILED_S)
    got = harness.program("cluster", "gossip-key", "-c", node.file)
    assert got.stdout.strip() == new, got
    secret(tmp_path, new, old, name="gossip")
    assert node.restart() == 0
    node.wait_log("event=gossip_keys source=gossip_key_file keys=2")
    all_alive(agents, ours, gossip.FAILED_S)


def test_keys_that_cannot_be_removed(make_node, make_agent, sealed):
    agents, ours = mixed(make_node, make_agent, sealed, agent_count=1, node_count=1)
    assert agents[0].serf("keys", "-remove=" + sealed.key).returncode != 0
    assert agents[0].serf("keys", "-use=" + gossip.new_key()).returncode != 0
    assert agents[0].serf("keys", "-install=" + gossip.new_key()[:20]).returncode != 0
    all_alive(agents, ours)
    assert not (ours[0].folder / "data/gossip.keyring").exists()


def test_killed_agent_fails_and_comes_back(make_node, make_agent, keys):
    agents, ours = mixed(make_node, make_agent, keys)
    agents[1].stop(signal.SIGKILL)
    for node in ours:
        wait_states(node, {"a1": "alive", "a2": "failed", "n1": "alive", "n2": "alive"},
                    gossip.FAILED_S)
    agents[0].wait_states({"a1": "alive", "a2": "failed", "n1": "alive", "n2": "alive"},
                          gossip.FAILED_S)
    agents[1].start()
    all_alive(agents, ours, gossip.FAILED_S)


def test_killed_node_fails_and_comes_back(make_node, make_agent, keys):
    agents, ours = mixed(make_node, make_agent, keys)
    ours[1].kill()
    wanted = {"a1": "alive", "a2": "alive", "n1": "alive", "n2": "failed"}
    for agent in agents:
        agent.wait_states(wanted, gossip.FAILED_S)
    wait_states(ours[0], wanted, gossip.FAILED_S)
    ours[1].start()
    all_alive(agents, ours, gossip.FAILED_S)


def test_stopped_agent_fails_and_comes_back(make_node, make_agent, sealed):
    agents, ours = mixed(make_node, make_agent, sealed)
    agents[1].process.send_signal(signal.SIGSTOP)
    try:
        for node in ours:
            wait_states(node, {"a1": "alive", "a2": "failed", "n1": "alive", "n2": "alive"},
                        gossip.FAILED_S)
    finally:
        agents[1].process.send_signal(signal.SIGCONT)
    all_alive(agents, ours, gossip.FAILED_S)


def test_stopped_node_fails_and_comes_back(make_node, make_agent, sealed):
    agents, ours = mixed(make_node, make_agent, sealed)
    ours[1].send_signal(signal.SIGSTOP)
    wanted = {"a1": "alive", "a2": "alive", "n1": "alive", "n2": "failed"}
    try:
        for agent in agents:
            agent.wait_states(wanted, gossip.FAILED_S)
        wait_states(ours[0], wanted, gossip.FAILED_S)
    finally:
        ours[1].send_signal(signal.SIGCONT)
    all_alive(agents, ours, gossip.FAILED_S)


def test_leave_and_return(make_node, make_agent, sealed):
    """Both kinds; the node returns at another address, which it may, having left."""
    agents, ours = mixed(make_node, make_agent, sealed)
    assert agents[1].serf("leave").returncode == 0
    agents[1].process.wait(harness.DEADLINE_S)
    for node in ours:
        wait_states(node, {"a1": "alive", "a2": "left", "n1": "alive", "n2": "alive"})
    agents[1].start()
    all_alive(agents, ours, gossip.FAILED_S)
    assert ours[1].stop() == 0
    wanted = {"a1": "alive", "a2": "alive", "n1": "alive", "n2": "left"}
    for agent in agents:
        agent.wait_states(wanted)
    wait_states(ours[0], wanted)
    moved = Member(make_node, "n2", join=[agents[0].address], **sealed.node)
    all_alive(agents, [ours[0], moved], gossip.FAILED_S)
    for agent in agents:
        wait_until(lambda agent=agent: agent.members()["n2"]["addr"] == moved.address,
                   "%s knows the new address" % agent.name)
