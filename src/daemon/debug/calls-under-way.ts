import { readFileSync } from "node:fs";
import { parseTraceparent } from "../../lib/trace.ts";
import { type PluginView, token } from "../../plugin/index.ts";
import type { Kernel } from "../../sys/index.ts";
import type { CallUnderWay } from "../../wire/grpc/index.ts";
import { SERVER, type Server } from "../listeners/server.ts";

/** A server that tells of its calls. */
export interface CallsServer extends Server {
  /** The calls that are under way. */
  calls(): readonly CallUnderWay[];
}

/** A call for people. */
export interface DescribedCall {
  readonly method: string;
  readonly namespace: string;
  readonly ageSeconds: number;
  readonly leftSeconds: number | undefined;
  readonly step: string;
  readonly peer: string;
  readonly traceId: string;
}

const servers = ["grpc", "grpc-tcp"].map((id) => token<CallsServer>(SERVER, id));

/** The calls of the daemon's API that are under way, the oldest first. */
export function callsUnderWay(
  plugins: PluginView | undefined,
  kernel: Pick<Kernel, "peerOf">,
  except?: string,
): readonly DescribedCall[] {
  const now = performance.now();
  const peers = new Map<number, string>();
  return servers
    .map(({ uri }) => plugins?.instance(uri))
    .flatMap((server) => (isCallsServer(server) ? server.calls() : []))
    .filter(({ method }) => method !== except)
    .toSorted((a, b) => a.since - b.since)
    .map(({ method, namespace = "", since, deadline, step, fd, metadata }) => ({
      method,
      namespace,
      ageSeconds: (now - since) / 1000,
      leftSeconds: deadline === undefined ? undefined : (deadline - now) / 1000,
      step,
      peer: fd === undefined ? "" : peers.getOrInsertComputed(fd, () => peerText(fd, kernel)),
      traceId: parseTraceparent(metadata.get("traceparent"))?.traceId ?? "",
    }));
}

function isCallsServer(server: unknown): server is CallsServer {
  return typeof server === "object" && server !== null && "calls" in server;
}

/** Who opened a connection; a process that ended since has no name. */
function peerText(fd: number, kernel: Pick<Kernel, "peerOf">): string {
  const peer = kernel.peerOf(fd);
  if (peer === undefined) return "tcp";
  if (peer.pid === 0) return `uid ${peer.uid}`;
  return `${peer.pid} ${nameOf(peer.pid)}`.trimEnd();
}

/** A process's name; empty when it is gone. */
export function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return ""; // gone meanwhile
  }
}

/** Calls as lines for people. */
export function callLines(calls: readonly DescribedCall[]): readonly string[] {
  return calls.map(({ method, namespace, ageSeconds, leftSeconds, step, peer, traceId }) => {
    const left = leftSeconds === undefined ? "" : `, ${leftSeconds.toFixed(1)} s left`;
    const whose = [namespace === "" ? "" : `namespace ${namespace}`, peer, traceId && `trace ${traceId}`].filter(
      Boolean,
    );
    return `  ${ageSeconds.toFixed(1)} s${left} ${method} (${whose.join(", ")}): ${step}`;
  });
}
