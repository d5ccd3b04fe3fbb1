import type { Any } from "@bufbuild/protobuf/wkt";
import { Sandbox as SandboxApi } from "../../gen/containerd/runtime/sandbox/v1/sandbox_pb.ts";
import { isFault } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import type { ServiceClient } from "../../wire/service.ts";
import type { RuntimeResolver, Shim, ShimEndpoint } from "../shims/index.ts";
import type { Bundle, Bundles } from "../tasks/index.ts";
import { readRecord } from "./sandbox-records.ts";

/** One sandbox that a shim has. */
export interface RunningSandbox {
  readonly bundle: Bundle;
  readonly runtime: string;
  readonly options: Any | undefined;
}

export type SandboxClient = ServiceClient<typeof SandboxApi>;

/** Whether a call's failure means that its shim died under it, so that its next life may be asked. */
export type DiedUnder = (connection: Awaited<ReturnType<Shim["connection"]>>, error: unknown) => Promise<boolean>;

export interface RunningSandboxesOptions {
  readonly shims: RuntimeResolver;
  readonly bundles: Bundles;
  readonly diedUnder: DiedUnder;
  readonly log: Logger;
}

/** How often a call moves on to the next life of a shim that keeps dying under it. */
const livesMax = 3;

/** The sandboxes that shims have, of all namespaces; those of the daemon's last life are found by their bundles. */
export class RunningSandboxes {
  /** Settles when the bundles have been looked through. Never rejects. */
  readonly known: Promise<void>;
  /** Settles when their shims have been asked, too. Never rejects. */
  readonly recovered: Promise<void>;
  readonly #options: RunningSandboxesOptions;
  readonly #sandboxes = new Map<string, RunningSandbox>();
  readonly #shims = new WeakMap<RunningSandbox, Promise<Shim>>();

  constructor(options: RunningSandboxesOptions) {
    this.#options = options;
    this.known = this.#scan().catch((error: unknown) => options.log.error("find the sandboxes", { error }));
    this.recovered = this.known.then(() => this.#check());
  }

  find(namespace: string, id: string): RunningSandbox | undefined {
    return this.#sandboxes.get(key(namespace, id));
  }

  add(sandbox: RunningSandbox, shim: Shim): void {
    this.#sandboxes.set(key(sandbox.bundle.namespace, sandbox.bundle.id), sandbox);
    this.#shims.set(sandbox, Promise.resolve(shim));
    this.#watch(sandbox, shim);
  }

  /** Where the shim of a sandbox takes calls; undefined for the shared host's. */
  async endpointOf(sandbox: RunningSandbox): Promise<ShimEndpoint | undefined> {
    return (await this.#shimOf(sandbox)).own?.endpoint;
  }

  /** Forgets a sandbox and takes its bundle away. */
  async remove(sandbox: RunningSandbox): Promise<void> {
    const { namespace, id } = sandbox.bundle;
    if (this.find(namespace, id) === sandbox) this.#sandboxes.delete(key(namespace, id));
    await (await this.#shims.get(sandbox)?.catch(() => undefined))?.own?.release();
    await this.#options.bundles.remove(sandbox.bundle).catch((error: unknown) => {
      this.#options.log.error("failed to delete bundle", { id, error });
    });
  }

  /** Makes a call that changes nothing the second time, again on the shim's next life if the first dies under it. */
  async callRepeatable<T>(sandbox: RunningSandbox, call: (client: SandboxClient) => Promise<T>): Promise<T> {
    const shim = await this.#shimOf(sandbox);
    for (let life = 1; ; life += 1) {
      const connection = await shim.connection();
      try {
        return await call(connection.client(SandboxApi));
      } catch (error) {
        if (life >= livesMax || !(await this.#options.diedUnder(connection, error))) throw error;
      }
    }
  }

  /** Makes a call once. */
  async callOnce<T>(sandbox: RunningSandbox, call: (client: SandboxClient) => Promise<T>): Promise<T> {
    return call((await (await this.#shimOf(sandbox)).connection()).client(SandboxApi));
  }

  #shimOf(sandbox: RunningSandbox): Promise<Shim> {
    const known = this.#shims.get(sandbox);
    if (known !== undefined) return known;
    const { bundle, runtime, options } = sandbox;
    const { namespace, id, path } = bundle;
    const request = { runtime, namespace, id, bundle: path, options, isFound: true };
    const shim = this.#options.shims.resolve(request);
    this.#shims.set(sandbox, shim);
    shim.then(
      (found) => this.#watch(sandbox, found),
      () => this.#shims.delete(sandbox),
    );
    return shim;
  }

  /** A sandbox is gone with a shim of its own. Source: containerd core/runtime/v2/shim.go, cleanupAfterDeadShim. */
  #watch(sandbox: RunningSandbox, shim: Shim): void {
    void shim.own?.ended.then(() => this.remove(sandbox));
  }

  async #scan(): Promise<void> {
    const { bundles, log } = this.#options;
    for (const bundle of await bundles.scan()) {
      const record = await readRecord(bundle.path).catch((error: unknown) => {
        log.error("a sandbox can't be taken over", { id: bundle.id, error });
        return "unreadable" as const;
      });
      if (record === undefined) await bundles.remove(bundle);
      else if (record !== "unreadable") this.#sandboxes.set(key(bundle.namespace, bundle.id), { bundle, ...record });
    }
  }

  /** One that its shim doesn't know was made or taken down by half, and nobody was told that it is there. */
  async #check(): Promise<void> {
    await Promise.all([...this.#sandboxes.values()].map((sandbox) => this.#checkOne(sandbox)));
  }

  async #checkOne(sandbox: RunningSandbox): Promise<void> {
    const { namespace, id } = sandbox.bundle;
    try {
      await this.callRepeatable(sandbox, (client) => client.pingSandbox({ sandboxId: id }, { namespace }));
    } catch (error) {
      if (isFault(error, "notFound")) await this.remove(sandbox);
      else this.#options.log.warn("a sandbox's shim does not answer", { namespace, id, error });
    }
  }
}

const key = (namespace: string, id: string): string => `${namespace}/${id}`;
