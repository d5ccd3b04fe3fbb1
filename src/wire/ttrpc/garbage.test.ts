import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { toBinary } from "@bufbuild/protobuf";
import { Host } from "../../gen/lighter/shim/v1/host_pb.ts";
import { ResponseSchema } from "../../gen/ttrpc/ttrpc_pb.ts";
import { FaultError } from "../../lib/faults.ts";
import { encodeFrame, frameTypes, maxPayloadBytes } from "./frames.ts";
import { connectTtrpc } from "./index.ts";

const folder = mkdtempSync("/tmp/lighter-garbage-");
afterAll(() => rmSync(folder, { recursive: true }));
let count = 0;

const { response } = frameTypes;
const answer = (stream: number): Uint8Array =>
  encodeFrame(
    stream,
    response,
    0,
    toBinary(ResponseSchema, { $typeName: "ttrpc.Response", payload: new Uint8Array(0) }),
  );

/** The head of a frame whose payload never comes. */
function headOf(stream: number, length: number): Uint8Array {
  const head = encodeFrame(stream, response, 0, new Uint8Array(0));
  new DataView(head.buffer).setUint32(0, length);
  return head;
}

/** What two calls come to when the server answers the first by these bytes, and says no more. */
async function callsAgainst(bytes: Uint8Array): Promise<{ first: string; second: string; isClosed: boolean }> {
  const unix = join(folder, String(count++));
  let asked = 0;
  using _server = Bun.listen({
    unix,
    socket: {
      data: (socket) => {
        asked += 1;
        socket.write(asked === 1 ? bytes : answer(3));
      },
    },
  });
  await using connection = await connectTtrpc({ path: unix });
  const host = connection.client(Host);
  const outcome = (call: Promise<unknown>): Promise<string> =>
    call.then(
      () => "answered",
      (error: unknown) => (error instanceof FaultError ? `${error.kind}: ${error.message}` : String(error)),
    );
  const first = await outcome(host.info({}, { timeoutMs: 2_000 }));
  const second = await outcome(host.info({}, { timeoutMs: 2_000 }));
  const isClosed = await Promise.race([connection.closed.then(() => true), Bun.sleep(0).then(() => false)]);
  return { first, second, isClosed };
}

describe("a server that sends garbage", () => {
  test.each([
    ["an answer to a call that was never made", answer(5), "stream 5"],
    ["a stream of the server's own", answer(2), "stream 2"],
    ["text", new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n"), "stream"],
  ])("loses the connection by %s, and the call says so", async (_name, bytes, says) => {
    const { first, second, isClosed } = await callsAgainst(bytes);
    expect(first).toMatch(/^unavailable: /);
    expect(first).toContain(says);
    expect(second).toBe(first);
    expect(isClosed).toBe(true);
  });

  test.each([
    ["an answer that can't be read", encodeFrame(1, response, 0, new Uint8Array([0, 1, 2])), "Host.Info"],
    ["data where an answer belongs", encodeFrame(1, frameTypes.data, 0, new Uint8Array(0)), "type 3"],
    ["a request", encodeFrame(1, frameTypes.request, 0, new Uint8Array(0)), "type 1"],
    ["a frame of no known type", encodeFrame(1, 77, 0, new Uint8Array(0)), "type 77"],
  ])("fails the one call by %s, and the next is answered", async (_name, bytes, says) => {
    const { first, second } = await callsAgainst(bytes);
    expect(first).toStartWith("internal: ");
    expect(first).toContain(says);
    expect(second).toBe("answered");
  });

  test("fails the call at once by an answer that is too long, before it came", async () => {
    const { first } = await callsAgainst(headOf(1, maxPayloadBytes + 1));
    expect(first).toStartWith("resourceExhausted: ");
  });
});
