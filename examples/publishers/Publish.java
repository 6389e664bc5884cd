// RabbitMQ's Java client: one message at a time, confirmed and mandatory, published again under its id until a deadline.
//
// Its own recovery is off: it would forget what was not confirmed. On Debian, with default-jdk-headless,
// librabbitmq-client-java and libgoogle-gson-java:
//   jars=$(printf '/usr/share/java/%s.jar:' amqp-client gson slf4j-api slf4j-nop)
//   javac -d classes -cp "$jars" Publish.java
//   durable-ws certify --publisher-command "java -cp classes:$jars Publish"
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.rabbitmq.client.*;
import java.io.*;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.TimeoutException;

public class Publish {
    static final long DEADLINE_MS = 20_000;
    final ConnectionFactory factory = new ConnectionFactory();
    Connection connection;
    Channel channel;
    volatile boolean returned;

    Publish(String url) throws Exception {
        factory.setUri(url);
        factory.setRequestedHeartbeat(5);
        factory.setConnectionTimeout(5000);
        factory.setAutomaticRecoveryEnabled(false);
    }

    /** The outcome. */
    String publish(String id, String exchange, String key, byte[] body) throws InterruptedException {
        AMQP.BasicProperties properties = new AMQP.BasicProperties.Builder().messageId(id).deliveryMode(2).build();
        long deadline = System.nanoTime() + DEADLINE_MS * 1_000_000;
        String outcome = "failed";
        while (true) {
            try {
                open();
                outcome = "unknown"; // from the first byte on, until the broker has answered
                returned = false;
                channel.basicPublish(exchange, key, true, properties, body);
                boolean acked = channel.waitForConfirms(DEADLINE_MS / 2);
                return returned ? "returned" : acked ? "confirmed" : "nacked";
            } catch (IOException | TimeoutException | ShutdownSignalException trouble) {
                close();
                if (System.nanoTime() > deadline) return outcome;
                Thread.sleep(50);
            }
        }
    }

    void open() throws IOException, TimeoutException {
        if (channel != null) return;
        connection = factory.newConnection();
        channel = connection.createChannel();
        channel.addReturnListener((code, text, exchange, key, properties, body) -> returned = true);
        channel.confirmSelect();
    }

    void close() {
        if (connection != null) connection.abort(1000);
        channel = null;
    }

    public static void main(String[] arguments) throws Exception {
        Publish publisher = new Publish(System.getenv("RABBITMQ_URL"));
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = in.readLine()) != null; ) {
            JsonObject request = JsonParser.parseString(line).getAsJsonObject();
            if (request.get("op").getAsString().equals("close")) break;
            String id = request.get("id").getAsString();
            byte[] body = request.get("body").getAsString().getBytes(StandardCharsets.UTF_8);
            JsonObject answer = new JsonObject();
            answer.addProperty("id", id);
            answer.addProperty("outcome", publisher.publish(
                id, request.get("exchange").getAsString(), request.get("routing_key").getAsString(), body));
            System.out.println(answer);
        }
        publisher.close();
        System.exit(0);
    }
}
