import { describe, expect, test } from "bun:test";
import { messageOf } from "./faults.ts";
import {
  formatRestartPolicy,
  formatRestartRecord,
  isExplicitlyStopped,
  restartLabels as labels,
  parseRestartPolicy,
  restartCountOf,
  restartRecordOf,
} from "./restart-labels.ts";

describe("parseRestartPolicy", () => {
  test.each([
    ["", "always"],
    ["no", "no"],
    ["always", "always"],
    ["unless-stopped", "unless-stopped"],
    ["on-failure", "on-failure"],
    ["on-failure:0", "on-failure"],
    ["on-failure:+5", "on-failure:5"],
    ["on-failure:3:4", "on-failure:3"],
  ])("%p is %s", (text, policy) => {
    expect(formatRestartPolicy(parseRestartPolicy(text))).toBe(policy);
  });

  test.each([
    ["sometimes", 'restart policy "sometimes" not supported'],
    ["always:3", 'restart policy "always" not support max retry count'],
    ["no:", 'restart policy "no" not support max retry count'],
    ["on-failure:", "invalid max retry count: "],
    ["on-failure:1e3", "invalid max retry count: 1e3"],
    ["on-failure:9223372036854775808", "invalid max retry count: 9223372036854775808"],
    ["toString", 'restart policy "toString" not supported'],
  ])("refuses %p with containerd's words", (text, said) => {
    const refused = (): string => {
      try {
        return formatRestartPolicy(parseRestartPolicy(text));
      } catch (error) {
        return messageOf(error);
      }
    };
    expect(refused()).toBe(`${said}: invalid argument`);
  });
});

describe("restartCountOf", () => {
  test.each([
    [undefined, 0],
    ["0", 0],
    ["12", 12],
    ["-3", 0],
    ["9007199254740991", Number.MAX_SAFE_INTEGER],
    ["9007199254740993", undefined],
    ["1.5", undefined],
    ["0x10", undefined],
    ["", undefined],
  ])("%p is %p", (text, count) => {
    expect(restartCountOf(text === undefined ? {} : { [labels.count]: text })).toBe(count);
  });
});

describe("isExplicitlyStopped", () => {
  test.each([
    ["true", true],
    ["1", true],
    ["TRUE", true],
    ["yes", false],
    ["false", false],
  ])("%p is %p", (text, stopped) => {
    expect(isExplicitlyStopped({ [labels.explicitlyStopped]: text })).toBe(stopped);
  });
});

describe("restartRecordOf", () => {
  const record = { state: "waiting", count: 3, waitMs: 400, reason: "r", task: "1.2", exitStatus: 7 } as const;

  test("reads what was written", () => {
    expect(restartRecordOf({ [labels.record]: formatRestartRecord(record) })).toEqual(record);
    const ended = { state: "ended", exitStatus: 0 } as const;
    expect(restartRecordOf({ [labels.record]: formatRestartRecord(ended) })).toEqual(ended);
  });

  test("keeps to what a label holds, and to waits that come to an end", () => {
    const long = formatRestartRecord({ ...record, waitMs: 2 ** 40, reason: "\u{1F600}".repeat(4000) });
    expect(Buffer.byteLength(long)).toBeLessThan(4000);
    expect(restartRecordOf({ [labels.record]: long })?.state).toBe("waiting");
    expect(restartRecordOf({ [labels.record]: long })).toMatchObject({ waitMs: 60_000 });
  });

  test.each([
    "",
    "{",
    "null",
    "3",
    "[]",
    '{"state":"waiting"}',
    '{"state":"waiting","count":-1}',
    '{"state":"waiting","count":1e300}',
    '{"state":"ended"}',
    '{"state":"ended","exitStatus":"0"}',
    '{"state":"dancing","count":1}',
  ])("takes %p for no record", (text) => {
    expect(restartRecordOf({ [labels.record]: text })).toBeUndefined();
  });
});
