// spymemcached in binary mode: java -cp spymemcached.jar Spy.java <port>
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.List;
import net.spy.memcached.BinaryConnectionFactory;
import net.spy.memcached.CASResponse;
import net.spy.memcached.MemcachedClient;

public class Spy {
    static void check(Object expected, Object value) {
        if (!expected.equals(value)) throw new AssertionError(value + " instead of " + expected);
    }

    public static void main(String[] args) throws Exception {
        InetSocketAddress server = new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0]));
        MemcachedClient client =
            new MemcachedClient(new BinaryConnectionFactory(), List.of(server));
        check(true, client.set("a", 100, "value").get());
        check("value", client.get("a"));
        check(false, client.add("a", 100, "other").get());
        long cas = client.gets("a").getCas();
        check(CASResponse.OK, client.cas("a", cas, "new"));
        check(CASResponse.EXISTS, client.cas("a", cas, "newer"));
        check(5L, client.incr("n", 10, 5));
        check(15L, client.incr("n", 10, 5));
        check(14L, client.decr("n", 1, 5));
        check(true, client.touch("a", 100).get());
        check("new", client.getAndTouch("a", 100).getValue());
        List<String> keys = new ArrayList<>();
        for (int i = 0; i < 200; i++) {
            keys.add("m" + i);
            if (i < 100) client.set("m" + i, 100, i);
        }
        check(100, client.getBulk(keys).size());
        check(true, client.delete("a").get());
        check("1.6.18", client.getVersions().values().iterator().next());
        check(true, client.flush().get());
        client.shutdown();
    }
}
