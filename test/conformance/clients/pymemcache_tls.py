"""pymemcache over TLS: pymemcache_tls.py <port> <certificate file>"""

import ssl
import sys

from pymemcache.client.base import Client

port, certificate = int(sys.argv[1]), sys.argv[2]
context = ssl.create_default_context(cafile=certificate)
context.check_hostname = False
for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
    context.minimum_version = context.maximum_version = version
    client = Client(("127.0.0.1", port), tls_context=context, default_noreply=False)
    large = b"x" * 1_000_000
    assert client.set("large", large)
    assert client.get("large") == large
    assert client.set_many({"key%d" % i: b"v%d" % i for i in range(100)}) == []
    many = client.get_many(["key%d" % i for i in range(200)])
    assert many == {"key%d" % i: b"v%d" % i for i in range(100)}
    assert client.delete("large")
    assert client.stats("settings")[b"ssl_enabled"] == b"yes"
    client.close()
