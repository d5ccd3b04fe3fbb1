import { createDigester, type Digest, type Digester } from "../../lib/digest.ts";
import { openSha256, type Sha256 } from "../../sys/index.ts";

/** A digester that can be gone on with in another process. */
export interface ResumableDigester extends Digester {
  state(): Uint8Array;
}

/** From this size on it is worth keeping how far a hash came: less is read again in a few milliseconds. */
export const worthKeepingBytes: number = 16 << 20;

/** The digester of a write of so many bytes, 0 when nobody knows: one whose state can be kept, where that pays and can be had. */
export function createIngestDigester(totalBytes: number): Digester {
  const hash = totalBytes >= worthKeepingBytes ? openSha256() : undefined;
  return hash === undefined ? createDigester() : digesterOf(hash);
}

/** Goes on with a state that so many bytes went into; undefined when that is not possible here. */
export function resumeDigester(state: Uint8Array, bytes: number): ResumableDigester | undefined {
  const hash = openSha256({ state, bytes });
  return hash === undefined ? undefined : digesterOf(hash);
}

export function isResumable(digester: Digester | undefined): digester is ResumableDigester {
  return digester !== undefined && "state" in digester;
}

function digesterOf(initial: Sha256): ResumableDigester {
  return {
    algorithm: "sha256",
    update: (bytes) => initial.update(bytes),
    digest: () => `sha256:${Buffer.from(initial.digest()).toString("hex")}` as Digest,
    state: () => initial.state(),
  };
}
