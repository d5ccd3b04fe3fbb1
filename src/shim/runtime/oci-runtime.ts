import { existsSync } from "node:fs";
import { FaultError, messageOf, quote } from "../../lib/faults.ts";
import { lastError, logSize } from "./runtime-log.ts";
import type { SealedPrograms } from "./sealed-programs.ts";
import type { ChildStdio, Spawner, SpawnOptions, SpawnResult } from "./spawner.ts";

/** How one container's runtime is called. */
export interface RuntimeSettings {
  /** A name in PATH, or a path. */
  readonly binary: string;
  /** Where the runtime keeps its own state. */
  readonly root: string;
  readonly systemdCgroup: boolean;
}

export interface CreateOptions {
  readonly bundle: string;
  /** A spec in the place of the bundle's. */
  readonly config?: string | undefined;
  readonly pidFile: string;
  readonly noPivot: boolean;
  readonly noNewKeyring: boolean;
  readonly consoleSocket?: string | undefined;
  readonly stdio: ChildStdio | undefined;
}

export interface ExecOptions {
  readonly processFile: string;
  readonly pidFile: string;
  readonly log: string;
  readonly consoleSocket?: string | undefined;
  readonly stdio: ChildStdio | undefined;
}

export interface OciRuntimeOptions {
  readonly spawner: Pick<Spawner, "run">;
  readonly programs: Pick<SealedPrograms, "find">;
  readonly settings: RuntimeSettings;
  readonly bundle: string;
  /** The runtime's JSON log. */
  readonly log: string;
}

/**
 * The OCI runtime's command line for one container.
 * Errors: unknown, `<what> failed: <the runtime's own message>`, as containerd's shim words it; a missing binary says so.
 */
export class OciRuntime {
  readonly #options: OciRuntimeOptions;

  constructor(options: OciRuntimeOptions) {
    this.#options = options;
  }

  async create(id: string, options: CreateOptions): Promise<void> {
    const args = ["create", "--bundle", options.bundle, "--pid-file", options.pidFile];
    if (options.consoleSocket !== undefined) args.push("--console-socket", options.consoleSocket);
    if (options.config !== undefined) args.push("--config", options.config);
    if (options.noPivot) args.push("--no-pivot");
    if (options.noNewKeyring) args.push("--no-new-keyring");
    await this.#run("OCI runtime create failed", [...args, id], { stdio: options.stdio });
  }

  async start(id: string): Promise<void> {
    await this.#run("OCI runtime start failed", ["start", id]);
  }

  async exec(id: string, options: ExecOptions): Promise<void> {
    const args = ["exec", "--process", options.processFile, "--pid-file", options.pidFile, "--detach"];
    if (options.consoleSocket !== undefined) args.push("--console-socket", options.consoleSocket);
    await this.#run("OCI runtime exec failed", [...args, id], { stdio: options.stdio }, options.log);
  }

  /** Deletes what the runtime keeps of a container. Effects: one that it does not know is fine; see `isUnknownContainer`. */
  async delete(id: string, options: { readonly force?: boolean } = {}): Promise<void> {
    const args = options.force === true ? ["delete", "--force", id] : ["delete", id];
    try {
      await this.#run("failed to delete task", args);
    } catch (error) {
      if (!isUnknownContainer(error)) throw error;
    }
  }

  async kill(id: string, signal: number, options: { readonly all?: boolean } = {}): Promise<void> {
    const args = options.all === true ? ["kill", "--all", id, String(signal)] : ["kill", id, String(signal)];
    await this.#run("unknown error after kill", args);
  }

  async pause(id: string): Promise<void> {
    await this.#run("OCI runtime pause failed", ["pause", id]);
  }

  async resume(id: string): Promise<void> {
    await this.#run("OCI runtime resume failed", ["resume", id]);
  }

  async update(id: string, resources: Uint8Array): Promise<void> {
    await this.#run("OCI runtime update failed", ["update", "--resources", "-", id], { input: resources });
  }

  /** What the runtime itself calls a container's state: "created", "running", ... Source: runtime-spec, runtime.md, State. */
  async state(id: string): Promise<string> {
    const { output } = await this.#run("OCI runtime state failed", ["state", id], { wantStdout: true });
    const state: unknown = JSON.parse(output);
    if (typeof state === "object" && state !== null && "status" in state) return String(state.status);
    throw new FaultError("unknown", "OCI runtime state failed: no status in its answer");
  }

  /** Runs any other subcommand with the same care for its errors. */
  async command(what: string, args: readonly string[], options: SpawnOptions = {}): Promise<void> {
    await this.#run(what, args, options);
  }

  async #run(
    what: string,
    args: readonly string[],
    options: SpawnOptions = {},
    log = this.#options.log,
  ): Promise<SpawnResult> {
    const { spawner, programs, settings, bundle } = this.#options;
    // What somebody took the bundle away from must still be ended and deleted.
    const hasHome = existsSync(bundle);
    const argv = [settings.binary, "--root", settings.root];
    if (hasHome) argv.push("--log", log, "--log-format", "json");
    if (settings.systemdCgroup) argv.push("--systemd-cgroup");
    const before = logSize(log);
    let result: SpawnResult;
    try {
      const program = (): string | undefined => programs.find(settings.binary);
      result = await spawner.run([...argv, ...args], { cwd: hasHome ? bundle : "/", program, ...options });
    } catch (error) {
      throw new FaultError("unknown", `${what}: ${spawnErrorText(settings.binary, error)}`, { cause: error });
    }
    if (result.exitStatus === 0) return result;
    const why =
      lastError(log, before) ??
      lastLine(result.output) ??
      `${settings.binary} did not terminate successfully: exit status ${result.exitStatus}`;
    throw new FaultError("unknown", `${what}: ${why}`);
  }
}

/** True when the runtime says that it has no such container. Source: texts of runc and crun; runc since 1.0 "container does not exist". */
export function isUnknownContainer(error: unknown): boolean {
  return /does not exist|No such file or directory/.test(messageOf(error));
}

function spawnErrorText(binary: string, error: unknown): string {
  const missing = error instanceof Error && "code" in error && error.code === "ENOENT";
  if (!missing) return messageOf(error);
  return binary.includes("/")
    ? `fork/exec ${binary}: no such file or directory`
    : `exec: ${quote(binary)}: executable file not found in $PATH`;
}

function lastLine(text: string): string | undefined {
  const line = text.trimEnd().split("\n").at(-1)?.trim();
  return line === undefined || line === "" ? undefined : line;
}
