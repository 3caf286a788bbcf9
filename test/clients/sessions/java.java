import java.net.URI;
import java.net.http.*;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Random;

/** java.net.http: put, get, a condition, a range, and a key that is escaped. */
public class Session {
    static final HttpClient client = HttpClient.newHttpClient();

    static HttpRequest.Builder to(String node, String key) {
        String escaped = URLEncoder.encode(key, StandardCharsets.UTF_8).replace("+", "%20");
        return HttpRequest.newBuilder(URI.create(System.getenv(node) + "/v1/objects/" + escaped))
            .header("Authorization", "Bearer " + System.getenv("TOKEN"));
    }
    static void want(boolean right, Object seen) {
        if (!right) throw new AssertionError(seen);
    }
    public static void main(String[] args) throws Exception {
        byte[] body = new byte[3_000_000];
        new Random(1).nextBytes(body);
        String key = "java/a b+c|ü";
        var put = client.send(to("ONE", key).PUT(BodyPublishers.ofByteArray(body)).build(), BodyHandlers.ofString());
        want(put.statusCode() == 201, put);
        var got = client.send(to("TWO", key).build(), BodyHandlers.ofByteArray());
        want(got.statusCode() == 200 && Arrays.equals(got.body(), body), got);
        String etag = got.headers().firstValue("ETag").get();
        want(client.send(to("TWO", key).header("If-None-Match", etag).build(), BodyHandlers.discarding()).statusCode() == 304, etag);
        var range = client.send(to("TWO", key).header("Range", "bytes=10-19").build(), BodyHandlers.ofByteArray());
        want(range.statusCode() == 206 && Arrays.equals(range.body(), Arrays.copyOfRange(body, 10, 20)), range);
        var second = client.send(to("ONE", key).header("If-None-Match", "*").PUT(BodyPublishers.ofString("x")).build(), BodyHandlers.ofString());
        want(second.statusCode() == 412, second);
        System.out.println("Java " + System.getProperty("java.version") + " HttpClient");
    }
}
