import { closeSync } from "node:fs";
import type { Capability, Kernel } from "../sys/index.ts";
import type { LayerJob, UnpackResult } from "./jobs.ts";
import { ReplyChannel } from "./reply-channel.ts";
import { readText, resultOf, stderrLimit, workerCommand } from "./spawn-worker.ts";
import { wholeMark } from "./unpacking/layer-file.ts";

const name = "unpack-layers";

/** A process that applies layers, one at a time. It dies with this one. */
export class CrewMember {
  /** What its layers have in common. */
  readonly kind: string;
  /** How many it has applied. */
  layers = 0;
  /** Settles when the process is gone. */
  readonly ended: Promise<void>;
  readonly #kernel: Kernel;
  readonly #child: Bun.Subprocess<"pipe", "ignore", "pipe">;
  readonly #socket: number;
  readonly #replies: ReplyChannel;
  readonly #stderr: Promise<string>;
  #gone = false;

  constructor(kernel: Kernel, kind: string, rights: readonly Capability[]) {
    this.kind = kind;
    this.#kernel = kernel;
    const { command, env } = workerCommand(name);
    const [own, theirs] = kernel.socketPair();
    try {
      const { child, replies } = ReplyChannel.startWith((reply) =>
        kernel.startWith(rights, () =>
          Bun.spawn(command, { cwd: "/", env, stdio: ["pipe", "ignore", "pipe", reply, theirs] }),
        ),
      );
      [this.#child, this.#replies] = [child, replies];
    } catch (error) {
      closeSync(own);
      throw error;
    } finally {
      closeSync(theirs);
    }
    this.#socket = own;
    this.#stderr = readText(this.#child.stderr, stderrLimit);
    this.ended = this.#untilEnded(own);
  }

  /** Whether the process is known to have ended: its socket is closed, and the number may be another file's. */
  get gone(): boolean {
    return this.#gone;
  }

  /** Applies a layer. Errors: as spawnWorker; after any of them the process is gone. */
  async run(
    job: LayerJob,
    files: readonly number[],
    lines: AsyncIterable<string> | undefined,
    signal: AbortSignal,
    onOffset?: (offset: number) => void,
  ): Promise<UnpackResult> {
    const kill = (): void => this.kill();
    signal.addEventListener("abort", kill, { once: true });
    let broken: { readonly error: unknown } | undefined;
    let good = false;
    try {
      this.#kernel.sendFds(this.#socket, Uint8Array.of(1), files);
      const sent = this.#send(JSON.stringify({ parent: process.pid, job }), lines).catch((error: unknown) => {
        // A failure of the lines ends the worker, and is the one to tell.
        broken = { error };
        kill();
      });
      const reply = await this.#replies.answer(onOffset);
      const stderr = reply === "" ? await this.#stderr : "";
      if (reply === "") await this.ended;
      signal.throwIfAborted();
      if (broken !== undefined) throw (broken as { readonly error: unknown }).error;
      const ending = String(this.#child.signalCode ?? `exit code ${this.#child.exitCode}`);
      const result = resultOf<UnpackResult>(name, reply, stderr, ending);
      await sent;
      this.layers++;
      good = true;
      return result;
    } finally {
      signal.removeEventListener("abort", kill);
      if (!good) {
        this.kill();
        await this.ended;
      }
    }
  }

  /** Lets it end, which it does when no more layers come. */
  sendHome(): void {
    void this.#end();
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  /** Says what to do, and then line by line how far the archive has come; to one that gets no further, that no more comes. */
  async #send(job: string, lines: AsyncIterable<string> | undefined): Promise<void> {
    let last = await this.#put(job);
    if (lines === undefined || last === undefined) return;
    for await (const line of lines) {
      last = await this.#put(line);
      if (last === undefined) return;
    }
    if (last !== wholeMark) await this.#end();
  }

  /** Answers the line; undefined when the process is gone already: how it ended says more than that it took no more. */
  async #put(line: string): Promise<string | undefined> {
    try {
      await this.#child.stdin.write(`${line}\n`);
      await this.#child.stdin.flush();
      return line;
    } catch {
      return undefined;
    }
  }

  async #end(): Promise<void> {
    try {
      await this.#child.stdin.end();
    } catch {
      // As with what is put.
    }
  }

  async #untilEnded(socket: number): Promise<void> {
    await this.#child.exited;
    this.#gone = true;
    closeSync(socket);
    await this.#replies.ended;
  }
}
