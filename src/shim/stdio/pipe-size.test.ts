import { describe, expect, test } from "bun:test";
import { createKernel } from "../../sys/index.ts";
import { createFakeKernel } from "../../sys/testing.ts";
import { enlargePipe, outputPipeBytes } from "./pipe-size.ts";

const [EPERM, EBUSY, EBADF] = [1, 16, 9];

describe("enlargePipe", () => {
  test("makes a new pipe hold as much as is asked for", () => {
    const kernel = createKernel();
    const [read, write] = kernel.pipe();
    try {
      expect(enlargePipe(kernel, write, outputPipeBytes)).toBeUndefined();
      expect(kernel.pipeSize(read)).toBe(outputPipeBytes);
    } finally {
      kernel.close(read);
      kernel.close(write);
    }
  });

  test("leaves a pipe alone that holds more", () => {
    const kernel = createFakeKernel({ pipeSize: () => 1 << 20 });
    expect(enlargePipe(kernel, 7, outputPipeBytes)).toBeUndefined();
    expect(kernel.calls.map(({ name }) => name)).toEqual(["pipeSize"]);
  });

  test("says which bounds there are where the system allows no more", () => {
    const kernel = createFakeKernel({ pipeSize: () => 64 << 10 });
    kernel.fail("setPipeSize", EPERM);
    expect(enlargePipe(kernel, 7, outputPipeBytes)).toMatch(
      /not permitted: .*pipe-max-size is \d+.*pipe-user-pages-soft is \d+/,
    );
  });

  test.each([EBUSY, EBADF])("says why, whatever it is (errno %d)", (errno) => {
    const kernel = createFakeKernel({ pipeSize: () => 64 << 10 });
    kernel.fail("setPipeSize", errno);
    expect(enlargePipe(kernel, 7, outputPipeBytes)).toMatch(/setPipeSize/);
  });
});
