import { basename } from "node:path";
import { type DaemonPlaces, lighterPlaces } from "../../lib/daemon-help.ts";

/** The defaults that go with the name under which the daemon was started. */
export interface Flavour extends DaemonPlaces {
  /** Where clients install programs for the daemon. */
  readonly opt: string;
  /** Drop-in files that are read when there is a configuration file that does not say otherwise. */
  readonly imports: string;
}

const lighter: Flavour = {
  ...lighterPlaces,
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
