import { afterAll, beforeAll, describe, expect } from "bun:test";
import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { type Daemon, missing, runOk, sharedDaemon } from "../support/index.ts";
import { type PlatformImage, type PlatformImageOptions, writePlatformImage } from "../support/platform-image.ts";
import { type Registry, startRegistry } from "../support/registry.ts";
import { lighter, lighterOk } from "./support.ts";

const needs = ["ours", "registry"] as const;
const architectures = ["amd64", "arm64", "s390x"];
const platforms = architectures.map((architecture) => ({ os: "linux", architecture }));

let registry: Registry;
let folder = "";
if (missing(needs) === undefined) {
  beforeAll(async () => {
    folder = await fs.mkdtemp(path.join(os.tmpdir(), "lt-platforms-"));
    registry = await startRegistry({ folder });
  });
  afterAll(async () => {
    await registry?.[Symbol.asyncDispose]();
    await fs.rm(folder, { recursive: true, force: true });
  });
}

/** Brings an image for three platforms in, all of it or some. */
async function importImage(
  daemon: Daemon,
  name: string,
  more: Partial<PlatformImageOptions> = {},
): Promise<PlatformImage> {
  const file = path.join(folder, `${name}.tar`);
  const image = await writePlatformImage(file, { name: `lighter.test/${name}:1`, platforms, ...more });
  await lighterOk(daemon, ["image", "import", "--no-unpack", file]);
  return image;
}

interface Pushed {
  readonly digest: string;
  readonly architectures: readonly string[];
  readonly manifests: readonly string[];
}

/** Pushes, and answers with what the registry has under the name then. */
async function push(daemon: Daemon, name: string, ...options: string[]): Promise<Pushed> {
  const reference = `${registry.host}/${name}:1`;
  const words = ["push", "--json", "--plain-http", ...options, `lighter.test/${name}:1`, reference];
  const { digest } = JSON.parse(await lighterOk(daemon, words));
  const raw = await runOk(["skopeo", "inspect", "--raw", "--tls-verify=false", `docker://${reference}`]);
  expect(`sha256:${new Bun.CryptoHasher("sha256").update(raw).digest("hex")}`).toBe(digest);
  const manifests: { digest: string; platform: { architecture: string } }[] = JSON.parse(raw).manifests ?? [];
  return {
    digest,
    architectures: manifests.map(({ platform }) => platform.architecture),
    manifests: manifests.map((manifest) => manifest.digest),
  };
}

const imageNames = async (daemon: Daemon): Promise<string> => await daemon.ctrOk(["images", "ls", "-q"]);

describe("an image for several platforms", () => {
  const shared = sharedDaemon();

  shared.test(
    "is pushed whole as it is, and with --platform as a list of those that were asked for",
    async (daemon) => {
      const { digest, manifests } = await importImage(daemon, "whole");
      expect(await push(daemon, "whole")).toMatchObject({ digest, architectures });
      expect(await push(daemon, "whole", "--all-platforms")).toMatchObject({ digest, architectures });
      const two = await push(daemon, "whole", "--platform", "linux/s390x", "--platform", "linux/arm64");
      expect(two.architectures).toEqual(["arm64", "s390x"]);
      expect(two.manifests).toEqual(["arm64", "s390x"].map((name) => manifests.get(name) ?? ""));
      const one = await push(daemon, "whole", "--platform", "linux/arm64");
      expect(one).toEqual({ digest: manifests.get("arm64") ?? "", architectures: [], manifests: [] });
      expect(await imageNames(daemon)).not.toContain("-parts-");
      expect(await daemon.ctrOk(["leases", "ls", "-q"])).toBe("");
    },
    { needs },
  );

  shared.test(
    "of which some is here is pushed as that, and refused where more was asked for",
    async (daemon) => {
      await importImage(daemon, "partial", { absent: ["s390x"] });
      expect((await push(daemon, "partial")).architectures).toEqual(["amd64", "arm64"]);
      for (const options of [["--all-platforms"], ["--platform", "linux/s390x"]]) {
        const words = ["push", "--plain-http", ...options, "lighter.test/partial:1", `${registry.host}/partial:2`];
        expect(await lighter(daemon, words)).toMatchObject({
          code: 1,
          stderr: expect.stringContaining(`hint: lighter pull ${options.join(" ")} lighter.test/partial:1`),
        });
      }
      const both = ["push", "--all-platforms", "--platform", "linux/arm64", "lighter.test/partial:1"];
      expect(await lighter(daemon, both)).toMatchObject({ code: 2 });
      const { manifests } = await importImage(daemon, "single", { absent: ["s390x", "amd64"] });
      expect((await push(daemon, "single")).digest).toBe(manifests.get("arm64") ?? "");
    },
    { needs },
  );

  shared.test(
    "of which some is here is exported with --all-platforms as that, and others read it",
    async (daemon) => {
      const { digest, manifests } = await importImage(daemon, "exported", { absent: ["s390x"] });
      const file = path.join(folder, "exported-again.tar");
      const refused = await lighter(daemon, [
        "image",
        "export",
        "--platform",
        "linux/s390x",
        "-o",
        file,
        "lighter.test/exported:1",
      ]);
      expect(refused).toMatchObject({
        code: 1,
        stderr: expect.stringContaining("--all-platforms takes whatever is here"),
      });
      await lighterOk(daemon, ["image", "export", "--all-platforms", "-o", file, "lighter.test/exported:1"]);
      const members = (await runOk(["tar", "-tf", file])).trim().split("\n");
      const blob = (one = ""): string => `blobs/${one.replace(":", "/")}`;
      expect(members).toContain(blob(digest));
      const isThere = architectures.map((name) => members.includes(blob(manifests.get(name))));
      expect(isThere).toEqual([true, true, false]);
      const chosen = ["--override-os", "linux", "--override-arch", "arm64"];
      const inspected = await runOk(["skopeo", ...chosen, "inspect", "--config", `oci-archive:${file}`]);
      expect(JSON.parse(inspected)).toMatchObject({ architecture: "arm64" });
    },
    { needs },
  );

  shared.test(
    "whose layers are foreign, and are here, is pushed with them",
    async (daemon) => {
      const layerType = "application/vnd.oci.image.layer.nondistributable.v1.tar";
      const { layers } = await importImage(daemon, "foreign", { layerType });
      await push(daemon, "foreign");
      const blob = `http://${registry.host}/v2/foreign/blobs/${layers.get("arm64")}`;
      expect((await fetch(blob, { method: "HEAD" })).status).toBe(200);
    },
    { needs },
  );
});
