/** Where a daemon keeps things when nobody says otherwise. */
export interface DaemonPlaces {
  readonly name: string;
  readonly root: string;
  readonly state: string;
  readonly address: string;
  readonly configPath: string;
}

export const lighterPlaces: DaemonPlaces = {
  name: "lighterd",
  root: "/var/lib/lighter",
  state: "/run/lighter",
  address: "/run/lighter/lighter.sock",
  configPath: "/etc/lighter/config.toml",
};

/** The text of the daemon's --help, of which its manual page is made as well. */
export function daemonHelp({ name, root, state, address, configPath }: DaemonPlaces): string {
  return `${name}: runs containers for ctr, nerdctl, dockerd, buildkit, kubelet and lighter

Usage:
  ${name} [flags]             run the daemon in the foreground
  ${name} config default      print the default configuration
  ${name} config dump         print the configuration in force: the file, its imports and the defaults
  ${name} config migrate      the same: containerd's older versions come out in the newest
  ${name} publish             publish an event for a shim: --topic, --namespace, the event's Any on standard input
  ${name} takeover            take over what a stopped containerd left in the root, and end: --dry-run only says what
                              would come over, --json says so for programs
  ${name} oci-hook -- PROGRAM  run a program as an OCI hook; {{id}}, {{bundle}}, {{rootfs}}, {{pid}}, {{status}} and
                              {{annotation "NAME"}} in its arguments stand for the container's

Flags:
  -c, --config FILE           configuration, containerd's format, versions 1 to 4 (default ${configPath})
  -a, --address SOCKET        unix socket of the API (default ${address})
      --root DIR              what outlives a reboot: images, snapshots, metadata (default ${root})
      --state DIR             what does not: bundles, sockets (default ${state})
      --no-takeover           leave alone what a containerd left in the root; without it, it is taken over once
      --takeover              take it over again, after containerd ran in between: lighter's own records are kept aside
  -l, --log-level LEVEL       trace, debug, info, warn, error or fatal (default info)
  -v, --version               print the version
  -h, --help                  print this

Examples:
  sudo ${name}
  sudo ${name} --log-level debug
  sudo ${name} --root /tmp/l/root --state /tmp/l/state --address /tmp/l/l.sock
  sudo ctr --address ${address} version

Signals:
  TERM, INT                   finish the calls under way and stop; containers keep running. Twice: stop at once
  HUP                         read the configuration again: what may change while it runs changes, the log says what
  USR2                        start the program anew, from its file as it is now: it takes over without a client being refused
  USR1                        write what the daemon holds (memory, descriptors, plugins) to the log
`;
}
