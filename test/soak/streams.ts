// Streams a blob in messages of 1 MiB to Go clients for minutes, some of them slow, and looks for a stall or for memory
// that grows. usage: bun test/soak/streams.ts [--seconds N] [--clients N] [--slow N]
import { createHash } from "node:crypto";
import fs from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import { type Daemon, startLighter } from "../support/index.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "180" },
    clients: { type: "string", default: "4" },
    slow: { type: "string", default: "2" },
  },
});
const seconds = Number(values.seconds);
const blobMebibytes = 256;
/** No client waits longer than this for its next bytes, however many there are. */
const stallMs = 10_000;

await using daemon = await startLighter({ logLevel: "info" });
const digest = await ingest(daemon);
const troubles: string[] = [];
const ends = performance.now() + seconds * 1000;
const before = await residentMebibytes(daemon.pid);
let most = before;
const watch = setInterval(() => {
  void residentMebibytes(daemon.pid).then((now) => {
    most = Math.max(most, now);
  });
}, 500);

let bytes = 0;
let whole = 0;
const fast = Array.from({ length: Number(values.clients) }, () => readAgainAndAgain(0));
// A slow one takes a mebibyte every tenth of a second.
const slow = Array.from({ length: Number(values.slow) }, () => readAgainAndAgain(100));
await Promise.all([...fast, ...slow]);
clearInterval(watch);

console.log(
  `${(bytes / 2 ** 30).toFixed(1)} GiB in ${seconds} s, ${whole} blobs whole, memory grew by ${Math.max(0, most - before).toFixed(0)} MiB`,
);
if (most - before > 100) troubles.push(`the daemon's memory grew by ${(most - before).toFixed(0)} MiB`);
if (whole === 0) troubles.push("no blob came whole");
for (const trouble of troubles) console.log(`  ${trouble}`);
console.log(troubles.length === 0 ? "no stall, every byte right" : `${troubles.length} troubles`);
process.exitCode = troubles.length === 0 ? 0 : 1;

async function readAgainAndAgain(pauseMs: number): Promise<void> {
  while (performance.now() < ends && troubles.length === 0) await readOnce(pauseMs);
}

/** Reads the blob through ctr until it ends or the time is over, and compares its digest. */
async function readOnce(pauseMs: number): Promise<void> {
  const child = Bun.spawn(["ctr", "-a", daemon.address, "-n", daemon.namespace, "content", "get", digest], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const hash = createHash("sha256");
  const reader = child.stdout.getReader();
  let cut = false;
  let since = 0;
  for (;;) {
    const stall = setTimeout(() => {
      troubles.push(`no byte for ${stallMs} ms`);
      child.kill("SIGKILL");
    }, stallMs);
    const { done, value } = await reader.read();
    clearTimeout(stall);
    if (done) break;
    hash.update(value);
    bytes += value.length;
    since += value.length;
    if (pauseMs > 0 && since >= 2 ** 20) {
      since = 0;
      await Bun.sleep(pauseMs);
    }
    if (performance.now() > ends) {
      cut = true;
      child.kill("SIGKILL");
    }
  }
  const code = await child.exited;
  if (cut || troubles.length > 0) return;
  const got = `sha256:${hash.digest("hex")}`;
  if (code !== 0 || got !== digest)
    troubles.push(`ctr ended with ${code}: ${await child.stderr.text()} (digest ${got})`);
  else whole++;
}

async function ingest(to: Daemon): Promise<string> {
  const file = path.join(to.workspace.folder, "blob");
  const hash = createHash("sha256");
  await using handle = await fs.open(file, "w");
  const chunk = Buffer.alloc(2 ** 20);
  for (let i = 0; i < blobMebibytes; i++) {
    chunk.fill(i);
    chunk.writeUInt32BE(i);
    hash.update(chunk);
    await handle.write(chunk);
  }
  const name = `sha256:${hash.digest("hex")}`;
  const flags = ["--expected-digest", name, "--expected-size", String(blobMebibytes * 2 ** 20)];
  await to.ctrOk(["content", "ingest", ...flags, "streams"], { input: await fs.readFile(file) });
  await fs.rm(file);
  return name;
}

async function residentMebibytes(pid: number): Promise<number> {
  const status = await fs.readFile(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) / 1024;
}
