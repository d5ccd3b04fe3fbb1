import { describe, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { type Any, EmptySchema } from "@bufbuild/protobuf/wkt";
import { StreamInitSchema, type Streaming } from "../../gen/containerd/services/streaming/v1/streaming_pb.ts";
import { DataSchema, WindowUpdateSchema } from "../../gen/containerd/types/transfer/streaming_pb.ts";
import { createCtx } from "../../lib/ctx.ts";
import { fault } from "../../lib/faults.ts";
import { anyIs, anyOf, anyTo } from "../../wire/any.ts";
import type { MethodImpl } from "../../wire/service.ts";
import { createStreamingService, createStreamManager, receiveBytes, sendBytes } from "./index.ts";

type StreamMethod = MethodImpl<(typeof Streaming.method)["stream"]>;

/** What a client sends, one message at a time. */
function createInbox(): { push(message: Any): void; end(): void; iterable: AsyncIterable<Any> } {
  const waiting: Any[] = [];
  let wake = (): void => {};
  let ended = false;
  return {
    push: (message) => {
      waiting.push(message);
      wake();
    },
    end: () => {
      ended = true;
      wake();
    },
    iterable: {
      async *[Symbol.asyncIterator]() {
        for (;;) {
          const next = waiting.shift();
          if (next !== undefined) yield next;
          else if (ended) return;
          else
            await new Promise<void>((resolve) => {
              wake = resolve;
            });
        }
      },
    },
  };
}

const init = (id: string): Any => anyOf(StreamInitSchema, create(StreamInitSchema, { id }));
const data = (text: string): Any => anyOf(DataSchema, create(DataSchema, { data: Buffer.from(text) }));

function openStream(id: string, namespace = "here", lease?: string) {
  const abort = new AbortController();
  const ctx = createCtx({ namespace, lease, signal: abort.signal });
  const inbox = createInbox();
  inbox.push(init(id));
  const answers = (service.impl["stream"] as StreamMethod)(ctx, inbox.iterable)[Symbol.asyncIterator]();
  return { ctx, inbox, answers: answers as AsyncIterator<Any>, abort };
}

const manager = createStreamManager();
const service = createStreamingService({ manager });
const kindOf = async (call: () => Promise<unknown>): Promise<unknown> => {
  try {
    await call();
    return "none";
  } catch (error) {
    return (error as { kind?: string }).kind;
  }
};

describe("the streaming service", () => {
  test("answers an empty message once the stream can be used, and forgets it when it is closed", async () => {
    const { ctx, answers } = openStream("one");
    expect(anyIs((await answers.next()).value as Any, EmptySchema)).toBe(true);
    manager.get(ctx, "one").close();
    expect((await answers.next()).done).toBe(true);
    expect(() => manager.get(ctx, "one")).toThrow('stream "one": not found');
  });

  test("knows a name once in each namespace", async () => {
    const first = openStream("twice");
    await first.answers.next();
    expect(await kindOf(() => openStream("twice").answers.next())).toBe("alreadyExists");
    const other = openStream("twice", "elsewhere");
    await other.answers.next();
    for (const { abort, answers } of [first, other]) {
      abort.abort(fault("canceled", ""));
      await answers.next();
    }
    expect(() => manager.get(first.ctx, "twice")).toThrow("not found");
  });

  test("is closed with its lease", async () => {
    const { ctx, answers } = openStream("leased", "here", "l1");
    await answers.next();
    const { collector } = manager;
    const node = { kind: "stream", namespace: "here", key: "leased" };
    expect([...collector.active()]).toEqual([]);
    expect([...collector.leased("here", "other")]).toEqual([]);
    expect([...collector.leased("here", "l1")]).toEqual([node]);
    expect(manager.get(ctx, "leased")).toBeDefined();
    collector.remove(node);
    expect((await answers.next()).done).toBe(true);
  });

  test("refuses another first message", async () => {
    const inbox = createInbox();
    inbox.push(data("x"));
    const call = (service.impl["stream"] as StreamMethod)(createCtx({ namespace: "here" }), inbox.iterable);
    expect(await kindOf(() => call[Symbol.asyncIterator]().next())).toBe("invalidArgument");
  });
});

describe("bytes", () => {
  test("are received in order, with room granted as they are taken", async () => {
    const { ctx, inbox, answers } = openStream("in");
    await answers.next();
    const received = receiveBytes(manager.get(ctx, "in"));
    const granted = answers.next();
    inbox.push(data("ab"));
    inbox.push(data("cd"));
    inbox.end();
    let text = "";
    for await (const piece of received) text += Buffer.from(piece).toString();
    expect(text).toBe("abcd");
    expect(anyTo((await granted).value as Any, WindowUpdateSchema).update).toBe(1 << 20);
    expect((await answers.next()).done).toBe(true);
  });

  test("are sent no further than the room that the client makes", async () => {
    const { ctx, inbox, answers } = openStream("out");
    await answers.next();
    const sink = sendBytes(manager.get(ctx, "out"));
    const sent = sink.write(Buffer.from("abcdefgh")).then(() => sink.close());
    const update = (count: number): Any => anyOf(WindowUpdateSchema, create(WindowUpdateSchema, { update: count }));
    inbox.push(update(3));
    const textOf = async (): Promise<string> =>
      Buffer.from(anyTo((await answers.next()).value as Any, DataSchema).data).toString();
    expect(await textOf()).toBe("abc");
    const next = textOf();
    inbox.push(update(64));
    expect(await next).toBe("defgh");
    expect((await answers.next()).done).toBe(true);
    await sent;
  });

  test("fail when their reader goes away", async () => {
    const { ctx, inbox, answers } = openStream("gone");
    await answers.next();
    const sink = sendBytes(manager.get(ctx, "gone"));
    inbox.end();
    expect(await kindOf(() => sink.write(Buffer.from("abc")))).toBe("unavailable");
    sink.close();
    await answers.next();
  });

  test("fail when their reader goes away with a message in its hands", async () => {
    const { ctx, answers } = openStream("dropped");
    await answers.next();
    const sent = kindOf(() => manager.get(ctx, "dropped").send(data("abc")));
    await answers.next();
    await answers.return?.();
    expect(await sent).toBe("unavailable");
  });
});
