import { describe, expect } from "bun:test";
import { busyboxImage, type Daemon, sharedDaemon, waitFor } from "../support/index.ts";
import { environment, lighter, lighterOk, program } from "./support.ts";

interface Told {
  readonly topic: string;
  readonly event: Readonly<Record<string, unknown>>;
}

async function history(daemon: Daemon, ...words: readonly string[]): Promise<Told[]> {
  const text = await lighterOk(daemon, ["events", "--json", "--until", "0s", ...words]);
  return told(text);
}

function told(text: string): Told[] {
  return text
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Told);
}

const ids = (events: readonly Told[]): unknown[] => events.map(({ event }) => event["containerId"] ?? event["id"]);

describe("lighter events --since", () => {
  const shared = sharedDaemon();

  shared.test("tells of what happened before the daemon was killed, and goes on without a seam", async (daemon) => {
    const names = Array.from({ length: 6 }, (_, n) => `box${n}`);
    for (const name of names.slice(0, 3))
      await lighterOk(daemon, ["run", "--rm", "--name", name, busyboxImage, "true"]);
    // Whoever reads has it written: what the daemon itself did in the last 20 ms would be lost with it.
    expect((await history(daemon, "--since", "1h")).length).toBeGreaterThan(20);
    await daemon.kill();
    await daemon.start();
    expect(ids(await history(daemon, "--since", "1h", "tasks/exit"))).toEqual(names.slice(0, 3));
    await using following = follow(daemon, ["--since", "1h", "tasks/exit"]);
    for (const name of names.slice(3)) await lighterOk(daemon, ["run", "--rm", "--name", name, busyboxImage, "true"]);
    await waitFor("what happens meanwhile", () => ids(told(following.text())).includes("box5"));
    expect(ids(told(following.text()))).toEqual(names);
    await daemon.stop();
    await daemon.start();
    const whole = await history(
      daemon,
      "--since",
      "1h",
      "-f",
      "topic==/containers/delete",
      "-f",
      "topic==/tasks/start",
    );
    expect(ids(whole)).toEqual(names.flatMap((name) => [name, name]));
    expect(await history(daemon, "--since", "0s")).toEqual([]);
    expect((await lighter(daemon, ["events", "--since", "soon"])).code).toBe(2);
  });
});

function follow(daemon: Daemon, words: readonly string[]): AsyncDisposable & { text(): string } {
  const child = Bun.spawn([program, "events", "--json", ...words], {
    env: { ...process.env, ...environment(daemon) },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
  });
  let text = "";
  const reading = (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of child.stdout) text += decoder.decode(chunk, { stream: true });
  })();
  return {
    text: () => text,
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await reading;
    },
  };
}
