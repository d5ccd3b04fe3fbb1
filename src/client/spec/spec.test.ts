import { describe, expect, test } from "bun:test";
import { emptyConfig } from "../images/image-config.ts";
import { containerSpec } from "./container-spec.ts";
import { execProcess } from "./exec-process.ts";
import { mountFlag, volumeMount } from "./mount-flags.ts";
import { resolveUser } from "./users.ts";

const image = { ...emptyConfig, env: ["PATH=/bin", "A=image"], entrypoint: ["/entry"], cmd: ["default"], cwd: "/srv" };
const root = { uid: 0, gid: 0 };

describe("containerSpec", () => {
  test("takes what the image says", () => {
    const { process, linux } = containerSpec("ns", "c1", image, root, {});
    expect(process).toMatchObject({
      args: ["/entry", "default"],
      cwd: "/srv",
      env: ["PATH=/bin", "A=image", "HOSTNAME=c1"],
    });
    expect(process.rlimits).toBeUndefined();
    expect(linux.cgroupsPath).toBe("/ns/c1");
  });

  test("puts the caller's words before the image's", () => {
    const { process } = containerSpec("ns", "c1", image, root, { args: ["x"], env: ["A=mine"], cwd: "/" });
    expect(process).toMatchObject({ args: ["/entry", "x"], cwd: "/", env: ["PATH=/bin", "A=mine", "HOSTNAME=c1"] });
    expect(containerSpec("ns", "c1", image, root, { entrypoint: ["sh"] }).process.args).toEqual(["sh"]);
  });

  test("sets limits and leaves swap alone", () => {
    const { resources } = containerSpec("ns", "c1", image, root, { cpus: 1.5, memoryBytes: 64, pidsLimit: 5 }).linux;
    expect(resources).toMatchObject({
      cpu: { quota: 150_000, period: 100_000 },
      memory: { limit: 64 },
      pids: { limit: 5 },
    });
  });

  test("changes capabilities and refuses unknown ones", () => {
    const { capabilities } = containerSpec("ns", "c1", image, root, {
      capDrop: ["ALL"],
      capAdd: ["net_admin"],
    }).process;
    expect(capabilities?.bounding).toEqual(["CAP_NET_ADMIN"]);
    expect(() => containerSpec("ns", "c1", image, root, { capAdd: ["NOPE"] })).toThrow(
      'capability "NOPE" is not known',
    );
  });

  test("refuses a container without a command", () => {
    expect(() => containerSpec("ns", "c1", emptyConfig, root, {})).toThrow("no command given");
  });
});

describe("resolveUser", () => {
  const files: Record<string, string> = {
    "/etc/passwd": "root:x:0:0::/:/bin/sh\nbob:x:1000:100::/:/bin/sh\nbroken\n",
    "/etc/group": "root:x:0:\nwheel:x:10:root,bob\nusers:x:100:\n",
  };
  const read = (path: string): string | undefined => files[path];
  test.each([
    ["", { uid: 0, gid: 0, additionalGids: [0, 10] }],
    ["bob", { uid: 1000, gid: 100, additionalGids: [100, 10] }],
    ["bob:wheel", { uid: 1000, gid: 10, additionalGids: [10] }],
    ["5:6", { uid: 5, gid: 6, additionalGids: [6] }],
  ])("reads %p", (user, wanted) => {
    expect(resolveUser(user, read)).toEqual(wanted);
  });
  test.each(["eve", "bob:nogroup", "1:2:3", "99999999999", "-1"])("refuses %p", (user) => {
    expect(() => resolveUser(user, read)).toThrow();
  });
});

test("an exec has the limits of its container to the last digit", () => {
  const spec = '{"process":{"rlimits":[{"type":"RLIMIT_CORE","hard":18446744073709551615,"soft":1}]}}';
  const process = execProcess(Buffer.from(spec), { args: ["true"], env: [], terminal: false });
  expect(JSON.stringify(process)).toContain('"hard":18446744073709551615,"soft":1}');
});

test("volumes and mounts are read as docker reads them", () => {
  expect(volumeMount("/a:/b:ro", "/w")).toEqual({
    destination: "/b",
    type: "bind",
    source: "/a",
    options: ["rbind", "ro"],
  });
  expect(volumeMount("./a:/b", "/w").source).toBe("/w/./a");
  expect(mountFlag("type=bind,src=/a,dst=/b,readonly", "/w").options).toEqual(["rbind", "ro"]);
  expect(mountFlag("type=tmpfs,dst=/t,tmpfs-size=1m", "/w").options).toEqual(["size=1m"]);
  expect(() => volumeMount("name:/b", "/w")).toThrow("named volumes");
  expect(() => mountFlag("type=bind,src=/a,dst=b", "/w")).toThrow("absolute");
});
