import { type ByteString, displayName, type TarEntry, TarReader } from "../../lib/tar/index.ts";
import type { Client } from "../client.ts";
import { type OpenStream, openStream, typed, untyped } from "./stream.ts";
import { transfer } from "./transfer.ts";

/** A path in a container. */
export interface ContainerPlace {
  readonly containerId: string;
  readonly path: string;
}

const placeType = "containerd.types.transfer.ContainerPath";
const dataType = "containerd.types.transfer.Data";
const windowType = "containerd.types.transfer.WindowUpdate";
const mediaType = "application/x-tar";
/** The largest piece that is sent, and how far the daemon may be ahead. */
const pieceBytes = 256 * 1024;
const windowBytes = 1 << 20;

/** What is at a path, as a tar. Errors: what the daemon says: notFound, invalidArgument. */
export async function* copyFrom(
  client: Client,
  place: ContainerPlace,
  options: { readonly noWalk?: boolean } = {},
): AsyncGenerator<Uint8Array> {
  using stream = await openStream(client, "copy");
  const source = typed(placeType, { ...place, noWalk: options.noWalk ?? false });
  const call = transfer(
    client,
    source,
    typed("containerd.types.transfer.WriteStream", { stream: stream.id, mediaType }),
  );
  // Waited for below, whether the bytes come to their end or not.
  call.catch(() => {});
  yield* received(stream);
  await call;
}

/** Puts a tar's members into a folder. Errors: what the daemon says; what the source says. */
export async function copyTo(
  client: Client,
  place: ContainerPlace,
  source: AsyncIterable<Uint8Array>,
  options: { readonly preserveOwnership: boolean },
): Promise<void> {
  using stream = await openStream(client, "copy");
  const from = typed("containerd.types.transfer.ReadStream", { stream: stream.id, mediaType });
  const call = transfer(client, from, typed(placeType, { ...place, ...options }));
  const sending = send(stream, source);
  // A daemon that refuses has the last word; a source that fails has it else: without its end nothing is whole.
  await Promise.race([call, sending.then(() => call)]);
}

/** What a path is, without what is in it; links are not followed unless the path ends with a slash. */
export async function statIn(client: Client, place: ContainerPlace): Promise<TarEntry | undefined> {
  let found: TarEntry | undefined;
  const entry = (one: TarEntry): void => {
    found ??= one;
  };
  const reader = new TarReader({ entry, data: () => {}, end: () => {} });
  for await (const bytes of copyFrom(client, place, { noWalk: true })) {
    reader.push(bytes);
    // A file's bytes come along: they are not waited for.
    if (found !== undefined) break;
  }
  return found;
}

/** The target of a link. */
export function linkTarget(entry: { readonly linkName: ByteString }): string {
  return displayName(entry.linkName);
}

async function* received(stream: OpenStream): AsyncGenerator<Uint8Array> {
  let window = 0;
  const grant = (): void => {
    if (window > windowBytes / 2) return;
    stream.send(typed(windowType, { update: windowBytes - window }));
    window = windowBytes;
  };
  grant();
  for await (const message of stream.messages()) {
    const found = untyped(message, dataType);
    if (found === undefined) continue;
    const data = found["data"] as Uint8Array;
    window -= data.length;
    yield data;
    grant();
  }
}

async function send(stream: OpenStream, source: AsyncIterable<Uint8Array>): Promise<void> {
  const room = roomOf(stream);
  for await (const bytes of source) {
    for (let at = 0; at < bytes.length; ) {
      const allowed = await room.some();
      // The daemon takes no more, and its answer says why.
      if (allowed === 0) return;
      const data = bytes.slice(at, at + Math.min(allowed, pieceBytes));
      room.take(data.length);
      at += data.length;
      stream.send(typed(dataType, { data }));
    }
  }
  stream.endSending();
}

/** How much the daemon takes just now. */
function roomOf(stream: OpenStream): { some(): Promise<number>; take(bytes: number): void } {
  let [room, ended] = [0, false];
  let wake: (() => void) | undefined;
  const watch = async (): Promise<void> => {
    for await (const message of stream.messages()) {
      room += Number(untyped(message, windowType)?.["update"] ?? 0);
      wake?.();
    }
  };
  const leave = (): void => {
    ended = true;
    wake?.();
  };
  watch().then(leave, leave);
  return {
    some: async () => {
      while (room === 0 && !ended) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      return ended ? 0 : room;
    },
    take: (bytes) => {
      room -= bytes;
    },
  };
}
