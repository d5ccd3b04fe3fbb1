import type { Ctx } from "../../lib/ctx.ts";
import { alreadyExists, fault, notFound, quote } from "../../lib/faults.ts";
import type { ResourceCollector, ResourceNode } from "../gc/index.ts";
import type { Stream, StreamManager } from "./streams.ts";

/** More open streams than this in one namespace are a client that forgets them. */
const maxStreams = 4096;

interface Entry {
  readonly stream: Stream;
  readonly lease: string;
}

/** Makes the registry of streams; those of callers without a namespace are among themselves. Source: containerd plugins/streaming/manager.go. */
export function createStreamManager(): StreamManager {
  const namespaces = new Map<string, Map<string, Entry>>();
  const remove = (namespace: string, name: string, entry: Entry): void => {
    const streams = namespaces.get(namespace);
    if (streams?.get(name) !== entry) return;
    streams.delete(name);
    if (streams.size === 0) namespaces.delete(namespace);
  };
  return {
    register: (ctx, name, stream) => {
      const { namespace = "" } = ctx;
      const streams = namespaces.get(namespace) ?? new Map<string, Entry>();
      if (streams.has(name)) throw alreadyExists(`stream ${quote(name)}`);
      if (streams.size >= maxStreams) throw fault("resourceExhausted", `${maxStreams} streams are open`);
      const entry = { stream, lease: ctx.lease ?? "" };
      namespaces.set(namespace, streams.set(name, entry));
      return { [Symbol.dispose]: () => remove(namespace, name, entry) };
    },
    get: (ctx: Ctx, name) => {
      const entry = namespaces.get(ctx.namespace ?? "")?.get(name);
      if (entry === undefined) throw notFound(`stream ${quote(name)}`);
      return entry.stream;
    },
    collector: streamCollector(namespaces, remove),
  };
}

const kind = "stream";

/** A stream without a lease lives as long as its connection; one with a lease no longer than that. */
function streamCollector(
  namespaces: ReadonlyMap<string, ReadonlyMap<string, Entry>>,
  remove: (namespace: string, name: string, entry: Entry) => void,
): ResourceCollector {
  function* nodes(wanted: (namespace: string, entry: Entry) => boolean): Generator<ResourceNode> {
    for (const [namespace, streams] of namespaces) {
      for (const [key, entry] of streams) if (wanted(namespace, entry)) yield { kind, namespace, key };
    }
  }
  return {
    kind,
    referenceLabel: kind,
    all: () => nodes(() => true),
    active: () => nodes((_namespace, { lease }) => lease === ""),
    leased: (namespace, lease) => nodes((of, entry) => of === namespace && entry.lease === lease),
    remove: ({ namespace, key }) => {
      const entry = namespaces.get(namespace)?.get(key);
      if (entry === undefined) return;
      remove(namespace, key, entry);
      entry.stream.close();
    },
  };
}
