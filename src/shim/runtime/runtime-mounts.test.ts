import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { testAsRoot } from "../../sys/testing.ts";
import { isHybrid, readCgroupMounts } from "../cgroup/locate.ts";

const mounts = readCgroupMounts();
const title = "openRuntimeMounts hides the cgroup2 mount, and keeps nothing of what is made in its place";

/** In a process of its own, whose thread goes from namespace to namespace. */
const program = `
  import { createKernel } from "./src/sys/index.ts";
  import { readCgroupMounts } from "./src/shim/cgroup/locate.ts";
  import { openRuntimeMounts } from "./src/shim/runtime/runtime-mounts.ts";
  using mounts = openRuntimeMounts(createKernel(), readCgroupMounts());
  const run = (script) => mounts.around(() => Bun.spawnSync(["sh", "-c", script, "sh", process.argv[1]])).stdout.toString();
  process.stdout.write(run('stat -f -c %T "$1"; mkdir -p "$1/lighter-test/c" && echo made'));
  process.stdout.write(run('test -e "$1/lighter-test" && echo left; rm -rf "$1/lighter-test"'));
`;

// Where cgroup2 alone is mounted nothing is hidden: there is nothing to look at.
if (!isHybrid(mounts)) test.skip(`${title} [needs cgroup v1 beside cgroup2]`, () => {});
else
  testAsRoot(title, () => {
    const folder = mounts.v2?.folder ?? "";
    const { stdout, stderr } = spawnSync(process.execPath, ["-e", program, folder], { encoding: "utf8" });
    expect(stderr).toBe("");
    expect(stdout).toBe("tmpfs\nmade\n");
  });
