// amqplib: many messages at a time on one confirm channel, each published again under its id until a deadline.
//
// Install with `npm install`. amqplib does not reconnect: a lost channel calls back every message that it had not confirmed.
import amqp from "amqplib";
import { createInterface } from "node:readline";

const DEADLINE_MS = 20_000;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
let opening = null;

async function connect() {
  const connection = await amqp.connect(`${process.env.RABBITMQ_URL}?heartbeat=5`, { timeout: 5000 });
  const channel = await connection.createConfirmChannel();
  const returned = new Set(); // a return comes before its confirm
  const lost = () => (opening = null);
  channel.on("return", (message) => returned.add(message.properties.messageId));
  for (const one of [connection, channel]) one.on("error", lost).on("close", lost);
  return { connection, channel, returned };
}

const open = () => (opening ??= connect().catch((error) => { opening = null; throw error; }));

const confirmed = (channel, { id, exchange, routing_key, body }) =>
  new Promise((resolve, reject) => {
    const options = { messageId: id, persistent: true, mandatory: true };
    channel.publish(exchange, routing_key, Buffer.from(body), options, (error) => (error ? reject(error) : resolve()));
  });

async function publish(request) {
  const deadline = performance.now() + DEADLINE_MS;
  let outcome = "failed";
  for (;;) {
    try {
      const { channel, returned } = await open();
      outcome = "unknown"; // from the first byte on, until the broker has answered
      await confirmed(channel, request);
      return returned.delete(request.id) ? { outcome: "returned" } : { outcome: "confirmed" };
    } catch (error) {
      if (error.message === "message nacked") return { outcome: "nacked" };
      if (performance.now() > deadline) return { outcome, detail: String(error) };
      await pause(50);
    }
  }
}

const calls = new Set();
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.op === "close") break;
  const call = publish(request)
    .then((told) => console.log(JSON.stringify({ id: request.id, ...told })))
    .finally(() => calls.delete(call));
  calls.add(call);
}
await Promise.all(calls);
await opening?.then(({ connection }) => connection.close()).catch(() => {});
process.exit(0);
