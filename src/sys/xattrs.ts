import { check, cString, lazyLibrary, type PathBytes } from "./libc.ts";
import { isErrno } from "./sys-error.ts";

export interface XattrCalls {
  /** An extended attribute of the path itself, never of what a link points to; undefined when it has none of that name. Source: lgetxattr(2). */
  getXattr(path: PathBytes, name: string): Uint8Array | undefined;
  /** Source: lsetxattr(2). Errors: SysError (EOPNOTSUPP: the filesystem keeps none). */
  setXattr(path: PathBytes, name: string, value: Uint8Array): void;
  /** Takes an attribute away; one that is not there is fine. Source: lremovexattr(2). */
  removeXattr(path: PathBytes, name: string): void;
  /** The names of all attributes; none where the filesystem keeps none. Source: llistxattr(2). */
  listXattrs(path: PathBytes): readonly string[];
}

const libc = lazyLibrary({
  lgetxattr: { args: ["ptr", "ptr", "ptr", "u64"], returns: "i32" },
  lsetxattr: { args: ["ptr", "ptr", "ptr", "u64", "i32"], returns: "i32" },
  lremovexattr: { args: ["ptr", "ptr"], returns: "i32" },
  llistxattr: { args: ["ptr", "ptr", "u64"], returns: "i32" },
});

const firstGuessBytes = 256;
/** Source: XATTR_SIZE_MAX and XATTR_LIST_MAX, linux/limits.h. */
const largestBytes = 65536;

/** SAFETY: the kernel is told the buffer's length. JUSTIFICATION: no extended attributes in the runtime. */
export const xattrCalls: XattrCalls = {
  getXattr: (path, name) => {
    const [at, key] = [cString(path), cString(name)];
    try {
      return readGrowing((buffer) =>
        check("lgetxattr", () => libc().lgetxattr(at, key, buffer, buffer.length), detailOf(path, name)),
      );
    } catch (error) {
      if (isErrno(error, "ENODATA", "EOPNOTSUPP")) return undefined;
      throw error;
    }
  },
  setXattr: (path, name, value) => {
    const [at, key] = [cString(path), cString(name)];
    const bytes = value.length === 0 ? new Uint8Array(1) : value;
    check("lsetxattr", () => libc().lsetxattr(at, key, bytes, value.length, 0), detailOf(path, name));
  },
  removeXattr: (path, name) => {
    const [at, key] = [cString(path), cString(name)];
    try {
      check("lremovexattr", () => libc().lremovexattr(at, key), detailOf(path, name));
    } catch (error) {
      if (!isErrno(error, "ENODATA")) throw error;
    }
  },
  listXattrs: (path) => {
    const at = cString(path);
    try {
      const bytes = readGrowing((buffer) =>
        check("llistxattr", () => libc().llistxattr(at, buffer, buffer.length), detailOf(path)),
      );
      return Buffer.from(bytes)
        .toString()
        .split("\0")
        .filter((name) => name !== "");
    } catch (error) {
      if (isErrno(error, "EOPNOTSUPP")) return [];
      throw error;
    }
  },
};

function detailOf(path: PathBytes, name = ""): string {
  return `${typeof path === "string" ? path : Buffer.from(path).toString()} ${name}`.trimEnd();
}

function readGrowing(fill: (buffer: Uint8Array) => number): Uint8Array {
  const guess = new Uint8Array(firstGuessBytes);
  try {
    return guess.slice(0, fill(guess));
  } catch (error) {
    if (!isErrno(error, "ERANGE")) throw error;
    const large = new Uint8Array(largestBytes);
    return large.slice(0, fill(large));
  }
}
