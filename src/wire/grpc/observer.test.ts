import { describe, expect, test } from "bun:test";
import { Content } from "../../gen/containerd/services/content/v1/content_pb.ts";
import { Events } from "../../gen/containerd/services/events/v1/events_pb.ts";
import { Version } from "../../gen/containerd/services/version/v1/version_pb.ts";
import { notFound } from "../../lib/faults.ts";
import { type CallObserver, type CallUnderWay, observers } from "./index.ts";
import { CallBed, faultOfCall } from "./testing.ts";

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async function opened(observer?: CallObserver): Promise<CallBed> {
  const bed = new CallBed(observer);
  await bed.open();
  return bed;
}

/** The one call that is under way, once what it waits for is this. */
async function waitsFor(bed: CallBed, step: string): Promise<CallUnderWay> {
  for (;;) {
    const [call, ...others] = bed.server.calls();
    if (call?.step === step) {
      expect(others).toEqual([]);
      return call;
    }
    await Bun.sleep(1);
  }
}

/** Writes down what it hears. */
function witness(): { readonly heard: string[]; readonly observer: CallObserver } {
  const heard: string[] = [];
  const begin: CallObserver["begin"] = ({ method, namespace, metadata }) => {
    heard.push(`${method.name} ${namespace} ${metadata.get("who")}`);
    return {
      received: () => heard.push("received"),
      sent: () => heard.push("sent"),
      ended: (code, message) => heard.push(`ended ${code} ${message}`.trimEnd()),
    };
  };
  return { heard, observer: { begin } };
}

describe("GrpcServer.calls", () => {
  test("tells whose call waits for what, and nothing of one that was answered", async () => {
    await using bed = await opened();
    const gate = Promise.withResolvers<object>();
    bed.version = (ctx) => {
      ctx.step = "waits for the gate";
      return gate.promise;
    };
    const before = performance.now();
    const call = bed.connection.client(Version).version({}, { namespace: "ns", timeoutMs: 3_600_000 });
    const { method, namespace, since, deadline, fd } = await waitsFor(bed, "waits for the gate");
    expect([method, namespace]).toEqual(["/containerd.services.version.v1.Version/Version", "ns"]);
    expect(since).toBeGreaterThanOrEqual(before - 1);
    expect(since).toBeLessThanOrEqual(performance.now());
    expect(deadline! - since).toBeGreaterThan(3_500_000);
    expect(fd).toBeGreaterThan(2);
    gate.resolve({});
    await call;
    expect(bed.server.calls()).toEqual([]);
  });

  test("tells of a client that does not read, and of one that does not write", async () => {
    await using bed = await opened();
    bed.subscribe = async function* () {
      for (;;) yield { topic: "/x", event: { typeUrl: "x", value: new Uint8Array(1_000_000) } };
    };
    const events = bed.connection.client(Events).subscribe({})[Symbol.asyncIterator]();
    await events.next();
    expect((await waitsFor(bed, "waits for the client to read")).method).toEndWith("Events/Subscribe");
    await events.return?.();
    const { promise: silence, resolve: speak } = Promise.withResolvers<void>();
    const answers = bed.connection.client(Content).write(
      (async function* () {
        await silence;
        yield* [];
      })(),
    );
    const end = answers[Symbol.asyncIterator]().next();
    expect((await waitsFor(bed, "waits for the client's next message")).method).toEndWith("Content/Write");
    speak();
    await end;
    expect(bed.server.calls()).toEqual([]);
  });
});

describe("an observer", () => {
  const who = new Map([["who", "me"]]);

  test("hears of a call, its messages and its end", async () => {
    const { heard, observer } = witness();
    await using bed = await opened(observer);
    const version = bed.connection.client(Version, { namespace: "ns", metadata: who });
    await version.version({});
    bed.version = () => Promise.reject(notFound("x"));
    await faultOfCall(version.version({}));
    const call = ["Version ns me", "received"];
    expect(heard).toEqual([...call, "sent", "ended 0", ...call, "ended 5 x: not found"]);
  });

  test("hears of streams both ways, and of a client that leaves", async () => {
    const { heard, observer } = witness();
    await using bed = await opened(observer);
    const requests = [{ data: new Uint8Array(3) }, { data: new Uint8Array(4) }];
    const write = bed.connection.client(Content).write(
      (async function* () {
        yield* requests;
      })(),
    );
    for await (const _answer of write);
    expect(heard.filter((word) => word === "received")).toHaveLength(2);
    expect(heard.filter((word) => word === "sent")).toHaveLength(2);
    expect(heard.at(-1)).toBe("ended 0");
    bed.subscribe = async function* () {
      for (;;) yield { topic: "/x" };
    };
    for await (const _event of bed.connection.client(Events).subscribe({})) break;
    while (heard.at(-1) !== "ended 1 context canceled") await Bun.sleep(1);
  });

  test("is not the only one: each hears, and one that traces gives the trace", async () => {
    const [one, two] = [witness(), witness()];
    const trace = { traceId: "t", traceparent: "p", child: () => trace, end: () => {} };
    const tracing: CallObserver = { begin: (call) => ({ ...two.observer.begin(call), trace }) };
    await using bed = await opened(observers([one.observer, tracing]));
    let seen: string | undefined;
    bed.version = (ctx) => {
      seen = ctx.trace?.traceId;
      return {};
    };
    await bed.connection.client(Version).version({});
    expect(seen).toBe("t");
    expect(one.heard).toEqual(two.heard);
    expect(observers([])).toBeUndefined();
  });
});

describe("a call's log", () => {
  test.each([
    [parent, " trace_id=0af7651916cd43dd8448eb211c80319c\n"],
    ["00-00000000000000000000000000000000-b7ad6b7169203331-01", 'msg="here"\n'],
    ["nonsense", 'msg="here"\n'],
  ])("with traceparent %s ends in %j", async (traceparent, ends) => {
    await using bed = await opened();
    bed.version = (ctx) => {
      ctx.log.info("here");
      return {};
    };
    await bed.connection.client(Version).version({}, { metadata: new Map([["traceparent", traceparent]]) });
    expect(bed.logged.find((line) => line.includes("here"))).toEndWith(ends);
  });
});
