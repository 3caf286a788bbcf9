import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/** Java reads an array of doubles that numpy wrote: a head of text, and the numbers. */
public class Npy {
    static double[] read(byte[] file) {
        ByteBuffer b = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN);
        int head = b.get(6) == 1 ? 10 + (b.getShort(8) & 0xffff) : 12 + b.getInt(8);
        if (!new String(file, 0, head).contains("'descr': '<f8'")) throw new IllegalArgumentException("no doubles");
        double[] values = new double[(file.length - head) / 8];
        b.position(head).asDoubleBuffer().get(values);
        return values;
    }
    public static void main(String[] args) throws Exception {
        String write = """
            import os, io, numpy, requests
            b = io.BytesIO(); numpy.save(b, numpy.arange(6.0))
            requests.put(os.environ["ONE"] + "/v1/objects/npy/java", data=b.getvalue(), headers={"Authorization": "Bearer " + os.environ["TOKEN"]}).raise_for_status()""";
        if (new ProcessBuilder(System.getenv("PYTHON"), "-c", write).inheritIO().start().waitFor() != 0) throw new AssertionError("numpy");
        var request = HttpRequest.newBuilder(URI.create(System.getenv("TWO") + "/v1/objects/npy/java")).header("Authorization", "Bearer " + System.getenv("TOKEN")).build();
        double[] got = read(HttpClient.newHttpClient().send(request, BodyHandlers.ofByteArray()).body());
        if (!Arrays.equals(got, new double[] {0, 1, 2, 3, 4, 5})) throw new AssertionError(Arrays.toString(got));
        System.out.println("Java " + System.getProperty("java.version") + " reads npy");
    }
}
