"""A cluster of whole nodes under test: each serves, caches, gossips and hears others' purges."""

import signal

import gossip
import harness
from harness import wait_until


class Crew:
    """Nodes n1, n2, ... in front of one origin; names: those that are to run at first."""

    def __init__(self, make_node, origin, folder, count=3, how=None, routes=None, nodes=None,
                 clusters=None, environments=None, together=True, key=None, **cluster):
        self.origin, self.nodes, self.places, self.routes = origin, {}, {}, routes
        self.clusters, environments = clusters or {}, environments or {}
        self.node_sections, self.cluster = nodes or {}, {**(how or {}), **cluster}
        self.key = key or gossip.new_key()
        self.secret = gossip.secret(folder, self.key, name="cluster-secret")
        for i in range(count):
            self.places["n%d" % (i + 1)] = (gossip.free_host(), gossip.free_port(),
                                            harness.free_port())
        for name in self.places:
            self.nodes[name] = make_node(self.config(name), start=False,
                                         environment=environments.get(name))
            self.nodes[name].start()
        if together:
            self.wait_together()

    def config(self, name, **sections):
        host, port, peer_port = self.places[name]
        join = ["%s:%d" % place[:2] for other, place in self.places.items() if other != name]
        return harness.config(
            self.origin.port,
            node={"id": name, "workers": 1, "data_dir": "@FOLDER@/data", **self.node_sections.get(name, {})},
            cluster={key: value for key, value in {
                     "listen": "%s:%d" % (host, port), "profile": "lan", "join": join,
                     "peer_listen": "%s:%d" % (host, peer_port), "secret_file": self.secret,
                     "purge_log": {"max": "16MiB"},
                     **self.cluster, **self.clusters.get(name, {})}.items()
                     if value is not None},
            sites=[{"name": "all", "hosts": ["*"], "purge_from": ["127.0.0.0/8"],
                    **({"routes": self.routes} if self.routes else {})}],
            limits={"drain": "200ms"}, **sections)

    def __getitem__(self, name):
        return self.nodes[name]

    def __iter__(self):
        return iter(self.nodes.values())

    @property
    def running(self):
        return {name: node for name, node in self.nodes.items() if node.process}

    def wait_together(self, deadline_s=60):
        """Until all that run see each other, and none is cautious any more."""
        running = self.running
        wait_until(lambda: all(
            all(gossip.states(node).get(name) == "alive" for name in running)
            and not node.status()["cluster"]["log_behind"] for node in running.values()),
            "%s are together" % sorted(running), deadline_s)

    def wait_state(self, at, name, *states, deadline_s=60):
        wait_until(lambda: gossip.states(self[at]).get(name) in states,
                   "%s sees %s %s" % (at, name, "/".join(states)), deadline_s)

    def freeze(self, name):
        self[name].send_signal(signal.SIGSTOP)

    def thaw(self, name):
        self[name].send_signal(signal.SIGCONT)
