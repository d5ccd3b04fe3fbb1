import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Events } from "../../gen/containerd/services/events/v1/events_pb.ts";
import { Version } from "../../gen/containerd/services/version/v1/version_pb.ts";
import { CallBed, faultOfCall } from "./testing.ts";

const bed = new CallBed();
beforeAll(() => bed.open());
afterAll(() => bed[Symbol.asyncDispose]());

const limits = { maxReceiveBytes: 1000, maxSendBytes: 1000 };
/** A field of bytes or text of up to 127 bytes more has two bytes before it; of more than 127, three. */
const overhead = 3;

describe("limits of messages", () => {
  test("hold for answers, with grpc-go's words, and for what comes in; they change while a connection lasts", async () => {
    const client = bed.connection.client(Version);
    bed.version = () => ({ version: "x".repeat(1000) });
    expect((await client.version({})).version.length).toBe(1000);
    bed.server.limitMessages(limits);
    expect(await faultOfCall(client.version({}))).toBe(
      `resourceExhausted: grpc: trying to send message larger than max (${1000 + overhead} vs. 1000)`,
    );
    bed.version = () => ({ version: "x".repeat(1000 - overhead) });
    expect((await client.version({})).version.length).toBe(1000 - overhead);
    const publish = (bytes: number): Promise<unknown> =>
      bed.connection.client(Events).publish({ topic: "x".repeat(bytes) });
    await publish(1000 - overhead);
    expect(await faultOfCall(publish(1000))).toContain("received message larger than max (1003 vs. 1000)");
    bed.server.limitMessages({ ...limits, maxReceiveBytes: 2000 });
    await publish(1000);
  });

  test("hold for the answers of a stream, which ends by the first that is too large", async () => {
    bed.server.limitMessages(limits);
    bed.subscribe = async function* () {
      yield { topic: "small" };
      yield { topic: "x".repeat(1000) };
      yield { topic: "never" };
    };
    const topics: string[] = [];
    const read = async (): Promise<void> => {
      for await (const { topic } of bed.connection.client(Events).subscribe({})) topics.push(topic);
    };
    expect(await faultOfCall(read())).toBe(
      `resourceExhausted: trying to send message larger than max (${1000 + overhead} vs. 1000)`,
    );
    expect(topics).toEqual(["small"]);
  });
});
