import { describe, expect, test } from "bun:test";
import { requestProblem, responseProblem, trailersProblem } from "./header-rules.ts";

const request = (...more: string[]): string =>
  requestProblem({
    fields: [":method", "POST", ":scheme", "http", ":path", "/x", ...more],
    attachment: undefined,
    requestProblem: undefined,
  });

describe("requestProblem", () => {
  test("finds none in what clients send", () => {
    expect(
      request(":authority", "localhost", "te", "trailers", "content-type", "application/grpc", "x-bin", "+="),
    ).toBe("");
    // What Go's clients put there for a unix socket.
    expect(request(":authority", "%2Frun%2Fcontainerd%2Fcontainerd.sock")).toBe("");
  });

  test.each([
    [["X-Upper", "1"], "malformed"],
    [["a b", "1"], "malformed"],
    [["a", "line\nbreak"], "malformed"],
    [["a", " padded"], "malformed"],
    [["connection", "close"], "connection-specific"],
    [["transfer-encoding", "chunked"], "connection-specific"],
    [["te", "gzip"], "te says"],
    [[":path", "/y"], "twice"],
    [[":status", "200"], "no place"],
    [["a", "1", ":authority", "x"], "after a regular one"],
  ])("of %p: %s", (fields, problem) => {
    expect(request(...fields)).toContain(problem);
  });
});

test("responseProblem wants :status, trailersProblem no pseudo-header field", () => {
  expect(responseProblem([":status", "200", "a", "1"])).toBe("");
  expect(responseProblem(["a", "1"])).toBe(":status is missing");
  expect(trailersProblem(["grpc-status", "0"])).toBe("");
  expect(trailersProblem([":status", "200"])).toContain("no place");
});
