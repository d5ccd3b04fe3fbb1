import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCtx } from "../../../lib/ctx.ts";
import { FaultError } from "../../../lib/faults.ts";
import { createLogger } from "../../../lib/log.ts";
import { isLocalhost, locate, noSettings, parseDuration } from "./host-config.ts";
import { parseHostsFile } from "./hosts-file.ts";
import { registryHosts } from "./registry-hosts.ts";

const everything = `
server = "https://registry.example"
capabilities = ["pull", "resolve"]
ca = "own.pem"
dial_timeout = "1m1.5s"

[host."https://mirror.example/prefix"]
  capabilities = ["Pull"]
  ca = ["/abs/a.pem", "b.pem"]
  client = [["c.cert", "c.key"], "both.pem"]
  skip_verify = true
  dial_timeout = "250ms"
  [host."https://mirror.example/prefix".header]
    x-one = "1"
    x-more = ["2", "3"]

[host."http://plain.example:5000/v2/"]
  client = "both.pem"

[host."other.example/odd/path"]
  override_path = true
`;

describe("parseHostsFile", () => {
  test("reads every key, in the order of the file, the server last", () => {
    const hosts = parseHostsFile(everything, "/etc/x");
    expect(hosts.map(({ scheme, authority, path }) => `${scheme}://${authority}${path}`)).toEqual([
      "https://mirror.example/prefix/v2",
      "http://plain.example:5000/v2",
      "https://other.example/odd/path",
      "https://registry.example/v2",
    ]);
    expect(hosts[0]).toMatchObject({
      capabilities: new Set(["pull"]),
      caFiles: ["/abs/a.pem", "/etc/x/b.pem"],
      clientPairs: [
        ["/etc/x/c.cert", "/etc/x/c.key"],
        ["/etc/x/both.pem", "/etc/x/both.pem"],
      ],
      skipVerify: true,
      dialTimeoutMs: 250,
    });
    expect([...(hosts[0]?.headers ?? [])]).toEqual([
      ["x-one", ["1"]],
      ["x-more", ["2", "3"]],
    ]);
    expect(hosts[1]?.clientPairs).toEqual([["/etc/x/both.pem", "/etc/x/both.pem"]]);
    expect(hosts[3]).toMatchObject({
      capabilities: new Set(["pull", "resolve"]),
      caFiles: ["/etc/x/own.pem"],
      dialTimeoutMs: 61_500,
    });
  });

  test("leaves the place of the registry open where no server is named", () => {
    expect(parseHostsFile(`[host."https://m"]`, "/x").at(-1)?.authority).toBeUndefined();
  });

  test.each([
    [`server = 5`, /server/],
    [`host = 5`, /host/],
    [`capabilities = ["fly"]`, /unknown capability fly/],
    [`ca = 5`, /ca: invalid type/],
    [`client = [["a"]]`, /client: invalid pair/],
    [`client = [["a", "b", "c"]]`, /client: invalid pair/],
    [`skip_verify = "yes"`, /skip_verify/],
    [`[host."https://m"]\noverride_path = "true"`, /override_path: "true" is not true or false/],
    [`dial_timeout = "soon"`, /invalid duration/],
    [`[header]\n"a b" = "x"`, /not a header's name/],
    [`[header]\nx = 5`, /header."x"/],
    [`[host."ftp://x"]`, /unable to parse server/],
    [`this is not toml`, /Invalid TOML/],
  ])("refuses %j", (text, why) => {
    expect(() => parseHostsFile(text, "/x")).toThrow(FaultError);
    expect(() => parseHostsFile(text, "/x")).toThrow(why);
  });
});

describe("locate", () => {
  test.each([
    ["docker.io", "", "https://registry-1.docker.io", false],
    ["example.com:5000", "", "https://example.com:5000", false],
    ["example.com:5000", "http", "http://example.com:5000", false],
    ["localhost", "", "https://localhost", false],
    ["localhost:443", "", "https://localhost:443", false],
    ["localhost:80", "", "http://localhost:80", false],
    ["127.0.0.1:5000", "", "https://127.0.0.1:5000", true],
    ["[::1]:5000", "", "https://[::1]:5000", true],
    ["127.0.0.1:5000", "http", "http://127.0.0.1:5000", false],
  ])("%s with %j is at %s", (host, scheme, want, fallback) => {
    const found = locate(host, noSettings, scheme);
    expect(`${found.scheme}://${found.authority}`).toBe(want);
    expect(found.plainFallback === true).toBe(fallback);
    expect(found.path).toBe("/v2");
  });

  test("a host of plain http with settings for TLS is tried with TLS first", () => {
    const [settings] = parseHostsFile(`[host."http://h:5000"]\nskip_verify = true`, "/x");
    expect(locate("h", settings ?? noSettings, "")).toMatchObject({ scheme: "https", plainFallback: true });
  });

  test.each(["localhost", "127.0.0.1:5", "127.9.9.9", "[::1]:5000", "::1"])("%s is this machine", (host) => {
    expect(isLocalhost(host)).toBe(true);
  });

  test.each(["localhost.evil.example", "127.0.0.1.evil.example", "128.0.0.1", "[::2]:5000", "example.com"])(
    "%s is not this machine",
    (host) => {
      expect(isLocalhost(host)).toBe(false);
    },
  );

  test.each([
    ["0", 0],
    ["1h2m3s", 3_723_000],
    ["1.5s", 1500],
    [".5s", 500],
    ["10us", 0.01],
  ])("parseDuration reads %s", (text, want) => {
    expect(parseDuration(text)).toBeCloseTo(want, 6);
  });
});

describe("registryHosts", () => {
  let folder: string;
  const lines: string[] = [];
  const log = createLogger({ level: "warn", format: "text", write: (line) => void lines.push(line) });
  const ctx = createCtx({ log });
  const put = (name: string, text: string): void => {
    const file = join(folder, name);
    mkdirSync(join(file, ".."), { recursive: true });
    writeFileSync(file, text);
  };
  const hosts = async (host: string, ...more: string[]): Promise<string[]> =>
    (await registryHosts(ctx, host, [folder, ...more], "")).map(({ scheme, authority }) => `${scheme}://${authority}`);

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "lighter-hosts-"));
    lines.length = 0;
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  test("looks for host_port_, then host:port, then _default, then in the next folder", async () => {
    put("next/h:5/hosts.toml", `server = "https://five"`);
    const next = join(folder, "next");
    expect(await hosts("h:5", next)).toEqual(["https://five"]);
    put("_default/hosts.toml", `server = "https://four"`);
    expect(await hosts("h:5", next)).toEqual(["https://four"]);
    put("h:5/hosts.toml", `server = "https://three"`);
    expect(await hosts("h:5", next)).toEqual(["https://three"]);
    put("h_5_/hosts.toml", `server = "https://two"`);
    expect(await hosts("h:5", next)).toEqual(["https://two"]);
  });

  test("puts the registry itself behind its mirrors", async () => {
    put("docker.io/hosts.toml", `[host."https://mirror"]\ncapabilities = ["pull"]`);
    expect(await hosts("docker.io")).toEqual(["https://mirror", "https://registry-1.docker.io"]);
  });

  test("reads docker's layout of certificates", async () => {
    for (const name of ["ca.crt", "me.cert", "me.key", "both.cert", "readme"]) put(`h/${name}`, "");
    const [found] = await registryHosts(ctx, "h", [folder], "");
    expect(found?.caFiles).toEqual([join(folder, "h/ca.crt")]);
    expect(found?.clientPairs.toSorted()).toEqual([
      [join(folder, "h/both.cert"), join(folder, "h/both.cert")],
      [join(folder, "h/me.cert"), join(folder, "h/me.key")],
    ]);
  });

  test("says what is wrong with a file, and goes on with the certificates beside it", async () => {
    put("h/hosts.toml", `capabilities = ["fly"]`);
    put("h/ca.crt", "");
    const [found] = await registryHosts(ctx, "h", [folder], "");
    expect(found).toMatchObject({ authority: "h", caFiles: [join(folder, "h/ca.crt")] });
    expect(lines.join()).toContain("unknown capability fly");
  });

  test("tells of keys that mean nothing, and goes by the others", async () => {
    put("h/hosts.toml", `capabilties = ["pull"]\n[host."https://m"]\nskip_verfy = true\nskip_verify = true`);
    expect(await hosts("h")).toEqual(["https://m", "https://h"]);
    const told = lines.filter((line) => line.includes("means nothing"));
    expect(told.map((line) => /key=(.*)$/m.exec(line)?.[1])).toEqual([
      "capabilties",
      expect.stringContaining("skip_verfy"),
    ]);
  });

  test("needs no folder", async () => {
    expect(await hosts("h", join(folder, "nowhere"))).toEqual(["https://h"]);
  });
});
