import { describe, expect } from "bun:test";
import { createHash } from "node:crypto";
import fs from "node:fs/promises";
import path from "node:path";
import {
  busyboxImage,
  collectsWhenAsked,
  type Daemon,
  runOk,
  sharedDaemon,
  writeBusyboxImage,
} from "../support/index.ts";

const shared = sharedDaemon({ config: collectsWhenAsked });
const rows = (text: string): readonly string[] =>
  text
    .split("\n")
    .slice(1)
    .filter((line) => line.trim() !== "");
const digestOf = (text: string): string => `sha256:${createHash("sha256").update(text).digest("hex")}`;

async function imageDigest(daemon: Daemon): Promise<string> {
  const line = rows(await daemon.ctrOk(["images", "ls"])).find((row) => row.startsWith(busyboxImage));
  return /sha256:[0-9a-f]{64}/.exec(line ?? "")?.[0] ?? "";
}

describe("ctr images", () => {
  shared.test("import names the image and its unpacked size", async (daemon) => {
    const line = rows(await daemon.ctrOk(["images", "ls"])).find((row) => row.startsWith(busyboxImage)) ?? "";
    expect(line).toContain("application/vnd.oci.image.manifest.v1+json");
    expect(line).toMatch(/1\.\d MiB/);
    expect(line).toContain("linux/");
  });

  shared.test("import twice is no error", async (daemon) => {
    const file = await writeBusyboxImage(path.join(daemon.workspace.folder, "again.tar"));
    await daemon.ctrOk(["images", "import", file]);
    expect((await daemon.ctrOk(["images", "ls", "-q"])).split("\n").filter(Boolean)).toEqual([busyboxImage]);
  });

  shared.test("import of what is no archive says so", async (daemon) => {
    const file = path.join(daemon.workspace.folder, "no-archive.tar");
    await fs.writeFile(file, "this is not an archive".repeat(100));
    const result = await daemon.ctr(["images", "import", file]);
    expect(result.code).not.toBe(0);
    expect(result.stderr).not.toBe("");
  });

  shared.test("check finds it complete", async (daemon) => {
    expect(await daemon.ctrOk(["images", "check"])).toMatch(/complete \(3\/3\).*true/);
  });

  shared.test("tag, label and rm act on one name alone", async (daemon) => {
    await daemon.ctrOk(["images", "tag", busyboxImage, "lighter.test/other:2"]);
    await daemon.ctrOk(["images", "label", "lighter.test/other:2", "deck=lower"]);
    expect(await daemon.ctrOk(["images", "ls", "labels.deck==lower"])).toContain("lighter.test/other:2");
    expect(await daemon.ctrOk(["images", "ls", "labels.deck==lower"])).not.toContain(busyboxImage);
    await daemon.ctrOk(["images", "rm", "lighter.test/other:2"]);
    expect((await daemon.ctrOk(["images", "ls", "-q"])).trim()).toBe(busyboxImage);
  });

  shared.test("rm with --sync collects what only that image held", async (daemon) => {
    const name = "lighter.test/short-lived:1";
    const file = path.join(daemon.workspace.folder, "short.tar");
    await daemon.ctrOk(["images", "import", await writeBusyboxImage(file, name)]);
    await daemon.ctrOk(["images", "rm", "--sync", name]);
    expect(await daemon.ctrOk(["images", "check"])).toMatch(/complete \(3\/3\)/);
  });

  shared.test("export brings an archive that can be imported", async (daemon) => {
    const file = path.join(daemon.workspace.folder, "export.tar");
    await daemon.ctrOk(["images", "export", file, busyboxImage]);
    expect(await runOk(["tar", "tf", file])).toContain("index.json");
    await daemon.ctrOk(["images", "import", file]);
  });

  shared.test("mount shows the image's files", async (daemon) => {
    const folder = path.join(daemon.workspace.folder, "mounted");
    await fs.mkdir(folder);
    await daemon.ctrOk(["images", "mount", busyboxImage, folder]);
    expect(await fs.readFile(path.join(folder, "etc/greeting"), "utf8")).toBe("ahoy from the second layer\n");
    await daemon.ctrOk(["images", "unmount", "--rm", folder]);
  });
});

describe("ctr content", () => {
  shared.test("ls shows every blob with size and labels", async (daemon) => {
    const lines = rows(await daemon.ctrOk(["content", "ls"]));
    expect(lines.length).toBeGreaterThanOrEqual(4);
    expect(lines.join("\n")).toContain("containerd.io/gc.ref.content.config=sha256:");
    expect(lines.join("\n")).toContain("containerd.io/uncompressed=sha256:");
  });

  shared.test("get brings a blob's bytes", async (daemon) => {
    const digest = await imageDigest(daemon);
    const manifest = await daemon.ctrOk(["content", "get", digest]);
    expect(digestOf(manifest)).toBe(digest);
  });

  shared.test("ingest, label, ls with a filter and rm", async (daemon) => {
    const text = `cargo ${"x".repeat(100_000)}`;
    await daemon.ctrOk(["content", "ingest", "--expected-digest", digestOf(text), "bale"], { input: text });
    await daemon.ctrOk(["content", "label", digestOf(text), "deck=middle"]);
    expect(await daemon.ctrOk(["content", "ls", "-q", "labels.deck==middle"])).toBe(`${digestOf(text)}\n`);
    expect(await daemon.ctrOk(["content", "get", digestOf(text)])).toBe(text);
    await daemon.ctrOk(["content", "rm", digestOf(text)]);
    expect((await daemon.ctr(["content", "get", digestOf(text)])).stderr).toContain("not found");
  });

  shared.test("ingest refuses bytes of another digest", async (daemon) => {
    const args = ["content", "ingest", "--expected-digest", digestOf("tea"), "chest"];
    const result = await daemon.ctr(args, { input: "coffee" });
    expect(result.code).not.toBe(0);
    expect(result.stderr).toContain("unexpected commit digest");
  });

  shared.test("active lists nothing when nothing is under way", async (daemon) => {
    expect(rows(await daemon.ctrOk(["content", "active"])).filter((row) => !row.includes("chest"))).toEqual([]);
  });

  shared.test("get of an unknown digest is not found", async (daemon) => {
    const result = await daemon.ctr(["content", "get", digestOf("nothing")]);
    expect(result.code).not.toBe(0);
    expect(result.stderr).toContain("not found");
  });
});
