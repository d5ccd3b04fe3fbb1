import { chown, lstat, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { FaultError } from "../../lib/faults.ts";
import { isErrno } from "../../sys/index.ts";
import { makeFolder } from "../process/folders.ts";

/** The longest path of a unix socket. Source: unix(7), sun_path of 108 bytes with its NUL. */
const longestPath = 107;

/** A socket's path without the scheme that some callers put before it. */
export function socketPath(address: string): string {
  return address.startsWith("unix://") ? address.slice("unix://".length) : address;
}

/**
 * Makes room for a socket: its folder, and the stale socket of a predecessor goes away.
 * Errors: invalidArgument (too long, not absolute), failedPrecondition (something answers there, or it is no socket).
 */
export async function claimSocket(path: string): Promise<void> {
  if (!path.startsWith("/")) throw new FaultError("invalidArgument", `socket path ${path} must be absolute`);
  const length = new TextEncoder().encode(path).length;
  if (length > longestPath)
    throw new FaultError("invalidArgument", `socket path ${path} is ${length} bytes long, ${longestPath} is the most`);
  await makeFolder("--address", dirname(path), 0o711);
  const there = await lstat(path).catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  });
  if (there === undefined) return;
  if (!there.isSocket())
    throw new FaultError(
      "failedPrecondition",
      `${path} is there and is no socket; remove it, or choose another --address`,
    );
  if (await answers(path))
    throw new FaultError(
      "failedPrecondition",
      `socket ${path} is in use: a daemon answers there; stop it, or choose another --address`,
    );
  await unlink(path);
}

/** Gives a socket to its owner; the caller was listening on it already, with a mode that keeps others out. */
export async function handOver(path: string, uid: number, gid: number): Promise<void> {
  const now = await lstat(path);
  if (now.uid !== uid || now.gid !== gid) await chown(path, uid, gid);
}

async function answers(path: string): Promise<boolean> {
  const nothing = { data: (): void => {} };
  try {
    (await Bun.connect({ unix: path, socket: nothing })).terminate();
    return true;
  } catch (error) {
    // Refused: nobody listens. Any other error leaves it open who does: then the socket stays as it is.
    return !isErrno(error, "ECONNREFUSED") && !isErrno(error, "ENOENT");
  }
}
