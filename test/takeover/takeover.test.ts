import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import fs from "node:fs/promises";
import path from "node:path";
import { openClient } from "../../src/client/client.ts";
import { launchDaemon } from "../support/daemon.ts";
import {
  busyboxImage,
  type Daemon,
  daemonNeeds,
  followEvents,
  importBusybox,
  missing,
  run,
  runOk,
  startContainerd,
  waitFor,
} from "../support/index.ts";

const top = path.resolve(import.meta.dir, "../..");
const lacks = missing(["ours", "containerd", ...daemonNeeds()]);

/** lighterd on the folders of a daemon that was stopped. Its end is the test's to see to: the folders are the other's. */
function lighterAt(old: Daemon): Promise<Daemon> {
  const { root, state, address, workspace, runtime } = old;
  const flags = ["--root", root, "--state", state, "--address", address, "--log-level", "debug"];
  const PATH = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;
  // A file that is not there would be the machine's own configuration.
  const config = path.join(workspace.folder, "lighter.toml");
  const command = [path.join(top, "bin/lighterd"), ...flags, "--config", config];
  return launchDaemon({ kind: "lighter", runtime, workspace, root, state, address, command, env: { PATH } });
}

/** What a client sees: each answer by the question. Ages are of the moment and left out. */
async function seen(daemon: Daemon): Promise<Readonly<Record<string, string>>> {
  const ask = (...args: string[]): Promise<string> => daemon.ctrOk(args);
  const answers: Record<string, string> = {
    namespaces: plain(await ask("namespaces", "ls")),
    images: plain(await ask("images", "ls")),
    content: plain((await ask("content", "ls")).replace(/\t[^\t]*(second|minute|hour)s?[^\t]*\t/g, "\t")),
    leases: plain(await ask("leases", "ls")),
    tasks: (await ask("tasks", "ls")).split("\n").toSorted().join("\n"),
  };
  using client = openClient({ address: daemon.address, namespace: daemon.namespace });
  for (const container of (await client.containers.list({})).containers)
    answers[`container ${container.id}`] = text(container);
  for await (const { info } of client.snapshots.list({ snapshotter: "overlayfs" })) {
    for (const { name: key, ...facts } of info) {
      answers[`snapshot ${key}`] = text(facts);
      // Of one whose folder is gone there is none.
      const usage = client.snapshots.usage({ snapshotter: "overlayfs", key }).then(text, String);
      answers[`usage ${key}`] = await usage;
    }
  }
  return answers;
}

/** A message as text, to the nanosecond. */
function text(message: object): string {
  const sorted = (_key: string, value: unknown): unknown => {
    if (typeof value === "bigint") return String(value);
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    if (value instanceof Uint8Array) return Buffer.from(value).toString();
    return Object.fromEntries(Object.entries(value).toSorted(([one], [other]) => (one < other ? -1 : 1)));
  };
  return JSON.stringify(message, sorted, 1);
}

/** A table without its widths; ctr prints labels in any order. */
const plain = (table: string): string =>
  table
    .split("\n")
    .map((line) =>
      line
        .split(/\s+/)
        .map((cell) => cell.split(",").toSorted().join(","))
        .join(" "),
    )
    .join("\n");

const hashOf = (file: string): string => createHash("sha256").update(readFileSync(file)).digest("hex");
const databasesOf = ({ root }: Daemon): readonly string[] => [
  hashOf(`${root}/io.containerd.metadata.v1.bolt/meta.db`),
  hashOf(`${root}/io.containerd.snapshotter.v1.overlayfs/metadata.db`),
];

/** A store with something of each sort: an image, containers that run, ended and never ran, leases, labels, snapshots, an upload. */
async function fill(daemon: Daemon): Promise<void> {
  await importBusybox(daemon);
  const sleeping = ["--null-io", ...daemon.runtimeFlags, busyboxImage];
  await daemon.ctrOk(["run", "-d", "--label", "kind=tug", ...sleeping, "runs", "sleep", "1000"]);
  await daemon.ctrOk([
    "run",
    "-d",
    "--null-io",
    ...daemon.runtimeFlags,
    busyboxImage,
    "ended",
    "sh",
    "-c",
    "echo kept > /left; exit 7",
  ]);
  await daemon.ctrOk(["run", "-d", ...sleeping, "stays", "sleep", "1000"]);
  await daemon.ctrOk(["containers", "create", busyboxImage, "made", "true"]);
  await daemon.ctrOk(["containers", "create", busyboxImage, "doomed", "true"]);
  await daemon.ctrOk(["images", "label", busyboxImage, "harbour=north"]);
  await daemon.ctrOk(["namespaces", "label", daemon.namespace, "team=pilots"]);
  await daemon.ctrOk(["leases", "create", "--id", "held", "--expires", "2h", "purpose=test"]);
  const parent = (await daemon.ctrOk(["snapshots", "info", "made"])).match(/"Parent": "([^"]+)"/)?.[1] ?? "";
  await daemon.ctrOk(["snapshots", "prepare", "spare", parent]);
  using client = openClient({ address: daemon.address, namespace: daemon.namespace });
  // A view that nothing holds would be collected.
  const labels = { "containerd.io/gc.root": "yes" };
  await client.snapshots.view({ snapshotter: "overlayfs", key: "looked-at", parent, labels });
  // What the import left is collected now, and not some time later.
  await client.leases.create({ id: "passing" });
  await client.leases.delete({ id: "passing", sync: true });
  await waitFor("the end of a task", async () => /ended +\d+ +STOPPED/.test(await daemon.ctrOk(["tasks", "ls"])));
}

describe.skipIf(lacks !== undefined)(
  `lighterd on a root of Debian's containerd${lacks === undefined ? "" : ` (${lacks})`}`,
  () => {
    test("shows what containerd showed, adopts what runs, and gives the root back", async () => {
      await using old = await startContainerd();
      await fill(old);
      const before = await seen(old);
      expect(before["tasks"]).toMatch(/runs +\d+ +RUNNING/);
      const pid = /runs +(\d+)/.exec(before["tasks"] ?? "")?.[1];
      const dry = [path.join(top, "bin/lighterd"), "takeover", "--dry-run", "--root", old.root, "--state", old.state];
      const refused = await run(dry);
      expect(refused.code).toBe(1);
      expect(refused.stderr).toMatch(/meta\.db is in use by containerd with pid \d+; stop it first/);
      await old.stop();
      const databases = databasesOf(old);
      const plan = JSON.parse(await runOk([...dry, "--json"]));
      expect(plan.notes).toEqual([]);
      expect(plan.tasks).toHaveLength(3);
      expect(plan.namespaces).toMatchObject([
        { namespace: old.namespace, images: 1, containers: 5, leases: 1, blobs: 4 },
      ]);

      await fs.writeFile(path.join(old.workspace.folder, "lighter.toml"), "version = 3\n");
      const lighter = await lighterAt(old);
      try {
        expect(await seen(lighter)).toEqual(before);
        expect(await handback(lighter)).toEqual({ code: 0, items: [] });
        await useIt(lighter, Number(pid));
        await changeIt(lighter);
        await lighter.kill();
        await lighter.start();
        const after = await seen(lighter);
        for (const same of ["namespaces", "leases", "container ended", "snapshot spare"])
          expect(after[same]).toBe(before[same]);
      } finally {
        await lighter.stop();
      }
      expect(databasesOf(old)).toEqual(databases);

      await old.start();
      const back = await seen(old);
      // What lighter deleted is known again; of a snapshot there are no bytes any more.
      const { tasks: _tasks, "usage doomed": _usage, ...kept } = before;
      expect(back).toMatchObject(kept);
      expect(back["tasks"]).toMatch(/stays +\d+ +RUNNING/);
      expect(await old.ctrOk(["tasks", "exec", "--exec-id", "e", "stays", "echo", "still here"])).toBe("still here\n");
      expect(
        await old.ctrOk(["run", "--rm", ...old.runtimeFlags, busyboxImage, "again", "cat", "/etc/greeting"]),
      ).toContain("ahoy");
      await old.ctrOk(["tasks", "start", "-d", "--null-io", "made"]);
      await old.ctrOk(["tasks", "rm", "-f", "made"]);
    }, 240_000);
  },
);

/** What was adopted is driven, and new things are made beside it. */
async function useIt(lighter: Daemon, pid: number): Promise<void> {
  expect(await lighter.ctrOk(["tasks", "exec", "--exec-id", "e", "runs", "echo", "adopted"])).toBe("adopted\n");
  expect(await lighter.ctrOk(["tasks", "ps", "runs"])).toContain(String(pid));
  expect(
    await lighter.ctrOk(["run", "--rm", ...lighter.runtimeFlags, busyboxImage, "new", "cat", "/etc/greeting"]),
  ).toContain("ahoy");
  expect((await lighter.ctr(["tasks", "rm", "ended"])).stderr).toContain("non-zero exit code 7");
  await using followed = await followEvents(lighter);
  await lighter.ctrOk(["tasks", "kill", "-s", "SIGKILL", "runs"]);
  await waitFor("the exit's event", () => followed.taskTopics().includes("/tasks/exit"));
  expect((await lighter.ctr(["tasks", "rm", "runs"])).stderr).toContain("non-zero exit code 137");
}

/** What `lighter handback` says. */
async function handback(lighter: Daemon): Promise<{ readonly code: number; readonly items: readonly string[] }> {
  const command = [path.join(top, "bin/lighter"), "--address", lighter.address, "handback", "--json"];
  const { code, stdout } = await run(command);
  const { items }: { items: { state: string; kind: string; name: string }[] } = JSON.parse(stdout);
  return { code, items: items.map(({ state, kind, name }) => `${state} ${kind} ${name}`).toSorted() };
}

/** Things are made, changed and deleted, and it is said what of that cannot be handed back. */
async function changeIt(lighter: Daemon): Promise<void> {
  await lighter.ctrOk(["images", "tag", busyboxImage, "lighter.test/tagged:1"]);
  await lighter.ctrOk(["containers", "label", "made", "changed=yes"]);
  await lighter.ctrOk(["containers", "rm", "doomed"]);
  await lighter.ctrOk(["run", "-d", "--null-io", ...lighter.runtimeFlags, busyboxImage, "own", "sleep", "1000"]);
  const said = await waitFor("the files to go", async () => {
    const told = await handback(lighter);
    return told.items.includes("missing snapshot overlayfs/doomed") && told;
  });
  expect(said).toEqual({
    code: 1,
    items: [
      "lost task own",
      "missing snapshot overlayfs/doomed",
      "older container made",
      "returns container doomed",
      "unseen container own",
      "unseen image lighter.test/tagged:1",
      "unseen snapshot overlayfs/own",
    ],
  });
  const table = await run([path.join(top, "bin/lighter"), "--address", lighter.address, "handback"]);
  expect(table.stdout).toMatch(/own +runs under lighter's own host/);
  await lighter.ctrOk(["tasks", "rm", "-f", "own"]);
  await lighter.ctrOk(["containers", "rm", "own"]);
}
