import { describe, expect, test } from "bun:test";
import { FaultError } from "../../lib/faults.ts";
import { pause } from "../../lib/pause.ts";
import { parsePlatform } from "../../lib/platforms.ts";
import { mergeScopes } from "./auth/authorizer.ts";
import { parseChallenges } from "./auth/challenge.ts";
import { createHostHealth } from "./hosts/host-health.ts";
import { parseHostsFile } from "./hosts/hosts-file.ts";
import { pauseMs, retryAfterMs } from "./http/backoff.ts";
import { parseWarnings } from "./http/warnings.ts";
import { parseRef } from "./reference.ts";
import { shownUrl } from "./registry/registry-error.ts";

describe("parseChallenges", () => {
  const plain = (header: string): unknown =>
    parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);

  test("reads what registries send", () => {
    const header = `Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"`;
    expect(plain(header)).toEqual([
      [
        "bearer",
        { realm: "https://auth.docker.io/token", service: "registry.docker.io", scope: "repository:a/b:pull,push" },
      ],
    ]);
  });

  test("puts Bearer before Basic, whatever came first", () => {
    expect(
      plain(`Basic realm="a, \\"b\\"", Digest x=y , BEARER Realm = http://r/?a=b ,error="insufficient_scope"`),
    ).toEqual([
      ["bearer", { realm: "http://r/?a=b", error: "insufficient_scope" }],
      ["basic", { realm: 'a, "b"' }],
      ["digest", { x: "y" }],
    ]);
  });

  test.each(["", ",,,", `realm="x`, "=", "\u0000", `Bearer realm="`.repeat(10_000), "a ".repeat(50_000)])(
    "survives nonsense",
    (header) => {
      expect(parseChallenges(header).length).toBeLessThanOrEqual(32);
    },
  );
});

describe("mergeScopes", () => {
  test.each([
    [["repository:a:pull", "repository:a:pull,push"], ["repository:a:pull,push"]],
    [
      ["repository:b:pull", "repository:a:push,pull"],
      ["repository:a:pull,push", "repository:b:pull"],
    ],
    [
      ["registry:catalog:*", "odd"],
      ["odd", "registry:catalog:*"],
    ],
    [[], []],
  ])("of %j is %j", (scopes, want) => {
    expect(mergeScopes(scopes)).toEqual(want);
  });
});

describe("HostHealth", () => {
  const start = (): { clock: { now: number }; health: ReturnType<typeof createHostHealth> } => {
    const clock = { now: 1000 };
    return { clock, health: createHostHealth({ now: () => clock.now }) };
  };

  test("passes over a host that failed, for longer each time, and lets one caller try", () => {
    const { clock, health } = start();
    expect(health.admits("h")).toBe(true);
    health.failed("h");
    health.failed("h");
    expect(health.admits("h")).toBe(false);
    clock.now += 30_001;
    expect([health.admits("h"), health.admits("h")]).toEqual([true, false]);
    clock.now += 30_001;
    expect(health.admits("h")).toBe(true);
    clock.now += 30_001;
    health.failed("h");
    clock.now += 31_000;
    expect(health.admits("h")).toBe(false);
    clock.now += 30_000;
    expect(health.admits("h")).toBe(true);
  });

  test("forgets failures once the host answers", () => {
    const { health } = start();
    health.failed("h");
    health.succeeded("h");
    expect(health.admits("h")).toBe(true);
  });

  test("dials once for all who ask, and not right after an answer", async () => {
    const { clock, health } = start();
    let dials = 0;
    const { promise, resolve } = Promise.withResolvers<void>();
    const dial = (): Promise<void> => {
      dials++;
      return promise;
    };
    const all = [health.reach("h", dial), health.reach("h", dial), health.reach("h", dial)];
    resolve();
    await Promise.all(all);
    expect(dials).toBe(1);
    health.succeeded("h");
    await health.reach("h", dial);
    expect(dials).toBe(1);
    clock.now += 60_000;
    await health.reach("h", dial);
    expect(dials).toBe(2);
  });
});

describe("backoff", () => {
  const backoff = { maxAttempts: 5, baseMs: 100, longestMs: 1000 };

  test.each([1, 2, 3, 10])("pauses before try %d between half and all of its due", (attempt) => {
    const full = Math.min(100 * 2 ** (attempt - 1), 1000);
    for (let i = 0; i < 100; i++) {
      expect(pauseMs(backoff, attempt)).toBeGreaterThanOrEqual(full / 2);
      expect(pauseMs(backoff, attempt)).toBeLessThanOrEqual(full);
    }
  });

  test.each([
    [null, undefined],
    ["3", 3000],
    ["0", 0],
    ["soon", undefined],
    ["-1", undefined],
    ["2099-01-01", undefined],
    ["Thu, 01 Jan 1970 00:00:05 GMT", 4000],
    ["Thu, 01 Jan 1970 00:00:00 GMT", 0],
  ])("Retry-After %j", (header, want) => {
    expect(retryAfterMs(header, 1000)).toBe(want);
  });

  test("a pause ends with its signal", async () => {
    const controller = new AbortController();
    const waiting = pause(60_000, controller.signal);
    controller.abort();
    expect(String(await waiting.catch((error: unknown) => error))).toContain("context canceled");
  });
});

describe("parseWarnings", () => {
  test.each([
    [null, []],
    [`299 - "tag is \\"old\\""`, ['tag is "old"']],
    [`299 - "one", 299 - "two"`, ["one", "two"]],
    [`199 - "no"`, []],
    [`299 - "\u001b[31mred"`, ["[31mred"]],
  ])("of %j", (header, want) => {
    expect(parseWarnings(header)).toEqual(want);
  });
});

describe("shownUrl", () => {
  test("hides what may be secret", () => {
    const url = new URL("https://user:secret@h/v2/a?ns=docker.io&sig=abc&sig=def");
    expect(shownUrl(url)).toBe("https://h/v2/a?ns=docker.io&sig=REDACTED");
  });
});

describe("what hosts and files say, changed at random", () => {
  const seeds = [
    `Bearer realm="https://auth.docker.io/token",service="x",scope="repository:a/b:pull,push", Basic realm="y"`,
    `server = "https://h"\n[host."https://m"]\ncapabilities = ["pull"]\nclient = [["a", "b"]]\n[host."https://m".header]\nx = ["1"]`,
    "registry.example:5000/some/name:tag@sha256:0123456789abcdef",
    `299 - "text \\" and more", 299 - "two"`,
    "linux(10.0+feature)/arm64/v8",
  ];

  test("is read or refused, and nothing else", () => {
    let state = 99;
    const random = (below: number): number => {
      state = (state * 1103515245 + 12345) & 0x7fffffff;
      return (state >> 8) % below;
    };
    const readers = [
      (text: string) => parseChallenges(text),
      (text: string) => parseHostsFile(text, "/x"),
      (text: string) => parseRef(text),
      (text: string) => parseWarnings(text),
      (text: string) => parsePlatform(text),
    ];
    for (let round = 0; round < 10_000; round++) {
      const which = random(seeds.length);
      const characters = (seeds[which] ?? "").split("");
      for (let changes = 1 + random(6); changes > 0; changes--) {
        const other = String.fromCharCode(random(4) === 0 ? random(0x10000) : random(128));
        characters.splice(random(characters.length), random(3), ...(random(2) === 0 ? [other] : []));
      }
      try {
        readers[which]?.(characters.join(""));
      } catch (error) {
        expect(error).toBeInstanceOf(FaultError);
      }
    }
  });
});
