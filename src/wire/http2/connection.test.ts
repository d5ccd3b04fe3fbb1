import { describe, expect, test } from "bun:test";
import { errorCode, flag, frameType, maxWindowSize, settingId } from "./protocol.ts";
import type { Stream, StreamHandler } from "./stream.ts";
import { frame, postFields, RawClient, setting, uint32 } from "./testing.ts";

const silent: StreamHandler = {
  onHeaders: () => {},
  onData: () => true,
  onTrailers: () => {},
  onReset: () => {},
  onWritable: () => {},
};

/** A server whose streams are kept for the test to use. */
function serve(limits: ConstructorParameters<typeof RawClient>[1] = {}, handler: Partial<StreamHandler> = {}) {
  const streams: Stream[] = [];
  const closed: (Error | undefined)[] = [];
  const client = new RawClient(
    {
      onStream: (stream) => {
        streams.push(stream);
        return { ...silent, ...handler };
      },
      onClosed: (error) => closed.push(error),
    },
    limits,
  );
  return { client, streams, closed };
}

const ackless = (client: RawClient): number => client.of(frameType.settings).filter((seen) => seen.flags === 0).length;

describe("Connection, flow control towards the peer", () => {
  test("a raised INITIAL_WINDOW_SIZE adds the difference to the credit given by WINDOW_UPDATE", () => {
    const { client, streams } = serve();
    client.greet(setting(settingId.initialWindowSize, 100));
    client.send(client.request(1), frame(frameType.windowUpdate, 0, 1, uint32(50)));
    streams[0]!.sendHeaders([":status", "200"]);
    streams[0]!.sendData(Buffer.alloc(1000));
    client.connection.sender.flush();
    expect(client.dataLength(1)).toBe(150);
    client.send(frame(frameType.settings, 0, 0, setting(settingId.initialWindowSize, 300)));
    expect(client.dataLength(1)).toBe(350);
    client.send(frame(frameType.windowUpdate, 0, 1, uint32(650)));
    expect(client.dataLength(1)).toBe(1000);
  });

  test("a lowered one may make the window negative", () => {
    const { client, streams } = serve();
    client.greet(setting(settingId.initialWindowSize, 100));
    client.send(client.request(1));
    streams[0]!.sendData(Buffer.alloc(200));
    client.connection.sender.flush();
    client.send(frame(frameType.settings, 0, 0, setting(settingId.initialWindowSize, 10)));
    client.send(frame(frameType.windowUpdate, 0, 1, uint32(90)));
    expect(client.dataLength(1)).toBe(100);
    client.send(frame(frameType.windowUpdate, 0, 1, uint32(5)));
    expect(client.dataLength(1)).toBe(105);
  });

  test("the connection's window holds back all streams, and they go on in turn", () => {
    const { client, streams } = serve();
    client.greet(setting(settingId.initialWindowSize, maxWindowSize));
    client.send(client.request(1), client.request(3));
    for (const stream of streams) stream.sendData(Buffer.alloc(100_000));
    client.connection.sender.flush();
    expect(client.dataLength(1) + client.dataLength(3)).toBe(65_535);
    client.send(frame(frameType.windowUpdate, 0, 0, uint32(1_000_000)));
    expect([client.dataLength(1), client.dataLength(3)]).toEqual([100_000, 100_000]);
  });

  test.each([0, 1])("a window above 2^31-1 is refused, on stream %d", (id) => {
    const { client } = serve();
    client.greet();
    client.send(client.request(1, postFields, false));
    client.send(frame(frameType.windowUpdate, 0, id, uint32(maxWindowSize)));
    expect(id === 0 ? client.goawayCode : client.resetCode(1)).toBe(errorCode.flowControlError);
  });

  test("trailers wait for the data before them", () => {
    const { client, streams } = serve();
    client.greet(setting(settingId.initialWindowSize, 10));
    client.send(client.request(1));
    streams[0]!.sendHeaders([":status", "200"]);
    streams[0]!.sendMessage(Buffer.alloc(10));
    streams[0]!.end(["grpc-status", "0"]);
    client.connection.sender.flush();
    expect(client.of(frameType.headers, 1)).toHaveLength(1);
    client.send(frame(frameType.windowUpdate, 0, 1, uint32(5)));
    expect(client.frames.at(-1)).toMatchObject({ type: frameType.headers, flags: flag.endHeaders | flag.endStream });
    expect(client.connection.streams.size).toBe(0);
  });
});

describe("Connection, a peer that reads slowly", () => {
  test("stages little, holds the producer back, and sends everything in the end", () => {
    let writable = 0;
    const { client, streams } = serve({}, { onWritable: () => writable++ });
    client.greet(setting(settingId.initialWindowSize, maxWindowSize));
    client.send(frame(frameType.windowUpdate, 0, 0, uint32(maxWindowSize - 65_535)), client.request(1));
    client.room = 1000;
    streams[0]!.sendData(Buffer.alloc(5_000_000));
    client.connection.sender.flush();
    expect(streams[0]!.full).toBe(true);
    expect(client.connection.sender.out.size).toBeLessThan(512 * 1024);
    for (let i = 0; i < 2000 && client.dataLength(1) < 5_000_000; i++) client.drain(10_000);
    expect(client.dataLength(1)).toBe(5_000_000);
    expect(writable).toBe(1);
  });

  test("is not read from while it does not take its answers, and is again once it does", () => {
    const client = new RawClient({
      onStream: (stream) => {
        stream.sendHeaders([":status", "200", "x", "y".repeat(1000)], true);
        return undefined;
      },
    });
    client.greet();
    client.room = 0;
    const paused = (): boolean => client.paused;
    for (let id = 1; !paused(); id += 2) client.send(client.request(id));
    expect(client.connection.sender.out.size).toBeLessThan(1.1 * 1024 * 1024);
    client.drain(2 * 1024 * 1024);
    expect(paused()).toBe(false);
  });

  test("frames of one tick leave in one write", async () => {
    const { client, streams } = serve();
    client.greet();
    client.send(client.request(1), client.request(3));
    const before = client.writes;
    for (const stream of streams) {
      stream.sendHeaders([":status", "200"]);
      stream.sendMessage(Buffer.from("x"));
      stream.end(["grpc-status", "0"]);
    }
    await new Promise<void>((resolve) => setImmediate(resolve));
    expect(client.writes).toBe(before + 1);
    expect(client.of(frameType.headers)).toHaveLength(4);
  });
});

describe("Connection, flow control towards us", () => {
  test("the window grows again only as bytes are given back", () => {
    const { client, streams } = serve({ streamWindow: 100_000 });
    client.greet();
    client.send(client.request(1, postFields, false));
    for (let i = 0; i < 6; i++) client.send(frame(frameType.data, 0, 1, Buffer.alloc(16_000)));
    expect(client.of(frameType.windowUpdate, 1)).toHaveLength(0);
    streams[0]!.credit(96_000);
    client.connection.sender.flush();
    expect(client.of(frameType.windowUpdate, 1)[0]!.payload.readUInt32BE(0)).toBe(96_000);
  });

  test("a stream that sends more than its window is reset, and the others live", () => {
    const { client } = serve({ streamWindow: 20_000 });
    client.greet();
    client.send(client.request(1, postFields, false), client.request(3, postFields, false));
    for (let i = 0; i < 2; i++) client.send(frame(frameType.data, 0, 1, Buffer.alloc(16_000)));
    expect(client.resetCode(1)).toBe(errorCode.flowControlError);
    expect(client.connection.streams.size).toBe(1);
  });

  test("one stream that stands still does not stop the connection, too many bytes do", () => {
    const { client } = serve({ streamWindow: 1 << 20, connectionWindow: 1 << 17, maxBufferedBytes: 300_000 });
    client.greet();
    client.send(client.request(1, postFields, false));
    const updates = (): number => client.of(frameType.windowUpdate, 0).length;
    const first = updates();
    let sent = 0;
    while (updates() < first + 4) {
      client.send(frame(frameType.data, 0, 1, Buffer.alloc(16_384)));
      sent += 16_384;
    }
    while (client.goawayCode === undefined && sent < 1_000_000) {
      client.send(frame(frameType.data, 0, 1, Buffer.alloc(16_384)));
      sent += 16_384;
    }
    // Who goes on regardless of the connection's window is hung up on.
    expect(client.goawayCode).toBe(errorCode.flowControlError);
    expect(sent).toBeLessThan(500_000);
  });
});

describe("Connection, limits", () => {
  const calm = errorCode.enhanceYourCalm;

  test.each([
    ["PING", frame(frameType.ping, 0, 0, Buffer.alloc(8))],
    ["SETTINGS", frame(frameType.settings, 0, 0)],
    ["empty DATA", frame(frameType.data, 0, 1)],
    ["PRIORITY", frame(frameType.priority, 0, 1, Buffer.alloc(5))],
    ["unknown frames", frame(0x42, 0, 0)],
  ])("a flood of %s ends the connection", (_name, flood) => {
    const { client, closed } = serve({ controlFrames: { burst: 50, perSecond: 1 } });
    client.greet();
    client.send(client.request(1, postFields, false));
    for (let i = 0; i < 60; i++) client.send(flood);
    expect(client.goawayCode).toBe(calm);
    expect(closed).toHaveLength(1);
    expect(client.hungUp).toBe(true);
  });

  test("a flood of resets ends the connection (CVE-2023-44487)", () => {
    const { client } = serve({ resets: { burst: 20, perSecond: 1 } });
    client.greet();
    for (let id = 1; id < 60; id += 2) {
      client.send(client.request(id, postFields, false), frame(frameType.rstStream, 0, id, uint32(errorCode.cancel)));
    }
    expect(client.goawayCode).toBe(calm);
  });

  test("a header block that never ends ends the connection (CVE-2024-27316)", () => {
    const { client } = serve({ maxHeaderListSize: 8000 });
    client.greet();
    client.send(frame(frameType.headers, 0, 1, client.encoder.encode(postFields)));
    for (let i = 0; i < 300; i++) client.send(frame(frameType.continuation, 0, 1));
    expect(client.goawayCode).toBe(calm);
  });

  test("a header list above the limit refuses the stream alone", () => {
    const { client, streams } = serve({ maxHeaderListSize: 2000 });
    client.greet();
    client.send(client.request(1, [...postFields, "x", "y".repeat(3000)]), client.request(3));
    expect(client.resetCode(1)).toBe(calm);
    expect(streams.map(({ id }) => id)).toEqual([3]);
  });

  test("streams above the limit are refused", () => {
    const { client, streams } = serve({ maxConcurrentStreams: 2 });
    client.greet();
    for (const id of [1, 3, 5]) client.send(client.request(id, postFields, false));
    expect(client.resetCode(5)).toBe(errorCode.refusedStream);
    streams[0]!.sendHeaders([":status", "200"], true);
    client.send(client.request(7));
    expect(streams.map(({ id }) => id)).toEqual([1, 3, 7]);
  });

  test("streams are refused while too many bytes of answers wait", () => {
    const { client, streams } = serve({ maxQueuedBytes: 1000 });
    client.greet(setting(settingId.initialWindowSize, 0));
    client.send(client.request(1));
    streams[0]!.sendData(Buffer.alloc(2000));
    client.send(client.request(3));
    expect(client.resetCode(3)).toBe(errorCode.refusedStream);
  });
});

describe("Connection, the end", () => {
  test("drain serves what is on its way, then hangs up", () => {
    const { client, streams, closed } = serve();
    client.greet();
    client.send(client.request(1));
    client.connection.drain();
    client.connection.sender.flush();
    expect(client.of(frameType.goaway)[0]!.payload.readUInt32BE(0)).toBe(maxWindowSize);
    client.send(client.request(3));
    const ping = client.of(frameType.ping)[0]!;
    client.send(frame(frameType.ping, flag.ack, 0, ping.payload));
    expect(client.of(frameType.goaway)[1]!.payload.readUInt32BE(0)).toBe(3);
    client.send(client.request(5));
    expect(streams.map(({ id }) => id)).toEqual([1, 3]);
    for (const stream of streams) stream.sendHeaders([":status", "200"], true);
    client.connection.sender.flush();
    expect(client.hungUp).toBe(true);
    expect(closed).toHaveLength(0);
  });

  test("a lost connection resets every stream once", () => {
    const resets: number[] = [];
    const { client, closed } = serve({}, { onReset: (code) => resets.push(code) });
    client.greet();
    client.send(client.request(1, postFields, false), client.request(3, postFields, false));
    client.connection.disconnected(undefined);
    client.connection.disconnected(undefined);
    expect(resets).toEqual([errorCode.cancel, errorCode.cancel]);
    expect(closed).toEqual([undefined]);
  });

  test("an answer that ends before its request tells the peer to stop, and ignores the rest", () => {
    const { client, streams } = serve();
    client.greet();
    client.send(client.request(1, postFields, false));
    streams[0]!.sendHeaders([":status", "200"], true);
    client.connection.sender.flush();
    expect(client.resetCode(1)).toBe(errorCode.noError);
    client.send(frame(frameType.data, 0, 1, Buffer.alloc(100)), frame(frameType.data, flag.endStream, 1));
    expect(client.goawayCode).toBeUndefined();
    expect(client.of(frameType.rstStream, 1)).toHaveLength(1);
  });

  test("the greeting is SETTINGS, once", () => {
    const { client } = serve();
    client.greet();
    expect(client.frames[0]!.type).toBe(frameType.settings);
    expect(ackless(client)).toBe(1);
  });
});
