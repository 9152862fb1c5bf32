"""python-binary-memcached: bmemcached_client.py <port> [<user> <password>]"""

import sys

import bmemcached

client = bmemcached.Client(("127.0.0.1:" + sys.argv[1],), *sys.argv[2:])
large = "x" * 500_000
assert client.set("a", "value", time=100)
assert client.get("a") == "value"
assert client.get("none") is None
assert not client.add("a", "other")
assert client.replace("a", "new")
value, cas = client.gets("a")
assert value == "new"
assert client.cas("a", "newer", cas)
assert not client.cas("a", "newest", cas)
assert client.incr("n", 10, default=5) == 5
assert client.incr("n", 10) == 15
assert client.decr("n", 1) == 14
assert client.set("large", large, compress_level=0)
assert client.get("large") == large
assert client.set_multi({"m%d" % i: "v%d" % i for i in range(100)}) == []
many = client.get_multi(["m%d" % i for i in range(200)])
assert many == {"m%d" % i: "v%d" % i for i in range(100)}
assert client.delete("a")
assert client.delete_multi(["m1", "m2"])
[stats] = client.stats().values()
assert int(stats["curr_items"]) == 100, stats["curr_items"]
assert client.flush_all()
assert client.get("large") is None
client.disconnect_all()
