import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import { join, resolve } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import {
  type ContainerApi,
  connectApi,
  type Daemon,
  daemonNeeds,
  followEvents,
  importBusybox,
  type RuntimeName,
  run,
  startLighter,
  testNeeding,
  waitFor,
} from "../support/index.ts";

const lighterd = resolve(import.meta.dir, "../../bin/lighterd");

/** Makes a container whose runtime runs these hooks. */
async function createHooked(api: ContainerApi, id: string, hooks: object): Promise<void> {
  await api.create(id, ["sleep", "1000"]);
  const { container } = await api.containers.get({ id });
  const { typeUrl = "", value = new Uint8Array() } = container?.spec ?? {};
  const spec = { ...(JSON.parse(new TextDecoder().decode(value)) as object), hooks };
  const encoded = new TextEncoder().encode(JSON.stringify(spec));
  await api.containers.update({
    container: { id, spec: { typeUrl, value: encoded } },
    updateMask: { paths: ["spec"] },
  });
}

function hook(...words: readonly string[]): object {
  return { path: lighterd, args: ["lighterd", "oci-hook", "--", ...words], env: [`PATH=${process.env["PATH"]}`] };
}

/** What a hook appends to a file, a line each time, and publishes through the daemon. */
async function hookScript(daemon: Daemon, lines: string): Promise<string> {
  const [event, script] = [join(daemon.workspace.folder, "event"), join(daemon.workspace.folder, "hook.sh")];
  await fs.writeFile(event, toBinary(AnySchema, create(AnySchema, { typeUrl: "barge/hook", value: Uint8Array.of(1) })));
  const publish = `"${lighterd}" --address "${daemon.address}" publish --namespace ${daemon.namespace}`;
  await fs.writeFile(script, `set -e\necho "$@" >> "${lines}"\n${publish} --topic "/hook/$1" < "${event}"\n`);
  return script;
}

describe("the daemon's subcommands", () => {
  for (const runtime of ["runc", "crun"] as const satisfies readonly RuntimeName[]) {
    testNeeding(
      [...daemonNeeds(runtime), "ours"],
      `oci-hook is a hook of a container of ${runtime}, in which publish reaches the daemon`,
      async () => {
        await using daemon = await startLighter({ runtime });
        await importBusybox(daemon);
        await using api = await connectApi(daemon);
        await using followed = await followEvents(daemon);
        const lines = join(daemon.workspace.folder, "lines");
        const script = await hookScript(daemon, lines);
        const words = ["{{id}}", "{{bundle}}", "{{rootfs}}", "{{pid}}", '{{annotation "berth"}}'];
        const hooks = {
          createRuntime: [hook("/bin/sh", script, "made", "{{status}}", ...words)],
          poststop: [hook("/bin/sh", script, "gone", "{{status}}", "{{id}}")],
        };
        await createHooked(api, "c1", hooks);
        const pid = await api.start("c1");
        const bundle = join(daemon.state, "io.containerd.runtime.v2.task", daemon.namespace, "c1");
        const made = (await fs.readFile(lines, "utf8")).trimEnd().split(" ");
        expect(made[1]).toMatch(/^creat(ing|ed)$/);
        expect(made.toSpliced(1, 1)).toEqual(["made", "c1", bundle, `${bundle}/rootfs`, String(pid)]);
        await api.tasks.kill({ containerId: "c1", signal: 9 });
        await api.wait("c1");
        await api.remove("c1");
        expect(await fs.readFile(lines, "utf8")).toEndWith("\ngone stopped c1\n");
        const published = () => followed.events.filter(({ topic }) => topic.startsWith("/hook/"));
        await waitFor("both events", () => published().length === 2);
        const event = expect.objectContaining({ typeUrl: "barge/hook", value: Uint8Array.of(1) });
        const { namespace } = daemon;
        expect(published()).toMatchObject([
          { topic: "/hook/made", namespace, event },
          { topic: "/hook/gone", namespace, event },
        ]);
      },
    );
  }

  testNeeding([...daemonNeeds(), "ours"], "oci-hook fails the container where its program fails", async () => {
    await using daemon = await startLighter();
    await importBusybox(daemon);
    await using api = await connectApi(daemon);
    await createHooked(api, "c1", { createRuntime: [hook("/bin/sh", "-c", "exit 5")] });
    const why = await api.start("c1").then(
      () => "it started",
      (error: unknown) => String(error),
    );
    expect(why).toMatch(/OCI runtime create failed: .*hook/);
    expect(await daemon.ctrOk(["tasks", "ls", "-q"])).toBe("");
    await api.snapshots.remove({ snapshotter: "overlayfs", key: "c1" });
    await api.containers.delete({ id: "c1" });
  });

  testNeeding([...daemonNeeds(), "ours"], "publish says why it published nothing", async () => {
    await using daemon = await startLighter();
    const said = async (address: string, input: Uint8Array, ...more: readonly string[]): Promise<string> => {
      const file = join(daemon.workspace.folder, "input");
      await fs.writeFile(file, input);
      const command = `"${lighterd}" --address "${address}" publish --namespace ns ${more.join(" ")} < "${file}"`;
      const { code, stderr } = await run(["sh", "-c", command]);
      return `${code} ${stderr}`;
    };
    const event = toBinary(AnySchema, create(AnySchema, { typeUrl: "x" }));
    expect(await said(daemon.address, event)).toBe("1 lighterd: topic required to publish event: invalid argument\n");
    expect(await said(daemon.address, Uint8Array.of(0xff), "--topic", "/x")).toContain(
      "the event on the standard input",
    );
    expect(await said(daemon.address, event, "--topic", "x")).toMatch(/^1 lighterd: .*topic/);
    expect(await said(`${daemon.address}.gone`, event, "--topic", "/x")).toContain("no such file or directory");
  });
});
