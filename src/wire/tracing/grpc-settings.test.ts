import { describe, expect, test } from "bun:test";
import { isFault } from "../../lib/faults.ts";
import { type GrpcTarget, grpcTarget } from "./grpc-settings.ts";
import type { Environment } from "./settings.ts";

const none = { endpoint: "", insecure: false };
const noFiles = { ca: undefined, cert: undefined, key: undefined };
const at = (endpoint: string, more: Environment = {}): Environment => ({
  OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
  ...more,
});

describe("grpcTarget", () => {
  test.each<[env: Environment, given: Partial<typeof none>, want: Partial<GrpcTarget>]>([
    [{}, {}, { place: { host: "localhost", port: 4317 }, tls: undefined, timeoutMs: 10_000, gzip: false }],
    [at("http://c:80/ignored"), {}, { place: { host: "c", port: 80 }, tls: undefined }],
    [at("http://c"), {}, { place: { host: "c", port: 4317 }, tls: undefined }],
    [at("https://c"), {}, { place: { host: "c", port: 443 }, tls: noFiles }],
    [at("http://[::1]:4317"), {}, { place: { host: "::1", port: 4317 }, tls: undefined }],
    [at("unix:///run/otel.sock"), {}, { place: { path: "/run/otel.sock" }, tls: undefined }],
    [at("c:4317"), {}, { place: { host: "c", port: 4317 }, tls: noFiles }],
    [at("c:4317", { OTEL_EXPORTER_OTLP_INSECURE: "TRUE" }), {}, { tls: undefined }],
    [at("c", { OTEL_EXPORTER_OTLP_TRACES_INSECURE: "true" }), {}, { place: { host: "c", port: 4317 }, tls: undefined }],
    [at("https://c:1", { OTEL_EXPORTER_OTLP_INSECURE: "true" }), {}, { tls: noFiles }],
    [{}, { endpoint: "c:4317", insecure: true }, { place: { host: "c", port: 4317 }, tls: undefined }],
    [at("http://a:1", { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://b:2" }), {}, { place: { host: "b", port: 2 } }],
    [
      at("https://c", {
        OTEL_EXPORTER_OTLP_CERTIFICATE: "/ca",
        OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE: "/ca2",
        OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: "/cert",
        OTEL_EXPORTER_OTLP_CLIENT_KEY: "/key",
      }),
      {},
      { tls: { ca: "/ca2", cert: "/cert", key: "/key" } },
    ],
    [
      at("http://c", {
        OTEL_EXPORTER_OTLP_HEADERS: "Api-Key=a%20b=, x = 1 ,broken",
        OTEL_EXPORTER_OTLP_TRACES_HEADERS: "x=50%",
      }),
      {},
      {
        headers: new Map([
          ["api-key", "a b="],
          ["x", "50%"],
        ]),
      },
    ],
    [
      at("http://c", { OTEL_EXPORTER_OTLP_TIMEOUT: "200", OTEL_EXPORTER_OTLP_COMPRESSION: "gzip" }),
      {},
      { timeoutMs: 200, gzip: true },
    ],
  ])("of %j and %j", (env, given, want) => {
    const got = grpcTarget(env, { ...none, ...given });
    expect(got).toMatchObject(want);
    if ("tls" in want) expect(got.tls).toEqual(want.tls);
  });

  test.each<[env: Environment, text: string]>([
    [at("ftp://c"), 'endpoint "ftp://c" is none'],
    [at("http://"), 'endpoint "http://" is none'],
    [at("http://c", { OTEL_EXPORTER_OTLP_TIMEOUT: "soon" }), '"soon" is no number'],
  ])("refuses %j", (env, text) => {
    try {
      grpcTarget(env, none);
    } catch (error) {
      expect([isFault(error, "invalidArgument"), String(error)]).toEqual([true, expect.stringContaining(text)]);
      return;
    }
    throw new Error("it was taken");
  });
});
