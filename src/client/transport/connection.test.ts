import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Version } from "../../gen/containerd/services/version/v1/version_pb.ts";
import { CallBed, faultOfCall } from "../../wire/grpc/testing.ts";
import { connectUnix } from "./connection.ts";

const bed = new CallBed();
beforeAll(() => bed.open());
afterAll(() => bed[Symbol.asyncDispose]());

const service = "containerd.services.version.v1.Version";

describe("a call's timeoutMs", () => {
  // More than eight digits of milliseconds, more than setTimeout can wait for, and no end at all.
  test.each([99_999_999.5, 2 ** 31, 1e15, Number.POSITIVE_INFINITY])("of %d is not over now", async (timeoutMs) => {
    bed.version = () => Bun.sleep(20).then(() => ({ version: "late" }));
    using connection = connectUnix(bed.path);
    const { version } = await connection.service<typeof Version>(service).version({}, { timeoutMs });
    expect(version).toBe("late");
  });

  test.each([30, 0, -1])("of %d ends the call", async (timeoutMs) => {
    bed.version = () => new Promise(() => {});
    using connection = connectUnix(bed.path);
    const call = connection.service<typeof Version>(service).version({}, { timeoutMs });
    expect(await faultOfCall(call)).toStartWith("deadlineExceeded: ");
  });
});
