import { readFileSync } from "node:fs";
import { connect } from "node:http2";
import { join } from "node:path";
import { runOk } from "../support/index.ts";

/** Makes a CA with a server's and two clients' certificates, and a stranger's of the same name as a client's. */
export async function makeCertificates(folder: string): Promise<void> {
  const make = (name: string, commonName: string, signed: string[]): Promise<string> =>
    runOk([
      "openssl",
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-days",
      "2",
      "-subj",
      `/CN=${commonName}`,
      "-keyout",
      join(folder, `${name}.key`),
      "-out",
      join(folder, `${name}.pem`),
      ...signed,
    ]);
  const byCa = [
    "-CA",
    join(folder, "ca.pem"),
    "-CAkey",
    join(folder, "ca.key"),
    "-addext",
    "basicConstraints=critical,CA:FALSE",
  ];
  await make("ca", "the CA", []);
  for (const name of ["server", "server2"]) await make(name, name, [...byCa, "-addext", "subjectAltName=IP:127.0.0.1"]);
  for (const name of ["alice", "bob"]) await make(name, name, byCa);
  await make("stranger", "alice", []);
}

export interface Answer {
  /** Of gRPC; undefined where there was no answer. */
  readonly status: string | undefined;
  /** The messages that came. */
  readonly messages: readonly Buffer[];
  /** Of the server's certificate. */
  readonly server: string | undefined;
}

/** Makes a gRPC call over TLS as a client of that name; as nobody without one. */
export function call(
  port: number,
  folder: string,
  client: string | undefined,
  method: string,
  request: Uint8Array,
): Promise<Answer> {
  const read = (name: string): Buffer => readFileSync(join(folder, name));
  const own = client === undefined ? {} : { cert: read(`${client}.pem`), key: read(`${client}.key`) };
  const session = connect(`https://127.0.0.1:${port}`, { ca: read("ca.pem"), ...own });
  const { promise, resolve } = Promise.withResolvers<Answer>();
  let status: string | undefined;
  let server: string | undefined;
  const chunks: Buffer[] = [];
  const finish = (): void => resolve({ status, messages: messagesIn(Buffer.concat(chunks)), server });
  session.on("error", finish);
  session.on("close", finish);
  session.on("connect", (_session, socket) => {
    const subject = (socket as unknown as { getPeerCertificate(): { subject?: { CN?: string } } }).getPeerCertificate()
      .subject;
    server = subject?.CN;
  });
  const stream = session.request({
    ":method": "POST",
    ":path": method,
    "content-type": "application/grpc",
    te: "trailers",
    "containerd-namespace": "tls",
  });
  stream.on("error", finish);
  stream.on("response", (headers) => (status ??= headers["grpc-status"] as string | undefined));
  stream.on("trailers", (headers) => (status ??= headers["grpc-status"] as string | undefined));
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  stream.on("end", () => session.close());
  const head = Buffer.alloc(5);
  head.writeUInt32BE(request.length, 1);
  stream.end(Buffer.concat([head, request]));
  return promise;
}

function messagesIn(bytes: Buffer): Buffer[] {
  const messages: Buffer[] = [];
  for (let at = 0; at + 5 <= bytes.length; ) {
    const length = bytes.readUInt32BE(at + 1);
    messages.push(bytes.subarray(at + 5, at + 5 + length));
    at += 5 + length;
  }
  return messages;
}
