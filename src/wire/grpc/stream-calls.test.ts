import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Content } from "../../gen/containerd/services/content/v1/content_pb.ts";
import { Events } from "../../gen/containerd/services/events/v1/events_pb.ts";
import { Streaming } from "../../gen/containerd/services/streaming/v1/streaming_pb.ts";
import { notFound } from "../../lib/faults.ts";
import { CallBed, faultOfCall } from "./testing.ts";

const bed = new CallBed();
beforeAll(() => bed.open());
afterAll(() => bed[Symbol.asyncDispose]());

describe("streams of answers", () => {
  const event = (size: number): { topic: string; event: { typeUrl: string; value: Uint8Array } } => ({
    topic: "/x",
    event: { typeUrl: "x", value: new Uint8Array(size) },
  });

  test("bring every message in order, large ones too", async () => {
    bed.subscribe = async function* () {
      for (let i = 0; i < 40; i++) yield { ...event(i % 2 === 0 ? 10 : 1_500_000), topic: `/${i}` };
    };
    const topics: string[] = [];
    for await (const { topic } of bed.connection.client(Events).subscribe({})) topics.push(topic);
    expect(topics).toEqual(Array.from({ length: 40 }, (_, i) => `/${i}`));
  });

  test("end with the fault that ended them, after what came before", async () => {
    bed.subscribe = async function* () {
      yield event(1);
      throw notFound("x");
    };
    const seen: string[] = [];
    const read = async (): Promise<void> => {
      for await (const { topic } of bed.connection.client(Events).subscribe({})) seen.push(topic);
    };
    expect(await faultOfCall(read())).toBe("notFound: x: not found");
    expect(seen).toEqual(["/x"]);
  });

  test("hold the producer back while nobody reads, and let it clean up when the reader leaves", async () => {
    let made = 0;
    const cleaned = Promise.withResolvers<boolean>();
    bed.subscribe = async function* (ctx) {
      try {
        for (; made < 1000; made++) yield event(1_000_000);
      } finally {
        cleaned.resolve(ctx.aborted);
      }
    };
    for await (const _event of bed.connection.client(Events).subscribe({})) {
      await Bun.sleep(50);
      break;
    }
    expect(await cleaned.promise).toBe(true);
    expect(made).toBeLessThan(10);
  });

  test("stop waiting when the caller cancels", async () => {
    const cleaned = Promise.withResolvers<void>();
    bed.subscribe = (ctx) => ({
      [Symbol.asyncIterator]: () => ({
        next: () =>
          new Promise((_resolve, reject) => ctx.signal.addEventListener("abort", () => reject(new Error("x")))),
        return: async () => {
          cleaned.resolve();
          return { done: true, value: undefined };
        },
      }),
    });
    const controller = new AbortController();
    const read = async (): Promise<void> => {
      for await (const _event of bed.connection.client(Events).subscribe({}, { signal: controller.signal }));
    };
    const call = faultOfCall(read());
    await Bun.sleep(5);
    controller.abort();
    expect(await call).toBe("canceled: context canceled");
    await cleaned.promise;
  });
});

describe("streams both ways", () => {
  test("answer message by message", async () => {
    async function* writes() {
      for (let i = 1; i <= 30; i++) yield { data: new Uint8Array(i * 50_000) };
    }
    const sizes: number[] = [];
    for await (const { offset } of bed.connection.client(Content).write(writes())) sizes.push(Number(offset));
    expect(sizes).toEqual(Array.from({ length: 30 }, (_, i) => (i + 1) * 50_000));
  });

  test("take a message that is larger than the window", async () => {
    async function* writes() {
      yield { data: new Uint8Array(15_000_000) };
    }
    for await (const { offset } of bed.connection.client(Content).write(writes())) expect(offset).toBe(15_000_000n);
  });

  test("end when the server fails, and let the writer clean up", async () => {
    const cleaned = Promise.withResolvers<void>();
    async function* forever() {
      try {
        for (;;) {
          yield { typeUrl: "x", value: new Uint8Array(1000) };
          await Bun.sleep(1);
        }
      } finally {
        cleaned.resolve();
      }
    }
    const read = async (): Promise<void> => {
      for await (const _answer of bed.connection.client(Streaming).stream(forever()));
    };
    expect(await faultOfCall(read())).toBe('notFound: stream "x": not found');
    await cleaned.promise;
  });

  test("end with what the writer threw", async () => {
    async function* broken() {
      yield { data: new Uint8Array(1) };
      throw notFound("source");
    }
    const read = async (): Promise<void> => {
      for await (const _answer of bed.connection.client(Content).write(broken()));
    };
    expect(await faultOfCall(read())).toBe("notFound: source: not found");
  });
});
