"""pylibmc, which is libmemcached: pylibmc_client.py <port>"""

import sys

import pylibmc

for binary in (True, False):
    client = pylibmc.Client(["127.0.0.1:" + sys.argv[1]], binary=binary, behaviors={"cas": True})
    large = b"x" * 500_000
    assert client.flush_all()
    assert client.set("a", "value", time=100)
    assert client.get("a") == "value"
    assert client.get("none") is None
    assert not client.add("a", "other")
    assert client.replace("a", b"new")
    assert client.append("a", b">")
    assert client.prepend("a", b"<")
    value, cas = client.gets("a")
    assert value == b"<new>"
    assert client.cas("a", "newer", cas)
    assert not client.cas("a", "newest", cas)
    assert client.set("n", 5)
    assert client.incr("n", 10) == 15
    assert client.decr("n", 1) == 14
    assert client.touch("n", 100)
    assert client.set("large", large)
    assert client.get("large") == large
    assert client.set_multi({"m%d" % i: i for i in range(100)}) == []
    many = client.get_multi(["m%d" % i for i in range(200)])
    assert many == {"m%d" % i: i for i in range(100)}
    assert client.delete("a")
    [(_, stats)] = client.get_stats()
    assert int(stats[b"curr_items"] if b"curr_items" in stats else stats["curr_items"]) == 102
