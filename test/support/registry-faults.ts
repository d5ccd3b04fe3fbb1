import { connect, createServer, type Socket } from "node:net";

/** What becomes of one request. */
export type Fate =
  | { readonly kind: "pass" }
  /** The connection is cut after so many bytes of the answer. */
  | { readonly kind: "cut"; readonly afterBytes: number }
  /** Nothing more comes after so many bytes of the answer. */
  | { readonly kind: "stall"; readonly afterBytes: number }
  /** The connection is cut after so many bytes of the request. */
  | { readonly kind: "cutUpload"; readonly afterBytes: number }
  | { readonly kind: "answer"; readonly status: number; readonly headers?: Readonly<Record<string, string>> };

export interface FaultProxy extends AsyncDisposable {
  readonly host: string;
  /** Every request: method and path. */
  readonly requests: string[];
  /** The whole head of every request, in lower case. */
  readonly heads: string[];
  /** How many connections were cut. */
  readonly cuts: number;
}

/** Stands before a registry and does to requests what `fate` says; each has a connection of its own. */
export async function startFaultProxy(
  registry: string,
  fate: (method: string, path: string, head: string) => Fate,
): Promise<FaultProxy> {
  const [hostname, port] = registry.split(":") as [string, string];
  const requests: string[] = [];
  const heads: string[] = [];
  const open = new Set<Socket>();
  let cuts = 0;
  const cut = (...sockets: Socket[]): void => {
    cuts++;
    for (const socket of sockets) socket.resetAndDestroy();
  };
  const server = createServer((client) => {
    open.add(client);
    client.on("error", () => {});
    client.on("close", () => open.delete(client));
    let head = Buffer.alloc(0);
    const onHead = (data: Buffer): void => {
      // TLS is not spoken here.
      if (head.length === 0 && data[0] === 0x16) return void client.destroy();
      head = Buffer.concat([head, data]);
      const end = head.indexOf("\r\n\r\n");
      if (end === -1) return;
      client.off("data", onHead);
      const text = head.subarray(0, end).toString("latin1");
      const [, method = "", path = ""] = /^(\S+) (\S+)/.exec(text) ?? [];
      requests.push(`${method} ${path}`);
      heads.push(text.toLowerCase());
      const what = fate(method, path, text);
      if (what.kind === "answer") {
        const lines = Object.entries(what.headers ?? {}).map(([name, value]) => `${name}: ${value}\r\n`);
        client.end(
          `HTTP/1.1 ${what.status} Injected\r\n${lines.join("")}Content-Length: 0\r\nConnection: close\r\n\r\n`,
        );
        return;
      }
      relay(client, connect(Number(port), hostname), text, head.subarray(end + 4), what);
    };
    client.on("data", onHead);
  });
  const relay = (client: Socket, upstream: Socket, text: string, rest: Buffer, what: Fate): void => {
    open.add(upstream);
    upstream.on("close", () => open.delete(upstream));
    upstream.on("error", () => client.destroy());
    client.on("close", () => upstream.destroy());
    const lines = text.split("\r\n").filter((line) => !/^connection:/i.test(line));
    upstream.write(`${lines.join("\r\n")}\r\nConnection: close\r\n\r\n`);
    let [up, down] = [0, 0];
    const limit = (kind: Fate["kind"]): number =>
      what.kind === kind ? (what as { afterBytes: number }).afterBytes : Number.POSITIVE_INFINITY;
    const forward = (data: Buffer): void => {
      up += data.length;
      if (up > limit("cutUpload")) return cut(client, upstream);
      if (!upstream.write(data)) {
        client.pause();
        upstream.once("drain", () => client.resume());
      }
    };
    if (rest.length > 0) forward(rest);
    client.on("data", forward);
    upstream.on("data", (data: Buffer) => {
      const room = Math.min(limit("cut"), limit("stall")) - down;
      down += data.length;
      if (data.length > room) {
        client.write(data.subarray(0, Math.max(0, room)), () => {
          if (what.kind === "cut") cut(client, upstream);
        });
        if (what.kind === "stall") upstream.pause();
        return;
      }
      if (!client.write(data)) {
        upstream.pause();
        client.once("drain", () => upstream.resume());
      }
    });
    upstream.on("end", () => client.end());
  };
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  return {
    host: `127.0.0.1:${(server.address() as { port: number }).port}`,
    requests,
    heads,
    get cuts() {
      return cuts;
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}
