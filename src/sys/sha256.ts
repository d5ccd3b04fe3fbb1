import { dlopen } from "bun:ffi";

/** OpenSSL's, from 3.0 on: its context is plain memory, which the runtime's own hasher keeps to itself. */
const libraryName = "libcrypto.so.3";

/** SHA256_CTX, by offsets. Source: openssl/sha.h, SHA256state_st: h[8], Nl, Nh, data[16], num, md_len. */
const layout = { bitsLow: 32, bitsHigh: 36, pending: 104, digestBytes: 108, size: 112 } as const;
const blockBytes = 64;
const digestBytes = 32;

/** A SHA-256 in the making, whose state can be had and gone on with. */
export interface Sha256 {
  update(bytes: Uint8Array): void;
  /** The digest of everything so far; more may follow. */
  digest(): Uint8Array;
  /** All that is needed to go on later, in another process too. */
  state(): Uint8Array;
}

type Symbols = ReturnType<typeof load>;
let symbols: Symbols | undefined | "missing";

// JUSTIFICATION: as fast as the runtime's hasher, which has no way to take its state out. SAFETY: the context is ours, of the
// size that the library wants; each call returns before anything else runs.
function load() {
  return dlopen(libraryName, {
    SHA256_Init: { args: ["ptr"], returns: "i32" },
    SHA256_Update: { args: ["ptr", "ptr", "u64"], returns: "i32" },
    SHA256_Final: { args: ["ptr", "ptr"], returns: "i32" },
  }).symbols;
}

/**
 * Starts a SHA-256, or goes on with one.
 * Shape: `from` is a state and how many bytes had gone into it.
 * Errors: undefined where the library is not there or is another than this knows, or where the state is none of so many bytes.
 * Effects: the first call loads the library, which takes a millisecond or two.
 */
export function openSha256(from?: { readonly state: Uint8Array; readonly bytes: number }): Sha256 | undefined {
  symbols ??= loadKnown();
  if (symbols === "missing") return undefined;
  if (from !== undefined && !isStateOf(from.state, from.bytes)) return undefined;
  return start(symbols, from?.state);
}

function loadKnown(): Symbols | "missing" {
  try {
    const loaded = load();
    return isKnown(loaded) ? loaded : "missing";
  } catch {
    // No such library on this machine: its caller has another way.
    return "missing";
  }
}

/** Whether the library's context lies in memory as this file believes, and what it computes is right. */
function isKnown(loaded: Symbols): boolean {
  const text = new Uint8Array(blockBytes + 3).fill(7);
  const first = start(loaded, undefined);
  first.update(text);
  if (!isStateOf(first.state(), text.length)) return false;
  const second = start(loaded, first.state());
  second.update(text);
  const wanted = new Bun.CryptoHasher("sha256").update(text).update(text).digest("hex");
  return Buffer.from(second.digest()).toString("hex") === wanted;
}

function start(library: Symbols, state: Uint8Array | undefined): Sha256 {
  const context = new Uint8Array(layout.size);
  if (state === undefined) library.SHA256_Init(context);
  else context.set(state);
  return {
    update: (bytes) => {
      if (bytes.length > 0) library.SHA256_Update(context, bytes, bytes.length);
    },
    digest: () => {
      const digest = new Uint8Array(digestBytes);
      // Ends a copy, and wipes it.
      library.SHA256_Final(digest, context.slice());
      return digest;
    },
    state: () => context.slice(),
  };
}

function isStateOf(state: Uint8Array, bytes: number): boolean {
  if (state.length !== layout.size) return false;
  const view = new DataView(state.buffer, state.byteOffset, state.length);
  const bits = (BigInt(view.getUint32(layout.bitsHigh, true)) << 32n) | BigInt(view.getUint32(layout.bitsLow, true));
  return (
    bits === BigInt(bytes) * 8n &&
    view.getUint32(layout.pending, true) === bytes % blockBytes &&
    view.getUint32(layout.digestBytes, true) === digestBytes
  );
}
