import { basename } from "node:path";

/** The defaults that go with the name under which the daemon was started. */
export interface Flavour {
  readonly name: string;
  readonly root: string;
  readonly state: string;
  readonly address: string;
  readonly configPath: string;
  /** Where clients install programs for the daemon. */
  readonly opt: string;
  /** Drop-in files that are read when there is a configuration file that does not say otherwise. */
  readonly imports: string;
}

const lighter: Flavour = {
  name: "lighterd",
  root: "/var/lib/lighter",
  state: "/run/lighter",
  address: "/run/lighter/lighter.sock",
  configPath: "/etc/lighter/config.toml",
  opt: "/opt/lighter",
  imports: "/etc/lighter/conf.d/*.toml",
};

const containerd: Flavour = {
  name: "containerd",
  root: "/var/lib/containerd",
  state: "/run/containerd",
  address: "/run/containerd/containerd.sock",
  configPath: "/etc/containerd/config.toml",
  opt: "/opt/containerd",
  imports: "/etc/containerd/conf.d/*.toml",
};

/** Picks by the program's name: as `containerd`, through a link or a copy, its own paths hold. */
export function flavourOf(program: string): Flavour {
  return basename(program) === "containerd" ? containerd : lighter;
}
