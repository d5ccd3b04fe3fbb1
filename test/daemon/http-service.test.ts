import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import type { RequestListener } from "node:http";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HttpService } from "../../src/daemon/listeners/http-listener.ts";
import { createKernel } from "../../src/sys/index.ts";
import { waitFor } from "../support/index.ts";

const scratch = mkdtempSync(join(tmpdir(), "lh-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const limitMs = 30_000;
let count = 0;

/** A service on a socket of its own, and clients that say what they like. */
function bedOf(answer: RequestListener) {
  const path = join(scratch, `${count++}.sock`);
  const service = new HttpService(createKernel().listenUnix(path), answer);
  return { path, service, [Symbol.asyncDispose]: () => service[Symbol.asyncDispose]() };
}

class Client {
  readonly socket: Socket;
  said = "";
  isClosed = false;

  constructor(path: string, words: string) {
    this.socket = connect({ path });
    this.socket.on("data", (bytes) => (this.said += bytes.toString()));
    this.socket.on("error", () => {});
    this.socket.on("close", () => (this.isClosed = true));
    if (words !== "") this.socket.write(words);
  }

  until(what: string): Promise<unknown> {
    return waitFor(what, () => this.said.includes(what), limitMs);
  }

  closed(): Promise<unknown> {
    return waitFor("the end of a connection", () => this.isClosed, limitMs);
  }
}

const request = (path: string): string => `GET ${path} HTTP/1.1\r\nhost: h\r\n\r\n`;

describe("a service of pages", () => {
  test("that closes gives those who have asked their answer, and keeps nobody who has had it", async () => {
    const release = Promise.withResolvers<void>();
    await using bed = bedOf((asked, response) => {
      const answer = (): void => void response.end(`answer to ${asked.url}`);
      if (asked.url === "/slow") void release.promise.then(answer);
      else answer();
    });
    const idle = new Client(bed.path, request("/idle"));
    await idle.until("answer to /idle");
    const slow = new Client(bed.path, request("/slow"));
    const next = new Client(bed.path, request("/one"));
    await next.until("answer to /one");
    next.socket.write(request("/two"));
    await next.until("answer to /two");
    const closing = bed.service.close(limitMs);
    await idle.closed();
    await next.closed();
    expect([slow.isClosed, slow.said]).toEqual([false, ""]);
    release.resolve();
    await slow.until("answer to /slow");
    await closing;
    await slow.closed();
  });

  test("that closes waits for nobody who says nothing, and for an answer no longer than it is told to", async () => {
    await using bed = bedOf(() => {});
    const silent = new Client(bed.path, "");
    const half = new Client(bed.path, "GET / HT");
    const endless = new Client(bed.path, request("/endless"));
    await waitFor("the clients", () => !silent.socket.connecting && !endless.socket.connecting, limitMs);
    await bed.service.close(3_000);
    await Promise.all([silent.closed(), half.closed(), endless.closed()]);
  });

  test("harms nobody who speaks garbage, and ends by none who hangs up in the middle", async () => {
    const uncaught: unknown[] = [];
    const onUncaught = (error: unknown): void => void uncaught.push(error);
    process.on("uncaughtException", onUncaught);
    using stack = new DisposableStack();
    stack.defer(() => process.off("uncaughtException", onUncaught));
    await using bed = bedOf((_asked, response) => void response.end("x".repeat(1 << 22)));
    const garbage = new Client(bed.path, "\0\x01garbage\r\n\r\n");
    await garbage.closed();
    for (let n = 0; n < 20; n++) {
      const leaving = new Client(bed.path, n % 2 === 0 ? request("/big") : "GET / HTTP/1.1\r\nho");
      await waitFor("the connection", () => !leaving.socket.connecting, limitMs);
      leaving.socket.destroy();
    }
    const good = new Client(bed.path, request("/good"));
    await good.until("200 OK");
    expect(uncaught).toEqual([]);
  });
});
