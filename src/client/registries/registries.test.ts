import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { askHelper, eraseWithHelper, storeWithHelper } from "./credential-helper.ts";
import { findCredentials, givenCredentials, keptCredentials } from "./credentials.ts";
import { dockerConfigPath, readDockerConfig, writeAuth } from "./docker-config.ts";

let folder: string;
let env: Record<string, string>;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lighter-docker-"));
  env = { DOCKER_CONFIG: folder, PATH: `${folder}/bin:${process.env["PATH"] ?? ""}` };
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const basic = (text: string): string => Buffer.from(text).toString("base64");
const writeConfig = (value: unknown): void =>
  writeFileSync(join(folder, "config.json"), typeof value === "string" ? value : JSON.stringify(value));

/** A helper that keeps what it is given in a file beside it. */
function writeHelper(name: string, script: string): void {
  mkdirSync(join(folder, "bin"), { recursive: true });
  const file = join(folder, `bin/docker-credential-${name}`);
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
}

describe("findCredentials", () => {
  test.each([
    [{ "h:5000": { auth: basic("joe:a:b") } }, "h:5000", { username: "joe", secret: "a:b" }],
    [{ "https://h/v1/": { auth: basic("joe:x") } }, "h", { username: "joe", secret: "x" }],
    [
      { "https://index.docker.io/v1/": { auth: basic("joe:x") } },
      "registry-1.docker.io",
      { username: "joe", secret: "x" },
    ],
    [{ h: { identitytoken: "t" } }, "h", { username: "", secret: "t" }],
    [{ h: { username: "joe", password: "x" } }, "h", { username: "joe", secret: "x" }],
    [{ h: {} }, "h", undefined],
    [{ h: { auth: basic("joe:x") } }, "h.evil", undefined],
    [{ h: { auth: basic("joe:x") } }, "evil.h", undefined],
    [{ h: { auth: "%%%" } }, "h", undefined],
  ])("in %j for %s", async (auths, host, want) => {
    writeConfig({ auths });
    expect(await findCredentials(host, env)).toEqual(want as never);
  });

  test("finds nothing where there is no file", async () => {
    expect(await findCredentials("h", env)).toBeUndefined();
    expect(dockerConfigPath({ HOME: "/home/x" })).toBe("/home/x/.docker/config.json");
  });

  test("says which file cannot be read; what is only kept then means nobody", async () => {
    writeConfig("{");
    const error = await findCredentials("h", env).catch((thrown: unknown) => thrown);
    expect(String(error)).toContain(join(folder, "config.json"));
    const warnings: string[] = [];
    expect(await keptCredentials(env, (text) => void warnings.push(text))("h")).toBeUndefined();
    expect(warnings).toHaveLength(1);
  });

  test("asks the host's helper, then the one for all; a token has no name", async () => {
    writeConfig({ credsStore: "all", credHelpers: { "special.example": "one" } });
    writeHelper(
      "all",
      `read server; echo "{\\"ServerURL\\":\\"$server\\",\\"Username\\":\\"all\\",\\"Secret\\":\\"$server\\"}"`,
    );
    writeHelper("one", `echo '{"Username":"<token>","Secret":"t"}'`);
    expect(await findCredentials("special.example", env)).toEqual({ username: "", secret: "t" });
    expect(await findCredentials("docker.io", env)).toEqual({ username: "all", secret: "https://index.docker.io/v1/" });
  });
});

describe("a credential helper", () => {
  test("keeps and forgets", async () => {
    writeHelper(
      "file",
      `f="$0.kept"; case $1 in store) cat > "$f";; erase) rm "$f";; get) cat "$f" 2>/dev/null || { echo "credentials not found in native keychain"; exit 1; };; esac`,
    );
    await storeWithHelper("file", "h", { username: "joe", secret: "x" }, env);
    expect(await askHelper("file", "h", env)).toEqual({ username: "joe", secret: "x" });
    await eraseWithHelper("file", "h", env);
    expect(await askHelper("file", "h", env)).toBeUndefined();
  });

  test.each([
    ["../x", "", "no program's name"],
    ["absent", "", "cannot be started"],
    ["fails", "echo locked; exit 1", "locked"],
    ["odd", "echo no", "cannot be read"],
    ["half", `echo '{"Username":1}'`, "no Username and Secret"],
  ])("%s is told by name", async (name, script, why) => {
    if (script !== "") writeHelper(name, script);
    const error = await askHelper(name, "h", env).catch((thrown: unknown) => thrown);
    expect(String(error)).toContain(why);
    expect(String(error)).toContain(JSON.stringify(name));
  });
});

describe("givenCredentials", () => {
  test("are for the image's own registry and for no mirror", async () => {
    const ask = givenCredentials("docker.io", { username: "joe", secret: "x" });
    expect(await ask("registry-1.docker.io")).toEqual({ username: "joe", secret: "x" });
    expect(await ask("mirror.example")).toBeUndefined();
  });
});

describe("writeAuth", () => {
  test("leaves the rest of the file alone, for its owner only", async () => {
    writeConfig({ auths: { other: { auth: "x" } }, HttpHeaders: { a: "b" } });
    await writeAuth(await readDockerConfig(env), "h", { username: "joe", secret: "p" });
    const path = join(folder, "config.json");
    expect(JSON.parse(readFileSync(path, "utf8"))).toEqual({
      auths: { other: { auth: "x" }, h: { auth: basic("joe:p") } },
      HttpHeaders: { a: "b" },
    });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    await writeAuth(await readDockerConfig(env), "h", undefined);
    expect(JSON.parse(readFileSync(path, "utf8")).auths).toEqual({ other: { auth: "x" } });
  });
});
