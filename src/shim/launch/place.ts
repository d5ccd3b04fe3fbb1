import { basename, dirname, join } from "node:path";

/** Where the host of a containerd has its files. */
export interface HostPlace {
  readonly folder: string;
  readonly socket: string;
  readonly state: string;
  readonly log: string;
}

/** sockaddr_un.sun_path, less the final zero. Source: unix(7). */
const socketPathMax = 107;
/** The longest name that a socket beside the host's has: that of a namespace's. */
const longestSocket = "ns-0123456789abcdef.sock";

/**
 * The place of the one host that serves all tasks of a containerd: in that containerd's own state folder, above the bundle;
 * where that is too deep for a socket, or laid out otherwise, in /run under the daemon's address.
 * Shape: a bundle is `<state>/io.containerd.<what>/<namespace>/<id>`. Tasks whose shim is to be in a cgroup of a client's have
 * another host for each.
 */
export function hostPlace(bundle: string, address: string, cgroup = ""): HostPlace {
  const plugin = dirname(dirname(bundle));
  const which = cgroup === "" ? "" : `-${hashOf(cgroup).slice(0, 12)}`;
  const beside = join(dirname(plugin), `io.lighter.shim${which}`);
  const fits = Buffer.byteLength(join(beside, longestSocket)) <= socketPathMax;
  if (basename(plugin).startsWith("io.containerd.") && fits) return placeIn(beside);
  return placeIn(join("/run/lighter/shims", `${hashOf(address).slice(0, 16)}${which}`));
}

const hashOf = (text: string): string => new Bun.CryptoHasher("sha256").update(text).digest("hex");

function placeIn(folder: string): HostPlace {
  return {
    folder,
    socket: join(folder, "host.sock"),
    state: join(folder, "state"),
    log: join(folder, "host.log"),
  };
}
