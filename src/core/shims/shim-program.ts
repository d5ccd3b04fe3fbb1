import { basename } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { DeleteResponseSchema } from "../../gen/containerd/task/v3/shim_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { FaultError, messageOf } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import { programVersion } from "../../lib/program-version.ts";
import type { TimeLimits } from "../../plugin/index.ts";
import { type Bootstrap, bootstrapParams, parseBootstrap, plainOptions } from "./bootstrap.ts";
import { runBounded } from "./run-bounded.ts";
import type { ShimEnd } from "./shim.ts";

/** What every shim is told of the daemon. */
export interface DaemonFacts {
  readonly grpcAddress: string;
  readonly ttrpcAddress: string;
  /** The program that publishes events for shims that can't: `PROGRAM --address A publish --topic T --namespace N`. */
  readonly publishBinary: string;
  /** Where shims that let themselves be told put their sockets. */
  readonly socketDir: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Whose shim it is. */
export interface ShimIdentity {
  readonly namespace: string;
  readonly id: string;
  readonly bundle: string;
}

/** A virtual machine may have to boot first. */
const startLimitMs = 60_000;

/** What a shim says that takes its options where others take bootstrap parameters. Source: containerd 1.6, manager_linux.go. */
const readsOptions = /type with url|proto: |unmarshal/i;

/** A shim's program, as containerd's manual for shims has it. Source: containerd docs/runtime-v2.md; pkg/shim/util.go, Command. */
export class ShimProgram {
  readonly path: string;
  readonly #daemon: DaemonFacts;
  readonly #timeouts: Pick<TimeLimits, "shimCleanupMs">;
  readonly #log: Logger;
  readonly #isOld: boolean;
  /** The version of the program that refused the parameters. */
  #refused: string | undefined;

  constructor(path: string, daemon: DaemonFacts, timeouts: Pick<TimeLimits, "shimCleanupMs">, log: Logger) {
    this.path = path;
    this.#daemon = daemon;
    this.#timeouts = timeouts;
    this.#log = log;
    this.#isOld = /shim-(runc|runhcs)-v1/.test(basename(path));
  }

  /**
   * Runs `start` in the bundle. A program from before containerd 2.3 refuses the parameters on its standard input and gets
   * the options instead; that is remembered until another is in its place.
   * Errors: unknown (it failed, with its words; its answer is none), notImplemented.
   */
  async start(shim: ShimIdentity, options: Any | undefined): Promise<Bootstrap> {
    const version = programVersion(this.path);
    const first = this.#isOld || (version !== undefined && version === this.#refused);
    try {
      return await this.#start(shim, options, first);
    } catch (error) {
      if (first || !readsOptions.test(messageOf(error))) throw error;
      const answer = await this.#start(shim, options, true);
      this.#refused = version;
      return answer;
    }
  }

  /** Runs `delete`, which cleans up after a shim that is no more. Errors: unknown. */
  async delete(shim: ShimIdentity): Promise<ShimEnd> {
    const command = [...this.#command(shim), "-bundle", shim.bundle, "delete"];
    const { stdout } = await this.#run(command, shim, new Uint8Array(), this.#timeouts.shimCleanupMs);
    const { pid, exitStatus, exitedAt } = fromBinary(DeleteResponseSchema, stdout);
    return { pid, exitStatus, exitedAt: exitedAt ?? systemClock().toTimestamp() };
  }

  async #start(shim: ShimIdentity, options: Any | undefined, takesOptions: boolean): Promise<Bootstrap> {
    const { namespace, id } = shim;
    const { grpcAddress, ttrpcAddress, publishBinary: binary, socketDir } = this.#daemon;
    const debug = this.#log.writes("debug");
    const input = takesOptions
      ? plainOptions(options)
      : bootstrapParams({ id, namespace, grpcAddress, ttrpcAddress, binary, socketDir, debug, options });
    const { stdout } = await this.#run([...this.#command(shim), "start"], shim, input, startLimitMs);
    return parseBootstrap(stdout);
  }

  #command({ namespace, id }: ShimIdentity): string[] {
    const { grpcAddress, publishBinary } = this.#daemon;
    const who = ["-namespace", namespace, "-address", grpcAddress, "-publish-binary", publishBinary, "-id", id];
    return [this.path, ...who, ...(this.#log.writes("debug") ? ["-debug"] : [])];
  }

  async #run(
    command: string[],
    { bundle, namespace }: ShimIdentity,
    stdin: Uint8Array,
    limitMs: number,
  ): Promise<{ stdout: Uint8Array }> {
    const { grpcAddress, ttrpcAddress, env } = this.#daemon;
    const told = { TTRPC_ADDRESS: ttrpcAddress, GRPC_ADDRESS: grpcAddress, NAMESPACE: namespace };
    const result = await runBounded(command, {
      cwd: bundle,
      env: { GOMAXPROCS: "2", MAX_SHIM_VERSION: "2", ...env, ...told },
      stdin,
      limitMs,
    });
    if (result.code === 0) return result;
    const said = `${Buffer.from(result.stdout).toString()}${result.stderr}`.trim();
    throw new FaultError("unknown", said === "" ? result.ending : `${said}: ${result.ending}`);
  }
}
