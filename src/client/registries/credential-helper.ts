import { FaultError, messageOf, quote } from "../../lib/faults.ts";
import type { RegistryCredentials } from "./credentials.ts";

type Env = Readonly<Record<string, string | undefined>>;

/** A helper that asks somebody may take its time; one that hangs is given up. */
const timeoutMs = 120_000;
const maxAnswerBytes = 1 << 20;
/** Under this name helpers give a refresh token. Source: docker cli/config/credentials/native_store.go. */
const tokenName = "<token>";

/**
 * Asks a docker-credential-NAME program for a server's credentials; undefined when it has none.
 * Errors: failedPrecondition that names the program.
 * Source: docker-credential-helpers, README.md.
 */
export async function askHelper(name: string, server: string, env: Env): Promise<RegistryCredentials | undefined> {
  const { code, output } = await run(name, "get", server, env);
  if (code !== 0) {
    if (/credentials not found/i.test(output)) return undefined;
    throw trouble(name, output.trim().slice(0, 256) || `it ended with ${code}`);
  }
  try {
    const { Username, Secret } = JSON.parse(output) as { Username?: unknown; Secret?: unknown };
    if (typeof Username !== "string" || typeof Secret !== "string") throw new TypeError("no Username and Secret in it");
    return { username: Username === tokenName ? "" : Username, secret: Secret };
  } catch (error) {
    throw trouble(name, `its answer cannot be read: ${messageOf(error)}`);
  }
}

/** Has a helper keep credentials. Errors: failedPrecondition. */
export async function storeWithHelper(
  name: string,
  server: string,
  credentials: RegistryCredentials,
  env: Env,
): Promise<void> {
  const entry = { ServerURL: server, Username: credentials.username, Secret: credentials.secret };
  const { code, output } = await run(name, "store", JSON.stringify(entry), env);
  if (code !== 0) throw trouble(name, output.trim().slice(0, 256) || `it ended with ${code}`);
}

/** Has a helper forget a server's credentials. Errors: failedPrecondition. */
export async function eraseWithHelper(name: string, server: string, env: Env): Promise<void> {
  const { code, output } = await run(name, "erase", server, env);
  if (code !== 0 && !/credentials not found/i.test(output)) throw trouble(name, output.trim().slice(0, 256));
}

async function run(name: string, action: string, input: string, env: Env): Promise<{ code: number; output: string }> {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) throw trouble(name, "that is no program's name");
  const program = `docker-credential-${name}`;
  let child: Bun.Subprocess<Uint8Array<ArrayBuffer>, "pipe", "inherit">;
  try {
    child = Bun.spawn([program, action], {
      env: { ...env },
      stdin: new TextEncoder().encode(input),
      stdout: "pipe",
      stderr: "inherit",
      timeout: timeoutMs,
    });
  } catch (error) {
    throw trouble(name, `${program} cannot be started: ${messageOf(error)}`);
  }
  const [output, code] = await Promise.all([child.stdout.text(), child.exited]);
  return { code, output: output.slice(0, maxAnswerBytes) };
}

function trouble(name: string, why: string): FaultError {
  return new FaultError("failedPrecondition", `credential helper ${quote(name)}: ${why}`);
}
