import { describe, expect, test } from "bun:test";
import { type Ctx, createCtx } from "./ctx.ts";
import { createLogger } from "./log.ts";
import { logFor, parseTraceparent, type Trace, traced } from "./trace.ts";

const traceId = "0af7651916cd43dd8448eb211c80319c";
const parent = `00-${traceId}-b7ad6b7169203331-01`;

/** A trace that writes down what is opened and closed in it. */
function witness(log: string[], name = "call"): Trace {
  return {
    traceId,
    traceparent: parent,
    child: (child, attributes) => {
      log.push(`${name} > ${child} ${JSON.stringify(attributes)}`);
      return witness(log, child);
    },
    end: (failure) => void log.push(`end ${name}${failure === undefined ? "" : `: ${failure}`}`),
  };
}

describe("parseTraceparent", () => {
  test.each([
    [parent, 1],
    [`00-${traceId}-b7ad6b7169203331-00`, 0],
    [`01-${traceId}-b7ad6b7169203331-01-more`, 1],
    [undefined, undefined],
    ["", undefined],
    [`ff-${traceId}-b7ad6b7169203331-01`, undefined],
    [`00-${"0".repeat(32)}-b7ad6b7169203331-01`, undefined],
    [`00-${traceId}-${"0".repeat(16)}-01`, undefined],
    [`00-${traceId.toUpperCase()}-b7ad6b7169203331-01`, undefined],
  ])("of %p has flags %p", (text, flags) => {
    expect(parseTraceparent(text)?.flags).toBe(flags);
  });
});

describe("logFor", () => {
  const lineOf = (ctx: Ctx, format: "json" | "text", namesTraces = true): string => {
    let line = "";
    const log = createLogger({ level: "info", format, namesTraces, write: (text) => void (line = text) });
    logFor(ctx, log).info("here", { id: "c1" });
    return line;
  };

  test("has lines say which trace they belong to, as text and as JSON", () => {
    const ctx = createCtx({ metadata: new Map([["traceparent", parent]]) });
    expect(lineOf(ctx, "text")).toEndWith(` msg="here" trace_id=${traceId} id=c1\n`);
    expect(JSON.parse(lineOf(ctx, "json"))).toMatchObject({ msg: "here", trace_id: traceId, id: "c1" });
    expect(lineOf(createCtx(), "text")).toEndWith(' msg="here" id=c1\n');
  });

  test("keeps quiet about it where the log is not to say so", () => {
    const ctx = createCtx({ metadata: new Map([["traceparent", parent]]) });
    expect(lineOf(ctx, "text", false)).toEndWith(' msg="here" id=c1\n');
  });

  test("takes the trace that the call was given before the caller's", () => {
    const other = { ...witness([]), traceId: "f".repeat(32) };
    const ctx = createCtx({ metadata: new Map([["traceparent", parent]]), trace: other });
    expect(lineOf(ctx, "text")).toContain(`trace_id=${"f".repeat(32)}`);
  });
});

describe("traced", () => {
  test("does the work within a span, and closes it with what became of it", async () => {
    const heard: string[] = [];
    const ctx = createCtx({ namespace: "ns", trace: witness(heard) });
    const got = await traced(ctx, "outer", { size: 1 }, (outer) => {
      outer.step = "somewhere";
      return traced(outer, "inner", {}, async (inner) => inner.namespace);
    });
    await traced(ctx, "failing", {}, () => Promise.reject(new Error("no"))).catch(() => undefined);
    expect([got, ctx.step]).toEqual(["ns", "somewhere"]);
    expect(heard).toEqual([
      'call > outer {"size":1}',
      "outer > inner {}",
      "end inner",
      "end outer",
      "call > failing {}",
      "end failing: no",
    ]);
  });

  test("does just the work where nobody traces", async () => {
    const ctx = createCtx();
    expect(await traced(ctx, "outer", {}, async (own) => own)).toBe(ctx);
  });
});
