import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { checkIdentifier } from "../lib/identifiers.ts";
import { isErrno } from "../sys/index.ts";
import type { TtrpcServer } from "../wire/ttrpc/index.ts";

/** Sockets of single namespaces, for callers who name none: a containerd's calls to its shims. */
export interface NamespaceSockets {
  /** Opens the namespace's socket, if it is not, and answers its path. Errors: invalidArgument (no namespace's name). */
  open(namespace: string): Promise<string>;
}

/** Opens the sockets of an earlier life again. */
export async function openNamespaceSockets(
  server: TtrpcServer,
  hostSocket: string,
  hostFolder: string,
): Promise<NamespaceSockets> {
  const notes = join(hostFolder, "namespaces");
  const opened = new Map<string, Promise<string>>();
  const listen = async (namespace: string): Promise<string> => {
    // Names may be longer than a socket's path; how long this is, the host's place counts on.
    const hash = new Bun.CryptoHasher("sha256").update(namespace).digest("hex").slice(0, 16);
    const path = join(dirname(hostSocket), `ns-${hash}.sock`);
    mkdirSync(notes, { recursive: true, mode: 0o700 });
    writeFileSync(join(notes, namespace), "");
    // Whoever holds the host's lock owns what lies there.
    rmSync(path, { force: true });
    await server.listen(path, { namespace });
    return path;
  };
  const open = (namespace: string): Promise<string> => {
    const known = opened.get(namespace);
    if (known !== undefined) return known;
    const opening = listen(checkIdentifier(namespace));
    opened.set(namespace, opening);
    opening.catch(() => opened.delete(namespace));
    return opening;
  };
  for (const namespace of namesIn(notes)) await open(namespace);
  return { open };
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
